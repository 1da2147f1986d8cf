package googleaccount

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"time"

	"latchkey/shared/verdict"
)

// client calls IAM and IAM Credentials in the operator's project.
type client struct{ http *http.Client }

// call sends JSON and decodes the answer into out, unless out is nil. A refusal is the
// *verdict.Failure of ownFailure.
func (c *client) call(ctx context.Context, method, address string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return &verdict.Failure{Reason: verdict.Internal, Err: err}
		}
	}
	r, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return &verdict.Failure{Reason: verdict.Internal, Err: err}
	}
	r.Header.Set("Content-Type", "application/json")
	code, answer, err := send(c.http, r)
	if err != nil {
		return err
	}
	if code < 200 || code > 299 {
		return ownFailure(ParseStatus(code, answer))
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return verdict.Failed(verdict.ProviderError, "google: %s %s: the answer is not JSON", method, address)
	}
	return nil
}

// generateAccessToken gets a token for another account.
func (c *client) generateAccessToken(ctx context.Context, email, scope string) (token, error) {
	address := "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/" + url.PathEscape(email) + ":generateAccessToken"
	in := map[string]any{"scope": []string{scope}, "lifetime": "3600s"}
	var out struct {
		AccessToken string    `json:"accessToken"`
		ExpireTime  time.Time `json:"expireTime"`
	}
	if err := c.call(ctx, http.MethodPost, address, in, &out); err != nil {
		return token{}, err
	}
	if out.AccessToken == "" || out.ExpireTime.IsZero() {
		return token{}, verdict.Failed(verdict.ProviderError, "google: no token came for the service account")
	}
	return token{value: out.AccessToken, expires: out.ExpireTime}, nil
}

// isStatus reports whether err is the refusal of a request with this canonical code.
func isStatus(err error, name string) bool {
	s, ok := errors.AsType[statusError](err)
	return ok && s.Name == name
}
