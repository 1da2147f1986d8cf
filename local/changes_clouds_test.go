package main

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"go.mongodb.org/atlas-sdk/v20250312018/admin"

	"latchkey/local/stack"
	"latchkey/shared/atlas"
	"latchkey/shared/ledger"
)

const (
	azureVersion = "?api-version=2025-07-01"
	googleAPI    = "https://cloudkms.googleapis.com/v1/"
)

// openedElsewhere is the master key of an entry at Azure or Google, as the tenant opens it with what the
// clouds offer to everybody: no code of the suite's takes part.
func (e *estate) openedElsewhere(entry ledger.Entry) []byte {
	e.t.Helper()
	use := "master-key/" + entry.NodeID + "/" + entry.KeyID
	var answer any
	if entry.CMK.Provider == atlas.Azure {
		out := e.cloud("POST", entry.CMK.Name+"/"+entry.CMK.Version+"/decrypt"+azureVersion,
			`{"alg":"RSA-OAEP-256","value":"`+base64.RawURLEncoding.EncodeToString(entry.Blob)+`"}`)
		answer = out["value"]
	} else {
		data := []byte("latchkey:1")
		for _, s := range []string{entry.GroupID, use} {
			data = append(binary.BigEndian.AppendUint32(data, uint32(len(s))), s...)
		}
		out := e.cloud("POST", googleAPI+entry.CMK.Name+":decrypt", `{"ciphertext":"`+base64.StdEncoding.EncodeToString(entry.Blob)+
			`","additionalAuthenticatedData":"`+base64.StdEncoding.EncodeToString(data)+`"}`)
		answer = out["plaintext"]
	}
	text := strings.TrimRight(strings.NewReplacer("-", "+", "_", "/").Replace(fmt.Sprint(answer)), "=")
	plain, err := base64.RawStdEncoding.DecodeString(text)
	e.must(err)
	if entry.CMK.Provider == atlas.Azure {
		plain = plain[32:] // what it is bound to comes first
	}
	if len(plain) != 32 {
		e.t.Fatalf("the ledger's copy of %s opens to %d bytes under %s", entry.KeyID, len(plain), entry.CMK.Name)
	}
	return plain
}

// bring configures a provider's key besides the one in AWS KMS.
func (e *estate) bring(update admin.EncryptionAtRest) {
	e.t.Helper()
	_, _, err := e.client.EncryptionAtRestUsingCustomerKeyManagementApi.UpdateEncryptionAtRest(e.t.Context(), e.owner.GroupID, &update).Execute()
	e.must(err)
}

// reportOf is what the tenant reads of one provider's key.
func (e *estate) reportOf(provider string) (r reported) {
	e.t.Helper()
	var page struct {
		Results []struct {
			Provider string `json:"cloudProvider"`
			reported
		} `json:"results"`
	}
	e.must(json.Unmarshal(e.get("/api/latchkey/v1/groups/"+e.owner.GroupID+"/encryptionAtRest/keys"), &page))
	for _, r := range page.Results {
		if r.Provider == provider {
			return r.reported
		}
	}
	e.t.Fatalf("no report of %s in %+v", provider, page)
	return r
}

// ends waits until the change at a provider has ended, while clusters go on taking writes.
func (e *estate) ends(provider, kind, state string) reported {
	e.t.Helper()
	e.meanwhile(time.Hour, kind+" at "+provider, func() bool {
		e.serves()
		now := e.reportOf(provider).LastChange
		return now != nil && now.Kind == kind && now.State != "UNDER_WAY"
	})
	r := e.reportOf(provider)
	if r.LastChange.State != state {
		e.t.Errorf("the change at %s is %+v", provider, *r.LastChange)
	}
	return r
}

// At Azure: from an application's secret to the service principal, then to another version of the key.
func TestChangesAtAzure(t *testing.T) {
	inEstate(t, func(e *estate) {
		const graph = "https://graph.microsoft.com/v1.0"
		const vault = "https://management.azure.com/subscriptions/6f1b0000-0000-4000-8000-000000000003/resourceGroups/rg-kms/providers/Microsoft.KeyVault/vaults/kv-kms"
		j := e.bringAzure(e.client)
		app := e.cloud("POST", graph+"/applications", `{"displayName":"tenant"}`)
		secret := fmt.Sprint(e.cloud("POST", graph+"/applications/"+fmt.Sprint(app["id"])+"/addPassword", `{"passwordCredential":{}}`)["secretText"])
		principal := fmt.Sprint(e.cloud("POST", graph+"/servicePrincipals", `{"appId":"`+fmt.Sprint(app["appId"])+`"}`)["id"])
		policy := func(kind string) {
			e.cloud("PUT", vault+"/accessPolicies/"+kind+azureVersion, `{"properties":{"accessPolicies":[{"tenantId":"`+stack.TenantDirectory+
				`","objectId":"`+principal+`","permissions":{"keys":["get","encrypt","decrypt"]}}]}}`)
		}
		policy("add")
		byRole := j.update.AzureKeyVault.RoleId
		j.update.AzureKeyVault.RoleId = nil
		j.update.AzureKeyVault.ClientID, j.update.AzureKeyVault.Secret = aws.String(fmt.Sprint(app["appId"])), &secret
		e.bring(j.update)
		e.create("A", "AZURE")
		e.wrote("A", 40)
		starts, masters := e.allStarts(), e.masterKeys()

		e.bring(admin.EncryptionAtRest{AzureKeyVault: &admin.AzureKeyVault{RoleId: byRole}})
		if r := e.ends("AZURE", "switch-role", "FINISHED"); r.LastChange.Proved != 3 {
			t.Errorf("the switch is %+v", *r.LastChange)
		}
		// The application is needed no more.
		policy("remove")

		second := fmt.Sprint(member(e.cloud("POST", "https://kv-kms.vault.azure.net/keys/atlas/create"+azureVersion, `{"kty":"RSA","key_size":2048}`), "key")["kid"])
		e.bring(admin.EncryptionAtRest{AzureKeyVault: &admin.AzureKeyVault{KeyIdentifier: &second}})
		if r := e.ends("AZURE", "rotate-key", "FINISHED"); r.KeyInUse.Nodes != 3 || len(r.Former) != 0 {
			t.Errorf("after the rotation: %+v", r)
		}
		e.cloud("PATCH", *j.update.AzureKeyVault.KeyIdentifier+azureVersion, `{"attributes":{"enabled":false}}`)
		e.unchanged(starts, masters)
		e.restarted()
		e.noTraceOf([][]byte{[]byte(secret)})
	})
}

