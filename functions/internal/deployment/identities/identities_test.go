package identities_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/google/go-cmp/cmp"

	"latchkey/functions/internal/deployment"
	"latchkey/functions/internal/deployment/identities"
	"latchkey/local/pocket/pockettest"
	"latchkey/shared/kms"
	"latchkey/shared/verdict"
)

const (
	azureARN  = "arn:aws:secretsmanager:us-east-1:999900001111:secret:latchkey/azure-AbCdEf"
	googleARN = "arn:aws:secretsmanager:us-east-1:999900001111:secret:latchkey/google-AbCdEf"
	group     = "650000000000000000000001"
	principal = "https://graph.microsoft.com/v1.0/servicePrincipals"
)

// world is a deployment's function among the three clouds. Secrets Manager is on the wire, and counts.
type world struct {
	*pockettest.Clouds

	t    *testing.T
	held map[string]string // secrets by their ARN

	mu   sync.Mutex
	down bool
	read []string // what was asked for, in turn
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, Clouds: pockettest.New(t, pockettest.Options{Now: time.Now})}
	own := w.OwnSecrets()
	w.held = map[string]string{azureARN: own[1], googleARN: own[2]}
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// open opens the identities as a function does at its start.
func (w *world) open(variables map[string]string) (identities.Identities, *deployment.Environment) {
	w.t.Helper()
	all := map[string]string{
		"AZURE_APP_SECRET_ARN": azureARN, "AZURE_APP_ID": pockettest.AppID, "AZURE_HOME_TENANT_ID": pockettest.OperatorDirectory,
		"GOOGLE_CREDENTIALS_SECRET_ARN": googleARN, "GOOGLE_PROJECT_ID": pockettest.OperatorProject,
	}
	maps.Copy(all, variables)
	role := aws.Config{Region: "us-east-1", HTTPClient: &http.Client{Transport: w}, Credentials: w.Identities(w).AWS}
	env := deployment.New(role, func(name string) string { return all[name] }, time.Now, slog.New(slog.DiscardHandler))
	env.Transport = w
	own, err := identities.Open(w.t.Context(), env, identities.Few)
	w.must(err)
	return own, env
}

// RoundTrip is Secrets Manager, or one of the clouds.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	if !strings.HasPrefix(r.URL.Host, "secretsmanager.") {
		return w.Transport().RoundTrip(r)
	}
	var in struct{ SecretId string } //nolint:revive // AWS's spelling
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.read = append(w.read, in.SecretId)
	if w.down {
		return nil, errors.New("connection refused")
	}
	body, err := json.Marshal(map[string]string{"SecretString": w.held[in.SecretId]})
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body)), Request: r}, err
}

// outage has Secrets Manager refuse connections, or accept them again.
func (w *world) outage(down bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = down
}

// took is which secrets were asked for since it was called last.
func (w *world) took() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.read
	w.read = nil
	return all
}

// wantRead fails unless these secrets were asked for since it was called last.
func (w *world) wantRead(arns ...string) {
	w.t.Helper()
	if diff := cmp.Diff(arns, w.took()); diff != "" {
		w.t.Errorf("secrets asked for: want (-) and got (+):\n%s", diff)
	}
}

func (w *world) wantReason(what string, want verdict.Reason, err error) {
	w.t.Helper()
	got := verdict.OK
	if err != nil {
		got = verdict.Internal
		if f, ok := errors.AsType[*verdict.Failure](err); ok {
			got = f.Reason
		}
	}
	if got != want {
		w.t.Errorf("%s: %s (%v), want %s", what, got, err, want)
	}
	for _, secret := range w.OwnSecrets() {
		if err != nil && strings.Contains(err.Error(), secret) {
			w.t.Errorf("%s: %v tells a secret", what, err)
		}
	}
}

