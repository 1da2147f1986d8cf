// Package apigw puts an HTTP API behind an API Gateway REST API: it turns the events of a Lambda
// proxy integration into HTTP requests and back.
//
// Its invariant: who the caller is, where the request came from and which host it was sent to
// are taken from what the gateway says in the request context, never from what the client says
// in a header.
package apigw

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"

	"latchkey/shared/httpapi"
	"latchkey/shared/identity"
)

// CallerKey is the member of the authorizer context that holds the caller, as Caller.Encode
// renders it. Routes without an authorizer have none, and their caller is anonymous.
const CallerKey = "caller"

// Handler serves events with an http.Handler. It is a lambda.Handler.
type Handler struct{ next http.Handler }

// New returns a Handler.
func New(next http.Handler) Handler { return Handler{next} }

// Invoke serves one event (payload format 1.0). It fails only for what no API Gateway with our
// authorizer sends; what clients send wrong is answered as HTTP.
func (h Handler) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	var e events.APIGatewayProxyRequest
	if err := json.Unmarshal(payload, &e); err != nil {
		return nil, fmt.Errorf("decode API Gateway event: %w", err)
	}
	if e.HTTPMethod == "" || e.RequestContext.RequestID == "" {
		return nil, errors.New("decode API Gateway event: it has no method or no request id")
	}
	r, err := request(ctx, e)
	if err != nil {
		return nil, err
	}
	w := &recorder{header: http.Header{}}
	h.next.ServeHTTP(w, r)
	w.header.Set(httpapi.RequestIDHeader, e.RequestContext.RequestID)
	return json.Marshal(w.response())
}

func request(ctx context.Context, e events.APIGatewayProxyRequest) (*http.Request, error) {
	caller, err := callerOf(e.RequestContext)
	if err != nil {
		return nil, err
	}
	body, err := bodyOf(e)
	if err != nil {
		return nil, err
	}
	root, path := split(e)
	header := headerOf(e)
	target := &url.URL{Path: path, RawQuery: queryOf(e).Encode()}
	if decoded, err := url.PathUnescape(path); err == nil { // otherwise the API refuses it by its parameters
		target.Path, target.RawPath = decoded, path
	}
	header.Set(httpapi.RequestIDHeader, e.RequestContext.RequestID)
	scheme := "https"
	if header.Get("X-Forwarded-Proto") == "http" { // set by the gateway; "http" is the local one
		scheme = "http"
	}
	ctx = httpapi.WithCaller(ctx, caller)
	ctx = httpapi.WithBase(ctx, scheme+"://"+e.RequestContext.DomainName+root)
	r := &http.Request{
		Method: e.HTTPMethod, URL: target, Host: e.RequestContext.DomainName, Header: header,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: http.NoBody, RemoteAddr: e.RequestContext.Identity.SourceIP, RequestURI: target.RequestURI(),
	}
	if len(body) > 0 {
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	return r.WithContext(ctx), nil
}

// callerOf is who the authorizer says is calling, from where the gateway says.
func callerOf(c events.APIGatewayProxyRequestContext) (identity.Caller, error) {
	var caller identity.Caller
	if encoded, has := c.Authorizer[CallerKey]; has {
		text, ok := encoded.(string)
		if !ok {
			return caller, fmt.Errorf("the authorizer's %s is no string", CallerKey)
		}
		var err error
		if caller, err = identity.DecodeCaller(text); err != nil {
			return caller, fmt.Errorf("decode the authorizer's %s: %w", CallerKey, err)
		}
	}
	caller.RemoteAddress = c.Identity.SourceIP
	return caller, nil
}

// split tells the path that routes know from the root that the API has for clients: the stage,
// or the base path of a custom domain, which stays in the event's path too. The event's
// resource says where the one ends and the other begins.
func split(e events.APIGatewayProxyRequest) (root, path string) {
	path = e.Path
	known := strings.TrimSuffix(e.Resource, "/")
	for name, value := range e.PathParameters {
		known = strings.ReplaceAll(known, "{"+name+"+}", value)
		known = strings.ReplaceAll(known, "{"+name+"}", value)
	}
	if trimmed := strings.TrimSuffix(path, "/"); known != "" && strings.HasSuffix(trimmed, known) {
		path = path[len(trimmed)-len(known):]
	}
	root, ok := strings.CutSuffix(e.RequestContext.Path, path)
	if !ok {
		return "", path
	}
	return strings.TrimRight(root, "/"), path
}

func bodyOf(e events.APIGatewayProxyRequest) ([]byte, error) {
	if !e.IsBase64Encoded {
		return []byte(e.Body), nil
	}
	body, err := base64.StdEncoding.DecodeString(e.Body)
	if err != nil {
		return nil, fmt.Errorf("decode the event's body: %w", err)
	}
	return body, nil
}

func headerOf(e events.APIGatewayProxyRequest) http.Header {
	h := http.Header{}
	for name, value := range e.Headers {
		h.Set(name, value)
	}
	for name, values := range e.MultiValueHeaders {
		h.Del(name)
		for _, v := range values {
			h.Add(name, v)
		}
	}
	return h
}

func queryOf(e events.APIGatewayProxyRequest) url.Values {
	q := url.Values{}
	for name, value := range e.QueryStringParameters {
		q.Set(name, value)
	}
	maps.Copy(q, e.MultiValueQueryStringParameters)
	return q
}

// recorder keeps what a handler answers.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *recorder) Header() http.Header { return w.header }

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

func (w *recorder) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(b)
}

// response renders the answer. A body that is no text goes as base64, which reaches the client
// as bytes only if the API lists its media type as binary; the API here is all JSON.
func (w *recorder) response() events.APIGatewayProxyResponse {
	w.WriteHeader(http.StatusOK)
	resp := events.APIGatewayProxyResponse{
		StatusCode: w.status, MultiValueHeaders: w.header, Body: w.body.String(),
	}
	if !utf8.Valid(w.body.Bytes()) {
		resp.Body, resp.IsBase64Encoded = base64.StdEncoding.EncodeToString(w.body.Bytes()), true
	}
	return resp
}
