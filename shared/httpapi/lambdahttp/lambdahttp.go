// Package lambdahttp is what the adapters of Lambda's HTTP events have in common: it puts what an
// event says into an http.Request, has it served, and renders the answer for an event.
//
// Its invariant: nothing that a client sends makes it fail. What is malformed reaches the API,
// which refuses it; an error means that no gateway of ours made the event.
package lambdahttp

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"unicode/utf8"

	"latchkey/shared/httpapi"
	"latchkey/shared/identity"
)

// Request is what an event says of a request.
type Request struct {
	ID     string // the gateway's, for the log and the answer
	Method string
	Path   string // as the client escaped it
	Query  string // encoded
	Header http.Header
	// Host and Base are where clients reach the API: the name, and the URL of its root.
	Host string
	Base string
	// Caller is who is calling; RemoteAddress is the one that the gateway saw.
	Caller identity.Caller
	// Body is base64 if Base64 says so.
	Body   string
	Base64 bool
}

// Response is what an event's answer consists of. A body that is no text is base64.
type Response struct {
	Status int
	Header http.Header
	Body   string
	Base64 bool
}

// Serve has a request served.
func Serve(ctx context.Context, next http.Handler, in Request) (Response, error) {
	r, err := in.http(ctx)
	if err != nil {
		return Response{}, err
	}
	w := &recorder{header: http.Header{}}
	next.ServeHTTP(w, r)
	w.header.Set(httpapi.RequestIDHeader, in.ID)
	return w.response(), nil
}

func (in Request) http(ctx context.Context) (*http.Request, error) {
	body, err := in.body()
	if err != nil {
		return nil, err
	}
	target := &url.URL{Path: in.Path, RawQuery: in.Query}
	if decoded, err := url.PathUnescape(in.Path); err == nil { // otherwise the API refuses it by its parameters
		target.Path, target.RawPath = decoded, in.Path
	}
	in.Header.Set(httpapi.RequestIDHeader, in.ID)
	r := &http.Request{
		Method: in.Method, URL: target, Host: in.Host, Header: in.Header, RequestURI: target.RequestURI(),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: http.NoBody, RemoteAddr: in.Caller.RemoteAddress,
	}
	if len(body) > 0 {
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	return r.WithContext(httpapi.WithBase(httpapi.WithCaller(ctx, in.Caller), in.Base)), nil
}

func (in Request) body() ([]byte, error) {
	if !in.Base64 {
		return []byte(in.Body), nil
	}
	body, err := base64.StdEncoding.DecodeString(in.Body)
	if err != nil {
		return nil, fmt.Errorf("decode the event's body: %w", err)
	}
	return body, nil
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

func (w *recorder) response() Response {
	w.WriteHeader(http.StatusOK)
	resp := Response{Status: w.status, Header: w.header, Body: w.body.String()}
	if !utf8.Valid(w.body.Bytes()) {
		resp.Body, resp.Base64 = base64.StdEncoding.EncodeToString(w.body.Bytes()), true
	}
	return resp
}
