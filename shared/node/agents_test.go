package node_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
	"latchkey/shared/identity"
	"latchkey/shared/identity/identitytest"
	"latchkey/shared/node"
	"latchkey/shared/node/nodeapi"
	"latchkey/shared/node/protocol"
	"latchkey/shared/store/keys"
)

func TestEveryRouteButEnrolmentNeedsAToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.enrol(nodeA)
	stranger := &member{w: w, id: nodeA, key: newKey()}
	foreign := &member{w: w, id: "65000000000000000000000f", key: a.key}
	late := a.bearer()
	w.clock.Advance(2 * protocol.TokenLife)
	routes := nodeapi.API{Nodes: w.nodes}.Routes()
	if len(routes) != 8 {
		t.Errorf("%d routes", len(routes))
	}
	for _, r := range routes {
		if r.Method != http.MethodPost || r.Versions != nil || r.Rule.Scope != identity.Public {
			t.Errorf("route %+v", r)
		}
		if r.Path == protocol.EnrolPath {
			continue
		}
		for name, authorization := range map[string]string{
			"nothing": "", "an expired token": late, "a stranger": stranger.bearer(), "a node that does not exist": foreign.bearer(),
			"no bearer": strings.TrimPrefix(a.bearer(), "Bearer "), "another scheme": "Basic " + strings.TrimPrefix(a.bearer(), "Bearer "),
			"much": "Bearer " + strings.Repeat("x", 1<<16),
		} {
			// A token is asked for before the body is looked at.
			for _, body := range []string{"{}", "{", ""} {
				status, refusal := w.post(r.Path, authorization, body, nil)
				at, ok := protocol.ServerTime(refusal)
				if status != http.StatusUnauthorized || !ok || !at.Equal(w.clock.Now().Truncate(time.Second)) {
					t.Errorf("%s with %s answers %d %+v", r.Path, name, status, refusal)
				}
			}
		}
	}
}

func TestAnOutageOfTheTableIsNoRefusal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.enrol(nodeA)
	w.table.Break(true)
	a.refused(protocol.HeartbeatPath, protocol.HeartbeatRequest{Report: protocol.Report{State: protocol.StateRunning}}, atlas.UnexpectedError)
}

func TestHostileBodiesAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.enrol(nodeA)
	for _, path := range []string{protocol.HeartbeatPath, protocol.WrapPath, protocol.ReleasePath, protocol.RewrapPath, protocol.AckPath, protocol.EnrolPath} {
		for _, body := range []string{
			"", "{", "[]", "null", `"x"`, `{"keyId":7}`, `{"report":{"state":"TOMORROW"}}`, `{"keyId":"k1","sealedKey":"not base64!"}`,
			`{"report":{"state":"RUNNING","commandAcked":-1}}`, `{"report":{"state":"RUNNING","commandAcked":9223372036854775807}}`,
			`{"report":{"state":"RUNNING","keyId":"a#b"}}`, `{"report":{"state":"RUNNING","startedAt":"noon"}}`,
			`{"report":{"state":"RUNNING","addresses":["` + strings.Repeat("x", 301) + `"]}}`,
			`{"report":{"state":"RUNNING","addresses":["a"` + strings.Repeat(`,"a"`, 16) + `]}}`,
			`{"command":-1,"outcome":"DONE"}`, `{"command":1,"outcome":"PERHAPS"}`, `{"command":1,"outcome":"DONE","keyId":"a#b"}`,
			strings.Repeat("[", 1<<20), `{"keyId":"` + strings.Repeat("k", 1<<21) + `"}`,
		} {
			status, refusal := a.try(path, body, nil)
			if status < 400 || status >= 500 || refusal.ErrorCode == atlas.UnexpectedError {
				t.Errorf("%s %.60s answers %d %+v", path, body, status, refusal)
			}
		}
	}
}

