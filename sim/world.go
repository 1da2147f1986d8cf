package sim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing/synctest"
	"time"

	"latchkey/agent"
	"latchkey/agent/memengine"
	"latchkey/agent/statedir/statedirtest"
	"latchkey/local/feed"
	"latchkey/local/fleet"
	"latchkey/local/lambdasvc"
	"latchkey/local/pocket"
	"latchkey/local/stack"
	"latchkey/local/states/journal"
	"latchkey/local/template"
	"latchkey/shared/seal"
	"latchkey/shared/seal/fileseal"
	"latchkey/shared/store/bolt"
)

// Config says what is simulated.
type Config struct {
	Seed uint64
	// For is how long tenants and mishaps go on; then everything is mended, and must be well. 0 leaves it
	// to the seed.
	For time.Duration
	// Groups is how many projects there are; 0 leaves it to the seed.
	Groups int
	// Rate is the chance of a step to meet a mishap while the weather is bad.
	Rate float64
	// Quiet is that tenants keep clusters and do nothing with them: what a simulated hour costs then is
	// what runs by itself.
	Quiet bool
	// Trace gets the history, line by line; nil is nobody.
	Trace io.Writer
}

// World is everything there is: the deployed suite, agents with databases, tenants with their clouds, and
// the weather.
type World struct {
	cfg       Config
	dir       string
	rng       *rand.Rand // of what befalls the world; drawn from at the conductor's turns alone
	conductor *conductor
	faults    *faults
	trace     *trace
	log       *slog.Logger
	book      *book

	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup
	over    bool // tenants and mishaps have ended
	failed  []error

	table     *bolt.Table
	journal   journal.Journal
	sealer    *seal.Sealer
	auditor   *seal.Sealer // opens what the other one sealed
	secrets   *secrets
	clouds    *stack.Clouds
	inside    http.RoundTripper // reaches the clouds from the tenants' side
	workflows *stack.Workflows
	engine    *process      // of the workflows
	starting  chan struct{} // full while their API is asked
	functions map[string]lambdasvc.Function
	gateway   http.Handler
	nodes     http.RoundTripper
	closers   []func() error

	apart     bool // nobody reaches the control plane
	hosts     []*host
	vault     *vault
	tenants   []*tenant
	outages   []*outage
	incidents []*incident
	calm      time.Time // since when there are no more mishaps; zero while there are
	weathered bool      // since the first minute it is decided how often steps fail
	made      []*function
	pool      pool
	rsaKeys   int
	checks    *checks
}

// deployment is what all worlds share: nothing changes it.
type deployment struct {
	template  *template.Template
	functions []template.Function
	machines  stack.WorkflowsConfig // its Machines
	secrets   *stack.Secrets
}

var deployed = sync.OnceValues(func() (*deployment, error) {
	tmpl, specs, err := stack.Resolve(nil)
	if err != nil {
		return nil, err
	}
	machines, err := stack.Machines(tmpl)
	return &deployment{template: tmpl, functions: specs, machines: stack.WorkflowsConfig{Machines: machines}}, err
})

// fail notes a violation; the world ends soon.
func (w *World) fail(err error) {
	if len(w.failed) < 20 {
		w.failed = append(w.failed, fmt.Errorf("at %s: %w", time.Since(epoch), err))
	}
	w.trace.say("VIOLATION: %v", err)
}

func (w *World) failf(format string, args ...any) { w.fail(fmt.Errorf(format, args...)) }

// newWorld assembles the suite as it is deployed, with nobody in it.
func newWorld(cfg Config, dir string, keys pool) (*World, error) {
	d, err := deployed()
	if err != nil {
		return nil, err
	}
	w := &World{
		cfg: cfg, dir: dir, pool: keys, rng: stream(cfg.Seed, 1), trace: newTrace(cfg.Trace), faults: newFaults(stream(cfg.Seed, 2)),
		secrets: newSecrets(), starting: make(chan struct{}, 1), vault: &vault{saved: map[string]savedSnapshot{}}, journal: journal.Memory(),
	}
	w.checks, w.book = newChecks(w), &book{secrets: w.secrets}
	w.log = slog.New(slog.NewJSONHandler(w.book, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.conductor = newConductor(stream(cfg.Seed, 3), w.faults, w.trace)
	w.ctx, w.cancel = context.WithCancel(context.Background())
	return w, w.assemble(d)
}

// sized has the seed decide what nobody else did. Most worlds are small: of what is ever found, most needs
// little, and small ones find it soonest. Some have the time for what takes long.
func (c Config) sized() Config {
	chance := stream(c.Seed, 0)
	groups, minutes := 1, 20
	for groups < 4 && chance.IntN(3) == 0 {
		groups++
	}
	for minutes < 6*60 && chance.IntN(4) == 0 {
		minutes *= 2
	}
	c.Groups = cmp.Or(c.Groups, groups)
	c.For = cmp.Or(c.For, time.Duration(minutes)*time.Minute)
	return c
}

// stream is one of the seed's sources of chance.
func stream(seed, n uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, n)) } //nolint:gosec // chance that can be repeated

