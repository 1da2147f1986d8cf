package endpoint

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"latchkey/shared/atlas"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
	"latchkey/shared/workflow"
)

// Executions starts workflows and knows which have ended; awssfn.Starter is the one in use.
type Executions interface {
	// Ensure starts an execution unless one of its name was started before, and reports whether
	// that one has ended.
	Ensure(ctx context.Context, x workflow.Execution) (ended bool, err error)
}

// watchers bounds how many groups are looked after at the same time.
const watchers = 8

// Watched is what Watch has seen.
type Watched struct {
	// InProgress is how many endpoints are being made or removed. Those that wait for a tenant's
	// approval are not among them: that may take as long as the tenant likes.
	InProgress int
	// Oldest is for how long one of them has had its status at most.
	Oldest time.Duration
}

// see counts an endpoint.
func (w *Watched) see(e Endpoint, now time.Time) {
	if e.moves() {
		w.InProgress++
		w.Oldest = max(w.Oldest, now.Sub(e.Since))
	}
}

// Watch looks after every endpoint: one at rest whose state in its cloud has changed, and one
// that should be worked on but whose execution has ended, get an execution. A schedule calls
// it every other minute, so that a status follows its cloud within three. One that fails delays no
// other; it returns the failures.
func (s *Service) Watch(ctx context.Context, executions Executions) (Watched, error) {
	items, err := store.All(ctx, s.Table, store.Query{
		Index: true, PK: keys.WatchedEndpoints("", "").PK, Prefix: keys.WatchedEndpointsPrefix,
	})
	if err != nil {
		return Watched{}, fmt.Errorf("list private endpoints: %w", err)
	}
	var mu sync.Mutex
	var seen Watched
	var failed []error
	var group errgroup.Group
	group.SetLimit(watchers)
	for _, item := range items {
		group.Go(func() error {
			set, err := s.watchItem(ctx, executions, item)
			mu.Lock()
			defer mu.Unlock()
			for _, e := range set.Endpoints {
				seen.see(e, s.Now())
			}
			if err != nil {
				failed = append(failed, err)
			}
			return nil
		})
	}
	return seen, errors.Join(append(failed, group.Wait())...)
}

func (s *Service) watchItem(ctx context.Context, executions Executions, item store.Item) (Set, error) {
	known, err := store.Decode[Set](item)
	if err != nil {
		return Set{}, err
	}
	set, err := s.load(ctx, known.GroupID, known.Provider) // the index may be behind
	if err != nil {
		return Set{}, err
	}
	var failed []error
	for _, e := range set.Endpoints {
		if err := s.watchOne(ctx, executions, set, e); err != nil {
			failed = append(failed, fmt.Errorf("private endpoint %s of %s: %w", e.ID, set.GroupID, err))
		}
	}
	return set, errors.Join(failed...)
}

func (s *Service) watchOne(ctx context.Context, executions Executions, set Set, e Endpoint) error {
	if !e.moves() {
		changed, err := s.hasChanged(ctx, set, e)
		if err != nil || !changed {
			return err
		}
	}
	ended, err := executions.Ensure(ctx, execution(set.GroupID, set.Provider, e))
	if err != nil || !ended {
		return err
	}
	return s.nextAttempt(ctx, Ref{GroupID: set.GroupID, Provider: set.Provider, EndpointID: e.ID}, e.Attempt)
}

// hasChanged reports whether a cloud shows something else of an endpoint at rest than when it came
// to rest.
func (s *Service) hasChanged(ctx context.Context, set Set, e Endpoint) (bool, error) {
	if e.Status != Active && e.Status != PendingAcceptance {
		return false, nil
	}
	cloud, ok := s.Clouds[set.Provider]
	if !ok {
		return false, atlas.Fail(atlas.EARProviderNotSupported, set.Provider)
	}
	o, err := cloud.Find(ctx, set.handle(e))
	if err != nil {
		return false, err
	}
	if e.Status == Active {
		return isLost(o), nil
	}
	return o.State != AwaitingApproval && o.State != Provisioning, nil
}

// nextAttempt starts another execution after one that has ended, unless somebody else did.
func (s *Service) nextAttempt(ctx context.Context, ref Ref, after int64) error {
	var next Endpoint
	err := store.Again(attempts, func() error {
		set, err := s.load(ctx, ref.GroupID, ref.Provider)
		if err != nil {
			return err
		}
		var ok bool
		if next, ok = set.Find(ref.EndpointID); !ok || next.Attempt != after {
			next = Endpoint{}
			return nil
		}
		next.Attempt++
		return s.progress(ctx, set, set.with(next))
	})
	if err != nil || next.ID == "" {
		return err
	}
	return s.Start.Start(ctx, execution(ref.GroupID, ref.Provider, next))
}
