package awscloud_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"latchkey/local/pocket"
	"latchkey/local/pocket/awscloud"
)

// signed is a ListKeys request to host as the SDK's own signer signs it.
func signed(t *testing.T, host, service, region string, keys awscloud.Keys, at time.Time) *http.Request {
	t.Helper()
	body := []byte("{}")
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+host+"/", bytes.NewReader(body))
	r.Header.Set("X-Amz-Target", "TrentService.ListKeys")
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	sum := sha256.Sum256(body)
	err := v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: keys.AccessKeyID, SecretAccessKey: keys.SecretAccessKey},
		r, hex.EncodeToString(sum[:]), service, region, at)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestSignatures_are_verified(t *testing.T) {
	w := newWorld(t)
	const host = "kms.us-east-1.amazonaws.com"
	now := time.Now()
	wrong := awscloud.Keys{AccessKeyID: tenantRoot.AccessKeyID, SecretAccessKey: "wrong"}
	cases := map[string]struct {
		request *http.Request
		tamper  func(*http.Request)
		want    string
	}{
		"right":                     {signed(t, host, "kms", home, tenantRoot, now), nil, ""},
		"of another secret":         {signed(t, host, "kms", home, wrong, now), nil, "InvalidSignatureException"},
		"of another region":         {signed(t, host, "kms", "eu-west-1", tenantRoot, now), nil, "InvalidSignatureException"},
		"of another service":        {signed(t, host, "s3", home, tenantRoot, now), nil, "InvalidSignatureException"},
		"four minutes old":          {signed(t, host, "kms", home, tenantRoot, now.Add(-4*time.Minute)), nil, ""},
		"six minutes old":           {signed(t, host, "kms", home, tenantRoot, now.Add(-6*time.Minute)), nil, "InvalidSignatureException"},
		"six minutes early":         {signed(t, host, "kms", home, tenantRoot, now.Add(6*time.Minute)), nil, "InvalidSignatureException"},
		"of another body":           {signed(t, host, "kms", home, tenantRoot, now), func(r *http.Request) { r.Body = http.NoBody }, "InvalidSignatureException"},
		"of another header":         {signed(t, host, "kms", home, tenantRoot, now), func(r *http.Request) { r.Header.Set("X-Amz-Target", "TrentService.ListAliases") }, "InvalidSignatureException"},
		"with a token of one's own": {signed(t, host, "kms", home, tenantRoot, now), func(r *http.Request) { r.Header.Set("X-Amz-Security-Token", "x") }, "UnrecognizedClientException"},
		"of nobody":                 {signed(t, host, "kms", home, awscloud.Keys{AccessKeyID: "AKIANOBODY0000000000", SecretAccessKey: "s"}, now), nil, "UnrecognizedClientException"},
		"missing":                   {signed(t, host, "kms", home, tenantRoot, now), func(r *http.Request) { r.Header.Del("Authorization") }, "MissingAuthenticationTokenException"},
		"of another kind":           {signed(t, host, "kms", home, tenantRoot, now), func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }, "IncompleteSignatureException"},
		"of an account elsewhere":   {signed(t, "kms.cn-north-1.amazonaws.com.cn", "kms", "cn-north-1", tenantRoot, now), nil, "UnrecognizedClientException"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if c.tamper != nil {
				c.tamper(c.request)
			}
			rec := httptest.NewRecorder()
			w.handler.ServeHTTP(rec, c.request)
			if c.want == "" && rec.Code != http.StatusOK || c.want != "" && !strings.Contains(rec.Body.String(), `"`+c.want+`"`) {
				t.Errorf("answers %d %s, want %q", rec.Code, rec.Body, c.want)
			}
		})
	}
}

func TestSignatures_fail_in_the_words_of_IAM_and_STS(t *testing.T) {
	w := newWorld(t)
	for want, keys := range map[string]awscloud.Keys{
		"SignatureDoesNotMatch": {AccessKeyID: tenantRoot.AccessKeyID, SecretAccessKey: "wrong"},
		"InvalidClientTokenId":  {AccessKeyID: "AKIANOBODY0000000000", SecretAccessKey: "s"},
	} {
		_, err := w.sts(keys).GetCallerIdentity(w.ctx(), nil)
		wantCode(t, "STS", err, want)
		_, err = w.iam(keys).ListRoles(w.ctx(), &iam.ListRolesInput{})
		wantCode(t, "IAM", err, want)
	}
}

