package protocol_test

import (
	"bytes"
	"errors"
	"testing"

	"pgregory.net/rapid"

	"latchkey/shared/node/protocol"
)

// use is everything that a sealed key is bound to.
type use struct {
	direction     protocol.Direction
	nodeID, keyID string
}

func newRecipient(t rapid.TB) *protocol.Recipient {
	t.Helper()
	r, err := protocol.NewRecipient()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func seal(t rapid.TB, r *protocol.Recipient, u use, key []byte) []byte {
	t.Helper()
	sealed, err := protocol.SealKey(r.Public(), u.direction, u.nodeID, u.keyID, key)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

var uses = rapid.Custom(func(t *rapid.T) use {
	return use{
		rapid.SampledFrom([]protocol.Direction{protocol.ToControlPlane, protocol.ToNode}).Draw(t, "direction"),
		rapid.StringN(0, 4, 8).Draw(t, "node"), rapid.StringN(0, 4, 8).Draw(t, "key"),
	}
})

var masterKeys = rapid.SliceOfN(rapid.Byte(), protocol.MasterKeySize, protocol.MasterKeySize)

func TestASealedKeyOpensForItsRecipientNodeKeyAndDirectionOnly(t *testing.T) {
	t.Parallel()
	mine, other := newRecipient(t), newRecipient(t)
	rapid.Check(t, func(t *rapid.T) {
		made, asked := uses.Draw(t, "made"), uses.Draw(t, "asked")
		key := masterKeys.Draw(t, "key")
		sealed := seal(t, mine, made, key)
		if bytes.Contains(sealed, key[:8]) {
			t.Fatal("the key can be read in what is sealed")
		}
		got, err := mine.Open(asked.direction, asked.nodeID, asked.keyID, sealed)
		switch {
		case made == asked && (err != nil || !bytes.Equal(got, key)):
			t.Fatalf("%+v does not open: %v", made, err)
		case made != asked && !errors.Is(err, protocol.ErrNotOpened):
			t.Fatalf("sealed for %+v, opened for %+v", made, asked)
		}
		if _, err := other.Open(made.direction, made.nodeID, made.keyID, sealed); !errors.Is(err, protocol.ErrNotOpened) {
			t.Fatalf("somebody else opened it: %v", err)
		}
	})
}

func TestAnAlteredSealedKeyDoesNotOpen(t *testing.T) {
	t.Parallel()
	r := newRecipient(t)
	u := use{protocol.ToNode, "n", "k"}
	sealed := seal(t, r, u, make([]byte, protocol.MasterKeySize))
	for i := range sealed {
		altered := bytes.Clone(sealed)
		altered[i] ^= 1
		if _, err := r.Open(u.direction, u.nodeID, u.keyID, altered); !errors.Is(err, protocol.ErrNotOpened) {
			t.Errorf("byte %d may be altered: %v", i, err)
		}
	}
	for n := range sealed {
		if _, err := r.Open(u.direction, u.nodeID, u.keyID, sealed[:n]); !errors.Is(err, protocol.ErrNotOpened) {
			t.Errorf("its first %d bytes open: %v", n, err)
		}
	}
}

func TestOnlyWholeMasterKeysAreSealed(t *testing.T) {
	t.Parallel()
	r := newRecipient(t)
	for _, n := range []int{0, 16, 31, 33} {
		if _, err := protocol.SealKey(r.Public(), protocol.ToNode, "n", "k", make([]byte, n)); err == nil {
			t.Errorf("%d bytes were sealed", n)
		}
	}
	for name, public := range map[string][]byte{"nothing": nil, "too short": make([]byte, 31), "a point of low order": make([]byte, 32)} {
		if _, err := protocol.SealKey(public, protocol.ToNode, "n", "k", make([]byte, 32)); !errors.Is(err, protocol.ErrRecipient) {
			t.Errorf("%s was taken for a public key: %v", name, err)
		}
	}
}

func TestARecipientIsKeptAndReadAgain(t *testing.T) {
	t.Parallel()
	r := newRecipient(t)
	private, err := r.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	again, err := protocol.ParseRecipient(private)
	if err != nil {
		t.Fatal(err)
	}
	u, key := use{protocol.ToControlPlane, "n", "k"}, bytes.Repeat([]byte{7}, protocol.MasterKeySize)
	got, err := again.Open(u.direction, u.nodeID, u.keyID, seal(t, r, u, key))
	if err != nil || !bytes.Equal(got, key) {
		t.Errorf("Open = %x, %v", got, err)
	}
	if _, err := protocol.ParseRecipient(private[1:]); err == nil {
		t.Error("31 bytes were taken for a private key")
	}
}

func FuzzOpen(f *testing.F) {
	r := newRecipient(f)
	f.Add(seal(f, r, use{protocol.ToNode, "n", "k"}, make([]byte, protocol.MasterKeySize)), r.Public())
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, sealed, public []byte) {
		if key, err := r.Open(protocol.ToControlPlane, "n", "k", sealed); err == nil {
			t.Errorf("opened %x", key)
		}
		if _, err := protocol.SealKey(public, protocol.ToNode, "n", "k", make([]byte, 32)); err == nil && len(public) != 32 {
			t.Errorf("sealed to %x", public)
		}
	})
}
