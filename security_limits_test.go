package latchkey_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"latchkey/shared/httpapi"
	"latchkey/shared/identity"
	"latchkey/shared/identity/directory"
)

// bucket is what the API promises of a class of operations.
type bucket struct {
	scope            httpapi.LimitScope
	capacity, refill int
}

// promised is the table of rate limits that clients were promised, by what an operation's path is about.
// The first match counts.
func promised(op asked) bucket {
	about := func(parts ...string) bool {
		for _, part := range parts {
			if strings.Contains(op.path, part) {
				return true
			}
		}
		return false
	}
	switch {
	case op.public:
		return bucket{httpapi.PerIP, 300, 100}
	case about("{groupId}") && about("/encryptionAtRest", "/cloudProviderAccess"):
		return bucket{httpapi.PerGroup, 2000, 1000}
	case about("{groupId}") && about("/events", "/processes", "/workflows"):
		return bucket{httpapi.PerGroup, 300, 100}
	case about("{groupId}") && about("/alert", "/backup/", "/maintenanceWindow"):
		return bucket{httpapi.PerGroup, 1200, 500}
	case about("{groupId}") && about("/clusters", "/containers", "/flexClusters"):
		return bucket{httpapi.PerGroup, 10000, 5000}
	case about("{groupId}"):
		return bucket{httpapi.PerGroup, 1200, 500}
	case about("{orgId}"):
		return bucket{httpapi.PerOrg, 500, 250}
	case about("/api/atlas/v2/groups", "/api/atlas/v2/clusters"):
		return bucket{httpapi.PerUser, 1200, 500}
	}
	return bucket{httpapi.PerUser, 300, 100}
}

// Every operation has the limit of its class, says so, and says what is left.
func TestLimits_areThoseThatWerePromised(t *testing.T) {
	t.Parallel()
	w := inTown(t)
	sets := map[string]httpapi.EndpointSet{}
	for _, routes := range served() {
		for _, r := range routes {
			sets[r.Method+" "+r.Path] = r.Limit
		}
	}
	for _, op := range operations(t) {
		set, want := sets[op.method+" "+op.path], promised(op)
		if got := (bucket{set.Scope, set.Capacity, set.Refill}); got != want {
			t.Errorf("%s %s: %+v, promised %+v (%s)", op.method, op.path, got, want, set.ID)
		}
		if op.public {
			continue
		}
		w.table.returnTo(w.base)
		answer := w.send(w.acme.credentials, http.MethodGet, fill(op.path, w.acme.own), op.accept, "")
		if op.method != http.MethodGet {
			continue
		}
		if limit, left := headers(answer); limit != want.capacity || left < 0 || left >= limit {
			t.Errorf("%s: RateLimit-Limit %d, RateLimit-Remaining %d, promised %d", op.id, limit, left, want.capacity)
		}
	}
}

func headers(answer *httptest.ResponseRecorder) (limit, left int) {
	limit, err := strconv.Atoi(answer.Header().Get("RateLimit-Limit"))
	if err != nil {
		return -1, -1
	}
	left, err = strconv.Atoi(answer.Header().Get("RateLimit-Remaining"))
	if err != nil {
		return limit, -1
	}
	return limit, left
}

