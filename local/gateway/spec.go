package gateway

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"latchkey/local/template"
)

// Spec is the API that a template describes.
type Spec struct {
	// Routes are ordered from the most to the least specific.
	Routes []Route
	// Authorizer is the logical id of the function that guards the routes that are not Open.
	Authorizer string
	Responses  map[string]Response // by type: "ACCESS_DENIED"
	Stage      string
}

// Route leads requests to a function.
type Route struct {
	Method   string // "ANY" is every method
	Path     string // "/api/atlas/v2/groups/{groupId}/encryptionAtRest/{proxy+}"
	Function string // logical id
	Open     bool   // no authorizer
}

// Response is a gateway response: what the gateway answers in the place of a function.
type Response struct {
	Status    string
	Headers   map[string]string // values are mapping expressions: 'static' or context.authorizer.key
	Templates map[string]string // by media type
}

// apiProperties are the properties of an AWS::Serverless::Api that are read here.
type apiProperties struct {
	StageName string
	Auth      struct {
		DefaultAuthorizer string
		Authorizers       map[string]struct {
			FunctionArn         string
			FunctionPayloadType string
			Identity            struct {
				ReauthorizeEvery *int
				Headers          []string
				QueryStrings     []string
				StageVariables   []string
				Context          []string
			}
		}
	}
	GatewayResponses map[string]struct {
		StatusCode         string
		ResponseParameters struct{ Headers map[string]string }
		ResponseTemplates  map[string]string
	}
}

// eventProperties are the properties of an event of type Api.
type eventProperties struct {
	RestAPIID string `json:"RestApiId"`
	Path      string
	Method    string
	Auth      struct{ Authorizer string }
}

// ReadSpec reads the one AWS::Serverless::Api of a template and the events that refer to it.
func ReadSpec(t *template.Template) (Spec, error) {
	apis := t.OfType("AWS::Serverless::Api")
	if len(apis) != 1 {
		return Spec{}, fmt.Errorf("gateway: the template has %d APIs, not one", len(apis))
	}
	var p apiProperties
	if err := apis[0].Decode(&p); err != nil {
		return Spec{}, fmt.Errorf("gateway: %w", err)
	}
	spec := Spec{Stage: p.StageName, Responses: map[string]Response{}}
	for kind, r := range p.GatewayResponses {
		spec.Responses[kind] = Response{
			Status: r.StatusCode, Headers: r.ResponseParameters.Headers, Templates: r.ResponseTemplates,
		}
	}
	var err error
	if spec.Authorizer, err = readAuthorizer(p); err != nil {
		return Spec{}, err
	}
	spec.Routes, err = readRoutes(t, apis[0].ID, spec.Authorizer != "")
	return spec, err
}

// readAuthorizer returns the logical id of the default authorizer, "" if there is none.
func readAuthorizer(p apiProperties) (string, error) {
	if p.Auth.DefaultAuthorizer == "" {
		return "", nil
	}
	a, ok := p.Auth.Authorizers[p.Auth.DefaultAuthorizer]
	if !ok {
		return "", fmt.Errorf("gateway: there is no authorizer %s", p.Auth.DefaultAuthorizer)
	}
	if a.FunctionPayloadType != "REQUEST" {
		return "", errors.New("gateway: only authorizers of the type REQUEST are known here")
	}
	id := a.Identity
	sources := len(id.Headers) + len(id.QueryStrings) + len(id.StageVariables) + len(id.Context)
	if id.ReauthorizeEvery == nil || *id.ReauthorizeEvery != 0 || sources > 0 {
		return "", errors.New("gateway: only authorizers without identity sources and without a cache are known here")
	}
	return a.FunctionArn[strings.LastIndex(a.FunctionArn, ":")+1:], nil
}

// readRoutes returns the routes of an API from the most to the least specific.
func readRoutes(t *template.Template, api string, guarded bool) ([]Route, error) {
	var routes []Route
	functions, err := t.Functions()
	if err != nil {
		return nil, err
	}
	for _, f := range functions {
		for _, e := range f.Events {
			if e.Type != "Api" {
				continue
			}
			var p eventProperties
			if err := e.Decode(&p); err != nil {
				return nil, fmt.Errorf("gateway: %s: %w", f.ID, err)
			}
			if p.RestAPIID != api {
				return nil, fmt.Errorf("gateway: %s: the event %s belongs to no API here", f.ID, e.Name)
			}
			routes = append(routes, Route{
				Method: strings.ToUpper(p.Method), Path: p.Path, Function: f.ID,
				Open: !guarded || p.Auth.Authorizer == "NONE",
			})
		}
	}
	slices.SortStableFunc(routes, moreSpecific)
	return routes, nil
}
