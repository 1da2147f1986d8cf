package console_test

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
)

// Another host of the same site can set cookies for this one, but none whose name begins with __Host-.
func TestCookies_ofOtherHostsSayNothing(t *testing.T) {
	t.Parallel()
	w := open(t, "/prod")
	tossed := "latchkey-said=bad." + base64.RawURLEncoding.EncodeToString([]byte("Call this number.")) + "; latchkey-project=" + groupID
	if a := w.get("/console/sign-in", "Cookie", tossed); a.StatusCode != http.StatusOK || strings.Contains(a.body, "Call this number.") {
		t.Errorf("answer = %d %s", a.StatusCode, a.body)
	}
	if a := w.get("/", "Cookie", tossed); a.Header.Get("Location") != "/prod/console/groups" {
		t.Errorf("it leads to %s", a.Header.Get("Location"))
	}
	set := w.signIn().Cookies()
	set = append(set, w.get(overview).Cookies()...)
	set = append(set, w.post("/console/sign-out", nil).Cookies()...)
	if len(set) < 4 {
		t.Errorf("cookies: %v", set)
	}
	for _, c := range set {
		if !strings.HasPrefix(c.Name, "__Host-") || c.Path != "/" || !c.Secure || !c.HttpOnly || c.Domain != "" || c.SameSite != http.SameSiteStrictMode {
			t.Errorf("the cookie %v", c)
		}
	}
}

// What the cookie of what was said holds is a tone that there is and a short text, or nothing.
func TestCookies_ofWhatWasSaidAreNotBelieved(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	word := base64.RawURLEncoding.EncodeToString([]byte("It was done."))
	for value, shown := range map[string]string{
		"good." + word: `<div class="banner good"><p>It was done.`, "bad." + word: `<div class="banner bad"><p>It was done.`,
		"evil." + word: "", word: "", "." + word: "", "good.%": "", "good." + base64.RawURLEncoding.EncodeToString(make([]byte, 501)): "",
	} {
		a := w.get("/console/sign-in", "Cookie", "__Host-latchkey-said="+value)
		if has := strings.Contains(a.body, "banner"); has != (shown != "") || !strings.Contains(a.body, shown) {
			t.Errorf("%q is shown: %t", value, has)
		}
	}
}
