package changeover_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"latchkey/local/pocket/pockettest"
	"latchkey/shared/access"
	"latchkey/shared/atlas"
	"latchkey/shared/store/keys"
)

// tenant is what a tenant has at Azure or Google: two keys that are administered apart (in two
// vaults; with two policies), an identity with a secret, and one that Latchkey has a role for.
type tenant struct {
	w        *world
	provider atlas.Provider
	block    string // of the settings
	host     string // of the KMS; "*" stands for the vault
	secret   string
	// static and byRole are the members that reach keys with the secret and by the role, other is
	// another secret of the same identity.
	static, byRole, other string
	// configured are the members that name a version of the first or the second key.
	configured func(which, version int) string
	// name is a key as the ledger knows it, versions the versions there are, the first one first.
	name     func(which int) string
	versions func(which int) []string
	// admit lets exactly these identities use a key.
	admit func(which int, isStatic, isRole bool)
	// rotate has the provider make another version, as its own rotation does; newVersion is the tenant's
	// own act.
	rotate, newVersion func(which int)
	// disable takes a version away, or gives it back.
	disable func(which, version int, isDisabled bool)
}

// bring makes what a tenant has at a provider, and has the world look at that provider.
func (w *world) bring(p atlas.Provider) *tenant {
	w.t.Helper()
	t := &tenant{w: w, provider: p}
	switch p {
	case atlas.Azure:
		t.signUpAzure()
	case atlas.GCP:
		t.signUpGoogle()
	case atlas.AWS:
		w.t.Fatal("the world brings AWS by itself")
	}
	for which := range 2 {
		t.admit(which, true, true)
	}
	w.at, w.tenants[p] = p, t
	return t
}

// patch changes the provider's block.
func (t *tenant) patch(members ...string) {
	t.w.t.Helper()
	t.w.mustPatch(`{%q:{%s}}`, t.block, raw(strings.Join(members, ",")))
}

// raw is put into a format as it is, with %s and %q alike.
type raw string

// Format implements fmt.Formatter.
func (r raw) Format(f fmt.State, _ rune) {
	io.WriteString(f, string(r)) //nolint:errcheck // into a buffer
}

// enable enables the first version of the first key, with the secret.
func (t *tenant) enable() {
	t.w.t.Helper()
	t.patch(`"enabled":true`, t.static, t.configured(0, 0))
}

const (
	azureManagement = "https://management.azure.com/subscriptions/" + pockettest.Subscription + "/resourceGroups/rg-kms/providers/Microsoft.KeyVault/vaults/"
	azureGraph      = "https://graph.microsoft.com/v1.0"
	azureRoleID     = "650000000000000000000021"
	googleRoleID    = "650000000000000000000022"
)

func (t *tenant) signUpAzure() {
	w := t.w
	w.t.Helper()
	vault := func(which int) string { return fmt.Sprintf("kv-%d", which+1) }
	key := func(which int) string { return "https://" + vault(which) + ".vault.azure.net/keys/atlas" }
	for which := range 2 {
		w.Admin(http.MethodPut, azureManagement+vault(which), `{"location":"eastus2","properties":{"tenantId":"`+pockettest.TenantDirectory+`","accessPolicies":[]}}`)
		w.Admin(http.MethodPost, key(which)+"/create", `{"kty":"RSA","key_size":2048}`)
	}
	app := w.Admin(http.MethodPost, azureGraph+"/applications", `{"displayName":"tenant"}`)
	password := func() string {
		return fmt.Sprint(w.Admin(http.MethodPost, azureGraph+"/applications/"+fmt.Sprint(app["id"])+"/addPassword", `{"passwordCredential":{"displayName":"s"}}`)["secretText"])
	}
	admitted := func(appID string) string {
		return fmt.Sprint(w.Admin(http.MethodPost, azureGraph+"/servicePrincipals", `{"appId":"`+appID+`"}`)["id"])
	}
	tenants, ours := admitted(fmt.Sprint(app["appId"])), admitted(pockettest.AppID)
	w.put(keys.Role(groupID, azureRoleID), access.Role{ID: azureRoleID, GroupID: groupID, Provider: atlas.Azure, Azure: &access.AzureRole{
		AppID: pockettest.AppID, TenantID: pockettest.TenantDirectory, ServicePrincipalID: ours, AuthorizedAt: time.Now(),
	}})
	t.block, t.host, t.secret = "azureKeyVault", "*.vault.azure.net", password()
	where := `"azureEnvironment":"AZURE","resourceGroupName":"rg-kms","subscriptionID":"` + pockettest.Subscription + `","tenantID":"` + pockettest.TenantDirectory + `",`
	t.static = where + `"clientID":"` + fmt.Sprint(app["appId"]) + `","secret":"` + t.secret + `"`
	t.byRole, t.other = `"roleId":"`+azureRoleID+`"`, `"secret":"`+password()+`"`
	t.versions = func(which int) (all []string) {
		list := w.Admin(http.MethodGet, key(which)+"/versions", "")["value"].([]any)
		ids := make(map[string]float64, len(list))
		for _, v := range list {
			kid := fmt.Sprint(v.(map[string]any)["kid"])
			ids[kid[strings.LastIndex(kid, "/")+1:]] = v.(map[string]any)["attributes"].(map[string]any)["created"].(float64)
		}
		for len(ids) > 0 { // the oldest first
			oldest := ""
			for id, made := range ids {
				if oldest == "" || made < ids[oldest] {
					oldest = id
				}
			}
			all = append(all, oldest)
			delete(ids, oldest)
		}
		return all
	}
	t.name = key
	t.configured = func(which, version int) string {
		id := key(which)
		if version >= 0 {
			id += "/" + t.versions(which)[version]
		}
		return fmt.Sprintf(`"keyVaultName":%q,"keyIdentifier":%q`, vault(which), id)
	}
	t.admit = func(which int, isStatic, isRole bool) {
		for principal, is := range map[string]bool{tenants: isStatic, ours: isRole} {
			kind := map[bool]string{true: "add", false: "remove"}[is]
			w.Admin(http.MethodPut, azureManagement+vault(which)+"/accessPolicies/"+kind, fmt.Sprintf(
				`{"properties":{"accessPolicies":[{"tenantId":%q,"objectId":%q,"permissions":{"keys":["get","encrypt","decrypt"]}}]}}`,
				pockettest.TenantDirectory, principal))
		}
	}
	t.rotate = func(which int) {
		time.Sleep(2 * time.Second) // two versions of one second have no order
		w.Admin(http.MethodPost, key(which)+"/rotate", "")
	}
	t.newVersion = t.rotate
	t.disable = func(which, version int, isDisabled bool) {
		w.Admin(http.MethodPatch, key(which)+"/"+t.versions(which)[version], fmt.Sprintf(`{"attributes":{"enabled":%t}}`, !isDisabled))
	}
}

