package googlecloud

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"latchkey/local/pocket"
)

// tokenURL is where assertions are exchanged, and the audience they must name.
const tokenURL = "https://oauth2.googleapis.com/token" //nolint:gosec // no credential

// clockSkew is how far a client's clock may be ahead.
const clockSkew = 5 * time.Minute

// oauthError is an error of the token endpoint (RFC 6749, section 5.2).
type oauthError struct {
	code        int
	Code        string `json:"error"`
	Description string `json:"error_description,omitempty"`
}

func (e *oauthError) Error() string { return e.Code + ": " + e.Description }

func invalidGrant(description string) *oauthError {
	return &oauthError{code: http.StatusBadRequest, Code: "invalid_grant", Description: description}
}

// serveToken exchanges the signed assertion of a service account for an access token (RFC 7523).
func (c *Cloud) serveToken(w http.ResponseWriter, call *pocket.Call) {
	token, err := c.exchange(call)
	if err != nil {
		e, ok := err.(*oauthError) //nolint:errorlint // exchange returns it unwrapped
		if !ok {
			e = &oauthError{code: http.StatusInternalServerError, Code: "internal_failure"}
		}
		writeJSON(w, e.code, e)
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"access_token": token, "expires_in": int(tokenLifetime.Seconds()) - 1, "token_type": "Bearer",
	})
}

func refuseToken(w http.ResponseWriter, kind pocket.FaultKind) {
	switch kind {
	case pocket.Deny:
		writeJSON(w, http.StatusBadRequest, invalidGrant("Invalid JWT Signature."))
	case pocket.Throttle:
		writeJSON(w, http.StatusTooManyRequests, &oauthError{Code: "rate_limit_exceeded", Description: "Rate limit exceeded."})
	case pocket.Firewall: // the token endpoint knows no perimeters; what refuses there is a proxy on the way
		http.Error(w, "<html><title>403 Forbidden</title></html>", http.StatusForbidden)
	default:
		writeJSON(w, http.StatusServiceUnavailable, &oauthError{Code: "internal_failure", Description: "Backend Error"})
	}
}

// assertion is what a service account claims.
type assertion struct {
	Issuer   string  `json:"iss"`
	Subject  string  `json:"sub"`
	Scope    string  `json:"scope"`
	Audience string  `json:"aud"`
	IssuedAt float64 `json:"iat"`
	Expires  float64 `json:"exp"`
}

func (c *Cloud) exchange(call *pocket.Call) (string, error) {
	form, err := url.ParseQuery(string(call.Body))
	if err != nil || call.Method != http.MethodPost || call.URL.Path != "/token" {
		return "", &oauthError{code: http.StatusBadRequest, Code: "invalid_request", Description: "Bad Request"}
	}
	if form.Get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
		return "", &oauthError{code: http.StatusBadRequest, Code: "unsupported_grant_type", Description: "Invalid grant_type: " + form.Get("grant_type")}
	}
	parts := strings.Split(form.Get("assertion"), ".")
	if len(parts) != 3 {
		return "", invalidGrant("Bad Request")
	}
	var header struct {
		Algorithm string `json:"alg"`
		KeyID     string `json:"kid"`
	}
	var claims assertion
	if !decodePart(parts[0], &header) || !decodePart(parts[1], &claims) {
		return "", invalidGrant("Bad Request")
	}
	a, found, err := c.account(claims.Issuer)
	if err != nil {
		return "", err
	}
	if !found || a.Disabled {
		return "", invalidGrant("Invalid grant: account not found")
	}
	if header.Algorithm != "RS256" || !a.signed(header.KeyID, parts) {
		return "", invalidGrant("Invalid JWT Signature.")
	}
	now := c.cfg.Now().UTC()
	if err := claims.check(now); err != nil {
		return "", err
	}
	return c.issue(a, strings.Fields(claims.Scope), now, tokenLifetime)
}

func decodePart(part string, v any) bool {
	body, err := base64.RawURLEncoding.DecodeString(part)
	return err == nil && json.Unmarshal(body, v) == nil
}

// signed verifies a JWT with the key that it names, or with any if it names none.
func (a account) signed(keyID string, parts []string) bool {
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return false
	}
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	for id, k := range a.Keys {
		if k.Disabled || keyID != "" && keyID != id {
			continue
		}
		public, err := x509.ParsePKIXPublicKey(k.Public)
		if err != nil {
			continue
		}
		if key, ok := public.(*rsa.PublicKey); ok && rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], signature) == nil {
			return true
		}
	}
	return false
}

// check refuses claims in the order that Google does.
func (a assertion) check(now time.Time) error {
	issued, expires := time.Unix(int64(a.IssuedAt), 0), time.Unix(int64(a.Expires), 0)
	switch {
	case a.Audience != tokenURL:
		return invalidGrant("Invalid JWT: Failed audience check. The right audience is " + tokenURL)
	case issued.After(now.Add(clockSkew)), !expires.After(now), expires.Sub(issued) > tokenLifetime:
		return invalidGrant("Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. " +
			"Check your iat and exp values in the JWT claim.")
	case a.Subject != "" && a.Subject != a.Issuer:
		return &oauthError{
			code: http.StatusUnauthorized, Code: "unauthorized_client", Description: "Client is unauthorized to retrieve access tokens " +
				"using this method, or client not authorized for any of the scopes requested.",
		}
	case strings.TrimSpace(a.Scope) == "":
		return &oauthError{code: http.StatusBadRequest, Code: "invalid_scope", Description: "Empty or missing scope not allowed."}
	}
	return nil
}

// generateAccessToken issues a token for another account: impersonation.
func (c *Cloud) generateAccessToken(req *request) (any, error) {
	var in struct {
		Scope     []string `json:"scope"`
		Lifetime  string   `json:"lifetime"`
		Delegates []string `json:"delegates"`
	}
	if err := readJSON(req, &in); err != nil {
		return nil, err
	}
	lifetime := tokenLifetime
	if in.Lifetime != "" {
		d, err := time.ParseDuration(in.Lifetime)
		if err != nil || d <= 0 || d > tokenLifetime {
			return nil, invalidArgument("Request contains an invalid argument: lifetime.")
		}
		lifetime = d
	}
	if len(in.Scope) == 0 || len(in.Delegates) > 0 {
		return nil, invalidArgument("Request contains an invalid argument: scope or delegates.")
	}
	a, err := c.named(req)
	if err != nil {
		return nil, err
	}
	if a.Disabled {
		return nil, failedPrecondition("Service account " + a.Email + " is disabled.")
	}
	token, err := c.issue(a, in.Scope, req.now, lifetime)
	if err != nil {
		return nil, err
	}
	return map[string]any{"accessToken": token, "expireTime": req.now.Add(lifetime).Format(time.RFC3339)}, nil
}
