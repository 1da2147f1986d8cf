package node_test

import (
	"strings"
	"testing"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
	"latchkey/shared/node/protocol"
)

func TestAcknowledgementsStrikeOutWhatTheNodeNoLongerHas(t *testing.T) {
	t.Parallel()
	type given struct {
		command cluster.Command
		ack     func(number int64, old, fresh, next protocol.WrappedKey) protocol.AckRequest
	}
	doneWith := func(key string, pick int) func(int64, protocol.WrappedKey, protocol.WrappedKey, protocol.WrappedKey) protocol.AckRequest {
		return func(n int64, old, fresh, next protocol.WrappedKey) protocol.AckRequest {
			return done(n, key, []protocol.WrappedKey{old, fresh, next, {}}[pick])
		}
	}
	// The node has k1 under the old and the new customer key, and k2, which may be the next key
	// of a rotation that is not finished.
	for name, c := range map[string]struct {
		given
		want []string
	}{
		"a rewrap ends the old copy and keeps the next key": {given{cluster.RewrapCommand, doneWith("k1", 1)}, []string{"k1 AWS-key-1", "k2 AWS-key-1"}},
		"a rewrap that was given up keeps the old copy":     {given{cluster.RewrapCommand, doneWith("k1", 0)}, []string{"k1 AWS-key-0", "k2 AWS-key-1"}},
		// Data that was dropped by a resync which ended in a stop is begun anew by the start.
		"a start ends keys that the node has no more":       {given{cluster.StartCommand, doneWith("k2", 2)}, []string{"k2 AWS-key-1"}},
		"a start without a key ends none, for it needs one": {given{cluster.StartCommand, doneWith("", 3)}, []string{"k1 AWS-key-0", "k1 AWS-key-1", "k2 AWS-key-1"}},
		"a start ends an old copy of a next key that is mentioned": {given{cluster.StartCommand, func(n int64, old, _, next protocol.WrappedKey) protocol.AckRequest {
			ack := done(n, "k2", next)
			ack.NextKeyID, ack.NextWrapped = "k1", old
			return ack
		}}, []string{"k1 AWS-key-0", "k2 AWS-key-1"}},
		"a rewrap ends the old copies of both keys": {given{cluster.RewrapCommand, func(n int64, _, fresh, next protocol.WrappedKey) protocol.AckRequest {
			ack := done(n, "k2", next)
			ack.NextKeyID, ack.NextWrapped = "k1", fresh
			return ack
		}}, []string{"k1 AWS-key-1", "k2 AWS-key-1"}},
		"a next key that nobody knows ends none": {given{cluster.RewrapCommand, func(n int64, _, fresh, _ protocol.WrappedKey) protocol.AckRequest {
			ack := done(n, "k1", fresh)
			ack.NextKeyID, ack.NextWrapped = "k3", fresh
			return ack
		}}, []string{"k1 AWS-key-0", "k1 AWS-key-1", "k2 AWS-key-1"}},
		"a rotation ends the old key":          {given{cluster.RotateCommand, doneWith("k2", 2)}, []string{"k2 AWS-key-1"}},
		"a resync ends the old keys":           {given{cluster.ResyncCommand, doneWith("k2", 2)}, []string{"k2 AWS-key-1"}},
		"a resync without encryption ends all": {given{cluster.ResyncCommand, doneWith("", 3)}, nil},
		"a stop without keys ends none":        {given{cluster.StopCommand, doneWith("", 3)}, []string{"k1 AWS-key-0", "k1 AWS-key-1", "k2 AWS-key-1"}},
		"a copy that nobody knows ends none": {given{cluster.RotateCommand, func(n int64, old, _, _ protocol.WrappedKey) protocol.AckRequest {
			old.Version = "7"
			return done(n, "k1", old)
		}}, []string{"k1 AWS-key-0", "k1 AWS-key-1", "k2 AWS-key-1"}},
		"a failure ends none": {given{cluster.RotateCommand, func(n int64, _, _, next protocol.WrappedKey) protocol.AckRequest {
			ack := done(n, "k2", next)
			ack.Outcome, ack.Reason = protocol.Failed, protocol.ReasonUnsupported
			return ack
		}}, []string{"k1 AWS-key-0", "k1 AWS-key-1", "k2 AWS-key-1"}},
		"an acknowledgement of before ends none": {given{cluster.RotateCommand, func(n int64, _, _, next protocol.WrappedKey) protocol.AckRequest {
			return done(n-1, "k2", next)
		}}, []string{"k1 AWS-key-0", "k1 AWS-key-1", "k2 AWS-key-1"}},
		"one of a command that was never given ends none": {given{cluster.RotateCommand, func(n int64, _, _, next protocol.WrappedKey) protocol.AckRequest {
			return done(n+1, "k2", next)
		}}, []string{"k1 AWS-key-0", "k1 AWS-key-1", "k2 AWS-key-1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			a := w.enrol(nodeA)
			old := a.wrap("k1", masterKey())
			w.tenant.rotate(atlas.AWS)
			fresh, next := a.rewrap("k1", old), a.wrap("k2", masterKey())
			ack := c.ack(w.tell(nodeA, c.command, atlas.AWS), old, fresh, next)
			for range 2 {
				a.must(protocol.AckPath, ack, nil)
				w.wantKeys(nodeA, c.want)
			}
			want := ack.Command
			if want > w.node(nodeA).Desired.Number {
				want = 0
			}
			if n := w.node(nodeA); n.Reported.Acked != want {
				t.Errorf("acknowledged %d", n.Reported.Acked)
			}
			a.must(protocol.AckPath, done(1, "k1", old), nil) // very late
			if n := w.node(nodeA); n.Reported.Acked != max(want, 1) {
				t.Errorf("a late acknowledgement took back another: %d", n.Reported.Acked)
			}
		})
	}
}

