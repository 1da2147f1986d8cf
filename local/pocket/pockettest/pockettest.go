// Package pockettest is the three pocket clouds in the state in which a deployment meets them:
// the operator has signed Latchkey up in each, and a tenant has an account, a directory and a
// project of its own, with nothing in them. Tests do the rest as the tenant's administrator.
//
// Its one invariant: nothing here knows of Latchkey's code beyond the identities that it is
// given, so that what a test proves it proves of requests on the wire.
package pockettest

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"latchkey/local/pocket"
	"latchkey/local/pocket/awscloud"
	"latchkey/local/pocket/awscloud/awssdk"
	"latchkey/local/pocket/azurecloud"
	"latchkey/local/pocket/googlecloud"
	"latchkey/shared/access/googleaccount"
	"latchkey/shared/atlas"
	"latchkey/shared/kms/azurekv"
	"latchkey/shared/kms/keyring"
)

// Who is who. The tenant's ids are those of the documents' examples.
const (
	TenantAccount   = "111122223333"
	TenantDirectory = "6f1b0000-0000-4000-8000-000000000002"
	Subscription    = "6f1b0000-0000-4000-8000-000000000003"
	TenantProject   = "tenant-1"

	OperatorAccount   = "999900001111"
	OperatorDirectory = "6f1b0000-0000-4000-8000-0000000000aa"
	OperatorProject   = "p-0123456789abcdefghijklmn"

	// PrincipalARN is what tenants' trust policies name.
	PrincipalARN = "arn:aws:iam::" + OperatorAccount + ":root"
	// AppID is Latchkey's multi-tenant application.
	AppID = "9efedfcc-2eca-4b27-a613-0cad1e114cb7"
)

// Secrets of Latchkey's own. They must not show up anywhere.
const (
	operatorSecret = "operators-own-aws-secret"
	appSecret      = "latchkeys-own-azure-secret" //nolint:gosec // of a cloud that exists in a test
	adminToken     = "administrator-of-azure-and-google"
)

var (
	tenantRoot   = awscloud.Keys{AccessKeyID: "AKIATENANTROOT000000", SecretAccessKey: "tenant-root-secret"} //nolint:gosec // of a cloud that exists in a test
	latchkeyKeys = awscloud.Keys{AccessKeyID: "AKIALATCHKEY00000000", SecretAccessKey: operatorSecret}
)

// Options say how the clouds behave. Now is required.
type Options struct {
	Now func() time.Time
	// Lag is how late changes of roles, policies and service principals take effect. New waits
	// that long for the operator's, so it must be called in a bubble of testing/synctest.
	Lag time.Duration
}

// Clouds are the clouds. Failures of the tenant's own requests end the test.
type Clouds struct {
	tb        testing.TB
	opts      Options
	transport http.RoundTripper // not Latchkey's
	ownKey    string            // Latchkey's key file at Google

	Faults *pocket.Faults
}