// awsKey is a key of the tenant's, reached through a role.
func (w *world) awsKey() kms.Reference {
	w.t.Helper()
	made, err := w.KMS("us-east-1").CreateKey(w.t.Context(), &awskms.CreateKeyInput{})
	w.must(err)
	const use = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:*","Resource":"*"}]}`
	trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + pockettest.PrincipalARN + `"},"Action":"sts:AssumeRole"}]}`
	_, err = w.IAM().CreateRole(w.t.Context(), &iam.CreateRoleInput{RoleName: aws.String("r"), AssumeRolePolicyDocument: &trust})
	w.must(err)
	_, err = w.IAM().PutRolePolicy(w.t.Context(), &iam.PutRolePolicyInput{RoleName: aws.String("r"), PolicyName: aws.String("use"), PolicyDocument: aws.String(use)})
	w.must(err)
	return kms.Reference{GroupID: group, AWS: &kms.AWSReference{
		Region: "us-east-1", KeyName: *made.KeyMetadata.Arn, RoleARN: "arn:aws:iam::" + pockettest.TenantAccount + ":role/r",
	}}
}

// azureKey is a key of the tenant's, which admitted the deployment's application.
func (w *world) azureKey() kms.Reference {
	w.t.Helper()
	const vault = "/subscriptions/" + pockettest.Subscription + "/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/kv-kms"
	object := w.Admin(http.MethodPost, principal, `{"appId":"`+pockettest.AppID+`"}`)["id"].(string)
	w.Admin(http.MethodPut, "https://management.azure.com"+vault, `{"location":"eastus2","properties":{"tenantId":"`+pockettest.TenantDirectory+
		`","accessPolicies":[{"tenantId":"`+pockettest.TenantDirectory+`","objectId":"`+object+`","permissions":{"keys":["all"]}}]}}`)
	w.Admin(http.MethodPost, "https://kv-kms.vault.azure.net/keys/atlas/create", `{"kty":"RSA","key_size":2048}`)
	return kms.Reference{GroupID: group, Azure: &kms.AzureReference{
		Environment: "AZURE", KeyIdentifier: "https://kv-kms.vault.azure.net/keys/atlas", TenantID: pockettest.TenantDirectory,
		ServicePrincipalID: object, AppID: pockettest.AppID,
	}}
}

// use proves that a key opens what it wrapped.
func use(ctx context.Context, own identities.Identities, ref kms.Reference) error {
	key, err := own.Keys.Open(ref)
	if err != nil {
		return err
	}
	_, _, err = key.NewProbe(ctx, group)
	return err
}

// makeAccount makes an account in the operator's Google project.
func makeAccount(ctx context.Context, own identities.Identities, env *deployment.Environment) error {
	accounts, err := own.GoogleAccounts(env)
	if err != nil {
		return err
	}
	return accounts.Create(ctx, accounts.NewEmail())
}

func TestSecretsAreReadWhenTheyAreNeededAndOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		ref, azure := w.awsKey(), w.azureKey()
		own, env := w.open(nil)
		w.wantRead()
		w.must(use(t.Context(), own, ref))
		w.wantRead() // what is at AWS needs neither
		for range 2 {
			w.must(use(t.Context(), own, azure))
		}
		_, err := own.Keys.ServicePrincipal(t.Context(), pockettest.TenantDirectory, "")
		w.must(err)
		w.wantRead(azureARN)
		for range 2 {
			w.must(makeAccount(t.Context(), own, env))
		}
		w.wantRead(googleARN)
		if env.Err() != nil {
			t.Error(env.Err())
		}
	})
}

func TestAnOutageOfSecretsManagerIsOursUntilItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		ref, azure := w.awsKey(), w.azureKey()
		w.outage(true)
		own, env := w.open(nil) // the function starts
		w.wantReason("a key at AWS", verdict.OK, use(t.Context(), own, ref))
		for range 2 {
			w.wantReason("a key at Azure", verdict.OurCredentials, use(t.Context(), own, azure))
			w.wantReason("an account at Google", verdict.OurCredentials, makeAccount(t.Context(), own, env))
		}
		_, err := own.Keys.ServicePrincipal(t.Context(), pockettest.TenantDirectory, "")
		w.wantReason("a sign-in at Azure", verdict.OurCredentials, err)
		w.outage(false)
		w.wantReason("a key at Azure, afterwards", verdict.OK, use(t.Context(), own, azure))
		w.wantReason("an account at Google, afterwards", verdict.OK, makeAccount(t.Context(), own, env))
	})
}

