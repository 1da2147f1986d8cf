package identityapi

import (
	"context"
	"encoding/base64"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"latchkey/shared/atlas"
	"latchkey/shared/httpapi"
	"latchkey/shared/identity/digest"
	"latchkey/shared/identity/directory"
	"latchkey/shared/identity/token"
)

// tokenView is a successful answer of the token endpoint (RFC 6749 section 5.1).
type tokenView struct {
	AccessToken string `json:"access_token"`
	ExpiresIn   int    `json:"expires_in"` // seconds
	TokenType   string `json:"token_type"`
}

// oauthFault is an error of the OAuth endpoints (RFC 6749 section 5.2), which is not the API's.
type oauthFault struct {
	Code        string `json:"error"`
	Description string `json:"error_description,omitempty"`

	status int
	basic  bool // the client used the Authorization header, so it must be challenged
}

func fault(code, description string) *oauthFault {
	return &oauthFault{Code: code, Description: description, status: http.StatusBadRequest}
}

// unproved is the one answer to an unknown client, a wrong secret and an expired one.
func (c clientClaim) unproved() *oauthFault {
	return &oauthFault{
		Code: "invalid_client", Description: "Invalid credentials provided.", status: http.StatusUnauthorized, basic: c.basic,
	}
}

func (f *oauthFault) response() httpapi.Response {
	h := unstored()
	if f.basic {
		h.Set("WWW-Authenticate", `Basic realm="`+digest.Realm+`"`)
	}
	return httpapi.Response{Status: f.status, Body: f, Header: h, Raw: true}
}

// unstored keeps tokens out of caches (RFC 6749 section 5.1).
func unstored() http.Header {
	return http.Header{"Cache-Control": {"no-store"}, "Pragma": {"no-cache"}}
}

// clientClaim is who a client says it is.
type clientClaim struct {
	id, secret string
	basic      bool
}

// parseForm reads a form body. A parameter must not be repeated (RFC 6749 section 3.2).
func parseForm(r *httpapi.Request) (url.Values, *oauthFault) {
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || mediaType != "application/x-www-form-urlencoded" {
		return nil, fault("invalid_request", "The content type must be application/x-www-form-urlencoded.")
	}
	form, err := url.ParseQuery(string(r.Body))
	if err != nil {
		return nil, fault("invalid_request", "The form is malformed.")
	}
	for _, values := range form {
		if len(values) > 1 {
			return nil, fault("invalid_request", "A parameter is given twice.")
		}
	}
	return form, nil
}

// parseClient reads the client's credentials from the Authorization header or the form, never
// from both (RFC 6749 section 2.3).
func parseClient(r *httpapi.Request, form url.Values) (clientClaim, *oauthFault) {
	claim := clientClaim{id: form.Get("client_id"), secret: form.Get("client_secret")}
	scheme, encoded, _ := strings.Cut(strings.TrimSpace(r.Header.Get("Authorization")), " ")
	if scheme == "" {
		return claim, nil
	}
	if form.Has("client_secret") {
		return claim, fault("invalid_request", "The client authenticates in two ways.")
	}
	claim.basic = true
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	id, secret, found := strings.Cut(string(raw), ":")
	if err != nil || !found || !strings.EqualFold(scheme, "Basic") {
		return claim, claim.unproved()
	}
	// RFC 6749 section 2.3.1 has both parts form-encoded within Basic. Clients that skip it
	// send the same, since ids and secrets consist of unreserved characters.
	if claim.id, err = url.QueryUnescape(id); err != nil {
		return claim, claim.unproved()
	}
	if claim.secret, err = url.QueryUnescape(secret); err != nil {
		return claim, claim.unproved()
	}
	if other := form.Get("client_id"); other != "" && other != claim.id {
		return claim, fault("invalid_request", "The client names itself in two ways.")
	}
	return claim, nil
}

// proof is a request whose client proved itself.
type proof struct {
	form    url.Values
	account directory.ServiceAccount
	secret  directory.Secret
}

// prove reads the form and proves the client.
func (a API) prove(ctx context.Context, r *httpapi.Request) (proof, *oauthFault, error) {
	form, refused := parseForm(r)
	if refused != nil {
		return proof{}, refused, nil
	}
	claim, refused := parseClient(r, form)
	if refused != nil {
		return proof{}, refused, nil
	}
	account, _, err := a.Directory.FindByClientID(ctx, claim.id)
	if err != nil {
		return proof{}, nil, err
	}
	secret, ok := account.Prove(claim.secret, a.Now())
	if !ok {
		return proof{}, claim.unproved(), nil
	}
	return proof{form, account, secret}, nil, nil
}

// issueToken is the client credentials grant (RFC 6749 section 4.4).
func (a API) issueToken(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	p, refused, err := a.prove(ctx, r)
	if err != nil {
		return httpapi.Response{}, err
	}
	if refused == nil {
		refused = checkGrant(p.form)
	}
	if refused != nil {
		return refused.response(), nil
	}
	ring, err := a.Keyring.Ring(ctx)
	if err != nil {
		return httpapi.Response{}, err
	}
	now := a.Now()
	signed, err := token.Issue(ring.Current(now), p.account.ClientID, p.secret.ID, now)
	if err != nil {
		return httpapi.Response{}, err
	}
	err = a.Directory.NoteUse(ctx, p.account, p.secret.ID)
	if err != nil && atlas.CodeOf(err) != atlas.ServiceAccountNotFound { // deleted since: the token opens nothing
		return httpapi.Response{}, err
	}
	body := tokenView{AccessToken: signed, ExpiresIn: int(token.Life.Seconds()), TokenType: "Bearer"}
	return httpapi.Response{Status: http.StatusOK, Body: body, Header: unstored(), Raw: true}, nil
}

func checkGrant(form url.Values) *oauthFault {
	switch form.Get("grant_type") {
	case "client_credentials":
		return nil
	case "":
		return fault("invalid_request", "The parameter grant_type is missing.")
	}
	return fault("unsupported_grant_type", "The only grant type is client_credentials.")
}

// revokeToken ends one of the client's own tokens (RFC 7009). A token that is unknown or has
// ended is revoked already, so that is no error.
func (a API) revokeToken(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	p, refused, err := a.prove(ctx, r)
	if err != nil {
		return httpapi.Response{}, err
	}
	if refused == nil && p.form.Get("token") == "" {
		refused = fault("invalid_request", "The parameter token is missing.")
	}
	if refused != nil {
		return refused.response(), nil
	}
	ring, err := a.Keyring.Ring(ctx)
	if err != nil {
		return httpapi.Response{}, err
	}
	revoked := httpapi.Response{Status: http.StatusOK, Header: unstored(), Raw: true}
	t, err := token.Verify(ring, p.form.Get("token"), a.Now())
	if err != nil {
		return revoked, nil //nolint:nilerr // whatever it was, it opens nothing
	}
	if t.ClientID != p.account.ClientID {
		return fault("invalid_grant", "The token was issued to another client.").response(), nil
	}
	return revoked, a.Directory.Revoke(ctx, t)
}
