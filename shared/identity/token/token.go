// Package token makes and checks the access tokens of service accounts: JSON Web Tokens
// (RFC 7519, profile RFC 9068) signed with Ed25519.
//
// Its one invariant: a token verifies only if it was signed with one of the service's own
// keys by EdDSA. The algorithm that a token names is never believed.
package token

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"latchkey/shared/identity/keyring"
)

const (
	// Life is how long a token is valid. Clients renew ten minutes early, so anything up to
	// 600 s would make them ask again for every request (CONTRACT 2.2).
	Life = time.Hour

	issuer    = "latchkey"
	audience  = "atlas-admin-api"
	mediaType = "at+jwt" // RFC 9068: no other kind of JWT passes for an access token
	maxToken  = 4 << 10
	clockSkew = time.Minute // how far another instance's clock may be ahead of ours
)

// ErrInvalid is returned by Verify for everything that is not a valid token of ours.
var ErrInvalid = errors.New("token: invalid")

// Token is what an access token says.
type Token struct {
	ID       string // jti
	ClientID string // of the service account
	SecretID string // of the secret that it was issued for, with which it ends
	Issued   time.Time
	Expires  time.Time
}

type claims struct {
	jwt.Claims

	SecretID string `json:"sid"`
}

// Issue makes a token for a service account that proved one of its secrets.
func Issue(key keyring.Key, clientID, secretID string, now time.Time) (string, error) {
	options := (&jose.SignerOptions{}).WithType(mediaType).WithHeader("kid", key.ID)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: key.Private()}, options)
	if err != nil {
		return "", fmt.Errorf("token: %w", err)
	}
	var id [16]byte
	rand.Read(id[:])
	c := claims{SecretID: secretID, Claims: jwt.Claims{
		Issuer: issuer, Audience: jwt.Audience{audience}, Subject: clientID, ID: hex.EncodeToString(id[:]),
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(Life)),
	}}
	signed, err := jwt.Signed(signer).Claims(c).Serialize()
	if err != nil {
		return "", fmt.Errorf("token: %w", err)
	}
	return signed, nil
}

// Verify checks a token's signature and claims. Whether it was revoked, its account knows.
func Verify(ring keyring.Ring, signed string, now time.Time) (Token, error) {
	if len(signed) > maxToken {
		return Token{}, ErrInvalid
	}
	parsed, err := jwt.ParseSigned(signed, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil || len(parsed.Headers) != 1 || parsed.Headers[0].ExtraHeaders[jose.HeaderType] != mediaType {
		return Token{}, ErrInvalid
	}
	key, ok := ring.ByID(parsed.Headers[0].KeyID)
	if !ok {
		return Token{}, ErrInvalid
	}
	var c claims
	if err := parsed.Claims(key.Public(), &c); err != nil {
		return Token{}, ErrInvalid
	}
	if !c.valid(now) {
		return Token{}, ErrInvalid
	}
	return Token{
		ID: c.ID, ClientID: c.Subject, SecretID: c.SecretID, Issued: c.IssuedAt.Time(), Expires: c.Expiry.Time(),
	}, nil
}

// valid checks the claims. Every one of them is required: an absent time is no time.
func (c claims) valid(now time.Time) bool {
	if c.ID == "" || c.Subject == "" || c.SecretID == "" || c.IssuedAt == nil || c.Expiry == nil {
		return false
	}
	return c.Issuer == issuer && c.Audience.Contains(audience) &&
		now.Before(c.Expiry.Time()) && !c.IssuedAt.Time().After(now.Add(clockSkew))
}
