package encryption_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"latchkey/local/pocket/pockettest"
	"latchkey/shared/alert"
	"latchkey/shared/atlas"
)

const (
	day = 24 * time.Hour
	// hourly is after how long every key has been inspected.
	hourly = time.Hour + time.Minute

	expiring    = "ENCRYPTION_AT_REST_KEY_EXPIRING"
	credentials = "ENCRYPTION_AT_REST_CREDENTIALS_EXPIRING"
	unprotected = "ENCRYPTION_AT_REST_KEY_UNPROTECTED"
	awsRotation = "AWS_ENCRYPTION_KEY_NEEDS_ROTATION"
)

func (w *alerting) rotate(arn string) {
	w.t.Helper()
	_, err := w.KMS(region).RotateKeyOnDemand(w.t.Context(), &kms.RotateKeyOnDemandInput{KeyId: &arn})
	w.must(err)
}

// A key is as old as its provider says, not as the configuration is.
func TestTheReminderToRotateCountsFromWhatTheProviderSays(t *testing.T) {
	withAlerts(t, func(w *alerting) {
		arn := w.awsKey()
		time.Sleep(100 * day)
		m := w.byAWSRole(arn)
		w.allowIAMRole(strings.Replace(useKeys, `"kms:DescribeKey"`, `"kms:DescribeKey","kms:ListKeyRotations"`, 1))
		w.mustSend(configure("awsKms", m))
		w.want(awsRotation, "OPEN", "configured with a key of 100 days")
		w.rotate(arn)
		w.pass(hourly)
		w.want(awsRotation, "CLOSED", "rotated")
		w.wantEvents(1, "AWS_ENCRYPTION_KEY_ROTATED")
		w.pass(89 * day)
		w.want(awsRotation, "CLOSED", "89 days after that")
		w.pass(2 * day)
		w.want(awsRotation, "CLOSED OPEN", "91 days after that")
		w.wantEvents(2, awsRotation)
	})
}

// Without the permission to see rotations, the key's creation counts, until a rotation is seen here.
func TestTheReminderToRotateNeedsNoPermission(t *testing.T) {
	withAlerts(t, func(w *alerting) {
		arn := w.awsKey()
		w.rotate(arn)
		time.Sleep(100 * day)
		w.mustSend(configure("awsKms", w.byAWSRole(arn)))
		w.want(awsRotation, "OPEN", "made 100 days ago")
		w.rotate(arn)
		w.pass(hourly)
		w.want(awsRotation, "CLOSED", "rotated")
		if s := w.settings(); !s.AWS.Key.Valid || s.AWS.Key.Dates.Rotated != (time.Time{}) || time.Since(s.AWS.Key.Rotated) > hourly {
			t.Errorf("stored %+v", s.AWS.Key)
		}
		w.wantEvents(0, "AWS_ENCRYPTION_KEY_INVALID")
	})
}

func TestAnotherKeyBeginsTheReminderAnew(t *testing.T) {
	for provider, key := range takings() {
		t.Run(provider, func(t *testing.T) {
			withAlerts(t, func(w *alerting) {
				typ := provider + "_ENCRYPTION_KEY_NEEDS_ROTATION"
				key.configure(w)
				w.want(typ, "", "at first")
				other := map[string]func() string{
					"AWS":   func() string { return `{"awsKms":{"customerMasterKeyID":"` + w.awsKey() + `"}}` },
					"AZURE": func() string { return `{"azureKeyVault":{"keyIdentifier":"` + w.moreAzureKey("more", "") + `"}}` },
					"GCP": func() string {
						w.Admin(http.MethodPost, googleKMS+googleKey+"/cryptoKeyVersions", `{}`)
						return `{"googleCloudKms":{"keyVersionResourceID":"` + googleKey + `/cryptoKeyVersions/2"}}`
					},
				}[provider]()
				w.pass(91 * day)
				w.want(typ, "OPEN", "after 91 days")
				w.mustSend(patch(other)) // a key that was made long ago
				w.want(typ, "CLOSED", "another key")
				w.wantEvents(1, "ENCRYPTION_AT_REST_KEY_ROTATION_STARTED", provider+"_ENCRYPTION_KEY_ROTATED", typ)
				w.pass(89 * day)
				w.want(typ, "CLOSED", "89 days later")
				w.pass(2 * day)
				w.want(typ, "CLOSED OPEN", "91 days later")
			})
		})
	}
}

// ending is a way in which a key ends, and how the tenant averts it.
type ending struct {
	alerts string
	// begin has it come about of a key that works, and returns when it ends.
	begin func(w *alerting) time.Time
	avert func(w *alerting)
}

