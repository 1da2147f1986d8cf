package nodes_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/agent"
	"latchkey/agent/agenttest"
	"latchkey/agent/memengine"
	"latchkey/agent/statedir"
	"latchkey/agent/statedir/statedirtest"
	"latchkey/local/pocket"
	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
	"latchkey/shared/node/protocol"
)

// process is a real agent with an engine in memory, which reaches the function through its URL.
type process struct {
	place

	w       *world
	token   string
	skew    *atomic.Int64 // how far its clock is off, in nanoseconds
	disk    *statedirtest.Disk
	data    *memengine.Disk
	network *agenttest.Network

	engine *memengine.Engine
	agent  *agent.Agent
	stop   context.CancelFunc
	done   chan error
}

func (w *world) machine(p place) *process {
	w.t.Helper()
	return &process{
		place: p, w: w, token: w.token(p), skew: &atomic.Int64{}, disk: &statedirtest.Disk{}, data: &memengine.Disk{}, network: agenttest.NewNetwork(w.url),
	}
}

func (p *process) now() time.Time { return time.Now().Add(time.Duration(p.skew.Load())) }

func (p *process) start() *process {
	p.w.t.Helper()
	client, err := agent.NewClient(origin, p.network, p.now)
	p.w.must(err)
	p.engine = memengine.New(memengine.Config{Disk: p.data, Now: time.Now})
	p.agent = agent.New(agent.Config{
		Client: client, State: statedir.New(p.disk), Engine: p.engine, EnrolToken: p.token,
		Log: slog.New(slog.DiscardHandler), Now: p.now, Jitter: func(d time.Duration) time.Duration { return d / 2 },
	})
	ctx, cancel := context.WithCancel(p.w.t.Context())
	p.stop, p.done = cancel, make(chan error, 1)
	go func(run func(context.Context) error, done chan<- error) { done <- run(ctx) }(p.agent.Run, p.done)
	return p
}

func (p *process) end() {
	p.w.t.Helper()
	p.stop()
	p.w.must(<-p.done)
}

// within lets time pass until something is so, and returns how much passed.
func (p *process) within(limit time.Duration, what string, is func() bool) time.Duration {
	p.w.t.Helper()
	for waited := time.Duration(0); ; waited += time.Second {
		if synctest.Wait(); is() {
			return waited
		}
		if waited >= limit {
			p.w.t.Fatalf("not within %s: %s; agent %+v, node %+v\n%s", limit, what, p.agent.Report(), p.w.node(p.place), p.w.log)
		}
		time.Sleep(time.Second)
	}
}

func (p *process) runs() bool { return p.engine.Status().Phase == agent.Running }

func (p *process) settled() bool { return p.w.node(p.place).Settled() }

// running waits until agent and record agree that the node is as desired, and that the ledger has
// exactly the copies that the node holds.
func (p *process) running() {
	p.w.t.Helper()
	p.within(2*time.Minute, "running", func() bool { return p.runs() && p.settled() })
	p.ledgerIsExact()
}

// heldCopy is what node and ledger have to agree about.
type heldCopy struct {
	KeyID, CMK, Version string
	Blob                []byte
}

// held are the copies on the node's disk.
func (p *process) held() []heldCopy {
	p.w.t.Helper()
	type wrapped struct {
		KeyID   string              `json:"keyId"`
		Wrapped protocol.WrappedKey `json:"wrapped"`
	}
	content, _, err := statedir.New(p.disk).Read("keys.json")
	p.w.must(err)
	var ring struct {
		Current *wrapped `json:"current"`
		Next    *wrapped `json:"next"`
	}
	p.w.must(json.Unmarshal(content, &ring))
	var all []heldCopy
	for _, k := range []*wrapped{ring.Current, ring.Next} {
		if k != nil {
			all = append(all, heldCopy{k.KeyID, k.Wrapped.CMK, k.Wrapped.Version, k.Wrapped.Blob})
		}
	}
	return all
}

func (p *process) ledgerIsExact() {
	p.w.t.Helper()
	var known []heldCopy
	for _, e := range p.w.copies(p.place) {
		known = append(known, heldCopy{e.KeyID, e.CMK.Name, e.CMK.Version, e.Blob})
	}
	if diff := cmp.Diff(p.held(), known); diff != "" {
		p.w.t.Errorf("the node's copies (-) and the ledger's (+):\n%s", diff)
	}
}

