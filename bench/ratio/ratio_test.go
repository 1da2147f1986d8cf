package ratio_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/bench/ratio"
)

// costs is a turn that costs what it is told, one after the other.
func costs(log *[]string, name string, values ...float64) ratio.Turn {
	next := 0
	return func(context.Context) (float64, error) {
		*log = append(*log, name)
		next++
		return values[(next-1)%len(values)], nil
	}
}

func contest(name string, budget ratio.Budget, subject, floor ratio.Turn) ratio.Contest {
	return ratio.Contest{
		Name: name, Measures: "made up", Floor: "nothing", Unit: ratio.CPU, Budget: budget, Turns: 3,
		Open: func(context.Context, *ratio.Lab) (ratio.Turn, ratio.Turn, error) { return subject, floor, nil },
	}
}

// run runs entries and returns their results by the JSON that is written.
func run(t *testing.T, options ratio.Options, entries ...ratio.Entry) ([]ratio.Result, error) {
	t.Helper()
	options.JSON = true
	var out bytes.Buffer
	err := ratio.Run(t.Context(), &out, newLab(t), []ratio.Section{{Title: "made up", Entries: entries}}, options)
	var written struct{ Results []ratio.Result }
	if len(out.Bytes()) > 0 {
		if err := json.Unmarshal(out.Bytes(), &written); err != nil {
			t.Fatal(err)
		}
	}
	return written.Results, err
}

func newLab(t *testing.T) *ratio.Lab {
	t.Helper()
	lab, err := ratio.NewLab()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lab.Close(); err != nil {
			t.Error(err)
		}
	})
	return lab
}

func TestBudgets(t *testing.T) {
	tests := map[string]struct {
		budget  ratio.Budget
		subject float64 // the floor costs 2
		want    ratio.Verdict
	}{
		"no budget only reports":            {ratio.Budget{}, 100, ratio.Reported},
		"at most keeps what is equal":       {ratio.AtMost(1.5), 3, ratio.Kept},
		"at most is broken by more":         {ratio.AtMost(1.5), 3.01, ratio.Broken},
		"at least keeps what is equal":      {ratio.AtLeast(1.5), 3, ratio.Kept},
		"at least is broken by less":        {ratio.AtLeast(1.5), 2.99, ratio.Broken},
		"exactly keeps the count":           {ratio.Exactly(1.5), 3, ratio.Kept},
		"exactly is broken by a hundredth":  {ratio.Exactly(1.5), 3.02, ratio.Broken},
		"exactly is broken by less as well": {ratio.Exactly(1.5), 2.98, ratio.Broken},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var log []string
			results, err := run(t, ratio.Options{}, contest("x", tt.budget, costs(&log, "s", tt.subject), costs(&log, "f", 2)))
			if got := results[0].Verdict; got != tt.want {
				t.Errorf("the contest: %s, want %s", got, tt.want)
			}
			if broken := errors.Is(err, ratio.ErrBroken); broken != (tt.want == ratio.Broken) {
				t.Errorf("the run ended with %v", err)
			}
			fact := ratio.Fact{Name: "x", Budget: tt.budget, Measure: func(context.Context, *ratio.Lab) (float64, error) {
				return tt.subject / 2, nil
			}}
			if results, _ = run(t, ratio.Options{}, fact); results[0].Verdict != tt.want {
				t.Errorf("the fact: %s, want %s", results[0].Verdict, tt.want)
			}
		})
	}
}

func TestTurnsAlternateAndTheFirstDoesNotCount(t *testing.T) {
	var log []string
	results, err := run(t, ratio.Options{}, contest("x", ratio.Budget{},
		costs(&log, "s", 1000, 3, 8, 5), costs(&log, "f", 1, 1, 2, 1)))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(log, ""), "sf"+"fs"+"sf"+"fs"; got != want {
		t.Errorf("turns were taken as %s, want %s", got, want)
	}
	r := results[0]
	// Ratios of 3, 4 and 5.
	got := []float64{r.Subject, r.FloorIs, r.Ratio, r.Low, r.High}
	if diff := cmp.Diff([]float64{5, 1, 4, 3.5, 4.5}, got); diff != "" {
		t.Error(diff)
	}
}

func TestMediansOfPairsForgiveAMachineThatSlowsDown(t *testing.T) {
	var log []string
	results, err := run(t, ratio.Options{Turns: 5}, contest("x", ratio.AtMost(2),
		costs(&log, "s", 2, 2, 2, 20, 20, 20), costs(&log, "f", 1, 1, 1, 10, 10, 10)))
	if err != nil {
		t.Error(err)
	}
	if r := results[0]; r.Ratio != 2 || r.Low != 2 || r.High != 2 {
		t.Errorf("%+v", r)
	}
}

