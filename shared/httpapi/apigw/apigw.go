// Package apigw puts an HTTP API behind an API Gateway REST API: it turns the events of a Lambda
// proxy integration into HTTP requests and back.
//
// Its invariant: who the caller is, where the request came from and which host it was sent to
// are taken from what the gateway says in the request context, never from what the client says
// in a header.
package apigw

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/aws-lambda-go/events"

	"latchkey/shared/httpapi/lambdahttp"
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
	in, err := request(e)
	if err != nil {
		return nil, err
	}
	// A body that is no text reaches the client as bytes only if the API lists its media type as
	// binary; the API here is all JSON.
	out, err := lambdahttp.Serve(ctx, h.next, in)
	if err != nil {
		return nil, err
	}
	return json.Marshal(events.APIGatewayProxyResponse{
		StatusCode: out.Status, MultiValueHeaders: out.Header, Body: out.Body, IsBase64Encoded: out.Base64,
	})
}

func request(e events.APIGatewayProxyRequest) (lambdahttp.Request, error) {
	caller, err := callerOf(e.RequestContext)
	if err != nil {
		return lambdahttp.Request{}, err
	}
	root, path := split(e)
	header := headerOf(e)
	scheme := "https"
	if header.Get("X-Forwarded-Proto") == "http" { // set by the gateway; "http" is the local one
		scheme = "http"
	}
	return lambdahttp.Request{
		ID: e.RequestContext.RequestID, Method: e.HTTPMethod, Path: path, Query: queryOf(e).Encode(), Header: header,
		Host: e.RequestContext.DomainName, Base: scheme + "://" + e.RequestContext.DomainName + root, Caller: caller,
		Body: e.Body, Base64: e.IsBase64Encoded,
	}, nil
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
	if e.Resource == "/" { // the path is the stage or the base path itself, or nothing
		return strings.TrimRight(e.RequestContext.Path, "/"), "/"
	}
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
