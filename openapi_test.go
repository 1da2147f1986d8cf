package latchkey_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"

	"latchkey/shared/httpapi"
	"latchkey/shared/suite/nodes"
)

// own is where the routes are that are no part of the Administration API.
const own = "/api/latchkey/"

func description(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromFile("docs/openapi.yaml")
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

func TestOpenAPI_describesExactlyWhatIsServed(t *testing.T) {
	want, got := map[string]string{}, map[string]string{}
	routes := slices.Concat(slices.Collect(maps.Values(served()))...)
	for _, r := range append(routes, nodes.New(nodes.Deps{}).Routes()...) {
		if strings.HasPrefix(r.Path, own) {
			want[r.Method+" "+r.Path] = r.Operation
		}
	}
	for path, item := range description(t).Paths.Map() {
		for method, operation := range item.Operations() {
			got[method+" "+path] = operation.OperationID
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("served (-) and described (+):\n%s", diff)
	}
}

// A limit on the body that is not the server's would be found out by clients.
func TestOpenAPI_tellsTheLimitOfBodies(t *testing.T) {
	tooLarge := description(t).Components.Responses["TooLarge"].Value
	if httpapi.MaxBody != 1<<20 || !strings.Contains(*tooLarge.Description, "1 MiB") {
		t.Errorf("bodies have up to %d bytes; the description says %q", httpapi.MaxBody, *tooLarge.Description)
	}
}
