package seal_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"latchkey/shared/seal"
	"latchkey/shared/seal/fileseal"
)

// service counts the calls to a wrapper and can hold and refuse them. It keeps the slices
// that it hands out, to see that they are wiped.
type service struct {
	seal.Wrapper
	mu     sync.Mutex
	opened int
	plain  [][]byte
	fail   error
	hold   chan struct{} // if set, opening waits until it is closed
	cut    int           // bytes cut off every data key
}

func newService(t testing.TB) *service {
	t.Helper()
	w, err := fileseal.Open(filepath.Join(t.TempDir(), "seal.key"))
	if err != nil {
		t.Fatal(err)
	}
	return &service{Wrapper: w}
}

func (s *service) GenerateDataKey(ctx context.Context, c seal.Context) (plain, wrapped []byte, err error) {
	plain, wrapped, err = s.Wrapper.GenerateDataKey(ctx, c)
	s.keep(plain)
	return plain[:len(plain)-s.cut], wrapped, err
}

func (s *service) OpenDataKey(ctx context.Context, wrapped []byte, c seal.Context) ([]byte, error) {
	s.mu.Lock()
	s.opened++
	hold, fail := s.hold, s.fail
	s.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if fail != nil {
		return nil, fail
	}
	plain, err := s.Wrapper.OpenDataKey(ctx, wrapped, c)
	s.keep(plain)
	if err != nil {
		return nil, err
	}
	return plain[:len(plain)-s.cut], nil
}

func (s *service) keep(plain []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.plain = append(s.plain, plain)
}

// inMemory counts the data keys that were handed out and are not wiped.
func (s *service) inMemory() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.plain {
		if !bytes.Equal(p, make([]byte, len(p))) {
			n++
		}
	}
	return n
}

func (s *service) calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened
}

type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func newClock() *clock { return &clock{t: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)} }

var own = seal.Context{Scope: "group/650000000000000000000001", Field: "awsKms.secretAccessKey"}

func mustSeal(t testing.TB, s *seal.Sealer, plaintext string) seal.Sealed {
	t.Helper()
	sealed, err := s.Seal(t.Context(), []byte(plaintext), own)
	if err != nil {
		t.Fatalf("seal: %v", err)
	}
	return sealed
}

func mustOpen(t testing.TB, s *seal.Sealer, sealed seal.Sealed, want string) {
	t.Helper()
	got, err := s.Open(t.Context(), sealed, own)
	if err != nil || string(got) != want {
		t.Fatalf("open = %q, %v; want %q", got, err, want)
	}
}

func TestOpen_asks_the_key_service_once_in_15_minutes(t *testing.T) {
	w, c := newService(t), newClock()
	s := seal.New(w, c.now)
	sealed := mustSeal(t, s, "secret")
	for i, step := range []struct {
		wait time.Duration
		want int
	}{
		{0, 1},
		{0, 1},
		{14*time.Minute + 59*time.Second, 1},
		{time.Second, 2},
		{time.Minute, 2},
		{time.Hour, 3},
		{-time.Minute, 4}, // a clock that was set back says nothing about the age
	} {
		c.add(step.wait)
		mustOpen(t, s, sealed, "secret")
		if got := w.calls(); got != step.want {
			t.Errorf("step %d: %d calls, want %d", i, got, step.want)
		}
		if n := w.inMemory(); n != 1 {
			t.Errorf("step %d: %d plain data keys in memory, want 1", i, n)
		}
	}
}

func TestOpen_a_warm_key_does_not_open_another_context(t *testing.T) {
	w := newService(t)
	s := seal.New(w, newClock().now)
	sealed := mustSeal(t, s, "secret")
	mustOpen(t, s, sealed, "secret")
	got, err := s.Open(t.Context(), sealed, seal.Context{Scope: "group/650000000000000000000002", Field: own.Field})
	if !errors.Is(err, seal.ErrUnopenable) || got != nil {
		t.Errorf("open = %q, %v; want ErrUnopenable", got, err)
	}
	if got := w.calls(); got != 2 {
		t.Errorf("%d calls, want 2: the wrapper was not asked about the other context", got)
	}
}

// careless opens anything with the same key: it is what a broken wrapper could be.
type careless struct{}

