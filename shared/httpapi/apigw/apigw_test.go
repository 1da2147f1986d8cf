package apigw_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/google/go-cmp/cmp"

	"latchkey/shared/httpapi"
	"latchkey/shared/httpapi/apigw"
	"latchkey/shared/identity"
)

var _ lambda.Handler = apigw.Handler{}

// event is a request as API Gateway sends it to the stage "prod".
func event(path string) map[string]any {
	return map[string]any{
		"resource": "/api/{proxy+}", "path": path, "httpMethod": "GET",
		"pathParameters": map[string]any{"proxy": path[len("/api/"):]},
		"requestContext": map[string]any{
			"requestId": "request-1", "path": "/prod" + path, "domainName": "abc.execute-api.us-east-1.amazonaws.com",
			"identity": map[string]any{"sourceIp": "192.0.2.7"},
		},
	}
}

func with(e map[string]any, extra map[string]any) map[string]any {
	e = maps.Clone(e)
	maps.Copy(e, extra)
	return e
}

// seen is what a handler got to see.
type seen struct {
	Method, Path, RawPath, Host, RemoteAddr, Body string
	Query                                         map[string][]string
	Header                                        http.Header
}

func serve(t *testing.T, e map[string]any, answer http.HandlerFunc) (seen, events.APIGatewayProxyResponse, error) {
	t.Helper()
	payload, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var s seen
	out, err := apigw.New(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s = seen{r.Method, r.URL.Path, r.URL.RawPath, r.Host, r.RemoteAddr, string(body), r.URL.Query(), r.Header}
		if answer != nil {
			answer(w, r)
		}
	})).Invoke(t.Context(), payload)
	var resp events.APIGatewayProxyResponse
	if err == nil {
		err = json.Unmarshal(out, &resp)
	}
	return s, resp, err
}

