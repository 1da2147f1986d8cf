package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/local/gateway"
	"latchkey/local/lambdasvc"
	"latchkey/local/template"
)

const project = "/api/atlas/v2/groups/32b6e34b3d91647abb20e7b8"

// handler is a function of a test.
type handler func(ctx context.Context, event map[string]any) (any, error)

func (h handler) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	var event map[string]any
	if err := json.Unmarshal(payload, &event); err != nil {
		return nil, err
	}
	out, err := h(ctx, event)
	if err != nil {
		return nil, err
	}
	if raw, ok := out.(string); ok {
		return []byte(raw), nil
	}
	return json.Marshal(out)
}

func policy(effect, resource string, authContext map[string]any) map[string]any {
	return map[string]any{
		"principalId": "somebody",
		"policyDocument": map[string]any{
			"Version":   "2012-10-17",
			"Statement": []any{map[string]any{"Action": "execute-api:Invoke", "Effect": effect, "Resource": resource}},
		},
		"context": authContext,
	}
}

func allow(_ context.Context, e map[string]any) (any, error) {
	arn, _ := e["methodArn"].(string)
	return policy("Allow", arn, map[string]any{"caller": "{}", "number": 7, "flag": true}), nil
}

// world is the deployed template with functions of the test.
type world struct {
	authorizer, adminapi, encryption handler
	adminEvent, encryptionEvent      map[string]any
	authorizerEvent, consoleEvent    map[string]any
}

func (w *world) open(t *testing.T) http.Handler {
	t.Helper()
	return w.openTemplate(t, "../../template.yaml")
}