func (careless) GenerateDataKey(context.Context, seal.Context) (plain, wrapped []byte, err error) {
	return bytes.Repeat([]byte{7}, seal.KeySize), []byte("wrapped"), nil
}

func (careless) OpenDataKey(context.Context, []byte, seal.Context) ([]byte, error) {
	return bytes.Repeat([]byte{7}, seal.KeySize), nil
}

func TestOpen_the_envelope_itself_is_bound_to_key_and_context(t *testing.T) {
	s := seal.New(careless{}, newClock().now)
	sealed := mustSeal(t, s, "secret")
	mustOpen(t, s, sealed, "secret")
	if got, err := s.Open(t.Context(), sealed, seal.Context{Scope: own.Scope, Field: "other"}); !errors.Is(err, seal.ErrUnopenable) {
		t.Errorf("open for another field = %q, %v", got, err)
	}
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		if got, err := s.Open(t.Context(), changed, own); !errors.Is(err, seal.ErrUnopenable) {
			t.Errorf("open with byte %d changed = %q, %v", i, got, err)
		}
	}
}

func TestOpen_keeps_a_bounded_number_of_keys_and_wipes_the_rest(t *testing.T) {
	w, c := newService(t), newClock()
	s := seal.New(w, c.now)
	const most, more = 1024, 1100
	first := mustSeal(t, s, "first")
	mustOpen(t, s, first, "first")
	for i := range more {
		sealed := mustSeal(t, s, strconv.Itoa(i))
		mustOpen(t, s, sealed, strconv.Itoa(i))
		if i%100 == 0 {
			mustOpen(t, s, first, "first") // used again and again, so it stays
		}
	}
	if n := w.inMemory(); n != most {
		t.Errorf("%d plain data keys in memory, want %d", n, most)
	}
	if got := w.calls(); got != more+1 {
		t.Errorf("%d calls, want %d: the key that is used most was let go", got, more+1)
	}
	c.add(time.Hour)
	mustOpen(t, s, first, "first")
	if n := w.inMemory(); n != 1 {
		t.Errorf("%d plain data keys in memory after an hour, want 1", n)
	}
}

func TestOpen_many_at_once_ask_once(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newService(t)
		s := seal.New(w, time.Now)
		sealed := mustSeal(t, s, "secret")
		w.hold = make(chan struct{})
		impatient, cancel := context.WithCancel(t.Context())
		first := make(chan error, 1)
		go func() {
			_, err := s.Open(impatient, sealed, own)
			first <- err
		}()
		synctest.Wait()
		var group sync.WaitGroup
		for range 20 {
			group.Go(func() { mustOpen(t, s, sealed, "secret") })
		}
		synctest.Wait()
		cancel() // the one that began the call gives up; the others still get the key
		if err := <-first; !errors.Is(err, seal.ErrUnavailable) || !errors.Is(err, context.Canceled) {
			t.Errorf("the one that gave up got %v", err)
		}
		close(w.hold)
		group.Wait()
		if got := w.calls(); got != 1 {
			t.Errorf("%d calls, want 1", got)
		}
	})
}

func TestOpen_a_key_service_that_hangs_is_unavailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newService(t)
		s := seal.New(w, time.Now)
		sealed := mustSeal(t, s, "secret")
		w.hold = make(chan struct{})
		if _, err := s.Open(t.Context(), sealed, own); !errors.Is(err, seal.ErrUnavailable) {
			t.Errorf("open: %v, want ErrUnavailable", err)
		}
		close(w.hold)
		mustOpen(t, s, sealed, "secret")
	})
}

func TestOpen_a_failure_is_not_remembered(t *testing.T) {
	w := newService(t)
	s := seal.New(w, newClock().now)
	sealed := mustSeal(t, s, "secret")
	for fail, want := range map[error]error{
		errors.New("throttled"):                       seal.ErrUnavailable,
		fmt.Errorf("denied: %w", seal.ErrUnavailable): seal.ErrUnavailable,
		fmt.Errorf("bad: %w", seal.ErrUnopenable):     seal.ErrUnopenable,
	} {
		w.fail = fail
		if _, err := s.Open(t.Context(), sealed, own); !errors.Is(err, want) || !errors.Is(err, fail) {
			t.Errorf("open: %v, want %v", err, want)
		}
	}
	w.fail = nil
	mustOpen(t, s, sealed, "secret")
}

