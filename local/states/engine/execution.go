package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"latchkey/local/states/asl"
	"latchkey/local/states/journal"
)

// rootID is the frame of the machine itself.
const rootID = "0"

// maxSteps bounds the transitions of one commit, so that a loop of states that never wait does
// not keep its execution from being stopped.
const maxSteps = 100

// maxNap is how long an execution sleeps before it looks at the clock again, in case the clock
// was moved or the machine was asleep.
const maxNap = time.Hour

// execution is one that runs. Its goroutine alone touches it, but for key, inbox and gone.
type execution struct {
	e       *Engine
	key     key
	rec     record
	machine *asl.Machine
	input   any // parsed rec.Input
	frames  map[string]*frame
	ready   []*frame
	rand    *rand.Rand

	lastEvent int64
	cancels   map[string]context.CancelFunc // of invocations, by frame

	inbox chan message
	gone  chan struct{} // closed when the goroutine has ended
}

// message changes an execution from outside. reply gets apply's error once what it did is durable.
type message struct {
	apply func(b *batch) error
	reply chan error // buffered; nil if nobody waits
}

// batch is what one commit writes, and what is done after it.
type batch struct {
	changes  []journal.Change
	touched  map[string]bool
	record   bool
	launches []string
	replies  []func(error)
}

func (e *Engine) newExecution(rec record, machine *asl.Machine) *execution {
	input, err := asl.Unmarshal([]byte(rec.Input))
	if err != nil {
		input = map[string]any{} // start has checked it
	}
	return &execution{
		e: e, key: rec.key(), rec: rec, machine: machine, input: input,
		frames: map[string]*frame{}, cancels: map[string]context.CancelFunc{},
		inbox: make(chan message), gone: make(chan struct{}),
	}
}

// sorted returns the frames in a fixed order.
func (x *execution) sorted() []*frame {
	return slices.SortedFunc(maps.Values(x.frames), func(a, b *frame) int { return cmp.Compare(a.ID, b.ID) })
}

// run executes until the execution closes or ctx ends.
func (x *execution) run(ctx context.Context) {
	defer close(x.gone)
	defer x.cancelAll()
	for _, f := range x.sorted() {
		if f.Phase == invoking && !x.overdue(f) { // its outcome was not recorded
			x.launch(ctx, f)
		}
	}
	for x.rec.Status == Running {
		b := &batch{touched: map[string]bool{}}
		if len(x.ready) == 0 {
			if !x.await(ctx, b) {
				return
			}
		}
		x.fire(b)
		x.advance(b)
		err := x.commit(b)
		if x.rec.Status != Running && err == nil {
			x.e.release(x)
		}
		for _, reply := range b.replies {
			reply(err)
		}
		if err != nil {
			return
		}
		for _, id := range b.launches {
			if f := x.frames[id]; f != nil && f.Phase == invoking {
				x.launch(ctx, f)
			}
		}
	}
}

// await blocks until there is something to do. It reports false if the engine stops.
func (x *execution) await(ctx context.Context, b *batch) bool {
	nap := maxNap
	if wake, ok := x.nextWake(); ok {
		nap = min(nap, wake.Sub(x.e.cfg.Now()))
	}
	timer := time.NewTimer(max(nap, 0))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	case m := <-x.inbox:
		x.receive(b, m)
	}
	for range maxSteps { // whoever else is already there shares the commit
		select {
		case m := <-x.inbox:
			x.receive(b, m)
		default:
			return true
		}
	}
	return true
}

func (x *execution) receive(b *batch, m message) {
	err := error(errGone())
	if x.rec.Status == Running {
		err = m.apply(b)
	}
	if m.reply != nil {
		b.replies = append(b.replies, func(commit error) { m.reply <- cmp.Or(commit, err) })
	}
}

// send hands a message over. It reports false if the execution takes none any more.
func (x *execution) send(ctx context.Context, m message) bool {
	select {
	case x.inbox <- m:
		return true
	case <-x.gone:
	case <-ctx.Done():
	}
	return false
}

