package atlas

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// GoogleServiceAccountKey is the part of a service account's key file that Latchkey trusts. The
// URLs in the file (token_uri, auth_uri, the certificate URLs) are whatever the tenant wrote
// there, so they are not even kept: tokens come from Google's one token endpoint.
//
// It prints as the account and the key's id; the private key stays out of logs and JSON.
type GoogleServiceAccountKey struct {
	Email   string // client_email
	Project string // project_id
	KeyID   string // private_key_id
	private *rsa.PrivateKey
}

// PrivateKey signs the assertions that are exchanged for access tokens.
func (k GoogleServiceAccountKey) PrivateKey() *rsa.PrivateKey { return k.private }

// String names the account and the key.
func (k GoogleServiceAccountKey) String() string { return k.Email + " key " + k.KeyID }

// Format prints String for every verb, so that no verb prints the private key.
func (k GoogleServiceAccountKey) Format(s fmt.State, _ rune) {
	io.WriteString(s, k.String()) //nolint:errcheck // fmt reports it
}

// LogValue is String.
func (k GoogleServiceAccountKey) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalJSON writes String.
func (k GoogleServiceAccountKey) MarshalJSON() ([]byte, error) { return json.Marshal(k.String()) }

// What ParseGoogleServiceAccountKey refuses. The messages are constants, so that no part of
// the secret can get into an error.
var (
	ErrGoogleKeyFile     = errors.New("atlas: the service account key is not the JSON key file of a Google service account")
	ErrGoogleKeyType     = errors.New(`atlas: the service account key is of another type than "service_account"`)
	ErrGoogleKeyMember   = errors.New("atlas: the service account key lacks a valid client_email, project_id or private_key_id")
	ErrGoogleKeyUniverse = errors.New("atlas: the service account key belongs to another universe than googleapis.com")
	ErrGooglePrivateKey  = errors.New("atlas: the private_key of the service account key is not an RSA key of 2048 to 4096 bits in PEM")
)

var (
	googleEmailForm = pattern(`\A[a-z0-9][a-z0-9.-]{0,63}@(?:[a-z0-9-]{1,63}\.){1,8}gserviceaccount\.com\z`)
	googleKeyIDForm = pattern(`\A[a-zA-Z0-9_-]{1,128}\z`)
)

// maxGoogleKeyFile bounds a key file; Google's are under 3 KiB.
const maxGoogleKeyFile = 16 << 10

// Google makes keys of 2048 bits; uploaded ones may be longer. The upper bound keeps a hostile
// key from costing seconds per signature.
const minGoogleKeyBits, maxGoogleKeyBits = 2048, 4096

// ParseGoogleServiceAccountKey parses the key file that a tenant passes as a string. Only the
// type "service_account" is accepted: the other types ("external_account", "authorized_user",
// "impersonated_service_account") make a client read files, run programs or call URLs that
// the file names.
func ParseGoogleServiceAccountKey(s string) (GoogleServiceAccountKey, error) {
	var file struct {
		Type       string `json:"type"`
		Project    string `json:"project_id"`
		KeyID      string `json:"private_key_id"`
		PrivateKey string `json:"private_key"`
		Email      string `json:"client_email"`
		Universe   string `json:"universe_domain"`
	}
	if len(s) > maxGoogleKeyFile || json.Unmarshal([]byte(s), &file) != nil {
		return GoogleServiceAccountKey{}, ErrGoogleKeyFile
	}
	if file.Type != "service_account" {
		return GoogleServiceAccountKey{}, ErrGoogleKeyType
	}
	if file.Universe != "" && file.Universe != "googleapis.com" {
		return GoogleServiceAccountKey{}, ErrGoogleKeyUniverse
	}
	if !googleEmailForm().MatchString(file.Email) || !ValidGoogleProject(file.Project) || !googleKeyIDForm().MatchString(file.KeyID) {
		return GoogleServiceAccountKey{}, ErrGoogleKeyMember
	}
	private, ok := parseRSAPrivateKey(file.PrivateKey)
	if !ok {
		return GoogleServiceAccountKey{}, ErrGooglePrivateKey
	}
	return GoogleServiceAccountKey{Email: file.Email, Project: file.Project, KeyID: file.KeyID, private: private}, nil
}

// parseRSAPrivateKey reads one PEM block, PKCS #8 as Google writes it or PKCS #1.
func parseRSAPrivateKey(s string) (*rsa.PrivateKey, bool) {
	block, _ := pem.Decode([]byte(s))
	if block == nil {
		return nil, false
	}
	var key *rsa.PrivateKey
	if parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
		key, _ = parsed.(*rsa.PrivateKey)
	} else if parsed, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		key = parsed
	}
	if key == nil || key.N.BitLen() < minGoogleKeyBits || key.N.BitLen() > maxGoogleKeyBits {
		return nil, false
	}
	return key, true
}
