package latchkey_test

import (
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"latchkey/shared/identity/digest"
)

// Two programs read each path: the authorizer, to know in which project a caller's roles count, and the
// function, to know what is asked for. Whatever they could read differently leads nowhere.

// spelt are ways to write a path that names another tenant's project, some with an own one beside it.
func spelt(own, foreign string) []string {
	const root, rest = "/api/atlas/v2/groups/", "/encryptionAtRest"
	escaped := regexp.MustCompile(`..`).ReplaceAllString(hex.EncodeToString([]byte(foreign)), "%$0")
	return []string{
		root + escaped + rest,
		root + strings.ToUpper(foreign) + rest,
		root + own + "/../" + foreign + rest,
		root + own + "/%2e%2e/" + foreign + rest,
		root + own + "%2f..%2f" + foreign + rest,
		root + own + "%252f..%252f" + foreign + rest,
		root + foreign + "%2f.." + "%2f" + own + rest,
		root + foreign + "%00" + rest,
		root + foreign + "%20" + rest,
		root + foreign + ";" + own + rest,
		root + foreign + "%3f" + own + rest,
		root + foreign + "?groupId=" + own,
		root + own + "," + foreign + rest,
		root + own + rest + "/../../" + foreign + rest,
		root + "/" + foreign + rest,
		"/api/atlas/v2//groups/" + foreign + rest,
		"/api/atlas/v2/./groups/" + foreign + rest,
		"/api/atlas/v2/groups/" + foreign + rest + "/",
		"/api/atlas/v1.0/groups/" + foreign + rest,
		"/API/atlas/v2/groups/" + foreign + rest,
		"/api/atlas/v2/orgs/../groups/" + foreign + rest,
		"/api/atlas/v2/unauth/../groups/" + foreign + rest,
		"/api/atlas/v2/unauth/%2e%2e/groups/" + foreign + rest,
		"/api/private/../atlas/v2/groups/" + foreign + rest,
		"/api/private/%2e%2e/atlas/v2/groups/" + foreign + rest,
		"/api/oauth/%2e%2e%2fatlas%2fv2%2fgroups%2f" + foreign + rest,
		"/api/oauth/../atlas/v2/groups/" + foreign + rest,
	}
}

func TestAccess_isNotDodgedBySpelling(t *testing.T) {
	t.Parallel()
	w := inTown(t)
	for _, path := range spelt(w.acme.own["groupId"], w.rival.own["groupId"]) {
		for name, by := range map[string]credentials{"its own owner": w.acme.credentials, "nobody": {}} {
			for _, method := range []string{http.MethodGet, http.MethodPatch} {
				w.table.returnTo(w.base)
				authorization := ""
				if by.publicKey != "" {
					now := w.now()
					authorization = signDigest(by, method, path, digest.NewNonce(w.signing.Current(now).Nonce, now))
				}
				answer := w.sendWith(authorization, method, path, "application/vnd.atlas.2023-01-01+json", `{"enabledForSearchNodes":true}`)
				if answer.Code < http.StatusBadRequest {
					t.Errorf("%s: %s %s is answered %d %s", name, method, path, answer.Code, answer.Body)
				}
				for _, foreign := range []string{w.rival.own["keyArn"], w.rival.own["roleId"], w.rival.id} {
					if strings.Contains(answer.Body.String(), foreign) {
						t.Errorf("%s: %s %s tells %s", name, method, path, foreign)
					}
				}
				for _, key := range w.table.changes() {
					if !strings.HasPrefix(key.PK, "EVENTS#ORG#"+w.acme.id) {
						t.Errorf("%s: %s %s wrote %s", name, method, path, key)
					}
				}
			}
		}
	}
}

// What a client says of itself in headers counts for nothing: not its address, not another method, not who
// it would like to be.
func TestAccess_believesNoHeader(t *testing.T) {
	t.Parallel()
	w := inTown(t)
	lies := map[string]string{
		"X-Forwarded-For": "203.0.113.99", "X-Real-Ip": "203.0.113.99", "Forwarded": "for=203.0.113.99", "True-Client-Ip": "203.0.113.99",
		"X-Http-Method-Override": http.MethodDelete, "X-Method-Override": http.MethodDelete, "X-Original-Url": "/api/private/ipinfo", "X-Rewrite-Url": "/api/private/ipinfo",
		"X-Caller": `{"id":"x","orgId":"` + w.rival.id + `"}`, "Caller": `{"id":"x","orgId":"` + w.rival.id + `"}`, "X-Amzn-Oidc-Data": "x", "X-Amz-Security-Token": "x",
		"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "gopher", "X-Forwarded-Prefix": "/evil", "X-Request-Id": "a\tb",
	}
	ask := func(authorization, method, path string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), method, "http://api.example.com"+path, http.NoBody)
		r.RequestURI = path
		r.Header.Set("Accept", "application/vnd.atlas.2025-03-12+json")
		r.Header.Set("Authorization", authorization)
		for name, value := range lies {
			r.Header.Set(name, value)
		}
		answer := httptest.NewRecorder()
		w.front.ServeHTTP(answer, r)
		return answer
	}
	path := fill(inGroup, w.acme.own)
	answer := ask(w.authorization(w.acme.credentials, http.MethodGet, path), http.MethodGet, path)
	if answer.Code != http.StatusOK || strings.Contains(answer.Body.String(), "evil") || len(w.table.changes()) > 0 {
		t.Errorf("%d %s, wrote %v", answer.Code, answer.Body, w.table.changes())
	}
	if answer := ask("", http.MethodGet, path); answer.Code != http.StatusUnauthorized {
		t.Errorf("without credentials: %d %s", answer.Code, answer.Body)
	}
	foreign := fill(inGroup, w.rival.own)
	if answer := ask(w.authorization(w.acme.credentials, http.MethodGet, foreign), http.MethodGet, foreign); answer.Code != http.StatusUnauthorized {
		t.Errorf("another tenant's project: %d %s", answer.Code, answer.Body)
	}
	for _, key := range w.table.changes() {
		if item, err := w.table.Get(t.Context(), key); err == nil && strings.Contains(string(item.Body), "203.0.113.99") {
			t.Errorf("the event believes the header: %s", item.Body)
		}
	}
	answer = ask("", http.MethodGet, "/api/private/ipinfo")
	if strings.Contains(answer.Body.String(), "203.0.113.99") {
		t.Errorf("the address is the client's word: %s", answer.Body)
	}
	_, first := headers(ask("", http.MethodGet, "/api/private/ipinfo"))
	lies["X-Forwarded-For"] = "203.0.113.100"
	if _, second := headers(ask("", http.MethodGet, "/api/private/ipinfo")); second != first-1 {
		t.Errorf("another address in a header has a bucket of its own: %d, then %d left", first, second)
	}
}