// ledgerKnows demands that no copy on the node's disk is unknown.
func (p *process) ledgerKnows() {
	p.w.t.Helper()
	known := map[string]bool{}
	for _, e := range p.w.copies(p.place) {
		known[string(e.Blob)] = true
	}
	for _, k := range p.held() {
		if !known[string(k.Blob)] {
			p.w.t.Errorf("the ledger does not know the copy of %s", k.KeyID)
		}
	}
}

func TestAgentsLiveTheirLifeBehindAFunctionURL(t *testing.T) {
	inWorld(t, func(w *world) {
		a, b := w.machine(nodeA).start(), w.machine(nodeB).start()
		a.running()
		b.running()
		w.must(a.engine.Put(w.t.Context(), "db", "a", []byte("v")))
		w.configure(nodeA, w.newCMK())
		for _, c := range []cluster.Command{cluster.RewrapCommand, cluster.RotateCommand, cluster.StopCommand, cluster.StartCommand} {
			w.tell(nodeA, c)
			a.within(2*time.Minute, string(c), a.settled)
			a.ledgerIsExact()
		}
		if e := w.copies(nodeA); len(e) != 1 || e[0].CMK.Name != w.cmk(nodeA) {
			t.Errorf("after a rewrap the ledger has %+v", e)
		}
		if value, found, err := a.engine.Get(w.t.Context(), "db", "a"); err != nil || !found || string(value) != "v" {
			t.Errorf("the data is %q, %t, %v", value, found, err)
		}
		w.ledgerIsTrue(nodeA, nodeB)
		w.tell(nodeA, cluster.DeleteCommand)
		if err := <-a.done; err != nil {
			t.Error(err)
		}
		if len(w.copies(nodeA)) != 0 || len(w.copies(nodeB)) != 1 {
			t.Errorf("the ledger has %d and %d copies", len(w.copies(nodeA)), len(w.copies(nodeB)))
		}
		b.end()
	})
}

func TestAWrongClockDoesNoHarm(t *testing.T) {
	for _, skew := range []time.Duration{-aYear, -5 * time.Minute, 5 * time.Minute, aYear} {
		t.Run(skew.String(), func(t *testing.T) {
			inWorld(t, func(w *world) {
				p := w.machine(nodeA)
				p.skew.Store(int64(skew))
				p.start().running()
				time.Sleep(10 * time.Minute)
				p.skew.Store(-int64(skew)) // somebody sets it right, and overdoes it
				w.tell(nodeA, cluster.StopCommand)
				p.within(2*time.Minute, "stopped", p.settled)
				p.ledgerIsExact()
				p.end()
			})
		})
	}
}

const aYear = 365 * 24 * time.Hour

func TestATokenEnrolsOneMachine(t *testing.T) {
	inWorld(t, func(w *world) {
		first := w.machine(nodeA)
		second := *first
		second.disk, second.data, second.network = &statedirtest.Disk{}, &memengine.Disk{}, agenttest.NewNetwork(w.url)
		first.network.LoseAnswers(protocol.EnrolPath, 3)
		first.start().running()
		if err := <-second.start().done; err == nil {
			t.Error("two machines enrolled with one token")
		}
		first.within(time.Minute, "running", first.runs)
		first.ledgerIsExact()
		first.end()
	})
}

func TestLostAndRepeatedAnswersLeaveOneCopy(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.machine(nodeA)
		p.network.Duplicate(true)
		for _, path := range []string{protocol.WrapPath, protocol.ReleasePath, protocol.AckPath, protocol.HeartbeatPath} {
			p.network.LoseAnswers(path, 3)
		}
		p.start().running()
		if e := w.copies(nodeA); len(e) != 1 {
			t.Errorf("the ledger has %d copies", len(e))
		}
		p.network.LoseAnswers(protocol.RewrapPath, 3)
		p.network.LoseAnswers(protocol.AckPath, 3)
		w.configure(nodeA, w.newCMK())
		w.tell(nodeA, cluster.RewrapCommand)
		p.within(2*time.Minute, "rewrapped", p.settled)
		p.ledgerIsExact()
		w.ledgerIsTrue(nodeA)
		p.end()
	})
}

func TestAStaleCommandIsIgnored(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.machine(nodeA).start()
		p.running()
		w.tell(nodeA, cluster.StopCommand)
		p.within(2*time.Minute, "stopped", p.settled)
		w.tell(nodeA, cluster.StartCommand)
		p.running()
		p.network.Replay(5) // of the first start and of the stop
		for range 10 {
			time.Sleep(time.Minute)
			if !p.runs() || !p.settled() {
				t.Fatalf("an old answer stopped the node: %+v", p.agent.Report())
			}
		}
		p.ledgerIsExact()
		p.end()
	})
}