func TestInvoke_makesARequestOfAnEvent(t *testing.T) {
	e := with(event("/api/atlas/v2/a%2Fb%20c/ü+/"), map[string]any{
		"httpMethod":                      "PATCH",
		"headers":                         map[string]any{"accept": "b", "User-Agent": "curl"},
		"multiValueHeaders":               map[string]any{"accept": []any{"a", "b"}, "X-Bad\nName": []any{"v"}},
		"queryStringParameters":           map[string]any{"q": "2"},
		"multiValueQueryStringParameters": map[string]any{"q": []any{"1 &=", "2"}, "ü": []any{"%"}},
		"body":                            "aGk=", "isBase64Encoded": true,
	})
	got, _, err := serve(t, e, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := seen{
		Method: "PATCH", Path: "/api/atlas/v2/a/b c/ü+/", RawPath: "/api/atlas/v2/a%2Fb%20c/ü+/",
		Host: "abc.execute-api.us-east-1.amazonaws.com", RemoteAddr: "192.0.2.7", Body: "hi",
		Query: map[string][]string{"q": {"1 &=", "2"}, "ü": {"%"}},
		Header: http.Header{
			"Accept": {"a", "b"}, "User-Agent": {"curl"}, "X-Bad\nName": {"v"}, "X-Request-Id": {"request-1"},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestInvoke_makesAnEventOfAResponse(t *testing.T) {
	_, resp, err := serve(t, event("/api/x"), func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Add("X-A", "1")
		w.Header().Add("X-A", "2")
		w.WriteHeader(201)
		w.WriteHeader(500)
		io.WriteString(w, `{"ü":1}`) //nolint:errcheck // to memory
	})
	want := events.APIGatewayProxyResponse{
		StatusCode: 201, Body: `{"ü":1}`, MultiValueHeaders: map[string][]string{"X-A": {"1", "2"}, "X-Request-Id": {"request-1"}},
	}
	if diff := cmp.Diff(want, resp); err != nil || diff != "" {
		t.Error(err, diff)
	}
	_, resp, err = serve(t, event("/api/x"), func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte{0xff}) }) //nolint:errcheck // to memory
	if err != nil || resp.StatusCode != 200 || resp.Body != "/w==" || !resp.IsBase64Encoded {
		t.Errorf("bytes: %+v, %v", resp, err)
	}
	if _, resp, err = serve(t, event("/api/x"), nil); err != nil || resp.StatusCode != 200 {
		t.Errorf("nothing: %+v, %v", resp, err)
	}
}

// api is a real API with one operation, which tells who calls and what its links look like.
func api() http.Handler {
	type told struct {
		Caller identity.Caller
		Link   string
	}
	return httpapi.New(httpapi.Config{
		Gate: identity.Gate{}, Now: time.Now, Log: slog.New(slog.DiscardHandler),
	}, []httpapi.Route{{
		Operation: "tell", Method: http.MethodGet, Path: "/api/tell", Rule: identity.Anyone,
		Handle: func(_ context.Context, r *httpapi.Request) (httpapi.Response, error) {
			return httpapi.OK(told{r.Caller, r.Link("/x")}), nil
		},
	}})
}

func tell(t *testing.T, e map[string]any) (caller identity.Caller, link string, err error) {
	t.Helper()
	payload, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	out, err := apigw.New(api()).Invoke(t.Context(), payload)
	if err != nil {
		return caller, "", err
	}
	var resp events.APIGatewayProxyResponse
	if err := json.Unmarshal(out, &resp); err != nil {
		t.Fatal(err)
	}
	var body struct {
		Caller identity.Caller
		Link   string
	}
	if err := json.Unmarshal([]byte(resp.Body), &body); err != nil {
		t.Fatalf("%d %s", resp.StatusCode, resp.Body)
	}
	return body.Caller, body.Link, nil
}

func TestCaller_isWhoTheAuthorizerSays(t *testing.T) {
	e := event("/api/tell")
	e["headers"] = map[string]any{
		"X-Forwarded-For": "10.9.9.9", "Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Request-Id": "forged", "caller": `{"id":"forged"}`,
	}
	caller, link, err := tell(t, e)
	if err != nil || !caller.Anonymous() || caller.RemoteAddress != "192.0.2.7" {
		t.Errorf("without an authorizer: %+v, %v", caller, err)
	}
	if link != "https://abc.execute-api.us-east-1.amazonaws.com/prod/api/atlas/v2/x" {
		t.Errorf("link = %s", link)
	}
	want := identity.Caller{Kind: identity.KindAPIKey, ID: "1", Name: "key", OrgID: "o", RemoteAddress: "10.0.0.1"}
	rc, _ := e["requestContext"].(map[string]any)
	rc["authorizer"] = map[string]any{"caller": want.Encode(), "principalId": "1"}
	want.RemoteAddress = "192.0.2.7" // the gateway knows it first hand
	if caller, _, err = tell(t, e); err != nil || !cmp.Equal(want, caller) {
		t.Errorf("with an authorizer: %v, %v", cmp.Diff(want, caller), err)
	}
}

func TestBase_isTheRootThatClientsUse(t *testing.T) {
	tests := map[string]struct {
		resource, path, contextPath, proto string
		params                             map[string]any
		want                               string
	}{
		"a stage":                       {"/api/{proxy+}", "/api/tell", "/prod/api/tell", "", map[string]any{"proxy": "tell"}, "https://h/prod"},
		"a stage and a trailing slash":  {"/api/{proxy+}", "/api/tell/", "/prod/api/tell/", "", map[string]any{"proxy": "tell"}, "https://h/prod"},
		"a stage and two slashes":       {"/api/{proxy+}", "/api/tell", "/prod//api/tell", "", map[string]any{"proxy": "tell"}, "https://h/prod"},
		"a custom domain":               {"/api/{proxy+}", "/api/tell", "/api/tell", "", map[string]any{"proxy": "tell"}, "https://h"},
		"a base path of its own":        {"/api/{proxy+}", "/keys/api/tell", "/keys/api/tell", "", map[string]any{"proxy": "tell"}, "https://h/keys"},
		"a fixed path under a base":     {"/api/tell", "/keys/api/tell/", "/keys/api/tell/", "", nil, "https://h/keys"},
		"a context that does not match": {"/api/{proxy+}", "/api/tell", "/other", "", map[string]any{"proxy": "x"}, "https://h"},
		"one machine":                   {"/api/{proxy+}", "/api/tell", "/api/tell", "http", map[string]any{"proxy": "tell"}, "http://h"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, link, err := tell(t, map[string]any{
				"resource": tt.resource, "path": tt.path, "httpMethod": "GET", "pathParameters": tt.params,
				"headers":        map[string]any{"X-Forwarded-Proto": tt.proto},
				"requestContext": map[string]any{"requestId": "r", "path": tt.contextPath, "domainName": "h"},
			})
			if want := tt.want + "/api/atlas/v2/x"; err != nil || link != want {
				t.Errorf("link = %s, want %s; %v", link, want, err)
			}
		})
	}
}

