package sim

import (
	"context"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.mongodb.org/atlas-sdk/v20250312018/admin"
)

// googleKey is a key in Google Cloud KMS.
type googleKey struct {
	spares // versions

	tenant   *tenant
	location string
	static   bool // by the key of a service account
	// members are the service accounts that may use the key.
	members []string
	file    string // a service account's key
	version string
	roleID  string
	undo    func(context.Context) error
}

const (
	googleKMS = "https://cloudkms.googleapis.com/v1/"
	googleIAM = "https://iam.googleapis.com/v1/projects/tenant-project/serviceAccounts"
)

func (k *googleKey) provider() string { return "GCP" }
func (k *googleKey) isStatic() bool   { return k.static }
func (k *googleKey) ring() string {
	return "projects/tenant-project/locations/" + k.location + "/keyRings/kr" + strconv.Itoa(k.tenant.n)
}

// services implements customerKey. An account of Latchkey's own is impersonated, which takes a token and makes one.
func (k *googleKey) services() (kms, tokens []service) {
	tokens = []service{{host: googleIssuer}}
	if !k.static {
		tokens = append(tokens, service{host: googleAccount})
	}
	return []service{{host: "cloudkms.googleapis.com", path: "/locations/" + k.location + "/"}}, tokens
}

// regions implements customerKey.
func (k *googleKey) regions() []region {
	kms, _ := k.services()
	return []region{{k.location, kms}}
}

func (k *googleKey) adopt(e *admin.EncryptionAtRest) {
	if !e.GoogleCloudKms.GetEnabled() {
		return
	}
	now := e.GoogleCloudKms.GetKeyVersionResourceID()
	k.replace(k.version, now)
	k.version, k.static = now, e.GoogleCloudKms.GetRoleId() == ""
}

func (k *googleKey) tells(e *admin.EncryptionAtRest) (enabled, private bool) {
	return e.GoogleCloudKms.GetEnabled(), false
}

func (k *googleKey) away() *admin.EncryptionAtRest {
	return &admin.EncryptionAtRest{GoogleCloudKms: &admin.GoogleCloudKMS{Enabled: new(false)}}
}

func (k *googleKey) present() string { return k.version }
func (k *googleKey) spelled(name, version string) string {
	return name + "/cryptoKeyVersions/" + version
}

func (k *googleKey) wrong() *admin.EncryptionAtRest {
	return &admin.EncryptionAtRest{GoogleCloudKms: &admin.GoogleCloudKMS{KeyVersionResourceID: new(k.ring() + "/cryptoKeys/none/cryptoKeyVersions/1")}}
}

func (k *googleKey) bring(ctx context.Context) (*admin.EncryptionAtRest, error) {
	t := k.tenant
	if k.version == "" {
		ring, id, _ := strings.Cut(k.ring(), "/keyRings/")
		if _, err := t.administer(ctx, "POST", googleKMS+ring+"/keyRings?keyRingId="+id, `{}`); err != nil {
			return nil, err
		}
		if _, err := t.administer(ctx, "POST", googleKMS+k.ring()+"/cryptoKeys?cryptoKeyId=k", `{"purpose":"ENCRYPT_DECRYPT"}`); err != nil {
			return nil, err
		}
		k.version = k.ring() + "/cryptoKeys/k/cryptoKeyVersions/1"
	}
	c := &admin.GoogleCloudKMS{Enabled: new(true), KeyVersionResourceID: &k.version}
	letIn := k.letRoleIn
	if k.static && k.roleID == "" {
		letIn = k.letKeyIn
	}
	if err := letIn(ctx, c); err != nil {
		return nil, err
	}
	return &admin.EncryptionAtRest{GoogleCloudKms: c}, k.allow(ctx, k.members...)
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
	c.ServiceAccountKey = &k.file
	if k.file != "" {
		return nil
	}
	account := fmt.Sprintf("cmk-user-%d", k.tenant.n)
	if _, err := k.tenant.administer(ctx, "POST", googleIAM, `{"accountId":"`+account+`"}`); err != nil {
		return err
	}
	user := account + "@tenant-project.iam.gserviceaccount.com"
	made, err := k.tenant.administer(ctx, "POST", googleIAM+"/"+user+"/keys", "")
	if err != nil {
		return err
	}
	file, err := base64.StdEncoding.DecodeString(fmt.Sprint(made["privateKeyData"]))
	if err != nil {
		return err
	}
	k.tenant.world.secrets.ofGoogle(k.tenant.name, string(file))
	k.members, k.file = append(k.members, user), string(file)
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
	k.undo = func(ctx context.Context) error { return k.set(ctx, version, "ENABLED") }
	return k.set(ctx, version, "DISABLED")
}

// set changes the state of a version.
func (k *googleKey) set(ctx context.Context, version, state string) error {
	_, err := k.tenant.administer(ctx, "PATCH", googleKMS+version+"?updateMask=state", `{"state":"`+state+`"}`)
	return err
}

// retire implements customerKey.
func (k *googleKey) retire(ctx context.Context) error {
	if err := k.set(ctx, k.names[0], "DISABLED"); err != nil {
		return err
	}
	k.names = k.names[1:]
	return nil
}

func (k *googleKey) lag(int) time.Duration { return 0 }

func (k *googleKey) restore(ctx context.Context) error { return k.undo(ctx) }

func (k *googleKey) next(ctx context.Context) (*admin.EncryptionAtRest, error) {
	version, err := k.makeVersion(ctx)
	return &admin.EncryptionAtRest{GoogleCloudKms: &admin.GoogleCloudKMS{KeyVersionResourceID: &version}}, err
}

func (k *googleKey) makeVersion(ctx context.Context) (name string, err error) {
	made, err := k.tenant.administer(ctx, "POST", googleKMS+k.ring()+"/cryptoKeys/k/cryptoKeyVersions", `{}`)
	return fmt.Sprint(made["name"]), err
}

// renew implements customerKey: the configuration names a version, so another primary one changes nothing.
func (k *googleKey) renew(ctx context.Context) (moved bool, err error) {
	version, err := k.makeVersion(ctx)
	if err != nil {
		return false, err
	}
	k.names = append(k.names, version)
	_, err = k.tenant.administer(ctx, "POST", googleKMS+k.ring()+"/cryptoKeys/k:updatePrimaryVersion",
		`{"cryptoKeyVersionId":"`+version[strings.LastIndexByte(version, '/')+1:]+`"}`)
	return false, err
}