// The tenant took the application out of its directory, and the deployment cannot tell whether it works at home.
func TestATenantIsNotBlamedBySecretsThatAreOfNoUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		azure := w.azureKey()
		w.held = map[string]string{azureARN: "an old one", googleARN: "{}"}
		own, env := w.open(nil)
		w.wantReason("a key at Azure", verdict.OurCredentials, use(t.Context(), own, azure))
		w.wantReason("an account at Google", verdict.OurCredentials, makeAccount(t.Context(), own, env))
		w.held = map[string]string{googleARN: w.OwnSecrets()[2]}
		w.wantReason("an account at Google, afterwards", verdict.OK, makeAccount(t.Context(), own, env))
	})
}

func TestManyChecksWaitForOneRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		azure := w.azureKey()
		own, env := w.open(nil)
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() { w.wantReason("a key at Azure", verdict.OK, use(t.Context(), own, azure)) })
			all.Go(func() { w.wantReason("an account at Google", verdict.OK, makeAccount(t.Context(), own, env)) })
		}
		all.Wait()
		if got := w.took(); len(got) != 2 {
			t.Errorf("secrets are asked for %d times", len(got))
		}
	})
}

// What is wrong with the environment is said at the start, however late secrets are read.
func TestOpen_saysWhatIsMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		_, env := w.open(map[string]string{"AZURE_APP_ID": "", "AZURE_HOME_TENANT_ID": "", "CANARY_ROLE_ARN": "x"})
		for _, name := range []string{"AZURE_APP_ID", "AZURE_HOME_TENANT_ID", "CANARY_ROLE_ARN"} {
			if env.Err() == nil || !strings.Contains(env.Err().Error(), name+":") {
				t.Errorf("%s is not missed: %v", name, env.Err())
			}
		}
		own, env := w.open(map[string]string{"GOOGLE_PROJECT_ID": ""})
		if env.Err() != nil {
			t.Error(env.Err())
		}
		if _, err := own.GoogleAccounts(env); err == nil || env.Err() == nil {
			t.Error("accounts are made in no project")
		}
		w.wantRead()
	})
}

// federation is a configuration of workload identity federation: the function's role in AWS is enough.
const federation = `{"type":"external_account","audience":"//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/aws",
"subject_token_type":"urn:ietf:params:aws:token-type:aws4_request","token_url":"https://sts.googleapis.com/v1/token",
"credential_source":{"environment_id":"aws1","regional_cred_verification_url":"https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15"}}`

// federated answers as Google's STS does, with tokens that last an hour.
type federated struct{ *world }

// RoundTrip implements http.RoundTripper.
func (f federated) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Context().Err() != nil {
		return nil, r.Context().Err()
	}
	var body string
	switch r.URL.Host {
	case "sts.googleapis.com":
		body = `{"access_token":"t","issued_token_type":"urn:ietf:params:oauth:token-type:access_token","token_type":"Bearer","expires_in":3600}`
	case "iam.googleapis.com":
		body = `{}`
	default:
		return f.world.RoundTrip(r)
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

func TestTheFederatedIdentityOutlivesTheRequestThatNeededItFirst(t *testing.T) {
	t.Setenv("AWS_REGION", "us-east-1")
	t.Setenv("AWS_ACCESS_KEY_ID", "ASIA1")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.held[googleARN] = federation
		own, env := w.open(nil)
		env.Transport = federated{w}
		first, end := context.WithCancel(t.Context())
		w.must(makeAccount(first, own, env))
		end()
		time.Sleep(2 * time.Hour) // the token has expired
		w.must(makeAccount(t.Context(), own, env))
		w.wantRead(googleARN)
	})
}
