package node_test

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/agent"
	"latchkey/agent/agenttest"
	"latchkey/agent/memengine"
	"latchkey/agent/statedir"
	"latchkey/agent/statedir/statedirtest"
	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
)

// process is a real agent with an engine in memory.
type process struct {
	w      *world
	token  string
	disk   *statedirtest.Disk
	data   *memengine.Disk
	engine *memengine.Engine
	stop   context.CancelFunc
	done   chan error
}

func (p *process) start() {
	p.w.t.Helper()
	client, err := agent.NewClient("https://latchkey.test", agenttest.NewNetwork(p.w.api), time.Now)
	if err != nil {
		p.w.t.Fatal(err)
	}
	p.engine = memengine.New(memengine.Config{Disk: p.data, Now: time.Now})
	a := agent.New(agent.Config{
		Client: client, State: statedir.New(p.disk), Engine: p.engine, EnrolToken: p.token,
		Log: slog.New(slog.DiscardHandler), Now: time.Now, Jitter: func(d time.Duration) time.Duration { return d / 2 },
	})
	ctx, cancel := context.WithCancel(p.w.t.Context())
	p.stop, p.done = cancel, make(chan error, 1)
	done := p.done
	go func() { done <- a.Run(ctx) }()
}

func (p *process) end() {
	p.w.t.Helper()
	p.stop()
	if err := <-p.done; err != nil {
		p.w.t.Error(err)
	}
}

// until lets time pass until something is so.
func (p *process) until(what string, is func() bool) {
	p.w.t.Helper()
	for range 3600 {
		if synctest.Wait(); is() {
			return
		}
		time.Sleep(time.Second)
	}
	p.w.t.Fatalf("not in an hour: %s; node %+v\n%s", what, p.w.node(nodeA), p.w.log)
}

// carriedOut gives an order and waits until the node is as desired.
func (p *process) carriedOut(c cluster.Command, provider atlas.Provider) {
	p.w.t.Helper()
	p.w.tell(nodeA, c, provider)
	p.until(string(c), func() bool { return p.w.node(nodeA).Settled() })
}

func (p *process) has(key string) bool {
	p.w.t.Helper()
	value, found, err := p.engine.Get(p.w.t.Context(), "db", key)
	return err == nil && found && string(value) == "v"
}

func TestARealAgentLivesItsLife(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorldAt(t, time.Now)
		p := &process{w: w, token: w.token(nodeA), disk: &statedirtest.Disk{}, data: &memengine.Disk{}}
		p.start()
		p.until("running", func() bool { return w.node(nodeA).Settled() })
		if err := p.engine.Put(t.Context(), "db", "a", []byte("v")); err != nil {
			t.Fatal(err)
		}
		ledger := func(want ...string) {
			t.Helper()
			p.until("ledger", func() bool {
				var got []string
				for _, e := range w.copies(nodeA) {
					got = append(got, e.CMK.Name)
				}
				return slices.Equal(got, want)
			})
		}
		ledger("AWS-key-0")

		w.tenant.rotate(atlas.AWS)
		p.carriedOut(cluster.RewrapCommand, atlas.AWS)
		ledger("AWS-key-1")
		before := w.node(nodeA).Reported.KeyID
		p.carriedOut(cluster.RotateCommand, atlas.AWS)
		ledger("AWS-key-1")
		if w.node(nodeA).Reported.KeyID == before {
			t.Error("the master key is the old one")
		}
		p.end()

		w.disable("KEY_DISABLED")
		p.start()
		p.until("refused", func() bool { return w.node(nodeA).Reported.State == cluster.Stop })
		time.Sleep(10 * time.Minute)
		if p.engine.Status().Phase == agent.Running {
			t.Error("a node of a disabled cluster runs")
		}
		w.disable("")
		p.until("running again", func() bool { return w.node(nodeA).Running() && p.has("a") })

		p.carriedOut(cluster.ResyncCommand, atlas.GCP)
		ledger("GCP-key-0")
		p.carriedOut(cluster.ResyncCommand, cluster.None)
		ledger()
		w.tell(nodeA, cluster.DeleteCommand, cluster.None)
		if err := <-p.done; err != nil {
			t.Errorf("Run = %v", err)
		}
		if nodes, err := w.clusters.Node(t.Context(), clusterID, nodeA); err == nil {
			t.Errorf("the node is still there: %+v", nodes)
		}
	})
}
