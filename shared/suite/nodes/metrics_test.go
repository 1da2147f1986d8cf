package nodes_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/local/pocket"
)

// counted adds up a metric in the log by the values of its dimensions, and says which members its lines have.
func (w *world) counted(metric string) (totals map[string]int, members []string) {
	w.t.Helper()
	totals = map[string]int{}
	seen := map[string]bool{}
	for line := range strings.Lines(w.log.String()) {
		var e map[string]any
		w.must(json.Unmarshal([]byte(line), &e))
		n, ok := e[metric].(float64)
		if !ok {
			continue
		}
		var dimensions []string
		for _, name := range []string{"Outcome", "Provider", "Operation", "Class"} {
			if value, ok := e[name].(string); ok {
				dimensions = append(dimensions, value)
			}
		}
		totals[strings.Join(dimensions, " ")] += int(n)
		for name := range e {
			seen[name] = true
		}
	}
	return totals, slices.Sorted(maps.Keys(seen))
}

func TestReleasesAndCallsAreCountedByHowTheyEnd(t *testing.T) {
	inWorld(t, func(w *world) {
		a := w.enrol(nodeA)
		wrapped := a.wrap("k1")
		before, _ := w.counted("KeyServiceCalls") // to configure the key
		ask := func(key string) { w.release(a.bearer(nodeA), nodeA, key, wrapped) }
		ask("k1")
		ask("k1")
		ask("k2")
		w.Faults.Set(pocket.Fault{Host: kmsAPI, Kind: pocket.ServerError})
		ask("k1")
		w.Faults.Clear()
		w.enableCMK(nodeA, false)
		ask("k1")
		w.enableCMK(nodeA, true)
		w.disable(nodeA, "KEY_DISABLED")
		ask("k1")
		totals, members := w.counted("MasterKeyReleases")
		if diff := cmp.Diff(map[string]int{"GRANTED": 2, "REJECTED": 1, "UNAVAILABLE": 1, "REFUSED": 2}, totals); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{"MasterKeyReleases", "Outcome", "_aws", "level", "msg", "time"}, members); diff != "" {
			t.Error(diff)
		}
		totals, members = w.counted("KeyServiceCalls")
		want := map[string]int{"AWS DECRYPT VALID": 2, "AWS DECRYPT UNREACHABLE": 1, "AWS DECRYPT INVALID": 2}
		for kind, n := range want {
			if got := totals[kind] - before[kind]; got != n {
				t.Errorf("%d calls are %s, want %d: %v", got, kind, n, totals)
			}
		}
		if diff := cmp.Diff([]string{"Class", "KeyServiceCalls", "Operation", "Provider", "_aws", "level", "msg", "time"}, members); diff != "" {
			t.Error(diff)
		}
	})
}
