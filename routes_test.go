package latchkey_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"latchkey/local/gateway"
	"latchkey/shared/httpapi"
	"latchkey/shared/identity"
	"latchkey/shared/suite/adminapi"
	"latchkey/shared/suite/encryption"
)

// served are the routes of each function, as its main package assembles them.
func served() map[string][]httpapi.Route {
	return map[string][]httpapi.Route{
		"adminapi":   adminapi.New(adminapi.Deps{Now: time.Now}).Routes(),
		"encryption": encryption.New(encryption.Deps{Now: time.Now}).Routes(),
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
		if !reached[r.Path] {
			t.Errorf("the route %s leads to nothing that a function serves", r.Path)
		}
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
