package latchkey_test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"

	"latchkey/shared/alert"
	"latchkey/shared/atlas"
	"latchkey/shared/httpapi"
	"latchkey/shared/identity"
	"latchkey/shared/suite/nodes"
)

var loadDescription = sync.OnceValues(func() (*openapi3.T, error) {
	return openapi3.NewLoader().LoadFromFile("docs/openapi.yaml")
})

// description is docs/openapi.yaml. Tests read it only.
func description(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := loadDescription()
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestOpenAPI_isValidWithAllItsExamples(t *testing.T) {
	if err := description(t).Validate(t.Context(), openapi3.EnableExamplesValidation()); err != nil {
		t.Error(err)
	}
}

// contract is what code and description must agree on.
type contract struct {
	Operation  string
	Public     bool
	Roles      []string
	Limit      string
	Versions   []string
	Deprecated map[string]httpapi.Deprecation
}

// ofRoute is what a route promises. Operations of v1.0 have names of their own in the description, in
// which each name must be there once.
func ofRoute(r httpapi.Route) contract {
	c := contract{Operation: r.Operation, Public: r.Rule.Scope == identity.Public, Limit: r.Limit.ID, Deprecated: map[string]httpapi.Deprecation{}}
	if strings.HasPrefix(r.Path, "/api/atlas/v1.0/") {
		c.Operation += "V1"
	}
	for _, role := range r.Rule.Roles {
		c.Roles = append(c.Roles, string(role))
	}
	for _, v := range r.Versions {
		c.Versions = append(c.Versions, string(v))
		if d, is := r.Deprecated[v]; is {
			c.Deprecated[string(v)] = d
		}
	}
	return c
}

// ofOperation is what the description promises.
func ofOperation(doc *openapi3.T, op *openapi3.Operation) contract {
	c := contract{Operation: op.OperationID, Deprecated: map[string]httpapi.Deprecation{}}
	security := doc.Security
	if op.Security != nil {
		security = *op.Security
	}
	c.Public = len(security) == 0 || slices.ContainsFunc(security, func(r openapi3.SecurityRequirement) bool {
		_, node := r["nodeToken"] // the operation checks it itself
		return len(r) == 0 || node
	})
	c.Roles, c.Versions = texts(op.Extensions["x-roles"]), texts(op.Extensions["x-versions"])
	c.Limit, _ = op.Extensions["x-rate-limit"].(string)
	replaced, _ := op.Extensions["x-deprecated-versions"].(map[string]any)
	for version, value := range replaced {
		dates, _ := value.(map[string]any)
		deprecation, _ := dates["deprecation"].(string)
		sunset, _ := dates["sunset"].(string)
		c.Deprecated[version] = httpapi.Deprecation{Deprecation: deprecation, Sunset: sunset}
	}
	return c
}

func texts(v any) []string {
	list, _ := v.([]any)
	var all []string
	for _, item := range list {
		text, _ := item.(string)
		all = append(all, text)
	}
	return all
}

// described lists every operation of the description by method and path.
func described(doc *openapi3.T) map[string]*openapi3.Operation {
	all := map[string]*openapi3.Operation{}
	for path, item := range doc.Paths.Map() {
		for method, operation := range item.Operations() {
			all[method+" "+path] = operation
		}
	}
	return all
}

func TestOpenAPI_describesExactlyWhatIsServed(t *testing.T) {
	want, got := map[string]contract{}, map[string]contract{}
	routes := slices.Concat(slices.Collect(maps.Values(served()))...)
	for _, r := range append(routes, nodes.New(nodes.Deps{}).Routes()...) {
		want[r.Method+" "+r.Path] = ofRoute(r)
	}
	doc := description(t)
	for key, operation := range described(doc) {
		got[key] = ofOperation(doc, operation)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("served (-) and described (+):\n%s", diff)
	}
}

// Each version of an operation is a media type of its own, in what is sent and in what is answered.
func TestOpenAPI_describesEveryVersion(t *testing.T) {
	for key, operation := range described(description(t)) {
		want := map[string]bool{}
		for _, version := range texts(operation.Extensions["x-versions"]) {
			want[strings.TrimSuffix(atlas.Version(version).MediaType(), ";charset=utf-8")] = true
		}
		if len(want) == 0 {
			continue
		}
		bodies := map[string]openapi3.Content{}
		if operation.RequestBody != nil {
			bodies["request"] = operation.RequestBody.Value.Content
		}
		for status, response := range operation.Responses.Map() {
			if strings.HasPrefix(status, "2") && len(response.Value.Content) > 0 {
				bodies[status] = response.Value.Content
			}
		}
		for place, content := range bodies {
			got := map[string]bool{}
			for media := range content {
				got[media] = true
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s, %s: versions (-) and described (+):\n%s", key, place, diff)
			}
		}
	}
}

// A member that is not described would go unnoticed in an answer whose schema is open.
func TestOpenAPI_leavesNothingInAnswersUndescribed(t *testing.T) {
	seen := map[*openapi3.Schema]bool{}
	var visit func(where string, ref *openapi3.SchemaRef)
	visit = func(where string, ref *openapi3.SchemaRef) {
		if ref == nil || seen[ref.Value] {
			return
		}
		s := ref.Value
		seen[s] = true
		if s.Type.Is("object") && s.AdditionalProperties.Has == nil && s.AdditionalProperties.Schema == nil {
			t.Errorf("%s may have members that are not described", where)
		}
		for name, property := range s.Properties {
			visit(where+"."+name, property)
		}
		for _, part := range slices.Concat(s.OneOf, s.AnyOf, s.AllOf, openapi3.SchemaRefs{s.Items, s.AdditionalProperties.Schema}) {
			visit(where+"[]", part)
		}
	}
	for key, operation := range described(description(t)) {
		for status, response := range operation.Responses.Map() {
			for _, media := range response.Value.Content {
				visit(key+" "+status, media.Schema)
			}
		}
	}
}

// What refuses a request is told with the status that it comes with.
func TestOpenAPI_tellsOfEveryErrorCode(t *testing.T) {
	doc := description(t)
	told := map[int]string{}
	for _, operation := range described(doc) {
		for _, code := range []int{400, 401, 403, 404, 405, 406, 409, 413, 429, 503} {
			if response := operation.Responses.Status(code); response != nil {
				told[code] += *response.Value.Description
			}
		}
		told[http.StatusInternalServerError] += *operation.Responses.Default().Value.Description
	}
	unused := map[atlas.Code]bool{
		atlas.Unauthenticated:                 true, // goes over the wire as UNEXPECTED_ERROR
		atlas.VersionGone:                     true, // no version has been taken away yet
		atlas.CannotDeleteFromClusterSnapshot: true, // no cluster keeps its snapshots from being deleted
	}
	for _, code := range atlas.Codes() {
		if !unused[code] && !strings.Contains(told[code.Status()], "`"+string(code)+"`") {
			t.Errorf("no operation tells of %d %s", code.Status(), code)
		}
	}
}

// Lists that stand in the code and in the description are the same.
func TestOpenAPI_listsWhatTheCodeLists(t *testing.T) {
	lists := map[string][]string{}
	add := func(schema, value string) { lists[schema] = append(lists[schema], value) }
	for _, region := range atlas.AWSRegions() {
		add("AWSRegion", strings.ToUpper(strings.ReplaceAll(string(region), "-", "_")))
	}
	for _, set := range httpapi.EndpointSets() {
		add("EndpointSetId", set.ID)
	}
	for _, kind := range alert.Kinds() {
		add("NotificationType", string(kind))
	}
	for _, severity := range alert.Severities() {
		add("AlertSeverity", string(severity))
	}
	for _, name := range alert.Types() {
		add("AlertableEventType", string(name))
	}
	for _, provider := range atlas.Providers() {
		add("Provider", string(provider))
	}
	lists["MatcherField"] = alert.MatcherFields()
	doc := description(t)
	for schema, want := range lists {
		if diff := cmp.Diff(want, texts(doc.Components.Schemas[schema].Value.Enum)); diff != "" {
			t.Errorf("%s: code (-) and description (+):\n%s", schema, diff)
		}
	}
}

// A limit on the body that is not the server's would be found out by clients.
func TestOpenAPI_tellsTheLimitOfBodies(t *testing.T) {
	tooLarge := description(t).Components.Responses["TooLarge"].Value
	if httpapi.MaxBody != 1<<20 || !strings.Contains(*tooLarge.Description, "1 MiB") {
		t.Errorf("bodies have up to %d bytes; the description says %q", httpapi.MaxBody, *tooLarge.Description)
	}
}
