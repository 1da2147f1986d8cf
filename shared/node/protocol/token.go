package protocol

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"latchkey/shared/atlas"
)

const (
	// Audience is who agents' tokens are for.
	Audience = "latchkey-nodes"
	// TokenLife is how long a token is valid, and the most that Verify accepts.
	TokenLife = time.Minute
	// Leeway is how far the two clocks may differ once the agent has learnt the offset. The
	// server tells its time in whole seconds, and a request may be under way for some.
	Leeway = 10 * time.Second

	//nolint:gosec // a media type, not a credential
	tokenType = "latchkey-node+jwt" // no other kind of JWT passes for an agent's (RFC 8725, 3.11)
	maxToken  = 2 << 10
	maxID     = 64
)

// ErrToken is returned by VerifyToken for everything that is not a valid token. The server
// answers it with Refuse.
var ErrToken = errors.New("protocol: invalid token")

// Identity is who a token speaks for.
type Identity struct {
	NodeID    string
	ClusterID string
}

// Token is what a verified token says.
type Token struct {
	Identity

	ID      string // jti
	Expires time.Time
}

type claims struct {
	jwt.Claims

	ClusterID string `json:"clusterId"`
}

// SignToken makes a token for one request. now is the server's time as far as the agent knows.
func SignToken(key ed25519.PrivateKey, who Identity, now time.Time) (string, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: key}, (&jose.SignerOptions{}).WithType(tokenType))
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	var id [16]byte
	rand.Read(id[:]) // never fails
	signed, err := jwt.Signed(signer).Claims(claims{ClusterID: who.ClusterID, Claims: jwt.Claims{
		Audience: jwt.Audience{Audience}, Subject: who.NodeID, ID: hex.EncodeToString(id[:]),
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(TokenLife)),
	}}).Serialize()
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	return signed, nil
}

// KeyOf finds the public key of the node that a token claims to speak for. What it is given is
// the word of a stranger. An error passes through VerifyToken; a node that does not exist is
// ErrToken, so that strangers learn nothing.
type KeyOf func(who Identity) (ed25519.PublicKey, error)

// VerifyToken checks a token's signature, by EdDSA whatever it names itself, and its claims, all
// of which are required.
func VerifyToken(signed string, now time.Time, keyOf KeyOf) (Token, error) {
	if len(signed) > maxToken {
		return Token{}, ErrToken
	}
	parsed, err := jwt.ParseSigned(signed, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil || len(parsed.Headers) != 1 || parsed.Headers[0].ExtraHeaders[jose.HeaderType] != tokenType {
		return Token{}, ErrToken
	}
	var c claims
	if err := parsed.UnsafeClaimsWithoutVerification(&c); err != nil || !c.valid(now) {
		return Token{}, ErrToken
	}
	who := Identity{NodeID: c.Subject, ClusterID: c.ClusterID}
	key, err := keyOf(who)
	if err != nil {
		return Token{}, err
	}
	if len(key) != ed25519.PublicKeySize { // ed25519 panics on any other length
		return Token{}, ErrToken
	}
	if err := parsed.Claims(key); err != nil {
		return Token{}, ErrToken
	}
	return Token{Identity: who, ID: c.ID, Expires: c.Expiry.Time()}, nil
}

func (c claims) valid(now time.Time) bool {
	for _, id := range []string{c.ID, c.Subject, c.ClusterID} {
		if id == "" || len(id) > maxID {
			return false
		}
	}
	if c.IssuedAt == nil || c.Expiry == nil || len(c.Audience) != 1 || c.Audience[0] != Audience {
		return false
	}
	issued, expires := c.IssuedAt.Time(), c.Expiry.Time()
	return expires.After(issued) && expires.Sub(issued) <= TokenLife &&
		!issued.After(now.Add(Leeway)) && now.Before(expires.Add(Leeway))
}

// Refuse is the answer to a request without a valid token. It carries the server's time, from
// which an agent whose clock is wrong learns the offset to sign with.
func Refuse(now time.Time) *atlas.Error {
	return atlas.Fail(atlas.NodeTokenRefused, atlas.Time(now)).Because(ErrToken)
}

// ServerTime is the time that a refusal carries.
func ServerTime(body atlas.ErrorBody) (time.Time, bool) {
	if body.ErrorCode != atlas.NodeTokenRefused || len(body.Parameters) != 1 {
		return time.Time{}, false
	}
	text, ok := body.Parameters[0].(string)
	if !ok {
		return time.Time{}, false
	}
	at, err := time.Parse(time.RFC3339, text)
	return at, err == nil
}
