package functionurl_test

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzInvoke turns any request into an event and back. Where it came from, which host it was for and its id are what Lambda says,
// whatever the headers claim; body and path arrive as they were sent.
func FuzzInvoke(f *testing.F) {
	f.Add("POST", "/api/latchkey/v1/enrol", "", "X-Forwarded-For", "10.0.0.1", "{}", false)
	f.Add("get", "//%2f%zz?", "a=%zz&;", "Host", "evil.example", "\xff", true)
	f.Add("PUT", "", "", "x-request-id", "forged\r\nA: b", "aGk=", true)
	f.Fuzz(func(t *testing.T, method, path, query, name, value, body string, encoded bool) {
		e := event(method, path)
		e["rawQueryString"], e["headers"] = query, map[string]any{name: value, "x-forwarded-for": "10.9.9.9"}
		sent := body
		if encoded {
			sent = base64.StdEncoding.EncodeToString([]byte(body))
		}
		e["body"], e["isBase64Encoded"] = sent, encoded
		got, answer, err := serve(t, e, nil)
		if err != nil {
			return // no method that there could be
		}
		if got.Method == "" { // answered before the handler: no URL
			if answer.StatusCode < 400 || answer.StatusCode >= 500 {
				t.Errorf("%q %q: %d", method, path, answer.StatusCode)
			}
			return
		}
		if got.Host != host || got.RemoteAddr != "192.0.2.7" || got.Header.Get("X-Request-Id") != "request-1" {
			t.Errorf("%q: %q makes it %+v", name, value, got)
		}
		if want := body; got.Body != want && (encoded || utf8.ValidString(body)) {
			t.Errorf("the body %q arrives as %q", want, got.Body)
		}
		if utf8.ValidString(path) && got.RawPath != "" && !strings.EqualFold(got.RawPath, path) {
			t.Errorf("the path %q arrives as %q", path, got.RawPath)
		}
		if len(got.Header[http.CanonicalHeaderKey("X-Forwarded-For")]) > 1 {
			t.Errorf("%q: %q doubles a header", name, value)
		}
	})
}
