package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/local/states/asl"
	"latchkey/local/states/engine"
	"latchkey/local/states/journal"
	"latchkey/local/states/statestest"
)

// world is a journal, and engines over it one after the other.
type world struct {
	t         *testing.T
	journal   journal.Journal
	machine   *asl.Machine
	functions map[string]statestest.Function

	*engine.Engine // for the test's own goroutine; others ask current
	mu             sync.Mutex
	cancel         context.CancelFunc
	ended          chan error
}

func newWorld(t *testing.T, r statestest.Run) *world {
	t.Helper()
	return &world{t: t, journal: journal.Memory(), machine: r.Machine, functions: r.Functions}
}

// open starts an engine over what is in the journal.
func (w *world) open() {
	w.mu.Lock()
	w.Engine = engine.New(engine.Config{
		Journal: w.journal, Machines: map[string]*asl.Machine{"test": w.machine}, Invoke: statestest.Invoker(w.functions),
		Now: time.Now, Rand: rand.NewPCG(1, 2), Log: slog.New(slog.DiscardHandler),
	})
	w.mu.Unlock()
	var ctx context.Context
	ctx, w.cancel = context.WithCancel(w.t.Context())
	w.ended = make(chan error, 1)
	run := w.Run
	go func() { w.ended <- run(ctx) }()
	synctest.Wait()
}

// current is the engine that was opened last.
func (w *world) current() *engine.Engine {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.Engine
}

// close stops the engine in the middle of whatever it does.
func (w *world) close() {
	w.cancel()
	if err := <-w.ended; err != nil && !errors.Is(err, errKilled) {
		w.t.Error(err)
	}
}

func (w *world) start(name, input string) string {
	w.t.Helper()
	x, err := w.Start(w.t.Context(), w.MachineARN("test"), name, input)
	if err != nil {
		w.t.Fatal(err)
	}
	return x.ARN
}

var errKilled = errors.New("killed")

// dying is a journal whose process is killed once it has written so many times.
type dying struct {
	journal.Journal

	mu   sync.Mutex
	left int
	died chan struct{}
}

func (d *dying) Write(changes []journal.Change) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.left == 0 {
		select {
		case <-d.died:
		default:
			close(d.died)
		}
		return errKilled
	}
	d.left--
	return d.Journal.Write(changes)
}

// tokens is a function that keeps the tokens it is called with.
type tokens struct {
	mu  sync.Mutex
	all []string
}

func (k *tokens) call(_ context.Context, payload json.RawMessage) (any, error) {
	var in struct{ Token string }
	if err := json.Unmarshal(payload, &in); err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.all = append(k.all, in.Token)
	return map[string]bool{"asked": true}, nil
}

func (k *tokens) last() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.all[len(k.all)-1]
}
