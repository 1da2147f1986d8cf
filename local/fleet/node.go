package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"latchkey/agent"
	"latchkey/agent/statedir"
	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
	"latchkey/shared/node/protocol"
)

// The directory of a node.
const (
	profileFile = "profile.json" // what the node is; written last, so that without it there is no node
	agentDir    = "agent"
	dataDir     = "data"
)

// node is one machine: an agent with its database.
type node struct {
	fleet   *Fleet
	dir     string
	profile Waiting
	member  *member
	lock    *statedir.OS
	log     *slog.Logger
}

// found makes the directory of a new node.
func (f *Fleet) found(w Waiting) (*node, error) {
	for _, id := range []string{w.ClusterID, w.NodeID} {
		if !atlas.ValidID(id) {
			return nil, fmt.Errorf("fleet: %q is no id", id)
		}
	}
	dir := filepath.Join(f.cfg.Dir, w.ClusterID, w.NodeID)
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return nil, err
	}
	files, err := statedir.Open(dir)
	if err != nil {
		return nil, err
	}
	state := statedir.New(files)
	first, err := json.Marshal(standing{Counts: f.founding(w)})
	if err == nil {
		err = state.Write(standingFile, first)
	}
	var profile []byte
	if err == nil {
		profile, err = json.MarshalIndent(w, "", "  ")
	}
	if err == nil {
		err = state.Write(profileFile, profile)
	}
	if err = errors.Join(err, files.Close()); err != nil {
		return nil, err
	}
	return f.open(dir)
}

// open opens the directory of a node.
func (f *Fleet) open(dir string) (*node, error) {
	lock, err := statedir.Open(dir)
	if err != nil {
		return nil, err
	}
	files := statedir.New(lock)
	content, _, err := files.Read(profileFile)
	n := &node{fleet: f, dir: dir, lock: lock}
	if err == nil {
		err = json.Unmarshal(content, &n.profile)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("fleet: %s: %w", filepath.Join(dir, profileFile), err), lock.Close())
	}
	p := n.profile
	n.log = f.cfg.Log.With(slog.String("nodeId", p.NodeID), slog.String("clusterId", p.ClusterID))
	m := &member{id: p.NodeID, electable: cluster.Kind(p.Kind) == cluster.Electable, priority: p.Priority, index: p.Index, files: files}
	m.Store = f.cfg.Open(filepath.Join(dir, dataDir), m.source)
	if err := m.loadStanding(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	n.member = m
	return n, nil
}

func (n *node) close() error { return n.lock.Close() }

// Waits after an agent ended by itself. One that ran for a while begins with the first again.
const (
	firstWait = time.Second
	lastWait  = time.Minute
)

// run runs the node's agent, again and again, until ctx ends or the node is deleted.
func (n *node) run(ctx context.Context) {
	defer n.close() //nolint:errcheck // it is unlocked when the process ends
	wait := firstWait
	for {
		began := n.fleet.cfg.Now()
		deleted, err := n.life(ctx)
		if ctx.Err() != nil {
			return
		}
		if deleted {
			if err := n.fleet.discard(n); err != nil {
				n.log.LogAttrs(ctx, slog.LevelError, "the directory of a deleted node is left", slog.Any("error", err))
			}
			return
		}
		n.fleet.stir()
		if n.fleet.cfg.Now().Sub(began) > lastWait {
			wait = firstWait
		}
		n.log.LogAttrs(ctx, slog.LevelWarn, "the agent ended", slog.Any("error", err), slog.Duration("retryIn", wait))
		if sleep(ctx, wait) != nil {
			return
		}
		wait = min(2*wait, lastWait)
	}
}

// life is one run of the agent. One that is not enrolled is given a token and runs again.
func (n *node) life(ctx context.Context) (deleted bool, err error) {
	err = n.once(ctx, "")
	if errors.Is(err, agent.ErrNotEnrolled) {
		var token string
		token, err = n.fleet.cfg.Provisioner.IssueToken(ctx, n.profile.ClusterID, n.profile.NodeID)
		if errors.Is(err, ErrGone) {
			return true, nil
		}
		if err == nil {
			err = n.once(ctx, token)
		}
	}
	if errors.Is(err, errForgotten) {
		return true, nil
	}
	return err == nil, err
}

// errForgotten ends an agent that waits to say that its node is deleted, to a control plane that
// has heard it before.
var errForgotten = errors.New("fleet: the control plane does not know the node any more")

func (n *node) once(ctx context.Context, token string) (err error) {
	cfg := n.fleet.cfg
	files, err := cfg.Files(filepath.Join(n.dir, agentDir))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, files.Close()) }()
	client, err := agent.NewClient(cfg.ControlPlane, cfg.Transport, cfg.Now)
	if err != nil {
		return err
	}
	a := agent.New(agent.Config{
		Client: client, State: statedir.New(files), Engine: n.member, EnrolToken: token, Snapshots: cfg.Snapshots,
		Addresses: []string{net.JoinHostPort("127.0.0.1", strconv.Itoa(n.profile.Port))}, // its host's name is in no DNS
		Version:   "fleet", Log: n.log, Now: cfg.Now, StopTimeout: time.Minute, MaxInterval: cfg.Heartbeat,
	})
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		n.watch(ctx, a, cancel)
	}()
	err = a.Run(ctx)
	if errors.Is(context.Cause(ctx), errForgotten) {
		err = errForgotten
	}
	cancel(nil)
	<-watching
	return err
}

// farewell is how long an agent that has deleted its data may take to have that acknowledged,
// before it is asked whether anybody still waits for it.
const farewell = 10 * time.Second

// watch ends an agent whose node the control plane has struck out already: killed between that
// and the end of its run, it would try to say goodbye for ever.
func (n *node) watch(ctx context.Context, a *agent.Agent, cancel context.CancelCauseFunc) {
	for sleep(ctx, farewell) == nil {
		if a.Report().State != protocol.StateDeleted {
			continue
		}
		_, err := n.fleet.cfg.Provisioner.IssueToken(ctx, n.profile.ClusterID, n.profile.NodeID)
		if errors.Is(err, ErrGone) {
			cancel(errForgotten)
			return
		}
	}
}

// sleep waits, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
