package encryption_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/google/go-cmp/cmp"

	"latchkey/shared/identity"
)

const validate = "/api/latchkey/v1/groups/" + groupID + "/encryptionAtRest/validate"

func TestAnOwnerHasTheKeysValidatedAtOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		if a := w.mustSend(request{http.MethodPost, validate, ""}); a.json("providers") != "[]" {
			w.t.Errorf("without a key: %s", a.text)
		}
		key := w.awsKey()
		w.mustSend(configure("awsKms", w.byAWSRole(key)))
		finding := func() map[string]any {
			a := w.mustSend(request{http.MethodPost, validate, `{"ignored":true}`})
			all, _ := a.body["providers"].([]any)
			if len(all) != 1 {
				w.t.Fatalf("%s", a.text)
			}
			f, _ := all[0].(map[string]any)
			if f["checkedAt"] == "" || f["since"] == "" {
				w.t.Errorf("%s", a.text)
			}
			return f
		}
		if f := finding(); f["provider"] != "AWS" || f["valid"] != true || f["class"] != "VALID" || f["reason"] != "OK" || f["providerCode"] != nil {
			w.t.Errorf("%v", f)
		}
		_, err := w.KMS(region).DisableKey(w.t.Context(), &kms.DisableKeyInput{KeyId: &key})
		w.must(err)
		w.get()
		time.Sleep(time.Millisecond) // far less than what those who only read share a check for
		f := finding()
		if f["valid"] != false || f["class"] != "INVALID" || f["reason"] != "KEY_DISABLED" ||
			f["providerCode"] != "DisabledException" || f["providerRequestId"] == nil {
			w.t.Errorf("%v", f)
		}
	})
}

func TestOnlyOwnersHaveKeysValidated(t *testing.T) {
	inWorld(t, func(w *world) {
		for role, want := range map[identity.Role]int{identity.GroupOwner: 200, identity.GroupReadOnly: 401, identity.GroupClusterManager: 401} {
			caller := owner
			caller.GroupRoles = map[string][]identity.Role{groupID: {role}}
			if a := w.sendAs(caller, request{http.MethodPost, validate, ""}); a.status != want {
				w.t.Errorf("%s: %d %s", role, a.status, a.text)
			}
		}
		if diff := cmp.Diff(http.StatusUnauthorized, w.sendAs(identity.Caller{}, request{http.MethodPost, validate, ""}).status); diff != "" {
			w.t.Error(diff)
		}
	})
}
