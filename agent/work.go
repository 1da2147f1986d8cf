package agent

import (
	"context"
	"errors"
	"fmt"

	"latchkey/shared/atlas"
	"latchkey/shared/node/protocol"
)

// errMismatch means that the control plane released another key than the node made. Nothing is
// opened with it, and least of all encrypted.
var errMismatch = errors.New("agent: the released key is not the one that was wrapped")

// errNotReady is a failure that a moment's patience mends.
var errNotReady = errors.New("agent: the engine is not running yet")

// hold brings the node to the command's target and is harmless when it is there. Only a new
// command starts an engine that exited by itself.
func (w *worker) hold(ctx context.Context, c protocol.Command, isNew bool) error {
	if c.Kind == protocol.KindDelete {
		return errDeleted
	}
	status := w.cfg.Engine.Status()
	if c.Target == protocol.Stop {
		return w.stop(ctx)
	}
	if w.ring.Restoring != nil {
		return w.start(ctx, c) // also of what still runs with the data of before
	}
	switch status.Phase {
	case Starting, Syncing, Running:
		return nil
	case Exited:
		if !isNew {
			return nil
		}
	case Stopped, Failed:
	}
	return w.start(ctx, c)
}

func (w *worker) stop(ctx context.Context) error {
	if w.cfg.Engine.Status().Phase != Stopped {
		w.inbox.show(func(v *view) { v.state, v.reason = protocol.StateStopping, "" })
	}
	ctx, cancel := w.undisturbed(ctx)
	defer cancel()
	return w.cfg.Engine.Stop(ctx)
}

// start opens the data, under whatever it is under. Data that does not exist yet is begun as
// the command says.
func (w *worker) start(ctx context.Context, c protocol.Command) error {
	if w.lost != nil {
		return w.lost
	}
	w.inbox.show(func(v *view) {
		if v.state == "" || v.state == protocol.StateStopping {
			v.state = protocol.StateStarting
		}
	})
	switch {
	case w.ring.Restoring != nil:
		if err := w.putBack(ctx); err != nil {
			return err
		}
	case w.ring.Dropping != 0:
		if err := w.empty(ctx, w.ring.Dropping); err != nil {
			return err
		}
	}
	if !w.ring.Plain && w.ring.Current == nil {
		if err := w.beginData(ctx, c); err != nil {
			return err
		}
	}
	if w.ring.Plain {
		return w.cfg.Engine.Start(ctx, nil)
	}
	err := w.openWith(ctx, *w.ring.Current)
	if errors.Is(err, ErrWrongKey) && w.ring.Next != nil {
		// A rotation got as far as the data and no further.
		if err := w.openWith(ctx, *w.ring.Next); err != nil {
			return err
		}
		return w.promote()
	}
	return err
}

// errUntold is that the record of commands is older than what was done: what new data is to be under was said by
// a command that could not be recorded. The control plane repeats it.
var errUntold = errors.New("agent: the data was dropped for a command that is not recorded; waiting for the control plane to repeat it")

// beginData decides what new data will be under, before there is any.
func (w *worker) beginData(ctx context.Context, c protocol.Command) error {
	if c.Number < w.ring.ResyncedFor {
		return errUntold
	}
	next := w.ring
	if c.Provider == protocol.NoProvider {
		next.Plain = true
		return w.keep(next)
	}
	key, err := w.makeKey(ctx, c.Number)
	if err != nil {
		return err
	}
	next.Current = key
	return w.keep(next)
}

// keep stores the ring. Whatever was made for it is safe from then on, and in memory no longer.
func (w *worker) keep(next ring) error {
	if err := save(w.cfg.State, keysFile, next); err != nil {
		return err
	}
	w.ring, w.lost = next, nil
	w.made.Destroy()
	w.made = nil
	w.showKeys()
	return nil
}