func TestACommandThatANodeCannotCarryOutIsKnown(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.machine(nodeA).start()
		p.running()
		w.tell(nodeA, cluster.StopCommand)
		p.within(2*time.Minute, "stopped", p.settled)
		n, err := w.clusters.SetDesired(w.t.Context(), nodeA.cluster, nodeA.node, cluster.Order{Command: cluster.RotateCommand})
		w.must(err)
		p.network.LoseAnswers(protocol.AckPath, 2)
		p.within(2*time.Minute, "refused", func() bool { return w.node(nodeA).Failed() })
		want := cluster.Failure{Command: n.Desired.Number, Reason: protocol.ReasonNotRunning}
		if got := w.node(nodeA); got.Settled() || got.Reported.Failure != want {
			t.Errorf("reported %+v", got.Reported)
		}
		p.ledgerIsExact()
		w.tell(nodeA, cluster.StartCommand)
		p.running()
		if got := w.node(nodeA).Reported.Failure; got != (cluster.Failure{}) {
			t.Errorf("after a later command: %+v", got)
		}
		p.end()
	})
}

// After the table was restored it lacks acknowledgements that agents think are delivered.
func TestAnAcknowledgementThatTheTableLostIsSentAgain(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.machine(nodeA).start()
		p.running()
		w.tell(nodeA, cluster.StopCommand)
		p.within(2*time.Minute, "stopped", p.settled)
		restored := w.node(nodeA)
		number := restored.Reported.Acked
		restored.Reported.Acked--
		put, err := restored.Put()
		w.must(err)
		w.must(w.table.Write(w.t.Context(), put))
		p.within(2*time.Minute, "acknowledged again", p.settled)
		if n := w.node(nodeA); n.Desired.Number != number || n.Reported.Acked != number {
			t.Errorf("desired %+v, reported %+v", n.Desired, n.Reported)
		}
		p.end()
	})
}

// From the verdict on, nobody may use the key: what is told is heard within a minute.
func TestAStopIsHeardWithinAMinute(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.machine(nodeA).start()
		p.running()
		for pause := range 7 {
			time.Sleep(10*time.Minute + time.Duration(pause*9)*time.Second)
			w.tell(nodeA, cluster.StopCommand)
			p.within(time.Minute, "stopped", func() bool { return p.engine.Status().Phase == agent.Stopped })
			p.within(5*time.Second, "acknowledged", p.settled)
			w.tell(nodeA, cluster.StartCommand)
			p.running()
		}
		before := p.network.Requests(protocol.HeartbeatPath)
		time.Sleep(time.Hour)
		if beats := p.network.Requests(protocol.HeartbeatPath) - before; beats < 59 || beats > 61 {
			t.Errorf("a steady node calls %d times an hour", beats)
		}
		p.end()
	})
}

func TestADisabledClusterReleasesNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.machine(nodeA).start()
		p.running()
		p.end()
		w.disable(nodeA, "KEY_DISABLED")
		p.start()
		p.within(time.Minute, "refused", func() bool { return p.agent.Report().State == protocol.StateDisabled })
		released := p.network.Requests(protocol.ReleasePath)
		time.Sleep(time.Hour)
		if asked := p.network.Requests(protocol.ReleasePath) - released; p.runs() || asked > 125 {
			t.Errorf("runs: %t, asked %d times in an hour", p.runs(), asked)
		}
		if n := w.node(nodeA); n.Reported.State != cluster.Stop || n.Settled() {
			t.Errorf("reported %+v", n.Reported)
		}
		p.ledgerIsExact()
		w.disable(nodeA, "")
		p.running()
		p.end()
	})
}

func TestAKMSThatIsAwayIsWaitedFor(t *testing.T) {
	for _, kind := range []pocket.FaultKind{pocket.Throttle, pocket.ServerError, pocket.Timeout, pocket.Down} {
		t.Run(string(kind), func(t *testing.T) {
			inWorld(t, func(w *world) {
				runs, p := w.machine(nodeB).start(), w.machine(nodeA)
				runs.running()
				fault := pocket.Fault{Host: kmsAPI, Kind: kind}
				w.Faults.Set(fault)
				p.start() // its first key can't be wrapped
				p.waits()
				w.Faults.Clear()
				p.running()
				p.end()

				w.Faults.Set(fault)
				p.start() // its key can't be released
				p.waits()
				p.ledgerIsExact()
				if !runs.runs() {
					t.Error("a node that ran was stopped by an outage")
				}
				w.Faults.Clear()
				p.running()
				w.ledgerIsTrue(nodeA, nodeB)
				p.end()
				runs.end()
			})
		})
	}
}

