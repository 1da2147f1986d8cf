package functionurl_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"latchkey/shared/httpapi"
	"latchkey/shared/httpapi/functionurl"
	"latchkey/shared/identity"
)

var _ lambda.Handler = functionurl.Handler{}

const host = "abc.lambda-url.us-east-1.on.aws"

// event is a request as a function URL sends it.
func event(method, path string) map[string]any {
	return map[string]any{
		"version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "", "isBase64Encoded": false,
		"headers": map[string]any{"host": host, "x-forwarded-for": "192.0.2.7", "x-forwarded-proto": "https"},
		"requestContext": map[string]any{
			"accountId": "anonymous", "apiId": "abc", "domainName": host, "domainPrefix": "abc", "requestId": "request-1",
			"routeKey": "$default", "stage": "$default", "time": "12/Mar/2026:19:03:58 +0000", "timeEpoch": 1583348638390,
			"http": map[string]any{"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.7", "userAgent": "agent"},
		},
	}
}

// seen is what a handler got to see.
type seen struct {
	Method, Path, RawPath, Host, RemoteAddr, Body string
	Query                                         map[string][]string
	Header                                        http.Header
}

func serve(t interface{ Context() context.Context }, e map[string]any, answer http.HandlerFunc) (seen, events.LambdaFunctionURLResponse, error) {
	payload, err := json.Marshal(e)
	if err != nil {
		return seen{}, events.LambdaFunctionURLResponse{}, err
	}
	var s seen
	out, err := functionurl.New(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s = seen{r.Method, r.URL.Path, r.URL.RawPath, r.Host, r.RemoteAddr, string(body), r.URL.Query(), r.Header}
		if answer != nil {
			answer(w, r)
		}
	})).Invoke(t.Context(), payload)
	var resp events.LambdaFunctionURLResponse
	if err == nil {
		err = json.Unmarshal(out, &resp)
	}
	return s, resp, err
}

func TestAnEventBecomesARequest(t *testing.T) {
	t.Parallel()
	e := event("POST", "/a%2Fb%20c/")
	e["rawQueryString"] = "q=1%20%26%3D&q=2"
	e["headers"] = map[string]any{"accept": "a,b", "x-forwarded-for": "10.9.9.9", "host": "evil.example", "x-request-id": "forged"}
	e["cookies"] = []any{"a=1", "b=2"}
	e["body"], e["isBase64Encoded"] = "aGk=", true
	got, _, err := serve(t, e, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := seen{
		Method: "POST", Path: "/a/b c/", RawPath: "/a%2Fb%20c/", Host: host, RemoteAddr: "192.0.2.7", Body: "hi",
		Query: map[string][]string{"q": {"1 &=", "2"}},
		Header: http.Header{
			"Accept": {"a,b"}, "Cookie": {"a=1; b=2"}, "Host": {"evil.example"}, "X-Forwarded-For": {"10.9.9.9"}, "X-Request-Id": {"request-1"},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAResponseBecomesAnAnswer(t *testing.T) {
	t.Parallel()
	_, resp, err := serve(t, event("GET", "/"), func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Add("X-A", "1")
		w.Header().Add("X-A", "2")
		w.Header().Add("Set-Cookie", "a=1, b")
		w.Header().Add("Set-Cookie", "c=2")
		w.WriteHeader(http.StatusCreated)
		io.WriteString(w, `{"ü":1}`) //nolint:errcheck // to memory
	})
	want := events.LambdaFunctionURLResponse{
		StatusCode: http.StatusCreated, Body: `{"ü":1}`, Headers: map[string]string{"X-A": "1, 2", "X-Request-Id": "request-1"},
		Cookies: []string{"a=1, b", "c=2"},
	}
	if diff := cmp.Diff(want, resp); err != nil || diff != "" {
		t.Error(err, diff)
	}
	_, resp, err = serve(t, event("GET", "/"), func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte{0xff}) }) //nolint:errcheck // to memory
	if err != nil || resp.StatusCode != http.StatusOK || resp.Body != "/w==" || !resp.IsBase64Encoded {
		t.Errorf("bytes: %+v, %v", resp, err)
	}
}

func TestTheCallerIsAnonymousAndWhereLambdaSays(t *testing.T) {
	t.Parallel()
	api := httpapi.New(httpapi.Config{Gate: identity.Gate{}, Now: time.Now, Log: slog.New(slog.DiscardHandler)}, []httpapi.Route{{
		Operation: "tell", Method: http.MethodGet, Path: "/api/tell", Rule: identity.Anyone,
		Handle: func(_ context.Context, r *httpapi.Request) (httpapi.Response, error) {
			return httpapi.OK([]any{r.Caller.Anonymous(), r.Caller.RemoteAddress, r.Link("/x")}), nil
		},
	}})
	e := event("GET", "/api/tell")
	context, _ := e["requestContext"].(map[string]any)
	context["authorizer"] = map[string]any{"iam": map[string]any{"userArn": "arn:aws:iam::1:root"}, "caller": `{"id":"forged"}`}
	payload, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	out, err := functionurl.New(api).Invoke(t.Context(), payload)
	if err != nil {
		t.Fatal(err)
	}
	var resp events.LambdaFunctionURLResponse
	if err := json.Unmarshal(out, &resp); err != nil {
		t.Fatal(err)
	}
	if want := `[true,"192.0.2.7","https://` + host + `/api/atlas/v2/x"]`; resp.Body != want {
		t.Errorf("%s, want %s", resp.Body, want)
	}
}

func TestWhatNoFunctionURLSendsIsAnError(t *testing.T) {
	t.Parallel()
	broken := func(change func(e map[string]any)) map[string]any {
		e := event("GET", "/")
		change(e)
		return e
	}
	for name, e := range map[string]map[string]any{
		"no method":         event("", "/"),
		"no context":        broken(func(e map[string]any) { delete(e, "requestContext") }),
		"a body not base64": broken(func(e map[string]any) { e["body"], e["isBase64Encoded"] = "?", true }),
		"headers as a list": broken(func(e map[string]any) { e["headers"] = []any{} }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, _, err := serve(t, e, func(http.ResponseWriter, *http.Request) { t.Error("the handler was called") }); err == nil {
				t.Error("no error")
			}
		})
	}
}

// Whatever a client chooses reaches the API, whole, and is answered as HTTP.
func TestNothingThatAClientSendsIsAnError(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		e := event(rapid.StringMatching(`[A-Z]{1,8}`).Draw(rt, "method"), rapid.String().Draw(rt, "path"))
		e["rawQueryString"] = rapid.String().Draw(rt, "query")
		e["headers"] = rapid.MapOf(rapid.String(), rapid.String()).Draw(rt, "headers")
		e["cookies"] = rapid.SliceOf(rapid.String()).Draw(rt, "cookies")
		body := rapid.SliceOf(rapid.Byte()).Draw(rt, "body")
		e["body"], e["isBase64Encoded"] = base64.StdEncoding.EncodeToString(body), true
		api := httpapi.New(httpapi.Config{Gate: identity.Gate{}, Now: time.Now, Log: slog.New(slog.DiscardHandler)}, []httpapi.Route{{
			Operation: "any", Method: http.MethodPost, Path: "/api/{x}", Rule: identity.Anyone,
			Handle: func(context.Context, *httpapi.Request) (httpapi.Response, error) { return httpapi.NoContent(), nil },
		}})
		got, resp, err := serve(t, e, api.ServeHTTP)
		if err != nil || resp.StatusCode < 200 || resp.StatusCode >= 500 || got.Body != string(body) {
			rt.Fatalf("%+v, %v", resp, err)
		}
	})
}