func TestWhatCannotBeMeasuredFailsTheRun(t *testing.T) {
	sick := errors.New("it is ill")
	var log []string
	fails := func(context.Context) (float64, error) { return 0, sick }
	unopened := contest("x", ratio.Budget{}, nil, nil)
	unopened.Open = func(context.Context, *ratio.Lab) (ratio.Turn, ratio.Turn, error) { return nil, nil, sick }
	entries := map[string]ratio.Entry{
		"a subject that fails":      contest("x", ratio.Budget{}, fails, costs(&log, "f", 1)),
		"a floor that fails":        contest("x", ratio.Budget{}, costs(&log, "s", 1), fails),
		"a turn without a cost":     contest("x", ratio.Budget{}, costs(&log, "s", 0), costs(&log, "f", 1)),
		"what cannot be opened":     unopened,
		"a fact that can't be told": ratio.Fact{Name: "x", Measure: func(context.Context, *ratio.Lab) (float64, error) { return 0, sick }},
	}
	for name, entry := range entries {
		t.Run(name, func(t *testing.T) {
			well := contest("y", ratio.Budget{}, costs(&log, "s", 1), costs(&log, "f", 1))
			results, err := run(t, ratio.Options{}, entry, well)
			if !errors.Is(err, ratio.ErrBroken) {
				t.Errorf("the run ended with %v", err)
			}
			if results[0].Verdict != ratio.Failed || results[0].Error == "" || results[1].Verdict != ratio.Reported {
				t.Errorf("%+v", results)
			}
		})
	}
}

func TestOnlyChoosesByName(t *testing.T) {
	var log []string
	a := contest("start/a", ratio.Budget{}, costs(&log, "a", 1), costs(&log, "f", 1))
	b := contest("start/b", ratio.Budget{}, costs(&log, "b", 1), costs(&log, "f", 1))
	results, err := run(t, ratio.Options{Only: regexp.MustCompile("/b$")}, a, b)
	if err != nil || len(results) != 1 || results[0].Name != "start/b" {
		t.Errorf("%v %v", results, err)
	}
	if _, err := run(t, ratio.Options{Only: regexp.MustCompile("/c$")}, a, b); err == nil {
		t.Error("a run without entries kept every budget")
	}
}

func TestTheTable(t *testing.T) {
	var log []string
	var out bytes.Buffer
	sections := []ratio.Section{{Title: "Programs", Entries: []ratio.Entry{
		contest("start/a", ratio.AtMost(1.8), costs(&log, "s", 0.012345), costs(&log, "f", 0.01)),
		ratio.Fact{Name: "size/a", Unit: ratio.Bytes, Measure: func(context.Context, *ratio.Lab) (float64, error) { return 12345678, nil }},
		ratio.Fact{Name: "calls", Unit: "calls", Budget: ratio.Exactly(1), Measure: func(context.Context, *ratio.Lab) (float64, error) { return 1.25, nil }},
	}}}
	if err := ratio.Run(t.Context(), &out, newLab(t), sections, ratio.Options{}); !errors.Is(err, ratio.ErrBroken) {
		t.Errorf("the run ended with %v", err)
	}
	want := []string{
		"Programs",
		"subject floor ratio half of them budget",
		"start/a 12.3ms CPU 10ms CPU 1.23 1.23–1.23 ≤ 1.8 kept",
		"size/a 12.35 MB reported",
		"calls 1.25 calls = 1 BROKEN",
	}
	var got []string
	for line := range strings.Lines(strings.TrimSpace(out.String())) {
		got = append(got, strings.Join(strings.Fields(line), " "))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestALabUndoesTheLastFirstAndLeavesNothing(t *testing.T) {
	lab, err := ratio.NewLab()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(lab.Dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var undone string
	lab.Defer(func() { undone += "a" })
	lab.Defer(func() { undone += "b" })
	if err := lab.Close(); err != nil || undone != "ba" {
		t.Errorf("undone %q: %v", undone, err)
	}
	if _, err := os.Stat(lab.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
}

func TestCPUOfCountsWorkAndNoWaiting(t *testing.T) {
	turn := ratio.CPUPerCall(3, func(context.Context) error {
		for i, sum := 0, 0; i < 20_000_000; i++ {
			sum += i
		}
		return nil
	})
	worked, err := turn(t.Context())
	if err != nil || worked <= 0 {
		t.Errorf("work cost %v: %v", worked, err)
	}
}