func (t *tenant) signUpGoogle() {
	w := t.w
	w.t.Helper()
	const api, ring = "https://cloudkms.googleapis.com/v1/", "projects/" + pockettest.TenantProject + "/locations/us-east4/keyRings/kr"
	key := func(which int) string { return fmt.Sprintf("%s/cryptoKeys/k%d", ring, which+1) }
	w.Admin(http.MethodPost, api+strings.TrimSuffix(ring, "/kr")+"?keyRingId=kr", "")
	for which := range 2 {
		w.Admin(http.MethodPost, fmt.Sprintf("%s%s/cryptoKeys?cryptoKeyId=k%d", api, ring, which+1), `{"purpose":"ENCRYPT_DECRYPT"}`)
	}
	tenants, file := w.ServiceAccount(pockettest.TenantProject, "cmk-user")
	second := w.Admin(http.MethodPost, "https://iam.googleapis.com/v1/projects/"+pockettest.TenantProject+"/serviceAccounts/"+tenants+"/keys", "")
	ours, _ := w.ServiceAccount(pockettest.OperatorProject, "group-1")
	w.put(keys.Role(groupID, googleRoleID), access.Role{ID: googleRoleID, GroupID: groupID, Provider: atlas.GCP, Google: &access.GoogleRole{
		Email: ours, Status: access.Complete,
	}})
	var parts struct {
		PrivateKey string `json:"private_key"`
	}
	w.must(json.Unmarshal([]byte(file), &parts))
	t.block, t.host, t.secret = "googleCloudKms", "cloudkms.googleapis.com", strings.Trim(quoted(parts.PrivateKey), `"`)
	t.static = `"serviceAccountKey":` + quoted(file)
	another, err := base64.StdEncoding.DecodeString(fmt.Sprint(second["privateKeyData"]))
	w.must(err)
	t.byRole, t.other = `"roleId":"`+googleRoleID+`"`, `"serviceAccountKey":`+quoted(string(another))
	t.name = key
	t.versions = func(which int) (all []string) {
		for i := range w.Admin(http.MethodGet, api+key(which)+"/cryptoKeyVersions", "")["cryptoKeyVersions"].([]any) {
			all = append(all, strconv.Itoa(i+1))
		}
		return all
	}
	t.configured = func(which, version int) string {
		return fmt.Sprintf(`"keyVersionResourceID":"%s/cryptoKeyVersions/%d"`, key(which), version+1)
	}
	t.admit = func(which int, isStatic, isRole bool) {
		members := []string{}
		for email, is := range map[string]bool{tenants: isStatic, ours: isRole} {
			if is {
				members = append(members, "serviceAccount:"+email)
			}
		}
		list, err := json.Marshal(members)
		w.must(err)
		w.Admin(http.MethodPost, api+key(which)+":setIamPolicy", fmt.Sprintf(
			`{"policy":{"bindings":[{"role":"roles/cloudkms.cryptoKeyEncrypterDecrypter","members":%s},{"role":"roles/cloudkms.viewer","members":%[1]s}]}}`, list))
	}
	t.rotate = func(which int) { // on schedule, a day from now
		next := time.Now().Add(24 * time.Hour)
		w.Admin(http.MethodPatch, api+key(which)+"?updateMask=rotationPeriod,nextRotationTime", fmt.Sprintf(
			`{"rotationPeriod":"7776000s","nextRotationTime":%q}`, next.UTC().Format(time.RFC3339)))
		time.Sleep(25 * time.Hour)
		if primary := fmt.Sprint(w.Admin(http.MethodGet, api+key(which), "")["primary"]); !strings.Contains(primary, "cryptoKeyVersions/2") {
			w.t.Fatalf("the primary version is %s", primary)
		}
	}
	t.newVersion = func(which int) { w.Admin(http.MethodPost, api+key(which)+"/cryptoKeyVersions", "") }
	t.disable = func(which, version int, isDisabled bool) {
		state := map[bool]string{true: "DISABLED", false: "ENABLED"}[isDisabled]
		w.Admin(http.MethodPatch, fmt.Sprintf("%s%s/cryptoKeyVersions/%d?updateMask=state", api, key(which), version+1), `{"state":"`+state+`"}`)
	}
}

// quoted is a text as JSON has it.
func quoted(s string) string {
	b, _ := json.Marshal(s) //nolint:errchkjson // a string
	return string(b)
}
