package stack

import (
	"bytes"
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"go.etcd.io/bbolt"

	"latchkey/local/pocket"
	"latchkey/local/pocket/awscloud"
	"latchkey/local/pocket/awscloud/awssdk"
	"latchkey/local/pocket/azurecloud"
	"latchkey/local/pocket/dynamocloud"
	"latchkey/local/pocket/googlecloud"
	"latchkey/local/pocket/messagecloud"
	"latchkey/local/pocket/statescloud"
	"latchkey/local/template"
	"latchkey/shared/access/googleaccount"
	"latchkey/shared/atlas"
	"latchkey/shared/kms/azurekv"
	"latchkey/shared/kms/keyring"
)

// Who is who in the pocket clouds. The tenant's ids are those of the documents' examples; the
// operator's AWS account is the one that local/template resolves AWS::AccountId to.
const (
	TenantAccount     = "111122223333"
	OperatorAccount   = "123456789012"
	TenantDirectory   = "6f1b0000-0000-4000-8000-000000000002"
	OperatorDirectory = "6f1b0000-0000-4000-8000-0000000000aa"
	// CanaryARN is the role of the operator's that Latchkey assumes when a tenant's refuses it. The
	// template names it so too.
	canaryName = "latchkey-" + Region + "-canary"
	CanaryARN  = "arn:aws:iam::" + OperatorAccount + ":role/" + canaryName
	// operatorSubscription has the operator's networks at Azure.
	operatorSubscription = "6f1b0000-0000-4000-8000-0000000000ab"
)

// CloudsConfig says what clouds OpenClouds opens. State, Now, Workflows and Functions are required.
type CloudsConfig struct {
	State pocket.State // what the clouds hold
	// DB has the tables of the pocket DynamoDB; nil is none, for functions with a table of this process.
	DB        *bbolt.DB
	Now       func() time.Time
	Workflows *Workflows // served as Step Functions
	// Functions name Latchkey's identities at Azure and Google in their environment.
	Functions []template.Function
	// EndpointDelay is how long private endpoints take; nil is the clouds' own.
	EndpointDelay func() time.Duration
	// Secrets are signed up with in a state that has none; nil is new ones.
	Secrets *Secrets
	// GenerateKey makes RSA keys; nil is rsa.GenerateKey. They are slow to make, so who makes many stacks
	// gives the same again.
	GenerateKey func(bits int) (*rsa.PrivateKey, error)
	// Wrap is put around what the functions send to the clouds; nil is nothing.
	Wrap func(http.RoundTripper) http.RoundTripper
}

// Clouds are the pocket clouds with the identities that the suite has in them.
type Clouds struct {
	Served   *pocket.Clouds
	AWS      *awscloud.Cloud
	Messages *messagecloud.Office
	Tables   *dynamocloud.Service // nil without a database
	Secrets  Secrets
	Ring     keyring.Config // what Latchkey opens tenants' keys with
	Accounts *googleaccount.Accounts

	cfg       CloudsConfig
	console   http.RoundTripper // people's and the clouds' own way to the clouds
	transport http.RoundTripper // the functions' way
}

// OpenClouds opens what the tenants' clouds hold and signs Latchkey up in each, as an operator would.
// Deploy and DeployAll follow.
func OpenClouds(ctx context.Context, cfg CloudsConfig) (*Clouds, error) {
	azureApp, googleProject, err := identities(cfg.Functions)
	if err != nil {
		return nil, err
	}
	c := &Clouds{cfg: cfg}
	given, err := c.loadSecrets()
	if err != nil {
		return nil, err
	}
	if c.AWS, err = awscloud.New(cfg.State, c.awsConfig()); err != nil {
		return nil, err
	}
	azure, err := azurecloud.New(azurecloud.Config{
		State: cfg.State, Now: cfg.Now, AdminToken: c.Secrets.Admin, Tenant: TenantDirectory,
		EndpointDelay: cfg.EndpointDelay, GenerateKey: cfg.GenerateKey,
	})
	if err != nil {
		return nil, err
	}
	google := googlecloud.New(googlecloud.Config{
		State: cfg.State, Now: cfg.Now, AdminToken: c.Secrets.Admin, GenerateKey: cfg.GenerateKey,
	})
	if err := c.serve(append(azure.Services(), google)); err != nil {
		return nil, err
	}
	principal, err := azure.SeedApplication(azurecloud.Seed{
		Tenant: OperatorDirectory, AppID: azureApp, Name: "Latchkey", Secret: c.Secrets.AzureApp, MultiTenant: true,
	})
	if err != nil {
		return nil, err
	}
	if err := c.lendNetworks(ctx, principal); err != nil {
		return nil, fmt.Errorf("pocket Azure: %w", err)
	}
	if err := c.signUpGoogle(ctx, google, googleProject, given); err != nil {
		return nil, fmt.Errorf("pocket Google: %w", err)
	}
	return c, c.identify(azureApp, googleProject)
}