// Whoever writes a request differently, or comes as somebody else of the same organisation, draws from the
// same bucket: each request that is served leaves one token less.
func TestLimits_areNotDodged(t *testing.T) {
	t.Parallel()
	w := inTown(t)
	standing := time.Now()
	w.now = func() time.Time { return standing } // so that nothing is refilled
	w.open()
	owner := directory.Grants{OrgRoles: []identity.Role{identity.OrgOwner}, GroupRoles: map[string][]identity.Role{w.acme.own["groupId"]: {identity.GroupOwner}}}
	colleague, machine := w.key(w.acme.id, owner), w.account(w.acme.id, owner)
	path := fill(inGroup+"/encryptionAtRest", w.acme.own)
	const dated, later, latest = "application/vnd.atlas.2023-01-01+json", "application/vnd.atlas.2024-08-05+json", "application/vnd.atlas.2025-03-12+json"
	left := 2000
	asking := func(by credentials, method, path, accept string) func() *httptest.ResponseRecorder {
		return func() *httptest.ResponseRecorder {
			w.tb.Helper()
			return w.send(by, method, path, accept, map[bool]string{true: `{"enabledForSearchNodes":false}`}[method == http.MethodPatch])
		}
	}
	mine, get := w.acme.credentials, http.MethodGet
	for name, ask := range map[string]func() *httptest.ResponseRecorder{
		"as it is":          asking(mine, get, path, dated),
		"a trailing slash":  asking(mine, get, path+"/", dated),
		"a query":           asking(mine, get, path+"?pretty=true&x=1", dated),
		"an envelope":       asking(mine, get, path+"?envelope=true", dated),
		"a later date":      asking(mine, get, path, later),
		"the latest date":   asking(mine, get, path, latest),
		"no version":        asking(mine, get, path, "*/*"),
		"another operation": asking(mine, http.MethodPatch, path, dated),
		"the former API":    asking(mine, get, strings.Replace(path, "/v2/", "/v1.0/", 1), "application/json"),
		"an escaped path":   asking(mine, get, strings.Replace(path, "encryptionAtRest", "%65ncryptionAtRest", 1), dated),
		"another API key":   asking(colleague, get, path, dated),
		"a service account": asking(machine, get, path, dated),
	} {
		answer := ask()
		left--
		if limit, remaining := headers(answer); limit != 2000 && answer.Code != http.StatusNotFound || limit == 2000 && remaining != left {
			t.Errorf("%s: %d of %d are left, want %d (%d %s)", name, remaining, limit, left, answer.Code, answer.Body)
		} else if limit != 2000 {
			left++ // nothing was served
		}
	}
	for _, other := range []string{strings.ToUpper(path), strings.Replace(path, "encryptionAtRest", "EncryptionAtRest", 1), strings.Replace(path, "/groups/", "//groups/", 1), path + "//"} {
		if answer := w.send(w.acme.credentials, "GET", other, dated, ""); answer.Code < http.StatusBadRequest {
			t.Errorf("%s is served: %d", other, answer.Code)
		}
	}
}

// An empty bucket refuses everybody who draws from it, tells for how long, and lets them in again then.
func TestLimits_tellWhenToComeAgain(t *testing.T) {
	t.Parallel()
	w := inTown(t)
	at := time.Now()
	w.now = func() time.Time { return at }
	w.open()
	colleague := w.account(w.acme.id, directory.Grants{GroupRoles: map[string][]identity.Role{w.acme.own["groupId"]: {identity.GroupReadOnly}}})
	const accept = "application/vnd.atlas.2023-01-01+json"
	path := fill(inGroup+"/events", w.acme.own)
	for i := range 300 {
		if answer := w.send(colleague, "GET", path, accept, ""); answer.Code != http.StatusOK {
			t.Fatalf("request %d: %d %s", i, answer.Code, answer.Body)
		}
	}
	answer := w.send(w.acme.credentials, "GET", path, accept, "")
	want := fmt.Sprintf(`{"detail":"Rate limit exceeded for %s. Please retry after 1 seconds. Request capacity: 300. Refill rate: 100 per 60 seconds.","error":429,`+
		`"errorCode":"RATE_LIMITED_TOKEN_BUCKET","parameters":[%q,1,300,100,60],"reason":"Too Many Requests"}`, path[1:], path[1:])
	limit, left := headers(answer)
	if answer.Code != http.StatusTooManyRequests || answer.Header().Get("Retry-After") != "1" || limit != 300 || left != 0 ||
		answer.Header().Get("X-Error-Code") != "RATE_LIMITED_TOKEN_BUCKET" || strings.TrimSpace(answer.Body.String()) != want {
		t.Errorf("%d %v\n%s\nwant\n%s", answer.Code, answer.Header(), answer.Body, want)
	}
	if answer := w.send(w.rival.credentials, "GET", fill(inGroup+"/events", w.rival.own), accept, ""); answer.Code != http.StatusOK {
		t.Errorf("another tenant is answered %d %s", answer.Code, answer.Body)
	}
	at = at.Add(time.Second)
	if answer := w.send(w.acme.credentials, "GET", path, accept, ""); answer.Code != http.StatusOK {
		t.Errorf("a second later: %d %s", answer.Code, answer.Body)
	}
}
