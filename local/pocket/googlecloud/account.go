package googlecloud

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"latchkey/shared/atlas"
)

// account is a service account and its keys.
type account struct {
	Email       string                `json:"email"`
	Project     string                `json:"project"`
	UID         string                `json:"uid"`
	DisplayName string                `json:"displayName,omitempty"`
	Description string                `json:"description,omitempty"`
	Disabled    bool                  `json:"disabled,omitempty"`
	Keys        map[string]accountKey `json:"keys,omitempty"` // by id
}

// accountKey is a key of a service account; Google keeps the public half only.
type accountKey struct {
	Public   []byte    `json:"public"` // PKIX
	Created  time.Time `json:"created"`
	Disabled bool      `json:"disabled,omitempty"`
}

// maxAccountKeys is how many keys an account may have.
const maxAccountKeys = 10

var accountIDForm = regexp.MustCompile(`\A[a-z][a-z0-9-]{4,28}[a-z0-9]\z`)

// emailOf is the address of an account. A domain-scoped project "example.com:p" turns around.
func emailOf(id, project string) string {
	if domain, name, ok := strings.Cut(project, ":"); ok {
		project = name + "." + domain
	}
	return id + "@" + project + ".iam.gserviceaccount.com"
}

func (a account) name() string { return "projects/" + a.Project + "/serviceAccounts/" + a.Email }

func (a account) wire() map[string]any {
	out := map[string]any{
		"name": a.name(), "projectId": a.Project, "uniqueId": a.UID, "email": a.Email, "oauth2ClientId": a.UID,
		"etag": "MDEwMjE5MjA=",
	}
	if a.DisplayName != "" {
		out["displayName"] = a.DisplayName
	}
	if a.Description != "" {
		out["description"] = a.Description
	}
	if a.Disabled {
		out["disabled"] = true
	}
	return out
}

// account finds an account by its e-mail.
func (c *Cloud) account(email string) (account, bool, error) {
	var a account
	found, err := c.docs.Get(kindAccount, email, &a)
	return a, found, err
}

// named finds the account that a path names, by e-mail or by unique id. Its project may be "-".
func (c *Cloud) named(req *request) (account, error) {
	project, name := req.vars[0], req.vars[1]
	a, found, err := c.account(name)
	if err == nil && !found {
		a, found, err = c.accountByUID(name)
	}
	if err != nil {
		return account{}, err
	}
	if found && (project == "-" || project == a.Project) {
		return a, nil
	}
	if project == "-" {
		return account{}, notFound("Not found; Gaia id not found for email " + name)
	}
	return account{}, notFound("Service account projects/" + project + "/serviceAccounts/" + name + " does not exist.")
}

func (c *Cloud) accountByUID(uid string) (account, bool, error) {
	all, err := list[account](c.docs, kindAccount, "")
	i := slices.IndexFunc(all, func(a account) bool { return a.UID == uid })
	if err != nil || i < 0 {
		return account{}, false, err
	}
	return all[i], true, nil
}

// byAccount checks the permission on the account. Unlike Google, which hides whether it
// exists from callers without permission on the project, it says so to everybody.
func byAccount(c *Cloud, req *request) (string, error) {
	a, err := c.named(req)
	return a.name(), err
}

func (c *Cloud) createAccount(req *request) (any, error) {
	var in struct {
		AccountID string `json:"accountId"`
		Account   struct {
			DisplayName string `json:"displayName"`
			Description string `json:"description"`
		} `json:"serviceAccount"`
	}
	if err := readJSON(req, &in); err != nil {
		return nil, err
	}
	project := req.vars[0]
	if !accountIDForm.MatchString(in.AccountID) || !atlas.ValidGoogleProject(project) {
		return nil, invalidArgument("The account ID \"" + in.AccountID + "\" does not have a length between 6 and 30 or is malformed.")
	}
	uid, err := rand.Int(rand.Reader, big.NewInt(1e18))
	if err != nil {
		return nil, err
	}
	a := account{
		Email: emailOf(in.AccountID, project), Project: project, UID: fmt.Sprintf("1%020d", uid),
		DisplayName: in.Account.DisplayName, Description: in.Account.Description,
	}
	_, found, err := c.account(a.Email)
	if err != nil {
		return nil, err
	}
	if found {
		return nil, alreadyExists("Service account "+in.AccountID+" already exists within project projects/"+project+".",
			resourceInfo{Type: "type.googleapis.com/google.rpc.ResourceInfo", Name: a.name()})
	}
	return a.wire(), c.docs.Put(kindAccount, a.Email, a)
}

func (c *Cloud) listAccounts(req *request) (any, error) {
	all, err := list[account](c.docs, kindAccount, "")
	shown := []map[string]any{}
	for _, a := range all {
		if a.Project == req.vars[0] {
			shown = append(shown, a.wire())
		}
	}
	return map[string]any{"accounts": shown}, err
}

func (c *Cloud) getAccount(req *request) (any, error) {
	a, err := c.named(req)
	return a.wire(), err
}

func (c *Cloud) deleteAccount(req *request) (any, error) {
	a, err := c.named(req)
	if err != nil {
		return nil, err
	}
	if err := c.docs.Delete(kindPolicy, a.name()); err != nil {
		return nil, err
	}
	return struct{}{}, c.docs.Delete(kindAccount, a.Email)
}

