package encryption_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"latchkey/local/pocket/pockettest"
)

// change is something that a tenant takes away and gives back.
type change struct{ take, give func() }

// ways are all ways to reach a key. Each sets the tenant's side up and returns the block, the
// members that enable the key, and what the tenant can take away.
var ways = map[string]func(w *world) (block string, m members, changes map[string]change){
	"AWS user keys":                    viaAWSUser,
	"AWS role":                         viaAWSRole,
	"Azure application secret":         viaAzureSecret,
	"Azure service principal (roleId)": viaAzureRole,
	"Google service account key":       viaGoogleKey,
	"Google service account (roleId)":  viaGoogleRole,
}

// TestEveryWayToReachAKey follows a key through every way to reach it: it is configured, shows
// as valid, is taken away in every manner, shows as invalid, and is valid again once it is given back.
func TestEveryWayToReachAKey(t *testing.T) {
	for name, set := range ways {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				block, m, changes := set(w)
				if a := w.mustSend(configure(block, m)); a.block(block)["valid"] != true || a.block(block)["enabled"] != true {
					t.Fatalf("PATCH answers %s", a.text)
				}
				w.restart() // nothing depends on what a process remembers
				w.wantValid(block, true, "configured")
				for how, c := range changes {
					c.take()
					w.wantValid(block, false, how)
					c.give()
					w.wantValid(block, true, how+", undone")
				}
				off := w.mustSend(configure(block, members{"enabled": false}))
				if off.block(block)["enabled"] != false || off.block(block)["valid"] != false {
					t.Errorf("disabling answers %s", off.text)
				}
			})
		})
	}
}

// TestARoleReplacesTheStaticCredentials goes from each static credential to a role. The configuration
// has no secret then: the way back keeps it, until the workflow has opened every wrapped key. A switch
// that fails at once leaves it, and the key usable.
func TestARoleReplacesTheStaticCredentials(t *testing.T) {
	for name, set := range map[string]func(w *world) (block, section string, m, byRole members, deny func()){
		"AWS": func(w *world) (string, string, members, members, func()) {
			key := w.awsKey()
			return "awsKms", "aws", w.byAWSUser(key), w.byAWSRole(key), func() { w.trust(trusting("another external id")) }
		},
		"Azure": func(w *world) (string, string, members, members, func()) {
			key := w.azureKey("")
			m, _ := w.byAzureSecret(key)
			byRole, principal := w.byAzureRole(key)
			return "azureKeyVault", "azure", m, byRole, func() { w.azurePolicy("remove", principal) }
		},
		"Google": func(w *world) (string, string, members, members, func()) {
			byRole, ours := w.byGoogleRole(w.googleVersion())
			m, tenants := w.byGoogleKey(googleOne)
			both := func(emails ...string) func() { return func() { w.googleGrants(emails, googleUsers, googleViews) } }
			both(ours, tenants)()
			return "googleCloudKms", "google", m, byRole, both(tenants)
		},
	} {
		for _, fails := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, the switch fails: %t", name, fails), func(t *testing.T) {
				inWorld(t, func(w *world) {
					block, section, m, byRole, deny := set(w)
					w.mustSend(configure(block, m))
					if fails {
						deny()
					}
					a := w.send(configure(block, members{"roleId": byRole["roleId"]}))
					if failed := a.status == http.StatusBadRequest; failed != fails {
						t.Fatalf("the switch answers %d %s", a.status, a.text)
					}
					if !fails {
						w.wantSwitching(a)
					}
					var stored map[string]json.RawMessage
					w.must(json.Unmarshal([]byte(w.stored()["ENCRYPTION"]), &stored))
					if has := strings.Contains(string(stored[section]), `"secret":`); has != fails {
						t.Errorf("a sealed secret is stored: %t", has)
					}
					w.restart()
					w.wantValid(block, true, "after the switch")
				})
			})
		}
	}
}

// wantSwitching expects that the tenant is told what cannot be undone, and where the switch stands.
func (w *world) wantSwitching(a answer) {
	w.t.Helper()
	var told struct{ Warnings []string }
	w.must(json.Unmarshal([]byte(a.text), &told))
	if len(told.Warnings) != 1 || !strings.Contains(told.Warnings[0], "cannot be undone") {
		w.t.Errorf("the switch answers %s", a.text)
	}
	keys := w.mustSend(request{http.MethodGet, "/api/latchkey/v1/groups/" + groupID + "/encryptionAtRest/keys", ""})
	for _, part := range []string{`"kind":"switch-role"`, `"state":"UNDER_WAY"`, `"formerKeys":[]`} {
		if !strings.Contains(keys.text, part) {
			w.t.Errorf("the keys are %s, without %s", keys.text, part)
		}
	}
	if all := w.started.all(); !slices.ContainsFunc(all, func(name string) bool { return strings.HasPrefix(name, "switch-role-"+groupID) }) {
		w.t.Errorf("started is %q", all)
	}
}

func (w *world) wantValid(block string, want bool, when string) {
	w.t.Helper()
	if a := w.get(); a.block(block)["valid"] != want {
		w.t.Errorf("%s: %s is %s", when, block, a.json(block))
	}
}

