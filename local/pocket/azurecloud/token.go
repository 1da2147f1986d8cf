package azurecloud

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"latchkey/shared/atlas"
)

// tokenLife is how long access tokens are valid: Entra's default for applications is an hour.
const tokenLife = time.Hour

// claims are what an access token says.
type claims struct {
	Audience  string `json:"aud"`
	Issuer    string `json:"iss"`
	Tenant    string `json:"tid"`
	AppID     string `json:"appid"`
	ObjectID  string `json:"oid"`
	Subject   string `json:"sub"`
	TokenID   string `json:"uti"`
	Version   string `json:"ver"`
	IssuedAt  int64  `json:"iat"`
	NotBefore int64  `json:"nbf"`
	Expires   int64  `json:"exp"`
}

// issuer is who issues a tenant's tokens. China has an issuer of its own.
func issuer(env atlas.AzureEnvironment, tenantID string) string {
	if env == atlas.AzureChina {
		return "https://sts.chinacloudapi.cn/" + tenantID + "/"
	}
	return "https://sts.windows.net/" + tenantID + "/"
}

func (c *Cloud) mint(env atlas.AzureEnvironment, p principal, audience string) string {
	now := c.cfg.Now()
	body, err := json.Marshal(claims{
		Audience: audience, Issuer: issuer(env, p.Tenant), Tenant: p.Tenant, AppID: p.AppID,
		ObjectID: p.ObjectID, Subject: p.ObjectID, TokenID: newVersion(), Version: "1.0",
		IssuedAt: now.Unix(), NotBefore: now.Unix(), Expires: now.Add(tokenLife).Unix(),
	})
	if err != nil {
		panic(err) // strings and integers
	}
	signed := encode([]byte(`{"typ":"JWT","alg":"EdDSA","kid":"pocket"}`)) + "." + encode(body)
	return signed + "." + encode(ed25519.Sign(c.signer, []byte(signed)))
}

var errBadToken = errors.New("not a token of this cloud")

// open reads a token that mint made. It checks the signature only.
func (c *Cloud) open(token string) (claims, error) {
	signed, signature, ok := cutLast(token, ".")
	if !ok {
		return claims{}, errBadToken
	}
	sig, err := base64.RawURLEncoding.DecodeString(signature)
	if err != nil || !ed25519.Verify(c.signer.Public().(ed25519.PublicKey), []byte(signed), sig) { //nolint:forcetypeassert // by construction
		return claims{}, errBadToken
	}
	_, payload, _ := strings.Cut(signed, ".")
	body, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		return claims{}, errBadToken
	}
	var cl claims
	return cl, json.Unmarshal(body, &cl)
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