func TestInvoke_failsForWhatNoGatewayOfOursSends(t *testing.T) {
	noID := event("/api/x")
	noID["requestContext"] = map[string]any{}
	badCaller := func(caller any) map[string]any {
		e := event("/api/x")
		rc, _ := e["requestContext"].(map[string]any)
		rc["authorizer"] = map[string]any{"caller": caller}
		return e
	}
	for name, e := range map[string]map[string]any{
		"no method":                  with(event("/api/x"), map[string]any{"httpMethod": ""}),
		"no request id":              noID,
		"a caller that is no string": badCaller(7),
		"a caller that is no caller": badCaller("root"),
		"a body that is no base64":   with(event("/api/x"), map[string]any{"body": "?", "isBase64Encoded": true}),
		"headers of the wrong type":  with(event("/api/x"), map[string]any{"headers": []any{}}),
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := serve(t, e, func(http.ResponseWriter, *http.Request) { t.Error("the handler was called") }); err == nil {
				t.Error("no error")
			}
		})
	}
}

func TestInvoke_leavesABrokenPathToTheAPI(t *testing.T) {
	got, _, err := serve(t, event("/api/%zz"), nil)
	if err != nil || got.Path != "/api/%zz" || got.RawPath != "" {
		t.Errorf("path = %q, raw %q, %v", got.Path, got.RawPath, err)
	}
}

func FuzzInvoke(f *testing.F) {
	f.Add("GET", "/api/x", "/prod/api/x", "x", "name", "value", "body", false)
	f.Add("get", "//%2f%zz", "", "{proxy+}", "\x00", "\r\nA: b", "\xff", true)
	f.Fuzz(func(t *testing.T, method, path, contextPath, proxy, name, value, body string, encoded bool) {
		payload, err := json.Marshal(map[string]any{
			"resource": "/api/{proxy+}", "path": path, "httpMethod": method, "pathParameters": map[string]any{"proxy": proxy},
			"headers": map[string]any{name: value}, "queryStringParameters": map[string]any{name: value},
			"body": body, "isBase64Encoded": encoded,
			"requestContext": map[string]any{"requestId": "r", "path": contextPath, "domainName": "h"},
		})
		if err != nil {
			t.Fatal(err)
		}
		out, err := apigw.New(api()).Invoke(t.Context(), payload)
		if err != nil {
			return
		}
		var resp events.APIGatewayProxyResponse
		if err := json.Unmarshal(out, &resp); err != nil || !utf8.ValidString(resp.Body) || resp.StatusCode < 200 {
			t.Errorf("answer %s: %v", out, err)
		}
		if !slices.Equal(resp.MultiValueHeaders["X-Request-Id"], []string{"r"}) {
			t.Errorf("request id = %v", resp.MultiValueHeaders)
		}
	})
}

// The root of the API is the stage, or the base path of a custom domain, with or without a slash.
func TestInvoke_findsTheRootOfTheAPI(t *testing.T) {
	for asked, want := range map[string]string{"/": "", "/prod": "/prod", "/prod/": "/prod", "/base": "/base"} {
		e := with(event("/api/x"), map[string]any{"resource": "/", "path": asked, "pathParameters": nil})
		e["requestContext"] = with(e["requestContext"].(map[string]any), map[string]any{"path": asked})
		var base string
		s, _, err := serve(t, e, func(_ http.ResponseWriter, r *http.Request) { base = httpapi.BaseOf(r.Context()) })
		if err != nil || s.Path != "/" || base != "https://abc.execute-api.us-east-1.amazonaws.com"+want {
			t.Errorf("%s: path %q below %q, %v", asked, s.Path, base, err)
		}
	}
}
