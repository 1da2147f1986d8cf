// Clients of the clouds draw the delays before their retries from math/rand, which a seed is to decide too.
//
//go:debug randseednop=0
package sim_test

import (
	"flag"
	"os"
	"testing"
	"time"

	"latchkey/sim"
)

var (
	seed  = flag.Uint64("seed", 0, "replay one seed and print its history")
	first = flag.Uint64("first", 1, "the first of the seeds")
	seeds = flag.Uint64("seeds", 3, "how many seeds")
	last  = flag.Duration("for", 6*time.Hour, "how long tenants act, in virtual time")
	rate  = flag.Float64("rate", 0.01, "chance of a step to meet a mishap in bad weather")
	quiet = flag.Bool("quiet", false, "nobody does anything")
)

func TestSeeds(t *testing.T) {
	cfg := sim.Config{For: *last, Groups: 4, Rate: *rate, Quiet: *quiet}
	if *seed != 0 {
		cfg.Seed, cfg.Trace = *seed, os.Stdout
		r := sim.Run(t, cfg)
		t.Logf("%v\n%v", r, r.Waits)
		if len(r.Failed) > 0 {
			t.Fail()
		}
		return
	}
	violations := 0
	for cfg.Seed = *first; cfg.Seed < *first+*seeds; cfg.Seed++ {
		began := time.Now()
		r := sim.Run(t, cfg)
		t.Logf("seed %d: %v: %v", cfg.Seed, time.Since(began).Round(time.Millisecond), r)
		if len(r.Failed) > 0 {
			t.Fail()
			violations++
		}
	}
	t.Logf("%d seeds, %d with violations", *seeds, violations)
}