func TestATokenEnrolsOneAgent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	token, mine, other := w.token(nodeA), newKey(), newKey()
	enrol := func(token string, key []byte, want atlas.Code) {
		t.Helper()
		status, refusal := w.post(protocol.EnrolPath, "", protocol.EnrolRequest{Token: token, PublicKey: key}, nil)
		if refusal.ErrorCode != want || want == "" && status != http.StatusOK {
			t.Errorf("enrol answers %d %+v, want %s", status, refusal, want)
		}
	}
	enrol(token, public(mine), "")
	enrol(token, public(mine), "") // the answer was lost
	enrol(token, public(other), atlas.NodeEnrolmentRefused)
	w.clock.Advance(2 * protocol.EnrolTokenLife)
	enrol(token, public(mine), "")
	enrol(token, public(other), atlas.NodeEnrolmentRefused)
	unknown, _ := protocol.NewEnrolToken()
	for _, bad := range []string{unknown, "", "x", token + "x"} {
		enrol(bad, public(mine), atlas.NodeEnrolmentRefused)
	}
	enrol(token, public(mine)[1:], atlas.InvalidAttribute)
	enrol(token, nil, atlas.InvalidAttribute)
	late := w.token(nodeB)
	w.clock.Advance(protocol.EnrolTokenLife)
	enrol(late, public(other), atlas.NodeEnrolmentRefused)
	superseded, latest := w.token(nodeB), w.token(nodeB)
	enrol(superseded, public(other), atlas.NodeEnrolmentRefused)
	enrol(latest, public(other), "")
	if _, _, err := w.nodes.IssueToken(t.Context(), clusterID, "65000000000000000000000f"); atlas.CodeOf(err) != atlas.NodeNotFound {
		t.Errorf("a token for no node: %v", err)
	}
}

func TestAgentsThatRaceForAToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	token := w.token(nodeA)
	var mu sync.Mutex
	enrolled := 0
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			_, err := w.nodes.Enrol(t.Context(), protocol.EnrolRequest{Token: token, PublicKey: public(newKey())})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				enrolled++
			} else if atlas.CodeOf(err) != atlas.NodeEnrolmentRefused {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if enrolled != 1 {
		t.Errorf("%d agents enrolled with one token", enrolled)
	}
}

func TestAnAgentThatTakesOverBeginsAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := w.enrol(nodeA)
	old.beat(protocol.Report{State: protocol.StateRunning, CommandAcked: 1})
	token := w.token(nodeA)
	old.beat(protocol.Report{State: protocol.StateRunning, CommandAcked: 1}) // a token alone changes nothing
	fresh := &member{w: w, id: nodeA, key: newKey()}
	w.post(protocol.EnrolPath, "", protocol.EnrolRequest{Token: token, PublicKey: public(fresh.key)}, nil)
	old.refused(protocol.HeartbeatPath, protocol.HeartbeatRequest{Report: protocol.Report{State: protocol.StateRunning}}, atlas.NodeTokenRefused)
	if n := w.node(nodeA); n.Acked() || n.Running() {
		t.Errorf("the new agent counts as the old one: %+v", n.Reported)
	}
	if got := fresh.beat(protocol.Report{State: protocol.StateStopped}); got.Command.Number != 1 || got.Command.Kind != protocol.KindStart {
		t.Errorf("the new agent is told %+v", got.Command)
	}
}

func TestAHeartbeatLearnsTheCommandAndWhenToCallAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.enrol(nodeA)
	beat := func(r protocol.Report, want protocol.Command, next int) {
		t.Helper()
		got := a.beat(r)
		if diff := cmp.Diff(want, got.Command); diff != "" || got.NextInSeconds != next {
			t.Errorf("next in %d s, want %d; command %s", got.NextInSeconds, next, diff)
		}
		if err := got.Command.Validate(); err != nil {
			t.Error(err)
		}
	}
	start := protocol.Command{Number: 1, Kind: protocol.KindStart, Target: protocol.Run, Provider: "AWS"}
	beat(protocol.Report{State: protocol.StateStopped}, start, 5)
	a.wrap("k1", masterKey())
	beat(protocol.Report{State: protocol.StateStarting, KeyID: "k1"}, start, 5)
	a.must(protocol.AckPath, done(1, "", protocol.WrappedKey{}), nil)
	beat(protocol.Report{State: protocol.StateSyncing, KeyID: "k1", CommandAcked: 1}, start, 5)
	beat(protocol.Report{State: protocol.StateRunning, KeyID: "k1", CommandAcked: 1}, start, 60)
	if n := w.node(nodeA); n.Reported.Provider != atlas.AWS || !n.Running() || !n.Settled() {
		t.Errorf("reported %+v", n.Reported)
	}
	beat(protocol.Report{State: protocol.StateWaitingKMS, KeyID: "k1", CommandAcked: 1}, start, 5)
	for command, kind := range map[cluster.Command]protocol.Kind{
		cluster.StopCommand: protocol.KindStop, cluster.RotateCommand: protocol.KindRotate, cluster.RewrapCommand: protocol.KindRewrap,
		cluster.ResyncCommand: protocol.KindResync, cluster.NoCommand: protocol.KindNone,
	} {
		number := w.tell(nodeA, command, cluster.None)
		target := protocol.Run
		if command == cluster.StopCommand {
			target = protocol.Stop
		}
		beat(protocol.Report{State: protocol.StateRunning, KeyID: "k1", CommandAcked: 1},
			protocol.Command{Number: number, Kind: kind, Target: target, Provider: protocol.NoProvider}, 5)
	}
}

