package agent

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"latchkey/agent/statedir"
	"latchkey/shared/atlas"
	"latchkey/shared/node/protocol"
)

// worker carries out commands, one at a time, and keeps the node in the state it should be in.
// It is the only one to touch the engine, the ring and the records of commands.
type worker struct {
	cfg   Config
	node  node
	inbox *inbox

	ring     ring
	lost     error // why the ring could not be read; only RESYNC and DELETE work then
	commands commands
	made     *MasterKey // a key that was made and is not stored yet, kept across attempts
	wait     backoff
}

func newWorker(cfg Config, n node, box *inbox) (*worker, error) {
	w := &worker{cfg: cfg, node: n, inbox: box, wait: backoff{jitter: cfg.Jitter}}
	box.setSealTo(n.ControlPlaneKey)
	found, err := load(cfg.State, keysFile, &w.ring)
	switch {
	case err != nil && !errors.Is(err, statedir.ErrDamaged):
		return nil, err // the disk itself fails: that says nothing about what is on it
	case err != nil:
		w.lost = err
	case !found:
		w.lost = ErrKeysLost
	}
	if _, err := load(cfg.State, commandsFile, &w.commands); err != nil && !errors.Is(err, statedir.ErrDamaged) {
		return nil, err
	} else if err != nil {
		// The control plane repeats its last command, and all of them may be repeated.
		w.commands = commands{}
		cfg.Log.Warn("the record of commands is damaged and begins anew", slog.Any("error", err))
	}
	w.showKeys()
	if w.commands.Finished.Command > 0 {
		box.finish(w.commands.Finished) // perhaps the last run ended before it was delivered
	}
	box.accept(w.commands.Accepted)
	return w, nil
}

// run works until ctx ends or the node is deleted.
func (w *worker) run(ctx context.Context) error {
	defer func() { w.made.Destroy() }()
	select {
	case <-ctx.Done():
		return nil
	case <-w.inbox.greeted: // what the control plane says now counts more than what it said before
	}
	for {
		command, work, cancel := w.inbox.begin(ctx)
		err := w.reconcile(work, command)
		interrupted := errors.Is(context.Cause(work), errNewer)
		cancel(nil)
		switch {
		case errors.Is(err, errDeleted):
			return w.bow(ctx)
		case ctx.Err() != nil:
			return w.shutDown(ctx)
		case interrupted:
			w.wait.reset()
			continue
		}
		if w.settle(ctx, command, err); w.idle(ctx, err) != nil {
			return w.shutDown(ctx)
		}
	}
}

// idle waits for a reason to look again: a newer command; after a failure, the back-off; without
// one, the next heartbeat, since the engine may have stopped meanwhile.
func (w *worker) idle(ctx context.Context, failure error) error {
	tick := w.inbox.tick
	var again <-chan time.Time
	if failure != nil {
		timer := time.NewTimer(w.wait.next(failure))
		defer timer.Stop()
		tick, again = nil, timer.C
	} else {
		w.wait.reset()
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-w.inbox.newer:
		w.wait.reset()
	case <-again:
	case <-tick:
	}
	return nil
}

// reconcile carries out a command that is not finished, or keeps what a finished one achieved.
func (w *worker) reconcile(ctx context.Context, c protocol.Command) error {
	if c.Number == 0 {
		return nil
	}
	if c.Number <= w.commands.Finished.Command {
		return w.hold(ctx, c, false)
	}
	if c.Number > w.commands.Accepted.Number {
		w.commands.Accepted = c
		if err := save(w.cfg.State, commandsFile, w.commands); err != nil {
			// It matters only after a restart without a control plane. Obeying comes first.
			w.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "the command is not recorded", slog.Any("error", err))
		}
	}
	ack := protocol.AckRequest{Command: c.Number, Outcome: protocol.Done}
	err := w.carryOut(ctx, c, &ack)
	if final, ok := errors.AsType[*impossible](err); ok {
		ack.Outcome, ack.Reason = protocol.Failed, final.reason
	} else if err != nil && !errors.Is(err, errDeleted) {
		return err
	}
	if err := w.finish(ack); err != nil {
		return err
	}
	if errors.Is(err, errDeleted) {
		return errDeleted
	}
	return w.hold(ctx, c, false)
}

// finish records how a command ended before it is acknowledged: the agent may end in between.
func (w *worker) finish(ack protocol.AckRequest) error {
	if w.ring.Current != nil {
		ack.KeyID, ack.Wrapped = w.ring.Current.KeyID, w.ring.Current.Wrapped
		ack.Wrapped.Blob = nil
	}
	if w.ring.Next != nil {
		ack.NextKeyID, ack.NextWrapped = w.ring.Next.KeyID, w.ring.Next.Wrapped
		ack.NextWrapped.Blob = nil
	}
	finished := w.commands
	finished.Finished = ack
	if err := save(w.cfg.State, commandsFile, finished); err != nil {
		return err
	}
	w.commands = finished
	w.inbox.finish(ack)
	return nil
}

