package fleet_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/agent"
	"latchkey/agent/agenttest"
	"latchkey/agent/statedir"
	"latchkey/local/fleet"
	"latchkey/shared/node/protocol"
)

const (
	groupID   = "650000000000000000000001"
	clusterID = "650000000000000000000002"
)

// world is a control plane with one cluster, and a fleet that runs its nodes.
type world struct {
	t      *testing.T
	server *agenttest.Server
	net    *agenttest.Network
	dir    string
	log    lockedBuffer
	broken func(dir string) error // of state directories

	fleet *fleet.Fleet
	stop  context.CancelFunc
	done  chan error

	mu     sync.Mutex
	nodes  []fleet.Waiting
	tokens map[string]string
	issued map[string]int
	gone   map[string]bool
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		t: t, server: agenttest.NewServer(time.Now), dir: filepath.Join(t.TempDir(), "fleet"),
		tokens: map[string]string{}, issued: map[string]int{}, gone: map[string]bool{},
	}
	w.net = agenttest.NewNetwork(w.server)
	return w
}

// want makes the control plane want another node in a shard.
func (w *world) want(shard int) string {
	w.t.Helper()
	return w.wantIn(clusterID, "Cluster0", shard)
}

// wantIn makes the control plane want another node in a shard of a cluster.
func (w *world) wantIn(cluster, name string, shard int) string {
	w.t.Helper()
	id, token := w.server.AddNode()
	w.command(id, protocol.KindStart)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tokens[id] = token
	w.nodes = append(w.nodes, fleet.Waiting{
		ClusterID: cluster, ClusterName: name, GroupID: groupID, NodeID: id, Shard: shard, Index: len(w.nodes),
		Kind: "electable", Priority: 7, Host: fmt.Sprintf("node-%d.example.net", len(w.nodes)), Port: 27017,
	})
	return id
}

func (w *world) command(id string, kind protocol.Kind) {
	target := protocol.Run
	if kind == protocol.KindStop || kind == protocol.KindDelete {
		target = protocol.Stop
	}
	w.server.Command(id, kind, target, "AWS")
}

// Waiting implements fleet.Provisioner.
func (w *world) Waiting(context.Context) ([]fleet.Waiting, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var waiting []fleet.Waiting
	for _, n := range w.nodes {
		if w.server.Last(n.NodeID).State == "" && !w.gone[n.NodeID] {
			waiting = append(waiting, n)
		}
	}
	return waiting, nil
}

// IssueToken implements fleet.Provisioner.
func (w *world) IssueToken(_ context.Context, _, nodeID string) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gone[nodeID] {
		return "", fleet.ErrGone
	}
	w.issued[nodeID]++
	return w.tokens[nodeID], nil
}

func (w *world) strikeOut(nodeID string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gone[nodeID] = true
}

// boot starts a fleet over what is on disk.
func (w *world) boot() {
	w.t.Helper()
	w.fleet = fleet.New(fleet.Config{
		Dir: w.dir, Provisioner: w, ControlPlane: "https://latchkey.test", Transport: w.net, Now: time.Now,
		Log: slog.New(slog.NewTextHandler(&w.log, nil)),
		Files: func(dir string) (fleet.StateFiles, error) {
			if w.broken != nil {
				if err := w.broken(dir); err != nil {
					return nil, err
				}
			}
			return statedir.Open(dir)
		},
	})
	ctx, cancel := context.WithCancel(w.t.Context())
	w.stop, w.done = cancel, make(chan error, 1)
	run, done := w.fleet, w.done
	go func() { done <- run.Run(ctx) }()
}

func (w *world) shutDown() {
	w.t.Helper()
	w.stop()
	if err := <-w.done; err != nil {
		w.t.Error(err)
	}
}

// until lets time pass until something is so.
func (w *world) until(what string, is func() bool) {
	w.t.Helper()
	for range 600 {
		if synctest.Wait(); is() {
			return
		}
		time.Sleep(time.Second)
	}
	w.t.Fatalf("not in ten minutes: %s; %v\n%s", what, w.fleet.Statuses(), w.log.String())
}

// running waits until there are so many nodes, and all run.
func (w *world) running(nodes int) { w.t.Helper(); w.phase(agent.Running, nodes, nodes) }

func (w *world) phase(p agent.Phase, want, of int) {
	w.t.Helper()
	w.until(fmt.Sprint(want, " nodes of ", of, " are ", p), func() bool {
		n, all := 0, w.fleet.Statuses()
		for _, s := range all {
			if s.Phase == p {
				n++
			}
		}
		return n == want && len(all) == of
	})
}

