package encryption_test

import (
	"net/http"
	"testing"
	"time"

	"latchkey/local/pocket"
	"latchkey/local/pocket/pockettest"
)

// patience is as deployed; lag is how late the clouds act on changes.
const (
	patience = 15 * time.Second
	lag      = 6 * time.Second
	// gateway is when API Gateway gives a request up.
	gateway = 29 * time.Second
)

func lagging(lag, patience time.Duration) option {
	return func(w *world, o *pockettest.Options) { o.Lag, w.lag, w.deps.GrantPatience = lag, lag, patience }
}

// grants are what tenants grant and use at once, as `terraform apply` does. Each returns the
// request that depends on the grant.
var grants = map[string]func(w *world) request{
	"an IAM role is made and authorized": func(w *world) request {
		id, externalID := w.newAWSRole()
		w.makeIAMRole(externalID)
		return authorizeAWS(id)
	},
	"a trust policy is mended and the role authorized": func(w *world) request {
		id, externalID := w.newAWSRole()
		w.makeIAMRole("another external id")
		time.Sleep(w.lag)
		w.trust(trusting(externalID))
		return authorizeAWS(id)
	},
	"a role's policy is put and the key configured": func(w *world) request {
		id, externalID := w.newAWSRole()
		w.makeIAMRole(externalID)
		w.allowIAMRole(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:ListKeys","Resource":"*"}]}`)
		time.Sleep(w.lag)
		w.mustSend(authorizeAWS(id))
		key := w.awsKey()
		w.allowIAMRole(useKeys)
		return configure("awsKms", members{"enabled": true, "roleId": id, "customerMasterKeyID": key, "region": "US_EAST_1"})
	},
	"an IAM user is made and the key configured": func(w *world) request {
		return configure("awsKms", w.byAWSUser(w.awsKey()))
	},
	"a service principal is made and authorized": func(w *world) request {
		principal := w.admitAzure()
		made := w.mustSend(request{http.MethodPost, roles, azureRole(principal)})
		return request{http.MethodPatch, roles + "/" + made.body["_id"].(string), azureRole(principal)}
	},
	"an access policy is added and the key configured": func(w *world) request {
		m, _ := w.byAzureSecret(w.azureKey(""))
		return configure("azureKeyVault", m)
	},
	"a role on a Google key is granted and the key configured": func(w *world) request {
		m, _ := w.byGoogleRole(w.googleVersion())
		return configure("googleCloudKms", m)
	},
	"a Google account is granted a role and the key configured": func(w *world) request {
		m, _ := w.byGoogleKey(w.googleVersion())
		return configure("googleCloudKms", m)
	},
}

func TestAGrantMadeAMomentAgoIsWaitedFor(t *testing.T) {
	for name, grant := range grants {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				r := grant(w)
				start := time.Now()
				w.mustSend(r)
				if took := time.Since(start); took > patience {
					t.Errorf("it took %s", took)
				}
			}, lagging(lag, patience))
			inWorld(t, func(w *world) {
				r := grant(w)
				if a := w.send(r); a.status != http.StatusBadRequest {
					t.Errorf("without patience it answers %d %s", a.status, a.text)
				}
				time.Sleep(lag)
				w.mustSend(r) // nothing stands in the way of trying again
			}, lagging(lag, 0))
		})
	}
}

func TestAGrantThatNeverComesIsRefusedInTime(t *testing.T) {
	for name, grant := range grants {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				r := grant(w)
				start := time.Now()
				if a := w.send(r); a.status != http.StatusBadRequest {
					t.Errorf("it answers %d %s", a.status, a.text)
				}
				if took := time.Since(start); took < patience/2 || took > gateway {
					t.Errorf("it took %s", took)
				}
			}, lagging(time.Hour, patience))
		})
	}
}

// TestACloudThatHangsIsGivenUpInTime: whatever hangs, a client learns how its request ended
// before API Gateway gives it up.
func TestACloudThatHangsIsGivenUpInTime(t *testing.T) {
	for name, set := range ways {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				block, m, _ := set(w)
				w.mustSend(configure(block, m))
				w.Faults.Set(pocket.Fault{Host: "*", Kind: pocket.Timeout})
				for what, r := range map[string]request{
					"GET": {http.MethodGet, ear, ""}, "disabling": configure(block, members{"enabled": false}), "another access": configure(block, reaccess(m)),
				} {
					time.Sleep(time.Minute)
					w.restart()
					start := time.Now()
					a := w.send(r)
					if took := time.Since(start); took > gateway {
						t.Errorf("%s took %s", what, took)
					}
					if isRead := r.method == http.MethodGet; isRead && a.block(block)["valid"] != true || !isRead && a.status != http.StatusServiceUnavailable {
						t.Errorf("%s answers %d %s", what, a.status, a.text)
					}
				}
			}, lagging(0, patience))
		})
	}
}

// reaccess are members that change how a key is reached, or which key is.
func reaccess(m members) members {
	for _, name := range secretMembers {
		if secret, ok := m[name].(string); ok {
			return members{name: secret + "\n"} // JSON stays JSON
		}
	}
	for _, name := range []string{"customerMasterKeyID", "keyIdentifier", "keyVersionResourceID"} {
		if text, ok := m[name].(string); ok {
			return members{name: another(text)}
		}
	}
	return nil
}

// another is the name of another key.
func another(name string) string {
	last := name[len(name)-1]
	if last == '1' {
		return name[:len(name)-1] + "2"
	}
	return name[:len(name)-1] + "1"
}

func TestAHangingCloudDelaysNoAuthorizationForEver(t *testing.T) {
	inWorld(t, func(w *world) {
		const principal = "6f1b0000-0000-4000-8000-00000000dead"
		azure := w.mustSend(request{http.MethodPost, roles, azureRole(principal)})
		id, externalID := w.newAWSRole()
		w.makeIAMRole(externalID)
		used, _ := w.byAzureRole(w.azureKey("")) // a role in use is proved with its key, too
		w.mustSend(configure("azureKeyVault", used))
		google := w.mustSend(request{http.MethodPost, roles, `{"providerName":"GCP"}`})
		w.Faults.Set(pocket.Fault{Host: "*", Kind: pocket.Timeout})
		for what, r := range map[string]request{
			"AWS": authorizeAWS(id), "removal": {http.MethodDelete, roles + "/GCP/" + google.body["roleId"].(string), ""},
			"in use": {http.MethodPatch, roles + "/" + used["roleId"].(string), `{"providerName":"AZURE"}`},
			"AZURE":  {http.MethodPatch, roles + "/" + azure.body["_id"].(string), azureRole(principal)},
			"GCP":    {http.MethodPost, roles, `{"providerName":"GCP"}`},
		} {
			start := time.Now()
			a := w.send(r)
			if took := time.Since(start); took > gateway {
				t.Errorf("%s took %s", what, took)
			}
			if ok := a.status == http.StatusServiceUnavailable || what == "GCP" && a.body["status"] == "IN_PROGRESS"; !ok {
				t.Errorf("%s answers %d %s", what, a.status, a.text)
			}
		}
	}, lagging(0, patience))
}
