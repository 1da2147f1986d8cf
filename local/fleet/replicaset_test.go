package fleet_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"latchkey/agent"
	"latchkey/agent/enginetest"
	"latchkey/agent/memengine"
	"latchkey/agent/statedir"
	"latchkey/agent/statedir/statedirtest"
	"latchkey/local/fleet"
)

var errDiskFull = errors.New("no space left on device")

// flaky is an engine whose writes fail when told to, before or after they took effect.
type flaky struct {
	*memengine.Engine
	fails string // "", "before" or "after"
}

func (f *flaky) Put(ctx context.Context, database, key string, value []byte) error {
	if f.fails == "before" {
		return errDiskFull
	}
	err := f.Engine.Put(ctx, database, key, value)
	if f.fails == "after" {
		return errDiskFull
	}
	return err
}

// machine is what a member's host keeps when the process dies.
type machine struct {
	data    memengine.Disk
	state   statedirtest.Disk
	index   int
	founder bool

	engine *flaky
	member agent.Engine
}

// cluster is a replica set on its machines, and what its clients know.
type cluster struct {
	set      fleet.Set
	machines []*machine
	// possible are the values that a key may have: one after a write that was acknowledged or
	// read, more after some that were not. "" is none.
	possible map[string]map[string]bool
	writes   int
	now      func() time.Time
}

func newCluster(t require, machines int) *cluster {
	c := &cluster{possible: map[string]map[string]bool{}, now: time.Now}
	for i := range machines {
		c.machines = append(c.machines, &machine{index: i, founder: true})
	}
	c.boot(t)
	return c
}

// require is *testing.T or *rapid.T.
type require interface {
	Helper()
	Fatalf(format string, args ...any)
}

// boot begins a new process on the machines.
func (c *cluster) boot(t require) {
	t.Helper()
	c.set = fleet.NewSet(c.now)
	for _, m := range c.machines {
		c.join(t, m)
	}
}

func (c *cluster) join(t require, m *machine) {
	t.Helper()
	open := func(source fleet.Source) fleet.Store {
		m.engine = &flaky{Engine: memengine.New(memengine.Config{Disk: &m.data, Source: memengine.Source(source), Now: time.Now})}
		return m.engine
	}
	member, err := c.set.Add(open, statedir.New(&m.state), m.index, m.founder)
	if err != nil {
		t.Fatalf("add: %v", err)
	}
	m.member = member
}

// start is an agent's attempt to start its engine. One that has to wait for a primary gives up.
func (m *machine) start(ctx context.Context) {
	short, cancel := context.WithTimeout(ctx, 0)
	defer cancel()
	if m.member.Status().Phase == agent.Failed {
		m.member.Stop(ctx) //nolint:errcheck // in memory
	}
	m.member.Start(ctx2(ctx, short), enginetest.Key(1)) //nolint:errcheck // it may fail; the data tells
}

// ctx2 lets a start that waits for a primary end, and nothing else: sources look at Done.
func ctx2(ctx, short context.Context) context.Context { return waitless{ctx, short} }

type waitless struct {
	context.Context
	short context.Context
}

func (w waitless) Done() <-chan struct{} { return w.short.Done() }

func (c *cluster) startAll(ctx context.Context) {
	for range 2 * len(c.machines) { // one that waits for a primary has it the next time
		for _, m := range c.machines {
			m.start(ctx)
		}
	}
}

func (c *cluster) put(ctx context.Context, t require, key string, remove bool) {
	t.Helper()
	c.writes++
	value, err := fmt.Sprint("v", c.writes), error(nil)
	if remove {
		value = ""
		var found bool
		if found, err = c.set.Delete(ctx, key); err == nil && !found {
			c.saw(t, key, "")
			return
		}
	} else {
		err = c.set.Put(ctx, key, value)
	}
	switch {
	case err == nil:
		c.possible[key] = map[string]bool{value: true}
	case errors.Is(err, fleet.ErrNotAcknowledged):
		if c.possible[key] == nil {
			c.possible[key] = map[string]bool{"": true}
		}
		c.possible[key][value] = true
	case !errors.Is(err, fleet.ErrNoPrimary):
		t.Fatalf("write: %v", err)
	}
}