// do sends a request to the data API.
func (w *world) do(method, path, body string) (status int, answer string) {
	r := httptest.NewRequestWithContext(w.t.Context(), method, "http://127.0.0.1:8084"+path, strings.NewReader(body))
	rec := httptest.NewRecorder()
	w.fleet.Databases().ServeHTTP(rec, r)
	return rec.Code, rec.Body.String()
}

func (w *world) answers(method, path, body string, status int, answer string) {
	w.t.Helper()
	if gotStatus, got := w.do(method, path, body); gotStatus != status || answer != "" && got != answer {
		w.t.Errorf("%s %s answers %d %.100q, want %d %.100q", method, path, gotStatus, got, status, answer)
	}
}

const at = "/" + groupID + "/Cluster0/db/"

func inBubble(t *testing.T, nodes int, test func(w *world)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for range nodes {
			w.want(0)
		}
		w.boot()
		w.running(nodes)
		test(w)
		w.shutDown()
	})
}

func TestAFleetRunsWhatTheControlPlaneWants(t *testing.T) {
	inBubble(t, 3, func(w *world) {
		w.answers("PUT", at+"k", "value", http.StatusNoContent, "")
		w.answers("GET", at+"k", "", http.StatusOK, "value")
		w.answers("PUT", at+"with/slash%2Fand%20space", "2", http.StatusNoContent, "")
		w.answers("GET", at+"with/slash%2Fand%20space", "", http.StatusOK, "2")
		large := strings.Repeat("x", fleet.MaxValue)
		w.answers("PUT", at+"large", large, http.StatusNoContent, "")
		w.answers("GET", at+"large", "", http.StatusOK, large)
		w.answers("PUT", at+"larger", large+"x", http.StatusRequestEntityTooLarge, "")
		w.answers("DELETE", at+"k", "", http.StatusNoContent, "")
		w.answers("DELETE", at+"k", "", http.StatusNotFound, "")
		w.answers("GET", at+"k", "", http.StatusNotFound, "")
		w.answers("GET", "/"+groupID+"/Another/db/k", "", http.StatusNotFound, "no such cluster\n")
		for id, issued := range w.issued {
			if issued != 1 {
				t.Errorf("%d tokens for %s", issued, id)
			}
		}

		w.shutDown()
		w.boot() // no token is needed any more
		w.running(3)
		w.answers("GET", at+"large", "", http.StatusOK, large)
		w.answers("GET", at+"k", "", http.StatusNotFound, "")
	})
}

func TestADisabledClusterAnswersThatItHasNoPrimary(t *testing.T) {
	inBubble(t, 3, func(w *world) {
		w.answers("PUT", at+"k", "value", http.StatusNoContent, "")
		w.server.Disable("KEY_DISABLED")
		for _, n := range w.nodes {
			w.command(n.NodeID, protocol.KindStop)
		}
		w.stopped(3)
		w.answers("GET", at+"k", "", http.StatusServiceUnavailable, "")
		w.answers("PUT", at+"k", "other", http.StatusServiceUnavailable, "")
		w.server.Disable("")
		for _, n := range w.nodes {
			w.command(n.NodeID, protocol.KindStart)
		}
		w.running(3)
		w.answers("GET", at+"k", "", http.StatusOK, "value")
	})
}

// stopped waits until so many nodes are stopped.
func (w *world) stopped(nodes int) { w.t.Helper(); w.phase(agent.Stopped, nodes, nodes) }

func TestANodeThatIsRebuiltCopiesFromThePrimary(t *testing.T) {
	inBubble(t, 3, func(w *world) {
		for i := range 50 {
			w.answers("PUT", at+fmt.Sprint("k", i), strings.Repeat(strconv.Itoa(i), 1000), http.StatusNoContent, "")
		}
		for _, n := range w.nodes { // one by one, as plans do: in the end no node has its first data
			acks := len(w.server.Acks(n.NodeID))
			w.command(n.NodeID, protocol.KindResync)
			w.until("resynced", func() bool { return len(w.server.Acks(n.NodeID)) > acks })
			w.running(3)
		}
		for i := range 50 {
			w.answers("GET", at+fmt.Sprint("k", i), "", http.StatusOK, strings.Repeat(strconv.Itoa(i), 1000))
		}
	})
}

func TestDeletedNodesLeaveNothing(t *testing.T) {
	inBubble(t, 5, func(w *world) {
		w.answers("PUT", at+"k", "value", http.StatusNoContent, "")
		for _, n := range w.nodes[3:] {
			w.command(n.NodeID, protocol.KindDelete)
		}
		w.running(3)
		w.answers("GET", at+"k", "", http.StatusOK, "value")
		for _, n := range w.nodes[:3] {
			w.command(n.NodeID, protocol.KindDelete)
		}
		w.running(0)
		entries, err := os.ReadDir(w.dir)
		if err != nil || len(entries) > 0 {
			t.Errorf("left: %v, %v", entries, err)
		}
		w.answers("GET", at+"k", "", http.StatusNotFound, "no such cluster\n")
	})
}

