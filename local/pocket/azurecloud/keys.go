package azurecloud

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math/big"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"latchkey/local/pocket"
)

// key is a key with all its versions, the current one last.
type key struct {
	Vault     string       `json:"vault"` // host
	Name      string       `json:"name"`
	Versions  []keyVersion `json:"versions"`
	DeletedAt time.Time    `json:"deletedAt,omitzero"`
	PurgeAt   time.Time    `json:"purgeAt,omitzero"`
}

// keyVersion is one RSA key pair. Times are seconds since 1970; nil is none.
type keyVersion struct {
	ID        string            `json:"id"`
	Kty       string            `json:"kty"`
	Ops       []string          `json:"ops"`
	Tags      map[string]string `json:"tags"`
	Enabled   bool              `json:"enabled"`
	NotBefore *int64            `json:"nbf"`
	Expires   *int64            `json:"exp"`
	Created   int64             `json:"created"`
	Updated   int64             `json:"updated"`
	Private   []byte            `json:"private"` // PKCS #1
}

// keyInput is what clients send to create or change a key; nil is "leave it".
type keyInput struct {
	Kty        string   `json:"kty"`
	Size       int      `json:"key_size"`
	Ops        []string `json:"key_ops"`
	Attributes struct {
		Enabled   *bool  `json:"enabled"`
		NotBefore *int64 `json:"nbf"`
		Expires   *int64 `json:"exp"`
	} `json:"attributes"`
	Tags map[string]string `json:"tags"`
}

var keyName = regexp.MustCompile(`^[A-Za-z0-9-]{1,127}$`)

func (c *Cloud) key(v vault, name string) (key, bool, error) {
	var k key
	found, err := c.cfg.State.Get(kindKey, v.Host+"/"+strings.ToLower(name), &k)
	if found && !k.DeletedAt.IsZero() && !c.cfg.Now().Before(k.PurgeAt) {
		found = false // its retention is over
	}
	return k, found, err
}

func (c *Cloud) putKey(k key) error {
	return c.cfg.State.Put(kindKey, k.Vault+"/"+strings.ToLower(k.Name), k)
}

// live finds a key that is not deleted.
func (c *Cloud) live(v vault, op operation) (key, error) {
	k, found, err := c.key(v, op.key)
	if err == nil && (!found || !k.DeletedAt.IsZero()) {
		err = keyNotFound(op)
	}
	return k, err
}

func keyNotFound(op operation) error {
	id := strings.TrimSuffix(op.key+"/"+op.version, "/")
	return refuse(http.StatusNotFound, "KeyNotFound", "A key with (name/id) %s was not found in this key vault. If you recently deleted this key you may be able to recover it using the correct recovery command. For help resolving this issue, please see https://go.microsoft.com/fwlink/?linkid=2125182", id)
}

// index finds a version; "" is the current one. It is -1 if there is none.
func (k key) index(version string) int {
	if version == "" {
		return len(k.Versions) - 1
	}
	return slices.IndexFunc(k.Versions, func(v keyVersion) bool { return v.ID == version })
}

func (k key) kid(version string) string {
	return "https://" + k.Vault + "/keys/" + k.Name + "/" + version
}

// perform does an operation that the caller may do. c.mu is held if it changes anything.
func (s vaultService) perform(w http.ResponseWriter, c *pocket.Call, v vault, op operation) {
	var (
		out    any
		err    error
		status = http.StatusOK
	)
	switch op.name {
	case "ListKeys":
		out, err = s.listKeys(v)
	case "CreateKey":
		out, err = s.createKey(c, v, op)
	case "RotateKey":
		out, err = s.rotateKey(v, op)
	case "GetKey":
		out, err = s.getKey(v, op)
	case "UpdateKey":
		out, err = s.updateKey(c, v, op)
	case "ListKeyVersions":
		out, err = s.listVersions(v, op)
	case "DeleteKey":
		out, err = s.deleteKey(v, op)
	case "GetDeletedKey":
		out, err = s.getDeletedKey(v, op)
	case "RecoverDeletedKey":
		out, err = s.recoverKey(v, op)
	case "PurgeDeletedKey":
		status, err = http.StatusNoContent, s.purgeKey(v, op)
	default:
		out, err = s.crypt(c, v, op)
	}
	answer(w, status, out, err)
}

