// Package authn finds out who makes a request: an API key by its Digest signature or a
// service account by its bearer token. What the caller may do is not its concern; see
// identity.Gate.
//
// Its one invariant: a caller comes out only if the request itself proved to be theirs, and a
// refusal tells a stranger nothing about which keys and accounts exist. When the table or the
// seal cannot be asked, the answer is an error, never a refusal: an outage must not look like
// a wrong password.
package authn

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"latchkey/shared/identity"
	"latchkey/shared/identity/digest"
	"latchkey/shared/identity/directory"
	"latchkey/shared/identity/keyring"
	"latchkey/shared/identity/token"
	"latchkey/shared/seal"
)

// Request is what authentication needs to see of a request.
type Request struct {
	Method string
	Target digest.Target
	// Authorization is the header's value, "" if there is none.
	Authorization string
	RemoteAddress string
}

// Reason is why a request was refused. It is for logs and metrics; clients all hear the same.
type Reason string

// The reasons.
const (
	NoCredentials     Reason = "NO_CREDENTIALS" // also the first half of every Digest exchange
	UnsupportedScheme Reason = "UNSUPPORTED_SCHEME"
	Malformed         Reason = "MALFORMED"
	StaleNonce        Reason = "STALE_NONCE"
	ForeignNonce      Reason = "FOREIGN_NONCE"
	OtherURI          Reason = "OTHER_URI"
	UnknownIdentity   Reason = "UNKNOWN_IDENTITY"
	WrongResponse     Reason = "WRONG_RESPONSE"
	InvalidToken      Reason = "INVALID_TOKEN"
	RevokedToken      Reason = "REVOKED_TOKEN"
)

// Refusal is the answer to a request that nobody stands behind.
type Refusal struct {
	Challenge string // the value for WWW-Authenticate
	Reason    Reason
}

// bearerChallenge answers a bearer token that does not count (RFC 6750 section 3).
const bearerChallenge = `Bearer realm="` + digest.Realm + `", error="invalid_token"`

// Authenticator authenticates requests. It is safe for concurrent use. All exported fields are
// required.
type Authenticator struct {
	Directory *directory.Directory
	Keyring   *keyring.Keyring
	Now       func() time.Time

	mu    sync.Mutex
	decoy seal.Sealed
}

// Authenticate returns who makes the request, with all roles, or why it is refused.
func (a *Authenticator) Authenticate(ctx context.Context, r Request) (identity.Caller, *Refusal, error) {
	ring, err := a.Keyring.Ring(ctx)
	if err != nil {
		return identity.Caller{}, nil, err
	}
	scheme, rest, _ := strings.Cut(strings.TrimSpace(r.Authorization), " ")
	bearer := strings.EqualFold(scheme, "bearer")
	var caller identity.Caller
	var reason Reason
	switch {
	case scheme == "":
		reason = NoCredentials
	case strings.EqualFold(scheme, "digest"):
		caller, reason, err = a.byDigest(ctx, ring, r)
	case bearer:
		caller, reason, err = a.byToken(ctx, ring, strings.TrimSpace(rest))
	default:
		reason = UnsupportedScheme
	}
	if err != nil {
		return identity.Caller{}, nil, err
	}
	if reason != "" {
		return identity.Caller{}, a.refuse(ring, reason, bearer), nil
	}
	caller.RemoteAddress = r.RemoteAddress
	return caller, nil, nil
}

func (a *Authenticator) refuse(ring keyring.Ring, why Reason, bearer bool) *Refusal {
	if bearer {
		return &Refusal{Challenge: bearerChallenge, Reason: why}
	}
	now := a.Now()
	nonce := digest.NewNonce(ring.Current(now).Nonce, now)
	return &Refusal{Challenge: digest.Challenge(nonce, why == StaleNonce), Reason: why}
}

// byDigest verifies a Digest signature: what costs nothing first, then one read.
func (a *Authenticator) byDigest(ctx context.Context, ring keyring.Ring, r Request) (identity.Caller, Reason, error) {
	auth, err := digest.Parse(r.Authorization)
	if err != nil {
		return identity.Caller{}, Malformed, nil //nolint:nilerr // a refusal, not a failure
	}
	switch digest.CheckNonce(ring.NonceKeys(), auth.Nonce, a.Now()) {
	case digest.Foreign:
		return identity.Caller{}, ForeignNonce, nil
	case digest.Stale:
		return identity.Caller{}, StaleNonce, nil
	case digest.Fresh:
	}
	if !auth.Signs(r.Target) {
		return identity.Caller{}, OtherURI, nil
	}
	key, found, err := a.Directory.FindByPublicKey(ctx, auth.Username)
	if err != nil {
		return identity.Caller{}, "", fmt.Errorf("read API key: %w", err)
	}
	privateKey, err := a.privateKey(ctx, key, found)
	if err != nil {
		return identity.Caller{}, "", err
	}
	proved := auth.Verify(r.Method, privateKey)
	switch {
	case !found:
		return identity.Caller{}, UnknownIdentity, nil
	case !proved:
		return identity.Caller{}, WrongResponse, nil
	}
	return key.Caller(), "", nil
}

// decoyContext is what the decoy is sealed under.
var decoyContext = seal.Context{Scope: "system", Field: "decoy"}

// privateKey opens the private key of a key that was found. For one that was not, it opens a
// decoy in the same way, so that a wrong public key takes as long as a wrong private key.
func (a *Authenticator) privateKey(ctx context.Context, key directory.APIKey, found bool) (string, error) {
	if found {
		return a.Directory.PrivateKey(ctx, key)
	}
	sealed, err := a.sealedDecoy(ctx)
	if err != nil {
		return "", fmt.Errorf("seal decoy: %w", err)
	}
	plain, err := a.Directory.Sealer.Open(ctx, sealed, decoyContext)
	if err != nil {
		return "", fmt.Errorf("open decoy: %w", err)
	}
	return string(plain), nil
}

func (a *Authenticator) sealedDecoy(ctx context.Context) (seal.Sealed, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.decoy == nil {
		sealed, err := a.Directory.Sealer.Seal(ctx, []byte(uuid.NewString()), decoyContext)
		if err != nil {
			return nil, err
		}
		a.decoy = sealed
	}
	return a.decoy, nil
}

// byToken verifies an access token and reads its account, which knows whether the token was
// revoked and which roles hold now.
func (a *Authenticator) byToken(ctx context.Context, ring keyring.Ring, signed string) (identity.Caller, Reason, error) {
	tok, err := token.Verify(ring, signed, a.Now())
	if err != nil {
		return identity.Caller{}, InvalidToken, nil //nolint:nilerr // a refusal, not a failure
	}
	account, found, err := a.Directory.FindByClientID(ctx, tok.ClientID)
	switch {
	case err != nil:
		return identity.Caller{}, "", fmt.Errorf("read service account: %w", err)
	case !found:
		return identity.Caller{}, UnknownIdentity, nil
	case !account.Accepts(tok):
		return identity.Caller{}, RevokedToken, nil
	}
	return account.Caller(), "", nil
}