func TestAFleetEndsAgentsThatNobodyKnowsAnyMore(t *testing.T) {
	inBubble(t, 1, func(w *world) {
		id := w.nodes[0].NodeID
		w.net.LoseAnswers(protocol.AckPath, 1<<20) // the control plane hears it, the agent does not
		w.command(id, protocol.KindDelete)
		w.until("deleted", func() bool { return w.server.Last(id).State == protocol.StateDeleted })
		time.Sleep(time.Minute)
		if len(w.fleet.Statuses()) != 1 {
			t.Error("the agent ended before its goodbye was heard")
		}
		w.strikeOut(id)
		w.running(0)
	})
}

func TestAnAgentThatEndsIsStartedAgain(t *testing.T) {
	inBubble(t, 1, func(w *world) {
		w.shutDown()
		var attempts []time.Time
		w.broken = func(string) error {
			if attempts = append(attempts, time.Now()); len(attempts) < 10 {
				return errors.New("broken")
			}
			return nil
		}
		w.boot()
		w.running(1)
		for i := 2; i < len(attempts); i++ {
			before, wait := attempts[i-1].Sub(attempts[i-2]), attempts[i].Sub(attempts[i-1])
			if wait < before || wait > time.Minute {
				t.Errorf("attempt %d came after %v, the one before after %v", i, wait, before)
			}
		}
	})
}

func TestANodeThatVanishedBeforeItEnrolledIsDropped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.want(0)
		w.net.Down(true)
		w.boot()
		w.until("known", func() bool { return len(w.fleet.Statuses()) == 1 })
		w.shutDown() // its token is lost
		w.strikeOut(w.nodes[0].NodeID)
		w.net.Down(false)
		w.boot()
		w.running(0)
		w.shutDown()
	})
}

func TestKeysStayWhereTheyAreWhenShardsCome(t *testing.T) {
	inBubble(t, 1, func(w *world) {
		for i := range 20 {
			w.answers("PUT", at+fmt.Sprint("k", i), strconv.Itoa(i), http.StatusNoContent, "")
		}
		w.want(1)
		w.running(2)
		for i := range 40 {
			w.answers("PUT", at+fmt.Sprint("k", i), fmt.Sprint("new", i), http.StatusNoContent, "")
		}
		for i := range 40 {
			w.answers("GET", at+fmt.Sprint("k", i), "", http.StatusOK, fmt.Sprint("new", i))
		}
	})
}

// The API tells names apart by case, so they are of two clusters.
func TestClustersWhoseNamesDifferInCaseOnlyHaveDataOfTheirOwn(t *testing.T) {
	inBubble(t, 1, func(w *world) {
		w.answers("PUT", at+"k", "of Cluster0", http.StatusNoContent, "")
		w.wantIn("650000000000000000000003", "cluster0", 0)
		w.running(2)
		w.answers("GET", at+"k", "", http.StatusOK, "of Cluster0")
		w.answers("GET", "/"+groupID+"/cluster0/db/k", "", http.StatusNotFound, "no such key\n")
		w.answers("GET", "/"+groupID+"/CLUSTER0/db/k", "", http.StatusNotFound, "no such cluster\n")
	})
}

func TestTheDataAPIAnswersLoopbackNamesOnly(t *testing.T) {
	t.Parallel()
	f := fleet.New(fleet.Config{})
	for host, want := range map[string]int{
		"127.0.0.1:8084": http.StatusNotFound, "localhost": http.StatusNotFound, "[::1]:8084": http.StatusNotFound,
		"evil.example": http.StatusMisdirectedRequest, "127.0.0.1.evil.example:8084": http.StatusMisdirectedRequest, "": http.StatusMisdirectedRequest,
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, at+"k", nil)
		r.Host = host
		rec := httptest.NewRecorder()
		f.Databases().ServeHTTP(rec, r)
		if rec.Code != want {
			t.Errorf("%q: %d, want %d", host, rec.Code, want)
		}
	}
}

// hostile names its nodes so that their directories would be elsewhere.
type hostile struct{ fleet.Provisioner }

func (hostile) Waiting(context.Context) ([]fleet.Waiting, error) {
	return []fleet.Waiting{{ClusterID: "..", NodeID: "../../x"}, {ClusterID: clusterID, NodeID: ".."}, {NodeID: ""}}, nil
}

func TestIdsAreNoPaths(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		f := fleet.New(fleet.Config{
			Dir: filepath.Join(dir, "a", "b"), Provisioner: hostile{}, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := f.Run(ctx); err != nil {
			t.Error(err)
		}
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) > 0 {
			t.Errorf("made %v, %v", entries, err)
		}
	})
}
