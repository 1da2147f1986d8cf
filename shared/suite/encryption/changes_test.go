package encryption_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/local/pocket"
	"latchkey/local/pocket/pockettest"
	"latchkey/shared/atlas"
)

// refusedChange is a change of a key in use that must be refused at once, before a workflow begins.
type refusedChange struct {
	code atlas.Code
	// to makes the situation and returns what is sent.
	to func(w *world) members
	// during is sent before and begins a switch to a role.
	during bool
}

// changed is a configuration that is to be changed: the key in use, and how the tenant reaches it by a role.
type changed struct {
	block    string
	static   func(w *world) (m, byRole members)
	refusals map[string]refusedChange
	// good are changes that must be accepted, by the workflow that finishes them.
	good map[string]func(w *world) members
}

func changesAtAzure() changed {
	another := func(attributes string) func(w *world) members {
		return func(w *world) members { return members{"keyIdentifier": w.moreAzureKey("another", attributes)} }
	}
	const nobody = "6f1b0000-0000-4000-8000-00000000dead"
	secondVault := func(w *world) string {
		arm, url := strings.Replace(vaultARM, "kv-kms", "kv-two", 1), strings.Replace(vaultURL, "kv-kms", "kv-two", 1)
		w.Admin(http.MethodPut, arm, `{"location":"eastus2","properties":{"tenantId":"`+pockettest.TenantDirectory+`","accessPolicies":[]}}`)
		made := w.Admin(http.MethodPost, url+"/keys/atlas/create", `{"kty":"RSA","key_size":2048}`)
		return made["key"].(map[string]any)["kid"].(string)
	}
	return changed{
		block: "azureKeyVault",
		static: func(w *world) (m, byRole members) {
			key := w.azureKey("")
			m, app := w.byAzureSecret(key)
			w.azureReader(app.principal) // so that it is seen where the vault is
			byRole, _ = w.byAzureRole(key)
			return m, members{"roleId": byRole["roleId"]}
		},
		refusals: map[string]refusedChange{
			"another key that is disabled":     {code: atlas.AzureKeyNotEnabled, to: another(`"enabled":false`)},
			"another key that expires in time": {code: atlas.AzureKeyExpiring, to: func(w *world) members { return another(at("exp", 47*time.Hour)())(w) }},
			"another key that is expired":      {code: atlas.AzureKeyExpired, to: func(w *world) members { return another(at("exp", -time.Hour)())(w) }},
			"another key that is not there":    {code: atlas.AzureKeyNotFound, to: func(*world) members { return members{"keyIdentifier": vaultURL + "/keys/none"} }},
			"another version that is not there": {code: atlas.AzureKeyNotFound, to: func(*world) members {
				return members{"keyIdentifier": vaultURL + "/keys/atlas/00000000000000000000000000000000"}
			}},
			"another vault that is not named":    {code: atlas.AzureKeyIdentifierInvalid, to: func(w *world) members { return members{"keyIdentifier": secondVault(w)} }},
			"another vault that admits nobody":   {code: atlas.NoPermission, to: func(w *world) members { return members{"keyIdentifier": secondVault(w), "keyVaultName": "kv-two"} }},
			"another resource group":             {code: atlas.InvalidAzureAPIRequest, to: func(*world) members { return members{"resourceGroupName": "rg-other"} }},
			"another secret that is wrong":       {code: atlas.InvalidAzureCredentials, to: func(*world) members { return members{"secret": "wrong"} }},
			"another application without secret": {code: atlas.MissingAttribute, to: func(*world) members { return members{"clientID": nobody} }},
			"a role that is not there":           {code: atlas.RoleNotFound, to: func(*world) members { return members{"roleId": "650000000000000000000099"} }},
			"the present key is disabled": {code: atlas.EARSettingsInvalid, to: func(w *world) members {
				m := another("")(w)
				w.azureAttributes(`"enabled":false`)
				return m
			}},
			"the vault cannot be reached": {code: atlas.KMSUnreachable, to: func(w *world) members {
				m := another("")(w)
				w.Faults.Set(pocket.Fault{Host: "kv-kms.vault.azure.net", Kind: pocket.Down})
				return m
			}},
			"another key during a switch": {code: atlas.ConcurrentModification, to: another(""), during: true},
			"a secret during a switch":    {code: atlas.AzureCredentialsDeprecated, to: func(*world) members { return members{"secret": "s"} }, during: true},
		},
		good: map[string]func(w *world) members{
			"rotate-key": another(""),
		},
	}
}

