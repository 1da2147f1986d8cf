package console_test

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const overview = "/console/groups/" + groupID

func TestSignIn_keepsASealedCookieAndLeadsOn(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	a := w.signIn()
	if to := a.Header.Get("Location"); to != "/console/groups" {
		t.Errorf("it leads to %s", to)
	}
	cookies := a.Cookies()
	if len(cookies) != 1 {
		t.Fatalf("cookies: %v", cookies)
	}
	c := cookies[0]
	if c.Name != "__Host-latchkey" || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Domain != "" || c.MaxAge > 8*3600 {
		t.Errorf("the cookie: %v", c)
	}
	if strings.Contains(c.Value, publicKey) || strings.Contains(w.log.String(), privateKey) {
		t.Error("the cookie or the log tells who it is")
	}
}

func TestSignIn_refusesWhatTheAPIRefuses(t *testing.T) {
	t.Parallel()
	for name, form := range map[string]url.Values{
		"a wrong private key":   {"kind": {"apiKey"}, "name": {publicKey}, "secret": {"other-secret"}},
		"a wrong client secret": {"kind": {"serviceAccount"}, "name": {clientID}, "secret": {"other-secret"}},
		"no secret":             {"kind": {"apiKey"}, "name": {publicKey}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := open(t, "")
			a := w.post("/console/sign-in", form)
			if a.StatusCode < 400 || a.StatusCode > 499 || len(a.Cookies()) > 0 || !strings.Contains(a.body, `role="alert"`) {
				t.Errorf("answer = %d %v", a.StatusCode, a.Cookies())
			}
			if strings.Contains(a.body, "other-secret") || !strings.Contains(a.body, form.Get("name")) {
				t.Error("the form shows the secret, or has lost the name")
			}
		})
	}
}

func TestSignIn_withAServiceAccountLastsAsLongAsTheToken(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	if a := w.post("/console/sign-in", url.Values{"kind": {"serviceAccount"}, "name": {clientID}, "secret": {clientSecret}}); a.StatusCode != 303 {
		t.Fatalf("answer = %d %s", a.StatusCode, a.body)
	}
	if a := w.get(overview); a.StatusCode != 200 || !strings.Contains(a.body, clientID) {
		t.Errorf("answer = %d", a.StatusCode)
	}
	w.clock.Advance(time.Hour)
	if a := w.get(overview); a.Header.Get("Location") != "/console/sign-in?return="+url.QueryEscape(overview) {
		t.Errorf("after its end: %d %s", a.StatusCode, a.Header.Get("Location"))
	}
}

func TestSession_endsAndComesBackToThePage(t *testing.T) {
	t.Parallel()
	w := open(t, "/prod")
	w.signIn()
	w.clock.Advance(8*time.Hour - time.Second)
	if a := w.get(overview); a.StatusCode != 200 {
		t.Errorf("before its end: %d", a.StatusCode)
	}
	w.clock.Advance(time.Second)
	a := w.get(overview + "?page=2")
	to := a.Header.Get("Location")
	if want := "/prod/console/sign-in?return=" + url.QueryEscape(overview+"?page=2"); to != want {
		t.Fatalf("it leads to %s, want %s", to, want)
	}
	a = w.post("/console/sign-in", url.Values{"kind": {"apiKey"}, "name": {publicKey}, "secret": {privateKey}, "return": {overview + "?page=2"}})
	if to := a.Header.Get("Location"); to != "/prod"+overview+"?page=2" {
		t.Errorf("and back to %s", to)
	}
}

func TestSession_ofAKeyThatIsGoneIsTakenAway(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	w.signIn()
	w.api.set("GET /api/atlas/v2/groups", refused{401, "UNEXPECTED_ERROR", "You are not authorized for this resource.", ""})
	a := w.get("/console/groups")
	if a.StatusCode != 303 || len(a.Cookies()) == 0 || a.Cookies()[0].MaxAge >= 0 {
		t.Errorf("answer = %d %v", a.StatusCode, a.Cookies())
	}
}

func TestSession_isOpenedOnlyIfItIsOurs(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	for _, value := range []string{"x", "AAAA", strings.Repeat("A", 3999), strings.Repeat("A", 5000), "%00"} {
		if a := w.get("/console/groups", "Cookie", "__Host-latchkey="+value); a.StatusCode != 303 {
			t.Errorf("%.10s is answered %d", value, a.StatusCode)
		}
	}
}

