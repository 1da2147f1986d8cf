// Package agent runs beside one database process. It owns the wrapped copy of the node's master
// key, has it released by the control plane at every start, and carries out what the control
// plane tells it: run, stop, rotate, rewrap, resync, snapshot, restore, delete.
//
// Its one invariant: data is only ever encrypted under a master key that was released from a
// wrapped copy which is safely on disk. So no crash, full disk or lost answer can leave data
// whose key is gone. Programs and simulations import it, with an engine from one of the
// packages below it; docs/agent.md is written for the people who operate it.
package agent

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"latchkey/agent/statedir"
	"latchkey/shared/atlas"
	"latchkey/shared/node/protocol"
)

// Config is what an agent needs.
type Config struct {
	Client *Client
	State  *statedir.Dir
	Engine Engine
	// Snapshots is where snapshots are kept; nil if the node takes and restores none.
	Snapshots Snapshots
	// EnrolToken is the one-time token. It is not needed once the agent has enrolled.
	EnrolToken string
	// Addresses and Version are reported as they are.
	Addresses []string
	Version   string
	Log       *slog.Logger
	Now       func() time.Time
	// Jitter returns a duration from 0 to limit; nil is random. Simulations pass a seeded one.
	Jitter func(limit time.Duration) time.Duration
	// MaxInterval bounds the time between heartbeats, whatever the control plane asks for; 0 does
	// not. It is for a control plane on the same machine, which a call costs nothing, and for who
	// wants a revocation noticed sooner.
	MaxInterval time.Duration
	// StopTimeout is how long the engine gets for whatever must not be interrupted: to stop,
	// to rotate, to wipe. 0 means DefaultStopTimeout.
	StopTimeout time.Duration
}

// DefaultStopTimeout is generous: a database that is killed recovers slowly, and a host that
// shuts down has a timeout of its own.
const DefaultStopTimeout = 10 * time.Minute

// Errors that end Run because only a person can help.
var (
	ErrNotEnrolled       = errors.New("agent: not enrolled, and no enrolment token given")
	ErrEnrolmentRefused  = errors.New("agent: the control plane refused the enrolment token")
	errNewer             = errors.New("agent: a newer command came")
	errDeleted           = errors.New("agent: the node is deleted")
	errIncompleteAnswer  = errors.New("agent: the control plane's answer is incomplete")
	errIdentityUnreadble = fmt.Errorf("%s: %w", identityFile, statedir.ErrDamaged)
)

// Agent runs one node.
type Agent struct {
	cfg   Config
	inbox *inbox
}

// New returns an agent; nothing happens before Run.
func New(cfg Config) *Agent {
	if cfg.Jitter == nil {
		cfg.Jitter = randomly
	}
	if cfg.MaxInterval == 0 {
		cfg.MaxInterval = protocol.MaxInterval
	}
	if cfg.StopTimeout == 0 {
		cfg.StopTimeout = DefaultStopTimeout
	}
	return &Agent{cfg: cfg, inbox: newInbox()}
}

// Report is the state of the node as the next heartbeat tells it.
func (a *Agent) Report() protocol.Report {
	return a.inbox.report(a.cfg.Engine.Status(), a.cfg.Addresses, a.cfg.Version)
}

// Run enrols if necessary and then runs the node until ctx ends or the node is deleted, both of
// which are nil. It stops the engine before it returns. It is called once.
func (a *Agent) Run(ctx context.Context) error {
	self, err := a.identity()
	if err != nil {
		return err
	}
	n, err := a.enrolled(ctx, self)
	if err != nil {
		if ctx.Err() != nil {
			return nil // being told to end is no failure
		}
		return err
	}
	a.cfg.Client.identify(self.key(), protocol.Identity{NodeID: n.NodeID, ClusterID: n.ClusterID})
	a.cfg.Log = a.cfg.Log.With(slog.String("nodeId", n.NodeID), slog.String("clusterId", n.ClusterID))
	w, err := newWorker(a.cfg, n, a.inbox)
	if err != nil {
		return err
	}
	beating, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() { (&heart{agent: a}).beat(beating) })
	err = w.run(ctx)
	stop()
	wg.Wait()
	return err
}

// identity reads the agent's key, or makes it. It is stored before it is used, so that a lost
// answer to enrolment is repeated with the same key.
func (a *Agent) identity() (identity, error) {
	var self identity
	found, err := load(a.cfg.State, identityFile, &self)
	if err != nil {
		return identity{}, err
	}
	if found {
		if len(self.PrivateKey) != ed25519.SeedSize {
			return identity{}, errIdentityUnreadble
		}
		return self, nil
	}
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return identity{}, fmt.Errorf("agent: make an identity: %w", err)
	}
	self = identity{PrivateKey: key.Seed()}
	return self, save(a.cfg.State, identityFile, self)
}

// enrolled reads which node this is, and enrols until the control plane answers.
func (a *Agent) enrolled(ctx context.Context, self identity) (node, error) {
	var n node
	found, err := load(a.cfg.State, nodeFile, &n)
	if err != nil || found {
		return n, err
	}
	if a.cfg.EnrolToken == "" {
		return node{}, ErrNotEnrolled
	}
	wait := backoff{jitter: a.cfg.Jitter}
	for {
		n, err = a.enrol(ctx, self)
		refused, isRefusal := errors.AsType[*APIError](err)
		switch {
		case err == nil:
			return n, nil
		case isRefusal && refused.Code == atlas.NodeEnrolmentRefused:
			return node{}, fmt.Errorf("%w: %w", ErrEnrolmentRefused, err)
		}
		delay := wait.next(err)
		a.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "not enrolled yet", slog.Any("error", err), slog.Duration("retryIn", delay))
		if err := sleep(ctx, delay); err != nil {
			return node{}, err
		}
	}
}

// enrol asks once. The empty ring is stored before the answer, so that a node which knows who
// it is and has no ring has lost it.
func (a *Agent) enrol(ctx context.Context, self identity) (node, error) {
	public := self.key().Public().(ed25519.PublicKey) //nolint:forcetypeassert // documented by crypto/ed25519
	answer, err := a.cfg.Client.enrol(ctx, protocol.EnrolRequest{Token: a.cfg.EnrolToken, PublicKey: public})
	if err != nil {
		return node{}, err
	}
	n := node(answer)
	if n.NodeID == "" || n.ClusterID == "" || n.GroupID == "" || len(n.ControlPlaneKey) == 0 {
		return node{}, errIncompleteAnswer
	}
	if err := save(a.cfg.State, keysFile, ring{}); err != nil {
		return node{}, err
	}
	return n, save(a.cfg.State, nodeFile, n)
}