func endings() map[alert.Ending]ending {
	var arn string
	var app azureApp
	at := func(t time.Time) string { return fmt.Sprintf(`"exp":%d`, t.Unix()) }
	vault := func(properties string) string {
		return `{"location":"eastus2","properties":{"tenantId":"` + pockettest.TenantDirectory + `","accessPolicies":[],` + properties + `}}`
	}
	azure := func(w *alerting, vaultProperties, attributes string) {
		w.Admin(http.MethodPut, vaultARM, vault(vaultProperties))
		var m members
		m, app = w.byAzureSecret(w.moreAzureKey("atlas", attributes))
		w.mustSend(configure("azureKeyVault", m))
	}
	return map[alert.Ending]ending{
		alert.ClientSecret: {credentials, func(w *alerting) time.Time {
			azure(w, `"enablePurgeProtection":true`, "")
			end := time.Now().Add(20 * day)
			w.mustSend(patch(`{"azureKeyVault":{"secretExpiresAt":"` + atlas.Time(end) + `"}}`))
			return end
		}, func(w *alerting) {
			secret, _ := w.newAzureSecret(app, "")
			w.mustSend(patch(`{"azureKeyVault":{"secret":"` + secret + `"}}`))
		}},
		alert.KeyExpiry: {expiring, func(w *alerting) time.Time {
			azure(w, `"enablePurgeProtection":true`, at(time.Now().Add(200*day)))
			end := time.Now().Add(20 * day)
			w.azureAttributes(at(end))
			return end
		}, func(w *alerting) { w.azureAttributes(at(time.Now().Add(200 * day))) }},
		alert.Deletion: {expiring, func(w *alerting) time.Time {
			arn = w.awsKey()
			w.mustSend(configure("awsKms", w.byAWSRole(arn)))
			_, err := w.KMS(region).ScheduleKeyDeletion(w.t.Context(), &kms.ScheduleKeyDeletionInput{KeyId: &arn, PendingWindowInDays: aws.Int32(30)})
			w.must(err)
			return time.Now().Add(30 * day)
		}, func(w *alerting) {
			_, err := w.KMS(region).CancelKeyDeletion(w.t.Context(), &kms.CancelKeyDeletionInput{KeyId: &arn})
			w.must(err)
			_, err = w.KMS(region).EnableKey(w.t.Context(), &kms.EnableKeyInput{KeyId: &arn})
			w.must(err)
		}},
		alert.Destruction: {expiring, func(w *alerting) time.Time {
			m, _ := w.byGoogleKey(w.googleVersion())
			w.mustSend(configure("googleCloudKms", m))
			w.Admin(http.MethodPost, googleKMS+googleOne+":destroy", "")
			return time.Now().Add(30 * day)
		}, func(w *alerting) {
			w.Admin(http.MethodPost, googleKMS+googleOne+":restore", "")
			w.googleState("ENABLED")
		}},
		alert.PurgeProtectionOff: {unprotected, func(w *alerting) time.Time {
			azure(w, `"enableSoftDelete":true`, "")
			return time.Time{}
		}, func(w *alerting) {
			w.Admin(http.MethodPatch, vaultARM, `{"properties":{"enablePurgeProtection":true}}`)
		}},
		alert.SoftDeleteOff: {unprotected, func(w *alerting) time.Time {
			azure(w, `"enableSoftDelete":false`, "")
			return time.Time{}
		}, func(w *alerting) {
			w.Admin(http.MethodPatch, vaultARM, `{"properties":{"enableSoftDelete":true,"enablePurgeProtection":true}}`)
		}},
	}
}

func TestEveryEndIsWarnedOfUntilItIsAverted(t *testing.T) {
	all := endings()
	for _, e := range alert.Endings() {
		t.Run(string(e), func(t *testing.T) {
			withAlerts(t, func(w *alerting) {
				// A key that goes is noticed at its next check, the others by the hourly inspection.
				wait, after := hourly, hourly
				if e == alert.Deletion || e == alert.Destruction {
					wait, after = soon, time.Minute
				}
				end := all[e].begin(w)
				w.pass(wait)
				w.want(all[e].alerts, "OPEN", "as soon as it is known")
				summary, remedy, ends := w.facts(all[e].alerts)
				if ends.Sub(end).Abs() > time.Minute || summary == "" || remedy == "" {
					t.Errorf("%q %q ends %s, want %s", summary, remedy, ends, end)
				}
				w.wantEvents(1, all[e].alerts)
				all[e].avert(w)
				w.pass(after)
				w.want(all[e].alerts, "CLOSED", "averted")
			})
		})
	}
}

