package functionurl_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"

	"latchkey/local/functionurl"
	"latchkey/local/lambdasvc"
	shared "latchkey/shared/httpapi/functionurl"
)

// function answers with a payload or an error, and keeps the event.
type function struct {
	event  map[string]any
	answer string
	err    error
}

func (f *function) Invoke(_ context.Context, payload []byte) ([]byte, error) {
	if err := json.Unmarshal(payload, &f.event); err != nil {
		return nil, err
	}
	return []byte(f.answer), f.err
}

var clock = time.Date(2020, time.March, 12, 19, 3, 58, 390e6, time.UTC)

func serve(handler lambdasvc.Invoker, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	functionurl.New(lambdasvc.Function{Name: "nodes", Handler: handler}, func() time.Time { return clock }, slog.New(slog.DiscardHandler)).ServeHTTP(w, r)
	return w
}

func request(t *testing.T, method, target, contentType, body string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	r.Host, r.RemoteAddr = "127.0.0.1:8082", "192.0.2.7:4711"
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	return r
}

func TestEvent_isOfPayloadFormat2(t *testing.T) {
	r := request(t, http.MethodPost, "/my%2Fpath?parameter1=value1&parameter1=value2&parameter2=a+%26b&x", "application/json", `{"a":1}`)
	r.Header.Add("Header2", "value1")
	r.Header.Add("Header2", "value2")
	r.Header.Add("Cookie", "cookie1=a; cookie2=b")
	r.Header.Set("X-Forwarded-For", "203.0.113.9")
	r.Header.Set("X-Forwarded-Proto", "gopher")
	r.Header.Set("Connection", "close")
	r.Header.Set("User-Agent", "agent")
	f := &function{answer: `{}`}
	serve(f, r)
	id, _ := f.event["requestContext"].(map[string]any)["requestId"].(string)
	if id == "" {
		t.Fatal("there is no request id")
	}
	want := map[string]any{
		"version": "2.0", "routeKey": "$default", "rawPath": "/my%2Fpath",
		"rawQueryString":        "parameter1=value1&parameter1=value2&parameter2=a+%26b&x",
		"queryStringParameters": map[string]any{"parameter1": "value1,value2", "parameter2": "a &b", "x": ""},
		"cookies":               []any{"cookie1=a", "cookie2=b"},
		"headers": map[string]any{
			"content-type": "application/json", "header2": "value1,value2", "user-agent": "agent", "host": "127.0.0.1:8082",
			"x-forwarded-for": "203.0.113.9,192.0.2.7", "x-forwarded-proto": "https", "x-forwarded-port": "443", "x-amzn-trace-id": "Root=" + id,
		},
		"requestContext": map[string]any{
			"accountId": "anonymous", "apiId": "nodes", "domainName": "127.0.0.1:8082", "domainPrefix": "nodes",
			"http": map[string]any{
				"method": "POST", "path": "/my%2Fpath", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.7", "userAgent": "agent",
			},
			"requestId": id, "routeKey": "$default", "stage": "$default", "time": "12/Mar/2020:19:03:58 +0000", "timeEpoch": 1584039838390.0,
		},
		"body": `{"a":1}`, "isBase64Encoded": false,
	}
	if diff := cmp.Diff(want, f.event); diff != "" {
		t.Errorf("documented (-) and made (+):\n%s", diff)
	}
}

func TestEvent_hasBodiesThatAreNoTextInBase64(t *testing.T) {
	for name, tt := range map[string]struct {
		contentType, body, want string
		encoded                 bool
	}{
		"text":               {"text/plain; charset=utf-8", "ä", "ä", false},
		"JSON":               {"application/json", "{}", "{}", false},
		"a form":             {"application/x-www-form-urlencoded", "a=b", "YT1i", true},
		"bytes":              {"application/octet-stream", "\x00", "AA==", true},
		"of no type":         {"", "{}", "e30=", true},
		"text that is none":  {"text/plain", "\xff", "/w==", true},
		"nothing at all":     {"", "", "", false},
		"what is no type":    {"!", "a", "YQ==", true},
		"an upper-case type": {"Application/JSON", "{}", "{}", false},
	} {
		t.Run(name, func(t *testing.T) {
			f := &function{answer: `{}`}
			serve(f, request(t, http.MethodPost, "/", tt.contentType, tt.body))
			body, _ := f.event["body"].(string)
			if body != tt.want || f.event["isBase64Encoded"] != tt.encoded {
				t.Errorf("body = %q, encoded: %v", body, f.event["isBase64Encoded"])
			}
		})
	}
}