func TestWhatAReportMeans(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.enrol(nodeA)
	a.wrap("k1", masterKey())
	for _, c := range []struct {
		name     string
		report   protocol.Report
		state    cluster.Power
		provider atlas.Provider
	}{
		{"nothing yet", protocol.Report{State: protocol.StateStopped}, cluster.Stop, ""},
		{"a key and no process", protocol.Report{State: protocol.StateStarting, KeyID: "k1"}, "", atlas.AWS},
		{"encrypted", protocol.Report{State: protocol.StateRunning, KeyID: "k1"}, cluster.Run, atlas.AWS},
		{"on its way down", protocol.Report{State: protocol.StateStopping, KeyID: "k1"}, "", atlas.AWS},
		{"not released", protocol.Report{State: protocol.StateDisabled, KeyID: "k1"}, cluster.Stop, atlas.AWS},
		{"a key that nobody knows", protocol.Report{State: protocol.StateRunning, KeyID: "k9"}, cluster.Run, ""},
		{"data dropped", protocol.Report{State: protocol.StateSyncing}, "", ""},
		{"not encrypted", protocol.Report{State: protocol.StateRunning}, cluster.Run, cluster.None},
		{"not encrypted and stopped", protocol.Report{State: protocol.StateStopped}, cluster.Stop, cluster.None},
		{"impossible times", protocol.Report{State: protocol.StateFailed, StartedAt: time.Date(9999, 12, 31, 23, 59, 59, 0, time.FixedZone("", -3600))}, cluster.Stop, cluster.None},
	} {
		a.beat(c.report)
		if got := w.node(nodeA).Reported; got.State != c.state || got.Provider != c.provider || !got.StartedAt.IsZero() {
			t.Errorf("%s: reported %+v", c.name, got)
		}
	}
}

func TestSteadyHeartbeatsCostOneRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.enrol(nodeA)
	report := protocol.Report{State: protocol.StateRunning, KeyID: "k1", CommandAcked: 1, StartedAt: w.clock.Now(), Addresses: []string{"203.0.113.1"}}
	a.wrap("k1", masterKey())
	a.must(protocol.AckPath, done(1, "", protocol.WrappedKey{}), nil)
	a.beat(report)
	reads, writes := w.table.Counts()
	const beats = 4
	for range beats {
		w.clock.Advance(time.Minute)
		a.beat(report)
	}
	if r, wr := w.table.Counts(); r-reads != beats || wr != writes {
		t.Errorf("%d heartbeats cost %d reads and %d writes", beats, r-reads, wr-writes)
	}
	for range 60 {
		w.clock.Advance(time.Minute)
		a.beat(report)
	}
	if _, wr := w.table.Counts(); wr-writes != 4 {
		t.Errorf("an hour costs %d writes", wr-writes)
	}
}

func TestAHeartbeatNeedsNoSeal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.enrol(nodeA)
	w.api = w.instance()
	w.sealer.Break(true)
	if got := a.beat(protocol.Report{State: protocol.StateStopped}); got.Command.Number != 1 || len(got.ControlPlaneKey) != 0 {
		t.Errorf("answered %+v", got)
	}
}

