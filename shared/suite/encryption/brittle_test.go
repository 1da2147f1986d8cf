package encryption_test

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"latchkey/shared/store"
)

// wire is the transport of the function: it notes hosts, and can fail.
type wire struct {
	base http.RoundTripper

	mu    sync.Mutex
	hosts map[string]int
	calls int
	// fail, if set, is asked at each call, of which n counts from 1.
	fail func(n int, r *http.Request) error
	// lose, if set, drops answers.
	lose func(n int) bool
}

var errWire = errors.New("the connection broke")

// RoundTrip sends a request.
func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	if w.hosts == nil {
		w.hosts = map[string]int{}
	}
	w.hosts[r.URL.Host]++
	w.calls++
	n, fail, lose := w.calls, w.fail, w.lose
	w.mu.Unlock()
	if fail != nil {
		if err := fail(n, r); err != nil {
			return nil, err
		}
	}
	resp, err := w.base.RoundTrip(r)
	if err == nil && lose != nil && lose(n) {
		resp.Body.Close() //nolint:errcheck // nothing was written
		return nil, errWire
	}
	return resp, err
}

// reset forgets what was called and how to fail.
func (w *wire) reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hosts, w.calls, w.fail, w.lose = nil, 0, nil, nil
}

func (w *wire) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls
}

func (w *wire) called() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Sorted(maps.Keys(w.hosts))
}

// The clouds' own domains.
var domains = []string{".amazonaws.com", ".vault.azure.net", ".microsoftonline.com", ".azure.com", ".googleapis.com"}

// seeNoStranger demands that nobody but the clouds was called.
func (w *wire) seeNoStranger(t *testing.T) {
	t.Helper()
	for _, host := range w.called() {
		if !slices.ContainsFunc(domains, func(d string) bool { return strings.HasSuffix(host, d) }) {
			t.Errorf("a request went to %s", host)
		}
	}
}

// brittleTable counts calls and can break at one of them.
type brittleTable struct {
	store.Table

	mu            sync.Mutex
	calls, writes int
	// before and after are asked around each call, of which n counts from 1. They return an
	// error or panic; after a write that way its answer is lost.
	before, after func(n int) error
}

func (b *brittleTable) around(isWrite bool, do func() error) error {
	b.mu.Lock()
	b.calls++
	if isWrite {
		b.writes++
	}
	n, before, after := b.calls, b.before, b.after
	b.mu.Unlock()
	if before != nil {
		if err := before(n); err != nil {
			return err
		}
	}
	err := do()
	if err == nil && after != nil {
		err = after(n)
	}
	return err
}

// Get reads one item.
func (b *brittleTable) Get(ctx context.Context, key store.Key) (item store.Item, err error) {
	err = b.around(false, func() error { item, err = b.Table.Get(ctx, key); return err })
	return item, err
}

// Query reads one page.
func (b *brittleTable) Query(ctx context.Context, q store.Query) (page store.Page, err error) {
	err = b.around(false, func() error { page, err = b.Table.Query(ctx, q); return err })
	return page, err
}

// Write writes.
func (b *brittleTable) Write(ctx context.Context, ops ...store.Op) error {
	return b.around(true, func() error { return b.Table.Write(ctx, ops...) })
}

func (b *brittleTable) reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls, b.writes, b.before, b.after = 0, 0, nil, nil
}

func (b *brittleTable) called() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.calls
}

func (b *brittleTable) written() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.writes
}

// safeBuffer is a bytes.Buffer for many writers.
type safeBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
