// Package sealtest is the contract of seal.Wrapper as a suite that every implementation
// passes. It is imported by tests only.
package sealtest

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"latchkey/shared/seal"
)

// Harness is one fresh operator's key.
type Harness struct {
	Wrapper seal.Wrapper
	// Again reaches the same key from a process of its own.
	Again func(t *testing.T) seal.Wrapper
	// Other is another key.
	Other seal.Wrapper
	// Outages are the ways in which the key can be unavailable, by name; each takes it away
	// until restore is called. Empty for a key that is always there.
	Outages map[string]func() (restore func())
}

// Run runs the suite. open makes a fresh harness.
func Run(t *testing.T, open func(t *testing.T) Harness) {
	t.Run("what is sealed opens again", func(t *testing.T) { testRoundTrip(t, open(t)) })
	t.Run("every data key is new", func(t *testing.T) { testFresh(t, open(t)) })
	t.Run("the key outlives the process", func(t *testing.T) { testAgain(t, open(t)) })
	t.Run("another context does not open it", func(t *testing.T) { testContext(t, open(t)) })
	t.Run("another key does not open it", func(t *testing.T) { testOther(t, open(t)) })
	t.Run("a changed byte does not open", func(t *testing.T) { testTampered(t, open(t)) })
	t.Run("an unavailable key is not a broken secret", func(t *testing.T) { testOutages(t, open(t)) })
	t.Run("a cancelled context is not a broken secret", func(t *testing.T) { testCancelled(t, open(t)) })
	t.Run("it is safe for concurrent use", func(t *testing.T) { testConcurrent(t, open(t)) })
}

var (
	secret = []byte("the secret of a tenant, long enough to be recognised")
	own    = seal.Context{Scope: "group/650000000000000000000001", Field: "awsKms.secretAccessKey"}
)

func now() time.Time { return time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC) }

func mustSeal(t testing.TB, w seal.Wrapper, plaintext []byte) seal.Sealed {
	t.Helper()
	s, err := seal.New(w, now).Seal(t.Context(), plaintext, own)
	if err != nil {
		t.Fatalf("seal: %v", err)
	}
	return s
}

// wantUnopenable opens cold, so that the wrapper is asked.
func wantUnopenable(t testing.TB, w seal.Wrapper, s seal.Sealed, c seal.Context) {
	t.Helper()
	got, err := seal.New(w, now).Open(t.Context(), s, c)
	if !errors.Is(err, seal.ErrUnopenable) || errors.Is(err, seal.ErrUnavailable) || got != nil {
		t.Errorf("open = %q, %v; want ErrUnopenable alone", got, err)
	}
}

func testRoundTrip(t *testing.T, h Harness) {
	for _, plaintext := range [][]byte{secret, {}, {0}, bytes.Repeat([]byte("x"), 300_000)} {
		s := mustSeal(t, h.Wrapper, plaintext)
		if len(plaintext) > 1 && bytes.Contains(s, plaintext) {
			t.Error("the sealed bytes contain the plaintext")
		}
		got, err := seal.New(h.Wrapper, now).Open(t.Context(), s, own)
		if err != nil || !bytes.Equal(got, plaintext) || got == nil {
			t.Errorf("open = %d bytes, %v; want the %d bytes that were sealed", len(got), err, len(plaintext))
		}
	}
}

func testFresh(t *testing.T, h Harness) {
	seen := map[string]bool{}
	for range 10 {
		plain, wrapped, err := h.Wrapper.GenerateDataKey(t.Context(), own)
		if err != nil || len(plain) != seal.KeySize || bytes.Contains(wrapped, plain) {
			t.Fatalf("generate = %d and %d bytes, %v", len(plain), len(wrapped), err)
		}
		if seen[string(plain)] || seen[string(wrapped)] {
			t.Error("a data key came twice")
		}
		seen[string(plain)], seen[string(wrapped)] = true, true
	}
}

