package client

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"latchkey/shared/atlas"
)

// Token is an access token, and how long it lives.
type Token struct {
	Value string
	Life  time.Duration
}

// Exchange gets a token for the secret of a service account. Of what the API refuses, the code is
// UNEXPECTED_ERROR with the status 401, as everywhere where nobody has authenticated.
func Exchange(ctx context.Context, base string, transport http.RoundTripper, clientID, secret string) (Token, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(base, "/")+"/api/oauth/token",
		strings.NewReader(url.Values{"grant_type": {"client_credentials"}}.Encode()))
	if err != nil {
		return Token{}, unreachable(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", userAgent)
	r.SetBasicAuth(url.QueryEscape(clientID), url.QueryEscape(secret))
	c := New(base, transport, nil)
	resp, err := c.http.Do(r) //nolint:bodyclose // read closes it
	if err != nil {
		return Token{}, unreachable(err)
	}
	answer, err := read(resp.Body)
	if err != nil {
		return Token{}, unreachable(err)
	}
	if resp.StatusCode != http.StatusOK {
		return Token{}, refusedToken(resp, answer)
	}
	var issued struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int    `json:"expires_in"`
	}
	if err := json.Unmarshal(answer, &issued); err != nil || issued.AccessToken == "" {
		return Token{}, unreachable(io.ErrUnexpectedEOF)
	}
	return Token{issued.AccessToken, time.Duration(issued.ExpiresIn) * time.Second}, nil
}

// refusedToken reads an error of the token endpoint, which has a form of its own (RFC 6749).
func refusedToken(resp *http.Response, answer []byte) *Error {
	var told struct {
		Description string `json:"error_description"`
	}
	if err := json.Unmarshal(answer, &told); err != nil || told.Description == "" {
		return failure(resp.StatusCode, resp.Header, answer)
	}
	return &Error{Status: resp.StatusCode, Code: atlas.UnexpectedError, Detail: told.Description}
}
