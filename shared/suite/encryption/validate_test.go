package encryption_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/google/go-cmp/cmp"

	"latchkey/shared/access"
	"latchkey/shared/atlas"
	"latchkey/shared/encryption"
	"latchkey/shared/enforcement"
	"latchkey/shared/identity"
	"latchkey/shared/project"
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

// A tenant withdrew its trust, and then admits Latchkey through another IAM role.
func TestARoleThatGivesAccessBackCountsAtOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		w.mustSend(withKey(newCluster("AWS"))(w))
		id := w.mustSend(request{http.MethodGet, ear, ""}).block("awsKms")["roleId"].(string)
		externalID := w.mustSend(request{http.MethodGet, roles + "/" + id, ""}).body[external].(string)
		w.trust(trusting("another external id"))
		time.Sleep(time.Second)
		w.mustSend(request{http.MethodPost, validate, ""})
		w.act()
		time.Sleep(time.Second)
		before := len(w.started.all())
		w.trust(trusting(externalID))
		w.mustSend(authorizeAWS(id))
		names := w.started.all()[before:]
		if len(names) != 1 || !strings.HasPrefix(names[0], "enforce-validity-"+groupID+"-AWS-") {
			t.Errorf("started %v", names)
		}
		before = len(w.started.all())
		w.mustSend(authorizeAWS(id))
		if names := w.started.all()[before:]; len(names) > 0 {
			t.Errorf("authorized again, started %v", names)
		}
	})
}

// act does what the workflow does that enforces what is stored of the key at AWS.
func (w *world) act() {
	w.t.Helper()
	officer := enforcement.Officer{
		Table: w.table, Settings: &encryption.Service{Table: w.table}, Clusters: w.clusters(), Projects: &project.Service{Table: w.table}, Now: time.Now,
	}
	_, err := officer.Act(w.t.Context(), groupID, atlas.AWS)
	w.must(err)
}

// The settings keep the role that they use, so that no check has to read it. What they keep is never older
// than the role: the key is checked through the role that a tenant has just named, and through no other.
func TestChecksFollowARoleThatIsAuthorizedAnew(t *testing.T) {
	inWorld(t, func(w *world) {
		w.mustSend(withKey(newCluster("AWS"))(w))
		id := w.mustSend(request{http.MethodGet, ear, ""}).block("awsKms")["roleId"].(string)
		stored := func() (arn, kept string) {
			role, err := access.Find(w.t.Context(), w.table, groupID, id)
			w.must(err)
			settings, err := (&encryption.Service{Table: w.table}).Load(w.t.Context(), groupID)
			w.must(err)
			return role.AWS.ARN, settings.AWS.Role.ARN
		}
		before, kept := stored()
		if kept != before {
			t.Fatalf("the settings keep %s of %s", kept, before)
		}
		const name = iamRole + "-2"
		externalID := w.mustSend(request{http.MethodGet, roles + "/" + id, ""}).body[external].(string)
		made, err := w.IAM().CreateRole(w.t.Context(), &iam.CreateRoleInput{
			RoleName: aws.String(name), AssumeRolePolicyDocument: aws.String(trusting(externalID)),
		})
		w.must(err)
		_, err = w.IAM().PutRolePolicy(w.t.Context(), &iam.PutRolePolicyInput{
			RoleName: aws.String(name), PolicyName: aws.String("use"), PolicyDocument: aws.String(useKeys),
		})
		w.must(err)
		other := *made.Role.Arn
		w.mustSend(request{http.MethodPatch, roles + "/" + id, `{"providerName":"AWS","iamAssumedRoleArn":"` + other + `"}`})
		if now, kept := stored(); now != other || kept != other {
			t.Errorf("the role is %s now, the settings keep %s", now, kept)
		}
	})
}
