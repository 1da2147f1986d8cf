package console_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// hidden are the fields that a page sends again by itself.
func hidden(t *testing.T, page string) url.Values {
	t.Helper()
	form := url.Values{}
	for _, n := range elements(t, page) {
		if kind, _ := attribute(n, "type"); n.Data == "input" && kind == "hidden" {
			name, _ := attribute(n, "name")
			value, _ := attribute(n, "value")
			form.Add(name, value)
		}
	}
	return form
}

// A session that ends while a form is filled in takes nothing with it but secrets.
func TestForm_ofAnEndedSessionIsKept(t *testing.T) {
	t.Parallel()
	w := open(t, "/prod")
	form(w)
	w.signIn()
	const posted = "POST /api/atlas/v2/groups/" + groupID + "/clusters"
	w.api.set(posted, map[string]any{})
	typed := hidden(t, w.get(overview+"/try").body)
	typed.Set("name", `c"<1>`)
	typed.Set("secret", "typed-secret")
	w.clock.Advance(9 * time.Hour)
	a := w.post(overview+"/try", typed)
	if a.StatusCode != http.StatusUnauthorized || !strings.Contains(a.body, "Your session has ended") || !strings.Contains(a.body, `action="/prod`+overview+`/try"`) || !strings.Contains(a.body, `href="/prod/console/sign-in"`) {
		t.Fatalf("answer = %d %s", a.StatusCode, a.body)
	}
	again := hidden(t, a.body)
	if again.Get("name") != `c"<1>` || strings.Contains(a.body, "typed-secret") {
		t.Errorf("it keeps %v", again)
	}
	if b := w.post(overview+"/try", again); b.StatusCode != http.StatusUnauthorized || hidden(t, b.body).Encode() != again.Encode() {
		t.Errorf("before the next session: %d, %v", b.StatusCode, hidden(t, b.body))
	}
	w.signIn()
	if b := w.post(overview+"/try", again); b.StatusCode != http.StatusOK || !strings.Contains(b.body, "Nothing was sent yet") || !strings.Contains(b.body, `value="c&#34;&lt;1&gt;"`) || w.api.sent(posted) != "" {
		t.Errorf("answer = %d %s", b.StatusCode, b.body)
	}
}

// So does an API that answers neither what was sent, nor what its form shows.
func TestForm_isKeptIfItCannotBeShownAgain(t *testing.T) {
	t.Parallel()
	w := keysWorld(t)
	for _, route := range []string{"PATCH " + settingsAPI, "GET " + settingsAPI} {
		w.api.set(route, refused{503, "SERVICE_UNAVAILABLE", "Not now.", "7"})
	}
	a := w.post(advanced+"/AWS?access=secret", fields("secretAccessKey", "typed-secret", "~secret", "secretAccessKey", "customerMasterKeyID", keyARN))
	if a.StatusCode != http.StatusServiceUnavailable || hidden(t, a.body).Get("customerMasterKeyID") != keyARN || strings.Contains(a.body, "typed-secret") || !strings.Contains(a.body, "Not now.") {
		t.Errorf("answer = %d %s", a.StatusCode, a.body)
	}
	if !strings.Contains(a.body, `action="`+advanced+`/AWS?access=secret"`) || a.Header.Get("Retry-After") != "7" {
		t.Errorf("it leads elsewhere: %s", a.body)
	}
}
