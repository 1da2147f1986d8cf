package asl_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"latchkey/local/states/asl"
)

func value(t testing.TB, text string) any {
	t.Helper()
	v, err := asl.Unmarshal([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestFind(t *testing.T) {
	env := &asl.Env{
		Input: value(t, `{"a": {"b": [10, 20, 30]}, "c.d": true, "n": null, "it's": 1, "-x_1": 2, "ü": 3,
			"list": [{"id": 1, "on": true}, {"id": 2, "on": false}, {"id": 3, "on": true}]}`),
		Context: value(t, `{"State": {"Name": "here"}}`),
	}
	tests := map[string]string{ // "" is not found
		"$.a.b[1]":                   `20`,
		"$.a.b[-1]":                  `30`,
		"$['a']['b'][0]":             `10`,
		`$["c.d"]`:                   `true`,
		`$['it\'s']`:                 `1`,
		"$.-x_1":                     `2`,
		"$.ü":                        `3`,
		"$.n":                        `null`,
		"$.nothing":                  ``,
		"$.a.b[3]":                   ``,
		"$.a.b.c":                    ``,
		"$.n.x":                      ``,
		"$.a.b[0:2]":                 `[10, 20]`,
		"$.a.b[*]":                   `[10, 20, 30]`,
		"$.list[*].id":               `[1, 2, 3]`,
		"$.list[?(@.on == true)].id": `[1, 3]`,
		"$.list[?(@.id > 1)].id":     `[2, 3]`,
		"$.list[?(@.id > 9)].id":     `[]`,
		"$.list[0,2].id":             `[1, 3]`,
		"$..id":                      `[1, 2, 3]`,
		"$$.State.Name":              `"here"`,
		"$$.State":                   `{"Name": "here"}`,
	}
	for path, want := range tests {
		t.Run(path, func(t *testing.T) {
			p, err := asl.ParsePath(path)
			if err != nil {
				t.Fatal(err)
			}
			got, ok := p.Find(env)
			if ok != (want != "") {
				t.Fatalf("found %v, %v", got, ok)
			}
			if ok {
				if diff := cmp.Diff(value(t, want), got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestParseReference_refuses_what_means_several_places(t *testing.T) {
	for _, path := range []string{
		"", "a", "$.", "$..a", "$.a[*]", "$.*", "$.a[0:1]", "$.a[-1]", "$.a[0,1]", "$.a[?(@.b)]", "$.a[]", "$.a['b'", "$.a['b]", "$a", "$.a b", "$.a.length()", "$[99999999999999999999]",
	} {
		if p, err := asl.ParseReference(path); err == nil {
			t.Errorf("%q was taken for %+v", path, p)
		}
	}
}

func TestPut(t *testing.T) {
	tests := map[string]struct{ path, root, want string }{
		"replaces the root":            {"$", `{"a": 1}`, `9`},
		"makes what is on the way":     {"$.a.b.c", `{}`, `{"a": {"b": {"c": 9}}}`},
		"keeps what is beside it":      {"$.a.b", `{"a": {"c": 1}, "d": 2}`, `{"a": {"b": 9, "c": 1}, "d": 2}`},
		"replaces an element":          {"$.a[1].x", `{"a": [{}, {}]}`, `{"a": [{}, {"x": 9}]}`},
		"makes no elements":            {"$.a[2]", `{"a": [1, 2]}`, ``},
		"makes no lists":               {"$.a[0]", `{}`, ``},
		"puts nothing in a number":     {"$.a.b", `{"a": 1}`, ``},
		"puts nothing in null":         {"$.a.b", `{"a": null}`, ``},
		"puts nothing beside a string": {"$.a", `"x"`, ``},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p, err := asl.ParseReference(tt.path)
			if err != nil {
				t.Fatal(err)
			}
			root := value(t, tt.root)
			got, failure := p.Put(root, int64(9))
			if diff := cmp.Diff(value(t, tt.root), root); diff != "" {
				t.Errorf("what it was put into has changed:\n%s", diff)
			}
			if tt.want == "" {
				if failure == nil || failure.Name != asl.ErrResultPathMatchFailure {
					t.Errorf("got %v, %v", got, failure)
				}
				return
			}
			if failure != nil {
				t.Fatal(failure)
			}
			if diff := cmp.Diff(value(t, tt.want), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// drawPath draws steps and spells them in every way there is.
func drawPath(t *rapid.T) string {
	var path strings.Builder
	path.WriteString("$")
	for range rapid.IntRange(0, 5).Draw(t, "steps") {
		name := rapid.StringMatching(`[a-zü_-]{1,4}`).Draw(t, "name")
		switch rapid.IntRange(0, 3).Draw(t, "spelling") {
		case 0:
			fmt.Fprintf(&path, ".%s", name)
		case 1:
			odd := rapid.StringMatching(`[a-z'\\ .\]]{0,4}`).Draw(t, "odd")
			fmt.Fprintf(&path, "['%s']", strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(odd))
		case 2:
			fmt.Fprintf(&path, `["%s"]`, name)
		case 3:
			fmt.Fprintf(&path, ".%s[0]", name)
		}
	}
	return path.String()
}

func TestPut_is_found_again_where_it_was_put(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := drawPath(t)
		p, err := asl.ParseReference(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		v := rapid.Int64().Draw(t, "value")
		root := map[string]any{"keep": []any{int64(1)}}
		out, failure := p.Put(root, v)
		if failure != nil {
			if !strings.Contains(text, "[0]") {
				t.Fatalf("%s: %v", text, failure)
			}
			return
		}
		got, ok := p.Find(&asl.Env{Input: out})
		if !ok || got != v {
			t.Fatalf("%s: put %d, found %v, %v in %v", text, v, got, ok, out)
		}
		if object, isObject := out.(map[string]any); isObject && !strings.HasPrefix(text, "$.keep") && object["keep"] == nil {
			t.Fatalf("%s has lost what was beside it: %v", text, out)
		}
	})
}

func TestParsePath_never_panics(t *testing.T) {
	envs := []*asl.Env{
		{Input: map[string]any{"a": []any{int64(1), "x", nil, map[string]any{"b": 1.5, "a": nil}}}, Context: map[string]any{}},
		{Input: nil},
		{Input: "x"},
		{Input: []any{nil}},
		{Input: map[string]any{"a": nil}},
	}
	rapid.Check(t, func(t *rapid.T) {
		text := "$" + rapid.StringMatching(`[.$@a-b0-2\[\]'"*?():,=<>!&| -]{0,14}`).Draw(t, "path")
		if p, err := asl.ParsePath(text); err == nil {
			for _, env := range envs {
				p.Find(env)
			}
		}
	})
}
