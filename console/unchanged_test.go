package console_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

var shown = regexp.MustCompile(`<meta name="shown" content="([^"]*)">`)

// A part that is swapped is read out again and may lose what somebody has selected in it.
func TestFragments_areSentOnceTheyHaveChanged(t *testing.T) {
	t.Parallel()
	w := open(t, "/prod")
	w.signIn()
	page := shown.FindStringSubmatch(w.get(overview).body)
	if page == nil || page[1] == "" {
		t.Fatal("the page does not say what it shows")
	}
	ask := func(tag string) answer {
		return w.get(overview+"/overview/state", "Hx-Request", "true", "If-None-Match", tag)
	}
	if a := ask(page[1]); a.StatusCode != http.StatusNoContent || a.body != "" || a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("just after the page: %d %s", a.StatusCode, a.body)
	}
	w.api.set("GET /api/atlas/v2/groups/"+groupID+"/alerts", map[string]any{"results": []any{}, "totalCount": 7})
	changed := ask(page[1])
	if tag := changed.Header.Get("Etag"); changed.StatusCode != http.StatusOK || !strings.Contains(changed.body, "7 open alerts") || tag == "" || tag == page[1] {
		t.Errorf("changed: %d %q %s", changed.StatusCode, tag, changed.body)
	}
	if a := ask(changed.Header.Get("Etag")); a.StatusCode != http.StatusNoContent {
		t.Errorf("unchanged: %d", a.StatusCode)
	}
	if a := ask(""); a.StatusCode != http.StatusOK {
		t.Errorf("of whoever has nothing: %d", a.StatusCode)
	}
	w.post("/console/sign-out", nil)
	if a := ask(changed.Header.Get("Etag")); a.StatusCode != http.StatusOK || !strings.Contains(a.body, "Sign in again") {
		t.Errorf("of nobody: %d", a.StatusCode)
	}
}

// Within a minute nothing is another time every second.
func TestFragments_ofTheSameMinuteAreTheSame(t *testing.T) {
	t.Parallel()
	w := clusterWorld(t, "GROUP_OWNER")
	first := shown.FindStringSubmatch(w.get(overview + "/clusters").body)
	w.clock.Advance(3 * time.Second)
	if a := w.get(overview+"/fragments/clusters", "If-None-Match", first[1]); a.StatusCode != http.StatusNoContent {
		t.Errorf("answer = %d", a.StatusCode)
	}
}

// A dialog shows no page to sign in within itself.
func TestDialog_ofAnEndedSessionLeadsToTheSignIn(t *testing.T) {
	t.Parallel()
	w := open(t, "/prod")
	a := w.get(overview+"/clusters/c1/power", "Hx-Request", "true", "Hx-Target", "dialog", "Sec-Fetch-Site", "same-origin")
	if to := a.Header.Get("Hx-Redirect"); a.StatusCode != http.StatusOK || !strings.HasPrefix(to, "/prod/console/sign-in?return=") || a.body != "" {
		t.Errorf("answer = %d, to %q: %s", a.StatusCode, to, a.body)
	}
}
