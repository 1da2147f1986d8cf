package googlecloud

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
)

// errKeyFile does not say what is wrong: the file is a secret.
var errKeyFile = errors.New("googlecloud: a seed needs a key file of a service account")

// SeedAccount makes sure that the service account of a key file exists and has that key, as if both had
// been made here.
func (c *Cloud) SeedAccount(file string) error {
	var in struct {
		Project  string `json:"project_id"`
		KeyID    string `json:"private_key_id"`
		Private  string `json:"private_key"`
		Email    string `json:"client_email"`
		ClientID string `json:"client_id"`
	}
	if err := json.Unmarshal([]byte(file), &in); err != nil || in.Email == "" || in.KeyID == "" || in.ClientID == "" {
		return errKeyFile
	}
	block, _ := pem.Decode([]byte(in.Private))
	if block == nil {
		return errKeyFile
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	private, ok := parsed.(*rsa.PrivateKey)
	if err != nil || !ok {
		return errKeyFile
	}
	public, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	a, found, err := c.account(in.Email)
	if err != nil {
		return err
	}
	if !found {
		a = account{Email: in.Email, Project: in.Project, UID: in.ClientID}
	}
	if _, has := a.Keys[in.KeyID]; has {
		return nil
	}
	if a.Keys == nil {
		a.Keys = map[string]accountKey{}
	}
	a.Keys[in.KeyID] = accountKey{Public: public, Created: c.cfg.Now().UTC()}
	return c.docs.Put(kindAccount, a.Email, a)
}