func TestAnEndIsWarnedOfAnewAtEachStage(t *testing.T) {
	withAlerts(t, func(w *alerting) {
		e := endings()[alert.ClientSecret]
		e.begin(w)
		w.pass(hourly)
		w.want(credentials, "OPEN", "20 days ahead")
		w.pass(7 * day)
		w.want(credentials, "CANCELLED OPEN", "13 days ahead")
		w.pass(7 * day)
		w.want(credentials, "CANCELLED CANCELLED OPEN", "6 days ahead")
		e.avert(w)
		w.want(credentials, "CANCELLED CANCELLED CLOSED", "with another secret")
	})
}

// Azure tells nobody when a secret ends; that it has ended, it says when it is asked for a token.
func TestASecretThatHasExpiredIsKnownToHave(t *testing.T) {
	withAlerts(t, func(w *alerting) {
		w.Admin(http.MethodPut, vaultARM, `{"location":"eastus2","properties":{"tenantId":"`+pockettest.TenantDirectory+`","accessPolicies":[]}}`)
		m, app := w.byAzureSecret(w.moreAzureKey("atlas", ""))
		m["secret"], _ = w.newAzureSecret(app, `,"endDateTime":"`+atlas.Time(time.Now().Add(10*day))+`"`)
		w.mustSend(configure("azureKeyVault", m))
		w.pass(9 * day)
		w.want(credentials, "", "before anybody knows")
		w.pass(2 * day)
		w.pass(time.Minute)
		w.want(credentials, "OPEN", "expired")
		if s := w.settings(); s.Azure.Key.Valid || s.Azure.Key.CredentialsEnded.IsZero() {
			t.Errorf("stored %+v", s.Azure.Key)
		}
		w.outage(true) // which says nothing about the secret
		w.pass(hourly)
		w.want(credentials, "OPEN", "while nobody answers")
		w.outage(false)
		secret, _ := w.newAzureSecret(app, "")
		w.mustSend(patch(`{"azureKeyVault":{"secret":"` + secret + `"}}`))
		w.want(credentials, "CLOSED", "with another secret")
		w.wantEvents(1, "AZURE_ENCRYPTION_KEY_VALID", "ENCRYPTION_AT_REST_CONFIG_IS_VALID")
	})
}

func TestTheTenantSaysWhenASecretEnds(t *testing.T) {
	withAlerts(t, func(w *alerting) {
		m, app := w.byAzureSecret(w.azureKey(""))
		shown := func(a answer) any { return a.block("azureKeyVault")["secretExpiresAt"] }
		if a := w.mustSend(configure("azureKeyVault", m.with(members{"secretExpiresAt": "2030-01-31"}))); shown(a) != "2030-01-31T00:00:00Z" {
			t.Errorf("shown as %v", shown(a))
		}
		before := w.get()
		w.forget()
		if a := w.mustSend(patch(before.text)); a.text != before.text {
			t.Errorf("sent back: %s", a.text)
		}
		w.wantNothing("what GET answered")
		for _, wrong := range []string{"soon", "31.1.2030", "2030-13-01", "2030-01-31T00:00:00"} {
			if a := w.send(patch(`{"azureKeyVault":{"secretExpiresAt":"` + wrong + `"}}`)); a.code() != string(atlas.InvalidAttribute) {
				t.Errorf("%s: %d %s", wrong, a.status, a.text)
			}
		}
		w.forget()
		a := w.mustSend(patch(`{"azureKeyVault":{"secretExpiresAt":"2031-01-31T12:00:00+02:00"}}`))
		if shown(a) != "2031-01-31T10:00:00Z" || len(w.wire.called()) > 0 {
			t.Errorf("shown as %v, asked %v", shown(a), w.wire.called())
		}
		secret, _ := w.newAzureSecret(app, "")
		if a := w.mustSend(patch(`{"azureKeyVault":{"secret":"` + secret + `"}}`)); shown(a) != nil {
			t.Errorf("another secret is shown to end at %v", shown(a))
		}
	})
}

// Two providers at once share one record of what was configured by default.
func TestEachProviderThatIsConfiguredHasItsReminderOnce(t *testing.T) {
	withAlerts(t, func(w *alerting) {
		reminders := func() (n int) {
			for _, c := range w.mustSend(request{http.MethodGet, v2 + "/alertConfigs", ""}).body["results"].([]any) {
				if strings.HasSuffix(c.(map[string]any)["eventTypeName"].(string), "_NEEDS_ROTATION") {
					n++
				}
			}
			return n
		}
		all := w.everything()
		if n := reminders(); n != 3 {
			t.Errorf("%d reminders", n)
		}
		w.wantWatched("AWS", "AZURE", "GCP")
		w.mustSend(patch(`{"awsKms":{"enabled":false}}`))
		w.wantWatched("AZURE", "GCP")
		w.mustSend(patch(`{"awsKms":` + all.json("awsKms") + `}`))
		if n := reminders(); n != 3 {
			t.Errorf("%d reminders after one was configured again", n)
		}
		w.wantWatched("AWS", "AZURE", "GCP")
	})
}
