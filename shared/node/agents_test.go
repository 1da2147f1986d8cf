package node_test

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
	"latchkey/shared/identity"
	"latchkey/shared/node/nodeapi"
	"latchkey/shared/node/protocol"
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