func changesAtGoogle() changed {
	version := func(n int) members {
		return members{"keyVersionResourceID": fmt.Sprintf("%s/cryptoKeyVersions/%d", googleKey, n)}
	}
	second := func(w *world) members {
		w.Admin(http.MethodPost, googleKMS+googleKey+"/cryptoKeyVersions", "")
		return version(2)
	}
	state := func(s string) func(w *world) members {
		return func(w *world) members {
			m := second(w)
			w.Admin(http.MethodPatch, googleKMS+googleKey+"/cryptoKeyVersions/2?updateMask=state", `{"state":"`+s+`"}`)
			return m
		}
	}
	return changed{
		block: "googleCloudKms",
		static: func(w *world) (m, byRole members) {
			role, ours := w.byGoogleRole(w.googleVersion())
			m, tenants := w.byGoogleKey(googleOne)
			w.googleGrants([]string{ours, tenants}, googleUsers, googleViews)
			return m, members{"roleId": role["roleId"]}
		},
		refusals: map[string]refusedChange{
			"another version that is disabled": {code: atlas.GoogleKeyDisabled, to: state("DISABLED")},
			"another version that is being destroyed": {code: atlas.GoogleKeyDestroyScheduled, to: func(w *world) members {
				m := second(w)
				w.Admin(http.MethodPost, googleKMS+googleKey+"/cryptoKeyVersions/2:destroy", "")
				return m
			}},
			"another version that is not there": {code: atlas.GoogleKeyNotFound, to: func(*world) members { return version(7) }},
			"another key that admits nobody": {code: atlas.NoPermission, to: func(w *world) members {
				w.Admin(http.MethodPost, googleKMS+strings.TrimSuffix(googleRing, "/kr")+"?keyRingId=other", "")
				other := strings.Replace(googleRing, "/kr", "/other", 1)
				w.Admin(http.MethodPost, googleKMS+other+"/cryptoKeys?cryptoKeyId=atlas", `{"purpose":"ENCRYPT_DECRYPT"}`)
				return members{"keyVersionResourceID": other + "/cryptoKeys/atlas/cryptoKeyVersions/1"}
			}},
			"another key file that is none": {code: atlas.InvalidGoogleCredentials, to: func(*world) members { return members{"serviceAccountKey": "{}"} }},
			"a role that is not there":      {code: atlas.RoleNotFound, to: func(*world) members { return members{"roleId": "650000000000000000000099"} }},
			"a role of another provider": {code: atlas.RoleNotFound, to: func(w *world) members {
				id, _ := w.newAWSRole()
				return members{"roleId": id}
			}},
			"the present version is disabled": {code: atlas.EARSettingsInvalid, to: func(w *world) members {
				m := second(w)
				w.googleState("DISABLED")
				return m
			}},
			"Cloud KMS cannot be reached": {code: atlas.KMSUnreachable, to: func(w *world) members {
				m := second(w)
				w.Faults.Set(pocket.Fault{Host: "cloudkms.googleapis.com", Kind: pocket.Down})
				return m
			}},
			"another version during a switch": {code: atlas.ConcurrentModification, to: second, during: true},
			"a key file during a switch": {code: atlas.GoogleCredentialsRefused, during: true, to: func(w *world) members {
				_, file := w.ServiceAccount(pockettest.TenantProject, "another")
				w.secrets = append(w.secrets, file)
				return members{"serviceAccountKey": file}
			}},
		},
		good: map[string]func(w *world) members{"rotate-key": second},
	}
}

// TestAChangeIsRefusedAtOnce sends changes of keys in use that cannot be carried out, over HTTP: the answer names the
// reason, nothing is stored and no workflow begins, and the key goes on being valid.
func TestAChangeIsRefusedAtOnce(t *testing.T) {
	for name, c := range map[string]changed{"Azure": changesAtAzure(), "Google": changesAtGoogle()} {
		for when, refusal := range c.refusals {
			t.Run(name+"/"+when, func(t *testing.T) {
				inWorld(t, func(w *world) {
					m, byRole := c.static(w)
					w.mustSend(configure(c.block, m))
					if refusal.during {
						w.mustSend(configure(c.block, byRole))
					}
					sent := refusal.to(w)
					before, started := w.stored()["ENCRYPTION"], w.started.all()
					a := w.send(configure(c.block, sent))
					if a.status != refusal.code.Status() || a.code() != string(refusal.code) {
						t.Errorf("it is answered %d %s", a.status, a.text)
					}
					if diff := cmp.Diff(before, w.stored()["ENCRYPTION"]); diff != "" {
						t.Errorf("stored is\n%s", diff)
					}
					if diff := cmp.Diff(started, w.started.all()); diff != "" {
						t.Errorf("started is\n%s", diff)
					}
					w.Faults.Clear()
					if !strings.HasPrefix(when, "the present") {
						w.wantValid(c.block, true, "afterwards")
					}
				})
			})
		}
	}
}

// TestAChangeOverHTTPBeginsItsWorkflow sends changes that can be carried out.
func TestAChangeOverHTTPBeginsItsWorkflow(t *testing.T) {
	for name, c := range map[string]changed{"Azure": changesAtAzure(), "Google": changesAtGoogle()} {
		t.Run(name, func(t *testing.T) {
			for kind, to := range c.good {
				inWorld(t, func(w *world) {
					m, _ := c.static(w)
					w.mustSend(configure(c.block, m))
					w.mustSend(configure(c.block, to(w)))
					if !slices.ContainsFunc(w.started.all(), func(name string) bool { return strings.HasPrefix(name, kind+"-"+groupID) }) {
						t.Errorf("started is %q", w.started.all())
					}
					keys := w.mustSend(request{http.MethodGet, "/api/latchkey/v1/groups/" + groupID + "/encryptionAtRest/keys", ""})
					for _, part := range []string{`"kind":"` + kind + `"`, `"state":"UNDER_WAY"`} {
						if !strings.Contains(keys.text, part) {
							t.Errorf("the keys are %s, without %s", keys.text, part)
						}
					}
					w.wantValid(c.block, true, "afterwards")
				})
			}
		})
	}
}
