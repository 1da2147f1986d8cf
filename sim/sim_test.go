// Clients of the clouds draw the delays before their retries from math/rand, which a seed is to decide too.
//
//go:debug randseednop=0
package sim_test

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/sim"
)

var (
	seed   = flag.Uint64("seed", 0, "replay one seed and print its history")
	first  = flag.Uint64("first", 1, "the first of the seeds")
	seeds  = flag.Uint64("seeds", few, "how many seeds")
	last   = flag.Duration("for", 90*time.Minute, "how long tenants act, in virtual time")
	groups = flag.Int("groups", 3, "how many projects there are")
	rate   = flag.Float64("rate", 0.01, "chance of a step to meet a mishap in bad weather")
	eager  = flag.Bool("until-violated", false, "stop at the first seed with a violation")
	quiet  = flag.Bool("quiet", false, "tenants keep a cluster and do nothing")
)

// summary is printed last of all.
var summary string

func TestMain(m *testing.M) {
	flag.Parse()
	runtime.GOMAXPROCS(1) // one thing happens at a time, so other processors would only have to be woken
	code := m.Run()
	if summary != "" {
		fmt.Println(summary)
	}
	os.Exit(code)
}

func config(seed uint64) sim.Config {
	return sim.Config{Seed: seed, For: *last, Groups: *groups, Rate: *rate, Quiet: *quiet}
}

// Seeds find what nobody thought of. "make sim" runs as many as there is time for.
func TestSeeds(t *testing.T) {
	if *seed != 0 {
		cfg := config(*seed)
		out := bufio.NewWriter(os.Stdout)
		cfg.Trace = out
		r := sim.Run(t, cfg)
		if err := out.Flush(); err != nil {
			t.Error(err)
		}
		count(t, 1, []sim.Report{r})
		return
	}
	var all []sim.Report
	for n := range *seeds {
		began := time.Now()
		r := sim.Run(t, config(*first+n))
		t.Logf("seed %d, %s: %v", *first+n, time.Since(began).Round(time.Millisecond), r)
		all = append(all, r)
		if *eager && len(r.Failed) > 0 {
			break
		}
	}
	count(t, uint64(len(all)), all)
}

// count tells what came of some seeds.
func count(t *testing.T, seeds uint64, all []sim.Report) {
	t.Helper()
	violated, steps := 0, 0
	faults, waits := map[string]int{}, map[string][]time.Duration{}
	for _, r := range all {
		steps += r.Steps
		if len(r.Failed) > 0 {
			violated++
			t.Errorf("violations: %v", r)
		}
		for what, n := range r.Faults {
			faults[what] += n
		}
		for what, took := range r.Waits {
			waits[what] = append(waits[what], took...)
		}
	}
	t.Logf("%d steps; faults: %v", steps, faults)
	for what, took := range waits {
		slices.Sort(took)
		at := func(q float64) time.Duration { return took[int(q*float64(len(took)-1))].Round(time.Second) }
		t.Logf("%s: %d times, p50 %s, p99 %s, max %s", what, len(took), at(0.5), at(0.99), at(1))
	}
	summary = fmt.Sprintf("%d seeds, %d with violations", seeds, violated)
}

// Seeds that found something, as they were when they did. What they led to has a test of its own where it was mended:
// a seed tells another story once anything has changed.
func TestSeedsThatFoundSomething(t *testing.T) {
	for what, cfg := range map[string]sim.Config{
		"a master key that was never stored held up a change of keys": {Seed: 11, For: 6 * time.Hour, Groups: 4, Rate: 0.01},
	} {
		t.Run(what, func(t *testing.T) {
			if testing.Short() {
				t.Skip("it takes seconds")
			}
			if r := sim.Run(t, cfg); len(r.Failed) > 0 {
				t.Error(r)
			}
		})
	}
}

// A failing seed would be worth nothing if it did not fail again.
func TestEqualSeedsMakeEqualHistories(t *testing.T) {
	var histories [2]bytes.Buffer
	for i := range histories {
		cfg := config(*first + 1000)
		cfg.Trace = &histories[i]
		sim.Run(t, cfg)
	}
	a, b := histories[0].String(), histories[1].String()
	if a == b {
		return
	}
	other := strings.Split(b, "\n")
	for i, line := range strings.Split(a, "\n") {
		if i >= len(other) || line != other[i] {
			t.Fatalf("line %d is\n%s\nand then\n%s", i+1, line, other[i])
		}
	}
}
