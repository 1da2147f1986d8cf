// Package gcpkms drives customer master keys in Google Cloud KMS.
//
// A key is named by one version of a crypto key. Encryption goes to that version; decryption
// goes to the crypto key, which finds the version in the ciphertext, so that a tenant can move
// on to a new version while older ciphertexts can still be opened. The binding of a ciphertext
// is its additional authenticated data. Checksums guard every payload both ways, as Google
// asks clients to do.
//
// Its invariant: no error is classed as the customer's act unless Google says that the key is
// in a state of the customer's making, or refuses the customer's own identity or grant.
//
// A tenant grants Latchkey roles/cloudkms.cryptoKeyEncrypterDecrypter and, so that the age and
// state of the version can be read, roles/cloudkms.viewer, both on the crypto key. Without the
// second, Describe proves the key with a round trip instead and tells no creation time.
package gcpkms

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"net/http"
	"sync"
	"time"

	kmsapi "cloud.google.com/go/kms/apiv1"
	"google.golang.org/api/option"

	"latchkey/shared/access/googleaccount"
	"latchkey/shared/atlas"
	"latchkey/shared/kms"
	"latchkey/shared/verdict"
)

// endpoint is where all keys are used, whatever their location. It is fixed, so that no
// variable of the environment can lead requests elsewhere.
const endpoint = "https://cloudkms.googleapis.com"

// Config says how a Keyring reaches Google. Transport and Now are required.
type Config struct {
	Transport http.RoundTripper
	Now       func() time.Time
	// Own is Latchkey's own Google identity, which acts as the per-group service accounts. nil
	// means that this deployment has none: keys reached that way fail with OUR_CREDENTIALS.
	Own *googleaccount.Identity
	// OwnProjectNumber is the number of the project that holds the per-group service accounts.
	// Cloud KMS says by number whose project has its API or its billing off; without this
	// number, such an answer to one of our accounts is taken for a fault of ours.
	OwnProjectNumber string
	// Kept is how many identities are kept at most. It must be positive.
	Kept int
}

// Keyring opens keys. It keeps one identity, with its access token, for each set of
// credentials. It is safe for concurrent use.
type Keyring struct {
	cfg    Config
	client *kmsapi.KeyManagementClient

	mu         sync.Mutex
	identities map[credential]*googleaccount.Identity
}

// credential tells identities apart without keeping the secret.
type credential [sha256.Size]byte

// New returns a Keyring. It does no I/O; ctx is not kept.
func New(ctx context.Context, cfg Config) (*Keyring, error) {
	hc := &http.Client{
		Transport:     authorizer{cfg.Transport},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	client, err := kmsapi.NewKeyManagementRESTClient(ctx, option.WithHTTPClient(hc), option.WithEndpoint(endpoint),
		option.WithLogger(slog.New(slog.DiscardHandler))) // the client can be made to log plaintexts
	if err != nil {
		return nil, err
	}
	limit(client.CallOptions)
	return &Keyring{cfg: cfg, client: client, identities: map[credential]*googleaccount.Identity{}}, nil
}

// Open reaches a key version with credentials that may be in use already. It does no I/O. Its
// errors are *verdict.Failure.
func (k *Keyring) Open(ref kms.GoogleReference) (*kms.Key, error) { return k.open(ref, false) }

// Renew reaches a key version with an identity that has no access token yet.
func (k *Keyring) Renew(ref kms.GoogleReference) (*kms.Key, error) { return k.open(ref, true) }

func (k *Keyring) open(ref kms.GoogleReference, renew bool) (*kms.Key, error) {
	version, err := atlas.ParseGoogleKeyVersion(ref.KeyVersion)
	if err != nil {
		return nil, &verdict.Failure{Reason: verdict.RequestInvalid, Err: err}
	}
	id, err := k.identity(ref, renew)
	if err != nil {
		return nil, err
	}
	return kms.NewKey(version.String(), &key{client: k.client, identity: id, version: version, cfg: &k.cfg}), nil
}

// identity finds or makes the identity of a reference.
func (k *Keyring) identity(ref kms.GoogleReference, renew bool) (*googleaccount.Identity, error) {
	c := credential(sha256.Sum256([]byte(ref.ServiceAccount + "\x00" + ref.ServiceAccountKey)))
	k.mu.Lock()
	defer k.mu.Unlock()
	if id, ok := k.identities[c]; ok && !renew {
		return id, nil
	}
	id, err := k.newIdentity(ref)
	if err != nil {
		return nil, err
	}
	if _, isKept := k.identities[c]; !isKept {
		k.makeRoom()
	}
	k.identities[c] = id
	return id, nil
}

// makeRoom drops an identity if the cache is full, whichever: the schedule of checks goes through all of them
// in turn.
func (k *Keyring) makeRoom() {
	for c := range k.identities {
		if len(k.identities) < k.cfg.Kept {
			return
		}
		delete(k.identities, c)
	}
}

func (k *Keyring) newIdentity(ref kms.GoogleReference) (*googleaccount.Identity, error) {
	opts := googleaccount.Options{Transport: k.cfg.Transport, Now: k.cfg.Now, Scope: googleaccount.ScopeKMS}
	if ref.ServiceAccount == "" {
		file, err := atlas.ParseGoogleServiceAccountKey(ref.ServiceAccountKey)
		if err != nil {
			return nil, &verdict.Failure{Reason: verdict.RequestInvalid, Err: err}
		}
		return googleaccount.Tenant(file, opts), nil
	}
	if k.cfg.Own == nil {
		return nil, verdict.Failed(verdict.OurCredentials, "gcpkms: no Google identity of our own is configured")
	}
	return googleaccount.Impersonate(k.cfg.Own, ref.ServiceAccount, opts), nil
}

// identityKey is where a call's context holds the identity that makes it.
type identityKey struct{}

// as makes the calls of ctx those of an identity. One SDK client serves all identities:
// making one per tenant costs more than a call does.
func as(ctx context.Context, id *googleaccount.Identity) context.Context {
	return context.WithValue(ctx, identityKey{}, id)
}

// authorizer sends each request as the identity of its context.
type authorizer struct{ base http.RoundTripper }

// RoundTrip refuses a request that is nobody's.
func (a authorizer) RoundTrip(r *http.Request) (*http.Response, error) {
	id, ok := r.Context().Value(identityKey{}).(*googleaccount.Identity)
	if !ok {
		if r.Body != nil {
			r.Body.Close() //nolint:errcheck // nothing can be done about it
		}
		return nil, verdict.Failed(verdict.Internal, "gcpkms: a request without an identity")
	}
	return id.Transport(a.base).RoundTrip(r)
}
