package googlecloud

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
)

// principal is who makes a call.
type principal struct {
	Member  string // as policies name it: "serviceAccount:e-mail"
	UID     string // a service account's unique id: an account made anew under an old name is another
	Project string // of the account, "" for the administrator
}

// accessToken is a token that was issued to a service account.
type accessToken struct {
	Email   string    `json:"email"`
	UID     string    `json:"uid"`
	Scopes  []string  `json:"scopes"`
	Expires time.Time `json:"expires"`
}

// tokenLifetime is how long access tokens live: Google's default and greatest.
const tokenLifetime = time.Hour

// platformScope opens every API.
const platformScope = "https://www.googleapis.com/auth/cloud-platform"

// apiScopes are the scopes that open one.
var apiScopes = map[string]string{ //nolint:gosec // no credentials
	kmsHost:         "https://www.googleapis.com/auth/cloudkms",
	iamHost:         "https://www.googleapis.com/auth/iam",
	credentialsHost: "https://www.googleapis.com/auth/iam",
}

// authenticate finds who holds the bearer token of a request.
func (c *Cloud) authenticate(req *request) (principal, error) {
	token, ok := strings.CutPrefix(req.Header.Get("Authorization"), "Bearer ")
	if !ok || token == "" {
		return principal{}, unauthenticated("CREDENTIALS_MISSING", req)
	}
	if subtle.ConstantTimeCompare([]byte(token), []byte(c.cfg.AdminToken)) == 1 {
		return principal{Member: Administrator}, nil
	}
	var t accessToken
	found, err := c.docs.Get(kindToken, tokenID(token), &t)
	if err != nil {
		return principal{}, err
	}
	if !found || !req.now.Before(t.Expires) {
		return principal{}, unauthenticated("ACCESS_TOKEN_EXPIRED", req)
	}
	account, found, err := c.account(t.Email)
	if err != nil {
		return principal{}, err
	}
	if !found || account.Disabled || account.UID != t.UID {
		return principal{}, unauthenticated("ACCOUNT_STATE_INVALID", req)
	}
	if !slices.Contains(t.Scopes, platformScope) && !slices.Contains(t.Scopes, apiScopes[req.Host]) {
		return principal{}, failure(http.StatusForbidden, "PERMISSION_DENIED", "Request had insufficient authentication scopes.",
			info("ACCESS_TOKEN_SCOPE_INSUFFICIENT", "googleapis.com", map[string]string{"service": req.Host, "method": req.operation}))
	}
	return principal{Member: "serviceAccount:" + t.Email, UID: t.UID, Project: account.Project}, nil
}

// issue makes an access token for an account and forgets the tokens that have expired.
func (c *Cloud) issue(a account, scopes []string, now time.Time, lifetime time.Duration) (string, error) {
	err := c.docs.Each(kindToken, func(id string, body []byte) error {
		var old accessToken
		if err := json.Unmarshal(body, &old); err != nil || now.Before(old.Expires) {
			return err
		}
		return c.docs.Delete(kindToken, id)
	})
	if err != nil {
		return "", err
	}
	secret := make([]byte, 48)
	rand.Read(secret) // never fails since Go 1.24
	token := "ya29.c." + base64.RawURLEncoding.EncodeToString(secret)
	t := accessToken{Email: a.Email, UID: a.UID, Scopes: scopes, Expires: now.Add(lifetime)}
	return token, c.docs.Put(kindToken, tokenID(token), t)
}

// tokenID is what a token is found by: the token itself is not stored.
func tokenID(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}
