package azurecloud

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // RSA-OAEP is defined with SHA-1
	"crypto/sha256"
	"hash"
	"net/http"
	"slices"

	"latchkey/local/pocket"
)

// opens tells which operations use the private key. They alone work outside a key's validity:
// "Not-yet-valid and expired keys, outside the nbf / exp window, work for decrypt, release,
// unwrap, and verify operations" (Key Vault, About keys).
var opens = map[string]bool{"Decrypt": true, "UnwrapKey": true}

// paddings are the hashes of the algorithms that are served.
var paddings = map[string]func() hash.Hash{"RSA-OAEP": sha1.New, "RSA-OAEP-256": sha256.New}

// crypt encrypts, decrypts, wraps or unwraps.
func (s vaultService) crypt(c *pocket.Call, v vault, op operation) (any, error) {
	var in struct {
		Algorithm string `json:"alg"`
		Value     string `json:"value"`
	}
	if err := decode(c.Body, &in); err != nil {
		return nil, err
	}
	k, err := s.live(v, op)
	if err != nil {
		return nil, err
	}
	i := k.index(op.version)
	if i < 0 {
		return nil, keyNotFound(op)
	}
	version := k.Versions[i]
	if err := version.usable(op, s.cfg.Now().Unix()); err != nil {
		return nil, err
	}
	padding, known := paddings[in.Algorithm]
	if !known {
		return nil, refuse(http.StatusBadRequest, "BadParameter", "Algorithm '%s' is not supported for key type '%s'.", in.Algorithm, version.Kty)
	}
	value, err := unbase64(in.Value)
	if err != nil || len(value) == 0 {
		return nil, refuse(http.StatusBadRequest, "BadParameter", "Content of 'value' is not base64url.\r\nProperty 'value' is required.\r\n")
	}
	private, err := s.private(version)
	if err != nil {
		return nil, err
	}
	var out []byte
	if opens[op.name] {
		if out, err = rsa.DecryptOAEP(padding(), nil, private, value, nil); err != nil {
			return nil, refuse(http.StatusBadRequest, "BadParameter", "Error occurred while decoding OAEP padding.")
		}
	} else if out, err = rsa.EncryptOAEP(padding(), rand.Reader, &private.PublicKey, value, nil); err != nil {
		return nil, refuse(http.StatusBadRequest, "BadParameter", "The value is too long for the key.")
	}
	return map[string]string{"kid": k.kid(version.ID), "value": encode(out)}, nil
}

// usable checks what the attributes of a version allow.
func (v keyVersion) usable(op operation, now int64) error {
	forbid := func(inner, format string) error {
		return refuse(http.StatusForbidden, "Forbidden", format, op.permission).because(inner)
	}
	switch {
	case !v.Enabled:
		return forbid("KeyDisabled", "Operation %s is not allowed on a disabled key.")
	case !opens[op.name] && v.NotBefore != nil && now < *v.NotBefore:
		return forbid("KeyNotYetValid", "Operation %s is not allowed on a not yet valid key.")
	case !opens[op.name] && v.Expires != nil && now >= *v.Expires:
		return forbid("KeyExpired", "Operation %s is not allowed on an expired key.")
	case !slices.Contains(v.Ops, op.permission):
		return forbid("KeyOperationForbidden", "Operation %s is not permitted on this key.")
	}
	return nil
}
