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

	"latchkey/local/feed"
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
	// Crowd is that there are 25 projects and more, all of whose keys are refused at once; see crowd.
	Crowd bool
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
	crowd     *crowd // nil in most worlds
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
	if cfg.Crowd {
		w.crowd = crowded(w)
	}
	w.checks, w.book = newChecks(w), &book{secrets: w.secrets, crowd: w.crowd}
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