func (w *world) openTemplate(t testing.TB, path string) http.Handler {
	t.Helper()
	tmpl, err := template.Load(path, template.Options{})
	if err != nil {
		t.Fatal(err)
	}
	keep := func(into *map[string]any, h handler) lambdasvc.Invoker {
		return handler(func(ctx context.Context, e map[string]any) (any, error) {
			*into = e
			if h == nil {
				return map[string]any{"statusCode": 200, "body": "{}"}, nil
			}
			return h(ctx, e)
		})
	}
	if w.authorizer == nil {
		w.authorizer = allow
	}
	g, err := gateway.New(gateway.Config{
		Template: tmpl, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Functions: map[string]lambdasvc.Invoker{
			"AuthorizerFunction": keep(&w.authorizerEvent, w.authorizer),
			"AdminApiFunction":   keep(&w.adminEvent, w.adminapi),
			"EncryptionFunction": keep(&w.encryptionEvent, w.encryption),
			"ConsoleFunction":    keep(&w.consoleEvent, nil),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func get(h http.Handler, target string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec
}

func TestRoutes_leadToTheFunctionThatTheTemplateNames(t *testing.T) {
	tests := map[string]string{
		project + "/encryptionAtRest":                                   "encryption",
		project + "/encryptionAtRest/":                                  "encryption",
		project + "/encryptionAtRest/AWS/privateEndpoints":              "encryption",
		"/" + project + "/encryptionAtRest":                             "encryption",
		project + "/cloudProviderAccess/x":                              "encryption",
		strings.Replace(project, "v2", "v1.0", 1) + "/encryptionAtRest": "encryption",
		strings.Replace(project, "v2", "v1.0", 1) + "/clusters":         "adminapi",
		project:                                        "adminapi",
		project + "/clusters/encryptionAtRest":         "adminapi",
		project + "/%65ncryptionAtRest":                "adminapi",
		"/api/atlas/v2/groups//encryptionAtRest":       "adminapi", // a variable is never empty
		"/api/atlas/v2":                                "adminapi",
		"/api/oauth/token":                             "adminapi",
		"/api/atlas/v2/unauth/controlPlaneIPAddresses": "adminapi",
		"/api":                       "nobody",
		"/api/":                      "nobody",
		"/apis":                      "nobody",
		"/":                          "console",
		"/console":                   "console",
		"/console/groups/x/clusters": "console",
		"/apix/v2":                   "nobody",
	}
	for path, want := range tests {
		t.Run(path, func(t *testing.T) {
			w := &world{}
			rec := get(w.open(t), path)
			got := "nobody"
			switch {
			case w.encryptionEvent != nil:
				got = "encryption"
			case w.adminEvent != nil:
				got = "adminapi"
			case w.consoleEvent != nil:
				got = "console"
			}
			if got != want {
				t.Errorf("served by %s, want %s", got, want)
			}
			if want == "nobody" && (rec.Code != 404 || !strings.Contains(rec.Body.String(), "RESOURCE_NOT_FOUND")) {
				t.Errorf("answer = %d %s", rec.Code, rec.Body)
			}
		})
	}
}

func TestOpenRoutes_neverAskTheAuthorizer(t *testing.T) {
	for _, path := range []string{"/api/oauth/token", "/api/private/x", "/api/atlas/v2/unauth/x"} {
		w := &world{}
		get(w.open(t), path)
		if w.authorizerEvent != nil || w.adminEvent == nil {
			t.Errorf("%s: authorizer asked: %v, function asked: %v", path, w.authorizerEvent != nil, w.adminEvent != nil)
		}
		if _, has := context1(w.adminEvent)["authorizer"]; has {
			t.Errorf("%s: an authorizer context came from nowhere", path)
		}
	}
}

func context1(event map[string]any) map[string]any {
	c, _ := event["requestContext"].(map[string]any)
	return c
}

// The expectations are what a real REST API was seen to send (docs/gateway.md).
func TestEvent_hasTheFormThatRESTAPIsSend(t *testing.T) {
	w := &world{}
	h := w.open(t)
	r := httptest.NewRequest(http.MethodPost, "//api/atlas/v2/a%2Bb@c/d+e//f%2Fg/?x=1&x=%2B2+3&y&z=%zz&w=a;v=b", strings.NewReader("{\"ü\":1}"))
	r.Host = "keys.example.com"
	r.RemoteAddr = "192.0.2.1:5555"
	r.Header = http.Header{
		"Accept": {"a", "b"}, "X-Forwarded-For": {"10.0.0.1"}, "X-Forwarded-Proto": {"gopher"}, "Connection": {"close"}, "Te": {"trailers"},
		"Www-Authenticate": {"x"},
	}
	h.ServeHTTP(httptest.NewRecorder(), r)
	e := w.adminEvent
	want := map[string]any{
		"resource": "/api/{proxy+}", "httpMethod": "POST",
		"path":                  "/api/atlas/v2/a%2Bb@c/d+e//f%2Fg/",
		"pathParameters":        map[string]any{"proxy": "atlas/v2/a%2Bb@c/d+e//f%2Fg"},
		"queryStringParameters": map[string]any{"x": "+2 3", "y": "", "z": "%zz", "w": "a", "v": "b"},
		"multiValueQueryStringParameters": map[string]any{
			"x": []any{"1", "+2 3"}, "y": []any{""}, "z": []any{"%zz"}, "w": []any{"a"}, "v": []any{"b"},
		},
		"body": "{\"ü\":1}", "isBase64Encoded": false, "stageVariables": nil,
	}
	headers, _ := e["headers"].(map[string]any)
	multi, _ := e["multiValueHeaders"].(map[string]any)
	c := context1(e)
	for _, name := range []string{"headers", "multiValueHeaders", "requestContext"} {
		delete(e, name)
	}
	if diff := cmp.Diff(want, e); diff != "" {
		t.Error(diff)
	}
	trace, _ := headers["X-Amzn-Trace-Id"].(string)
	if !strings.HasPrefix(trace, "Root=1-") {
		t.Errorf("trace id = %q", trace)
	}
	delete(headers, "X-Amzn-Trace-Id")
	wantHeaders := map[string]any{
		"Accept": "b", "Host": "keys.example.com", "X-Forwarded-For": "10.0.0.1, 192.0.2.1",
		"X-Forwarded-Port": "80", "X-Forwarded-Proto": "http",
	}
	if diff := cmp.Diff(wantHeaders, headers); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]any{"a", "b"}, multi["Accept"]); diff != "" {
		t.Error(diff)
	}
	ident, _ := c["identity"].(map[string]any)
	auth, _ := c["authorizer"].(map[string]any)
	got := []any{c["path"], c["domainName"], c["stage"], c["resourcePath"], ident["sourceIp"], auth}
	wantContext := []any{
		"//api/atlas/v2/a%2Bb@c/d+e//f%2Fg/", "keys.example.com", "prod", "/api/{proxy+}", "192.0.2.1",
		map[string]any{"caller": "{}", "number": "7", "flag": "true", "principalId": "somebody", "integrationLatency": 0.0},
	}
	if diff := cmp.Diff(wantContext, got); diff != "" {
		t.Error(diff)
	}
}

func TestEvent_hasNullForWhatIsNotThere(t *testing.T) {
	w := &world{}
	get(w.open(t), "/api/x")
	for _, member := range []string{"body", "queryStringParameters", "multiValueQueryStringParameters"} {
		if v, has := w.adminEvent[member]; !has || v != nil {
			t.Errorf("%s = %v", member, v)
		}
	}
}

func TestAuthorizerEvent_hasTheRequestButNoBody(t *testing.T) {
	w := &world{}
	h := w.open(t)
	r := httptest.NewRequest(http.MethodPatch, project+"/encryptionAtRest?pretty=true", strings.NewReader("secret"))
	r.Header.Set("Authorization", "Digest x")
	h.ServeHTTP(httptest.NewRecorder(), r)
	e := w.authorizerEvent
	headers, _ := e["headers"].(map[string]any)
	got := []any{e["type"], e["methodArn"], e["httpMethod"], headers["Authorization"], e["pathParameters"], e["queryStringParameters"], e["stageVariables"]}
	want := []any{
		"REQUEST", "arn:aws:execute-api:us-east-1:123456789012:local/prod/PATCH" + project + "/encryptionAtRest",
		"PATCH", "Digest x",
		map[string]any{"groupId": "32b6e34b3d91647abb20e7b8"},
		map[string]any{"pretty": "true"},
		map[string]any{},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, has := e["body"]; has {
		t.Error("the authorizer got the body")
	}
}

func TestAuthorizer_decides(t *testing.T) {
	challenge := map[string]any{"challenge": `Digest realm="MMS Public API", nonce="n"`}
	tests := map[string]struct {
		answer     any
		err        error
		wantStatus int
		wantHeader string
	}{
		"a Deny with a challenge is a 401 with it": {answer: policy("Deny", "*", challenge), wantStatus: 401, wantHeader: `Digest realm="MMS Public API", nonce="n"`},
		"a Deny without one is a 401 without it":   {answer: policy("Deny", "*", nil), wantStatus: 401},
		"a challenge can't smuggle in a header":    {answer: policy("Deny", "*", map[string]any{"challenge": "a\r\nSet-Cookie: b"}), wantStatus: 401, wantHeader: "a  Set-Cookie: b"},
		"an Allow of something else is a 401":      {answer: policy("Allow", "arn:aws:execute-api:*:*:other/*", nil), wantStatus: 401},
		"an Allow with wildcards passes":           {answer: policy("Allow", "arn:aws:execute-api:*:*:local/pro?/GET/*", nil), wantStatus: 200},
		"no statement is a 401":                    {answer: map[string]any{"principalId": "x", "policyDocument": map[string]any{"Statement": []any{}}}, wantStatus: 401},
		"an unknown effect is a 500":               {answer: policy("Perhaps", "*", nil), wantStatus: 500},
		"a context with an object is a 500":        {answer: policy("Allow", "*", map[string]any{"a": map[string]any{}}), wantStatus: 500},
		"no principal is a 500":                    {answer: map[string]any{}, wantStatus: 500},
		"what is no JSON is a 500":                 {answer: "nonsense", wantStatus: 500},
		"an error is a 500":                        {err: errors.New("out of order"), wantStatus: 500},
		"the error Unauthorized is a 401":          {err: errors.New("Unauthorized"), wantStatus: 401},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := &world{authorizer: func(context.Context, map[string]any) (any, error) { return tt.answer, tt.err }}
			rec := get(w.open(t), project+"/encryptionAtRest")
			if rec.Code != tt.wantStatus || rec.Header().Get("WWW-Authenticate") != tt.wantHeader {
				t.Errorf("answer = %d, WWW-Authenticate %q", rec.Code, rec.Header().Get("WWW-Authenticate"))
			}
			if (w.encryptionEvent != nil) != (tt.wantStatus == 200) {
				t.Error("the function must be asked if and only if the authorizer allows it")
			}
			if tt.wantStatus != 200 && !json.Valid(rec.Body.Bytes()) {
				t.Errorf("body = %s", rec.Body)
			}
		})
	}
}

func TestDeny_beatsAllow(t *testing.T) {
	w := &world{authorizer: func(context.Context, map[string]any) (any, error) {
		return `{"principalId":"x","policyDocument":{"Statement":[
			{"Effect":"Allow","Action":"*","Resource":"*"},
			{"Effect":"Deny","Action":["execute-api:invoke"],"Resource":["arn:*/encryptionAtRest"]}]}}`, nil
	}}
	h := w.open(t)
	if rec := get(h, project+"/encryptionAtRest"); rec.Code != 401 {
		t.Errorf("denied path: %d", rec.Code)
	}
	if rec := get(h, project+"/clusters"); rec.Code != 200 {
		t.Errorf("allowed path: %d", rec.Code)
	}
}

func TestPolicy_thatCannotBeEvaluatedAllowsNothing(t *testing.T) {
	for _, extra := range []string{`"Condition":{"Bool":{"a":"true"}}`, `"NotAction":"x"`, `"NotResource":"x"`, `"Principal":"*"`} {
		w := &world{authorizer: func(context.Context, map[string]any) (any, error) {
			return `{"principalId":"x","policyDocument":{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*",` + extra + `}]}}`, nil
		}}
		if rec := get(w.open(t), "/api/x"); rec.Code != 500 || w.adminEvent != nil {
			t.Errorf("%s: %d", extra, rec.Code)
		}
	}
}

func TestResponse_isRelayed(t *testing.T) {
	tests := map[string]struct {
		answer     any
		err        error
		wantStatus int
		wantBody   string
		wantHeader http.Header
	}{
		"status, headers and body": {
			answer:     map[string]any{"statusCode": 201, "body": "{\"ü\":1}", "multiValueHeaders": map[string][]string{"X-A": {"1", "2"}}, "headers": map[string]any{"X-B": "3", "X-A": "0"}},
			wantStatus: 201, wantBody: "{\"ü\":1}",
			wantHeader: http.Header{"X-A": {"1", "2"}, "X-B": {"3"}, "Content-Type": {"application/json"}},
		},
		"a status in quotes":    {answer: `{"statusCode":"204"}`, wantStatus: 204},
		"nothing but an object": {answer: `{}`, wantStatus: 200},
		"bytes":                 {answer: `{"body":"/wA=","isBase64Encoded":true}`, wantStatus: 200, wantBody: "\xff\x00"},
		"WWW-Authenticate is renamed": {
			answer:     `{"statusCode":401,"headers":{"www-authenticate":"Digest x","Date":"now"}}`,
			wantStatus: 401, wantHeader: http.Header{"X-Amzn-Remapped-Www-Authenticate": {"Digest x"}, "Www-Authenticate": nil, "X-Amzn-Remapped-Date": {"now"}},
		},
		"an error of the function":    {err: errors.New("boom"), wantStatus: 502},
		"what is no JSON":             {answer: "boom", wantStatus: 502},
		"null":                        {answer: "null", wantStatus: 502},
		"an unknown member":           {answer: `{"status":200}`, wantStatus: 502},
		"a status out of range":       {answer: `{"statusCode":99}`, wantStatus: 502},
		"a header that is no string":  {answer: `{"headers":{"A":{}}}`, wantStatus: 502},
		"a header with a line break":  {answer: `{"headers":{"A":"b\r\nC: d"}}`, wantStatus: 502},
		"a header with a broken name": {answer: `{"headers":{"A b":"c"}}`, wantStatus: 502},
		"what is no base64":           {answer: `{"body":"?","isBase64Encoded":true}`, wantStatus: 502},
		"more than Lambda passes on":  {answer: `{"body":"` + strings.Repeat("x", lambdasvc.MaxPayload) + `"}`, wantStatus: 502},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := &world{adminapi: func(context.Context, map[string]any) (any, error) { return tt.answer, tt.err }}
			rec := get(w.open(t), "/api/x")
			if rec.Code != tt.wantStatus {
				t.Errorf("status = %d, want %d; body %.200s", rec.Code, tt.wantStatus, rec.Body)
			}
			if tt.wantStatus == 502 {
				tt.wantBody = `{"detail":"Unexpected error.","error":502,"errorCode":"UNEXPECTED_ERROR","parameters":[],"reason":"Bad Gateway"}`
			}
			if rec.Body.String() != tt.wantBody {
				t.Errorf("body = %.200s", rec.Body)
			}
			for name, want := range tt.wantHeader {
				if diff := cmp.Diff(want, rec.Header()[name]); diff != "" {
					t.Errorf("%s: %s", name, diff)
				}
			}
			if rec.Header().Get("x-amzn-RequestId") == "" || rec.Header().Get("X-Amzn-Trace-Id") == "" {
				t.Error("the gateway's own headers are missing")
			}
		})
	}
}