// unchanged demands that no node was started again and none made another master key.
func (e *estate) unchanged(starts map[string]time.Time, masters map[string]string) {
	e.t.Helper()
	for id, at := range e.allStarts() {
		if !at.Equal(starts[id]) || masters[id] != e.masterKeys()[id] {
			e.t.Errorf("node %s was started again or has another master key", id)
		}
	}
}

// At Google: a cluster moves there from the key in AWS KMS, over none; then from a service account's key to the service
// account, then to another version. The key in AWS KMS, and the cluster that it encrypts, stay as they are.
func TestChangesAtGoogle(t *testing.T) {
	inEstate(t, func(e *estate) {
		e.populate("A", "B")
		j := e.bringGoogle(e.client)
		const iam, account = "https://iam.googleapis.com/v1/projects/tenant-project/serviceAccounts", "cmk-user@tenant-project.iam.gserviceaccount.com"
		e.cloud("POST", iam, `{"accountId":"cmk-user"}`)
		file, err := base64.StdEncoding.DecodeString(fmt.Sprint(e.cloud("POST", iam+"/"+account+"/keys", "")["privateKeyData"]))
		e.must(err)
		crypto, _, _ := strings.Cut(*j.update.GoogleCloudKms.KeyVersionResourceID, "/cryptoKeyVersions/")
		role, _, err := e.client.CloudProviderAccessApi.GetCloudProviderAccess(e.t.Context(), e.owner.GroupID, j.roleID).Execute()
		e.must(err)
		e.cloud("POST", googleAPI+crypto+":setIamPolicy", `{"policy":{"bindings":[{"role":"roles/cloudkms.cryptoKeyEncrypterDecrypter","members":["serviceAccount:`+
			role.GetGcpServiceAccountForAtlas()+`","serviceAccount:`+account+`"]}]}}`)
		j.update.GoogleCloudKms.RoleId, j.update.GoogleCloudKms.ServiceAccountKey = nil, aws.String(string(file))
		e.bring(j.update)

		_, _, err = e.client.ClustersApi.UpdateCluster(e.t.Context(), e.owner.GroupID, "B",
			&admin.ClusterDescription20240805{EncryptionAtRestProvider: aws.String("GCP")}).Execute()
		if !admin.IsErrorCode(err, "CANNOT_CHANGE_ENCRYPTION_AT_REST_PROVIDER") {
			t.Errorf("a move in one step: %v", err)
		}
		for _, provider := range []string{"NONE", "GCP"} {
			e.update("B", &admin.ClusterDescription20240805{EncryptionAtRestProvider: &provider})
			e.meanwhile(time.Hour, "B moves to "+provider, func() bool { e.serves(); return e.state("B") == "IDLE" })
		}
		if a, g := e.reportOf("AWS"), e.reportOf("GCP"); a.KeyInUse.Nodes != 3 || g.KeyInUse.Nodes != 3 || len(a.Former)+len(g.Former) > 0 {
			t.Errorf("after the move: %+v, %+v", a, g)
		}
		starts, masters := e.allStarts(), e.masterKeys()

		e.bring(admin.EncryptionAtRest{GoogleCloudKms: &admin.GoogleCloudKMS{RoleId: &j.roleID}})
		if r := e.ends("GCP", "switch-role", "FINISHED"); r.LastChange.Proved != 3 {
			t.Errorf("the switch is %+v", *r.LastChange)
		}
		e.cloud("POST", iam+"/"+account+":disable", "")
		e.cloud("POST", googleAPI+crypto+"/cryptoKeyVersions", "")
		e.bring(admin.EncryptionAtRest{GoogleCloudKms: &admin.GoogleCloudKMS{KeyVersionResourceID: aws.String(crypto + "/cryptoKeyVersions/2")}})
		if r := e.ends("GCP", "rotate-key", "FINISHED"); r.KeyInUse.Nodes != 3 || len(r.Former) != 0 {
			t.Errorf("after the rotation: %+v", r)
		}
		j.take() // the former version
		if a := e.reportOf("AWS"); a.LastChange != nil || a.KeyInUse.Nodes != 3 {
			t.Errorf("at AWS there is %+v", a)
		}
		e.unchanged(starts, masters)
		e.restarted()
		e.noTraceOf([][]byte{file})
	})
}