// saw is a read: what was read once must not be unread.
func (c *cluster) saw(t require, key, value string) {
	t.Helper()
	if c.possible[key] == nil {
		c.possible[key] = map[string]bool{"": true}
	}
	if !c.possible[key][value] {
		t.Fatalf("%s is %q, and may only be one of %v", key, value, c.possible[key])
	}
	c.possible[key] = map[string]bool{value: true}
}

func (c *cluster) get(ctx context.Context, t require, key string) (ok bool) {
	t.Helper()
	value, _, err := c.set.Get(ctx, key)
	if errors.Is(err, fleet.ErrNoPrimary) {
		return false
	}
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	c.saw(t, key, value)
	return true
}

func TestNothingThatWasAcknowledgedIsLost(t *testing.T) {
	t.Parallel()
	keys := []string{"a", "b", "c"}
	rapid.Check(t, func(rt *rapid.T) {
		ctx := t.Context()
		c := newCluster(rt, rapid.SampledFrom([]int{1, 3, 3, 3, 5}).Draw(rt, "members"))
		c.startAll(ctx)
		some := func(rt *rapid.T) *machine { return rapid.SampledFrom(c.machines).Draw(rt, "machine") }
		key := func(rt *rapid.T) string { return rapid.SampledFrom(keys).Draw(rt, "key") }
		rt.Repeat(map[string]func(*rapid.T){
			"put":    func(rt *rapid.T) { c.put(ctx, rt, key(rt), false) },
			"delete": func(rt *rapid.T) { c.put(ctx, rt, key(rt), true) },
			"get":    func(rt *rapid.T) { c.get(ctx, rt, key(rt)) },
			"start":  func(rt *rapid.T) { some(rt).start(ctx) },
			"stop":   func(rt *rapid.T) { some(rt).member.Stop(ctx) },          //nolint:errcheck // in memory
			"crash":  func(rt *rapid.T) { some(rt).engine.Fail("it crashed") }, // and nobody is told
			"writes fail": func(rt *rapid.T) {
				some(rt).engine.fails = rapid.SampledFrom([]string{"", "before", "after"}).Draw(rt, "how")
			},
			"resync": func(rt *rapid.T) { // as a plan does: while all others run and are level
				m := some(rt)
				c.repaired(ctx)
				if len(c.machines) > 1 && c.get(ctx, rt, "a") {
					m.wiped(ctx, rt)
				}
			},
			"kill": func(rt *rapid.T) {
				for _, m := range c.machines {
					m.engine.Stop(ctx) //nolint:errcheck // in memory
				}
				c.boot(rt)
			},
			"grow": func(rt *rapid.T) {
				if len(c.machines) < 7 {
					m := &machine{index: len(c.machines)}
					c.machines = append(c.machines, m)
					c.join(rt, m)
				}
			},
		})
		c.repaired(ctx)
		for _, k := range keys {
			if !c.get(ctx, rt, k) {
				rt.Fatalf("all members run, and there is no primary")
			}
		}
	})
}

// repaired ends all faults and starts everything.
func (c *cluster) repaired(ctx context.Context) {
	for _, m := range c.machines {
		m.engine.fails = ""
	}
	c.startAll(ctx)
}

func (m *machine) wiped(ctx context.Context, t require) {
	t.Helper()
	if err := m.member.Wipe(ctx); err == nil {
		t.Fatalf("a running member was wiped")
	}
	m.member.Stop(ctx) //nolint:errcheck // in memory
	if err := m.member.Wipe(ctx); err != nil {
		t.Fatalf("wipe: %v", err)
	}
}

func TestWritesNeedAMajority(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	for members, mayFail := range map[int]int{1: 0, 3: 1, 5: 2} {
		c := newCluster(t, members)
		c.startAll(ctx)
		for down := range mayFail + 1 {
			if err := c.set.Put(ctx, "k", strconv.Itoa(down)); err != nil {
				t.Errorf("%d of %d down: %v", down, members, err)
			}
			c.machines[down].member.Stop(ctx) //nolint:errcheck // in memory
		}
		if err := c.set.Put(ctx, "k", "x"); !errors.Is(err, fleet.ErrNoPrimary) {
			t.Errorf("%d of %d down: %v", mayFail+1, members, err)
		}
		if _, _, err := c.set.Get(ctx, "k"); !errors.Is(err, fleet.ErrNoPrimary) {
			t.Errorf("%d of %d down: a read answers %v", mayFail+1, members, err)
		}
	}
}

