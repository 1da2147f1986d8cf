package sim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing/synctest"
	"time"
)

// kind says what a step does, and so how it can fail.
type kind int

// The kinds of steps.
const (
	reading    kind = iota // of the table
	writing                // of the table
	journaling             // a write of the workflows' journal
	invoking               // a function
	calling                // a cloud
	asking                 // the API, by a tenant
	reporting              // to the control plane, by an agent
	storing                // on an agent's disk
	engine                 // what an agent tells its database
	answering              // a cloud, after a while
)

var kinds = [...]string{"read", "write", "journal", "invoke", "cloud", "ask", "report", "disk", "engine", "answer"}

// String names the kind.
func (k kind) String() string { return kinds[k] }

// process is what runs, and may end at any of its steps: an invocation of a function, an agent, the
// engine of workflows. From then on none of its steps has an effect.
type process struct {
	name string
	// lasting is that it does not die: a tenant, a service of the cloud's.
	lasting bool
	dead    bool // only the conductor's turn looks at it and changes it
	// died is called once when it ends, at its turn.
	died func()
}

type processKey struct{}

func within(ctx context.Context, p *process) context.Context {
	return context.WithValue(ctx, processKey{}, p)
}

// processOf is what acts with a context; nobody in particular is the world's own.
func processOf(ctx context.Context) *process {
	if p, ok := ctx.Value(processKey{}).(*process); ok {
		return p
	}
	return nobody
}

var nobody = &process{name: "world", lasting: true}

// errDead is what everything fails with that a process tries after its end.
var errDead = errors.New("sim: the process was killed")

// step is something that a process is about to do, and that others could see or miss.
type step struct {
	who  *process
	kind kind
	what string
	turn chan fault
}

// conductor lets one step happen at a time. All goroutines of the world run between their steps as they
// like, for they see nothing of each other; when all of them wait, one of the steps is chosen by the
// seed. So equal seeds make equal histories, however the runtime schedules.
type conductor struct {
	rng     *rand.Rand
	arrived chan struct{} // has one element while steps wait
	faults  *faults
	trace   *trace

	mu      sync.Mutex
	waiting []*step
	steps   int
}

func newConductor(rng *rand.Rand, f *faults, t *trace) *conductor {
	return &conductor{rng: rng, arrived: make(chan struct{}, 1), faults: f, trace: t}
}

// enter waits for a step's turn, and says what befalls it. The error is errDead for a dead process; then
// nothing may be done any more.
func (c *conductor) enter(ctx context.Context, k kind, what string) (fault, error) {
	s := &step{who: processOf(ctx), kind: k, what: what, turn: make(chan fault, 1)}
	for {
		c.mu.Lock()
		c.waiting = append(c.waiting, s)
		c.mu.Unlock()
		select {
		case c.arrived <- struct{}{}:
		default:
		}
		f := <-s.turn
		if f.kind != late {
			return f, f.err()
		}
		time.Sleep(f.delay) // others overtake it
	}
}

// err is the error of a step that has no effect because its process ended before it.
func (f fault) err() error {
	if f.kind == killedBefore {
		return errDead
	}
	return nil
}

// run lets the world go on until an instant.
func (c *conductor) run(until time.Time) {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	for {
		select {
		case <-c.arrived:
			c.drain()
		case <-timer.C:
			c.drain()
			return
		}
	}
}

// drain takes all steps that wait, and those that they lead to at the same instant.
func (c *conductor) drain() {
	for synctest.Wait(); ; synctest.Wait() {
		s := c.choose()
		if s == nil {
			return
		}
		if s.who.dead || c.faults.closed { // it does not know that it has ended
			s.turn <- fault{kind: killedBefore}
			continue
		}
		f := c.faults.befalls(s)
		c.steps++
		c.trace.step(c.steps, s, f)
		if f.kind == killedBefore {
			s.who.end()
		}
		s.turn <- f
	}
}

// choose takes one of the waiting steps out. Which one, does not depend on the order they came in.
func (c *conductor) choose() *step {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.waiting) == 0 {
		return nil
	}
	i := 0
	if len(c.waiting) > 1 {
		slices.SortStableFunc(c.waiting, func(a, b *step) int {
			return cmp.Or(cmp.Compare(a.who.name, b.who.name), cmp.Compare(a.kind, b.kind), cmp.Compare(a.what, b.what))
		})
		i = c.rng.IntN(len(c.waiting))
	}
	s := c.waiting[i]
	c.waiting = slices.Delete(c.waiting, i, i+1)
	return s
}

// end ends a process.
func (p *process) end() {
	if p.dead || p.lasting {
		return
	}
	p.dead = true
	if p.died != nil {
		p.died()
	}
}

// String describes a step in the trace.
func (s *step) String() string { return fmt.Sprintf("%s %s %s", s.who.name, s.kind, s.what) }
