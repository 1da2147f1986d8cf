package kms_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"latchkey/shared/kms"
	"latchkey/shared/kms/driver"
	"latchkey/shared/kms/kmstest"
	"latchkey/shared/verdict"
)

func TestMemoryKeyPassesTheConformanceSuite(t *testing.T) {
	kmstest.Run(t, func(*testing.T) *kmstest.Harness {
		m := kmstest.NewMemory()
		m.Date(kms.Dates{Created: time.Now()})
		h := &kmstest.Harness{
			Key: m.Key("k"), Other: kmstest.NewMemory().Key("other"), Breaks: map[kmstest.Break]kmstest.Breaking{},
		}
		reasons := map[kmstest.Break]verdict.Reason{
			kmstest.Disable: verdict.KeyDisabled, kmstest.ScheduleDeletion: verdict.KeyPendingDeletion,
			kmstest.Delete: verdict.KeyDeleted, kmstest.Deny: verdict.AccessDenied,
			kmstest.WrongExternalID: verdict.RoleDenied, kmstest.BadCredentials: verdict.CredentialsInvalid,
			kmstest.ExpiredSecret: verdict.CredentialsExpired, kmstest.ExpiredKey: verdict.KeyExpired,
			kmstest.NotYetActive: verdict.KeyNotActive, kmstest.Firewall: verdict.NetworkRefused,
			kmstest.Throttle: verdict.RateLimited, kmstest.Timeout: verdict.TimedOut, kmstest.Outage: verdict.ConnectFailed,
			kmstest.ServerError: verdict.ProviderError, kmstest.RegionOutage: verdict.ConnectFailed,
			kmstest.OwnCredentials: verdict.OurCredentials, kmstest.UnknownKey: verdict.KeyNotFound,
		}
		for b, r := range reasons {
			h.Breaks[b] = kmstest.Breaking{
				Do:     func(testing.TB) *kms.Key { m.Break(r); return nil },
				Undo:   func(testing.TB) { m.Break(verdict.OK) },
				Reason: r,
			}
		}
		expired := h.Breaks[kmstest.ExpiredKey]
		expired.Reason, expired.Describe = verdict.OK, verdict.KeyExpired
		h.Breaks[kmstest.ExpiredKey] = expired
		return h
	})
}

// unbound is a driver that can't authenticate a binding, as RSA can't.
type unbound struct{ *kmstest.Memory }

func (unbound) Capabilities() driver.Capabilities { return driver.Capabilities{} }

func (u unbound) Encrypt(ctx context.Context, p []byte, _ driver.Binding) (driver.Sealed, error) {
	return u.Memory.Encrypt(ctx, p, driver.Binding{})
}

func (u unbound) Decrypt(ctx context.Context, s driver.Sealed, _ driver.Binding) ([]byte, error) {
	return u.Memory.Decrypt(ctx, s, driver.Binding{})
}

func TestKeyBindsWhereTheProviderCanNot(t *testing.T) {
	key := kms.NewKey("k", unbound{kmstest.NewMemory()})
	mine := kms.Binding{GroupID: "g1", Use: "probe"}
	sealed, err := key.Encrypt(t.Context(), []byte("secret"), mine)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := key.Decrypt(t.Context(), sealed, mine); err != nil || string(got) != "secret" {
		t.Errorf("decrypt = %q, %v", got, err)
	}
	for _, other := range []kms.Binding{{GroupID: "g2", Use: "probe"}, {GroupID: "g1", Use: "other"}, {GroupID: "g1pro", Use: "be"}} {
		if got, err := key.Decrypt(t.Context(), sealed, other); err == nil {
			t.Errorf("decrypted under %+v: %q", other, got)
		}
	}
}

func TestAnotherWayOpensWhatTheCustomerRefuses(t *testing.T) {
	ctx := t.Context()
	memory := kmstest.NewMemory()
	binding := kms.Binding{GroupID: "g", Use: "u"}
	sealed, err := memory.Key("k").Encrypt(ctx, []byte("secret"), binding)
	if err != nil {
		t.Fatal(err)
	}
	for reason, opens := range map[verdict.Reason]bool{
		verdict.OK: true, verdict.AccessDenied: true, verdict.RoleDenied: true,
		verdict.ConnectFailed: false, verdict.RateLimited: false, verdict.Internal: false,
	} {
		refused := refusing{Memory: memory, reason: reason}
		opened, err := kms.NewKey("k", refused).Or(memory.Key("k")).Decrypt(ctx, sealed, binding)
		if (err == nil) != opens || opens && string(opened) != "secret" {
			t.Errorf("%s: %q, %v", reason, opened, err)
		}
	}
	refused := kms.NewKey("k", refusing{Memory: memory, reason: verdict.AccessDenied})
	memory.Break(verdict.KeyDisabled)
	_, err = refused.Or(memory.Key("k")).Decrypt(ctx, sealed, binding)
	if f, ok := errors.AsType[*verdict.Failure](err); !ok || f.Reason != verdict.AccessDenied {
		t.Errorf("where neither opens: %v", err)
	}
}

// refusing is a key that decrypts nothing, for a reason.
type refusing struct {
	*kmstest.Memory

	reason verdict.Reason
}

func (r refusing) Decrypt(ctx context.Context, s driver.Sealed, b driver.Binding) ([]byte, error) {
	if r.reason == verdict.OK {
		return r.Memory.Decrypt(ctx, s, b)
	}
	return nil, &verdict.Failure{Reason: r.reason}
}
