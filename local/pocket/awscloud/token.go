package awscloud

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"
)

// sessionToken is what a session's token carries. Sealed, it needs no place in the state, which
// would otherwise grow with every AssumeRole, and holds after a restart.
type sessionToken struct {
	AccessKeyID string    `json:"k"`
	Secret      string    `json:"s"`
	Account     string    `json:"a"`
	Role        string    `json:"r"`
	RoleID      string    `json:"i"`
	Session     string    `json:"n"`
	Policy      string    `json:"p,omitempty"`
	Expires     time.Time `json:"e"`
}

func (c *Cloud) sealToken(t sessionToken) (string, error) {
	gcm, err := c.tokenCipher()
	if err != nil {
		return "", err
	}
	body, err := json.Marshal(t) //nolint:gosec // the secret is sealed below
	if err != nil {
		return "", fmt.Errorf("awscloud: encode session token: %w", err)
	}
	sealed := gcm.Seal(nil, nil, body, nil) //nolint:gosec // newGCM puts a random nonce
	return base64.StdEncoding.EncodeToString(sealed), nil
}

// openToken opens a token that this cloud sealed; ok is false for anything else.
func (c *Cloud) openToken(token string) (t sessionToken, ok bool) {
	gcm, err := c.tokenCipher()
	if err != nil {
		return t, false
	}
	sealed, err := base64.StdEncoding.DecodeString(token)
	if err != nil {
		return t, false
	}
	body, err := gcm.Open(nil, nil, sealed, nil)
	if err != nil {
		return t, false
	}
	return t, json.Unmarshal(body, &t) == nil
}

func (c *Cloud) tokenCipher() (cipher.AEAD, error) { return newGCM(c.tokenKey) }

// newGCM is AES-256-GCM that puts a random nonce before each ciphertext.
func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("awscloud: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(block)
}
