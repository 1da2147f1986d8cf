package programs_test

import (
	"testing"

	"latchkey/bench/programs"
	"latchkey/bench/ratio"
	"latchkey/shared/httpapi"
)

func TestEveryEntrySaysWhatItIs(t *testing.T) {
	seen := map[string]bool{}
	for _, entry := range programs.Section().Entries {
		name, measures, floor := "", "", "none"
		switch e := entry.(type) {
		case ratio.Contest:
			name, measures, floor = e.Name, e.Measures, e.Floor
		case ratio.Fact:
			name, measures = e.Name, e.Measures
		}
		if measures == "" || floor == "" || seen[name] {
			t.Errorf("%q measures %q against %q, or is there twice", name, measures, floor)
		}
		seen[name] = true
	}
	for _, name := range []string{"start/authorizer", "start/validate", "request/encryptionAtRest", "authorize/digest", "ready/local"} {
		if !seen[name] {
			t.Errorf("nothing measures %s", name)
		}
	}
}

func TestNoProjectIsAskedMoreOftenThanItMayBe(t *testing.T) {
	if allowed := httpapi.LimitEncryption.Capacity; programs.RequestsOfProject > allowed {
		t.Errorf("%d requests, of which %d are answered", programs.RequestsOfProject, allowed)
	}
}
