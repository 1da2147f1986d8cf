package agent_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/agent"
	"latchkey/agent/agenttest"
	"latchkey/agent/memengine"
	"latchkey/agent/snapshotdir"
	"latchkey/agent/statedir"
	"latchkey/agent/statedir/statedirtest"
	"latchkey/shared/node/protocol"
)

// world is one node with its agent, disks and control plane, in a bubble.
type world struct {
	t      *testing.T
	server *agenttest.Server
	net    *agenttest.Network
	disk   *statedirtest.Disk // the agent's
	data   *memengine.Disk    // the database's
	log    logBook
	nodeID string
	token  string
	skew   atomic.Int64 // of the agent's clock
	source memengine.Source
	// maxInterval is the agent's.
	maxInterval time.Duration
	store       string // the directory of the snapshots, "" for none

	engine *audited
	agent  *agent.Agent
	cancel context.CancelFunc
	done   chan error

	mu    sync.Mutex
	wrong []string
}

// inBubble runs a test with a world of its own, whose time passes at once.
func inBubble(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		test(t, w)
		if err := w.end(); err != nil {
			t.Error(err)
		}
		for _, complaint := range w.wrong {
			t.Error(complaint)
		}
	})
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, server: agenttest.NewServer(time.Now), disk: &statedirtest.Disk{}, data: &memengine.Disk{}}
	w.net = agenttest.NewNetwork(w.server)
	w.nodeID, w.token = w.server.AddNode()
	return w
}

// start begins a new process of the agent, on the disks that are there.
func (w *world) start() {
	w.t.Helper()
	client, err := agent.NewClient("https://latchkey.test", w.net, w.now)
	if err != nil {
		w.t.Fatal(err)
	}
	w.engine = &audited{Engine: memengine.New(memengine.Config{Disk: w.data, Source: w.source, Now: time.Now}), world: w}
	w.agent = agent.New(w.config(client))
	ctx, cancel := context.WithCancel(w.t.Context())
	w.cancel, w.done = cancel, make(chan error, 1)
	run, done := w.agent, w.done
	go func() { done <- run.Run(ctx) }()
}

// now is the agent's clock.
func (w *world) now() time.Time { return time.Now().Add(time.Duration(w.skew.Load())) }

func (w *world) config(client *agent.Client) agent.Config {
	var snapshots agent.Snapshots
	if w.store != "" {
		snapshots = snapshotdir.New(w.store)
	}
	return agent.Config{
		Snapshots: snapshots, Client: client, State: statedir.New(w.disk), Engine: w.engine, EnrolToken: w.token, Version: "test",
		MaxInterval: w.maxInterval, Log: slog.New(slog.NewTextHandler(&w.log, nil)), Now: w.now,
		Jitter: func(d time.Duration) time.Duration { return d / 2 },
	}
}

// end stops the agent gently, and reports how it ended.
func (w *world) end() error {
	if w.cancel == nil {
		return nil
	}
	w.cancel()
	w.cancel = nil
	return <-w.done
}

// crash ends the agent without mercy: nothing reaches its disk any more.
func (w *world) crash(kept int) {
	w.disk.Crash()
	w.end() //nolint:errcheck // it may say anything now
	w.disk.Reboot(kept)
}

// restart crashes the agent, whose disk loses what was not synced, and starts it again.
func (w *world) restart() {
	w.t.Helper()
	w.crash(0)
	w.start()
}

// logBook is read while agents write to it.
type logBook struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBook) Write(p []byte) (int, error) { l.mu.Lock(); defer l.mu.Unlock(); return l.b.Write(p) }

func (l *logBook) String() string { l.mu.Lock(); defer l.mu.Unlock(); return l.b.String() }

// command gives a command that wants the node to run under AWS.
func (w *world) command(kind protocol.Kind) int64 {
	if kind == protocol.KindRestore {
		return w.restore(1)
	}
	target := protocol.Run
	if kind == protocol.KindStop || kind == protocol.KindDelete {
		target = protocol.Stop
	}
	return w.server.Command(w.nodeID, kind, target, "AWS")
}

// until lets time pass until something is so.
func (w *world) until(what string, is func() bool) {
	w.t.Helper()
	if !w.eventually(is) {
		w.t.Fatalf("not in an hour: %s; last report %+v\n%s", what, w.server.Last(w.nodeID), w.log.String())
	}
}

func (w *world) eventually(is func() bool) bool {
	for range 3600 {
		synctest.Wait()
		if is() {
			return true
		}
		time.Sleep(time.Second)
	}
	return false
}

// reported waits for a state in a report.
func (w *world) reported(state protocol.State) protocol.Report {
	w.t.Helper()
	w.until(string(state), func() bool { return w.server.Last(w.nodeID).State == state })
	return w.server.Last(w.nodeID)
}

// acked waits until a command is acknowledged.
func (w *world) acked(number int64) protocol.AckRequest {
	w.t.Helper()
	var got protocol.AckRequest
	w.until(fmt.Sprint("acknowledgement of ", number), func() bool {
		for _, ack := range w.server.Acks(w.nodeID) {
			if got = ack; ack.Command == number {
				return true
			}
		}
		return false
	})
	return got
}

