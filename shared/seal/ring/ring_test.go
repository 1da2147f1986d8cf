package ring_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"latchkey/shared/identity/identitytest"
	"latchkey/shared/seal"
	"latchkey/shared/seal/ring"
	"latchkey/shared/store"
)

// key is as small as a key can be.
type key struct {
	ID    int       `json:"id"`
	Since time.Time `json:"since"`
}

const minRotation = 2 * time.Hour

type bench struct {
	table  *identitytest.FlakyTable
	sealer *identitytest.Sealer
	clock  *identitytest.Clock
	made   int
	broken error // why no key can be made
}

func newBench(t *testing.T) *bench {
	t.Helper()
	return &bench{
		table: &identitytest.FlakyTable{Table: identitytest.Table(t)}, sealer: identitytest.NewSealer(t), clock: identitytest.NewClock(),
	}
}

func since(k key) time.Time { return k.Since }

func (b *bench) kind() ring.Kind[key] {
	return ring.Kind[key]{
		Name: "test keys", Table: b.table, Sealer: b.sealer, Now: b.clock.Now,
		Place: store.Key{PK: "TEST", SK: "KEYS"}, Context: seal.Context{Scope: "system", Field: "test"},
		New: func(from time.Time) (key, error) {
			b.made++
			return key{ID: b.made, Since: from}, b.broken
		},
		ActiveFrom: since, MinRotation: minRotation,
	}
}

// Whatever instances do, and whenever: what one uses, every other knows, and goes on knowing for
// MinRotation.
func TestWhatOneInstanceUsesEveryOtherKnows(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		b := newBench(t)
		instances := make([]ring.Ring[key], 3)
		get := func(i int) []key {
			all, err := instances[i].Get(t.Context(), b.kind())
			if err != nil {
				rt.Fatal(err)
			}
			return all
		}
		used := map[int]time.Time{} // when each key was last used
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			i := rapid.IntRange(0, len(instances)-1).Draw(rt, "instance")
			b.clock.Advance(time.Duration(rapid.IntRange(0, 120).Draw(rt, "minutes")) * time.Minute)
			if rapid.Bool().Draw(rt, "rotate") {
				if _, err := instances[i].Rotate(t.Context(), b.kind()); err != nil {
					rt.Fatal(err)
				}
			}
			now := b.clock.Now()
			current := ring.Current(get(i), since, now)
			used[current.ID] = now
			for j := range instances {
				known := map[int]bool{}
				for _, k := range get(j) {
					known[k.ID] = true
				}
				for id, at := range used {
					if !known[id] && now.Sub(at) < minRotation {
						rt.Fatalf("key %d was used %s ago, and an instance knows only %v", id, now.Sub(at), known)
					}
				}
				if len(known) > 3 {
					rt.Fatalf("a ring of %d keys", len(known))
				}
			}
		}
	})
}

func TestARecordThatHoldsNoKeysIsAnErrorWithoutItsText(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "{", "[]", `{"Keys":[]}`, `{"Keys":7}`, `{"Keys":[{"id":"secret"}]}`} {
		b := newBench(t)
		sealed, err := b.sealer.Seal(t.Context(), []byte(text), b.kind().Context)
		if err != nil {
			t.Fatal(err)
		}
		item, err := store.Encode(b.kind().Place, 0, map[string]seal.Sealed{"sealed": sealed})
		if err == nil {
			err = b.table.Write(t.Context(), store.Put(item))
		}
		if err != nil {
			t.Fatal(err)
		}
		var r ring.Ring[key]
		if _, err := r.Get(t.Context(), b.kind()); err == nil || strings.Contains(err.Error(), "secret") || b.made > 0 {
			t.Errorf("%q: %v, %d keys made", text, err, b.made)
		}
		if _, err := r.Rotate(t.Context(), b.kind()); err == nil {
			t.Errorf("%q is rotated", text)
		}
	}
}

func TestAKeyThatCannotBeMadeIsAnError(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.broken = errors.New("no entropy")
	var r ring.Ring[key]
	if _, err := r.Get(t.Context(), b.kind()); !errors.Is(err, b.broken) {
		t.Errorf("Get: %v", err)
	}
	b.broken = nil
	if _, err := r.Get(t.Context(), b.kind()); err != nil {
		t.Fatal(err)
	}
	b.clock.Advance(minRotation)
	b.broken = errors.New("no entropy")
	if rotated, err := r.Rotate(t.Context(), b.kind()); rotated || !errors.Is(err, b.broken) {
		t.Errorf("Rotate: %t, %v", rotated, err)
	}
}

// Deployments have keys that were kept before this package was.
func TestKeysAreKeptAsTheyAlwaysWere(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var r ring.Ring[key]
	if _, err := r.Get(t.Context(), b.kind()); err != nil {
		t.Fatal(err)
	}
	rec, _, err := store.Load[map[string]seal.Sealed](t.Context(), b.table, b.kind().Place)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := b.sealer.Open(t.Context(), rec["sealed"], b.kind().Context)
	if err != nil {
		t.Fatal(err)
	}
	want, err := json.Marshal(map[string]any{"Keys": []key{{1, b.clock.Now()}}})
	if err != nil || string(plain) != string(want) {
		t.Errorf("%s, want %s; %v", plain, want, err)
	}
}