// impossible is a command that trying again would not help.
type impossible struct{ reason string }

func (e *impossible) Error() string { return "agent: the command cannot be carried out: " + e.reason }

// carryOut does what a command is for. ack is for what there is to tell of it besides.
func (w *worker) carryOut(ctx context.Context, c protocol.Command, ack *protocol.AckRequest) error {
	switch c.Kind {
	case protocol.KindRotate:
		return w.rotate(ctx, c)
	case protocol.KindRewrap:
		return w.rewrap(ctx, c)
	case protocol.KindResync:
		return w.resync(ctx, c)
	case protocol.KindDelete:
		return w.drop(ctx)
	case protocol.KindSnapshot:
		bytes, err := w.snapshot(ctx, c)
		ack.SnapshotBytes = bytes
		return err
	case protocol.KindPrepare:
		if _, err := w.readyToRestore(ctx, c); err != nil {
			return err
		}
	case protocol.KindRestore:
		return w.restore(ctx, c)
	case protocol.KindPurge:
		return w.purge(ctx, c)
	case protocol.KindNone, protocol.KindStart, protocol.KindStop:
	}
	return w.hold(ctx, c, true)
}

// settle turns the outcome of an attempt into what is reported and logged.
func (w *worker) settle(ctx context.Context, c protocol.Command, err error) {
	if errors.Is(err, errNotReady) {
		err = nil // nothing is wrong: the engine's phase says it all
	}
	state, reason := diagnose(err)
	if c.Target == protocol.Stop {
		state = "" // it does not wait to start; the engine's phase says it all
	}
	var changed bool
	w.inbox.show(func(v *view) {
		changed = v.reason != reason || err != nil && v.state != state
		v.state, v.reason = state, reason
	})
	if err != nil && changed {
		w.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "not as it should be", slog.String("reason", reason),
			slog.String("engine", w.cfg.Engine.Status().Detail), slog.Any("error", err))
	}
}

// diagnoses is the one table from what went wrong to what is reported. FAILED is for what needs
// a person; the rest passes.
var diagnoses = []struct {
	err    error
	state  protocol.State
	reason string
}{
	{errMismatch, protocol.StateFailed, protocol.ReasonKeyMismatch},
	{ErrWrongKey, protocol.StateFailed, protocol.ReasonWrongKey},
	{ErrKeysLost, protocol.StateFailed, protocol.ReasonKeysLost},
	{statedir.ErrDamaged, protocol.StateFailed, protocol.ReasonStateDamaged},
	{statedir.ErrNotStored, protocol.StateFailed, protocol.ReasonStateNotStored},
	{errSnapshots, protocol.StateFailed, protocol.ReasonSnapshotStore},
	{errUnreachable, protocol.StateStarting, protocol.ReasonUnreachable},
	{errUntold, protocol.StateStarting, protocol.ReasonUnreachable},
}

func diagnose(err error) (protocol.State, string) {
	if err == nil {
		return "", ""
	}
	for _, d := range diagnoses {
		if errors.Is(err, d.err) {
			return d.state, d.reason
		}
	}
	refused, ok := errors.AsType[*APIError](err)
	switch {
	case !ok:
		return protocol.StateFailed, protocol.ReasonEngine
	case refused.Code == atlas.NodeDisabled:
		return protocol.StateDisabled, string(refused.Code)
	case refused.Code == atlas.NodeKMSUnreachable:
		return protocol.StateWaitingKMS, string(refused.Code)
	case refusedForGood(err):
		return protocol.StateFailed, string(refused.Code)
	}
	return protocol.StateStarting, string(refused.Code)
}

// showKeys reports which keys the node holds.
func (w *worker) showKeys() {
	w.inbox.show(func(v *view) {
		v.keyID, v.nextID = "", ""
		if w.ring.Current != nil {
			v.keyID = w.ring.Current.KeyID
		}
		if w.ring.Next != nil {
			v.nextID = w.ring.Next.KeyID
		}
	})
}

// shutDown stops the engine because the agent ends.
func (w *worker) shutDown(ctx context.Context) error {
	ctx, cancel := w.undisturbed(ctx)
	defer cancel()
	return w.cfg.Engine.Stop(ctx)
}

// bow waits until the control plane knows that the node is gone.
func (w *worker) bow(ctx context.Context) error {
	w.inbox.show(func(v *view) { v.state, v.reason = protocol.StateDeleted, "" })
	select {
	case <-ctx.Done():
	case <-w.inbox.finish(w.commands.Finished):
	}
	return nil
}

// undisturbed is the context of work that must not stop halfway: neither newer commands nor the
// agent's end interrupt it, only its time runs out.
func (w *worker) undisturbed(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), w.cfg.StopTimeout)
}
