// Package enginetest is what every engine must do, as tests: Run for all engines, RunStore for
// those that hold data themselves.
//
// Its invariant is the agent's: data opens with the key that it is under, survives everything
// but Wipe, and is never in doubt between two keys.
package enginetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"latchkey/agent"
	"latchkey/shared/node/protocol"
)

// Store is an engine that can be asked for its data.
type Store interface {
	agent.Engine
	Put(ctx context.Context, database, key string, value []byte) error
	Get(ctx context.Context, database, key string) (value []byte, found bool, err error)
	Scan(ctx context.Context, database, prefix string, fn func(key string, value []byte) error) error
	Export(ctx context.Context, w io.Writer) error
}

// Source opens another node's data, nil where there is none.
type Source = func(ctx context.Context) (io.ReadCloser, error)

// Harness makes engines. Open is called again for the same place: what was there before must be
// there again, as after a crash of the process, without a Stop.
type Harness struct {
	// Place makes somewhere to keep data.
	Place func(t *testing.T) string
	Open  func(t *testing.T, place string, source Source) agent.Engine
	// Checks bounds the random checks of engines that are slow to open; 0 is no bound.
	Checks int
}

// Key makes a master key whose secret follows from b.
func Key(b byte) *agent.MasterKey {
	return agent.NewMasterKey(fmt.Sprintf("6500000000000000000000%02x", b), bytes.Repeat([]byte{b}, protocol.MasterKeySize))
}

// Run tests what every engine must do.
func Run(t *testing.T, h Harness) {
	t.Helper()
	t.Run("a new engine is stopped", func(t *testing.T) {
		e := h.Open(t, h.Place(t), nil)
		want(t, e, agent.Stopped)
		must(t, e.Stop(t.Context()))
	})
	t.Run("starting and stopping again does nothing", func(t *testing.T) {
		for name, key := range map[string]*agent.MasterKey{"encrypted": Key(1), "not encrypted": nil} {
			e := h.Open(t, h.Place(t), nil)
			for range 2 {
				must(t, e.Start(t.Context(), key))
				if s := e.Status(); s.Phase == agent.Stopped || s.Phase == agent.Failed || s.StartedAt.IsZero() {
					t.Errorf("%s: status %+v after Start", name, s)
				}
			}
			for range 2 {
				must(t, e.Stop(t.Context()))
				want(t, e, agent.Stopped)
			}
			must(t, e.Start(t.Context(), key))
			must(t, e.Stop(t.Context()))
		}
	})
	t.Run("the caller may destroy its key once Start has returned", func(t *testing.T) {
		e := h.Open(t, h.Place(t), nil)
		key := Key(1)
		must(t, e.Start(t.Context(), key))
		key.Destroy()
		must(t, e.Stop(t.Context()))
		must(t, e.Start(t.Context(), Key(1)))
		must(t, e.Stop(t.Context()))
	})
	t.Run("a start that was called off leaves the engine stopped", func(t *testing.T) {
		e := h.Open(t, h.Place(t), nil)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if e.Start(ctx, Key(1)) != nil {
			want(t, e, agent.Stopped)
		}
		must(t, e.Stop(t.Context()))
	})
	t.Run("copying leaves an engine as it was", h.snapshots)
	t.Run("what cannot be rotated or wiped says so and stays", func(t *testing.T) {
		e := h.Open(t, h.Place(t), nil)
		must(t, e.Start(t.Context(), Key(1)))
		if err := e.Rotate(t.Context(), Key(2)); err != nil && !errors.Is(err, agent.ErrUnsupported) {
			t.Errorf("Rotate = %v", err)
		}
		must(t, e.Stop(t.Context()))
		if err := e.Wipe(t.Context()); err != nil && !errors.Is(err, agent.ErrUnsupported) {
			t.Errorf("Wipe = %v", err)
		}
		want(t, e, agent.Stopped)
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, e agent.Engine, phase agent.Phase) {
	t.Helper()
	if got := e.Status(); got.Phase != phase {
		t.Fatalf("status %+v, want %s", got, phase)
	}
}
