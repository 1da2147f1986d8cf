package sim

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.mongodb.org/atlas-sdk/v20250312018/admin"
)

// googleKey is a key in Google Cloud KMS.
type googleKey struct {
	tenant *tenant
	n      int
	static bool // by the key of a service account
	// members are the service accounts that may use the key.
	members []string
	version string
	current *admin.GoogleCloudKMS
	roleID  string
	undo    func(context.Context) error
}

const (
	googleKMS = "https://cloudkms.googleapis.com/v1/"
	googleIAM = "https://iam.googleapis.com/v1/projects/tenant-project/serviceAccounts"
)

func (k *googleKey) provider() string { return "GCP" }
func (k *googleKey) host() string     { return "cloudkms.googleapis.com" }
func (k *googleKey) isStatic() bool   { return k.static }
func (k *googleKey) ring() string {
	return "projects/tenant-project/locations/us-east4/keyRings/kr" + strconv.Itoa(k.n)
}

func (k *googleKey) adopt(e *admin.EncryptionAtRest) {
	if e.GoogleCloudKms.GetEnabled() {
		k.version, k.static = e.GoogleCloudKms.GetKeyVersionResourceID(), e.GoogleCloudKms.GetRoleId() == ""
	}
}

func (k *googleKey) wrong() *admin.EncryptionAtRest {
	return &admin.EncryptionAtRest{GoogleCloudKms: &admin.GoogleCloudKMS{KeyVersionResourceID: new(k.ring() + "/cryptoKeys/none/cryptoKeyVersions/1")}}
}

func (k *googleKey) bring(ctx context.Context) (*admin.EncryptionAtRest, error) {
	if k.current == nil {
		c := &admin.GoogleCloudKMS{Enabled: new(true)}
		if err := k.prepare(ctx, c); err != nil {
			return nil, err
		}
		k.current = c
	}
	return &admin.EncryptionAtRest{GoogleCloudKms: k.current}, nil
}

func (k *googleKey) prepare(ctx context.Context, c *admin.GoogleCloudKMS) error {
	t := k.tenant
	if k.version == "" {
		ring, id, _ := strings.Cut(k.ring(), "/keyRings/")
		if _, err := t.administer(ctx, "POST", googleKMS+ring+"/keyRings?keyRingId="+id, `{}`); err != nil {
			return err
		}
		if _, err := t.administer(ctx, "POST", googleKMS+k.ring()+"/cryptoKeys?cryptoKeyId=k", `{"purpose":"ENCRYPT_DECRYPT"}`); err != nil {
			return err
		}
		k.version = k.ring() + "/cryptoKeys/k/cryptoKeyVersions/1"
	}
	letIn := k.letRoleIn
	if k.static {
		letIn = k.letKeyIn
	}
	if err := letIn(ctx, c); err != nil {
		return err
	}
	c.KeyVersionResourceID = &k.version
	return k.allow(ctx, k.members...)
}

func (k *googleKey) letRoleIn(ctx context.Context, c *admin.GoogleCloudKMS) error {
	if k.roleID == "" {
		access, _, err := k.tenant.client.CloudProviderAccessApi.CreateCloudProviderAccess(ctx, k.tenant.group,
			&admin.CloudProviderAccessRoleRequest{ProviderName: "GCP"}).Execute()
		if err != nil {
			return err
		}
		k.roleID, k.members = access.GetRoleId(), append(k.members, access.GetGcpServiceAccountForAtlas())
	}
	c.RoleId = &k.roleID
	return nil
}

func (k *googleKey) byRole(ctx context.Context) (*admin.EncryptionAtRest, error) {
	c := &admin.GoogleCloudKMS{}
	if err := k.letRoleIn(ctx, c); err != nil {
		return nil, err
	}
	return &admin.EncryptionAtRest{GoogleCloudKms: c}, k.allow(ctx, k.members...)
}

func (k *googleKey) letKeyIn(ctx context.Context, c *admin.GoogleCloudKMS) error {
	account := fmt.Sprintf("cmk-user-%d", k.n)
	if _, err := k.tenant.administer(ctx, "POST", googleIAM, `{"accountId":"`+account+`"}`); err != nil {
		return err
	}
	user := account + "@tenant-project.iam.gserviceaccount.com"
	k.members = append(k.members, user)
	made, err := k.tenant.administer(ctx, "POST", googleIAM+"/"+user+"/keys", "")
	if err != nil {
		return err
	}
	file, err := base64.StdEncoding.DecodeString(fmt.Sprint(made["privateKeyData"]))
	if err != nil {
		return err
	}
	var parsed struct {
		Key string `json:"private_key"`
	}
	if err := json.Unmarshal(file, &parsed); err != nil {
		return err
	}
	k.tenant.world.book.hide(strings.Split(parsed.Key, "\n")[5])
	c.ServiceAccountKey = new(string(file))
	return nil
}

func (k *googleKey) allow(ctx context.Context, accounts ...string) error {
	members := ""
	if len(accounts) > 0 {
		members = `"serviceAccount:` + strings.Join(accounts, `","serviceAccount:`) + `"`
	}
	_, err := k.tenant.administer(ctx, "POST", googleKMS+k.ring()+"/cryptoKeys/k:setIamPolicy",
		`{"policy":{"bindings":[{"role":"roles/cloudkms.cryptoKeyEncrypterDecrypter","members":[`+members+`]}]}}`)
	return err
}

func (k *googleKey) revoke(ctx context.Context, way int) error {
	if way == 0 {
		k.undo = func(ctx context.Context) error { return k.allow(ctx, k.members...) }
		return k.allow(ctx)
	}
	version := k.version
	set := func(ctx context.Context, state string) error {
		_, err := k.tenant.administer(ctx, "PATCH", googleKMS+version+"?updateMask=state", `{"state":"`+state+`"}`)
		return err
	}
	k.undo = func(ctx context.Context) error { return set(ctx, "ENABLED") }
	return set(ctx, "DISABLED")
}

func (k *googleKey) lag(int) time.Duration { return 0 }

func (k *googleKey) restore(ctx context.Context) error { return k.undo(ctx) }

func (k *googleKey) next(ctx context.Context) (*admin.EncryptionAtRest, error) {
	made, err := k.tenant.administer(ctx, "POST", googleKMS+k.ring()+"/cryptoKeys/k/cryptoKeyVersions", `{}`)
	if err != nil {
		return nil, err
	}
	return &admin.EncryptionAtRest{GoogleCloudKms: &admin.GoogleCloudKMS{KeyVersionResourceID: new(fmt.Sprint(made["name"]))}}, nil
}
