package gateway_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"latchkey/local/gateway"
	"latchkey/local/lambdasvc"
	"latchkey/local/template"
)

// sample is an API with what the deployed one does not have: methods, and no authorizer.
const sample = `
Resources:
  Api:
    Type: AWS::Serverless::Api
    Properties:
      StageName: s
      GatewayResponses:
        MISSING_AUTHENTICATION_TOKEN:
          ResponseParameters:
            Headers:
              X-Static: "'it is'"
              X-Method: method.request.header.X-Asked
              X-Query: method.request.querystring.q
              X-None: context.authorizer.nothing
              X-Stage: context.stage
          ResponseTemplates:
            application/json: '{"m":$context.error.messageString,"t":"$context.error.responseType","s":"$context.stage.","n":"$context.nothing"}'
  MeFunction:
    Type: AWS::Serverless::Function
    Properties:
      Events:
        A: {Type: Api, Properties: {RestApiId: !Ref Api, Path: /users/me, Method: patch}}
  UserFunction:
    Type: AWS::Serverless::Function
    Properties:
      Events:
        A: {Type: Api, Properties: {RestApiId: !Ref Api, Path: "/users/{id}", Method: GET}}
        B: {Type: Api, Properties: {RestApiId: !Ref Api, Path: "/users/{id}/keys", Method: ANY}}
        C: {Type: ScheduleV2, Properties: {ScheduleExpression: rate(1 minute)}}
  RestFunction:
    Type: AWS::Serverless::Function
    Properties:
      Events:
        A: {Type: Api, Properties: {RestApiId: !Ref Api, Path: "/{proxy+}", Method: POST}}
        B: {Type: Api, Properties: {RestApiId: !Ref Api, Path: /, Method: GET}}
`

func parse(t *testing.T, body string) *template.Template {
	t.Helper()
	tmpl, err := template.Parse([]byte(body), template.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return tmpl
}

// The cases are those that were measured on a real REST API (docs/gateway.md).
func TestMatch_looksForPathAndMethodTogether(t *testing.T) {
	spec, err := gateway.ReadSpec(parse(t, sample))
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]string{
		"PATCH /users/me":    "MeFunction",
		"GET /users/me":      "UserFunction",
		"POST /users/me":     "RestFunction",
		"PUT /users/me":      "",
		"GET /users/5":       "UserFunction",
		"PUT /users/5/keys/": "UserFunction",
		"POST /users/5/x":    "RestFunction",
		"POST /users":        "RestFunction",
		"GET /users":         "",
		"GET /users/":        "",
		"GET /":              "RestFunction",
		"POST /":             "",
	}
	for request, want := range tests {
		method, path, _ := strings.Cut(request, " ")
		if r, _, _ := spec.Match(method, path); r.Function != want {
			t.Errorf("%s leads to %q, want %q", request, r.Function, want)
		}
	}
}

func TestGatewayResponse_fillsInVariables(t *testing.T) {
	fn := lambdasvc.Function{}
	g, err := gateway.New(gateway.Config{
		Template: parse(t, sample), Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Functions: map[string]lambdasvc.Invoker{"MeFunction": fn, "UserFunction": fn, "RestFunction": fn},
	})
	if err != nil {
		t.Fatal(err)
	}
	rec := get(g, "/nowhere?q=a%0db", "X-Asked", "b")
	want := `{"m":"Missing Authentication Token","t":"MISSING_AUTHENTICATION_TOKEN","s":"s.","n":""}`
	if rec.Code != http.StatusForbidden || rec.Body.String() != want {
		t.Errorf("answer = %d %s", rec.Code, rec.Body)
	}
	for name, want := range map[string]string{"X-Static": "it is", "X-Method": "b", "X-Query": "a b", "X-Stage": "s"} {
		if got := rec.Header().Get(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if _, has := rec.Header()["X-None"]; has {
		t.Error("a header was made of a variable that is not there")
	}
}

func TestGatewayResponse_thatTheTemplateLacksIsTheBuiltInOne(t *testing.T) {
	fn := lambdasvc.Function{Handler: handler(nil)}
	g, err := gateway.New(gateway.Config{
		Template: parse(t, sample), Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Functions: map[string]lambdasvc.Invoker{"MeFunction": fn, "UserFunction": fn, "RestFunction": fn},
	})
	if err != nil {
		t.Fatal(err)
	}
	rec := get(g, "/users/1") // its handler panics
	if rec.Code != http.StatusBadGateway || rec.Body.String() != `{"message":"Internal server error"}` {
		t.Errorf("answer = %d %s", rec.Code, rec.Body)
	}
}

func TestReadSpec_refusesWhatItWouldGetWrong(t *testing.T) {
	authorizer := func(identity string) string {
		return strings.Replace(sample, "StageName: s", `StageName: s
      Auth:
        DefaultAuthorizer: A
        Authorizers: {A: {FunctionArn: !GetAtt MeFunction.Arn, FunctionPayloadType: REQUEST, Identity: `+identity+`}}`, 1)
	}
	tests := map[string]string{
		"no API":             "Resources: {}",
		"a cache":            authorizer("{ReauthorizeEvery: 60}"),
		"the default cache":  authorizer("{}"),
		"an identity source": authorizer("{ReauthorizeEvery: 0, Headers: [Authorization]}"),
		"a token authorizer": strings.Replace(authorizer("{ReauthorizeEvery: 0}"), "REQUEST", "TOKEN", 1),
		"a missing authorizer": strings.Replace(authorizer("{ReauthorizeEvery: 0}"),
			"DefaultAuthorizer: A", "DefaultAuthorizer: B", 1),
		"a foreign API": strings.Replace(sample, "RestApiId: !Ref Api", "RestApiId: other", 1),
	}
	for name, body := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := gateway.ReadSpec(parse(t, body)); err == nil {
				t.Error("it was accepted")
			}
		})
	}
	if _, err := gateway.ReadSpec(parse(t, authorizer("{ReauthorizeEvery: 0}"))); err != nil {
		t.Error(err)
	}
}

func FuzzServeHTTP(f *testing.F) {
	f.Add("GET", "/api/atlas/v2/groups/x/encryptionAtRest", "a=%41&b", "Digest x", `{"statusCode":200,"body":"x"}`)
	f.Add("POST", "//api//%2f/%zz", "|{}", "\x00", `{"headers":{"A":"b\n"}}`)
	var answer string
	w := &world{adminapi: func(context.Context, map[string]any) (any, error) { return answer, nil }}
	h := w.openTemplate(f, "../../template.yaml")
	f.Fuzz(func(t *testing.T, method, path, query, header, returned string) {
		answer = returned
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Method, r.URL.Path, r.URL.RawQuery = method, path, query
		r.Header["Authorization"] = []string{header}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		for name, values := range rec.Header() {
			for _, v := range values {
				if strings.ContainsAny(name+v, "\r\n\x00") {
					t.Errorf("the header %q: %q reached the client", name, v)
				}
			}
		}
	})
}