func TestAMemberThatMissedAWriteIsOutUntilItIsLevel(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c := newCluster(t, 3)
	c.startAll(ctx)
	behind := c.machines[2]
	behind.engine.fails = "before"
	c.put(ctx, t, "k", false)
	if s := behind.member.Status(); s.Phase != agent.Failed || s.Detail == "" {
		t.Errorf("status %+v after a failed write", s)
	}
	behind.engine.fails = ""
	behind.start(ctx)
	if s := behind.member.Status(); s.Phase != agent.Running {
		t.Fatalf("status %+v", s)
	}
	for _, m := range c.machines[:2] {
		m.member.Stop(ctx) //nolint:errcheck // in memory
	}
	c.machines[0].start(ctx) // with behind it is a majority
	if !c.get(ctx, t, "k") {
		t.Error("no primary")
	}
}

func TestAMemberThatLostItsFilesHasNoVote(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c := newCluster(t, 3)
	c.startAll(ctx)
	c.machines[2].member.Stop(ctx) //nolint:errcheck // in memory
	c.put(ctx, t, "k", false)      // is on 0 and 1
	for _, m := range c.machines[:2] {
		m.member.Stop(ctx) //nolint:errcheck // in memory
	}
	c.machines[1].data = memengine.Disk{}
	c.machines[1].start(ctx)
	c.machines[2].start(ctx)
	if c.get(ctx, t, "k") {
		t.Fatal("a member that lost its files made a majority with one that was away")
	}
	c.startAll(ctx)
	if !c.get(ctx, t, "k") {
		t.Error("no primary")
	}
}

// snapshot is the files of one, in memory.
type snapshot map[string]*bytes.Buffer

type nopCloser struct{ *bytes.Buffer }

func (nopCloser) Close() error { return nil }

func (s snapshot) Create(name string) (io.WriteCloser, error) {
	s[name] = &bytes.Buffer{}
	return nopCloser{s[name]}, nil
}

func (s snapshot) Names() []string { return slices.Sorted(maps.Keys(s)) }

func (s snapshot) Open(name string) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(s[name].Bytes())), nil
}

func TestARestoredMemberIsWhatTheOthersFollow(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c := newCluster(t, 3)
	c.startAll(ctx)
	then := snapshot{}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(c.set.Put(ctx, "k", "then"))
	must(c.machines[1].member.Snapshot(ctx, then))
	must(c.set.Put(ctx, "k", "now"))
	must(c.set.Put(ctx, "later", "now"))
	for i, m := range c.machines { // while the others run, as long as they do
		must(m.member.Stop(ctx))
		must(m.member.Restore(ctx, then))
		must(m.member.Start(ctx, enginetest.Key(1)))
		value, _, err := c.set.Get(ctx, "k")
		_, found, errLater := c.set.Get(ctx, "later")
		if value != "then" || found || err != nil || errLater != nil {
			t.Errorf("after %d restores: %q, %t, %v", i+1, value, found, err)
		}
	}
	must(c.set.Put(ctx, "k", "after"))
	must(c.machines[0].member.Stop(ctx))
	if value, _, err := c.set.Get(ctx, "k"); value != "after" || err != nil {
		t.Errorf("%q, %v", value, err)
	}
}

func TestAClockThatWasSetBackForgetsNothing(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c := newCluster(t, 3)
	clock := time.Now()
	c.now = func() time.Time { return clock }
	c.boot(t)
	for i := range 20 {
		c.startAll(ctx)
		c.put(ctx, t, "k", false)
		clock = clock.Add(-time.Hour)
		c.machines[i%3].member.Stop(ctx) //nolint:errcheck // in memory
		c.put(ctx, t, "k", false)
		c.machines[(i+1)%3].member.Stop(ctx) //nolint:errcheck // in memory
		c.machines[i%3].start(ctx)
		if !c.get(ctx, t, "k") {
			t.Fatal("no primary")
		}
	}
}

func TestAMemberIsAnEngine(t *testing.T) {
	t.Parallel()
	enginetest.Run(t, enginetest.Harness{
		Place: func(t *testing.T) string { t.Helper(); return t.Name() },
		Open: func(t *testing.T, _ string, _ enginetest.Source) agent.Engine {
			t.Helper()
			return newCluster(t, 1).machines[0].member
		},
	})
}