func TestSealer_refuses_data_keys_of_another_size(t *testing.T) {
	w := newService(t)
	s := seal.New(w, newClock().now)
	sealed := mustSeal(t, s, "secret")
	w.cut = 16 // AES-128 would work, and must not
	if _, err := s.Seal(t.Context(), []byte("secret"), own); !errors.Is(err, seal.ErrUnavailable) {
		t.Errorf("seal: %v, want ErrUnavailable", err)
	}
	if _, err := s.Open(t.Context(), sealed, own); !errors.Is(err, seal.ErrUnopenable) {
		t.Errorf("open: %v, want ErrUnopenable", err)
	}
}

func TestSeal_leaves_no_plain_data_key_behind(t *testing.T) {
	w := newService(t)
	mustSeal(t, seal.New(w, newClock().now), "secret")
	if n := w.inMemory(); n != 0 {
		t.Errorf("%d plain data keys in memory, want none", n)
	}
}

func TestSeal_needs_a_context(t *testing.T) {
	s := seal.New(newService(t), newClock().now)
	for _, c := range []seal.Context{{}, {Scope: "system"}, {Field: "x"}} {
		if sealed, err := s.Seal(t.Context(), []byte("secret"), c); err == nil {
			t.Errorf("sealed under %+v: %d bytes", c, len(sealed))
		}
	}
}

func TestSealed_is_a_string_in_JSON(t *testing.T) {
	s := seal.New(newService(t), newClock().now)
	before := struct{ Secret seal.Sealed }{mustSeal(t, s, "secret")}
	encoded, err := json.Marshal(before)
	if err != nil {
		t.Fatal(err)
	}
	after := before
	after.Secret = nil
	if err := json.Unmarshal(encoded, &after); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, s, after.Secret, "secret")
}

// Whatever the secret and the context are, the secret comes back, is nowhere in the sealed
// bytes in any usual coding, and does not open under any other context.
func TestSeal_of_anything(t *testing.T) {
	s := seal.New(newService(t), newClock().now)
	rapid.Check(t, func(rt *rapid.T) {
		texts := rapid.StringN(1, 20, 60)
		draw := func(name string) seal.Context {
			return seal.Context{Scope: texts.Draw(rt, name+" scope"), Field: texts.Draw(rt, name+" field")}
		}
		c, other := draw("own"), draw("other")
		plaintext := rapid.SliceOfN(rapid.Byte(), 8, 500).Draw(rt, "plaintext")
		sealed, err := s.Seal(t.Context(), plaintext, c)
		if err != nil {
			rt.Fatal(err)
		}
		for _, form := range []string{string(plaintext), hex.EncodeToString(plaintext), base64.StdEncoding.EncodeToString(plaintext)} {
			if bytes.Contains(sealed, []byte(form)) {
				rt.Fatalf("the sealed bytes contain %q", form)
			}
		}
		if got, err := s.Open(t.Context(), sealed, c); err != nil || !bytes.Equal(got, plaintext) {
			rt.Fatalf("open = %q, %v", got, err)
		}
		if _, err := s.Open(t.Context(), sealed, other); other != c && !errors.Is(err, seal.ErrUnopenable) {
			rt.Fatalf("open under %+v: %v, want ErrUnopenable", other, err)
		}
	})
}

func FuzzOpen(f *testing.F) {
	w := newService(f)
	s := seal.New(w, newClock().now)
	sealed := mustSeal(f, s, "secret")
	f.Add([]byte(sealed))
	f.Add([]byte(sealed[:40]))
	f.Add([]byte{})
	f.Add([]byte{1, 0, 1, 0})
	f.Add([]byte{1, 0xff, 0xff})
	f.Add([]byte{2, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := s.Open(t.Context(), b, own)
		if bytes.Equal(b, sealed) {
			if err != nil || string(got) != "secret" {
				t.Errorf("open = %q, %v", got, err)
			}
			return
		}
		if !errors.Is(err, seal.ErrUnopenable) || errors.Is(err, seal.ErrUnavailable) || got != nil {
			t.Errorf("open of arbitrary bytes = %q, %v; want ErrUnopenable", got, err)
		}
	})
}