func (w *World) assemble(d *deployment) (err error) {
	if w.table, err = bolt.Open(filepath.Join(w.dir, "table.db")); err != nil {
		return err
	}
	w.closers = append(w.closers, w.table.Close)
	key, err := fileseal.Open(filepath.Join(w.dir, "seal.key"))
	if err != nil {
		return err
	}
	w.sealer, w.auditor = seal.New(wrapper{key, w.secrets}, time.Now), seal.New(key, time.Now)
	w.startWorkflows(d)
	w.clouds, err = stack.OpenClouds(w.ctx, stack.CloudsConfig{
		State: pocket.Memory(), Now: time.Now, Workflows: w.workflows, Functions: d.functions, Secrets: d.secrets,
		GenerateKey: w.generateKey, EndpointDelay: func() time.Duration { return 90 * time.Second }, Wrap: w.aroundClouds,
	})
	if err != nil {
		return err
	}
	w.secrets.ofClouds(&w.clouds.Secrets)
	w.inside = pocket.Transport(w.clouds.Served)
	if err := w.clouds.Deploy(d.functions); err != nil {
		return err
	}
	functions := w.makeFunctions(d)
	w.workflows.Call(functions)
	if w.gateway, err = stack.Gateway(d.template, functions, time.Now, w.log); err != nil {
		return err
	}
	nodes, err := stack.NodesURL(d.template, functions, time.Now, w.log)
	if err != nil {
		return err
	}
	w.nodes = &listener{pocket.Transport(nodes), w.secrets}
	return w.startBackground(d, functions)
}

// aroundClouds is what the functions' requests to the clouds go through.
func (w *World) aroundClouds(clouds http.RoundTripper) http.RoundTripper {
	return &wire{
		to: &overhearer{clouds, w.secrets}, kind: calling, conductor: w.conductor,
		refuse: func(r *http.Request, draw uint64) {
			w.fault(pocket.Fault{Host: r.URL.Hostname(), Kind: cloudRefuses[draw%uint64(len(cloudRefuses))], Count: 1})
		},
		silent: func(r *http.Request) { w.fault(pocket.Fault{Host: r.URL.Hostname(), Kind: pocket.Timeout, Count: 1}) },
	}
}

// startWorkflows starts the engine of workflows over its journal.
func (w *World) startWorkflows(d *deployment) {
	p := &process{name: "states"}
	w.engine = p
	cfg := d.machines
	cfg.Journal = &records{Journal: w.journal, conductor: w.conductor, by: p, secrets: w.secrets}
	cfg.Now, cfg.Log = time.Now, w.log
	cfg.Rand = rand.NewPCG(w.cfg.Seed, 4+uint64(len(w.closers)))
	// Functions go on with the engine that there is now, whichever they began with.
	cfg.Wrap = func(http.RoundTripper) http.RoundTripper { return roundTrip(w.toWorkflows) }
	w.workflows = stack.NewWorkflows(cfg)
}

type roundTrip func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func (w *World) toWorkflows(r *http.Request) (*http.Response, error) {
	present := roundTrip(func(r *http.Request) (*http.Response, error) {
		return pocket.Transport(w.oneByOne(w.workflows.API)).RoundTrip(r)
	})
	return (&wire{to: present, kind: calling, conductor: w.conductor, silent: func(*http.Request) {}}).RoundTrip(r)
}

// oneByOne handles one request at a time. The engine keeps others out by a lock while it waits for the journal, and a lock
// stops the world that would have to come to the journal's turn: a channel does not.
func (w *World) oneByOne(h http.Handler) http.Handler {
	return http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		select {
		case w.starting <- struct{}{}:
		default:
			w.starting <- struct{}{}
			w.awaitTurn(r.Context(), "is let in")
		}
		defer func() { <-w.starting }()
		h.ServeHTTP(out, r)
	})
}

// makeFunctions makes the functions of the template, each of which can die.
func (w *World) makeFunctions(d *deployment) (all []lambdasvc.Function) {
	around := stack.Surroundings{
		Table: &table{Table: w.table, conductor: w.conductor, wrote: w.checks.wrote}, Sealer: w.sealer, Now: time.Now, Log: w.log,
		Clouds: w.clouds, Workflows: w.workflows, Web: pocket.Transport(http.NotFoundHandler()), Jitter: func() float64 { return 0.5 },
	}
	w.functions = map[string]lambdasvc.Function{}
	for _, spec := range d.functions {
		f := &function{name: spec.Name, conductor: w.conductor, fail: w.fail, start: func() (lambdasvc.Invoker, error) {
			return stack.Function(w.ctx, spec, around)
		}}
		w.made = append(w.made, f)
		lambda := stack.Lambda(spec, f)
		w.functions[spec.Name] = lambda
		all = append(all, lambda)
	}
	return all
}

