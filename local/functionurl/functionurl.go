// Package functionurl serves a function by HTTP as a Lambda function URL without IAM does: it
// makes events (payload format 2.0) of requests, and answers with what the function returns.
//
// Its invariant: what a client says in headers cannot change what the event says of where the
// request came from. Behaviour follows AWS's documentation (urls-invocation); what that leaves
// open is as API Gateway's HTTP APIs do it, whose format this is.
package functionurl

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"

	"latchkey/local/lambdasvc"
)

// URL is the URL of one function. It is an http.Handler.
type URL struct {
	function lambdasvc.Function
	now      func() time.Time
	log      *slog.Logger
}

// New returns the URL of a function.
func New(f lambdasvc.Function, now func() time.Time, log *slog.Logger) *URL {
	return &URL{function: f, now: now, log: log}
}

// maxBody is the limit of an invocation's payload; what base64 and the rest of the event add is
// left to the function's own limit.
const maxBody = lambdasvc.MaxPayload

// ServeHTTP invokes the function.
func (u *URL) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		refuse(w, http.StatusRequestEntityTooLarge, "RequestEntityTooLargeException", "Request Too Long")
		return
	}
	if err != nil {
		return // the client has gone
	}
	id := lambdasvc.RequestID(r.Context())
	payload, err := json.Marshal(u.event(r, body, id))
	if err == nil {
		payload, err = u.function.Invoke(lambdasvc.WithRequestID(r.Context(), id), payload)
	}
	w.Header().Set("X-Amzn-Requestid", id)
	if err == nil {
		err = relay(w, payload)
	}
	if err != nil {
		u.failed(r.Context(), w, err)
	}
}

// failed answers for a function that failed, or whose answer is no HTTP response.
func (u *URL) failed(ctx context.Context, w http.ResponseWriter, err error) {
	if e, ok := errors.AsType[*lambdasvc.Error](err); ok && e.Type == "RequestTooLargeException" {
		refuse(w, http.StatusRequestEntityTooLarge, "RequestEntityTooLargeException", "Request Too Long")
		return
	}
	u.log.ErrorContext(ctx, "function failed", slog.String("function", u.function.Name), slog.String("error", err.Error()))
	refuse(w, http.StatusBadGateway, "InternalServerErrorException", "Internal Server Error")
}

func refuse(w http.ResponseWriter, status int, kind, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Amzn-Errortype", kind)
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{"Message": message}) //nolint:errcheck // the client is gone; there is nobody to tell
}

// event is the SDK's event with the members that are only placeholders.
type event struct {
	RouteKey string `json:"routeKey"`
	events.LambdaFunctionURLRequest
	RequestContext requestContext `json:"requestContext"` // hides the embedded one
}

type requestContext struct {
	RouteKey string `json:"routeKey"`
	Stage    string `json:"stage"`
	events.LambdaFunctionURLRequestContext
}

// noRoute is what a function URL puts where an HTTP API has a route and a stage.
const noRoute = "$default"

func (u *URL) event(r *http.Request, body []byte, id string) event {
	received := u.now().UTC()
	e := event{
		RouteKey: noRoute,
		LambdaFunctionURLRequest: events.LambdaFunctionURLRequest{
			Version: "2.0", RawPath: r.URL.EscapedPath(), RawQueryString: r.URL.RawQuery, Cookies: cookies(r.Header),
			Headers: headers(r, id), QueryStringParameters: query(r.URL.RawQuery),
		},
		RequestContext: requestContext{
			RouteKey: noRoute, Stage: noRoute,
			LambdaFunctionURLRequestContext: events.LambdaFunctionURLRequestContext{
				// Without IAM the caller is anonymous. The name has a port here, so that links can be followed.
				AccountID: "anonymous", RequestID: id, APIID: u.function.Name, DomainName: r.Host, DomainPrefix: u.function.Name,
				Time: received.Format("02/Jan/2006:15:04:05 -0700"), TimeEpoch: received.UnixMilli(),
				HTTP: events.LambdaFunctionURLRequestContextHTTPDescription{
					Method: r.Method, Path: r.URL.EscapedPath(), Protocol: r.Proto, SourceIP: sourceIP(r), UserAgent: r.UserAgent(),
				},
			},
		},
	}
	if isText(r.Header.Get("Content-Type")) && utf8.Valid(body) {
		e.Body = string(body)
	} else {
		e.Body, e.IsBase64Encoded = base64.StdEncoding.EncodeToString(body), len(body) > 0
	}
	return e
}

// isText reports whether a body of this type is put into an event as it is.
func isText(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && (strings.HasPrefix(media, "text/") ||
		slices.Contains([]string{"application/json", "application/xml", "application/javascript"}, media))
}

func sourceIP(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// cookies are all cookies of a request, which its event has apart from its headers.
func cookies(h http.Header) []string {
	var all []string
	for _, line := range h.Values("Cookie") {
		for one := range strings.SplitSeq(line, ";") {
			if one = strings.TrimSpace(one); one != "" {
				all = append(all, one)
			}
		}
	}
	return all
}

// dropped are the request headers that never reach a function.
var dropped = []string{"Connection", "Cookie", "Expect", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

// headers are the request's, in lower case and joined, and those that the URL adds.
func headers(r *http.Request, id string) map[string]string {
	all := r.Header.Clone()
	for _, name := range dropped {
		all.Del(name)
	}
	all.Set("Host", r.Host)
	all.Set("X-Amzn-Trace-Id", "Root="+id)
	all.Set("X-Forwarded-For", strings.Join(append(r.Header.Values("X-Forwarded-For"), sourceIP(r)), ","))
	all.Set("X-Forwarded-Proto", "https")
	all.Set("X-Forwarded-Port", "443")
	joined := map[string]string{}
	for name, values := range all {
		joined[strings.ToLower(name)] = strings.Join(values, ",")
	}
	return joined
}

// query decodes a query string; parameters that come more than once are joined.
func query(raw string) map[string]string {
	var joined map[string]string
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, value = unescape(name), unescape(value)
		if joined == nil {
			joined = map[string]string{}
		}
		if before, more := joined[name]; more {
			value = before + "," + value
		}
		joined[name] = value
	}
	return joined
}

func unescape(s string) string {
	if decoded, err := url.QueryUnescape(s); err == nil {
		return decoded
	}
	return s
}