func TestAlias_names_the_host_that_a_loopback_request_meant(t *testing.T) {
	for want, scope := range map[string][2]string{
		"kms.us-east-1.amazonaws.com":      {"kms", "us-east-1"},
		"kms.cn-north-1.amazonaws.com.cn":  {"kms", "cn-north-1"},
		"sts.eu-west-1.amazonaws.com":      {"sts", "eu-west-1"},
		"iam.amazonaws.com":                {"iam", "us-east-1"},
		"iam.us-gov.amazonaws.com":         {"iam", "us-gov-west-1"},
		"ec2.ap-southeast-2.amazonaws.com": {"ec2", "ap-southeast-2"},
		"":                                 {"kms", "nowhere"},
	} {
		r := signed(t, "127.0.0.1:8081", scope[0], scope[1], tenantRoot, time.Now())
		if got := awscloud.Alias(r); got != want {
			t.Errorf("%v is %q, want %q", scope, got, want)
		}
	}
	if got := awscloud.Alias(httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1/", nil)); got != "" {
		t.Errorf("an unsigned request is for %q", got)
	}
}

func TestHosts_of_other_partitions_are_served(t *testing.T) {
	china := awscloud.Keys{AccessKeyID: "AKIACHINA00000000000", SecretAccessKey: "s"}
	w := newWorld(t, func(cfg *awscloud.Config) {
		cfg.Accounts = append(cfg.Accounts, awscloud.Account{ID: "444455556666", Partition: "aws-cn", Root: china})
	})
	out := must(w.kmsIn("cn-north-1", china).CreateKey(w.ctx(), &kms.CreateKeyInput{}))(t)
	if !strings.HasPrefix(*out.KeyMetadata.Arn, "arn:aws-cn:kms:cn-north-1:444455556666:key/") {
		t.Errorf("the key is %s", *out.KeyMetadata.Arn)
	}
	cfg := w.config(china)
	cfg.Region = "cn-north-1"
	user := must(iam.NewFromConfig(cfg).CreateUser(w.ctx(), &iam.CreateUserInput{UserName: aws.String("u")}))(t).User
	if *user.Arn != "arn:aws-cn:iam::444455556666:user/u" {
		t.Errorf("the user is %s", *user.Arn)
	}
}

func TestTheSDKWorksOverTheNetwork(t *testing.T) {
	w := newWorld(t)
	server := httptest.NewServer(w.handler)
	t.Cleanup(server.Close)
	w.transport = pocket.Redirect(server.Listener.Addr().String())
	c, key := w.kms(tenantRoot), w.newKey()
	wantCode(t, "decrypt over loopback", decrypt(w, c, key, must(encrypt(w, c, key))(t)), "")
}

func FuzzAuthorization(f *testing.F) {
	f.Add("AWS4-HMAC-SHA256 Credential=AKIA/20260101/us-east-1/kms/aws4_request, SignedHeaders=host;x-amz-date, Signature=00")
	f.Add("AWS4-HMAC-SHA256 Credential=AKIATENANTROOT000000/20260101/us-east-1/sts/aws4_request, SignedHeaders=, Signature=")
	f.Add("AWS4-HMAC-SHA256 Credential=////aws4_request,Signature==")
	w := newWorld(f)
	f.Fuzz(func(t *testing.T, header string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1/", strings.NewReader("Action=GetCallerIdentity"))
		r.Header.Set("Authorization", header)
		r.Header.Set("X-Amz-Date", time.Now().UTC().Format("20060102T150405Z"))
		rec := httptest.NewRecorder()
		w.handler.ServeHTTP(rec, r)
		if rec.Code == http.StatusOK {
			t.Errorf("%q was accepted", header)
		}
	})
}