// awsKeyChanges are what a tenant can do to a key itself.
func (w *world) awsKeyChanges(key string) map[string]change {
	client, ctx := w.KMS(region), w.t.Context()
	enable := func() {
		_, err := client.EnableKey(ctx, &kms.EnableKeyInput{KeyId: &key})
		w.must(err)
	}
	return map[string]change{
		"key disabled": {func() {
			_, err := client.DisableKey(ctx, &kms.DisableKeyInput{KeyId: &key})
			w.must(err)
		}, enable},
		"key scheduled for deletion": {func() {
			_, err := client.ScheduleKeyDeletion(ctx, &kms.ScheduleKeyDeletionInput{KeyId: &key, PendingWindowInDays: aws.Int32(7)})
			w.must(err)
		}, func() {
			_, err := client.CancelKeyDeletion(ctx, &kms.CancelKeyDeletionInput{KeyId: &key})
			w.must(err)
			enable()
		}},
	}
}

func viaAWSUser(w *world) (string, members, map[string]change) {
	key := w.awsKey()
	m := w.byAWSUser(key)
	client, ctx := w.IAM(), w.t.Context()
	status := func(s iamtypes.StatusType) func() {
		return func() {
			_, err := client.UpdateAccessKey(ctx, &iam.UpdateAccessKeyInput{
				UserName: aws.String(iamUser), AccessKeyId: aws.String(m["accessKeyID"].(string)), Status: s,
			})
			w.must(err)
		}
	}
	changes := w.awsKeyChanges(key)
	changes["access key deactivated"] = change{status(iamtypes.StatusTypeInactive), status(iamtypes.StatusTypeActive)}
	changes["user's policy removed"] = change{func() {
		_, err := client.DeleteUserPolicy(ctx, &iam.DeleteUserPolicyInput{UserName: aws.String(iamUser), PolicyName: aws.String("use")})
		w.must(err)
	}, w.allowIAMUser}
	return "awsKms", m, changes
}

func viaAWSRole(w *world) (string, members, map[string]change) {
	key := w.awsKey()
	id, externalID := w.awsRole()
	changes := w.awsKeyChanges(key)
	changes["role trusts somebody else"] = change{
		func() { w.trust(trusting("another external id")) }, func() { w.trust(trusting(externalID)) },
	}
	changes["role's policy removed"] = change{func() {
		_, err := w.IAM().DeleteRolePolicy(w.t.Context(), &iam.DeleteRolePolicyInput{RoleName: aws.String(iamRole), PolicyName: aws.String("use")})
		w.must(err)
	}, func() { w.allowIAMRole(useKeys) }}
	m := members{"enabled": true, "roleId": id, "customerMasterKeyID": key, "region": "US_EAST_1"}
	return "awsKms", m, changes
}

// azureKeyChanges are what a tenant can do to a key itself and to a principal's access to it.
func (w *world) azureKeyChanges(principal string) map[string]change {
	return map[string]change{
		"key disabled": {func() { w.azureAttributes(`"enabled":false`) }, func() { w.azureAttributes(`"enabled":true`) }},
		"key deleted": {
			func() { w.Admin(http.MethodDelete, vaultURL+"/keys/atlas", "") },
			func() { w.Admin(http.MethodPost, vaultURL+"/deletedkeys/atlas/recover", "") },
		},
		"access policy removed":      {func() { w.azurePolicy("remove", principal) }, func() { w.azurePolicy("add", principal) }},
		"service principal disabled": {w.azureAccount(principal, false), w.azureAccount(principal, true)},
	}
}

func (w *world) azureAccount(principal string, enabled bool) func() {
	text := map[bool]string{true: "true", false: "false"}[enabled]
	return func() {
		w.Admin(http.MethodPatch, graph+"/servicePrincipals/"+principal, `{"accountEnabled":`+text+`}`)
	}
}

func viaAzureSecret(w *world) (string, members, map[string]change) {
	m, app := w.byAzureSecret(w.azureKey(""))
	changes := w.azureKeyChanges(app.principal)
	last := app.secretID
	changes["secret removed and another one sent"] = change{
		func() {
			w.Admin(http.MethodPost, graph+"/applications/"+app.object+"/removePassword", `{"keyId":"`+last+`"}`)
		},
		func() {
			var text string
			text, last = w.newAzureSecret(app, "")
			w.mustSend(configure("azureKeyVault", members{"secret": text}))
		},
	}
	return "azureKeyVault", m, changes
}

func viaAzureRole(w *world) (string, members, map[string]change) {
	m, principal := w.byAzureRole(w.azureKey(""))
	return "azureKeyVault", m, w.azureKeyChanges(principal)
}

func (w *world) googleKeyChanges(email string) map[string]change {
	return map[string]change{
		"version disabled": {func() { w.googleState("DISABLED") }, func() { w.googleState("ENABLED") }},
		"version scheduled for destruction": {
			func() { w.Admin(http.MethodPost, googleKMS+googleOne+":destroy", "") },
			func() {
				w.Admin(http.MethodPost, googleKMS+googleOne+":restore", "")
				w.googleState("ENABLED")
			},
		},
		"grant removed": {func() { w.googleGrant(email) }, func() { w.googleGrant(email, googleUsers, googleViews) }},
	}
}

func viaGoogleKey(w *world) (string, members, map[string]change) {
	m, email := w.byGoogleKey(w.googleVersion())
	changes := w.googleKeyChanges(email)
	account := "https://iam.googleapis.com/v1/projects/" + pockettest.TenantProject + "/serviceAccounts/" + email
	changes["account disabled"] = change{
		func() { w.Admin(http.MethodPost, account+":disable", "") }, func() { w.Admin(http.MethodPost, account+":enable", "") },
	}
	return "googleCloudKms", m, changes
}

func viaGoogleRole(w *world) (string, members, map[string]change) {
	m, email := w.byGoogleRole(w.googleVersion())
	return "googleCloudKms", m, w.googleKeyChanges(email)
}