func testAgain(t *testing.T, h Harness) {
	s := mustSeal(t, h.Wrapper, secret)
	got, err := seal.New(h.Again(t), now).Open(t.Context(), s, own)
	if err != nil || !bytes.Equal(got, secret) {
		t.Errorf("open in another process = %q, %v", got, err)
	}
}

func testContext(t *testing.T, h Harness) {
	s := mustSeal(t, h.Wrapper, secret)
	for _, c := range []seal.Context{
		{Scope: "group/650000000000000000000002", Field: own.Field},
		{Scope: own.Scope, Field: "azureKeyVault.secret"},
		{Scope: own.Field, Field: own.Scope},
		{Scope: own.Scope + own.Field[:1], Field: own.Field[1:]},
		{Scope: own.Scope},
		{Field: own.Field},
		{},
	} {
		wantUnopenable(t, h.Wrapper, s, c)
	}
	// The wrapper itself refuses, not only the envelope around it.
	plain, wrapped, err := h.Wrapper.GenerateDataKey(t.Context(), own)
	if err != nil {
		t.Fatal(err)
	}
	got, err := h.Wrapper.OpenDataKey(t.Context(), wrapped, seal.Context{Scope: "group/650000000000000000000002", Field: own.Field})
	if !errors.Is(err, seal.ErrUnopenable) || bytes.Equal(got, plain) {
		t.Errorf("the wrapper opened a data key for another scope: %v", err)
	}
}

func testOther(t *testing.T, h Harness) {
	wantUnopenable(t, h.Other, mustSeal(t, h.Wrapper, secret), own)
}

func testTampered(t *testing.T, h Harness) {
	s := mustSeal(t, h.Wrapper, secret)
	for i := range s {
		changed := bytes.Clone(s)
		changed[i] ^= 1
		wantUnopenable(t, h.Wrapper, changed, own)
		wantUnopenable(t, h.Wrapper, s[:i], own)
	}
	wantUnopenable(t, h.Wrapper, append(bytes.Clone(s), 0), own)
}

func testOutages(t *testing.T, h Harness) {
	s := mustSeal(t, h.Wrapper, secret)
	sealer := seal.New(h.Wrapper, now)
	for name, outage := range h.Outages {
		restore := outage()
		got, err := sealer.Open(t.Context(), s, own)
		if !errors.Is(err, seal.ErrUnavailable) || errors.Is(err, seal.ErrUnopenable) || got != nil {
			t.Errorf("open while %s = %q, %v; want ErrUnavailable alone", name, got, err)
		}
		if _, err := sealer.Seal(t.Context(), secret, own); !errors.Is(err, seal.ErrUnavailable) {
			t.Errorf("seal while %s: %v, want ErrUnavailable", name, err)
		}
		restore()
	}
	if got, err := sealer.Open(t.Context(), s, own); err != nil || !bytes.Equal(got, secret) {
		t.Errorf("open after the outages = %q, %v", got, err)
	}
}

func testCancelled(t *testing.T, h Harness) {
	s := mustSeal(t, h.Wrapper, secret)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	sealer := seal.New(h.Wrapper, now)
	_, err := sealer.Open(ctx, s, own)
	if !errors.Is(err, seal.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("open: %v, want ErrUnavailable and context.Canceled", err)
	}
	if _, err := sealer.Seal(ctx, secret, own); !errors.Is(err, seal.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("seal: %v, want ErrUnavailable and context.Canceled", err)
	}
}

func testConcurrent(t *testing.T, h Harness) {
	sealer := seal.New(h.Wrapper, now)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			s, err := sealer.Seal(t.Context(), secret, own)
			if err != nil {
				t.Errorf("seal: %v", err)
				return
			}
			for range 5 {
				if got, err := sealer.Open(t.Context(), s, own); err != nil || !bytes.Equal(got, secret) {
					t.Errorf("open = %q, %v", got, err)
				}
			}
		})
	}
	group.Wait()
}
