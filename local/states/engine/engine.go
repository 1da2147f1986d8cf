// Package engine executes Amazon States Language machines as AWS Step Functions does, durably:
// every transition of an execution is in a journal before anybody learns of it, so a process
// that is killed continues all executions when it is started again.
//
// Its invariant: an acknowledged StartExecution, StopExecution, SendTask or RedriveExecution is
// never lost, and a task whose outcome was not recorded is invoked again (tasks are idempotent).
// The local suite's wiring and tests import it; production code reaches it through the official
// client (see local/states/sfnapi) only.
//
// A running execution costs one goroutine and one timer, about 10 KiB with a small input, and a
// goroutine for each invocation under way; a closed one costs nothing but its journal, which is
// kept for good.
package engine

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"latchkey/local/states/asl"
	"latchkey/local/states/journal"
)

// Invoke calls the Lambda function that has a name. A function that fails is a *FunctionError, a
// service that refuses a *ServiceError; any other error is taken for a broken connection. ctx
// ends when nobody waits for the outcome any more.
type Invoke func(ctx context.Context, function string, payload []byte) ([]byte, error)

// Config is what an engine needs. Fields without a default are required.
type Config struct {
	Journal journal.Journal
	Invoke  Invoke
	// Machines are the definitions by the names of their state machines. An execution keeps the
	// definition that it was started with.
	Machines map[string]*asl.Machine
	Now      func() time.Time
	// Rand is drawn from once, for the seed of all that executions draw: jitter, UUIDs and
	// tokens. Equal seeds make equal executions.
	Rand rand.Source
	Log  *slog.Logger
	// Region, AccountID and RoleARN appear in ARNs and in the context object. Empty: us-east-1,
	// 123456789012 and a role of that account.
	Region, AccountID, RoleARN string
	// MaxInvocations bounds the invocations under way at once; further ones wait their turn. 0 is 256.
	MaxInvocations int
}

func (c Config) withDefaults() Config {
	if c.Region == "" {
		c.Region = "us-east-1"
	}
	if c.AccountID == "" {
		c.AccountID = "123456789012"
	}
	if c.RoleARN == "" {
		c.RoleARN = "arn:aws:iam::" + c.AccountID + ":role/latchkey-workflows"
	}
	if c.MaxInvocations == 0 {
		c.MaxInvocations = 256
	}
	return c
}

// Engine executes state machines. It is safe for concurrent use.
type Engine struct {
	cfg     Config
	seed    [32]byte
	created time.Time
	slots   chan struct{} // held by each invocation under way
	names   [64]sync.Mutex

	mu      sync.Mutex
	live    map[key]*execution // guarded by mu
	running context.Context    // guarded by mu; nil before Run
	stop    context.CancelCauseFunc
	actors  sync.WaitGroup
	broken  error // guarded by mu: why nothing can be written any more
	unnamed int64 // guarded by mu: how many executions were started without a name
}

// key names an execution.
type key struct{ machine, name string }

func (k key) sort() string { return k.machine + "/" + k.name }

// errStopped is the cause when Run was asked to end.
var errStopped = errors.New("the engine has been stopped")

// New returns an engine that executes nothing until Run. It accepts executions before that.
func New(cfg Config) *Engine {
	cfg = cfg.withDefaults()
	e := &Engine{
		cfg: cfg, created: cfg.Now(), live: map[key]*execution{},
		slots: make(chan struct{}, cfg.MaxInvocations),
	}
	draw := rand.New(cfg.Rand) //nolint:gosec // G404: the caller chooses the source
	for i := 0; i < len(e.seed); i += 8 {
		binary.LittleEndian.PutUint64(e.seed[i:], draw.Uint64())
	}
	return e
}

