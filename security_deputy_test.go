package latchkey_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"latchkey/local/pocket/pockettest"
	"latchkey/shared/store/keys"
)

// The deployment may reach the keys of all tenants. Nobody gets it to reach another one's in their name:
// whatever they know of that tenant, its roles, their names, its keys, its directory, its accounts.

// deputy asks as the first tenant, in a project without any key.
type deputy struct {
	*town

	t     *testing.T
	fresh map[string]string
}

func newDeputy(t *testing.T) *deputy {
	t.Helper()
	w := inTown(t)
	d := &deputy{town: w, t: t, fresh: map[string]string{"orgId": w.acme.id}}
	made := d.ask(http.MethodPost, "/api/atlas/v2/groups", `{"name":"fresh","orgId":"{orgId}"}`)
	d.fresh["groupId"] = fmt.Sprint(decoded(t, made)["id"])
	role := decoded(t, d.ask(http.MethodPost, inGroup+"/cloudProviderAccess", `{"providerName":"AWS"}`))
	d.fresh["roleId"], d.fresh["externalId"] = fmt.Sprint(role["roleId"]), fmt.Sprint(role["atlasAssumedRoleExternalId"])
	return d
}

func decoded(t *testing.T, answer *httptest.ResponseRecorder) map[string]any {
	t.Helper()
	out := map[string]any{}
	if err := json.Unmarshal(answer.Body.Bytes(), &out); err != nil {
		t.Fatalf("%d %s: %v", answer.Code, answer.Body, err)
	}
	return out
}

func (d *deputy) ask(method, path, body string) *httptest.ResponseRecorder {
	d.t.Helper()
	return d.send(d.acme.credentials, method, fill(path, d.fresh), "application/vnd.atlas.2025-03-12+json", fill(body, d.fresh))
}

// refused demands that a request is refused with a code, and that nothing of the other tenant's is stored.
func (d *deputy) refused(answer *httptest.ResponseRecorder, what string, codes ...string) {
	d.t.Helper()
	if code := errorCode(answer); !strings.Contains(" "+strings.Join(codes, " ")+" ", " "+code+" ") {
		d.t.Errorf("%s is answered %d %s", what, answer.Code, answer.Body)
	}
	item, err := d.table.Get(d.t.Context(), keys.Encryption(d.fresh["groupId"]))
	d.must(err)
	for _, foreign := range []string{d.rival.own["keyArn"], d.rival.own["roleId"], d.rival.own["roleArn"]} {
		if strings.Contains(string(item.Body), foreign) {
			d.t.Errorf("%s: the settings name %s", what, foreign)
		}
	}
}

func (d *deputy) authorize(arn string) *httptest.ResponseRecorder {
	d.t.Helper()
	return d.ask(http.MethodPatch, inGroup+"/cloudProviderAccess/{roleId}", `{"providerName":"AWS","iamAssumedRoleArn":"`+arn+`"}`)
}

// Another tenant's role asks for an external id that is not this project's.
func TestDeputy_rolesOfOthersAreRefusedByTheirExternalID(t *testing.T) {
	t.Parallel()
	d := newDeputy(t)
	d.refused(d.authorize(d.rival.own["roleArn"]), "another organisation's role", "CANNOT_ASSUME_ROLE")
	d.refused(d.authorize(d.acme.own["roleArn"]), "a role of another project of the same organisation", "CANNOT_ASSUME_ROLE")
	// Knowing the external id helps nobody: it is not the client's to choose.
	for _, member := range []string{"atlasAssumedRoleExternalId", "externalId", "atlasAWSAccountArn"} {
		d.refused(d.ask(http.MethodPatch, inGroup+"/cloudProviderAccess/{roleId}", `{"providerName":"AWS","iamAssumedRoleArn":"`+d.rival.own["roleArn"]+`","`+
			member+`":"`+d.rival.own["externalId"]+`"}`), "another's external id as "+member, "CANNOT_ASSUME_ROLE")
		made := decoded(t, d.ask(http.MethodPost, inGroup+"/cloudProviderAccess", `{"providerName":"AWS","`+member+`":"`+d.rival.own["externalId"]+`"}`))
		if made["atlasAssumedRoleExternalId"] == d.rival.own["externalId"] {
			t.Errorf("%s chooses the external id", member)
		}
	}
	d.refused(d.ask(http.MethodPatch, inGroup+"/encryptionAtRest",
		`{"awsKms":{"enabled":true,"roleId":"{roleId}","customerMasterKeyID":"`+d.rival.own["keyArn"]+`","region":"US_EAST_1"}}`),
		"a role that was not authorized", "CLOUD_PROVIDER_ACCESS_ROLE_NOT_AUTHORIZED")
}