func TestAnswer_isWhatTheFunctionReturns(t *testing.T) {
	for name, tt := range map[string]struct {
		answer string
		status int
		body   string
		header http.Header
	}{
		"a string":         {`"Hello, world!"`, 200, `"Hello, world!"`, http.Header{"Content-Type": {"application/json"}}},
		"an object":        {`{"message": "Hello"}`, 200, `{"message": "Hello"}`, http.Header{"Content-Type": {"application/json"}}},
		"a list":           {`[1]`, 200, `[1]`, http.Header{"Content-Type": {"application/json"}}},
		"nothing":          {`null`, 200, `null`, http.Header{"Content-Type": {"application/json"}}},
		"a status only":    {`{"statusCode": 204}`, 204, "", http.Header{"Content-Type": {"application/json"}}},
		"a status of text": {`{"statusCode": "201", "body": null}`, 201, "", http.Header{"Content-Type": {"application/json"}}},
		"a response": {
			`{"statusCode": 201, "headers": {"Content-Type": "text/plain", "X-Count": 3}, "body": "aGk=", "isBase64Encoded": true, "cookies": ["a=b", "c=d; Secure"]}`,
			201, "hi",
			http.Header{"Content-Type": {"text/plain"}, "X-Count": {"3"}, "Set-Cookie": {"a=b", "c=d; Secure"}},
		},
		"headers of the URL's own": {
			`{"statusCode": 401, "headers": {"WWW-Authenticate": "Bearer", "Date": "today", "Transfer-Encoding": "chunked", "content-type": "a/b"}}`,
			401, "",
			http.Header{"Content-Type": {"a/b"}, "X-Amzn-Remapped-Www-Authenticate": {"Bearer"}, "X-Amzn-Remapped-Date": {"today"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := serve(&function{answer: tt.answer}, request(t, http.MethodGet, "/", "", ""))
			got := w.Result().Header
			got.Del("X-Amzn-Requestid")
			if diff := cmp.Diff(tt.header, got); diff != "" || w.Code != tt.status || w.Body.String() != tt.body {
				t.Errorf("%d %s\n%s", w.Code, w.Body, diff)
			}
		})
	}
}

func TestAnswer_ofAFunctionThatFailsIsBadGateway(t *testing.T) {
	for name, f := range map[string]*function{
		"an error":                   {err: errors.New("secret")},
		"no JSON":                    {answer: "secret"},
		"a status that is none":      {answer: `{"statusCode": 1000, "body": "secret"}`},
		"a status that is no number": {answer: `{"statusCode": {}, "body": "secret"}`},
		"a body that is no text":     {answer: `{"statusCode": 200, "body": {"secret": 1}}`},
		"a body that is no base64":   {answer: `{"statusCode": 200, "body": "secret!", "isBase64Encoded": true}`},
		"a header that is no text":   {answer: `{"statusCode": 200, "headers": {"A": {"secret": 1}}}`},
		"a header with a line break": {answer: `{"statusCode": 200, "headers": {"A": "b\r\nSecret: 1"}}`},
		"a header without a name":    {answer: `{"statusCode": 200, "headers": {"": "b"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			w := serve(f, request(t, http.MethodGet, "/", "", ""))
			if w.Code != http.StatusBadGateway || strings.Contains(strings.ToLower(w.Body.String()), "secret") || w.Header().Get("A") != "" {
				t.Errorf("answer = %d %v %s", w.Code, w.Header(), w.Body)
			}
		})
	}
}

func TestRequest_thatIsTooLargeIsRefused(t *testing.T) {
	for name, size := range map[string]int{"by itself": lambdasvc.MaxPayload + 1, "in base64": lambdasvc.MaxPayload - 1} {
		f := &function{answer: `{}`}
		w := serve(f, request(t, http.MethodPost, "/", "application/octet-stream", strings.Repeat("x", size)))
		if w.Code != http.StatusRequestEntityTooLarge || f.event != nil {
			t.Errorf("%s: answer = %d", name, w.Code)
		}
	}
}

// What is served here is read by what is deployed, and the reverse.
func TestURL_isTheOtherSideOfTheFunctionsAdapter(t *testing.T) {
	api := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Add("Set-Cookie", "a=b")
		w.WriteHeader(http.StatusTeapot)
		if _, err := w.Write(bytes.ToUpper(append(body, r.Header.Get("Authorization")+r.URL.RequestURI()+r.Header.Get("Cookie")...))); err != nil {
			t.Error(err)
		}
	})
	r := request(t, http.MethodPut, "/a%20b/c?d=e", "application/octet-stream", "\xffbody ")
	r.Header.Set("Authorization", "bearer ")
	r.Header.Set("Cookie", "x=y; z")
	w := serve(shared.New(api), r)
	if w.Code != http.StatusTeapot || w.Body.String() != string(bytes.ToUpper([]byte("\xffbody bearer /a%20b/c?d=ex=y; z"))) || w.Header().Get("Set-Cookie") != "a=b" {
		t.Errorf("answer = %d %v %q", w.Code, w.Header(), w.Body)
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"statusCode": 200, "headers": {"a": "b"}, "body": "aGk=", "isBase64Encoded": true}`))
	f.Add([]byte(`"x"`))
	f.Fuzz(func(t *testing.T, answer []byte) {
		w := serve(&function{answer: string(answer)}, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
		var response events.LambdaFunctionURLResponse
		if json.Valid(answer) && json.Unmarshal(answer, &response) == nil && response.StatusCode >= 200 && response.StatusCode < 300 && w.Code >= 500 &&
			!response.IsBase64Encoded && len(response.Headers)+len(response.Cookies) == 0 {
			t.Errorf("%s: %d", answer, w.Code)
		}
	})
}
