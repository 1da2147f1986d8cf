package httpapi_test

import (
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/shared/atlas"
	"latchkey/shared/httpapi"
	"latchkey/shared/identity"
)

func limited(path string, set httpapi.EndpointSet) httpapi.Route {
	r := serve("GET", path, answer(1))
	r.Limit = set
	return r
}

// five is a set that is quickly used up: five tokens, one more every 12 seconds.
func five(scope httpapi.LimitScope) httpapi.EndpointSet {
	return httpapi.EndpointSet{ID: "five" + string(scope), Scope: scope, Capacity: 5, Refill: 5}
}

func TestAPI_TellsTheTokensLeftAndRefusesWhenThereAreNone(t *testing.T) {
	r := newRig(limited("/api/atlas/v2/groups/{groupId}", five(httpapi.PerGroup)))
	for left := 4; left >= 0; left-- {
		resp := r.get(groupPath)
		got := [3]string{resp.Status, resp.Header.Get("RateLimit-Limit"), resp.Header.Get("RateLimit-Remaining")}
		if want := [3]string{"200 OK", "5", strconv.Itoa(left)}; got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
	r.now = r.now.Add(time.Second)
	resp := r.get(groupPath)
	if got := [2]string{resp.Header.Get("Retry-After"), resp.Header.Get("RateLimit-Remaining")}; got != [2]string{"11", "0"} {
		t.Errorf("Retry-After and RateLimit-Remaining are %q", got)
	}
	e := wantError(t, resp, http.StatusTooManyRequests, atlas.RateLimited)
	path := "api/atlas/v2/groups/" + groupID
	if diff := cmp.Diff([]any{path, 11.0, 5.0, 5.0, 60.0}, e.Parameters); diff != "" {
		t.Errorf("parameters (-want +got):\n%s", diff)
	}
	want := "Rate limit exceeded for " + path + ". Please retry after 11 seconds. Request capacity: 5. Refill rate: 5 per 60 seconds."
	if e.Detail != want {
		t.Errorf("detail is %q, want %q", e.Detail, want)
	}
	if len(r.gate.attempts) != 5 {
		t.Errorf("the gate was asked %d times, want 5: refused requests must cost nothing", len(r.gate.attempts))
	}
	r.now = r.now.Add(11 * time.Second)
	if got := r.get(groupPath).StatusCode; got != http.StatusOK {
		t.Errorf("after the time it was told to wait the client gets %d", got)
	}
}

func TestAPI_BucketsAreKeptByScope(t *testing.T) {
	const other = "650000000000000000000009"
	alice := identity.Caller{ID: "alice", OrgID: orgID, RemoteAddress: "198.51.100.1"}
	bob := identity.Caller{ID: "bob", OrgID: orgID, RemoteAddress: "198.51.100.2"}
	stranger := identity.Caller{ID: "eve", OrgID: other, RemoteAddress: "198.51.100.1"}
	tests := map[string]struct {
		scope  httpapi.LimitScope
		target string
		caller identity.Caller
		shares bool // the bucket that alice emptied on groupPath
	}{
		"a group's is shared by its organisation":         {httpapi.PerGroup, groupPath, bob, true},
		"another group has its own":                       {httpapi.PerGroup, "/api/atlas/v2/groups/" + other, alice, false},
		"a stranger cannot empty a group's":               {httpapi.PerGroup, groupPath, stranger, false},
		"an organisation's is shared by its callers":      {httpapi.PerOrg, groupPath, bob, true},
		"another organisation has its own":                {httpapi.PerOrg, groupPath, stranger, false},
		"a user's is the same from everywhere":            {httpapi.PerUser, groupPath, identity.Caller{ID: "alice"}, true},
		"another user has their own":                      {httpapi.PerUser, groupPath, bob, false},
		"an address's is shared by who come from there":   {httpapi.PerIP, groupPath, stranger, true},
		"another address has its own":                     {httpapi.PerIP, groupPath, bob, false},
		"an address in IPv6 is the same written as one":   {httpapi.PerIP, groupPath, identity.Caller{RemoteAddress: "::ffff:198.51.100.1"}, true},
		"an unknown caller's address is the connection's": {httpapi.PerIP, groupPath, identity.Caller{RemoteAddress: ""}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(limited("/api/atlas/v2/groups/{groupId}", five(tt.scope)))
			for range 6 {
				r.do(call{method: "GET", target: groupPath, caller: alice})
			}
			status := r.do(call{method: "GET", target: tt.target, caller: tt.caller}).StatusCode
			if refused := status == http.StatusTooManyRequests; refused != tt.shares {
				t.Errorf("answers %d", status)
			}
		})
	}
}

