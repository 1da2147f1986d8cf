package openapitest_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"latchkey/shared/httpapi/openapitest"
)

const small = `
openapi: 3.0.3
info: {title: t, version: "1"}
paths:
  /things/{id}:
    parameters: [{name: id, in: path, required: true, schema: {type: string, pattern: "^[0-9]+$"}}]
    put:
      operationId: putThing
      x-roles: [OWNER]
      x-versions: ["2023-01-01"]
      parameters: [{name: loud, in: query, schema: {type: boolean}}]
      requestBody:
        required: true
        content: {application/vnd.atlas.2023-01-01+json: {schema: {type: object, required: [size], properties: {size: {type: integer}}}}}
      responses:
        "200":
          description: It is put.
          headers: {X-Request-Id: {required: true, schema: {type: string}}}
          content:
            application/vnd.atlas.2023-01-01+json:
              schema: {type: object, additionalProperties: false, properties: {size: {type: integer}}}
        "204": {description: Nothing was there to put.}
        "404": {description: "` + "`NO_SUCH_THING`" + `.", content: {application/json: {schema: {type: object}}}}
components:
  responses:
    BadRequest: {description: none}
    Invalid: {description: none}
`

func load(t *testing.T) *openapitest.Description {
	t.Helper()
	file := filepath.Join(t.TempDir(), "openapi.yaml")
	if err := os.WriteFile(file, []byte(small), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := openapitest.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// exchange is one that is as described, to be changed by tests.
type exchange struct {
	method, path, sent string
	status             int
	media, code, body  string
	anonymous, hostile bool
}

func asDescribed() exchange {
	return exchange{
		method: "PUT", path: "/things/7?loud=true&pretty=true", sent: `{"size":1}`, status: 200,
		media: "application/vnd.atlas.2023-01-01+json;charset=utf-8", body: `{"size":1}`,
	}
}

func (x exchange) serve(t *testing.T, d *openapitest.Description) (failed []string) {
	t.Helper()
	served := d.Around(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !x.anonymous {
			w.Header().Set("X-Request-Id", "1")
		}
		if x.code != "" {
			w.Header().Set("X-Error-Code", x.code)
		}
		w.Header().Set("Content-Type", x.media)
		w.WriteHeader(x.status)
		w.Write([]byte(x.body)) //nolint:errcheck // a recorder takes everything
	}), func(err error) { failed = append(failed, err.Error()) })
	ctx := t.Context()
	if x.hostile {
		ctx = openapitest.Hostile(ctx)
	}
	r := httptest.NewRequestWithContext(ctx, x.method, x.path, strings.NewReader(x.sent))
	r.Header.Set("Accept", "application/vnd.atlas.2024-08-05+json")
	r.Header.Set("Content-Type", "application/json")
	answer := httptest.NewRecorder()
	served.ServeHTTP(answer, r)
	if answer.Code != x.status || answer.Body.String() != x.body || answer.Header().Get("Content-Type") != x.media {
		t.Errorf("passed on: %d %s", answer.Code, answer.Body)
	}
	return failed
}

func TestCheck_FindsWhatIsNotDescribed(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*exchange)
		found  string // "" if nothing is wrong
	}{
		"nothing":                        {func(*exchange) {}, ""},
		"another operation":              {func(x *exchange) { x.method = "GET" }, "is not described"},
		"another operation, refused":     {func(x *exchange) { x.method, x.status = "GET", 405 }, ""},
		"a parameter of the query":       {func(x *exchange) { x.path = "/things/7?quiet=true" }, "parameter quiet"},
		"a parameter of the path":        {func(x *exchange) { x.path = "/things/x" }, `parameter "id"`},
		"a body that succeeds":           {func(x *exchange) { x.sent = `{}` }, `"size" is missing`},
		"a hostile body that succeeds":   {func(x *exchange) { x.sent, x.hostile = `{}`, true }, ""},
		"a status":                       {func(x *exchange) { x.status = 201 }, "status is not described"},
		"a media type":                   {func(x *exchange) { x.media = "application/json" }, "Content-Type"},
		"a missing header":               {func(x *exchange) { x.anonymous = true }, "X-Request-Id"},
		"a member":                       {func(x *exchange) { x.body = `{"size":1,"colour":2}` }, `"colour" is unsupported`},
		"a type of a member":             {func(x *exchange) { x.body = `{"size":"L"}` }, "size"},
		"a body where there is none":     {func(x *exchange) { x.status = 204 }, "a body is not described"},
		"an error code":                  {func(x *exchange) { x.status, x.code, x.media = 404, "GONE_FISHING", "application/json" }, "GONE_FISHING"},
		"an error code that is told of":  {func(x *exchange) { x.status, x.code, x.media = 404, "NO_SUCH_THING", "application/json" }, ""},
		"an answer without its envelope": {func(x *exchange) { x.path = "/things/7?envelope=true" }, "no envelope"},
		"an answer in its envelope": {func(x *exchange) {
			x.path, x.body = "/things/7?envelope=true", `{"status":200,"content":{"size":1}}`
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			x := asDescribed()
			tt.change(&x)
			failed := strings.Join(x.serve(t, load(t)), "\n")
			if (failed == "") != (tt.found == "") || !strings.Contains(failed, tt.found) {
				t.Errorf("found %q, want %q", failed, tt.found)
			}
		})
	}
}

func TestMissing_DemandsSuccessAtEachVersionAndRefusal(t *testing.T) {
	d := load(t)
	demand := func(want ...string) {
		t.Helper()
		if got := d.Missing(); !slices.Equal(got, want) {
			t.Errorf("missing %q, want %q", got, want)
		}
	}
	demand("putThing 2023-01-01", "putThing refused")
	asDescribed().serve(t, d)
	demand("putThing refused")
	refusal := asDescribed()
	refusal.status, refusal.media = 404, "application/json"
	refusal.serve(t, d)
	demand("putThing refused") // whoever refused it did not say why: it was not the operation
	refusal.code = "NO_SUCH_THING"
	refusal.serve(t, d)
	demand()
}