// makeKey makes a master key and has it wrapped. Until it is stored the same key is tried
// again, so that lost answers leave no trail of keys in the ledger.
func (w *worker) makeKey(ctx context.Context, madeFor int64) (key *wrappedKey, err error) {
	if w.made == nil {
		confine(func() { w.made = makeMasterKey(atlas.NewID(w.cfg.Now())) })
	}
	var sealed []byte
	confine(func() {
		sealed, err = protocol.SealKey(w.inbox.sealTo(), protocol.ToControlPlane, w.node.NodeID, w.made.ID(), w.made.Bytes())
	})
	if err != nil {
		return nil, fmt.Errorf("seal the master key: %w", err)
	}
	wrapped, err := w.cfg.Client.wrap(ctx, protocol.WrapRequest{KeyID: w.made.ID(), SealedKey: sealed})
	if err != nil {
		return nil, fmt.Errorf("wrap the master key: %w", err)
	}
	if len(wrapped.Blob) == 0 {
		return nil, errIncompleteAnswer
	}
	return &wrappedKey{KeyID: w.made.ID(), MadeFor: madeFor, Check: w.made.check(), Wrapped: wrapped}, nil
}

// openWith starts the engine under a key that it has released.
func (w *worker) openWith(ctx context.Context, k wrappedKey) error {
	key, err := w.release(ctx, k)
	if err != nil {
		return err
	}
	defer key.Destroy()
	return w.cfg.Engine.Start(ctx, key)
}

// release asks for a key, with an ephemeral key pair that is used once, and compares it with
// the one that was made.
func (w *worker) release(ctx context.Context, k wrappedKey) (key *MasterKey, err error) {
	recipient, err := protocol.NewRecipient()
	if err != nil {
		return nil, err
	}
	sealed, err := w.cfg.Client.release(ctx, protocol.ReleaseRequest{
		KeyID: k.KeyID, Wrapped: k.Wrapped, Recipient: recipient.Public(),
	})
	if err != nil {
		return nil, fmt.Errorf("release the master key: %w", err)
	}
	var secret []byte
	confine(func() { secret, err = recipient.Open(protocol.ToNode, w.node.NodeID, k.KeyID, sealed) })
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errMismatch, err)
	}
	key = NewMasterKey(k.KeyID, secret)
	if !key.matches(k.Check) {
		key.Destroy()
		return nil, errMismatch
	}
	return key, nil
}

// rotate puts the data under a new key. Both keys are on disk while it is open which of them
// the data is under.
func (w *worker) rotate(ctx context.Context, c protocol.Command) error {
	switch {
	case w.lost != nil:
		return w.lost
	case w.ring.Current == nil:
		return &impossible{protocol.ReasonNotEncrypted}
	case c.Target == protocol.Stop:
		return &impossible{protocol.ReasonNotRunning}
	}
	if err := w.hold(ctx, c, true); err != nil {
		return err
	}
	if w.ring.Next == nil && w.ring.Current.MadeFor == c.Number {
		return nil // rotated already, and interrupted before it was recorded
	}
	if w.cfg.Engine.Status().Phase != Running {
		return errNotReady
	}
	if w.ring.Next == nil {
		key, err := w.makeKey(ctx, c.Number)
		if err != nil {
			return err
		}
		next := w.ring
		next.Next = key
		if err := w.keep(next); err != nil {
			return err
		}
	}
	return w.moveToNext(ctx)
}

// moveToNext rotates the engine to the next key, which is on disk.
func (w *worker) moveToNext(ctx context.Context) error {
	key, err := w.release(ctx, *w.ring.Next)
	if err != nil {
		return err
	}
	defer key.Destroy()
	work, cancel := w.undisturbed(ctx)
	defer cancel()
	err = w.cfg.Engine.Rotate(work, key)
	if errors.Is(err, ErrUnsupported) {
		next := w.ring
		next.Next = nil
		if err := w.keep(next); err != nil {
			return err
		}
		return &impossible{protocol.ReasonUnsupported}
	}
	if err != nil {
		return fmt.Errorf("rotate: %w", err)
	}
	return w.promote()
}

