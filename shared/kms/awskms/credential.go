package awskms

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"latchkey/shared/atlas"
	"latchkey/shared/verdict"
)

// How long the driver tries. Callers bound the whole call with their context; these bound
// what one hung attempt may take of it, and the assumption of a role, which the SDK detaches
// from the caller's context because several callers wait for it.
const (
	maxAttempts     = 2
	maxBackoff      = 200 * time.Millisecond
	attemptDuration = 4 * time.Second
)

// Options say how AWS is reached. The zero value reaches the real one.
type Options struct {
	// Transport carries the requests; nil is http.DefaultTransport.
	Transport http.RoundTripper
	// Endpoint gives the URL of a service ("kms", "sts") in a region, for VPC endpoints and for
	// stand-ins; nil, and "", is AWS's own.
	Endpoint func(service string, region atlas.AWSRegion) string
	// Region is Latchkey's own region, whose STS is asked; "" is us-east-1.
	Region atlas.AWSRegion
	// Canary is asked before a refusal by STS counts as the act of a role's owner; nil is nobody.
	Canary *Canary
	// Clients are shared with all who have the same Transport; nil is none but one's own.
	Clients *Clients
}

func (o Options) withDefaults() Options {
	if o.Transport == nil {
		o.Transport = http.DefaultTransport
	}
	if o.Endpoint == nil {
		o.Endpoint = func(string, atlas.AWSRegion) string { return "" }
	}
	if o.Region == "" {
		o.Region = "us-east-1"
	}
	if o.Clients == nil {
		o.Clients = &Clients{}
	}
	return o
}

// Credential reaches the keys of one tenant. It is safe for concurrent use.
type Credential struct {
	own      bool // a session that Latchkey's identity got, rather than the tenant's own access key
	options  Options
	provider aws.CredentialsProvider
	session  *Session // nil unless it is own
}

// NewUserCredential is the credential of a tenant's IAM user. It does no I/O.
func NewUserCredential(accessKeyID, secretAccessKey string, o Options) *Credential {
	return &Credential{options: o.withDefaults(), provider: credentials.NewStaticCredentialsProvider(accessKeyID, secretAccessKey, "")}
}

// Role is a tenant's role and how Latchkey asks for it.
type Role struct {
	ARN        string
	ExternalID string // what the role's trust policy demands
	// Session names our sessions in the tenant's audit trail: 2 to 64 of the characters that
	// IAM allows in names.
	Session string
	// Duration of a session, at least 15 minutes; 0 is an hour. It is also how long a session
	// may outlive a change of the role's trust policy. (A change of the role's permissions, or
	// its deletion, ends what a session may do at once.)
	Duration time.Duration
}

func (r Role) duration() time.Duration { return cmp.Or(r.Duration, defaultSession) }

// NewRoleCredential is the credential of a role that Latchkey's own identity assumes when it
// is first needed, in a session of its own. It does no I/O.
func NewRoleCredential(own aws.CredentialsProvider, role Role, o Options) *Credential {
	return new(Session).Credential(own, role, o)
}

// client is the KMS client of a region. Its calls are made as the credential.
func (c *Credential) client(region atlas.AWSRegion) *awskms.Client {
	return c.options.Clients.kmsClient(c.options, region)
}

// as makes a call of KMS that of the credential.
func (c *Credential) as(o *awskms.Options) { o.Credentials = c.provider }

// forget drops a session that KMS refused, so that the next call gets a new one.
func (c *Credential) forget() { c.session.end() }

// Authenticate proves that the credential is good, without touching a key: it assumes the
// role anew, or asks STS who the user is. Errors are *verdict.Failure.
func (c *Credential) Authenticate(ctx context.Context) error {
	if c.own {
		c.forget()
		_, err := c.provider.Retrieve(ctx)
		return c.failure(ctx, err)
	}
	_, err := c.options.Clients.stsClient(c.options).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{}, as(c.provider))
	return c.failure(ctx, err)
}

// ownIdentity is Latchkey's own identity. That it has no credentials is nobody else's fault.
type ownIdentity struct{ provider aws.CredentialsProvider }

// Retrieve returns Latchkey's credentials.
func (i ownIdentity) Retrieve(ctx context.Context) (aws.Credentials, error) {
	if i.provider == nil {
		return aws.Credentials{}, settled{verdict.Failed(verdict.OurCredentials, "awskms: Latchkey has no AWS credentials")}
	}
	creds, err := i.provider.Retrieve(ctx)
	if err != nil && ctx.Err() == nil {
		err = settled{&verdict.Failure{Reason: verdict.OurCredentials, Err: err}}
	}
	return creds, err
}

// settled is a failure to get credentials. The client that needs them must not try again: the
// client that asks for them has tried often enough.
type settled struct{ *verdict.Failure }

// Unwrap returns the failure.
func (s settled) Unwrap() error { return s.Failure }

// RetryableError tells the SDK not to try again.
func (settled) RetryableError() bool { return false }