func TestSignOut_endsTheSession(t *testing.T) {
	t.Parallel()
	w := open(t, "/prod")
	w.signIn()
	if a := w.post("/console/sign-out", nil); a.Header.Get("Location") != "/prod/console/sign-in" {
		t.Errorf("it leads to %s", a.Header.Get("Location"))
	}
	if a := w.get("/console/sign-in"); !strings.Contains(a.body, "You are signed out.") {
		t.Error("it is not said")
	}
	if a := w.get("/console/groups"); a.StatusCode != 303 {
		t.Errorf("a page is answered %d", a.StatusCode)
	}
}

// Nobody can take a token back but with the secret, which was not kept. So it is said when it ends.
func TestSignOut_saysHowLongATokenLivesOn(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	w.post("/console/sign-in", url.Values{"kind": {"serviceAccount"}, "name": {clientID}, "secret": {clientSecret}})
	if a := w.get("/console/groups"); a.StatusCode != http.StatusOK {
		t.Fatalf("a page is answered %d", a.StatusCode)
	}
	w.clock.Advance(time.Minute)
	ends := w.clock.Now().Add(time.Hour).UTC().Format("15:04")
	w.post("/console/sign-out", nil)
	w.get("/console/sign-in?kind=serviceAccount").shows(t, "You are signed out.", "it ends by itself before "+ends+" UTC", "delete the client secret",
		"signing out forgets the token and cannot revoke it")
}

// The mux would lead to straight paths without the stage.
func TestPaths_areStraightenedBelowTheStage(t *testing.T) {
	t.Parallel()
	w := open(t, "/prod")
	for path, want := range map[string]string{
		"/console//groups": "/prod/console/groups", "/console/groups//x/./clusters": "/prod/console/groups/x/clusters", "/console/a/../groups": "/prod/console/groups",
		"//console/sign-in?kind=apiKey": "/prod/console/sign-in?kind=apiKey", "/console//sign-in?return=//evil.example": "/prod/console/sign-in",
		"/console/../api/atlas/v2": "", "//evil.example/console": "", "/x//y": "",
	} {
		a := w.get(path)
		if status := map[bool]int{true: http.StatusSeeOther, false: http.StatusNotFound}[want != ""]; a.StatusCode != status || a.Header.Get("Location") != want {
			t.Errorf("%s leads to %d %q", path, a.StatusCode, a.Header.Get("Location"))
		}
	}
	if a := w.post("/console//sign-out", nil); a.StatusCode != http.StatusNotFound {
		t.Errorf("a form for a path that is not straight is answered %d", a.StatusCode)
	}
}

func TestReturn_leadsToTheConsoleOnly(t *testing.T) {
	t.Parallel()
	w := open(t, "/prod")
	for _, to := range []string{
		"https://evil.example/console/", "//evil.example/console", "/\\evil.example", "/console//evil", "/console\\..", "javascript:alert(1)",
		"/console/../api/atlas/v2", "/api/atlas/v2", "/consoles", "/console/\r\nSet-Cookie: a=b", "", "/console/%2e%2e/x#y",
		"/console/%2e%2e/x", "/console/%2f%2fevil.example", "/%2f%2fevil.example", "/console%2f..%2fx", "/console/%5cevil", "/console/%5c..%5cx",
	} {
		a := w.post("/console/sign-in", url.Values{"kind": {"apiKey"}, "name": {publicKey}, "secret": {privateKey}, "return": {to}})
		if got := a.Header.Get("Location"); got != "/prod/console/groups" {
			t.Errorf("%q leads to %q", to, got)
		}
	}
}

