// Package httpapi is the HTTP side of the API: routes, version negotiation, decoding,
// authorization, rate limits, envelopes, errors and the one log line per request.
//
// A use case package offers its operations as []Route; a function's main package joins the
// routes it serves into one API. Its invariant: no operation runs before its Rule was
// checked, and a denied attempt is recorded.
package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"latchkey/shared/atlas"
	"latchkey/shared/identity"
)

// Route is one operation of the API.
type Route struct {
	// Operation is the operation's name in the public API ("getGroupEncryptionAtRest").
	Operation string
	Method    string
	// Path is the full path with {parameters}: "/api/atlas/v2/groups/{groupId}". The
	// parameters groupId and orgId are checked for their form and scope the Rule.
	Path string
	// Versions that the operation exists at, ascending. nil makes it unversioned
	// (application/json, no Accept needed).
	Versions []atlas.Version
	// Deprecated is what the Deprecation and Sunset headers say by version.
	Deprecated map[atlas.Version]Deprecation
	Rule       identity.Rule
	// Limit is the endpoint set whose token bucket the operation draws from.
	Limit  EndpointSet
	Handle Handler
	// Routine is an operation that comes all the time from everywhere. Its log line is of level DEBUG
	// unless it fails, since lines of it would cost more than it does.
	Routine bool
}

// Deprecation dates an old version, both as HTTP dates (CONTRACT 1.2).
type Deprecation struct{ Deprecation, Sunset string }

// Handler performs an operation for an admitted caller.
type Handler func(ctx context.Context, req *Request) (Response, error)

// Request is what a handler gets to see of an HTTP request.
type Request struct {
	Caller  identity.Caller
	Version atlas.Version
	// Base is the URL of the API's root as the client reaches it, without a trailing slash
	// ("https://keys.example.com/prod"), for links.
	Base  string
	Path  string // below Base, escaped, without a trailing slash
	Query url.Values
	// Header is the request's; hostile like everything else in it.
	Header http.Header
	Body   []byte

	params map[string]string
}

// Param is the value of a path parameter, unescaped.
func (r *Request) Param(name string) string { return r.params[name] }

// GroupID is the {groupId} of the path: 24 hexadecimal digits.
func (r *Request) GroupID() string { return r.params["groupId"] }

// OrgID is the {orgId} of the path: 24 hexadecimal digits.
func (r *Request) OrgID() string { return r.params["orgId"] }

// Link builds the absolute URL of a path below /api/atlas/v2.
func (r *Request) Link(path string) string { return r.Base + "/api/atlas/v2" + path }

// Self is the one-element link list that single objects carry.
func (r *Request) Self(path string) []atlas.Link {
	return []atlas.Link{{Href: r.Link(path), Rel: "self"}}
}

// Response is what an operation answers. Body is marshalled as JSON; nil sends no body.
type Response struct {
	Status int
	Body   any
	Header http.Header
	// Raw answers with Body exactly as it stands, not indented or enveloped (OAuth).
	Raw bool
	// Text answers with plain text instead of Body.
	Text string
}

// OK answers 200 with a body.
func OK(body any) Response { return Response{Status: http.StatusOK, Body: body} }

// Text answers 200 with plain text.
func Text(s string) Response { return Response{Status: http.StatusOK, Text: s} }

// Created answers 201 with a body and its Location.
func Created(body any, location string) Response {
	return Response{Status: http.StatusCreated, Body: body, Header: http.Header{"Location": {location}}}
}

// NoContent answers 204.
func NoContent() Response { return Response{Status: http.StatusNoContent} }

// JSON adapts an operation that reads a body of type B. Unknown members are ignored and null
// means unset, because clients send whole GET bodies back (CONTRACT 1.7).
func JSON[B any](op func(ctx context.Context, req *Request, body B) (Response, error)) Handler {
	return func(ctx context.Context, req *Request) (Response, error) {
		var body B
		if err := Decode(req.Body, &body); err != nil {
			return Response{}, err
		}
		return op(ctx, req, body)
	}
}

// Decode reads a request body into v, which must be a pointer. It returns MALFORMED_JSON for
// what is no JSON, INVALID_JSON for the wrong kind of document, and INVALID_JSON_ATTRIBUTE
// naming the member that has the wrong type.
func Decode(data []byte, v any) error {
	err := json.Unmarshal(data, v)
	if err == nil {
		return nil
	}
	if wrongType, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		if wrongType.Field == "" {
			return atlas.Fail(atlas.InvalidJSON).Because(err)
		}
		return atlas.Fail(atlas.InvalidJSONAttribute, wrongType.Field).Because(err)
	}
	if e, ok := errors.AsType[*atlas.Error](err); ok {
		return e
	}
	return atlas.Fail(atlas.MalformedJSON).Because(err)
}

// trimSlash removes one trailing slash: the documents' own curl lines end in one.
func trimSlash(path string) string {
	if len(path) > 1 {
		return strings.TrimSuffix(path, "/")
	}
	return path
}
