package awskms

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"

	"latchkey/shared/verdict"
)

const (
	defaultSession = time.Hour
	// expiryWindow is how long before its end a session is no longer used, so that none ends
	// on the way to KMS. With jitter, so that the sessions of many tenants are not renewed at once.
	expiryWindow = 5 * time.Minute
	expiryJitter = 0.5
)

// sessionPolicy limits what Latchkey can do with a tenant's role, whatever the role allows.
const sessionPolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["kms:Encrypt","kms:Decrypt",` +
	`"kms:DescribeKey","kms:ListKeyRotations","kms:GetKeyRotationStatus"],"Resource":"*"}]}`

// Session is what STS gave Latchkey for a tenant's role. It outlives the credentials that use it, and is little
// more than the bytes that STS sent: there may be a hundred thousand. It is safe for concurrent use; the zero
// value is a session that has not begun.
type Session struct {
	mu                         sync.Mutex
	accessKeyID, secret, token string // all are "" before it began
	expires                    time.Time
	// next assumes the role, once for all who wait; nil while nobody has to.
	next *aws.CredentialsCache
}

// Credential is the credential of a role that is used in this session: whoever uses it first, or once it is about
// to end, has Latchkey's own identity assume the role. It does no I/O. A session is one role's, asked for in one
// way: that is up to the caller.
func (s *Session) Credential(own aws.CredentialsProvider, role Role, o Options) *Credential {
	o = o.withDefaults()
	return &Credential{own: true, options: o, session: s, provider: &inSession{s, assumption{own, role, o}}}
}

// held is what is held, unless it is about to end.
func (s *Session) held() (aws.Credentials, bool) {
	held := aws.Credentials{
		AccessKeyID: s.accessKeyID, SecretAccessKey: s.secret, SessionToken: s.token, CanExpire: true, Expires: s.expires,
	}
	return held, held.HasKeys() && !held.Expired()
}

// retrieve returns what is held, or else what role gets.
func (s *Session) retrieve(ctx context.Context, role aws.CredentialsProvider) (aws.Credentials, error) {
	s.mu.Lock()
	held, ok := s.held()
	if !ok && s.next == nil {
		s.next = aws.NewCredentialsCache(role, func(o *aws.CredentialsCacheOptions) {
			o.ExpiryWindow, o.ExpiryWindowJitterFrac = expiryWindow, expiryJitter
		})
	}
	next := s.next
	s.mu.Unlock()
	if ok {
		return held, nil
	}
	got, err := next.Retrieve(ctx)
	if err == nil {
		s.begin(next, got)
	}
	return got, err //nolint:wrapcheck // for the SDK
}

// begin holds what next got: copied, for the strings are parts of STS's answer and would hold all of it, and as parts of one
// string, which is less for the garbage collector to go through.
func (s *Session) begin(next *aws.CredentialsCache, got aws.Credentials) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next != next {
		return // another one who waited for it was here
	}
	id, secret := len(got.AccessKeyID), len(got.SecretAccessKey)
	all := got.AccessKeyID + got.SecretAccessKey + got.SessionToken
	s.accessKeyID, s.secret, s.token = all[:id], all[id:id+secret], all[id+secret:]
	s.expires, s.next = got.Expires, nil
}

// end has the next one who uses the session begin a new one.
func (s *Session) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accessKeyID, s.secret, s.token = "", "", ""
	if s.next != nil {
		s.next.Invalidate()
	}
}

// inSession gets the credentials of a role from its session.
type inSession struct {
	session *Session
	role    assumption
}

// Retrieve implements aws.CredentialsProvider.
func (i *inSession) Retrieve(ctx context.Context) (aws.Credentials, error) {
	return i.session.retrieve(ctx, &i.role)
}

// assumption gets new credentials of a role.
type assumption struct {
	own     aws.CredentialsProvider
	role    Role
	options Options // with defaults
}

// Retrieve assumes the role, and says in terms of that role why it can't.
func (a *assumption) Retrieve(ctx context.Context) (aws.Credentials, error) {
	client := assumer{a.options.Clients.stsClient(a.options), ownIdentity{a.own}}
	creds, err := stscreds.NewAssumeRoleProvider(client, a.role.ARN, func(o *stscreds.AssumeRoleOptions) {
		o.RoleSessionName, o.Duration, o.Policy = a.role.Session, a.role.duration(), aws.String(sessionPolicy)
		if a.role.ExternalID != "" {
			o.ExternalID = &a.role.ExternalID
		}
	}).Retrieve(ctx)
	if err != nil {
		err = settled{a.doubt(ctx, classify(err, assumeReason))}
	}
	return creds, err
}

// doubt believes that a role refuses Latchkey only if Latchkey may assume roles at all.
func (a *assumption) doubt(ctx context.Context, refused *verdict.Failure) *verdict.Failure {
	if a.options.Canary == nil || refused.Class() != verdict.Invalid {
		return refused
	}
	if err := a.options.Canary.check(ctx); err != nil {
		return &verdict.Failure{
			Reason: verdict.OurCredentials, ProviderCode: refused.ProviderCode, RequestID: refused.RequestID,
			Err: fmt.Errorf("%w; nor can Latchkey assume its canary: %w", refused.Err, err),
		}
	}
	return refused
}