// nextWake is the earliest deadline.
func (x *execution) nextWake() (time.Time, bool) {
	first := x.rec.Deadline
	for _, f := range x.frames {
		if t := f.due(); !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first, !first.IsZero()
}

// due is when something happens to the frame if nothing happens before; zero is never.
func (f *frame) due() time.Time {
	switch f.Phase {
	case waiting, backoff:
		return f.WakeAt
	case invoking, submitted:
		first := f.Call.Deadline
		if h := f.Call.Heartbeat; !h.IsZero() && (first.IsZero() || h.Before(first)) {
			first = h
		}
		return first
	case ready, joining, done, failed, aborted:
	}
	return time.Time{}
}

// fire handles the deadlines that have passed.
func (x *execution) fire(b *batch) {
	now := x.e.cfg.Now()
	if d := x.rec.Deadline; !d.IsZero() && !now.Before(d) && x.rec.Status == Running {
		x.timeOut(b)
		return
	}
	for _, f := range x.sorted() {
		if !x.overdue(f) || x.frames[f.ID] != f || x.rec.Status != Running {
			continue // the last two by what was done for another flow
		}
		switch f.Phase {
		case waiting:
			x.endWait(b, f)
		case backoff:
			x.makeReady(b, f)
		case invoking, submitted:
			x.callTimedOut(b, f)
		case ready, joining, done, failed, aborted:
		}
	}
}

// overdue reports whether the frame's deadline has passed.
func (x *execution) overdue(f *frame) bool {
	t := f.due()
	return !t.IsZero() && !x.e.cfg.Now().Before(t)
}

func (x *execution) makeReady(b *batch, f *frame) {
	f.Phase = ready
	b.touch(f)
	x.ready = append(x.ready, f)
}

// advance executes states until none is ready, or the commit is large enough.
func (x *execution) advance(b *batch) {
	for steps := 0; len(x.ready) > 0 && steps < maxSteps; steps++ {
		f := x.ready[0]
		x.ready = x.ready[1:]
		if x.rec.Status != Running {
			return
		}
		if f.Phase == ready && x.frames[f.ID] == f {
			x.step(b, f)
		}
	}
	if x.lastEvent >= maxEvents && x.rec.Status == Running {
		x.close(b, Failed, asl.Fails(asl.ErrRuntime, "The execution reached the maximum number of history events (%d).", maxEvents))
	}
}

func (b *batch) touch(f *frame) { b.touched[f.ID] = true }

// commit makes the batch durable.
func (x *execution) commit(b *batch) error {
	for _, id := range slices.Sorted(maps.Keys(b.touched)) {
		if f := x.frames[id]; f != nil {
			b.changes = append(b.changes, journal.Put(partFrames(x.key), id, encode(f)))
		} else {
			b.changes = append(b.changes, journal.Delete(partFrames(x.key), id))
		}
	}
	if b.record {
		b.changes = append(b.changes, x.rec.changes()...)
	}
	if len(b.changes) == 0 {
		return nil
	}
	return x.e.write(b.changes)
}

// flow is what a frame executes: its parent's branch or processor, or the machine.
func (x *execution) flow(f *frame) *asl.Flow {
	parent, index, ok := x.parent(f)
	if !ok {
		return &x.machine.Flow
	}
	s := x.state(parent)
	if s.Type == asl.Map {
		return s.Processor
	}
	return s.Branches[index]
}

// parent returns the frame that a frame is a branch or iteration of, and which one it is.
func (x *execution) parent(f *frame) (*frame, int, bool) {
	i := strings.LastIndexByte(f.ID, '.')
	if i < 0 {
		return nil, 0, false
	}
	index, err := strconv.Atoi(f.ID[i+1:])
	return x.frames[f.ID[:i]], index, err == nil
}

// state is the state that a frame is in.
func (x *execution) state(f *frame) *asl.State { return x.flow(f).States[f.State] }

// children are the frames of a frame's branches or iterations, in order.
func (x *execution) children(f *frame) []*frame {
	var all []*frame
	for i := range f.Started {
		if c := x.frames[childID(f, i)]; c != nil {
			all = append(all, c)
		}
	}
	return all
}

func childID(f *frame, i int) string { return f.ID + "." + strconv.Itoa(i) }

// drop forgets a frame's branches or iterations.
func (x *execution) drop(b *batch, f *frame) {
	for _, c := range x.children(f) {
		x.drop(b, c)
		x.cancel(c)
		b.touch(c)
		delete(x.frames, c.ID)
	}
	f.Started, f.Length, f.items = 0, 0, nil
}

func (x *execution) cancel(f *frame) {
	if cancel := x.cancels[f.ID]; cancel != nil {
		cancel()
		delete(x.cancels, f.ID)
	}
}

func (x *execution) cancelAll() {
	for _, cancel := range x.cancels {
		cancel()
	}
}

// timestamp is a time as the context object shows it.
func timestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// env is what the paths of a frame's state see.
func (x *execution) env(f *frame, input any) *asl.Env {
	c := map[string]any{
		"Execution": map[string]any{
			"Id": x.e.executionARN(x.key), "Name": x.key.name, "Input": x.input, "RoleArn": x.e.cfg.RoleARN,
			"StartTime": timestamp(x.rec.Started), "RedriveCount": int64(x.rec.RedriveCount),
		},
		"State":        map[string]any{"Name": f.State, "EnteredTime": timestamp(f.Entered), "RetryCount": int64(f.Retries)},
		"StateMachine": map[string]any{"Id": x.e.MachineARN(x.key.machine), "Name": x.key.machine},
	}
	if !x.rec.Redriven.IsZero() {
		c["Execution"].(map[string]any)["RedriveTime"] = timestamp(x.rec.Redriven) //nolint:forcetypeassert // made above
	}
	if f.Call != nil && f.Call.Token != "" {
		c["Task"] = map[string]any{"Token": f.Call.Token}
	}
	for at, ok := f, true; ok; at, _, ok = x.parent(at) {
		if at.Item != nil {
			c["Map"] = map[string]any{"Item": itemContext(at.Item.Index, parsed(at.Item.Value))}
			break
		}
	}
	return &asl.Env{Input: input, Context: c, UUID: func() string { return uuidFrom(x.rand) }}
}

func itemContext(index int, value any) map[string]any {
	return map[string]any{"Index": int64(index), "Value": value}
}

// parsed decodes what the engine has encoded itself.
func parsed(raw json.RawMessage) any {
	v, err := asl.Unmarshal(raw)
	if err != nil {
		return nil
	}
	return v
}