func TestCommandsAreNumberedAboveWhatAnAgentHasSeen(t *testing.T) {
	t.Parallel()
	w := newWorld(t) // restored from a backup
	a := w.enrol(nodeA)
	got := a.beat(protocol.Report{State: protocol.StateStopped, CommandAcked: 40})
	if got.Command.Number <= 40 || got.Command.Kind != protocol.KindStart || got.NextInSeconds != 5 || got.Acknowledge {
		t.Errorf("told %+v", got)
	}
	number := got.Command.Number
	if again := a.beat(protocol.Report{State: protocol.StateRunning, CommandAcked: number}); again.Command.Number != number {
		t.Errorf("told %+v again", again.Command)
	}
}

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
				var got []string
				for _, e := range w.copies(nodeA) {
					got = append(got, e.KeyID+" "+e.CMK.Name)
				}
				if diff := cmp.Diff(c.want, slices.Sorted(slices.Values(got))); diff != "" {
					t.Error(diff)
				}
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
	if got := w.copies(nodeA); len(got) > 0 {
		t.Errorf("the ledger keeps %v", got)
	}
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
	if got := w.copies(nodeA); len(got) != 2 {
		t.Errorf("the ledger has %v", got)
	}
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
			var got []string
			for _, e := range w.copies(nodeA) {
				got = append(got, e.KeyID+" "+e.CMK.Name)
			}
			if diff := cmp.Diff(c.want, slices.Sorted(slices.Values(got))); diff != "" {
				t.Error(diff)
			}
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

func TestANodeThatDestroyedItselfIsHeardToTheEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.enrol(nodeA)
	wrapped := a.wrap("k1", masterKey())
	number := w.tell(nodeA, cluster.DeleteCommand, atlas.AWS)
	// The report alone does not end it: what the ledger has must go with it.
	a.beat(protocol.Report{State: protocol.StateDeleted, CommandAcked: number})
	if len(w.copies(nodeA)) != 1 {
		t.Error("the ledger forgot a node that is still there")
	}
	failed := done(number, "", protocol.WrappedKey{})
	failed.Outcome = protocol.Failed
	a.must(protocol.AckPath, failed, nil)
	w.node(nodeA)
	for range 3 { // the answer is lost
		a.must(protocol.AckPath, done(number, "", protocol.WrappedKey{}), nil)
		w.clock.Advance(time.Minute)
	}
	if _, err := w.clusters.Node(t.Context(), clusterID, nodeA); !errors.Is(err, cluster.ErrNoNode) || len(w.copies(nodeA)) != 0 {
		t.Errorf("something is left: %v", err)
	}
	a.refused(protocol.HeartbeatPath, protocol.HeartbeatRequest{Report: protocol.Report{State: protocol.StateDeleted}}, atlas.NodeNotFound)
	a.refused(protocol.ReleasePath, asking("k1", wrapped), atlas.NodeNotFound)
	stranger := &member{w: w, id: nodeA, key: newKey()}
	stranger.refused(protocol.AckPath, done(number, "", protocol.WrappedKey{}), atlas.NodeTokenRefused)
	if _, _, err := w.nodes.IssueToken(t.Context(), clusterID, nodeA); atlas.CodeOf(err) != atlas.NodeNotFound {
		t.Errorf("a token for a node that is gone: %v", err)
	}
}

func TestKeysToSealToRotateUnnoticed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := &node.Recipients{Table: w.table, Sealer: w.sealer, Now: w.clock.Now} // another instance
	if rotated, err := other.Rotate(t.Context()); rotated || err != nil {
		t.Errorf("keys that nobody made were rotated: %v", err)
	}
	a := w.enrol(nodeA)
	first := a.sealTo
	if rotated, err := other.Rotate(t.Context()); rotated || err != nil {
		t.Errorf("a key of this second was rotated: %v", err)
	}
	w.clock.Advance(node.MinRotation)
	if _, err := w.nodes.Recipients.Public(t.Context()); err != nil { // has just read, so it learns as late as possible
		t.Fatal(err)
	}
	if rotated, err := other.Rotate(t.Context()); !rotated || err != nil {
		t.Errorf("Rotate = %t, %v", rotated, err)
	}
	if rotated, err := other.Rotate(t.Context()); rotated || err != nil {
		t.Errorf("rotated twice: %v", err)
	}
	for minute := range 20 {
		a.wrap("first-"+string(rune('a'+minute)), masterKey())
		if got := a.beat(protocol.Report{State: protocol.StateStopped}).ControlPlaneKey; minute > 15 {
			a.sealTo = got
		}
		// Whatever key any instance names, every instance opens.
		named, err := other.Public(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := protocol.SealKey(named, protocol.ToControlPlane, nodeA, "k", masterKey())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.nodes.Recipients.Open(t.Context(), nodeA, "k", sealed); err != nil {
			t.Fatalf("after %d minutes: %v", minute, err)
		}
		w.clock.Advance(time.Minute)
	}
	if cmp.Equal(first, a.sealTo) {
		t.Error("the new key never took over")
	}
	item, err := w.table.Get(t.Context(), keys.RecipientKeys())
	if err != nil || strings.Contains(string(item.Body), "private") {
		t.Errorf("the record shows its keys: %s, %v", item.Body, err)
	}
}