// Run continues the executions in the journal, and executes until ctx ends or the journal fails;
// only then the error is not nil. When it returns no transition is under way. Invocations that are
// have their context cancelled; their outcome is not recorded.
func (e *Engine) Run(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	e.mu.Lock()
	e.running, e.stop = ctx, stop
	for _, x := range e.live {
		e.spawn(x)
	}
	e.mu.Unlock()
	if err := e.resume(); err != nil {
		e.fail(err)
	}
	<-ctx.Done()
	e.mu.Lock()
	if e.broken == nil {
		e.broken = errStopped
	}
	err := e.broken
	e.mu.Unlock()
	e.actors.Wait()
	stop(nil)
	if errors.Is(err, errStopped) {
		return nil
	}
	return err
}

// resume loads the executions that are running according to the journal.
func (e *Engine) resume() error {
	var keys []key
	var broken error
	err := e.cfg.Journal.Scan(partRunning, "", false, func(_ string, value []byte) bool {
		var r record
		broken = decode(value, &r)
		keys = append(keys, r.key())
		return broken == nil
	})
	if err := errors.Join(err, broken); err != nil {
		return err
	}
	for _, k := range keys {
		if err := e.resumeOne(k); err != nil {
			return fmt.Errorf("resume %s: %w", e.executionARN(k), err)
		}
	}
	return nil
}

func (e *Engine) resumeOne(k key) error {
	defer e.lockName(k)()
	if e.find(k) != nil {
		return nil
	}
	x, err := e.load(k)
	if _, ok := errors.AsType[*unusable](err); ok { // this one cannot go on; the others can
		b := &batch{touched: map[string]bool{}}
		x.close(b, Failed, asl.Fails(asl.ErrRuntime, "%v", err))
		return x.commit(b)
	}
	if err != nil {
		return err
	}
	e.adopt(x)
	return nil
}

// lockName keeps others from starting or redriving an execution of the same name.
func (e *Engine) lockName(k key) (unlock func()) {
	h := fnv.New32a()
	io.WriteString(h, k.sort()) //nolint:errcheck // a hash takes everything
	mu := &e.names[h.Sum32()%uint32(len(e.names))]
	mu.Lock()
	return mu.Unlock
}

// find returns a running execution, nil if there is none of the name.
func (e *Engine) find(k key) *execution {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.live[k]
}

// adopt takes an execution that is in the journal among the running ones.
func (e *Engine) adopt(x *execution) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.live[x.key] = x
	if e.running != nil {
		e.spawn(x)
	}
}

// spawn starts an execution's goroutine. The caller holds mu.
func (e *Engine) spawn(x *execution) {
	ctx := e.running
	e.actors.Go(func() { x.run(ctx) })
}

// release forgets an execution that has closed.
func (e *Engine) release(x *execution) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.live[x.key] == x {
		delete(e.live, x.key)
	}
}

// write makes changes durable. After an error the engine is broken: what is in memory is ahead
// of what is on disk, so nothing is done or said any more until it is opened again.
func (e *Engine) write(changes []journal.Change) error {
	e.mu.Lock()
	err := e.broken
	e.mu.Unlock()
	if err != nil {
		return err
	}
	if err := e.cfg.Journal.Write(changes); err != nil {
		e.fail(err)
		return err
	}
	return nil
}

func (e *Engine) fail(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.broken == nil {
		e.broken = fmt.Errorf("engine: %w", err)
		e.cfg.Log.Error("workflow engine stopped", slog.String("error", err.Error()))
	}
	if e.stop != nil {
		e.stop(e.broken)
	}
}

// randomFor returns the random numbers of an execution from an event on: the same ones after the
// same events, whatever other executions do meanwhile.
func (e *Engine) randomFor(k key, event int64) *rand.Rand {
	seed := sha256.Sum256(fmt.Appendf(e.seed[:len(e.seed):len(e.seed)], "%s %d", k.sort(), event))
	return rand.New(rand.NewChaCha8(seed)) //nolint:gosec // G404: tokens are as strong as Config.Rand
}

func uuidFrom(r *rand.Rand) string {
	hi, lo := r.Uint64(), r.Uint64()
	return fmt.Sprintf("%08x-%04x-4%03x-%04x-%012x", hi>>32, hi>>16&0xffff, hi&0xfff, lo>>48&0x3fff|0x8000, lo&0xffffffffffff)
}