// identities are Latchkey's application at Azure and its project at Google.
func identities(specs []template.Function) (azureApp, googleProject string, err error) {
	for _, spec := range specs {
		if spec.Name == "encryption" {
			return spec.Environment["AZURE_APP_ID"], spec.Environment["GOOGLE_PROJECT_ID"], nil
		}
	}
	return "", "", errors.New("the template has no function encryption")
}

// serve puts AWS and other services where requests find them.
func (c *Clouds) serve(services []pocket.Service) error {
	services = append(services, c.AWS.Services()...)
	services = append(services, statescloud.New(c.cfg.Workflows.API, OperatorAccount, c.AWS))
	if c.cfg.DB != nil {
		var err error
		if c.Tables, err = dynamocloud.New(c.cfg.DB, c.AWS); err != nil {
			return err
		}
		services = append(services, c.Tables)
	}
	c.Messages = messagecloud.New(c.cfg.State)
	if err := c.Messages.EnsureTopic(alertTopic); err != nil {
		return err
	}
	c.Served = pocket.New(&pocket.Faults{}, awscloud.Alias, append(services, c.Messages.Services(c.AWS)...)...)
	c.Served.Show(messagecloud.MailboxPath, c.Messages.Mailbox())
	c.console = pocket.Transport(c.Served)
	c.transport = c.console
	if c.cfg.Wrap != nil {
		c.transport = c.cfg.Wrap(c.console)
	}
	return nil
}

// Operator is the configuration of the operator's administrator in AWS.
func (c *Clouds) Operator() aws.Config {
	return awssdk.Config(c.console, Region, c.Secrets.OperatorRoot)
}

// sender is the configuration that a function of this process sends messages with.
func (c *Clouds) sender() aws.Config {
	return awssdk.Config(c.transport, Region, c.Secrets.OperatorRoot)
}

// errExists says that what was to be made is there already.
var errExists = errors.New("it exists")

// administer performs one administrator's request to the pocket Azure or Google.
func (c *Clouds) administer(ctx context.Context, method, url, body string, answer any) error {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader([]byte(body)))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+c.Secrets.Admin)
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.console.RoundTrip(req)
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
func (c *Clouds) identify(azureApp, googleProject string) error {
	key, err := atlas.ParseGoogleServiceAccountKey(c.Secrets.GoogleKey)
	if err != nil {
		return err
	}
	own := googleaccount.OwnKey(key, googleaccount.Options{Transport: c.transport, Now: c.cfg.Now, Scope: googleaccount.ScopePlatform})
	if c.Accounts, err = googleaccount.NewAccounts(own, googleProject, c.transport); err != nil {
		return err
	}
	keys := c.Secrets.OperatorAWS
	c.Ring = keyring.Config{
		Transport: c.transport, Now: c.cfg.Now,
		AWS: credentials.NewStaticCredentialsProvider(keys.AccessKeyID, keys.SecretAccessKey, ""), AWSCanaryARN: CanaryARN,
		Azure:  azurekv.App{ClientID: azureApp, HomeTenant: OperatorDirectory, Secret: c.Secrets.AzureApp},
		Google: own,
	}
	return nil
}
