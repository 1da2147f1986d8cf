package encryption_test

import (
	"net/http"
	"testing"
	"time"
)

// wantTold demands so many events of each type.
func (w *world) wantTold(n int, types ...string) {
	w.t.Helper()
	(&alerting{world: w}).wantEvents(n, types...)
}

func TestEveryChangeOfAnAccessRoleIsTold(t *testing.T) {
	inWorld(t, func(w *world) {
		aws, _ := w.awsRole()
		principal := w.admitAzure()
		azure := w.mustSend(request{http.MethodPost, roles, azureRole(principal)}).body["_id"].(string)
		w.azurePolicyVault(principal)
		w.mustSend(request{http.MethodPatch, roles + "/" + azure, azureRole(principal)})
		google := w.mustSend(request{http.MethodPost, roles, `{"providerName":"GCP"}`}).body["roleId"].(string)
		for kind, role := range map[string]struct{ provider, id string }{
			"AWS_IAM_ROLE": {"AWS", aws}, "AZURE_SERVICE_PRINCIPAL": {"AZURE", azure}, "GCP_SERVICE_ACCOUNT": {"GCP", google},
		} {
			typ := "CLOUD_PROVIDER_ACCESS_" + kind
			w.wantTold(1, typ+"_ADDED")
			w.wantTold(0, typ+"_DELETED")
			w.wantTold(1, typ+"_UPDATED") // of Google's when the account was made, of the others when it was authorized
			w.mustSend(request{http.MethodDelete, roles + "/" + role.provider + "/" + role.id, ""})
			w.wantTold(1, typ+"_DELETED")
		}
	})
}

// azurePolicyVault makes the vault in which a principal may use keys.
func (w *world) azurePolicyVault(principal string) {
	w.t.Helper()
	w.azureKey("")
	w.azurePolicy("add", principal)
}

// A configuration that is refused is told of with why, and one that is proved with that.
func TestEveryValidationOfAConfigurationIsTold(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.byAWSRole(w.awsKey())
		if a := w.send(configure("awsKms", m.with(members{"customerMasterKeyID": "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"}))); a.status < http.StatusBadRequest {
			t.Fatalf("a key that does not exist: %s", a.text)
		}
		w.wantTold(1, "ENCRYPTION_AT_REST_CONFIGURATION_VALIDATION_FAILED")
		w.wantTold(0, "ENCRYPTION_AT_REST_CONFIGURATION_UPDATED", "ENCRYPTION_AT_REST_CONFIGURATION_VALIDATION_SUCCEEDED")
		w.mustSend(configure("awsKms", m))
		w.wantTold(1, "ENCRYPTION_AT_REST_CONFIGURATION_UPDATED", "ENCRYPTION_AT_REST_CONFIGURATION_VALIDATION_SUCCEEDED")
		time.Sleep(time.Minute)
		w.mustSend(patch(`{"enabledForSearchNodes":true}`)) // which needs no proof
		w.wantTold(2, "ENCRYPTION_AT_REST_CONFIGURATION_UPDATED")
		w.wantTold(1, "ENCRYPTION_AT_REST_CONFIGURATION_VALIDATION_SUCCEEDED")
	})
}