func TestTimeout_isAnsweredAfter29SecondsWhateverTheFunctionDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		finished := false
		w := &world{adminapi: func(context.Context, map[string]any) (any, error) {
			time.Sleep(40 * time.Second)
			finished = true
			return map[string]any{}, nil
		}}
		h := w.open(t)
		start := time.Now()
		rec := get(h, "/api/x")
		if took := time.Since(start); rec.Code != 504 || took != 29*time.Second {
			t.Errorf("answer = %d after %s", rec.Code, took)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if !finished {
			t.Error("the function did not go on")
		}
	})
}

func TestFunction_goesOnWhenTheClientHasGone(t *testing.T) {
	w := &world{adminapi: func(ctx context.Context, _ map[string]any) (any, error) { return map[string]any{}, ctx.Err() }}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	rec := httptest.NewRecorder()
	w.open(t).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/api/x", nil).WithContext(ctx))
	if rec.Code != 200 {
		t.Errorf("answer = %d", rec.Code)
	}
}

func TestBodies_haveLimits(t *testing.T) {
	for name, size := range map[string]int{"of the gateway": 10<<20 + 1, "of Lambda": 6 << 20} {
		t.Run(name, func(t *testing.T) {
			w := &world{}
			rec := httptest.NewRecorder()
			w.open(t).ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/api/x", io.LimitReader(zeros{}, int64(size))))
			if rec.Code != 413 || !strings.Contains(rec.Body.String(), "REQUEST_TOO_LARGE") || w.adminEvent != nil {
				t.Errorf("answer = %d %s", rec.Code, rec.Body)
			}
		})
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = '0'
	}
	return len(b), nil
}

func TestNew_wantsEveryFunctionOfTheTemplate(t *testing.T) {
	tmpl, err := template.Load("../../template.yaml", template.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := gateway.New(gateway.Config{Template: tmpl}); err == nil {
		t.Error("a gateway without functions was made")
	}
}
