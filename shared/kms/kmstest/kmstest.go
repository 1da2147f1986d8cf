// Package kmstest is the conformance suite of kms drivers: one suite that every provider's
// driver passes over a real SDK client and a cloud that can be broken in every way that
// matters. It is imported by tests only.
package kmstest

import (
	"bytes"
	"context"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/shared/kms"
	"latchkey/shared/verdict"
)

// Harness is one fresh key in one fresh cloud. Making one per subtest keeps them independent.
type Harness struct {
	// Key reaches the key with valid credentials. Successive calls may share cached credentials.
	Key *kms.Key
	// Other is a second key of the same tenant, reached the same way.
	Other *kms.Key
	// Breaks maps a break to how to cause it and what the driver must conclude. A harness
	// must list every break in Required, or say in Without why the provider has no such thing.
	Breaks map[Break]Breaking
	// Without gives the reason for each break that can't happen with this provider.
	Without map[Break]string
	// Rotate makes the provider encrypt with a new version of the same key, while what the old
	// version encrypted can still be decrypted. nil if the configured name pins a version.
	Rotate func(t testing.TB)
	// Deletes is how long a key lives on after the break ScheduleDeletion; zero if the provider does not
	// tell when it goes.
	Deletes time.Duration
	// OtherClock is whether the cloud's clock is another than the test's, so that no dates are compared.
	OtherClock bool
}

// Breaking is one way to break a key.
type Breaking struct {
	// Do breaks it. It may return a key to use instead of Harness.Key, for breaks that lie in
	// the credentials or the name rather than in the cloud; nil keeps the key.
	Do func(t testing.TB) *kms.Key
	// Undo restores it; nil if it can't be undone.
	Undo func(t testing.TB)
	// Reason is what the decrypt of a probe must fail with.
	Reason verdict.Reason
	// Describe is what Describe must fail with, if that differs from Reason; OK if Describe
	// still succeeds.
	Describe verdict.Reason
}

// Break names a way to break a key.
type Break string

// The breaks that every harness must know (issue of record: DESIGN section 5).
const (
	Disable          Break = "disable"
	ScheduleDeletion Break = "schedule deletion"
	Delete           Break = "delete"
	Deny             Break = "deny"
	WrongExternalID  Break = "wrong external id" // or another broken trust between role and us
	BadCredentials   Break = "bad credentials"
	ExpiredSecret    Break = "expired secret"
	ExpiredKey       Break = "expired key"
	NotYetActive     Break = "not yet active"
	Firewall         Break = "firewall"
	Throttle         Break = "throttle"
	Timeout          Break = "time-out"
	Outage           Break = "outage" // connection refused
	ServerError      Break = "server error"
	RegionOutage     Break = "region outage"
	OwnCredentials   Break = "own credentials" // Latchkey's own identity is refused
	UnknownKey       Break = "unknown key"
)

// Required lists every break a harness must have or explain away.
var Required = []Break{
	Disable, ScheduleDeletion, Delete, Deny, WrongExternalID, BadCredentials, ExpiredSecret, ExpiredKey, NotYetActive,
	Firewall, Throttle, Timeout, Outage, ServerError, RegionOutage, OwnCredentials, UnknownKey,
}

// callTimeout bounds one call in the suite, as the callers of drivers do.
const callTimeout = 10 * time.Second

// Run runs the suite. open makes a fresh harness. Each test has a bubble of testing/synctest to
// itself, so that the back-off of the clouds' SDKs takes no time; a harness must therefore reach
// its cloud within the process.
func Run(t *testing.T, open func(t *testing.T) *Harness) {
	run := func(name string, test func(*testing.T, *Harness)) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, open(t)) })
		})
	}
	run("round trip", testRoundTrip)
	run("binding", testBinding)
	run("other key", testOtherKey)
	run("tampered", testTampered)
	run("probe", testProbe)
	run("rotation", testRotation)
	run("cancelled", testCancelled)
	run("dates", testDates)
	run("date of deletion", testDateOfDeletion)
	run("dates of a key that can't be asked", testUntoldDates)
	for _, b := range Required {
		run("break/"+string(b), func(t *testing.T, h *Harness) { testBreak(t, h, b) })
	}
}

// RunElsewhere runs what of the suite can be run over the network, in real time: against a provider itself or an
// emulator of one. Of the breaks it runs those that the harness has.
func RunElsewhere(t *testing.T, open func(t *testing.T) *Harness) {
	for name, test := range map[string]func(*testing.T, *Harness){
		"round trip": testRoundTrip, "binding": testBinding, "other key": testOtherKey, "tampered": testTampered, "probe": testProbe,
		"rotation": testRotation, "cancelled": testCancelled,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
	for b := range open(t).Breaks {
		t.Run("break/"+string(b), func(t *testing.T) { testBreak(t, open(t), b) })
	}
}

var binding = kms.Binding{GroupID: "650000000000000000000001", Use: "test"}

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), callTimeout)
	t.Cleanup(cancel)
	return ctx
}

func mustEncrypt(t testing.TB, k *kms.Key, plaintext []byte) kms.Sealed {
	t.Helper()
	s, err := k.Encrypt(within(t), plaintext, binding)
	if err != nil {
		t.Fatalf("encrypt: %v", err)
	}
	return s
}

