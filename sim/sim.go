// Package sim is a simulation of months of the whole suite: the functions, the workflows and the agents
// as they are deployed, with real clients of the clouds, in a bubble of virtual time where everything
// fails that can. What happens, and in which order, is decided by a seed alone.
//
// Its invariant: equal seeds make equal histories, to the byte. Only tests import it; see
// docs/reliability.md for what is promised and what was found.
package sim

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	mathrand "math/rand" //nolint:depguard // the clouds' clients draw from it
	"os"
	"strings"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"
)

// Report is how a simulation went.
type Report struct {
	Steps  int
	Trace  string // digest
	Failed []string
	Faults map[string]int
	Waits  map[string][]time.Duration
	Checks int
	// Lived is how much virtual time passed.
	Lived time.Duration
	// Deeds are what tenants have done, and how often.
	Deeds map[string]int
	// Events are what the suite has told of, by type.
	Events map[string]int
}

// Run simulates a world and returns what came of it.
func Run(t *testing.T, cfg Config) (r Report) {
	t.Helper()
	cfg = cfg.sized()
	dir, err := os.MkdirTemp(fast(t), "latchkey-sim") //nolint:usetesting // t.TempDir is on the disk
	if err != nil {
		t.Fatal(err)
	}
	keys := rsaKeys(t)
	cryptotest.SetGlobalRandom(t, cfg.Seed)
	mathrand.Seed(int64(cfg.Seed)) //nolint:staticcheck,gosec // see TestMain's go:debug
	synctest.Test(t, func(t *testing.T) {
		w, err := newWorld(cfg, dir, keys)
		if err == nil {
			err = w.days()
		}
		if err != nil {
			w.fail(err)
		}
		if err := w.end(); err != nil {
			w.fail(err)
		}
		r = Report{
			Steps: w.conductor.steps, Trace: w.trace.digest(), Failed: texts(w.failed), Faults: w.faults.count, Waits: w.checks.waits,
			Checks: w.checks.verdicts, Lived: time.Since(epoch), Deeds: w.checks.deeds, Events: w.checks.events,
		}
	})
	return r
}

func texts(all []error) (texts []string) {
	for _, err := range all {
		texts = append(texts, err.Error())
	}
	return texts
}

// fast is a directory in memory where there is one: months of virtual time write their files in seconds.
func fast(t *testing.T) string {
	const shm = "/dev/shm"
	if _, err := os.Stat(shm); err == nil {
		return shm
	}
	return t.TempDir()
}

var made pool

// rsaKeys makes the RSA keys of all worlds, the same in every process.
func rsaKeys(t *testing.T) pool {
	t.Helper()
	for len(made) < 8 {
		cryptotest.SetGlobalRandom(t, uint64(len(made)))
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		made = append(made, key)
	}
	return made
}

// days lets the world live, mends it, and looks at it.
func (w *World) days() error {
	if err := w.populate(); err != nil {
		return err
	}
	if w.crowd != nil {
		w.crowd.days()
		return nil
	}
	for _, t := range w.tenants {
		w.run(t.name, t.live)
	}
	for until := time.Now().Add(w.cfg.For); time.Now().Before(until) && len(w.failed) == 0; {
		w.weather()
		w.conductor.run(time.Now().Add(time.Minute))
		w.each()
	}
	if len(w.failed) > 0 {
		return nil
	}
	if !w.cfg.Quiet && w.rng.IntN(2) == 0 {
		w.vigil()
	}
	if len(w.failed) == 0 {
		w.mend()
	}
	return nil
}

// each is what happens every minute.
func (w *World) each() {
	for _, t := range w.tenants {
		if !w.cfg.Quiet {
			t.write()
		}
	}
	w.checks.minute()
}

// becalm ends all mishaps, and what tenants do by themselves.
func (w *World) becalm() {
	if !w.calm.IsZero() {
		return
	}
	w.over, w.calm = true, time.Now()
	w.faults.rate = 0
	w.endIncidents(true)
	w.trace.say("all is calm")
}

// vigil has tenants take their keys away in calm weather, and waits for as long as it may take until that is
// followed: in bad weather there is always something else that may have delayed it.
func (w *World) vigil() {
	w.becalm()
	for _, t := range w.tenants {
		go t.depart(within(w.ctx, t.proc))
	}
	for until := time.Now().Add(25 * time.Minute); time.Now().Before(until) && len(w.failed) == 0; {
		w.conductor.run(time.Now().Add(time.Minute))
		w.each()
	}
}

// mend gives every key back, and demands that everything comes to be well.
func (w *World) mend() {
	w.becalm()
	w.trace.say("all is mended")
	if !w.recovers((*tenant).settle) || !w.recovers((*tenant).prove) {
		return
	}
	w.conductor.run(time.Now().Add(20 * time.Minute)) // what is still to be tidied
	w.checks.last()
}

// recovers has the tenants do something and waits until all is well.
func (w *World) recovers(do func(*tenant, context.Context)) bool {
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.all(do)
	}()
	ill := "the tenants wait"
	for began := time.Now(); ill != "" && len(w.failed) == 0; {
		if time.Since(began) >= most {
			w.failf("liveness: %s after everything was mended:\n%s", most, ill)
			return false
		}
		w.conductor.run(time.Now().Add(time.Minute))
		select {
		case <-done:
			ill = w.ill()
		default:
		}
	}
	return ill == ""
}

// ill says what is not well.
func (w *World) ill() string {
	looked := make(chan string, 1)
	go func() { looked <- w.checks.well(within(w.ctx, &process{name: "auditor"})) }()
	w.conductor.run(time.Now().Add(time.Second))
	select {
	case ill := <-looked:
		return ill
	default:
		return "the API does not answer"
	}
}

// most is by when a world that was mended is well.
const most = 12 * time.Hour

// String tells what came of a simulation.
func (r Report) String() string {
	var out strings.Builder
	fmt.Fprintf(&out, "%d steps, trace %s", r.Steps, r.Trace)
	for _, what := range r.Failed {
		fmt.Fprintf(&out, "\n%s", what)
	}
	return out.String()
}