// What another site has a browser send, with the visitor's cookies, is refused before anything is done.
func TestForgedRequests_areRefused(t *testing.T) {
	t.Parallel()
	for name, header := range map[string][]string{
		"from another site":             {"Sec-Fetch-Site", "cross-site"},
		"from another host of the site": {"Sec-Fetch-Site", "same-site"},
		"from an old browser":           {"Sec-Fetch-Site", "", "Origin", "https://evil.example"},
		"from a sandbox":                {"Sec-Fetch-Site", "", "Origin", "null"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := open(t, "/prod")
			w.signIn()
			for _, path := range []string{"/console/sign-out", "/console/sign-in", "/console/groups"} {
				w.api.asked()
				a := w.post(path, url.Values{"kind": {"apiKey"}, "name": {publicKey}, "secret": {privateKey}}, header...)
				if a.StatusCode != http.StatusForbidden || len(a.Cookies()) > 0 || len(w.api.asked()) > 0 {
					t.Errorf("%s is answered %d %v", path, a.StatusCode, a.Cookies())
				}
			}
		})
	}
}

func TestLinkFromAMessage_findsTheVisitorSignedIn(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	a := w.get(overview, "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate")
	if a.StatusCode != 200 || !strings.Contains(a.body, `http-equiv="refresh"`) {
		t.Errorf("answer = %d %s", a.StatusCode, a.body)
	}
	if a := w.get(overview, "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "navigate"); a.StatusCode != 303 {
		t.Errorf("the second visit is answered %d", a.StatusCode)
	}
}

func TestAnswers_allowNothingFromElsewhere(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	w.signIn()
	for _, path := range []string{"/", "/console", "/console/groups", overview, "/console/sign-in", "/console/nowhere", overview + "/overview/state"} {
		h := w.get(path).Header
		for name, want := range map[string]string{
			"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Cross-Origin-Opener-Policy": "same-origin", "Referrer-Policy": "same-origin",
		} {
			if h.Get(name) != want {
				t.Errorf("%s: %s is %q", path, name, h.Get(name))
			}
		}
		csp := h.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} {
			if !strings.Contains(csp, want) || strings.Contains(csp, "unsafe") {
				t.Errorf("%s: policy %q", path, csp)
			}
		}
	}
}

var (
	reference = regexp.MustCompile(`(?:href|src|action|hx-get|hx-post)="([^"]*)"`)
	inline    = regexp.MustCompile(`(?i)<script(?:>| [^>]*>[^<])|<style|\sstyle=|\son[a-z]+=|hx-on|javascript:`)
)

// Below a stage every address is, and none leads to another host.
func TestPages_referToTheirOwnOnly(t *testing.T) {
	t.Parallel()
	w := open(t, "/prod")
	w.signIn()
	for _, path := range []string{"/console/groups", "/console/orgs", overview, "/console/sign-in"} {
		a := w.get(path)
		if inline.MatchString(a.body) {
			t.Errorf("%s has %q", path, inline.FindString(a.body))
		}
		for _, m := range reference.FindAllStringSubmatch(a.body, -1) {
			if !strings.HasPrefix(m[1], "/prod/console") && m[1] != "#main" && m[1] != "" {
				t.Errorf("%s refers to %s", path, m[1])
			}
		}
	}
}

// The budget of a first visit: the page after the sign-in and all that it refers to, uncompressed.
func TestFirstVisit_isSmallAndInOneRoundTrip(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	w.signIn()
	w.api.asked()
	a := w.get(overview)
	asked := w.api.asked()
	slices.Sort(asked)
	group := "GET /api/atlas/v2/groups/" + groupID
	if diff := cmp.Diff([]string{group, group + "/alerts", group + "/clusters", group + "/encryptionAtRest", "GET /api/atlas/v2/orgs", "GET /api/latchkey/v1/groups/" + groupID + "/clusters"}, asked); diff != "" {
		t.Errorf("want (-) and asked (+), each once:\n%s", diff)
	}
	size := len(a.body)
	for _, m := range reference.FindAllStringSubmatch(a.body, -1) {
		if !strings.HasPrefix(m[1], "/console/assets/") {
			continue
		}
		file := w.get(m[1])
		if file.StatusCode != 200 || !strings.Contains(file.Header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s is answered %d %s", m[1], file.StatusCode, file.Header.Get("Cache-Control"))
		}
		size += len(file.body)
	}
	if size > 150_000 || size < 50_000 {
		t.Errorf("a first visit takes %d bytes", size)
	}
}