// A role that lets the deployment in with whatever external id is open to every other tenant. So it is
// nobody's to use until it demands the one that it was given.
func TestDeputy_rolesThatDemandNoExternalIDAreRefused(t *testing.T) {
	t.Parallel()
	d := newDeputy(t)
	name := "careless-" + d.fresh["roleId"]
	arn := "arn:aws:iam::" + pockettest.TenantAccount + ":role/" + name
	trust := func(condition string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + pockettest.PrincipalARN + `"},"Action":"sts:AssumeRole"` + condition + `}]}`
	}
	_, err := d.clouds.IAM().CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: aws.String(trust(""))})
	d.must(err)
	for _, condition := range []string{"", `,"Condition":{"StringLike":{"sts:ExternalId":"*"}}`, `,"Condition":{"Null":{"sts:ExternalId":"false"}}`} {
		_, err := d.clouds.IAM().UpdateAssumeRolePolicy(t.Context(), &iam.UpdateAssumeRolePolicyInput{RoleName: &name, PolicyDocument: aws.String(trust(condition))})
		d.must(err)
		answer := d.authorize(arn)
		d.refused(answer, "a role with the condition "+condition, "CANNOT_ASSUME_ROLE")
		if !strings.Contains(answer.Body.String(), d.fresh["externalId"]) {
			t.Errorf("the answer does not say what to demand: %s", answer.Body)
		}
	}
	demanding := trust(`,"Condition":{"StringEquals":{"sts:ExternalId":"` + d.fresh["externalId"] + `"}}`)
	_, err = d.clouds.IAM().UpdateAssumeRolePolicy(t.Context(), &iam.UpdateAssumeRolePolicyInput{RoleName: &name, PolicyDocument: &demanding})
	d.must(err)
	if answer := d.authorize(arn); answer.Code != http.StatusOK {
		t.Errorf("a role that demands it is answered %d %s", answer.Code, answer.Body)
	}
}

// Through one's own role only what that role may use is reached.
func TestDeputy_keysOfOthersAreRefusedByTheirPolicies(t *testing.T) {
	t.Parallel()
	d := newDeputy(t)
	d.fresh = d.acme.own // whose role may use its own key
	for what, body := range map[string]string{
		"another organisation's key":              `{"awsKms":{"customerMasterKeyID":"` + d.rival.own["keyArn"] + `"}}`,
		"another project's key":                   `{"awsKms":{"customerMasterKeyID":"` + d.acme.other["keyArn"] + `"}}`,
		"another organisation's key and its role": `{"awsKms":{"roleId":"` + d.rival.own["roleId"] + `","customerMasterKeyID":"` + d.rival.own["keyArn"] + `"}}`,
		"another project's key and its role":      `{"awsKms":{"roleId":"` + d.acme.other["roleId"] + `","customerMasterKeyID":"` + d.acme.other["keyArn"] + `"}}`,
	} {
		d.table.returnTo(d.base)
		answer := d.ask(http.MethodPatch, inGroup+"/encryptionAtRest", body)
		d.refused(answer, what, "NO_PERMISSION_TO_ENCRYPT_DECRYPT", "CLOUD_PROVIDER_ACCESS_ROLE_NOT_FOUND")
	}
}

// One role for two projects of a tenant needs both external ids: neither project rides on the other's.
func TestDeputy_aSharedRoleDemandsEachProjectsExternalID(t *testing.T) {
	t.Parallel()
	d := newDeputy(t)
	name := "shared-" + d.fresh["roleId"]
	arn := "arn:aws:iam::" + pockettest.TenantAccount + ":role/" + name
	trust := func(ids ...string) *string {
		list, err := json.Marshal(ids)
		d.must(err)
		return aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + pockettest.PrincipalARN +
			`"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":` + string(list) + `}}}]}`)
	}
	_, err := d.clouds.IAM().CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: trust(d.acme.own["externalId"])})
	d.must(err)
	d.refused(d.authorize(arn), "a role that trusts another project", "CANNOT_ASSUME_ROLE")
	_, err = d.clouds.IAM().UpdateAssumeRolePolicy(t.Context(), &iam.UpdateAssumeRolePolicyInput{
		RoleName: &name, PolicyDocument: trust(d.acme.own["externalId"], d.fresh["externalId"]),
	})
	d.must(err)
	if answer := d.authorize(arn); answer.Code != http.StatusOK {
		t.Errorf("a role that trusts both is answered %d %s", answer.Code, answer.Body)
	}
}