// waits demands that the agent waits for the KMS, and is heard every few seconds.
func (p *process) waits() {
	p.w.t.Helper()
	p.within(time.Minute, "waiting", func() bool { return p.agent.Report().State == protocol.StateWaitingKMS })
	before := p.network.Requests(protocol.HeartbeatPath)
	time.Sleep(10 * time.Minute)
	if beats := p.network.Requests(protocol.HeartbeatPath) - before; p.runs() || beats < 110 || beats > 160 {
		p.w.t.Errorf("runs: %t, %d heartbeats in ten minutes", p.runs(), beats)
	}
}

func TestWhatAnOutageAnswers(t *testing.T) {
	inWorld(t, func(w *world) {
		a := w.enrol(nodeA)
		wrapped := a.wrap("k1")
		ask := func() answer { got, _ := w.release(a.bearer(nodeA), nodeA, "k1", wrapped); return got }
		for _, kind := range []pocket.FaultKind{pocket.Throttle, pocket.ServerError, pocket.Timeout, pocket.Down} {
			w.Faults.Set(pocket.Fault{Host: kmsAPI, Kind: kind})
			began := time.Now()
			if got := ask(); got.status != http.StatusServiceUnavailable || got.refusal.ErrorCode != atlas.NodeKMSUnreachable || got.header.Get("Retry-After") != "10" {
				t.Errorf("%s: %d %v %s", kind, got.status, got.header, got.body)
			}
			if took := time.Since(began); took > 25*time.Second {
				t.Errorf("%s: answered after %s", kind, took)
			}
			w.Faults.Clear()
		}
		w.enableCMK(nodeA, false)
		if got := ask(); got.status != http.StatusConflict || got.refusal.ErrorCode != atlas.NodeDisabled || got.header.Get("Retry-After") != "" {
			t.Errorf("a key that was taken away: %d %v %s", got.status, got.header, got.body)
		}
		w.enableCMK(nodeA, true)
		w.disable(nodeA, "KEY_DISABLED")
		if got := ask(); got.status != http.StatusConflict || got.refusal.ErrorCode != atlas.NodeDisabled {
			t.Errorf("a disabled cluster: %d %s", got.status, got.body)
		}
		w.disable(nodeA, "")
		if got := ask(); got.status != http.StatusOK || got.header.Get("Cache-Control") != "no-store" {
			t.Errorf("all is well: %d %v %s", got.status, got.header, got.body)
		}
	})
}

// The node is killed at every step of a rotation and of a rewrap in a row; whatever it then holds,
// the ledger knows, and in the end knows nothing else.
func TestTheLedgerIsTrueWheneverANodeDies(t *testing.T) {
	for _, path := range []string{protocol.WrapPath, protocol.ReleasePath, protocol.RewrapPath, protocol.AckPath} {
		for _, before := range []bool{true, false} {
			name := "after " + path
			if before {
				name = "before " + path
			}
			t.Run(name, func(t *testing.T) {
				inWorld(t, func(w *world) {
					p := w.machine(nodeA).start()
					p.running()
					for _, c := range []cluster.Command{cluster.RotateCommand, cluster.RewrapCommand, cluster.ResyncCommand} {
						w.configure(nodeA, w.newCMK())
						p.dieAt(path, before)
						w.tell(nodeA, c)
						p.within(3*time.Minute, "dead or done", func() bool { return p.disk.Crashed() || p.settled() })
						if p.disk.Crashed() {
							p.stop()
							<-p.done //nolint:errcheck // it died of what the test did to it
							p.disk, p.network = p.disk.AfterCrash(0), agenttest.NewNetwork(w.url)
							p.ledgerKnows()
							p.start()
						}
						p.network.OnRequest(nil)
						p.within(5*time.Minute, string(c), p.settled)
						p.ledgerIsExact()
						w.ledgerIsTrue(nodeA)
					}
					p.end()
				})
			})
		}
	}
}

// dieAt cuts the machine's power at the next request of a path, before it is served or after.
func (p *process) dieAt(path string, before bool) {
	disk := p.disk
	p.network.OnRequest(func(at string, isBefore bool) {
		if at == path && isBefore == before {
			disk.Crash()
		}
	})
}