func TestAPI_AnUnlimitedRouteHasNoLimitHeaders(t *testing.T) {
	resp := newRig(serve("GET", "/x", answer(1))).get("/x")
	if _, has := resp.Header["Ratelimit-Limit"]; has {
		t.Error("RateLimit-Limit is set")
	}
}

func TestLimiter_ForgetsFullBucketsWhenThereAreTooMany(t *testing.T) {
	now := time.Unix(0, 0)
	l := httpapi.NewLimiter(func() time.Time { return now })
	set := five(httpapi.PerIP)
	for range 6 {
		l.Take(set, "victim")
	}
	now = now.Add(time.Second)
	for i := range 60_000 {
		l.Take(httpapi.EndpointSet{ID: "fast", Capacity: 1, Refill: 60_000_000}, strconv.Itoa(i))
		now = now.Add(time.Microsecond * 10)
	}
	if _, _, ok := l.Take(set, "victim"); ok {
		t.Error("a bucket that was empty was forgotten")
	}
}

func TestEndpointSets_HaveDistinctIDsAndRealBounds(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range httpapi.EndpointSets() {
		if seen[s.ID] || s.Name == "" || s.Scope == "" || s.Capacity <= 0 || s.Refill <= 0 {
			t.Errorf("%+v", s)
		}
		seen[s.ID] = true
	}
}

func TestAPI_ACallerWhoIsRefusedAgainAndAgainIsSlowedDown(t *testing.T) {
	r := newRig(limited("/api/atlas/v2/groups/{groupId}", five(httpapi.PerGroup)))
	r.gate.refuse = atlas.Fail(atlas.UserCannotAccessGroup, groupID)
	mallory := identity.Caller{ID: "mallory", OrgID: orgID}
	asked := 0
	for i := range 400 { // each time another group, whose bucket is full
		path := fmt.Sprintf("/api/atlas/v2/groups/%024x", i)
		if r.do(call{method: "GET", target: path, caller: mallory}).StatusCode == http.StatusUnauthorized {
			asked++
		}
	}
	if asked != 300 || len(r.gate.attempts) != 300 {
		t.Errorf("%d of 400 attempts reached the gate (%d), want 300", asked, len(r.gate.attempts))
	}
	again := call{method: "GET", target: groupPath, caller: mallory}
	wantError(t, r.do(again), http.StatusTooManyRequests, atlas.RateLimited)
	r.gate.refuse = nil
	r.now = r.now.Add(time.Second)
	if got := r.do(again).StatusCode; got != http.StatusOK {
		t.Errorf("a second later, an attempt that is allowed answers %d", got)
	}
}

// Everybody has 2^64 addresses of IPv6: a bucket for each would be none.
func TestAPI_ANetworkOfIPv6SharesABucket(t *testing.T) {
	for address, shares := range map[string]bool{"2001:db8::1": true, "2001:db8::ffff:1": true, "2001:db8:0:0:a::%eth0": true, "2001:db8:0:1::1": false} {
		r := newRig(limited("/api/atlas/v2/groups/{groupId}", five(httpapi.PerIP)))
		for range 6 {
			r.do(call{method: "GET", target: groupPath, caller: identity.Caller{RemoteAddress: "2001:db8::1"}})
		}
		status := r.do(call{method: "GET", target: groupPath, caller: identity.Caller{RemoteAddress: address}}).StatusCode
		if refused := status == http.StatusTooManyRequests; refused != shares {
			t.Errorf("%s is answered %d", address, status)
		}
	}
}
