package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"go.etcd.io/bbolt"

	"latchkey/local/pocket"
	"latchkey/local/pocket/awscloud"
	"latchkey/local/pocket/azurecloud"
	"latchkey/local/pocket/dynamocloud"
	"latchkey/local/pocket/googlecloud"
	"latchkey/local/pocket/messagecloud"
	"latchkey/local/pocket/statescloud"
	"latchkey/local/template"
	"latchkey/shared/access/googleaccount"
	"latchkey/shared/atlas"
	"latchkey/shared/kms/awskms"
	"latchkey/shared/kms/azurekv"
	"latchkey/shared/kms/keyring"
)

// Who is who in the pocket clouds. The tenant's ids are those of the documents' examples; the
// operator's AWS account is the one that local/template resolves AWS::AccountId to.
const (
	tenantAccount     = "111122223333"
	operatorAccount   = "123456789012"
	tenantDirectory   = "6f1b0000-0000-4000-8000-000000000002"
	operatorDirectory = "6f1b0000-0000-4000-8000-0000000000aa"
	// canaryARN is the role of the operator's that Latchkey assumes when a tenant's refuses it. The
	// template names it so too.
	canaryName = "latchkey-" + deployedRegion + "-canary"
	canaryARN  = "arn:aws:iam::" + operatorAccount + ":role/" + canaryName
	// operatorSubscription has the operator's networks at Azure.
	operatorSubscription = "6f1b0000-0000-4000-8000-0000000000ab"
)

// secrets are what the pocket clouds' inhabitants sign in with. They are made once per data folder.
type secrets struct {
	TenantAWS   awscloud.Keys `json:"tenantAws"`   // root of the tenant's account
	OperatorAWS awscloud.Keys `json:"operatorAws"` // the encryption function's role
	// OperatorRoot is the root of the operator's account, Functions are the keys of the
	// functions' roles by the functions' names; only functions that are isolated need them.
	OperatorRoot awscloud.Keys            `json:"operatorRoot"`
	Functions    map[string]awscloud.Keys `json:"functions"`
	Admin        string                   `json:"admin"`     // administrator of Azure and Google
	AzureApp     string                   `json:"azureApp"`  // Latchkey's own application
	GoogleKey    string                   `json:"googleKey"` // key file of Latchkey's own service account
}

// clouds are the pocket clouds with the identities that the suite has in them.
type clouds struct {
	served    *pocket.Clouds
	aws       *awscloud.Cloud
	tables    *dynamocloud.Service // with -isolated
	messages  *messagecloud.Office
	transport http.RoundTripper
	state     pocket.State
	now       func() time.Time
	secrets   secrets
	// endpointDelay is how long private endpoints take; nil is the clouds' own.
	endpointDelay func() time.Duration
	ring          keyring.Config
	accounts      *googleaccount.Accounts
}

// openClouds opens what the tenants' clouds hold and signs Latchkey up in each. azureApp and
// googleProject are the deployment's, from the template.
func openClouds(
	ctx context.Context, db *bbolt.DB, cfg config, w *workflows, azureApp, googleProject string,
) (*clouds, error) {
	state := pocket.Bolt(db)
	c := &clouds{state: state, now: cfg.now, endpointDelay: cfg.endpointDelay}
	if err := c.loadSecrets(state); err != nil {
		return nil, err
	}
	var err error
	if c.aws, err = awscloud.New(state, c.awsConfig()); err != nil {
		return nil, err
	}
	azure, err := azurecloud.New(azurecloud.Config{
		State: state, Now: c.now, AdminToken: c.secrets.Admin, Tenant: tenantDirectory, EndpointDelay: c.endpointDelay,
	})
	if err != nil {
		return nil, err
	}
	google := googlecloud.New(googlecloud.Config{State: state, Now: c.now, AdminToken: c.secrets.Admin})
	if c.tables, err = dynamocloud.New(db, c.aws); err != nil {
		return nil, err
	}
	services := append(c.aws.Services(), azure.Services()...)
	services = append(services, google, c.tables, statescloud.New(w.api, operatorAccount, c.aws))
	c.messages = messagecloud.New(state)
	if err := c.messages.EnsureTopic(alertTopic); err != nil {
		return nil, err
	}
	c.served = pocket.New(&pocket.Faults{}, awscloud.Alias, append(services, c.messages.Services(c.aws)...)...)
	c.served.Show(messagecloud.MailboxPath, c.messages.Mailbox())
	c.transport = pocket.Transport(c.served)
	principal, err := azure.SeedApplication(azurecloud.Seed{
		Tenant: operatorDirectory, AppID: azureApp, Name: "Latchkey", Secret: c.secrets.AzureApp, MultiTenant: true,
	})
	if err != nil {
		return nil, err
	}
	if err := c.lendNetworks(ctx, principal); err != nil {
		return nil, fmt.Errorf("pocket Azure: %w", err)
	}
	if err := c.signUpGoogle(ctx, state, googleProject); err != nil {
		return nil, fmt.Errorf("pocket Google: %w", err)
	}
	return c, c.identify(azureApp, googleProject)
}

func (c *clouds) loadSecrets(state pocket.State) error {
	const kind, id = "local", "secrets"
	found, err := state.Get(kind, id, &c.secrets)
	if err != nil || found && c.secrets.OperatorRoot != (awscloud.Keys{}) {
		return err
	}
	if !found {
		c.secrets = secrets{TenantAWS: newKeys(), OperatorAWS: newKeys(), Admin: "pocket-" + rand.Text(), AzureApp: rand.Text()}
	}
	c.secrets.OperatorRoot = newKeys() // folders of earlier versions have none
	return state.Put(kind, id, c.secrets)
}

