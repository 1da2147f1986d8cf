package sim_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/sim"
)

var (
	processes = flag.Int("processes", 1, "how many processes share the seeds: a world has one processor")
	reports   = flag.String("reports", "", "a file that gets a line of JSON for each seed")
)

// outcome is what came of a seed.
type outcome struct {
	Seed uint64
	Took time.Duration
	sim.Report
}

// tally counts what came of many seeds.
type tally struct {
	mu                     sync.Mutex
	seeds, violated, steps int
	lived, took            time.Duration
	faults, deeds, events  map[string]int
	waits                  map[string][]time.Duration
}

func (a *tally) add(t *testing.T, o outcome) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.faults == nil {
		a.faults, a.deeds, a.events, a.waits = map[string]int{}, map[string]int{}, map[string]int{}, map[string][]time.Duration{}
	}
	a.seeds++
	a.steps += o.Steps
	a.lived += o.Lived
	a.took += o.Took
	for what, n := range o.Faults {
		a.faults[what] += n
	}
	for what, n := range o.Deeds {
		a.deeds[what] += n
	}
	for what, n := range o.Events {
		a.events[what] += n
	}
	for what, took := range o.Waits {
		a.waits[what] = append(a.waits[what], took...)
	}
	t.Logf("seed %d, %s in %s: %v", o.Seed, o.Lived.Round(time.Minute), o.Took.Round(time.Millisecond), o.Report)
	if len(o.Failed) > 0 {
		a.violated++
		t.Errorf("seed %d violates a promise; to read its history: make sim SEED=%d%s", o.Seed, o.Seed, arguments())
	}
}

// arguments are the flags that make a seed's world what it is.
func arguments() string {
	var given []string
	for _, name := range []string{"for", "groups", "rate", "crowd", "quiet"} {
		if f := flag.Lookup(name); f.Value.String() != f.DefValue {
			given = append(given, fmt.Sprintf("-%s=%s", name, f.Value))
		}
	}
	if len(given) == 0 {
		return ""
	}
	return fmt.Sprintf(" ARGS=%q", strings.Join(given, " "))
}

// tell sums up.
func (a *tally) tell(t *testing.T) {
	t.Helper()
	t.Logf("%s of virtual time in %s: %d steps; faults: %v; deeds: %v; events: %v", a.lived.Round(time.Hour), a.took.Round(time.Second), a.steps, a.faults, a.deeds, a.events)
	for what, took := range a.waits {
		slices.Sort(took)
		at := func(q float64) time.Duration { return took[int(q*float64(len(took)-1))].Round(time.Second) }
		t.Logf("%s: %d times, p50 %s, p99 %s, max %s", what, len(took), at(0.5), at(0.99), at(1))
	}
	summary = fmt.Sprintf("%d seeds, %d with violations", a.seeds, a.violated)
	a.demandAll(t)
}

// enough is how many seeds meet everything that can befall them.
const enough = 200

// demandAll demands that every kind of fault was met in a long range of worlds as they usually are, and that none is
// counted by another name: what befalls nobody proves nothing.
func (a *tally) demandAll(t *testing.T) {
	t.Helper()
	if a.seeds < enough || arguments() != "" {
		return
	}
	kinds := sim.Kinds()
	for _, kind := range kinds {
		if a.faults[kind] == 0 {
			t.Errorf("%d seeds have not met %q: it is too rare, or does not happen any more", a.seeds, kind)
		}
	}
	for kind := range a.faults {
		if !slices.Contains(kinds, kind) {
			t.Errorf("%q is counted, and not among the kinds of faults", kind)
		}
	}
}

// report tells the process that shares out the seeds what came of one.
func report(t *testing.T, o outcome) {
	t.Helper()
	if *reports == "" {
		return
	}
	line, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.OpenFile(*reports, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	_, err = out.Write(append(line, '\n'))
	if err := errors.Join(err, out.Close()); err != nil {
		t.Fatal(err)
	}
}

// share is how many seeds a process gets at a time.
const share = 25

// spread has several processes run the seeds.
func spread(t *testing.T, all *tally) {
	t.Helper()
	var next atomic.Uint64
	var running sync.WaitGroup
	for range *processes {
		running.Go(func() {
			for from := next.Add(share) - share; from < *seeds; from = next.Add(share) - share {
				if *eager && all.anyViolated() {
					return
				}
				all.addFrom(t, *first+from, min(share, *seeds-from))
			}
		})
	}
	running.Wait()
}

func (a *tally) anyViolated() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.violated > 0
}

// addFrom runs some seeds in a process of their own.
func (a *tally) addFrom(t *testing.T, from, count uint64) {
	t.Helper()
	file := fmt.Sprintf("%s/%d", t.TempDir(), from)
	args := append(slices.Clone(os.Args[1:]), // the last of equal flags counts
		"-processes=1", fmt.Sprint("-first=", from), fmt.Sprint("-seeds=", count), "-reports="+file)
	output, failed := exec.CommandContext(t.Context(), os.Args[0], args...).CombinedOutput()
	lines, err := os.ReadFile(file)
	if err != nil {
		t.Errorf("seeds from %d on: %v %v\n%s", from, failed, err, output)
		return
	}
	told, violated := uint64(0), false
	for line := range bytes.Lines(lines) {
		var o outcome
		if err := json.Unmarshal(line, &o); err != nil {
			break // it was ended while it wrote
		}
		a.add(t, o)
		told++
		violated = violated || len(o.Failed) > 0
	}
	if !violated && (told < count || failed != nil) { // whoever stops at the first violation tells fewer
		t.Errorf("of %d seeds from %d on %d came to an end: %v\n%s", count, from, told, failed, output)
	}
}
