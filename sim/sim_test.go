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
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"latchkey/sim"
)

var (
	seed   = flag.Uint64("seed", 0, "replay one seed and print its history")
	first  = flag.Uint64("first", 1, "the first of the seeds")
	seeds  = flag.Uint64("seeds", few, "how many seeds")
	last   = flag.Duration("for", 0, "how long tenants act, in virtual time; 0 leaves it to the seed")
	groups = flag.Int("groups", 0, "how many projects there are; 0 leaves it to the seed")
	rate   = flag.Float64("rate", 0.01, "chance of a step to meet a mishap in bad weather")
	crowd  = flag.Bool("crowd", false, "25 projects and more, all of whose keys are refused at once")
	eager  = flag.Bool("until-violated", false, "stop at the first seed with a violation")
	quiet  = flag.Bool("quiet", false, "tenants keep a cluster and do nothing")
)

// summary is printed last of all.
var summary string

func TestMain(m *testing.M) {
	flag.Parse()
	runtime.GOMAXPROCS(1)   // one thing happens at a time, so other processors would only have to be woken
	debug.SetGCPercent(400) // a world is small, and thrown away
	code := m.Run()
	if summary != "" {
		fmt.Println(summary)
	}
	os.Exit(code)
}

func config(seed uint64) sim.Config {
	return sim.Config{Seed: seed, For: *last, Groups: *groups, Rate: *rate, Crowd: *crowd, Quiet: *quiet}
}

// Seeds find what nobody thought of. "make sim" runs as many as there is time for.
func TestSeeds(t *testing.T) {
	var all tally
	switch {
	case *seed != 0:
		replay(t, &all)
	case *processes > 1:
		spread(t, &all)
	default:
		for n := range *seeds {
			began := time.Now()
			o := outcome{Seed: *first + n, Report: sim.Run(t, config(*first+n))}
			o.Took = time.Since(began)
			all.add(t, o)
			report(t, o)
			if *eager && len(o.Failed) > 0 {
				break
			}
		}
	}
	all.tell(t)
}

// replay prints a seed's history.
func replay(t *testing.T, all *tally) {
	cfg := config(*seed)
	out := bufio.NewWriter(os.Stdout)
	cfg.Trace = out
	o := outcome{Seed: *seed, Report: sim.Run(t, cfg)}
	if err := out.Flush(); err != nil {
		t.Error(err)
	}
	all.add(t, o)
}

// Seeds that found something, as they were when they did. What they led to has a test of its own where it was mended:
// a seed tells another story once anything has changed.
func TestSeedsThatFoundSomething(t *testing.T) {
	for what, cfg := range map[string]sim.Config{
		"a master key that was never stored held up a change of keys":               {Seed: 11, For: 6 * time.Hour, Groups: 4, Rate: 0.01},
		"the ledger kept what a node had before a resync that ended with its death": {Seed: 6, For: 90 * time.Minute, Groups: 3, Rate: 0.05},
		"an agent relied on a file that a power cut took away again":                {Seed: 152, For: 20 * time.Minute, Groups: 3, Rate: 0.01},
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

// So many keys in so many hands as it takes to disbelieve that all of them were taken away.
func TestACrowdIsNotStoppedForWhatWeLostAndIsObeyedInWhatItDoes(t *testing.T) {
	if testing.Short() || !equalHistories {
		t.Skip("it takes half a minute, and ten times as long under the race detector, which sees the same in smaller worlds")
	}
	r := sim.Run(t, sim.Config{Seed: *first, Crowd: true})
	if len(r.Failed) > 0 {
		t.Error(r)
	}
}

// A failing seed would be worth nothing if it did not fail again.
func TestEqualSeedsMakeEqualHistories(t *testing.T) {
	if !equalHistories {
		t.Skip("not under the race detector")
	}
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
