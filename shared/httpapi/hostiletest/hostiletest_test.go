package hostiletest_test

import (
	"encoding/json"
	"testing"

	"latchkey/shared/httpapi/hostiletest"
)

func TestTwist_ChangesEachPartInEachWay(t *testing.T) {
	const document = `{"a":[1,{"b":"c"}],"d":null}`
	if n := hostiletest.Parts(document); n != 6 {
		t.Fatalf("it has %d parts", n)
	}
	seen := map[string]bool{}
	for part := range hostiletest.Parts(document) {
		for way := range hostiletest.Twists() {
			got := hostiletest.Twist(document, part, way)
			if got != "" && !json.Valid([]byte(got)) {
				t.Errorf("part %d, way %d: %q", part, way, got)
			}
			seen[got] = true
		}
	}
	// Some ways do the same to some parts; most do not.
	if len(seen) < 6*hostiletest.Twists()-20 {
		t.Errorf("only %d documents", len(seen))
	}
	for _, want := range []string{`{"a":[{"b":"c"}],"d":null}`, `{"a":[1,{"b":"c"}]}`, `{"a":[1,{"b":["c"]}],"d":null}`, `{"a":[1,{"b":1e400}],"d":null}`} {
		if !seen[want] {
			t.Errorf("never made %s", want)
		}
	}
}

func TestTwist_LeavesAloneWhatIsNoJSON(t *testing.T) {
	for _, s := range []string{"", "{", "x"} {
		if got := hostiletest.Twist(s, 1, 2); got != s {
			t.Errorf("%q became %q", s, got)
		}
	}
}