func TestOverview_showsHowThingsStand(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	w.signIn()
	a := w.get(overview)
	for _, want := range []string{"Not valid", "Ready", "Being changed", "Disabled", "1 open alert", "Acme", "Shop", `aria-current="page"`, `hx-trigger="every 5s"`} {
		if !strings.Contains(a.body, want) {
			t.Errorf("it does not show %s", want)
		}
	}
	w.api.set("GET /api/atlas/v2/groups/"+groupID+"/clusters", map[string]any{"results": []any{}, "totalCount": 0})
	if a := w.get(overview + "/overview/state"); strings.Contains(a.body, "hx-trigger") || strings.Contains(a.body, "<html") {
		t.Errorf("what rests is asked for again: %s", a.body)
	}
	if a := w.get("/"); a.Header.Get("Location") != overview {
		t.Errorf("the next visit begins at %s", a.Header.Get("Location"))
	}
}

func TestFragment_asksNoMoreOnceTheSessionHasEnded(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	if a := w.get(overview+"/overview/state", "Hx-Request", "true"); a.StatusCode != 200 || !strings.Contains(a.body, "Sign in again") || strings.Contains(a.body, "hx-get") {
		t.Errorf("answer = %d %s", a.StatusCode, a.body)
	}
}

func TestNames_areText(t *testing.T) {
	t.Parallel()
	const hostile = `"><script>alert(1)</script><img src=x onerror=alert(1)>{{.}}`
	w := open(t, "")
	w.signIn()
	w.api.set("GET /api/atlas/v2/groups/"+groupID, map[string]any{"id": groupID, "name": hostile, "orgId": orgID})
	w.api.set("GET /api/atlas/v2/groups", map[string]any{"results": []any{map[string]any{"id": `"><b>`, "name": hostile}}, "totalCount": 1})
	w.api.set("GET /api/atlas/v2/groups/"+groupID+"/clusters", refused{400, "INVALID_" + hostile, hostile, ""})
	for _, path := range []string{"/console/groups", overview, "/console/sign-in?kind=" + url.QueryEscape(hostile) + "&return=" + url.QueryEscape("/console/"+hostile)} {
		if a := w.get(path); strings.Contains(a.body, "<script>alert") || strings.Contains(a.body, "<img") || strings.Contains(a.body, "<b>") {
			t.Errorf("%s: %s", path, a.body)
		}
	}
}

func TestErrors_haveTheAPIsCodeAndWhatToDo(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	w.signIn()
	for _, tt := range []struct {
		refused
		want []string
	}{
		{refused{404, "GROUP_NOT_FOUND", "No group with ID x exists.", ""}, []string{"GROUP_NOT_FOUND", "No group with ID x exists.", "may have been removed"}},
		{refused{401, "USER_CANNOT_ACCESS_GROUP", "You may not.", ""}, []string{"USER_CANNOT_ACCESS_GROUP", "Ask an owner"}},
		{refused{429, "RATE_LIMITED_TOKEN_BUCKET", "Too many.", "55"}, []string{"RATE_LIMITED_TOKEN_BUCKET", "Try again in 55 seconds."}},
		{refused{500, "UNEXPECTED_ERROR", "Unexpected error.", ""}, []string{"UNEXPECTED_ERROR", "Try again in a moment."}},
	} {
		w.api.set("GET /api/atlas/v2/groups", tt.refused)
		a := w.get("/console/groups")
		if a.StatusCode != tt.status {
			t.Errorf("%s is answered %d", tt.code, a.StatusCode)
		}
		for _, want := range tt.want {
			if !strings.Contains(a.body, want) {
				t.Errorf("%s: the page does not say %q", tt.code, want)
			}
		}
		if tt.retry != "" && a.Header.Get("Retry-After") != tt.retry {
			t.Errorf("Retry-After is %q", a.Header.Get("Retry-After"))
		}
	}
}

// A nonce is good for minutes, so all but the first request are signed before they are refused.
func TestNonce_isUsedAgain(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	w.signIn()
	w.api.asked()
	w.get("/console/orgs")
	if asked := w.api.asked(); len(asked) != 1 {
		t.Errorf("asked %v", asked)
	}
	w.clock.Advance(time.Hour) // the nonce is stale
	if a := w.get("/console/orgs"); a.StatusCode != 200 || len(w.api.asked()) != 2 {
		t.Errorf("answer = %d", a.StatusCode)
	}
}
