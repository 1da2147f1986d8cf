package gcpkms_test

import (
	"testing"
	"time"

	"latchkey/local/pocket"
	"latchkey/shared/kms"
	"latchkey/shared/kms/kmstest"
	"latchkey/shared/verdict"
)

func TestConformanceWithATenantsServiceAccountKey(t *testing.T) {
	kmstest.Run(t, func(t *testing.T) *kmstest.Harness {
		w := newWorld(t)
		h := w.harness(t, w.asTenant)
		h.Breaks[kmstest.BadCredentials] = kmstest.Breaking{
			Do: func(t testing.TB) *kms.Key {
				w.admin(t, "POST", iamURL+"projects/-/serviceAccounts/"+w.account+":disable", "")
				return w.asTenant(t)(t, versionOne)
			},
			Undo: func(t testing.TB) {
				w.admin(t, "POST", iamURL+"projects/-/serviceAccounts/"+w.account+":enable", "")
			},
			Reason: verdict.CredentialsInvalid,
		}
		h.Without[kmstest.WrongExternalID] = "a service account key trusts nobody else"
		h.Without[kmstest.OwnCredentials] = "a tenant's account is used, no identity of Latchkey's"
		return h
	})
}

func TestConformanceAsLatchkeysServiceAccount(t *testing.T) {
	kmstest.Run(t, func(t *testing.T) *kmstest.Harness {
		w := newWorld(t)
		h := w.harness(t, w.asOurs)
		h.Breaks[kmstest.WrongExternalID] = kmstest.Breaking{ // our identity may no longer act as the account
			Do: func(t testing.TB) *kms.Key {
				w.grantOperator(t, "roles/iam.serviceAccountAdmin")
				return w.asOurs(t)(t, versionOne)
			},
			Undo:   func(t testing.TB) { w.grantOperator(t) },
			Reason: verdict.OurCredentials,
		}
		h.Breaks[kmstest.BadCredentials] = kmstest.Breaking{ // the account is gone: it was ours
			Do: func(t testing.TB) *kms.Key {
				w.admin(t, "DELETE", iamURL+"projects/-/serviceAccounts/"+w.ours, "")
				return w.asOurs(t)(t, versionOne)
			},
			Reason: verdict.OurCredentials,
		}
		h.Breaks[kmstest.OwnCredentials] = kmstest.Breaking{
			Do: func(t testing.TB) *kms.Key {
				w.admin(t, "POST", iamURL+"projects/-/serviceAccounts/"+w.ownAccount+":disable", "")
				return w.asOurs(t)(t, versionOne)
			},
			Undo: func(t testing.TB) {
				w.admin(t, "POST", iamURL+"projects/-/serviceAccounts/"+w.ownAccount+":enable", "")
			},
			Reason: verdict.OurCredentials,
		}
		return h
	})
}

// harness has the breaks that are the same for both kinds of credential.
func (w *world) harness(t *testing.T, kind func(testing.TB) opener) *kmstest.Harness {
	t.Helper()
	openKey := kind(t)
	state := func(s string) func(testing.TB) { return func(t testing.TB) { w.state(t, s) } }
	post := func(verb string) func(testing.TB) {
		return func(t testing.TB) { w.admin(t, "POST", kmsURL+versionOne+":"+verb, "") }
	}
	return &kmstest.Harness{
		Key: openKey(t, versionOne), Other: openKey(t, ring+"/cryptoKeys/other/cryptoKeyVersions/1"), Deletes: 30 * 24 * time.Hour,
		Breaks: map[kmstest.Break]kmstest.Breaking{
			kmstest.Disable: {Do: do(state("DISABLED")), Undo: state("ENABLED"), Reason: verdict.KeyDisabled},
			kmstest.ScheduleDeletion: {
				Do: do(post("destroy")),
				Undo: func(t testing.TB) {
					post("restore")(t)
					state("ENABLED")(t)
				},
				Reason: verdict.KeyPendingDeletion,
			},
			kmstest.Delete: {
				Do: do(func(t testing.TB) {
					post("destroy")(t)
					w.offset.Add(int64(31 * 24 * time.Hour))
				}),
				Reason: verdict.KeyDeleted,
			},
			kmstest.Deny: {
				Do: do(func(t testing.TB) { w.grant(t) }), Undo: func(t testing.TB) { w.grant(t, user, viewer) },
				Reason: verdict.AccessDenied,
			},
			kmstest.Firewall:    w.fault(kmsHost, pocket.Firewall, verdict.NetworkRefused),
			kmstest.Throttle:    w.fault(kmsHost, pocket.Throttle, verdict.RateLimited),
			kmstest.Outage:      w.fault("*", pocket.Down, verdict.ConnectFailed),
			kmstest.ServerError: w.fault(kmsHost, pocket.ServerError, verdict.ProviderError),
			// One global address serves all locations: an outage of one is its errors.
			kmstest.RegionOutage: w.fault(kmsHost, pocket.ServerError, verdict.ProviderError),
			kmstest.Timeout: {
				Do: do(func(testing.TB) { w.hurried.Store(true) }), Undo: func(testing.TB) { w.hurried.Store(false) },
				Reason: verdict.TimedOut,
			},
			kmstest.UnknownKey: {
				Do:     func(t testing.TB) *kms.Key { return openKey(t, ring+"/cryptoKeys/none/cryptoKeyVersions/1") },
				Reason: verdict.KeyNotFound,
			},
		},
		Without: map[kmstest.Break]string{
			kmstest.ExpiredSecret: "a key of a service account that has expired is refused like one that was deleted",
			kmstest.ExpiredKey:    "versions of Cloud KMS keys do not expire",
			kmstest.NotYetActive:  "versions of Cloud KMS keys have no activation time",
		},
	}
}

func (w *world) fault(host string, kind pocket.FaultKind, want verdict.Reason) kmstest.Breaking {
	return kmstest.Breaking{
		Do:     do(func(testing.TB) { w.faults.Set(pocket.Fault{Host: host, Kind: kind}) }),
		Undo:   func(testing.TB) { w.faults.Clear() },
		Reason: want,
	}
}

func do(f func(testing.TB)) func(testing.TB) *kms.Key {
	return func(t testing.TB) *kms.Key {
		f(t)
		return nil
	}
}