// startBackground starts what acts by itself.
func (w *World) startBackground(d *deployment, functions []lambdasvc.Function) error {
	schedules, err := stack.Schedules(d.template, functions, time.Now, w.log)
	if err != nil {
		return err
	}
	mappings, err := stack.EventSourceMappings(stack.MappingsConfig{
		Template: d.template, Functions: functions, Clouds: w.clouds, Now: time.Now, Log: w.log,
		Stream: func(_ string, consumers []string) (feed.Source, error) {
			changes, err := w.table.Subscribe(time.Now, consumers...)
			return feed.Bolt(changes), err
		},
	})
	if err != nil {
		return err
	}
	w.run("schedule", schedules.Run)
	for _, m := range mappings {
		w.run("stream", m.Run)
	}
	w.runEngine(d)
	w.run("provisioning", w.provision)
	return nil
}

// run runs something until the world ends.
func (w *World) run(name string, act func(context.Context)) {
	ctx := within(w.ctx, &process{name: name, lasting: true})
	w.running.Go(func() { act(ctx) })
}

// runEngine runs the engine of workflows, and starts it again when it was killed.
func (w *World) runEngine(d *deployment) {
	p, engine := w.engine, w.workflows.Engine
	ctx, stop := context.WithCancel(within(w.ctx, p))
	p.died = stop
	w.running.Go(func() {
		defer stop()
		err := engine.Run(ctx)
		if w.ctx.Err() != nil {
			return
		}
		if !p.dead {
			w.failf("the engine of workflows ends: %w", err)
			return
		}
		w.after(time.Duration(1+w.cfg.Seed%20)*time.Second, "states start again", func() {
			functions := make([]lambdasvc.Function, 0, len(w.functions))
			for _, f := range w.functions {
				functions = append(functions, f)
			}
			w.startWorkflows(d)
			w.workflows.Call(functions)
			w.runEngine(d)
		})
	})
}

// after has something happen later, at a turn of its own.
func (w *World) after(d time.Duration, what string, act func()) {
	w.running.Go(func() {
		if !w.sleep(w.ctx, d) {
			return
		}
		if _, err := w.conductor.enter(w.ctx, engine, what); err == nil {
			act()
		}
	})
}

// awaitTurn waits for a turn, as everybody does who was asleep: others may go on at the same instant. It returns false
// if the world ends.
func (w *World) awaitTurn(ctx context.Context, what string) bool {
	_, err := w.conductor.enter(ctx, answering, what)
	return err == nil
}

// sleep waits, and returns false if the world ends.
func (w *World) sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// provision gives each node that waits a machine with an agent, as an operator's provisioning does.
func (w *World) provision(ctx context.Context) {
	operator := fleet.Operator{Function: w.functions["operator"]}
	for w.sleep(ctx, 30*time.Second) && w.awaitTurn(ctx, "looks for nodes") {
		waiting, err := operator.Waiting(ctx)
		if err != nil {
			continue
		}
		for _, node := range waiting {
			if slices.ContainsFunc(w.hosts, func(h *host) bool { return h.NodeID == node.NodeID }) {
				continue
			}
			token, err := operator.IssueToken(ctx, node.ClusterID, node.NodeID)
			if err != nil {
				continue
			}
			w.secrets.add("the enrolment token of "+node.NodeID, []byte(token))
			w.settle(node, token)
		}
	}
}

func (w *World) settle(node fleet.Waiting, token string) {
	h := &host{
		Waiting: node, world: w, token: token, rng: stream(w.cfg.Seed, 1000+uint64(len(w.hosts))), disk: &statedirtest.Disk{}, data: &memengine.Disk{},
		has: map[string]string{}, overheard: map[string]overheard{},
	}
	if !w.cfg.Quiet {
		h.skew.Store(int64(h.rng.NormFloat64() * float64(20*time.Second)))
	}
	w.hosts = append(w.hosts, h)
	h.boot()
}

func (w *World) forget(h *host) {
	w.hosts = slices.DeleteFunc(w.hosts, func(other *host) bool { return other == h })
}

// members are the machines of a replica set.
func (w *World) members(clusterID string, shard int) (all []*host) {
	for _, h := range w.hosts {
		if h.ClusterID == clusterID && h.Shard == shard && !h.gone {
			all = append(all, h)
		}
	}
	return all
}

// populated is whether another member has data that a new one would have to copy.
func (w *World) populated(clusterID string, shard int, but *host) bool {
	return slices.ContainsFunc(w.members(clusterID, shard), func(h *host) bool { return h != but && len(h.has) > 0 })
}

func (h *host) runs() bool { return !h.gone && h.engine.Status().Phase == agent.Running }

// end ends everything.
func (w *World) end() error {
	w.cancel()
	w.faults.closed = true
	done := make(chan struct{})
	go func() {
		w.running.Wait()
		close(done)
	}()
	for open := true; open; {
		w.conductor.drain()
		select {
		case <-done:
			open = false
		case <-w.conductor.arrived:
		}
	}
	synctest.Wait()
	var failed error
	for _, closer := range slices.Backward(w.closers) {
		failed = errors.Join(failed, closer())
	}
	return errors.Join(failed, os.RemoveAll(w.dir))
}

// custodies are the keys of all tenants.
func (w *World) custodies() iter.Seq[*custody] {
	return func(yield func(*custody) bool) {
		for _, t := range w.tenants {
			for _, k := range t.keys {
				if !yield(k) {
					return
				}
			}
		}
	}
}
