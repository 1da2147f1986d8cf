package awscloud

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"latchkey/local/pocket"
)

// algorithm is the only signature that is understood: Signature Version 4 in a header.
const algorithm = "AWS4-HMAC-SHA256"

// maxSkew is how far a request's date may be from ours.
const maxSkew = 5 * time.Minute

// amzDate is the layout of X-Amz-Date.
const amzDate = "20060102T150405Z"

// authorization is a parsed Authorization header.
type authorization struct {
	accessKeyID   string
	date          string // 20060102
	region        string
	service       string
	signedHeaders []string
	signature     string
}

// parseAuthorization reads "AWS4-HMAC-SHA256 Credential=id/date/region/service/aws4_request,
// SignedHeaders=a;b, Signature=hex".
func parseAuthorization(header string) (authorization, bool) {
	rest, ok := strings.CutPrefix(header, algorithm+" ")
	if !ok {
		return authorization{}, false
	}
	fields := map[string]string{}
	for field := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		fields[name] = value
	}
	scope := strings.Split(fields["Credential"], "/")
	if len(scope) != 5 || scope[4] != "aws4_request" || fields["Signature"] == "" {
		return authorization{}, false
	}
	return authorization{
		accessKeyID: scope[0], date: scope[1], region: scope[2], service: scope[3],
		signedHeaders: strings.Split(fields["SignedHeaders"], ";"), signature: fields["Signature"],
	}, true
}

// scope is the credential scope that the string to sign names.
func (a authorization) scope() string {
	return a.date + "/" + a.region + "/" + a.service + "/aws4_request"
}

// verify checks date, scope and signature of a call against the secret of its access key.
func (a authorization) verify(call *pocket.Call, e endpoint, secret string, now time.Time) *authFailure {
	date, err := time.Parse(amzDate, call.Header.Get("X-Amz-Date"))
	if err != nil || a.date != date.Format("20060102") {
		return badSignature("Date in Credential scope does not match the date of the request.")
	}
	if a.service != e.signing() || a.region != string(e.region) {
		return badSignature("Credential should be scoped to the region '" + string(e.region) + "' and the service '" + e.signing() + "'.")
	}
	if now.Sub(date) > maxSkew {
		return badSignature("Signature expired: " + date.Format(amzDate) + " is now earlier than " +
			now.Add(-maxSkew).UTC().Format(amzDate) + " (" + now.UTC().Format(amzDate) + " - 5 min.)")
	}
	if date.Sub(now) > maxSkew {
		return badSignature("Signature not yet current: " + date.Format(amzDate) + " is still later than " +
			now.Add(maxSkew).UTC().Format(amzDate) + " (" + now.UTC().Format(amzDate) + " + 5 min.)")
	}
	if !slices.Contains(a.signedHeaders, "host") || !slices.Contains(a.signedHeaders, "x-amz-date") {
		return badSignature("'Host' and 'X-Amz-Date' must be signed headers.")
	}
	if token := call.Header.Get("X-Amz-Security-Token"); token != "" && !slices.Contains(a.signedHeaders, "x-amz-security-token") {
		return badSignature("'X-Amz-Security-Token' must be a signed header.")
	}
	if !hmac.Equal([]byte(a.sign(call, secret)), []byte(a.signature)) {
		return badSignature("The request signature we calculated does not match the signature you provided. " +
			"Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")
	}
	return nil
}

// sign computes the signature that the call should have.
func (a authorization) sign(call *pocket.Call, secret string) string {
	toSign := strings.Join([]string{
		algorithm, call.Header.Get("X-Amz-Date"), a.scope(), hexSHA256([]byte(a.canonicalRequest(call))),
	}, "\n")
	key := []byte("AWS4" + secret)
	for _, part := range []string{a.date, a.region, a.service, "aws4_request", toSign} {
		key = mac(key, part)
	}
	return hex.EncodeToString(key)
}

func (a authorization) canonicalRequest(call *pocket.Call) string {
	var b strings.Builder
	b.WriteString(call.Method + "\n" + canonicalPath(call.URL) + "\n" + canonicalQuery(call.URL.Query()) + "\n")
	for _, name := range a.signedHeaders {
		b.WriteString(name + ":" + headerValue(call.Request, name) + "\n")
	}
	b.WriteString("\n" + strings.Join(a.signedHeaders, ";") + "\n" + hexSHA256(call.Body))
	return b.String()
}

// canonicalPath escapes a path once more: only S3 takes it as it is.
func canonicalPath(u *url.URL) string {
	segments := strings.Split(u.EscapedPath(), "/")
	for i, s := range segments {
		segments[i] = awsEscape(s)
	}
	if path := strings.Join(segments, "/"); path != "" {
		return path
	}
	return "/"
}

func canonicalQuery(q url.Values) string {
	var pairs []string
	for name, values := range q {
		for _, v := range values {
			pairs = append(pairs, awsEscape(name)+"="+awsEscape(v))
		}
	}
	slices.Sort(pairs)
	return strings.Join(pairs, "&")
}

// awsEscape is the percent encoding of RFC 3986, in which a space is %20.
func awsEscape(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(url.QueryEscape(s), "+", "%20"), "%7E", "~")
}

// headerValue is the value of a signed header; net/http keeps two of them outside the header.
func headerValue(r *http.Request, name string) string {
	switch name {
	case "host":
		return r.Host
	case "content-length":
		return strconv.FormatInt(r.ContentLength, 10)
	}
	values := slices.Clone(r.Header.Values(name))
	for i, v := range values {
		values[i] = strings.Join(strings.Fields(v), " ")
	}
	return strings.Join(values, ",")
}

func hexSHA256(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func mac(key []byte, s string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(s))
	return h.Sum(nil)
}
