// Package functionurl puts an HTTP API behind a Lambda function URL: it turns the URL's events
// (payload format 2.0) into HTTP requests and back.
//
// Its invariant: where a request came from and which host it was sent to are taken from what
// Lambda says in the request context, never from what the client says in a header. Nobody is
// authenticated by a URL without IAM, so every caller is anonymous.
//
// Like API Gateway, function URLs answer with another name for a WWW-Authenticate header that a
// function returns (x-amzn-Remapped-WWW-Authenticate). So what is served here must not need a
// challenge; bearer tokens don't.
package functionurl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/aws-lambda-go/events"

	"latchkey/shared/httpapi/lambdahttp"
	"latchkey/shared/identity"
)

// Handler serves events with an http.Handler. It is a lambda.Handler.
type Handler struct{ next http.Handler }

// New returns a Handler.
func New(next http.Handler) Handler { return Handler{next} }

// Invoke serves one event. It fails only for what no function URL sends; what clients send wrong
// is answered as HTTP.
func (h Handler) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	var e events.LambdaFunctionURLRequest
	if err := json.Unmarshal(payload, &e); err != nil {
		return nil, fmt.Errorf("decode function URL event: %w", err)
	}
	if e.RequestContext.HTTP.Method == "" || e.RequestContext.RequestID == "" {
		return nil, errors.New("decode function URL event: it has no method or no request id")
	}
	out, err := lambdahttp.Serve(ctx, h.next, request(e))
	if err != nil {
		return nil, err
	}
	return json.Marshal(response(out))
}

func request(e events.LambdaFunctionURLRequest) lambdahttp.Request {
	from := e.RequestContext
	return lambdahttp.Request{
		ID: from.RequestID, Method: from.HTTP.Method, Path: e.RawPath, Query: e.RawQueryString, Header: headerOf(e),
		Host: from.DomainName, Base: "https://" + from.DomainName, Caller: identity.Caller{RemoteAddress: from.HTTP.SourceIP},
		Body: e.Body, Base64: e.IsBase64Encoded,
	}
}

// headerOf puts cookies back where they came from. Headers that came more than once are already
// joined by commas.
func headerOf(e events.LambdaFunctionURLRequest) http.Header {
	h := http.Header{}
	for name, value := range e.Headers {
		h.Set(name, value)
	}
	if len(e.Cookies) > 0 {
		h.Set("Cookie", strings.Join(e.Cookies, "; "))
	}
	return h
}

// response renders an answer. The format has one value per header, and cookies beside them: theirs
// is the one header whose values can't be joined.
func response(out lambdahttp.Response) events.LambdaFunctionURLResponse {
	resp := events.LambdaFunctionURLResponse{
		StatusCode: out.Status, Headers: map[string]string{}, Body: out.Body, IsBase64Encoded: out.Base64, Cookies: out.Header.Values("Set-Cookie"),
	}
	for name, values := range out.Header {
		if name != "Set-Cookie" {
			resp.Headers[name] = strings.Join(values, ", ")
		}
	}
	return resp
}