// A node whose data was dropped by a resync without encryption, and that was stopped meanwhile, begins without a key.
func TestAStartWithoutEncryptionEndsAllCopies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.enrol(nodeA)
	a.wrap("k1", masterKey())
	a.must(protocol.AckPath, protocol.AckRequest{Command: w.tell(nodeA, cluster.StartCommand, cluster.None), Outcome: protocol.Done}, nil)
	w.wantCopies(nodeA, 0)
}

// A restore that was interrupted by a stop is taken up again after the start, and needs the key that it adopted.
func TestAStartKeepsWhatAnUnfinishedRestoreNeeds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.enrol(nodeA)
	k1 := a.wrap("k1", masterKey())
	a.wrap("k2", masterKey())
	number := w.tell(nodeA, cluster.StartCommand, atlas.AWS)
	n := w.node(nodeA)
	n.Desired.Unfinished = cluster.Backup{RestoreID: "650000000000000000000099"}
	w.store(n)
	a.must(protocol.AckPath, done(number, "k1", k1), nil)
	w.wantCopies(nodeA, 2)
}

// A master key that was wrapped and never used, since the answer was lost and its agent ended, would have the
// tenant keep a former key that nothing needs.
func TestARewrapEndsCopiesUnderFormerKeysThatNobodyHas(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		later time.Duration // until the copy in use is made
		want  []string
	}{
		"wrapped long before":    {2 * time.Minute, []string{"k1 AWS-key-1", "k3 AWS-key-1"}},
		"wrapped at nearly that": {time.Second, []string{"k1 AWS-key-1", "k2 AWS-key-0", "k3 AWS-key-1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			a := w.enrol(nodeA)
			old := a.wrap("k1", masterKey())
			a.wrap("k2", masterKey()) // never stored
			w.tenant.rotate(atlas.AWS)
			w.clock.Advance(c.later)
			fresh := a.rewrap("k1", old)
			a.wrap("k3", masterKey()) // of a restore that is not finished, perhaps
			w.clock.Advance(time.Hour)
			a.must(protocol.AckPath, done(w.tell(nodeA, cluster.RewrapCommand, atlas.AWS), "k1", fresh), nil)
			w.wantKeys(nodeA, c.want)
		})
	}
}

func TestACommandThatFailedIsNotedUntilALaterOneIsDone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.enrol(nodeA)
	running := protocol.Report{State: protocol.StateRunning, CommandAcked: 1}
	a.must(protocol.AckPath, done(1, "", protocol.WrappedKey{}), nil)
	number := w.tell(nodeA, cluster.RotateCommand, cluster.None)
	running.CommandAcked = number
	if got := a.beat(running); !got.Acknowledge || w.node(nodeA).Acked() {
		t.Errorf("a report counts as an acknowledgement: %+v", got)
	}
	failed := protocol.AckRequest{Command: number, Outcome: protocol.Failed, Reason: strings.Repeat("NOT_ENCRYPTED", 50)}
	check := func(want cluster.Failure, settled bool, next int) {
		t.Helper()
		if got := a.beat(running); got.NextInSeconds != next || got.Acknowledge {
			t.Errorf("answered %+v", got)
		}
		if n := w.node(nodeA); n.Reported.Failure != want || n.Settled() != settled || n.Failed() == (want.Command != n.Desired.Number) {
			t.Errorf("reported %+v, settled: %t", n.Reported, n.Settled())
		}
	}
	want := cluster.Failure{Command: number, Reason: failed.Reason[:100]}
	for range 2 {
		a.must(protocol.AckPath, failed, nil)
		check(want, false, 60)
	}
	a.must(protocol.AckPath, done(1, "", protocol.WrappedKey{}), nil) // very late
	check(want, false, 60)
	running.CommandAcked = w.tell(nodeA, cluster.NoCommand, cluster.None)
	if n := w.node(nodeA); n.Failed() || n.Settled() {
		t.Errorf("a new command has failed before it began: %+v", n.Reported)
	}
	a.must(protocol.AckPath, done(running.CommandAcked, "", protocol.WrappedKey{}), nil)
	check(cluster.Failure{}, true, 60)
	a.must(protocol.AckPath, failed, nil) // very late
	check(cluster.Failure{}, true, 60)
}

func TestAnAcknowledgementThatTheTableLostIsAskedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.enrol(nodeA)
	before := w.node(nodeA)
	a.must(protocol.AckPath, done(1, "", protocol.WrappedKey{}), nil)
	w.store(before) // restored from a backup
	for _, acknowledge := range []bool{true, false} {
		if got := a.beat(protocol.Report{State: protocol.StateRunning, CommandAcked: 1}); got.Acknowledge != acknowledge {
			t.Errorf("answered %+v", got)
		}
		a.must(protocol.AckPath, done(1, "", protocol.WrappedKey{}), nil)
	}
}
