package keyring_test

import (
	"bytes"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/shared/identity/identitytest"
	"latchkey/shared/identity/keyring"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

type bench struct {
	table  *identitytest.FlakyTable
	sealer *identitytest.Sealer
	clock  *identitytest.Clock
}

func newBench(t *testing.T) bench {
	t.Helper()
	return bench{
		&identitytest.FlakyTable{Table: identitytest.Table(t)}, identitytest.NewSealer(t), identitytest.NewClock(),
	}
}

// instance is one more process that uses the same record.
func (b bench) instance() *keyring.Keyring {
	return &keyring.Keyring{Table: b.table, Sealer: b.sealer, Now: b.clock.Now}
}

func ring(t *testing.T, k *keyring.Keyring) keyring.Ring {
	t.Helper()
	r, err := k.Ring(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func rotate(t *testing.T, k *keyring.Keyring) bool {
	t.Helper()
	done, err := k.Rotate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func TestInstancesThatRaceForTheFirstKeyAgreeOnOne(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const instances = 8
	ids := make([]string, instances)
	var wg sync.WaitGroup
	for i := range instances {
		wg.Go(func() {
			r, err := b.instance().Ring(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = r.Current(b.clock.Now()).ID
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] || id == "" {
			t.Fatalf("instances sign with different keys: %q", ids)
		}
	}
}

func TestTheRecordShowsNoKey(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	k := ring(t, b.instance()).Current(b.clock.Now())
	item, err := b.table.Get(t.Context(), keys.SigningKeys())
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range [][]byte{k.Nonce, k.Seed, []byte(k.ID)} {
		if bytes.Contains(item.Body, secret) {
			t.Errorf("the record holds %x in the clear", secret)
		}
	}
}

func TestTheRecordIsReadOnceInFiveMinutes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	k := b.instance()
	ring(t, k)
	before, _ := b.table.Counts()
	for range 100 {
		ring(t, k)
	}
	if reads, _ := b.table.Counts(); reads != before {
		t.Errorf("%d reads within five minutes", reads-before)
	}
	b.clock.Advance(5 * time.Minute)
	ring(t, k)
	if reads, _ := b.table.Counts(); reads != before+1 {
		t.Errorf("%d reads after five minutes, want 1", reads-before)
	}
}

// Whatever instance signs, every other verifies, although each reads the record when it likes.
func TestARotationIsNoticedByNobody(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	first, second := b.instance(), b.instance()
	agree := func() {
		t.Helper()
		for _, pair := range [][2]*keyring.Keyring{{first, second}, {second, first}} {
			signer := ring(t, pair[0]).Current(b.clock.Now())
			if _, ok := ring(t, pair[1]).ByID(signer.ID); !ok {
				t.Fatalf("at %s an instance signs with a key that another does not know", b.clock.Now())
			}
		}
	}
	start := ring(t, first).Current(b.clock.Now()).ID
	agree()
	b.clock.Advance(keyring.MinRotation)
	ring(t, second) // has just read, so it learns of the rotation as late as possible
	if !rotate(t, first) {
		t.Fatal("a rotation that is due was not done")
	}
	for range 12 {
		agree()
		b.clock.Advance(time.Minute)
	}
	if now := ring(t, second).Current(b.clock.Now()).ID; now == start {
		t.Error("the new key never took over")
	}
	if _, ok := ring(t, second).ByID(start); !ok {
		t.Error("what the old key signed no longer verifies")
	}
}

func TestRotatingTwiceInARowIsHarmless(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	k := b.instance()
	start := ring(t, k).Current(b.clock.Now()).ID
	if rotate(t, k) {
		t.Error("keys of this second were rotated")
	}
	b.clock.Advance(keyring.MinRotation)
	if !rotate(t, k) || rotate(t, b.instance()) {
		t.Error("want one rotation of two")
	}
	for range 5 {
		b.clock.Advance(keyring.MinRotation + time.Hour)
		rotate(t, k)
		if n := len(ring(t, k).Keys); n > 3 {
			t.Fatalf("the ring grew to %d keys", n)
		}
	}
	if _, ok := ring(t, k).ByID(start); ok {
		t.Error("a key that nothing valid was signed with is still kept")
	}
}

func TestInstancesThatRaceToRotateDoItOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if rotate(t, b.instance()) {
		t.Error("keys that nobody has made were rotated")
	}
	ring(t, b.instance())
	b.clock.Advance(keyring.MinRotation)
	var rotated atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			done, err := b.instance().Rotate(t.Context())
			if err != nil {
				t.Error(err)
			}
			if done {
				rotated.Add(1)
			}
		})
	}
	wg.Wait()
	if rotated.Load() != 1 || len(ring(t, b.instance()).Keys) != 2 {
		t.Errorf("rotated %d times", rotated.Load())
	}
}

func TestAnOutageLeavesKnownKeysInUseForAnHour(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	k := b.instance()
	id := ring(t, k).Current(b.clock.Now()).ID
	b.sealer.Break(true)
	b.clock.Advance(59 * time.Minute)
	if got := ring(t, k).Current(b.clock.Now()).ID; got != id {
		t.Error("the key changed during the outage")
	}
	b.clock.Advance(2 * time.Minute)
	if _, err := k.Ring(t.Context()); !errors.Is(err, identitytest.ErrSealer) {
		t.Errorf("after an hour: %v", err)
	}
	b.sealer.Break(false)
	ring(t, k)
}

func TestWithoutTableOrSealThereAreNoKeys(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.table.Break(true)
	if _, err := b.instance().Ring(t.Context()); !errors.Is(err, identitytest.ErrTable) {
		t.Errorf("table broken: %v", err)
	}
	b.table.Break(false)
	b.sealer.Break(true)
	if _, err := b.instance().Ring(t.Context()); !errors.Is(err, identitytest.ErrSealer) {
		t.Errorf("seal broken: %v", err)
	}
	if _, err := b.table.Get(t.Context(), keys.SigningKeys()); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a record was left behind: %v", err)
	}
	b.sealer.Break(false)
	ring(t, b.instance())
	b.sealer.Break(true)
	if _, err := b.instance().Rotate(t.Context()); !errors.Is(err, identitytest.ErrSealer) {
		t.Errorf("rotate without the seal: %v", err)
	}
	b.table.Break(true)
	if _, err := b.instance().Rotate(t.Context()); !errors.Is(err, identitytest.ErrTable) {
		t.Errorf("rotate without the table: %v", err)
	}
}