func TestRecipientKeysSurviveAnOutageOfTheSealForAnHour(t *testing.T) {
	t.Parallel()
	table, sealer, clock := identitytest.Table(t), identitytest.NewSealer(t), identitytest.NewClock()
	r := &node.Recipients{Table: table, Sealer: sealer, Now: clock.Now}
	first, err := r.Public(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sealer.Break(true)
	clock.Advance(59 * time.Minute)
	if again, err := r.Public(t.Context()); err != nil || !cmp.Equal(first, again) {
		t.Errorf("Public = %x, %v", again, err)
	}
	clock.Advance(2 * time.Minute)
	if _, err := r.Public(t.Context()); !errors.Is(err, identitytest.ErrSealer) {
		t.Errorf("after an hour: %v", err)
	}
	if _, err := r.Rotate(t.Context()); !errors.Is(err, identitytest.ErrSealer) {
		t.Errorf("rotated without the seal: %v", err)
	}
}

func TestInstancesThatRaceForTheFirstKeyAgree(t *testing.T) {
	t.Parallel()
	table, sealer, clock := identitytest.Table(t), identitytest.NewSealer(t), identitytest.NewClock()
	named := make([][]byte, 8)
	var wg sync.WaitGroup
	for i := range named {
		wg.Go(func() {
			r := &node.Recipients{Table: table, Sealer: sealer, Now: clock.Now}
			var err error
			if named[i], err = r.Public(context.WithoutCancel(t.Context())); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, key := range named {
		if !cmp.Equal(named[0], key) {
			t.Fatal("instances name different keys")
		}
	}
}

func TestStrangersCostOneReadEachAndThenNone(t *testing.T) {
	t.Parallel()
	for name, try := range map[string]func(w *world) int{
		"a token of nobody": func(w *world) int {
			stranger := &member{w: w, id: atlas.NewID(w.clock.Now()), key: newKey()}
			status, _ := stranger.try(protocol.AckPath, "{}", nil)
			return status
		},
		"a token of somebody else": func(w *world) int {
			stranger := &member{w: w, id: nodeB, key: newKey()}
			status, _ := stranger.try(protocol.ReleasePath, "{}", nil)
			return status
		},
		"an enrolment": func(w *world) int {
			token, _ := protocol.NewEnrolToken()
			status, _ := w.post(protocol.EnrolPath, "", protocol.EnrolRequest{Token: token, PublicKey: public(newKey())}, nil)
			return status
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			a := w.enrol(nodeA)
			beat := protocol.HeartbeatRequest{Report: protocol.Report{State: protocol.StateStopped}}
			a.must(protocol.HeartbeatPath, beat, nil)
			before, _ := w.table.Counts()
			const refused = 300
			for range refused {
				if status := try(w); status != http.StatusUnauthorized && status != http.StatusForbidden {
					t.Fatalf("a stranger is answered %d", status)
				}
			}
			after, _ := w.table.Counts()
			if after-before != refused {
				t.Errorf("%d attempts cost %d reads", refused, after-before)
			}
			if status := try(w); status != http.StatusTooManyRequests || w.header.Get("Retry-After") != "1" {
				t.Errorf("the next is answered %d %v", status, w.header)
			}
			if now, _ := w.table.Counts(); now != after {
				t.Error("who is slowed down costs a read")
			}
			// A node behind the same address still hears what it should do.
			a.must(protocol.HeartbeatPath, beat, nil)
			w.clock.Advance(time.Second)
			if status := try(w); status != http.StatusUnauthorized && status != http.StatusForbidden {
				t.Errorf("later, a stranger is answered %d", status)
			}
		})
	}
}