func (c *Cloud) disableAccount(req *request) (any, error) { return c.setDisabled(req, true) }

func (c *Cloud) enableAccount(req *request) (any, error) { return c.setDisabled(req, false) }

func (c *Cloud) setDisabled(req *request, disabled bool) (any, error) {
	a, err := c.named(req)
	if err != nil {
		return nil, err
	}
	a.Disabled = disabled
	return struct{}{}, c.docs.Put(kindAccount, a.Email, a)
}

// createAccountKey makes a key and returns the key file, the only time it is shown.
func (c *Cloud) createAccountKey(req *request) (any, error) {
	a, err := c.named(req)
	if err != nil {
		return nil, err
	}
	if len(a.Keys) >= maxAccountKeys {
		return nil, failedPrecondition("Precondition check failed.")
	}
	private, err := c.cfg.GenerateKey(2048)
	if err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		return nil, err
	}
	id := newKeyID()
	file, err := keyFile(a, id, private)
	if err != nil {
		return nil, err
	}
	if a.Keys == nil {
		a.Keys = map[string]accountKey{}
	}
	a.Keys[id] = accountKey{Public: public, Created: req.now}
	shown := a.wireKey(id)
	shown["privateKeyType"] = "TYPE_GOOGLE_CREDENTIALS_FILE"
	shown["privateKeyData"] = base64.StdEncoding.EncodeToString(file)
	return shown, c.docs.Put(kindAccount, a.Email, a)
}

func newKeyID() string {
	id := make([]byte, 20)
	rand.Read(id) // never fails since Go 1.24
	return hex.EncodeToString(id)
}

// keyFile is the file that a person downloads.
func keyFile(a account, id string, private *rsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	secret := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	return json.MarshalIndent(struct { //nolint:gosec // the file is the secret: this is how Google hands it over
		Type         string `json:"type"`
		ProjectID    string `json:"project_id"`
		PrivateKeyID string `json:"private_key_id"`
		PrivateKey   string `json:"private_key"`
		ClientEmail  string `json:"client_email"`
		ClientID     string `json:"client_id"`
		AuthURI      string `json:"auth_uri"`
		TokenURI     string `json:"token_uri"`
		CertURL      string `json:"auth_provider_x509_cert_url"`
		ClientURL    string `json:"client_x509_cert_url"`
		Universe     string `json:"universe_domain"`
	}{
		"service_account", a.Project, id, secret, a.Email, a.UID,
		"https://accounts.google.com/o/oauth2/auth", tokenURL,
		"https://www.googleapis.com/oauth2/v1/certs", "https://www.googleapis.com/robot/v1/metadata/x509/" + a.Email,
		"googleapis.com",
	}, "", "  ")
}

func (a account) wireKey(id string) map[string]any {
	k := a.Keys[id]
	out := map[string]any{
		"name": a.name() + "/keys/" + id, "keyAlgorithm": "KEY_ALG_RSA_2048", "keyOrigin": "GOOGLE_PROVIDED", "keyType": "USER_MANAGED",
		"validAfterTime": k.Created.Format(time.RFC3339), "validBeforeTime": "9999-12-31T23:59:59Z",
	}
	if k.Disabled {
		out["disabled"], out["disableReason"] = true, "SERVICE_ACCOUNT_KEY_DISABLE_REASON_USER_INITIATED"
	}
	return out
}

func (c *Cloud) listAccountKeys(req *request) (any, error) {
	a, err := c.named(req)
	shown := []map[string]any{}
	for _, id := range slices.Sorted(maps.Keys(a.Keys)) {
		shown = append(shown, a.wireKey(id))
	}
	return map[string]any{"keys": shown}, err
}

// namedKey finds the account and that it has the key that a path names.
func (c *Cloud) namedKey(req *request) (account, string, error) {
	a, err := c.named(req)
	if err != nil {
		return account{}, "", err
	}
	id := req.vars[2]
	if _, ok := a.Keys[id]; !ok {
		return account{}, "", failure(http.StatusNotFound, "NOT_FOUND", "Service account key "+id+" does not exist.")
	}
	return a, id, nil
}

func (c *Cloud) getAccountKey(req *request) (any, error) {
	a, id, err := c.namedKey(req)
	if err != nil {
		return nil, err
	}
	return a.wireKey(id), nil
}

func (c *Cloud) deleteAccountKey(req *request) (any, error) {
	a, id, err := c.namedKey(req)
	if err != nil {
		return nil, err
	}
	delete(a.Keys, id)
	return struct{}{}, c.docs.Put(kindAccount, a.Email, a)
}

func (c *Cloud) disableAccountKey(req *request) (any, error) { return c.setKeyDisabled(req, true) }

func (c *Cloud) enableAccountKey(req *request) (any, error) { return c.setKeyDisabled(req, false) }

func (c *Cloud) setKeyDisabled(req *request, disabled bool) (any, error) {
	a, id, err := c.namedKey(req)
	if err != nil {
		return nil, err
	}
	k := a.Keys[id]
	k.Disabled = disabled
	a.Keys[id] = k
	return struct{}{}, c.docs.Put(kindAccount, a.Email, a)
}