// New opens the clouds.
func New(tb testing.TB, o Options) *Clouds {
	tb.Helper()
	c := &Clouds{tb: tb, opts: o, Faults: &pocket.Faults{}}
	const assume = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}]}`
	aws, err := awscloud.New(pocket.Memory(), awscloud.Config{
		Now: o.Now, Lag: func() time.Duration { return o.Lag },
		Accounts: []awscloud.Account{
			{ID: TenantAccount, Root: tenantRoot},
			{ID: OperatorAccount, Users: []awscloud.User{
				{Name: "latchkey", Keys: []awscloud.Keys{latchkeyKeys}, Policies: map[string]string{"assume": assume}},
			}},
		},
	})
	c.must(err)
	next := 0
	generate := func(int) (*rsa.PrivateKey, error) { next++; return pool()[next%len(pool())], nil }
	azure, err := azurecloud.New(azurecloud.Config{
		State: pocket.Memory(), Now: o.Now, AdminToken: adminToken, Tenant: TenantDirectory, Lag: o.Lag, GenerateKey: generate,
	})
	c.must(err)
	_, err = azure.SeedApplication(azurecloud.Seed{
		Tenant: OperatorDirectory, AppID: AppID, Name: "Latchkey", Secret: appSecret, MultiTenant: true,
	})
	c.must(err)
	google := googlecloud.New(googlecloud.Config{
		State: pocket.Memory(), Now: o.Now, AdminToken: adminToken, Lag: o.Lag, GenerateKey: generate,
	})
	services := append(aws.Services(), azure.Services()...)
	c.transport = pocket.Transport(pocket.New(c.Faults, awscloud.Alias, append(services, google)...))
	c.signUpGoogle()
	if o.Lag > 0 {
		<-time.After(o.Lag)
	}
	return c
}

// pool hands out a few RSA keys in turn, since making one takes a tenth of a second.
var pool = sync.OnceValue(func() []*rsa.PrivateKey {
	keys := make([]*rsa.PrivateKey, 4)
	for i := range keys {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		keys[i] = k
	}
	return keys
})

func (c *Clouds) must(err error) {
	c.tb.Helper()
	if err != nil {
		c.tb.Fatal(err)
	}
}

// signUpGoogle makes the identity that Latchkey has in the operator's project.
func (c *Clouds) signUpGoogle() {
	email, key := c.ServiceAccount(OperatorProject, "latchkey")
	c.ownKey = key
	member := `"members":["serviceAccount:` + email + `"]`
	c.Admin(http.MethodPost, "https://cloudresourcemanager.googleapis.com/v1/projects/"+OperatorProject+":setIamPolicy",
		`{"policy":{"bindings":[{"role":"roles/iam.serviceAccountAdmin",`+member+`},{"role":"roles/iam.serviceAccountTokenCreator",`+member+`}]}}`)
}

// Transport reaches the clouds.
func (c *Clouds) Transport() http.RoundTripper { return c.transport }

// Identities are Latchkey's own in the three clouds, reached over transport.
func (c *Clouds) Identities(transport http.RoundTripper) keyring.Config {
	return keyring.Config{
		Transport: transport, Now: c.opts.Now,
		AWS:    credentials.NewStaticCredentialsProvider(latchkeyKeys.AccessKeyID, latchkeyKeys.SecretAccessKey, ""),
		Azure:  azurekv.App{ClientID: AppID, HomeTenant: OperatorDirectory, Secret: appSecret},
		Google: c.own(transport),
	}
}

// Accounts make service accounts in the operator's Google project.
func (c *Clouds) Accounts(transport http.RoundTripper) *googleaccount.Accounts {
	c.tb.Helper()
	accounts, err := googleaccount.NewAccounts(c.own(transport), OperatorProject, transport)
	c.must(err)
	return accounts
}

func (c *Clouds) own(transport http.RoundTripper) *googleaccount.Identity {
	c.tb.Helper()
	key, err := atlas.ParseGoogleServiceAccountKey(c.ownKey)
	c.must(err)
	return googleaccount.OwnKey(key, googleaccount.Options{Transport: transport, Now: c.opts.Now, Scope: googleaccount.ScopePlatform})
}

// OwnSecrets are texts that must not show up in anything that Latchkey answers, stores or logs.
func (c *Clouds) OwnSecrets() []string { return []string{operatorSecret, appSecret, c.ownKey} }

// KMS is the tenant's root user at AWS KMS.
func (c *Clouds) KMS(region string) *kms.Client {
	return kms.NewFromConfig(awssdk.Config(c.transport, region, tenantRoot))
}

// IAM is the tenant's root user at AWS IAM.
func (c *Clouds) IAM() *iam.Client {
	return iam.NewFromConfig(awssdk.Config(c.transport, "us-east-1", tenantRoot))
}

// Admin does what a person would with curl and the token of an administrator of the tenant's
// Azure directory and Google projects. headers are names and values in turn.
func (c *Clouds) Admin(method, url, body string, headers ...string) map[string]any {
	c.tb.Helper()
	if strings.Contains(url, ".azure.") {
		url += "?api-version=2025-07-01"
	}
	r, err := http.NewRequestWithContext(c.tb.Context(), method, url, strings.NewReader(body))
	c.must(err)
	r.Header.Set("Authorization", "Bearer "+adminToken)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := c.transport.RoundTrip(r)
	c.must(err)
	defer resp.Body.Close() //nolint:errcheck // it was only read
	text, err := io.ReadAll(resp.Body)
	c.must(err)
	if resp.StatusCode >= http.StatusMultipleChoices {
		c.tb.Fatalf("%s %s: %d %s", method, url, resp.StatusCode, text)
	}
	out := map[string]any{}
	if len(text) > 0 {
		c.must(json.Unmarshal(text, &out))
	}
	return out
}

// ServiceAccount makes a Google service account and a key for it.
func (c *Clouds) ServiceAccount(project, id string) (email, key string) {
	c.tb.Helper()
	accounts := "https://iam.googleapis.com/v1/projects/" + project + "/serviceAccounts"
	c.Admin(http.MethodPost, accounts, `{"accountId":"`+id+`"}`)
	email = id + "@" + project + ".iam.gserviceaccount.com"
	made := c.Admin(http.MethodPost, accounts+"/"+email+"/keys", "")
	file, err := base64.StdEncoding.DecodeString(fmt.Sprint(made["privateKeyData"]))
	c.must(err)
	return email, string(file)
}
