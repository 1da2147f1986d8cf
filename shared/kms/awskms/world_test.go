package awskms_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	sdkkms "github.com/aws/aws-sdk-go-v2/service/kms"

	"latchkey/local/pocket"
	"latchkey/local/pocket/awscloud"
	"latchkey/local/pocket/awscloud/awssdk"
	"latchkey/shared/atlas"
	"latchkey/shared/kms"
	"latchkey/shared/kms/awskms"
)

const (
	home       = atlas.AWSRegion("us-east-1")
	abroad     = atlas.AWSRegion("eu-west-1")
	kmsHost    = "kms.us-east-1.amazonaws.com"
	roleARN    = "arn:aws:iam::111122223333:role/latchkey/atlas-kms"
	externalID = "0d3b1a52-0000-4000-8000-000000000001"
	canaryARN  = "arn:aws:iam::999900001111:role/canary"

	trustPolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::999900001111:user/latchkey"},` +
		`"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"` + externalID + `"}}}]}`
	// usePolicy is the access policy of the documents, and the permission to see rotations.
	usePolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["kms:Decrypt","kms:Encrypt","kms:DescribeKey",` +
		`"kms:ListKeyRotations"],"Resource":"*"}]}`
	// canaryTrust names the account, so that who assumes the canary needs a permission too.
	canaryTrust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::999900001111:root"},` +
		`"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"` + awskms.CanaryExternalID + `",` +
		`"aws:PrincipalArn":"arn:aws:iam::999900001111:user/latchkey"}}}]}`
	assumePolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}]}`
)

var (
	adminKeys    = awscloud.Keys{AccessKeyID: "AKIATENANTROOT000000", SecretAccessKey: "tenant-root-secret"}
	tenantKeys   = awscloud.Keys{AccessKeyID: "AKIATENANTUSER000000", SecretAccessKey: "tenant-user-secret"}
	operatorKeys = awscloud.Keys{AccessKeyID: "AKIAOPERATORROOT0000", SecretAccessKey: "operator-root-secret"}
	latchkeyKeys = awscloud.Keys{AccessKeyID: "AKIALATCHKEY00000000", SecretAccessKey: "latchkey-secret"}
)

// world is a tenant's and Latchkey's account in a pocket AWS. The tenant has a user and a role
// that may use its keys.
type world struct {
	t      testing.TB
	faults *pocket.Faults
	kms    *sdkkms.Client // the tenant's administrator
	iam    *iam.Client
	owner  *iam.Client // Latchkey's administrator
	http   http.RoundTripper

	mu     sync.Mutex
	ahead  time.Duration  // how far the cloud's clock is ahead
	silent bool           // every request times out
	mute   string         // every request for this role times out
	slow   time.Duration  // how long STS takes; set before it is asked
	calls  map[string]int // by host and operation, and by the role that is assumed

	assumed []byte // the last request to STS
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, faults: &pocket.Faults{}, calls: map[string]int{}}
	cloud, err := awscloud.New(pocket.Memory(), awscloud.Config{Now: w.now, Accounts: []awscloud.Account{
		{
			ID: "111122223333", Root: adminKeys,
			Users: []awscloud.User{{Name: "atlas", Keys: []awscloud.Keys{tenantKeys}, Policies: map[string]string{"use": usePolicy}}},
			Roles: []awscloud.Role{{Name: "atlas-kms", Path: "/latchkey/", Trust: trustPolicy, Policies: map[string]string{"use": usePolicy}}},
		},
		{
			ID: "999900001111", Root: operatorKeys,
			Users: []awscloud.User{{Name: "latchkey", Keys: []awscloud.Keys{latchkeyKeys}, Policies: map[string]string{"assume": assumePolicy}}},
			Roles: []awscloud.Role{{Name: "canary", Trust: canaryTrust}},
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	w.http = pocket.Transport(pocket.New(w.faults, awscloud.Alias, cloud.Services()...))
	cfg := awssdk.Config(w.http, string(home), adminKeys)
	w.kms, w.iam = sdkkms.NewFromConfig(cfg), iam.NewFromConfig(cfg)
	w.owner = iam.NewFromConfig(awssdk.Config(w.http, string(home), operatorKeys))
	return w
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.ahead)
}

// RoundTrip is the transport of the driver: it counts requests, and can be silent. What stands
// for silence is the error that net/http gives for it, so that nobody has to wait.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	w.calls[r.URL.Host+" "+r.Header.Get("X-Amz-Target")]++
	silent := w.silent
	if strings.HasPrefix(r.URL.Host, "sts.") {
		w.assumed, _ = io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(w.assumed))
		form, _ := url.ParseQuery(string(w.assumed))
		role := form.Get("RoleArn")
		w.calls[role]++
		silent = silent || role != "" && role == w.mute
	}
	w.mu.Unlock()
	if silent {
		return nil, timeout{}
	}
	if strings.HasPrefix(r.URL.Host, "sts.") {
		time.Sleep(w.slow)
	}
	return w.http.RoundTrip(r)
}

func (w *world) setSilent(silent bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.silent = silent
}

func (w *world) callsTo(what string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls[what]
}

type timeout struct{}

func (timeout) Error() string   { return "timeout awaiting response headers" }
func (timeout) Timeout() bool   { return true }
func (timeout) Temporary() bool { return true }

// elapse lets time pass in the cloud alone, and does what was due meanwhile. The request that
// makes it do so is signed by hand, since the SDK's clock stays behind.
func (w *world) elapse(d time.Duration) {
	w.t.Helper()
	w.mu.Lock()
	w.ahead += d
	w.mu.Unlock()
	body := []byte("{}")
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, "https://"+kmsHost+"/", bytes.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("X-Amz-Target", "TrentService.ListKeys")
	sum := sha256.Sum256(body)
	creds := aws.Credentials{AccessKeyID: adminKeys.AccessKeyID, SecretAccessKey: adminKeys.SecretAccessKey}
	if err := v4.NewSigner().SignHTTP(w.t.Context(), creds, r, hex.EncodeToString(sum[:]), "kms", string(home), w.now()); err != nil {
		w.t.Fatal(err)
	}
	resp, err := w.http.RoundTrip(r)
	if err != nil || resp.StatusCode != http.StatusOK {
		w.t.Fatalf("the request after %s: %v, %v", d, resp, err)
	}
	w.must(resp.Body.Close())
	w.mu.Lock()
	w.ahead -= d
	w.mu.Unlock()
}

// newKey makes a key and returns its ARN.
func (w *world) newKey(change ...func(*sdkkms.CreateKeyInput)) string {
	w.t.Helper()
	in := &sdkkms.CreateKeyInput{}
	for _, fn := range change {
		fn(in)
	}
	out, err := w.kms.CreateKey(w.t.Context(), in)
	w.must(err)
	return *out.KeyMetadata.Arn
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) options() awskms.Options { return awskms.Options{Transport: w} }

// asUser is the credential of the tenant's user.
func (w *world) asUser() *awskms.Credential {
	return awskms.NewUserCredential(tenantKeys.AccessKeyID, tenantKeys.SecretAccessKey, w.options())
}

// asRole is the credential of the tenant's role, assumed with Latchkey's own keys.
func (w *world) asRole(change ...func(*awskms.Role, *awscloud.Keys)) *awskms.Credential {
	role, own := awskms.Role{ARN: roleARN, ExternalID: externalID, Session: "latchkey-650000000000000000000001"}, latchkeyKeys
	for _, fn := range change {
		fn(&role, &own)
	}
	provider := credentials.NewStaticCredentialsProvider(own.AccessKeyID, own.SecretAccessKey, "")
	return awskms.NewRoleCredential(provider, role, w.options())
}

func (w *world) open(c *awskms.Credential, name string) *kms.Key { return w.openIn(home, c, name) }

func (w *world) openIn(region atlas.AWSRegion, c *awskms.Credential, name string) *kms.Key {
	w.t.Helper()
	parsed, err := atlas.ParseAWSKeyName(name)
	w.must(err)
	return awskms.Open(c, region, parsed)
}

func (w *world) ctx() context.Context { return w.t.Context() }

// trust changes the trust policy of the tenant's role.
func (w *world) trust(policy string) {
	w.t.Helper()
	_, err := w.iam.UpdateAssumeRolePolicy(w.ctx(), &iam.UpdateAssumeRolePolicyInput{RoleName: aws.String("atlas-kms"), PolicyDocument: &policy})
	w.must(err)
}

// must returns a function that ends the test if there was an error.
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
