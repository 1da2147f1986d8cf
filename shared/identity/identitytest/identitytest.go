// Package identitytest is what tests of identities need around them: a table, a sealer that
// really encrypts and can fail, a clock that stands still until it is moved, and somebody with roles.
//
// It is imported by tests only.
package identitytest

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"latchkey/shared/identity"
	"latchkey/shared/seal"
	"latchkey/shared/seal/fileseal"
	"latchkey/shared/store"
	"latchkey/shared/store/bolt"
)

// Table opens an empty table that is closed when the test ends.
func Table(tb testing.TB) store.Table {
	tb.Helper()
	t, err := bolt.Open(filepath.Join(tb.TempDir(), "table.db"))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := t.Close(); err != nil {
			tb.Error(err)
		}
	})
	return t
}

// Clock is a clock that stands still.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock returns a clock that shows an ordinary day.
func NewClock() *Clock { return &Clock{now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)} }

// Now is the time it shows.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves it.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// ErrSealer is what a broken Sealer answers.
var ErrSealer = errors.New("identitytest: the seal is unavailable")

// Sealer is the real sealer under a key in a file, and can be broken. It is safe for
// concurrent use.
type Sealer struct {
	sealer *seal.Sealer

	mu     sync.Mutex
	broken bool
	opened int
}

// NewSealer returns a sealer with a fresh key.
func NewSealer(tb testing.TB) *Sealer {
	tb.Helper()
	w, err := fileseal.Open(filepath.Join(tb.TempDir(), "seal.key"))
	if err != nil {
		tb.Fatal(err)
	}
	return &Sealer{sealer: seal.New(w, NewClock().Now)}
}

// Break makes every later call fail, or ends that.
func (s *Sealer) Break(broken bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = broken
}

// Opened is the number of values that were opened.
func (s *Sealer) Opened() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened
}

// Seal encrypts plaintext.
func (s *Sealer) Seal(ctx context.Context, plaintext []byte, c seal.Context) (seal.Sealed, error) {
	if err := s.count(0); err != nil {
		return nil, err
	}
	return s.sealer.Seal(ctx, plaintext, c)
}

// Open decrypts what Seal sealed under the same context.
func (s *Sealer) Open(ctx context.Context, sealed seal.Sealed, c seal.Context) ([]byte, error) {
	if err := s.count(1); err != nil {
		return nil, err
	}
	return s.sealer.Open(ctx, sealed, c)
}

func (s *Sealer) count(opened int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opened += opened
	if s.broken {
		return ErrSealer
	}
	return nil
}

// FlakyTable is a table so that a test can break it.
type FlakyTable struct {
	store.Table

	mu     sync.Mutex
	broken bool
	reads  int
	writes int
}

// ErrTable is what a broken table answers.
var ErrTable = errors.New("identitytest: the table is unavailable")

// Break makes every later call fail, or ends that.
func (t *FlakyTable) Break(broken bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.broken = broken
}

// Counts are the calls so far: Get and Query, and Write.
func (t *FlakyTable) Counts() (reads, writes int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.reads, t.writes
}

func (t *FlakyTable) count(n *int) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	*n++
	if t.broken {
		return ErrTable
	}
	return nil
}

// Get reads unless the table is broken.
func (t *FlakyTable) Get(ctx context.Context, key store.Key) (store.Item, error) {
	if err := t.count(&t.reads); err != nil {
		return store.Item{}, err
	}
	return t.Table.Get(ctx, key)
}

// Query reads unless the table is broken.
func (t *FlakyTable) Query(ctx context.Context, q store.Query) (store.Page, error) {
	if err := t.count(&t.reads); err != nil {
		return store.Page{}, err
	}
	return t.Table.Query(ctx, q)
}

// Write writes unless the table is broken.
func (t *FlakyTable) Write(ctx context.Context, ops ...store.Op) error {
	if err := t.count(&t.writes); err != nil {
		return err
	}
	return t.Table.Write(ctx, ops...)
}

// Identities are those of one person: it has the roles that the test says, by group.
type Identities struct{ Roles map[string][]identity.Role }

// Grant does nothing: the test says who has roles.
func (Identities) Grant(context.Context, identity.Caller, string, []identity.Role) ([]store.Op, error) {
	return nil, nil
}

// GroupRoles are the person's roles, whoever asks.
func (i Identities) GroupRoles(context.Context, identity.Caller) (map[string][]identity.Role, error) {
	return i.Roles, nil
}

// Withdraw takes the person's roles in a group.
func (i Identities) Withdraw(_ context.Context, _, groupID string) error {
	delete(i.Roles, groupID)
	return nil
}
