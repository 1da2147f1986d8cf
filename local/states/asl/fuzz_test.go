package asl_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/local/states/asl"
)

// FuzzExpression evaluates any path or call on any input. It is the same each time, changes nothing in the
// input, and what comes out is JSON; and it takes no time.
func FuzzExpression(f *testing.F) {
	const input = `{"a":{"b":[10,20,{"c":null}]},"c.d":true,"it's":1,"list":[3,1,3],"json":"{\"a\":[1]}","name":"Ada","pattern":"<{}>","n":9223372036854775807,"x":1.5}`
	for _, text := range []string{
		"$", "$$.State.Name", "$.a.b[-1]", "$..c", "$.a.b[?(@.c == null)]", "$['c.d']", "$.a.b[0:2:-1]", "$.a.b[*]", "$[?(@..x)]", "$.a.b[0,1]",
		"States.Format('{} {}', $.name, States.Array($.n, 1e3, null))", "States.ArrayUnique($.list)", "States.ArrayPartition($.list, 2)", "States.ArrayRange(1, 9, 2)",
		"States.StringToJson($.json)", "States.JsonMerge($.a, $.a, false)", "States.Base64Decode('AA==')", "States.StringSplit('a,b;c', ',;')", "States.MathAdd($.n, 1)",
		"States.Hash($.name, 'SHA-512')", "States.Format($.pattern, $)", "States.ArrayContains($.list, 3.0)", "States.ArrayGetItem($.list, $.n)",
	} {
		f.Add(text, input)
	}
	f.Add("$..*", strings.Repeat("[", 500)+strings.Repeat("]", 500))
	f.Fuzz(func(t *testing.T, text, input string) {
		v, err := asl.Unmarshal([]byte(input))
		if err != nil || len(input) > 64<<10 {
			return
		}
		template, err := asl.ParseTemplate(map[string]any{"v.$": text})
		if err != nil {
			return
		}
		before, err := asl.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		fill := func() string {
			begun := time.Now()
			got, failure := template.Fill(&asl.Env{Input: v, Context: map[string]any{"State": map[string]any{"Name": "x"}}, UUID: func() string { return "uuid" }})
			if took := time.Since(begun); took > 2*time.Second {
				t.Errorf("%q of %d bytes took %s", text, len(input), took)
			}
			if failure != nil {
				return fmt.Sprint(failure)
			}
			out, err := asl.Marshal(got)
			if err != nil {
				t.Fatalf("%q of %q is no JSON: %v", text, input, err)
			}
			if _, err := asl.Unmarshal(out); err != nil {
				t.Fatalf("%q of %q is %q: %v", text, input, out, err)
			}
			return string(out)
		}
		first := fill()
		if second := fill(); second != first {
			t.Errorf("%q of %q is %q, and then %q", text, input, first, second)
		}
		if after, err := asl.Marshal(v); err != nil || string(after) != string(before) {
			t.Errorf("%q changes %q to %q", text, before, after)
		}
	})
}

// FuzzReference puts a value where any reference path says, and finds it there; everything else is as it was.
func FuzzReference(f *testing.F) {
	for _, text := range []string{"$", "$.a.b", "$['a'][0]", `$["it's"].x`, "$.a[18446744073709551616]", "$$.a", "$.a[0][0]", `$['\\'].é`} {
		f.Add(text, `{"a":[[1],2],"it's":{},"b":null}`)
	}
	f.Fuzz(func(t *testing.T, text, input string) {
		root, err := asl.Unmarshal([]byte(input))
		if err != nil {
			return
		}
		p, err := asl.ParseReference(text)
		if err != nil {
			return
		}
		if p.String() != text {
			t.Errorf("%q is shown as %q", text, p)
		}
		if _, err := asl.ParsePath(text); err != nil {
			t.Errorf("%q is a reference path and no path: %v", text, err)
		}
		before, err := asl.Marshal(root)
		if err != nil {
			t.Fatal(err)
		}
		out, failure := p.Put(root, "here")
		if after, _ := asl.Marshal(root); string(after) != string(before) {
			t.Fatalf("%q changes %q to %q", text, before, after)
		}
		if failure != nil {
			return
		}
		got, ok := p.Find(&asl.Env{Input: out, Context: out})
		if !ok || got != "here" {
			t.Errorf("%q in %q: found %v", text, input, got)
		}
		if was, ok := p.Find(&asl.Env{Input: root, Context: root}); ok { // put back, all is as it was
			back, failure := p.Put(out, was)
			if failure != nil || !cmp.Equal(back, root) {
				t.Errorf("%q in %q does not come back: %v", text, input, failure)
			}
		}
	})
}

// A list may be as long as a payload.
func TestArrayUnique_TakesNoTimeForALongList(t *testing.T) {
	var list strings.Builder
	for i := range 40_000 {
		fmt.Fprintf(&list, "%d,", i)
	}
	begun := time.Now()
	got, failure := compute(t, "States.ArrayUnique($)", "["+list.String()+"7.0,[1,{\"a\":0}],[1.0,{\"a\":-0.0}],\"7\"]")
	if took := time.Since(begun); failure != nil || len(got.([]any)) != 40_002 || took > 2*time.Second {
		t.Errorf("%d elements after %s, %v", len(got.([]any)), took, failure)
	}
}