func (s vaultService) createKey(c *pocket.Call, v vault, op operation) (any, error) {
	in := keyInput{Kty: "RSA", Size: 2048, Ops: []string{"encrypt", "decrypt", "sign", "verify", "wrapKey", "unwrapKey"}}
	if err := decode(c.Body, &in); err != nil {
		return nil, err
	}
	if !keyName.MatchString(op.key) {
		return nil, refuse(http.StatusBadRequest, "BadParameter", "The key name %s is invalid.", op.key)
	}
	if in.Kty != "RSA" && in.Kty != "RSA-HSM" || !slices.Contains([]int{2048, 3072, 4096}, in.Size) {
		return nil, refuse(http.StatusBadRequest, "BadParameter", "Only kty RSA and RSA-HSM with a key_size of 2048, 3072 or 4096 can be created here.")
	}
	k, found, err := s.key(v, op.key)
	switch {
	case err != nil:
		return nil, err
	case found && !k.DeletedAt.IsZero():
		return nil, refuse(http.StatusConflict, "Conflict", "Key %s is currently in a deleted but recoverable state, and its name cannot be reused; in this state, the key can only be recovered or purged.", op.key).because("ObjectIsDeletedButRecoverable")
	case !found:
		k = key{Vault: v.Host, Name: op.key}
	}
	version := keyVersion{Kty: in.Kty, Ops: in.Ops, Enabled: true}.with(in)
	return s.addVersion(v, k, version, in.Size)
}

func (s vaultService) addVersion(v vault, k key, version keyVersion, bits int) (any, error) {
	private, err := s.cfg.GenerateKey(bits)
	if err != nil {
		return nil, err
	}
	now := s.cfg.Now().Unix()
	version.ID, version.Created, version.Updated = newVersion(), now, now
	version.Private = x509.MarshalPKCS1PrivateKey(private)
	k.Versions = append(k.Versions, version)
	return s.bundle(v, k, version), s.putKey(k)
}

// rotateKey makes a new version like the current one.
func (s vaultService) rotateKey(v vault, op operation) (any, error) {
	k, err := s.live(v, op)
	if err != nil {
		return nil, err
	}
	current := k.Versions[len(k.Versions)-1]
	private, err := s.private(current)
	if err != nil {
		return nil, err
	}
	next := keyVersion{Kty: current.Kty, Ops: slices.Clone(current.Ops), Tags: maps.Clone(current.Tags), Enabled: true}
	return s.addVersion(v, k, next, private.N.BitLen())
}

// with is the version with what a client changes.
func (v keyVersion) with(in keyInput) keyVersion {
	set(&v.Enabled, in.Attributes.Enabled)
	if in.Attributes.NotBefore != nil {
		v.NotBefore = in.Attributes.NotBefore
	}
	if in.Attributes.Expires != nil {
		v.Expires = in.Attributes.Expires
	}
	if in.Ops != nil {
		v.Ops = in.Ops
	}
	if in.Tags != nil {
		v.Tags = in.Tags
	}
	return v
}

func (s vaultService) getKey(v vault, op operation) (any, error) {
	k, err := s.live(v, op)
	if err != nil {
		return nil, err
	}
	i := k.index(op.version)
	if i < 0 {
		return nil, keyNotFound(op)
	}
	return s.bundle(v, k, k.Versions[i]), nil
}

func (s vaultService) updateKey(c *pocket.Call, v vault, op operation) (any, error) {
	var in keyInput
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
	k.Versions[i] = k.Versions[i].with(in)
	k.Versions[i].Updated = s.cfg.Now().Unix()
	return s.bundle(v, k, k.Versions[i]), s.putKey(k)
}

func (s vaultService) deleteKey(v vault, op operation) (any, error) {
	k, err := s.live(v, op)
	if err != nil {
		return nil, err
	}
	if v.NoSoftDelete { // it is gone
		return s.deletedBundle(v, k), s.cfg.State.Delete(kindKey, k.Vault+"/"+strings.ToLower(k.Name))
	}
	k.DeletedAt = s.cfg.Now()
	k.PurgeAt = k.DeletedAt.AddDate(0, 0, v.RetentionDays)
	return s.deletedBundle(v, k), s.putKey(k)
}

// deleted finds a key that can be recovered.
func (s vaultService) deleted(v vault, op operation) (key, error) {
	k, found, err := s.key(v, op.key)
	if err == nil && (!found || k.DeletedAt.IsZero()) {
		err = refuse(http.StatusNotFound, "KeyNotFound", "Deleted Key not found: %s", op.key)
	}
	return k, err
}

