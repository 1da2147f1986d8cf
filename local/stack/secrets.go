package stack

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"maps"
	"net/http"

	"latchkey/local/pocket/awscloud"
	"latchkey/local/pocket/googlecloud"
	"latchkey/local/template"
)

// Secrets are what the pocket clouds' inhabitants sign in with. They are made once per state.
type Secrets struct {
	TenantAWS   awscloud.Keys `json:"tenantAws"`   // root of the tenant's account
	OperatorAWS awscloud.Keys `json:"operatorAws"` // the encryption function's role
	// OperatorRoot is the root of the operator's account, Functions are the keys of the
	// functions' roles by the functions' names.
	OperatorRoot awscloud.Keys            `json:"operatorRoot"`
	Functions    map[string]awscloud.Keys `json:"functions"`
	Admin        string                   `json:"admin"`     // administrator of Azure and Google
	AzureApp     string                   `json:"azureApp"`  // Latchkey's own application
	GoogleKey    string                   `json:"googleKey"` // key file of Latchkey's own service account
}

// Where the state keeps the secrets.
const secretsKind, secretsID = "local", "secrets"

// loadSecrets reads the secrets, or takes those that were given, or makes new ones. A key at Google that was
// given is returned: it is among the secrets once Google knows it.
func (c *Clouds) loadSecrets() (googleKey string, err error) {
	found, err := c.cfg.State.Get(secretsKind, secretsID, &c.Secrets)
	if err != nil || found && c.Secrets.OperatorRoot != (awscloud.Keys{}) {
		return "", err
	}
	switch {
	case found: // by a version that had no such root
		c.Secrets.OperatorRoot = newKeys()
	case c.cfg.Secrets != nil:
		c.Secrets = *c.cfg.Secrets
		c.Secrets.Functions = maps.Clone(c.Secrets.Functions)
		googleKey, c.Secrets.GoogleKey = c.Secrets.GoogleKey, ""
	default:
		c.Secrets = Secrets{
			TenantAWS: newKeys(), OperatorAWS: newKeys(), OperatorRoot: newKeys(), Admin: "pocket-" + rand.Text(), AzureApp: rand.Text(),
		}
	}
	return googleKey, c.keepSecrets()
}

func (c *Clouds) keepSecrets() error { return c.cfg.State.Put(secretsKind, secretsID, c.Secrets) }

func newKeys() awscloud.Keys {
	return awscloud.Keys{AccessKeyID: "AKIA" + rand.Text()[:16], SecretAccessKey: rand.Text() + rand.Text()[:14]}
}

// functionKeys sees to it that each function's role has keys.
func (c *Clouds) functionKeys(specs []template.Function) error {
	keys := maps.Clone(c.Secrets.Functions)
	if keys == nil {
		keys = map[string]awscloud.Keys{}
	}
	for _, spec := range specs {
		if _, ok := keys[spec.Name]; !ok {
			keys[spec.Name] = newKeys()
		}
	}
	if len(keys) == len(c.Secrets.Functions) {
		return nil
	}
	c.Secrets.Functions = keys
	return c.keepSecrets()
}

// signUpGoogle makes the service account that Latchkey acts as in the operator's project and
// the key that it signs in with, as an operator would; or has a key given before be that key.
func (c *Clouds) signUpGoogle(ctx context.Context, google *googlecloud.Cloud, project, given string) error {
	if c.Secrets.GoogleKey != "" {
		return nil
	}
	email := "latchkey@" + project + ".iam.gserviceaccount.com"
	accounts := "https://iam.googleapis.com/v1/projects/" + project + "/serviceAccounts"
	if given != "" {
		if err := google.SeedAccount(given); err != nil {
			return err
		}
	}
	if err := c.administer(ctx, http.MethodPost, accounts, `{"accountId":"latchkey"}`, nil); err != nil && !errors.Is(err, errExists) {
		return err
	}
	policy := `{"policy":{"bindings":[{"role":"roles/iam.serviceAccountAdmin","members":["serviceAccount:` + email + `"]},` +
		`{"role":"roles/iam.serviceAccountTokenCreator","members":["serviceAccount:` + email + `"]}]}}`
	if err := c.administer(ctx, http.MethodPost, "https://cloudresourcemanager.googleapis.com/v1/projects/"+project+":setIamPolicy", policy, nil); err != nil {
		return err
	}
	file := []byte(given)
	if given == "" {
		var key struct {
			PrivateKeyData string `json:"privateKeyData"`
		}
		if err := c.administer(ctx, http.MethodPost, accounts+"/"+email+"/keys", `{}`, &key); err != nil {
			return err
		}
		var err error
		if file, err = base64.StdEncoding.DecodeString(key.PrivateKeyData); err != nil {
			return err
		}
	}
	c.Secrets.GoogleKey = string(file)
	return c.keepSecrets()
}