// running starts the agent and waits until its first command is carried out.
func (w *world) running() {
	w.t.Helper()
	w.start()
	if ack := w.acked(w.command(protocol.KindStart)); ack.Outcome != protocol.Done {
		w.t.Fatalf("START ended as %+v", ack)
	}
	w.reported(protocol.StateRunning)
}

func (w *world) put(key string) {
	w.t.Helper()
	if err := w.engine.Put(w.t.Context(), "db", key, []byte("value of "+key)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) has(key string) bool {
	w.t.Helper()
	value, found, err := w.engine.Get(w.t.Context(), "db", key)
	if err != nil {
		w.t.Fatal(err)
	}
	return found && string(value) == "value of "+key
}

func (w *world) complain(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wrong = append(w.wrong, fmt.Sprintf(format, args...))
}

// kept is what the agent's disk would hold of its keys after a crash now.
func (w *world) kept() (keys map[string]protocol.WrappedKey) {
	type key struct {
		KeyID   string              `json:"keyId"`
		Wrapped protocol.WrappedKey `json:"wrapped"`
	}
	var ring struct{ Current, Next *key }
	keys = map[string]protocol.WrappedKey{}
	content, _, err := statedir.New(w.disk.AfterCrash(0)).Read("keys.json")
	if err != nil || json.Unmarshal(content, &ring) != nil {
		return keys
	}
	for _, k := range []*key{ring.Current, ring.Next} {
		if k != nil {
			keys[k.KeyID] = k.Wrapped
		}
	}
	return keys
}

// audited is an engine that complains about every key whose wrapped copy would not survive a
// crash of the agent at this moment, and counts what it is asked to do.
type audited struct {
	*memengine.Engine
	world *world

	mu        sync.Mutex
	calls     map[string]int
	fail      map[string]error // by call, once
	afterwork func(call string)
	slow      time.Duration // from Start until it is running, as programs have it
	ready     time.Time
}

// takes makes the engine take a while to start from now on.
func (a *audited) takes(d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.slow = d
}

func (a *audited) Status() agent.Status {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.Engine.Status()
	if s.Phase == agent.Running && time.Now().Before(a.ready) {
		s.Phase = agent.Starting
	}
	return s
}

func (a *audited) note(call string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.calls == nil {
		a.calls = map[string]int{}
	}
	a.calls[call]++
	err := a.fail[call]
	delete(a.fail, call)
	return err
}

func (a *audited) done(call string) {
	a.mu.Lock()
	hook := a.afterwork
	a.mu.Unlock()
	if hook != nil {
		hook(call)
	}
}

// breaks makes the next of each of these calls fail.
func (a *audited) breaks(fail map[string]error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fail = fail
}

func (a *audited) count(call string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.calls[call]
}

func (a *audited) counts() map[string]int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.calls)
}

func (a *audited) audit(key *agent.MasterKey) {
	if key == nil {
		return
	}
	wrapped, stored := a.world.kept()[key.ID()]
	if !stored {
		a.world.complain("%v is used and not stored", key)
		return
	}
	secret, err := a.world.server.Open(context.Background(), a.world.nodeID, wrapped)
	if err == nil && !bytes.Equal(secret, key.Bytes()) {
		a.world.complain("%v is stored as another key", key)
	}
}

func (a *audited) Start(ctx context.Context, key *agent.MasterKey) error {
	if err := a.note("start"); err != nil {
		return err
	}
	a.audit(key)
	a.mu.Lock()
	a.ready = time.Now().Add(a.slow)
	a.mu.Unlock()
	err := a.Engine.Start(ctx, key)
	a.done("start")
	return err
}

func (a *audited) Rotate(ctx context.Context, key *agent.MasterKey) error {
	if err := a.note("rotate"); err != nil {
		return err
	}
	a.audit(key)
	err := a.Engine.Rotate(ctx, key)
	a.done("rotate")
	return err
}

func (a *audited) Wipe(ctx context.Context) error {
	if err := a.note("wipe"); err != nil {
		return err
	}
	err := a.Engine.Wipe(ctx)
	a.done("wipe")
	return err
}

func (a *audited) Snapshot(ctx context.Context, sink agent.SnapshotSink) error {
	if err := a.note("snapshot"); err != nil {
		return err
	}
	err := a.Engine.Snapshot(ctx, sink)
	a.done("snapshot")
	return err
}

func (a *audited) Restore(ctx context.Context, files agent.SnapshotFiles) error {
	if err := a.note("restore"); err != nil {
		return err
	}
	err := a.Engine.Restore(ctx, files)
	a.done("restore")
	return err
}

func (a *audited) Stop(ctx context.Context) error {
	if a.Status().Phase != agent.Stopped {
		if err := a.note("stop"); err != nil {
			return err
		}
	}
	return a.Engine.Stop(ctx)
}

var errBroken = errors.New("the engine is broken")
