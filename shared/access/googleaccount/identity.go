// Package googleaccount acts as Google service accounts: a tenant's, of which Latchkey has a
// key, and Latchkey's own, of which it makes one per group and which it impersonates. It gets
// access tokens, puts them on requests, and makes and deletes accounts in the operator's
// project.
//
// Its invariant: every failure says whose fault it is. What Google refuses to a tenant's key
// is the tenant's act and may stop nodes; what it refuses to an identity of ours never does.
// It speaks plain REST over an injected http.RoundTripper, and nothing is retried here.
package googleaccount

import (
	"context"
	"net/http"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"latchkey/shared/atlas"
	"latchkey/shared/verdict"
)

// The scopes that Latchkey asks for.
const (
	ScopeKMS      = "https://www.googleapis.com/auth/cloudkms"       // enough to use keys
	ScopePlatform = "https://www.googleapis.com/auth/cloud-platform" // for our own identity
)

// earlyExpiry is how long before its end a cached token is renewed: more than any call that
// uses it takes, and less than the five minutes for which Google keeps handing out the same token.
const earlyExpiry = 4 * time.Minute

// Options say how an identity reaches Google. All members are required.
type Options struct {
	Transport http.RoundTripper
	Now       func() time.Time
	Scope     string
}

// Identity is one Google identity with its cached access token. It is safe for concurrent
// use; callers that need a new token at the same time share one request.
type Identity struct {
	refused verdict.Reason              // what it means that Google does not accept this identity
	prepare func(context.Context) error // what all wait for at the same time before one fetches; nil is nothing
	fetch   func(context.Context) (token, error)
	now     func() time.Time
	turn    chan struct{} // held while a token is fetched

	mu     sync.Mutex
	cached token
}

// token is an access token. A zero expiry means that it must not be kept.
type token struct {
	value   string
	expires time.Time
}

func newIdentity(refused verdict.Reason, now func() time.Time, fetch func(context.Context) (token, error)) *Identity {
	return &Identity{refused: refused, fetch: fetch, now: now, turn: make(chan struct{}, 1)}
}

// Tenant is a tenant's service account, known by its key.
func Tenant(key atlas.GoogleServiceAccountKey, o Options) *Identity {
	return newIdentity(verdict.CredentialsInvalid, o.Now, func(ctx context.Context) (token, error) {
		return exchange(ctx, key, o)
	})
}

// OwnKey is Latchkey's own identity as a service account of which it has a key, for operators
// without workload identity federation and for runs on one machine.
func OwnKey(key atlas.GoogleServiceAccountKey, o Options) *Identity {
	return newIdentity(verdict.OurCredentials, o.Now, func(ctx context.Context) (token, error) {
		t, err := exchange(ctx, key, o)
		return t, ours(err)
	})
}

// Own is Latchkey's own identity as some other source tells it, which may do I/O and is asked
// whenever a token is wanted that was not kept.
func Own(source oauth2.TokenSource, now func() time.Time) *Identity {
	return newIdentity(verdict.OurCredentials, now, func(ctx context.Context) (token, error) {
		return fromSource(ctx, source)
	})
}

// OwnLater is an identity of Latchkey's own that open gives when it is first needed. open is asked whenever a token is
// wanted that was not kept, by several at the same time, and keeps what it opened.
func OwnLater(open func(context.Context) (*Identity, error), now func() time.Time) *Identity {
	i := newIdentity(verdict.OurCredentials, now, func(ctx context.Context) (token, error) {
		own, err := open(ctx)
		if err != nil {
			return token{}, err
		}
		return own.fetch(ctx)
	})
	i.prepare = func(ctx context.Context) error {
		_, err := open(ctx)
		return err
	}
	return i
}

// Impersonate is the service account email, as which own may act
// (roles/iam.serviceAccountTokenCreator).
func Impersonate(own *Identity, email string, o Options) *Identity {
	client := &client{http: httpClient(own.Transport(o.Transport))}
	return newIdentity(verdict.OurCredentials, o.Now, func(ctx context.Context) (token, error) {
		return client.generateAccessToken(ctx, email, o.Scope)
	})
}

// Refused is what it means that a Google API does not accept this identity's tokens:
// CREDENTIALS_INVALID for a tenant's, OUR_CREDENTIALS for ours.
func (i *Identity) Refused() verdict.Reason { return i.refused }

// Token returns an access token, from the cache while it is good. A failure is a
// *verdict.Failure, or ctx's own error.
func (i *Identity) Token(ctx context.Context) (string, error) {
	if t, ok := i.fresh(); ok {
		return t, nil
	}
	if i.prepare != nil {
		if err := i.prepare(ctx); err != nil {
			return "", err
		}
	}
	select {
	case i.turn <- struct{}{}:
		defer func() { <-i.turn }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if t, ok := i.fresh(); ok {
		return t, nil // somebody else has fetched it meanwhile
	}
	t, err := i.fetch(ctx)
	if err != nil {
		return "", err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.cached = t
	return t.value, nil
}

func (i *Identity) fresh() (string, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.cached.value, i.cached.value != "" && i.now().Before(i.cached.expires.Add(-earlyExpiry))
}

// forget drops a token that Google has refused, unless it was replaced meanwhile.
func (i *Identity) forget(value string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.cached.value == value {
		i.cached = token{}
	}
}

// fromSource asks a source that knows no contexts. A source that hangs is left behind.
func fromSource(ctx context.Context, source oauth2.TokenSource) (token, error) {
	type answer struct {
		token *oauth2.Token
		err   error
	}
	done := make(chan answer, 1)
	go func() {
		t, err := source.Token()
		done <- answer{t, err}
	}()
	select {
	case <-ctx.Done():
		return token{}, ctx.Err()
	case a := <-done:
		if a.err != nil {
			return token{}, &verdict.Failure{Reason: verdict.OurCredentials, Err: a.err}
		}
		return token{value: a.token.AccessToken, expires: a.token.Expiry}, nil
	}
}
