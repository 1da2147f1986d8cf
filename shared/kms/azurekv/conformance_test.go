package azurekv_test

import (
	"fmt"
	"testing"
	"time"

	"latchkey/local/pocket"
	"latchkey/shared/kms"
	"latchkey/shared/kms/azurekv"
	"latchkey/shared/kms/kmstest"
	"latchkey/shared/verdict"
)

const keyURL = vaultURL + "/keys/atlas"

func TestConformanceWithATenantsSecret(t *testing.T) {
	kmstest.Run(t, func(t *testing.T) *kmstest.Harness {
		w := newWorld(t)
		fresh := func(t testing.TB) *azurekv.Credential { return w.asCustomer(t, w.secret) }
		h := w.harness(t, fresh)
		h.Breaks[kmstest.WrongExternalID] = kmstest.Breaking{ // the application left the tenant
			Do: func(t testing.TB) *kms.Key {
				w.delete(t, graph+"/applications/"+w.appObject)
				return open(t, fresh(t), "atlas")
			},
			Reason: verdict.CredentialsInvalid,
		}
		h.Breaks[kmstest.BadCredentials] = kmstest.Breaking{
			Do:     func(t testing.TB) *kms.Key { return open(t, w.asCustomer(t, "wrong"), "atlas") },
			Reason: verdict.CredentialsInvalid,
		}
		h.Breaks[kmstest.ExpiredSecret] = kmstest.Breaking{
			Do: func(t testing.TB) *kms.Key {
				return open(t, w.asCustomer(t, w.addSecret(t, w.appObject, "2021-01-01T00:00:00Z")), "atlas")
			},
			Reason: verdict.CredentialsExpired,
		}
		h.Without = map[kmstest.Break]string{
			kmstest.OwnCredentials: "a tenant's application is used, none of Latchkey's credentials",
		}
		return h
	})
}

func TestConformanceAsLatchkeysApplication(t *testing.T) {
	kmstest.Run(t, func(t *testing.T) *kmstest.Harness {
		w := newWorld(t)
		fresh := func(t testing.TB) *azurekv.Credential { return w.asLatchkey(t, latchkeySecret) }
		h := w.harness(t, fresh)
		principal := graph + "/servicePrincipals/" + w.ourPrincipal
		h.Breaks[kmstest.WrongExternalID] = kmstest.Breaking{ // the tenant removed our service principal
			Do: func(t testing.TB) *kms.Key {
				w.delete(t, principal)
				return open(t, fresh(t), "atlas")
			},
			Reason: verdict.RoleDenied,
		}
		h.Breaks[kmstest.BadCredentials] = kmstest.Breaking{ // the tenant disabled our service principal
			Do: func(t testing.TB) *kms.Key {
				w.patch(t, principal, `{"accountEnabled":false}`)
				return open(t, fresh(t), "atlas")
			},
			Undo:   func(t testing.TB) { w.patch(t, principal, `{"accountEnabled":true}`) },
			Reason: verdict.RoleDenied,
		}
		h.Breaks[kmstest.OwnCredentials] = kmstest.Breaking{
			Do:     func(t testing.TB) *kms.Key { return open(t, w.asLatchkey(t, "wrong"), "atlas") },
			Reason: verdict.OurCredentials,
		}
		h.Without = map[kmstest.Break]string{
			kmstest.ExpiredSecret: "the secret is Latchkey's own: see own credentials",
		}
		return h
	})
}

// harness has the breaks that are the same for both kinds of credential.
func (w *world) harness(t *testing.T, fresh func(testing.TB) *azurekv.Credential) *kmstest.Harness {
	c := fresh(t)
	attributes := func(format string, args ...any) func(testing.TB) {
		return func(t testing.TB) { w.patch(t, keyURL, `{"attributes":{`+fmt.Sprintf(format, args...)+`}}`) }
	}
	acls := func(action string) func(testing.TB) {
		return func(t testing.TB) {
			w.patch(t, vaultPath, `{"properties":{"networkAcls":{"defaultAction":"`+action+`","ipRules":[{"value":"203.0.113.0/24"}]}}}`)
		}
	}
	now := time.Now().Unix()
	return &kmstest.Harness{
		Key: open(t, c, "atlas"), Other: open(t, c, "other"),
		Rotate: func(t testing.TB) { w.post(t, keyURL+"/rotate", "") },
		Breaks: map[kmstest.Break]kmstest.Breaking{
			kmstest.Disable: {Do: do(attributes(`"enabled":false`)), Undo: attributes(`"enabled":true`), Reason: verdict.KeyDisabled},
			kmstest.ScheduleDeletion: { // a deleted key can be recovered until its retention ends
				Do:     do(func(t testing.TB) { w.delete(t, keyURL) }),
				Undo:   func(t testing.TB) { w.post(t, vaultURL+"/deletedkeys/atlas/recover", "") },
				Reason: verdict.KeyNotFound,
			},
			kmstest.Delete: {
				Do: do(func(t testing.TB) {
					w.delete(t, keyURL)
					w.delete(t, vaultURL+"/deletedkeys/atlas")
				}),
				Reason: verdict.KeyNotFound,
			},
			kmstest.Deny: {Do: do(func(t testing.TB) { w.policies(t, "remove") }), Undo: w.grant, Reason: verdict.AccessDenied},
			// Azure goes on decrypting outside a key's validity: only Describe notices.
			kmstest.ExpiredKey: {
				Do: do(attributes(`"exp":%d`, now-10)), Undo: attributes(`"exp":%d`, now+3600),
				Reason: verdict.OK, Describe: verdict.KeyExpired,
			},
			kmstest.NotYetActive: {
				Do: do(attributes(`"nbf":%d`, now+3600)), Undo: attributes(`"nbf":%d`, now-10),
				Reason: verdict.OK, Describe: verdict.KeyNotActive,
			},
			kmstest.Firewall:    {Do: do(acls("Deny")), Undo: acls("Allow"), Reason: verdict.NetworkRefused},
			kmstest.Throttle:    w.fault("kv-kms.vault.azure.net", pocket.Throttle, verdict.RateLimited),
			kmstest.Outage:      w.fault("kv-kms.vault.azure.net", pocket.Down, verdict.ConnectFailed),
			kmstest.ServerError: w.fault("kv-kms.vault.azure.net", pocket.ServerError, verdict.ProviderError),
			// An outage of a region takes the vault's data plane away; Entra ID is global.
			kmstest.RegionOutage: w.fault("*.vault.azure.net", pocket.Down, verdict.ConnectFailed),
			kmstest.Timeout: {
				Do: func(testing.TB) *kms.Key {
					w.faults.Set(pocket.Fault{Host: "*", Kind: pocket.Timeout})
					w.hurried.Store(true)
					return nil
				},
				Undo:   func(testing.TB) { w.faults.Clear(); w.hurried.Store(false) },
				Reason: verdict.TimedOut,
			},
			kmstest.UnknownKey: {
				Do: func(t testing.TB) *kms.Key { return open(t, c, "no-such-key") }, Reason: verdict.KeyNotFound,
			},
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

func do(fn func(testing.TB)) func(testing.TB) *kms.Key {
	return func(t testing.TB) *kms.Key {
		fn(t)
		return nil
	}
}
