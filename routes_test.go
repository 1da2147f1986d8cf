package latchkey_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/local/gateway"
	"latchkey/shared/atlas"
	"latchkey/shared/httpapi"
	"latchkey/shared/identity"
	"latchkey/shared/suite/adminapi"
	"latchkey/shared/suite/encryption"
)

// served are the routes of each function, as its main package assembles them.
func served() map[string][]httpapi.Route {
	return map[string][]httpapi.Route{
		"adminapi": adminapi.New(adminapi.Deps{Now: time.Now}).Routes(),
		"encryption": encryption.New(encryption.Deps{
			Now: time.Now, PrivateEndpointRegions: map[atlas.Provider][]string{atlas.AWS: {"US_EAST_1"}},
		}).Routes(),
	}
}

var parameter = regexp.MustCompile(`\{[^}]+\}`)

// example is a path that a route matches.
func example(path string) string { return parameter.ReplaceAllString(path, "32b6e34b3d91647abb20e7b8") }

func TestRoutes_areReachedThroughTheGateway(t *testing.T) {
	_, functions, spec := load(t)
	names := map[string]string{}
	for _, f := range functions {
		names[f.ID] = f.Name
	}
	reached := map[string]bool{}
	for function, routes := range served() {
		if len(routes) == 0 {
			t.Errorf("functions/%s serves nothing", function)
		}
		for _, r := range routes {
			for _, path := range []string{example(r.Path), example(r.Path) + "/"} {
				via, _, ok := spec.Match(r.Method, path)
				if !ok || names[via.Function] != function {
					t.Errorf("%s %s is served by functions/%s, and %q leads to %q", r.Method, path, function, via.Path, via.Function)
					continue
				}
				reached[via.Path] = true
				// Behind an open route nobody is known; behind a guarded one nobody unknown gets through.
				if public := r.Rule.Scope == identity.Public; public != via.Open {
					t.Errorf("%s is public: %v; the route %s that leads to it is open: %v", r.Operation, public, via.Path, via.Open)
				}
			}
		}
	}
	for _, r := range spec.Routes {
		if names[r.Function] == "console" { // whose pages are no operations; its own tests see to them
			continue
		}
		if !reached[r.Path] {
			t.Errorf("the route %s leads to nothing that a function serves", r.Path)
		}
	}
}

// Whoever asks for the rate limits is told of every operation that draws on them, whichever
// function serves it.
func TestRoutes_areAllListedWithTheirRateLimits(t *testing.T) {
	api := adminapi.New(adminapi.Deps{Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	req := httptest.NewRequestWithContext(httpapi.WithCaller(t.Context(), identity.Caller{Kind: identity.KindAPIKey, ID: "1", OrgID: "2"}),
		http.MethodGet, "/api/atlas/v2/rateLimits?itemsPerPage=500", nil)
	req.Header.Set("Accept", "application/vnd.atlas.2025-03-12+json")
	w := httptest.NewRecorder()
	api.ServeHTTP(w, req)
	var page atlas.Page[struct {
		EndpointSetID string
		Endpoints     []struct{ Method, Path string }
	}]
	if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil || w.Code != http.StatusOK {
		t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	listed, want := map[string]string{}, map[string]string{}
	for _, set := range page.Results {
		for _, e := range set.Endpoints {
			listed[e.Method+" "+e.Path] = set.EndpointSetID
		}
	}
	for _, routes := range served() {
		for _, r := range routes {
			if r.Limit.ID != "" {
				want[r.Method+" "+r.Path] = r.Limit.ID
			}
		}
	}
	if diff := cmp.Diff(want, listed); diff != "" {
		t.Errorf("served (-) and listed (+):\n%s", diff)
	}
}

// REST APIs refuse two variables beside each other, and a greedy one that is not the last.
func TestRoutes_canBeDeployed(t *testing.T) {
	_, _, spec := load(t)
	variable := map[string]string{} // by the path before it
	for _, r := range spec.Routes {
		parts := strings.Split(r.Path, "/")
		for i, part := range parts {
			if !strings.HasPrefix(part, "{") {
				continue
			}
			before := strings.Join(parts[:i], "/")
			if other, has := variable[before]; has && other != part {
				t.Errorf("%s has both %s and %s below it", before, other, part)
			}
			variable[before] = part
			if strings.HasSuffix(part, "+}") && i != len(parts)-1 {
				t.Errorf("%s: %s is not the last segment", r.Path, part)
			}
		}
	}
}

func TestRoutes_ofTheTemplateAreAllGuardedUnlessListed(t *testing.T) {
	open := map[string]string{
		"/api/oauth/{proxy+}":           "the token endpoint authenticates clients itself",
		"/api/private/{proxy+}":         "what the command-line client asks before it has credentials",
		"/api/atlas/v2/unauth/{proxy+}": "public by its name",
		"/":                             "leads to the console",
		"/console":                      "leads to the console",
		"/console/{proxy+}":             "pages open their visitors' sessions themselves, and show what the API shows these",
	}
	_, _, spec := load(t)
	check := func(r gateway.Route) {
		if _, listed := open[r.Path]; listed != r.Open {
			t.Errorf("%s is open: %v", r.Path, r.Open)
		}
	}
	for _, r := range spec.Routes {
		check(r)
	}
}