func (s vaultService) getDeletedKey(v vault, op operation) (any, error) {
	k, err := s.deleted(v, op)
	if err != nil {
		return nil, err
	}
	return s.deletedBundle(v, k), nil
}

func (s vaultService) recoverKey(v vault, op operation) (any, error) {
	k, err := s.deleted(v, op)
	if err != nil {
		return nil, err
	}
	k.DeletedAt, k.PurgeAt = time.Time{}, time.Time{}
	return s.bundle(v, k, k.Versions[len(k.Versions)-1]), s.putKey(k)
}

func (s vaultService) purgeKey(v vault, op operation) error {
	k, err := s.deleted(v, op)
	if err != nil {
		return err
	}
	if v.PurgeProtection {
		return refuse(http.StatusForbidden, "Forbidden", `Operation "purge" is not allowed because purge protection is enabled for this vault. Key Vault service will automatically purge it after the retention period has passed.`)
	}
	return s.cfg.State.Delete(kindKey, k.Vault+"/"+strings.ToLower(k.Name))
}

// attributes are a version's attributes on the wire.
func (v keyVersion) attributes(in vault) map[string]any {
	level, days := in.recoveryLevel()
	a := map[string]any{
		"enabled": v.Enabled, "created": v.Created, "updated": v.Updated, "recoveryLevel": level, "recoverableDays": days,
	}
	if v.NotBefore != nil {
		a["nbf"] = *v.NotBefore
	}
	if v.Expires != nil {
		a["exp"] = *v.Expires
	}
	return a
}

func (s vaultService) bundle(in vault, k key, v keyVersion) map[string]any {
	out := map[string]any{"attributes": v.attributes(in)}
	jwk := map[string]any{"kid": k.kid(v.ID), "kty": v.Kty, "key_ops": append([]string{}, v.Ops...)}
	if private, err := s.private(v); err == nil {
		jwk["n"] = encode(private.N.Bytes())
		jwk["e"] = encode(big.NewInt(int64(private.E)).Bytes())
	}
	out["key"] = jwk
	if v.Tags != nil {
		out["tags"] = v.Tags
	}
	return out
}

func (s vaultService) deletedBundle(v vault, k key) map[string]any {
	out := s.bundle(v, k, k.Versions[len(k.Versions)-1])
	if v.NoSoftDelete {
		return out
	}
	out["recoveryId"] = "https://" + k.Vault + "/deletedkeys/" + k.Name
	out["deletedDate"], out["scheduledPurgeDate"] = k.DeletedAt.Unix(), k.PurgeAt.Unix()
	return out
}

// private parses a version's key once: parsing costs as much as decrypting.
func (c *Cloud) private(v keyVersion) (*rsa.PrivateKey, error) {
	c.parseMu.Lock()
	defer c.parseMu.Unlock()
	if k, ok := c.parsed[v.ID]; ok {
		return k, nil
	}
	k, err := x509.ParsePKCS1PrivateKey(v.Private)
	if err == nil {
		c.parsed[v.ID] = k
	}
	return k, err
}

func (s vaultService) listKeys(v vault) (any, error) {
	items := []any{}
	err := s.cfg.State.Each(kindKey, func(id string, body []byte) error {
		var k key
		if !strings.HasPrefix(id, v.Host+"/") {
			return nil
		}
		if err := json.Unmarshal(body, &k); err != nil {
			return err
		}
		if k.DeletedAt.IsZero() {
			items = append(items, map[string]any{
				"kid": strings.TrimSuffix(k.kid(""), "/"), "attributes": k.Versions[len(k.Versions)-1].attributes(v),
			})
		}
		return nil
	})
	return map[string]any{"value": items, "nextLink": nil}, err
}

func (s vaultService) listVersions(v vault, op operation) (any, error) {
	k, err := s.live(v, op)
	if err != nil {
		return nil, err
	}
	items := []any{}
	for _, version := range k.Versions {
		items = append(items, map[string]any{"kid": k.kid(version.ID), "attributes": version.attributes(v)})
	}
	return map[string]any{"value": items, "nextLink": nil}, nil
}

// unbase64 reads base64url, with or without padding.
func unbase64(s string) ([]byte, error) {
	return base64.RawURLEncoding.DecodeString(strings.TrimRight(s, "="))
}