// promote forgets the old key: the data is under the next one.
func (w *worker) promote() error {
	next := w.ring
	next.Current, next.Next = w.ring.Next, nil
	return w.keep(next)
}

// rewrap has every wrapped copy made anew under the CMK of now, and keeps the old ones until
// the new ones were seen to open to the same keys. A node that should run is started only then:
// the old CMK may be what keeps it from starting.
func (w *worker) rewrap(ctx context.Context, c protocol.Command) error {
	if w.lost != nil {
		return w.lost
	}
	if w.ring.Current == nil {
		return &impossible{protocol.ReasonNotEncrypted}
	}
	next, restored := w.ring, restoring{}
	if next.Restoring != nil {
		restored = *next.Restoring
		next.Restoring = &restored
	}
	for _, key := range []**wrappedKey{&next.Current, &next.Next, &restored.Key} {
		if *key == nil {
			continue
		}
		again, err := w.wrappedAgain(ctx, **key)
		if err != nil {
			return err
		}
		*key = &again
	}
	if err := w.keep(next); err != nil {
		return err
	}
	return w.hold(ctx, c, true)
}

func (w *worker) wrappedAgain(ctx context.Context, k wrappedKey) (wrappedKey, error) {
	wrapped, err := w.cfg.Client.rewrap(ctx, protocol.RewrapRequest{KeyID: k.KeyID, Wrapped: k.Wrapped})
	if err != nil {
		return wrappedKey{}, fmt.Errorf("rewrap the master key: %w", err)
	}
	k.Wrapped = wrapped
	key, err := w.release(ctx, k)
	if err != nil {
		return wrappedKey{}, err
	}
	key.Destroy()
	return k, nil
}

// resync drops the data, once, and begins anew as the command says. The engine gets the data
// back from other nodes.
func (w *worker) resync(ctx context.Context, c protocol.Command) error {
	if w.lost != nil || w.ring.ResyncedFor != c.Number {
		if err := w.empty(ctx, c.Number); err != nil {
			return err
		}
	}
	return w.hold(ctx, c, true)
}

// empty drops the data for a command. That it has begun is on disk first: data that is half
// removed is never opened again, whatever comes next. A ring that is lost stays lost until the
// data is gone, because it is all that keeps a new key from being put over old data.
func (w *worker) empty(ctx context.Context, command int64) error {
	if w.lost == nil {
		begun := w.ring
		begun.Dropping, begun.Restoring = command, nil
		if err := w.keep(begun); err != nil {
			return err
		}
	}
	err := w.wipe(ctx)
	if errors.Is(err, ErrUnsupported) {
		if w.lost == nil {
			untouched := w.ring
			untouched.Dropping = 0
			if err := w.keep(untouched); err != nil {
				return err
			}
		}
		return &impossible{protocol.ReasonUnsupported}
	}
	if err != nil {
		return err
	}
	return w.keep(ring{ResyncedFor: command, RestoredFor: w.ring.RestoredFor}) // and with the data goes a key that was made for it
}

func (w *worker) wipe(ctx context.Context) error {
	if err := w.stop(ctx); err != nil {
		return err
	}
	ctx, cancel := w.undisturbed(ctx)
	defer cancel()
	return w.cfg.Engine.Wipe(ctx)
}

// drop ends the node: data first, then the keys. Data that an engine can't remove is unreadable
// without them.
func (w *worker) drop(ctx context.Context) error {
	if err := w.wipe(ctx); err != nil && !errors.Is(err, ErrUnsupported) {
		return err
	}
	if err := w.cfg.State.Remove(keysFile); err != nil {
		return err
	}
	w.ring, w.lost = ring{}, nil
	w.showKeys()
	return errDeleted
}
