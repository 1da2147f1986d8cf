package identityapi_test

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/atlas-sdk/v20250312018/admin"
	"go.mongodb.org/atlas-sdk/v20250312018/auth"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"latchkey/shared/audit"
	"latchkey/shared/identity"
	"latchkey/shared/identity/directory"
)

const formType = "application/x-www-form-urlencoded"

// post sends a form to an OAuth endpoint; authorization may be empty.
func (b *bench) post(path, authorization, contentType, form string) answer {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.url+path, strings.NewReader(form))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	return read(b.t, resp)
}

func basic(c credentials) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(c.id)+":"+url.QueryEscape(c.private)))
}

// token fetches an access token.
func (b *bench) token(c credentials) string {
	b.t.Helper()
	got := b.post("/api/oauth/token", basic(c), formType, "grant_type=client_credentials")
	signed, ok := got.body["access_token"].(string)
	if !ok {
		b.t.Fatalf("answered %d %s", got.status, got.text)
	}
	return signed
}

// bearer asks for the account's own project with a token and returns the status.
func (b *bench) bearer(signed string) int {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.url+b.group("/apiKeys"), nil)
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Accept", v2023)
	req.Header.Set("Authorization", "Bearer "+signed)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	return read(b.t, resp).status
}

func (b *bench) projectAccount() credentials {
	return b.account(directory.Grants{}.InGroup(b.groupID, []identity.Role{identity.GroupOwner}))
}

func TestTheOfficialClientUsesAServiceAccount(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	c := b.projectAccount()
	// Without a client of its own the SDK changes http.DefaultClient for everybody.
	ctx := context.WithValue(t.Context(), auth.HTTPClient, &http.Client{})
	client, err := admin.NewClient(admin.UseBaseURL(b.url), admin.UseOAuthAuth(ctx, c.id, c.private))
	if err != nil {
		t.Fatal(err)
	}
	list, _, err := client.ServiceAccountsApi.ListGroupServiceAccounts(t.Context(), b.groupID).Execute()
	if err != nil {
		t.Fatal(err)
	}
	if used := list.GetResults()[0].GetSecrets()[0]; !used.GetLastUsedAt().Equal(b.clock.Now()) {
		t.Errorf("last used %s", used.GetLastUsedAt())
	}
}

func TestOAuthLibrariesOfBothStylesGetTokens(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	c := b.projectAccount()
	for _, style := range []oauth2.AuthStyle{oauth2.AuthStyleInHeader, oauth2.AuthStyleInParams} {
		cfg := clientcredentials.Config{ClientID: c.id, ClientSecret: c.private, TokenURL: b.url + "/api/oauth/token", AuthStyle: style}
		tok, err := cfg.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if status := b.bearer(tok.AccessToken); status != http.StatusOK {
			t.Errorf("the token is answered %d", status)
		}
	}
}

func TestTheTokenAnswersAreTheRealServices(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	c := b.projectAccount()
	got := b.post("/api/oauth/token", basic(c), formType, "grant_type=client_credentials")
	delete(got.body, "access_token")
	if diff := cmp.Diff(map[string]any{"expires_in": 3600.0, "token_type": "Bearer"}, got.body); diff != "" {
		t.Error(diff)
	}
	if got.status != http.StatusOK || got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d, %v", got.status, got.header)
	}
	got = b.post("/api/oauth/token", basic(credentials{id: c.id, private: "wrong"}), formType, "grant_type=client_credentials")
	if got.status != http.StatusUnauthorized || got.text != `{"error":"invalid_client","error_description":"Invalid credentials provided."}` {
		t.Errorf("a wrong secret is answered %d %s", got.status, got.text)
	}
	if !strings.HasPrefix(got.header.Get("WWW-Authenticate"), "Basic ") || got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers %v", got.header)
	}
}

func TestTokenRequestsThatAreRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	c := b.projectAccount()
	const grant = "grant_type=client_credentials"
	inForm := "&client_id=" + c.id + "&client_secret=" + c.private
	tests := map[string]struct {
		authorization, contentType, form string
		status                           int
		want                             string
	}{
		"JSON":                       {basic(c), "application/json", `{"grant_type":"client_credentials"}`, 400, "invalid_request"},
		"a broken form":              {basic(c), formType, "grant_type=%zz", 400, "invalid_request"},
		"a parameter twice":          {basic(c), formType, grant + "&" + grant, 400, "invalid_request"},
		"no grant type":              {basic(c), formType, "", 400, "invalid_request"},
		"another grant type":         {basic(c), formType, "grant_type=password", 400, "unsupported_grant_type"},
		"nobody":                     {"", formType, grant, 401, "invalid_client"},
		"an unknown client":          {basic(credentials{id: "mdb_sa_id_650000000000000000000099", private: c.private}), formType, grant, 401, "invalid_client"},
		"a client id that is none":   {basic(credentials{id: "x/y", private: c.private}), formType, grant, 401, "invalid_client"},
		"a wrong secret in the form": {"", formType, grant + "&client_id=" + c.id + "&client_secret=x", 401, "invalid_client"},
		"credentials twice":          {basic(c), formType, grant + inForm, 400, "invalid_request"},
		"two names":                  {basic(c), formType, grant + "&client_id=other", 400, "invalid_request"},
		"no base64":                  {"Basic !", formType, grant, 401, "invalid_client"},
		"no colon":                   {"Basic " + base64.StdEncoding.EncodeToString([]byte("x")), formType, grant, 401, "invalid_client"},
		"a broken escape":            {"Basic " + base64.StdEncoding.EncodeToString([]byte("%zz:x")), formType, grant, 401, "invalid_client"},
		"a bearer token":             {"Bearer x", formType, grant, 401, "invalid_client"},
		"the credentials of a key":   {basic(credentials{id: b.owner.public, private: b.owner.private}), formType, grant, 401, "invalid_client"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := b.post("/api/oauth/token", tc.authorization, tc.contentType, tc.form)
			if got.status != tc.status || got.body["error"] != tc.want {
				t.Errorf("answered %d %s, want %d %s", got.status, got.text, tc.status, tc.want)
			}
			challenged := got.header.Get("WWW-Authenticate") != ""
			if want := tc.status == http.StatusUnauthorized && tc.authorization != ""; challenged != want {
				t.Errorf("challenged %v, want %v", challenged, want)
			}
		})
	}
}

func TestAnExpiredSecretGetsNoToken(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	c := b.projectAccount()
	b.clock.Advance(8 * time.Hour)
	got := b.post("/api/oauth/token", basic(c), formType, "grant_type=client_credentials")
	if got.status != http.StatusUnauthorized || got.body["error"] != "invalid_client" {
		t.Errorf("answered %d %s", got.status, got.text)
	}
}

func TestARevokedTokenOpensNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	c := b.projectAccount()
	mine, kept := b.token(c), b.token(c)
	got := b.post("/api/oauth/revoke", basic(c), formType, "token="+mine+"&token_type_hint=access_token")
	if got.status != http.StatusOK || got.text != "" {
		t.Fatalf("answered %d %s", got.status, got.text)
	}
	if status := b.bearer(mine); status != http.StatusUnauthorized {
		t.Errorf("the revoked token is answered %d", status)
	}
	if status := b.bearer(kept); status != http.StatusOK {
		t.Errorf("the other token is answered %d", status)
	}
	if got := b.post("/api/oauth/revoke", basic(c), formType, "token="+mine); got.status != http.StatusOK {
		t.Errorf("revoked again: %d %s", got.status, got.text)
	}
}

func TestRevocationsThatAreRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	c, other := b.projectAccount(), b.projectAccount()
	foreign := b.token(other)
	tests := map[string]struct {
		authorization, form string
		status              int
		want                any
	}{
		"an unknown token":     {basic(c), "token=abc", 200, nil},
		"no token":             {basic(c), "", 400, "invalid_request"},
		"nobody":               {"", "token=abc", 401, "invalid_client"},
		"another client's own": {basic(c), "token=" + foreign, 400, "invalid_grant"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := b.post("/api/oauth/revoke", tc.authorization, formType, tc.form)
			if got.status != tc.status || got.body["error"] != tc.want {
				t.Errorf("answered %d %s", got.status, got.text)
			}
		})
	}
	if status := b.bearer(foreign); status != http.StatusOK {
		t.Errorf("the other client's token is answered %d", status)
	}
}

func TestAccessEndsAtOnceWithSecretRoleAndAccount(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ends := map[string]func(c credentials) error{
		"its secret": func(c credentials) error {
			_, err := b.dir.ChangeServiceAccount(t.Context(), audit.System(), b.orgID, c.id,
				func(a directory.ServiceAccount) (directory.ServiceAccount, error) { return a.WithoutSecret(c.public) })
			return err
		},
		"its role": func(c credentials) error {
			_, err := b.dir.ChangeServiceAccount(t.Context(), audit.System(), b.orgID, c.id,
				func(a directory.ServiceAccount) (directory.ServiceAccount, error) {
					a.Grants = a.InGroup(b.groupID, nil)
					return a, nil
				})
			return err
		},
		"the account": func(c credentials) error {
			return b.dir.DeleteServiceAccount(t.Context(), audit.System(), b.orgID, c.id)
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			c := b.projectAccount()
			signed := b.token(c)
			if status := b.bearer(signed); status != http.StatusOK {
				t.Fatalf("before: %d", status)
			}
			if err := end(c); err != nil {
				t.Fatal(err)
			}
			if status := b.bearer(signed); status != http.StatusUnauthorized {
				t.Errorf("after: %d", status)
			}
		})
	}
}