func testRoundTrip(t *testing.T, h *Harness) {
	for _, n := range []int{1, 32, kms.MaxPlaintext} {
		plaintext := bytes.Repeat([]byte{0x5a}, n)
		s := mustEncrypt(t, h.Key, plaintext)
		if bytes.Contains(s.Blob, plaintext) && n > 1 {
			t.Errorf("the ciphertext of %d bytes contains the plaintext", n)
		}
		if s.Version == "" {
			t.Error("the ciphertext does not say which key version made it")
		}
		got, err := h.Key.Decrypt(within(t), s, binding)
		if err != nil || !bytes.Equal(got, plaintext) {
			t.Errorf("decrypt of %d bytes = %x, %v", n, got, err)
		}
	}
	if _, err := h.Key.Encrypt(within(t), make([]byte, kms.MaxPlaintext+1), binding); err == nil {
		t.Error("a plaintext that is too long was encrypted")
	}
	d, err := h.Key.Describe(within(t))
	if err != nil || d.Version == "" {
		t.Errorf("describe = %+v, %v", d, err)
	}
}

func testBinding(t *testing.T, h *Harness) {
	s := mustEncrypt(t, h.Key, []byte("secret"))
	for _, b := range []kms.Binding{
		{GroupID: "650000000000000000000002", Use: binding.Use}, {GroupID: binding.GroupID, Use: "other"}, {},
	} {
		if got, err := h.Key.Decrypt(within(t), s, b); err == nil {
			t.Errorf("decrypted under the binding %+v: %q", b, got)
		}
	}
}

func testOtherKey(t *testing.T, h *Harness) {
	s := mustEncrypt(t, h.Key, []byte("secret"))
	if got, err := h.Other.Decrypt(within(t), s, binding); err == nil {
		t.Errorf("another key decrypted it: %q", got)
	}
}

func testTampered(t *testing.T, h *Harness) {
	s := mustEncrypt(t, h.Key, []byte("secret"))
	s.Blob = bytes.Clone(s.Blob)
	s.Blob[len(s.Blob)-1] ^= 1
	_, err := h.Key.Decrypt(within(t), s, binding)
	if got := reasonOf(err); got != verdict.KeyMismatch {
		t.Errorf("decrypting a tampered ciphertext gives %s (%v), want KEY_MISMATCH", got, err)
	}
}

func testProbe(t *testing.T, h *Harness) {
	p, d, err := h.Key.NewProbe(within(t), binding.GroupID)
	if err != nil {
		t.Fatalf("new probe: %v", err)
	}
	if d.Version == "" {
		t.Error("the description names no version")
	}
	if err := h.Key.CheckProbe(within(t), binding.GroupID, p); err != nil {
		t.Errorf("check probe: %v", err)
	}
	if err := h.Key.CheckProbe(within(t), "650000000000000000000002", p); err == nil {
		t.Error("the probe of one group passed for another")
	}
}

func testRotation(t *testing.T, h *Harness) {
	if h.Rotate == nil {
		t.Log("the configured name pins a version: nothing rotates under it")
		return
	}
	before := mustEncrypt(t, h.Key, []byte("old"))
	old, err := h.Key.Describe(within(t))
	if err != nil {
		t.Fatal(err)
	}
	h.Rotate(t)
	fresh, err := h.Key.Describe(within(t))
	if err != nil || fresh.Version == old.Version {
		t.Errorf("after rotation describe = %+v, %v; want a version other than %q", fresh, err, old.Version)
	}
	if got, err := h.Key.Decrypt(within(t), before, binding); err != nil || string(got) != "old" {
		t.Errorf("what the old version encrypted decrypts to %q, %v", got, err)
	}
	after := mustEncrypt(t, h.Key, []byte("new"))
	if got, err := h.Key.Decrypt(within(t), after, binding); err != nil || string(got) != "new" {
		t.Errorf("what the new version encrypted decrypts to %q, %v", got, err)
	}
}

func testCancelled(t *testing.T, h *Harness) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := h.Key.Encrypt(ctx, []byte("x"), binding)
	if got := reasonOf(err); got != verdict.Cancelled {
		t.Errorf("a cancelled call gives %s (%v), want CANCELLED", got, err)
	}
}

func testBreak(t *testing.T, h *Harness, name Break) {
	if why, ok := h.Without[name]; ok {
		t.Log("not possible here: " + why)
		return
	}
	br, ok := h.Breaks[name]
	if !ok {
		t.Fatalf("the harness neither has the break %q nor says why not", name)
	}
	p, _, err := h.Key.NewProbe(within(t), binding.GroupID)
	if err != nil {
		t.Fatalf("probe before the break: %v", err)
	}
	key := h.Key
	if broken := br.Do(t); broken != nil {
		key = broken
	}
	checkReason(t, "decrypt", key.CheckProbe(within(t), binding.GroupID, p), br.Reason)
	describe := br.Describe
	if describe == "" {
		describe = br.Reason
	}
	_, err = key.Describe(within(t))
	checkReason(t, "describe", err, describe)
	if br.Undo != nil {
		br.Undo(t)
		if err := key.CheckProbe(within(t), binding.GroupID, p); err != nil {
			t.Errorf("after the break was undone: %v", err)
		}
	}
}

func checkReason(t *testing.T, what string, err error, want verdict.Reason) {
	t.Helper()
	if got := reasonOf(err); got != want {
		t.Errorf("%s gives %s (%v), want %s", what, got, err, want)
	}
}
