package googleaccount

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/verdict"
)

// tokenURL is Google's token endpoint. It is a constant: the one in a key file is the tenant's word.
const tokenURL = "https://oauth2.googleapis.com/token" //nolint:gosec // no credential

// assertionLifetime is how long a signed assertion may be exchanged: the most Google takes.
const assertionLifetime = time.Hour

// exchange trades an assertion signed with a service account's key for an access token (RFC 7523).
func exchange(ctx context.Context, key atlas.GoogleServiceAccountKey, o Options) (token, error) {
	now := o.Now()
	assertion, err := sign(key, o.Scope, now)
	if err != nil {
		return token{}, &verdict.Failure{Reason: verdict.Internal, Err: err}
	}
	form := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {assertion}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, tokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		return token{}, &verdict.Failure{Reason: verdict.Internal, Err: err}
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	code, body, err := send(httpClient(o.Transport), r)
	if err != nil {
		return token{}, err
	}
	if code != http.StatusOK {
		return token{}, tokenFailure(code, body)
	}
	var answer struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int64  `json:"expires_in"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.AccessToken == "" || answer.ExpiresIn <= 0 {
		return token{}, verdict.Failed(verdict.ProviderError, "google: the token endpoint sent no token")
	}
	return token{value: answer.AccessToken, expires: now.Add(time.Duration(answer.ExpiresIn) * time.Second)}, nil
}

// sign makes the assertion: a JWT signed with RS256.
func sign(key atlas.GoogleServiceAccountKey, scope string, now time.Time) (string, error) {
	header, err := json.Marshal(map[string]string{"alg": "RS256", "typ": "JWT", "kid": key.KeyID})
	if err != nil {
		return "", err
	}
	claims, err := json.Marshal(map[string]any{
		"iss": key.Email, "scope": scope, "aud": tokenURL,
		"iat": now.Unix(), "exp": now.Add(assertionLifetime).Unix(),
	})
	if err != nil {
		return "", err
	}
	signed := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(claims)
	digest := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(nil, key.PrivateKey(), crypto.SHA256, digest[:])
	if err != nil {
		return "", err
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

// tokenReasons maps the error codes of the token endpoint.
var tokenReasons = map[string]verdict.Reason{
	"invalid_grant":       verdict.CredentialsInvalid, // the key or the account is deleted or disabled
	"unauthorized_client": verdict.CredentialsInvalid,
	"invalid_client":      verdict.CredentialsInvalid,
	"deleted_client":      verdict.CredentialsInvalid,
	"disabled_client":     verdict.CredentialsInvalid, // the account's project is shut down
	"internal_failure":    verdict.ProviderError,
	"rate_limit_exceeded": verdict.RateLimited,
}

// tokenFailure explains a refusal of the token endpoint.
func tokenFailure(code int, body []byte) *verdict.Failure {
	var answer struct {
		Code        string `json:"error"`
		Description string `json:"error_description"`
	}
	decoded := json.Unmarshal(body, &answer) == nil
	f := &verdict.Failure{
		Reason: Status{HTTP: code}.Trouble(), ProviderCode: first(answer.Code, http.StatusText(code)),
		Err: errors.New("google: " + first(answer.Description, answer.Code, http.StatusText(code))),
	}
	switch {
	case f.Reason != "":
	case !decoded || answer.Code == "":
		f.Reason = verdict.NetworkRefused // not Google's words: something on the way answered
	case strings.HasPrefix(answer.Description, "Invalid JWT: "):
		// The one code stands for a bad signature and for bad claims. Google checks the claims
		// against its clock, so what it dislikes about them ("Invalid JWT: Token must be a
		// short-lived token …") is our doing; a bad signature is "Invalid JWT Signature."
		f.Reason = verdict.Internal
	default:
		f.Reason = verdict.Internal
		if reason, ok := tokenReasons[answer.Code]; ok {
			f.Reason = reason
		}
	}
	return f
}

// ours turns the refusal of a tenant's key into what it means of a key of our own.
func ours(err error) error {
	if f, ok := errors.AsType[*verdict.Failure](err); ok && f.Class() == verdict.Invalid {
		own := *f
		own.Reason = verdict.OurCredentials
		return &own
	}
	return err
}
