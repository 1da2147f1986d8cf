package node_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/shared/identity/identitytest"
	"latchkey/shared/node"
	"latchkey/shared/node/protocol"
	"latchkey/shared/store/keys"
)

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
