package kmstest

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"latchkey/shared/kms"
	"latchkey/shared/kms/driver"
	"latchkey/shared/verdict"
)

// Memory is a key that lives in the test: it really encrypts, can be broken with any reason,
// and counts its calls. It stands in for a cloud where a test is about what is done with a
// verdict, not about how one is reached.
type Memory struct {
	mu      sync.Mutex
	aead    cipher.AEAD
	broken  verdict.Reason
	expires time.Time
	dates   driver.Dates
	calls   map[string]int
	hook    func(op string)
}

// NewMemory returns a working key.
func NewMemory() *Memory {
	secret := make([]byte, 32)
	rand.Read(secret) // never fails since Go 1.24
	block, err := aes.NewCipher(secret)
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return &Memory{aead: aead, broken: verdict.OK, calls: map[string]int{}}
}

// Key is the memory key as a *kms.Key.
func (m *Memory) Key(name string) *kms.Key { return kms.NewKey(name, m) }

// Break makes every call fail with the reason; verdict.OK mends the key.
func (m *Memory) Break(r verdict.Reason) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.broken = r
}

// ExpireAt gives the key an expiry date, which its description shows. As with Azure, it
// goes on decrypting afterwards; break it to make the description fail.
func (m *Memory) ExpireAt(t time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expires = t
}

// Date sets what the key tells of its age and end. That it expires is told by ExpireAt.
func (m *Memory) Date(d driver.Dates) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dates = d
}

// Dates implements driver.Dated. As with the clouds, a key tells its dates while it can't be used, but
// not to credentials that it refuses.
func (m *Memory) Dates(ctx context.Context) (driver.Dates, error) {
	err := m.enter(ctx, "Dates")
	if b, ok := errors.AsType[errBroken](err); ok && b.reason.Class() == verdict.Invalid {
		err = nil
		if b.reason == verdict.AccessDenied || b.reason == verdict.RoleDenied {
			return driver.Dates{}, nil
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.dates
	if d.Expires.IsZero() {
		d.Expires = m.expires
	}
	return d, err
}

// OnCall runs fn at the beginning of each call, outside the key's lock.
func (m *Memory) OnCall(fn func(op string)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hook = fn
}

// Calls is how often an operation ("Encrypt", "Decrypt", "Describe", "Dates") was called.
func (m *Memory) Calls(op string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls[op]
}

// errBroken carries the reason to Classify, as an SDK's error carries its code.
type errBroken struct{ reason verdict.Reason }

func (e errBroken) Error() string { return "broken: " + string(e.reason) }

func (m *Memory) enter(ctx context.Context, op string) error {
	m.mu.Lock()
	m.calls[op]++
	hook := m.hook
	m.mu.Unlock()
	if hook != nil {
		hook(op)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if m.broken != verdict.OK && (op == "Describe" || m.broken != verdict.KeyExpired) {
		return errBroken{m.broken}
	}
	return nil
}

// Encrypt implements driver.Key.
func (m *Memory) Encrypt(ctx context.Context, plaintext []byte, b driver.Binding) (driver.Sealed, error) {
	if err := m.enter(ctx, "Encrypt"); err != nil {
		return driver.Sealed{}, err
	}
	return driver.Sealed{Blob: m.aead.Seal(nil, nil, plaintext, aad(b)), Version: "1"}, nil //nolint:gosec // G407: this cipher makes its own nonce and wants none
}

// Decrypt implements driver.Key.
func (m *Memory) Decrypt(ctx context.Context, s driver.Sealed, b driver.Binding) ([]byte, error) {
	if err := m.enter(ctx, "Decrypt"); err != nil {
		return nil, err
	}
	plaintext, err := m.aead.Open(nil, nil, s.Blob, aad(b))
	if err != nil {
		return nil, errBroken{verdict.KeyMismatch}
	}
	return plaintext, nil
}

// Describe implements driver.Key.
func (m *Memory) Describe(ctx context.Context) (driver.Description, error) {
	if err := m.enter(ctx, "Describe"); err != nil {
		return driver.Description{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return driver.Description{Version: "1", Expires: m.expires}, nil
}

// Classify implements driver.Key.
func (m *Memory) Classify(err error) *verdict.Failure {
	if b, ok := errors.AsType[errBroken](err); ok {
		return &verdict.Failure{Reason: b.reason, ProviderCode: "Broken", RequestID: "memory", Err: err}
	}
	return &verdict.Failure{Reason: verdict.Internal, Err: err}
}

// Capabilities implements driver.Key.
func (m *Memory) Capabilities() driver.Capabilities { return driver.Capabilities{BindsContext: true} }

func aad(b driver.Binding) []byte { return fmt.Appendf(nil, "%q/%q", b.GroupID, b.Use) }
