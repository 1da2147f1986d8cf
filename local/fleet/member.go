package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"latchkey/agent"
	"latchkey/agent/statedir"
)

// Store is a database that a node runs: an engine whose data a replica set keeps the same.
// badgerengine and memengine are such; agent/enginetest says what they must do.
type Store interface {
	agent.Engine
	Put(ctx context.Context, database, key string, value []byte) error
	Get(ctx context.Context, database, key string) (value []byte, found bool, err error)
	Export(ctx context.Context, w io.Writer) error
}

// Source opens a stream of another member's data, nil for the first member of all.
type Source = func(ctx context.Context) (io.ReadCloser, error)

// standing is what a member remembers of its replica set.
type standing struct {
	// Counts: whatever it acknowledged is still there, so that it may elect. That is so for the
	// founders of a set, which have acknowledged nothing, and for others once they are level.
	Counts bool `json:"counts"`
	// Term is the last election that it took part in.
	Term int64 `json:"term"`
}

const standingFile = "standing.json"

// member is an engine in a replica set. Towards its agent it is an engine that runs once it is
// level with the others.
type member struct {
	Store

	id        string
	electable bool
	priority  int
	index     int
	files     *statedir.Dir
	set       *replicaSet

	joining atomic.Bool
	out     atomic.Pointer[string] // why it is no part of the set although it runs

	standing standing // guarded by set.mu
}

// Status implements agent.Engine.
func (m *member) Status() agent.Status {
	s := m.Store.Status()
	if s.Phase != agent.Running {
		return s
	}
	if why := m.out.Load(); why != nil {
		return agent.Status{Phase: agent.Failed, Detail: *why}
	}
	if m.joining.Load() {
		s.Phase = agent.Syncing
	}
	return s
}

// Start implements agent.Engine.
func (m *member) Start(ctx context.Context, key *agent.MasterKey) error {
	if m.Status().Phase == agent.Running {
		return nil
	}
	m.set.leave(m) // the engine may have stopped by itself
	if m.out.Load() != nil {
		if err := m.Stop(ctx); err != nil {
			return err
		}
	}
	m.joining.Store(true)
	defer m.joining.Store(false)
	if err := m.Store.Start(ctx, key); err != nil {
		return err
	}
	if err := m.set.join(ctx, m); err != nil {
		return errors.Join(err, m.Stop(context.WithoutCancel(ctx)))
	}
	return nil
}

// Stop implements agent.Engine.
func (m *member) Stop(ctx context.Context) error {
	m.set.leave(m)
	err := m.Store.Stop(ctx)
	m.out.Store(nil)
	return err
}

// Restore implements agent.Engine. The snapshot is a new history of the set, in place of what the
// others have: they become equal to it when this member joins.
func (m *member) Restore(ctx context.Context, files agent.SnapshotFiles) error {
	m.set.leave(m)
	if err := m.Store.Restore(ctx, files); err != nil {
		return err
	}
	return m.set.renew(m)
}

// expel keeps the member out of the set until its agent starts it again.
func (m *member) expel(why error) {
	text := "out of the replica set: " + why.Error()
	m.out.Store(&text)
}

func (m *member) loadStanding() error {
	content, _, err := m.files.Read(standingFile)
	if errors.Is(err, statedir.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(content, &m.standing)
	}
	if err != nil {
		return fmt.Errorf("fleet: %s of node %s: %w", standingFile, m.id, err)
	}
	return nil
}

// stand stores the member's standing. set.mu is held.
func (m *member) stand(next standing) error {
	if next == m.standing {
		return nil
	}
	content, err := json.Marshal(next)
	if err == nil {
		err = m.files.Write(standingFile, content)
	}
	if err != nil {
		return err
	}
	m.standing = next
	return nil
}

func (m *member) source(ctx context.Context) (io.ReadCloser, error) { return m.set.source(ctx, m) }

// write stores a record.
func (m *member) write(ctx context.Context, k place, raw []byte) error {
	return m.Put(ctx, k.database, k.key, raw)
}

// each calls fn for everything that the engine holds.
func (m *member) each(ctx context.Context, fn func(k place, raw []byte, r record) error) error {
	stream := m.export(ctx)
	defer stream.Close() //nolint:errcheck // it was only read
	return eachOf(stream, fn)
}

// export streams what the engine holds. It goes through memory only: on disk it would be in the
// clear.
func (m *member) export(ctx context.Context) io.ReadCloser {
	r, w := io.Pipe()
	go func() { w.CloseWithError(m.Export(ctx, w)) }()
	return r
}

// electionTime makes terms: above all that were before, whatever the clock says.
func electionTime(now time.Time, before int64) int64 { return max(now.UnixNano(), before+1) }