func newKeys() awscloud.Keys {
	return awscloud.Keys{AccessKeyID: "AKIA" + rand.Text()[:16], SecretAccessKey: rand.Text() + rand.Text()[:14]}
}

// functionKeys sees to it that each function's role has keys.
func (c *clouds) functionKeys(specs []template.Function) error {
	keys := map[string]awscloud.Keys{}
	for _, spec := range specs {
		keys[spec.Name] = newKeys()
	}
	maps.Copy(keys, c.secrets.Functions)
	if len(keys) == len(c.secrets.Functions) {
		return nil
	}
	c.secrets.Functions = keys
	return c.state.Put("local", "secrets", c.secrets)
}

// awsConfig is the tenant's account, which is empty, and the operator's.
func (c *clouds) awsConfig() awscloud.Config {
	return awscloud.Config{
		Now: c.now, EndpointDelay: c.endpointDelay,
		Accounts: []awscloud.Account{{ID: tenantAccount, Root: c.secrets.TenantAWS}, c.operatorsAccount()},
	}
}

// operatorsAccount has the role that the encryption function runs as, and the canary. As in the
// template, the role assumes other roles with an external id only, and none of its own account
// but the canary.
func (c *clouds) operatorsAccount() awscloud.Account {
	const root, function = "arn:aws:iam::" + operatorAccount + ":root", "latchkey-encryption"
	const own = "arn:aws:iam::" + operatorAccount + ":role/"
	const trust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + root + `"},"Action":"sts:AssumeRole"}]}`
	const canaryTrust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + root + `"},"Action":"sts:AssumeRole",
		"Condition":{"StringEquals":{"aws:PrincipalArn":"` + own + function + `","sts:ExternalId":"` + awskms.CanaryExternalID + `"}}}]}`
	const policy = `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"arn:aws:iam::*:role/*","Condition":{"Null":{"sts:ExternalId":"false"}}},
		{"Effect":"Deny","Action":"sts:AssumeRole","Resource":"` + own + `*","Condition":{"StringNotEquals":{"sts:ExternalId":"` + awskms.CanaryExternalID + `"}}},
		{"Effect":"Deny","Action":"sts:AssumeRole","NotResource":"` + canaryARN + `","Condition":{"StringEquals":{"sts:ExternalId":"` + awskms.CanaryExternalID + `"}}}]}`
	return awscloud.Account{ID: operatorAccount, Root: c.secrets.OperatorRoot, Roles: []awscloud.Role{{
		Name: function, Trust: trust, Policies: map[string]string{functionPolicy: policy}, Keys: c.secrets.OperatorAWS, Session: "encryption",
	}, {
		Name: canaryName, Trust: canaryTrust,
	}}}
}

// signUpGoogle makes the service account that Latchkey acts as in the operator's project and
// the key that it signs in with, as an operator would.
func (c *clouds) signUpGoogle(ctx context.Context, state pocket.State, project string) error {
	if c.secrets.GoogleKey != "" {
		return nil
	}
	email := "latchkey@" + project + ".iam.gserviceaccount.com"
	accounts := "https://iam.googleapis.com/v1/projects/" + project + "/serviceAccounts"
	if err := c.administer(ctx, http.MethodPost, accounts, `{"accountId":"latchkey"}`, nil); err != nil && !errors.Is(err, errExists) {
		return err
	}
	policy := `{"policy":{"bindings":[{"role":"roles/iam.serviceAccountAdmin","members":["serviceAccount:` + email + `"]},` +
		`{"role":"roles/iam.serviceAccountTokenCreator","members":["serviceAccount:` + email + `"]}]}}`
	if err := c.administer(ctx, http.MethodPost, "https://cloudresourcemanager.googleapis.com/v1/projects/"+project+":setIamPolicy", policy, nil); err != nil {
		return err
	}
	var key struct {
		PrivateKeyData string `json:"privateKeyData"`
	}
	if err := c.administer(ctx, http.MethodPost, accounts+"/"+email+"/keys", `{}`, &key); err != nil {
		return err
	}
	file, err := base64.StdEncoding.DecodeString(key.PrivateKeyData)
	if err != nil {
		return err
	}
	c.secrets.GoogleKey = string(file)
	return state.Put("local", "secrets", c.secrets)
}

// errExists says that what was to be made is there already.
var errExists = errors.New("it exists")

// administer performs one administrator's request to the pocket Azure or Google.
func (c *clouds) administer(ctx context.Context, method, url, body string, answer any) error {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader([]byte(body)))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+c.secrets.Admin)
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	text, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return err
	case resp.StatusCode == http.StatusConflict:
		return errExists
	case resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusCreated:
		return fmt.Errorf("%s answers %d %s", url, resp.StatusCode, text)
	case answer == nil:
		return nil
	}
	return json.Unmarshal(text, answer)
}

// identify gives the suite its identities.
func (c *clouds) identify(azureApp, googleProject string) error {
	key, err := atlas.ParseGoogleServiceAccountKey(c.secrets.GoogleKey)
	if err != nil {
		return err
	}
	own := googleaccount.OwnKey(key, googleaccount.Options{Transport: c.transport, Now: c.now, Scope: googleaccount.ScopePlatform})
	if c.accounts, err = googleaccount.NewAccounts(own, googleProject, c.transport); err != nil {
		return err
	}
	keys := c.secrets.OperatorAWS
	c.ring = keyring.Config{
		Transport: c.transport, Now: c.now,
		AWS: credentials.NewStaticCredentialsProvider(keys.AccessKeyID, keys.SecretAccessKey, ""), AWSCanaryARN: canaryARN,
		Azure:  azurekv.App{ClientID: azureApp, HomeTenant: operatorDirectory, Secret: c.secrets.AzureApp},
		Google: own,
	}
	return nil
}
