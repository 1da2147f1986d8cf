package authorizer_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/url"
	"strings"
	"testing"

	"latchkey/shared/audit"
	"latchkey/shared/identity"
	"latchkey/shared/identity/authn"
	"latchkey/shared/identity/directory"
	"latchkey/shared/identity/identitytest"
	"latchkey/shared/identity/keyring"
	"latchkey/shared/store/storetest"
	"latchkey/shared/suite/authorizer"
)

// FuzzInvoke asks the real authenticator with whatever a stranger may send. Nobody passes who has no key; everybody is
// denied alike, with a challenge and nothing of what was sent; and nothing is written.
func FuzzInvoke(f *testing.F) {
	table, clock := storetest.NewMemory(), identitytest.NewClock()
	sealer := identitytest.NewSealer(f)
	people := &directory.Directory{Table: table, Sealer: sealer, Journal: audit.Journal{Table: table, Now: clock.Now}, Now: clock.Now}
	key, _, err := people.CreateAPIKey(f.Context(), audit.System(), directory.NewAPIKey{
		OrgID: "650000000000000000000009", Desc: "k", Grants: directory.Grants{OrgRoles: []identity.Role{identity.OrgOwner}},
	})
	if err != nil {
		f.Fatal(err)
	}
	fn := authorizer.New(authorizer.Config{
		Authenticator: &authn.Authenticator{Directory: people, Keyring: &keyring.Keyring{Table: table, Sealer: sealer, Now: clock.Now}, Now: clock.Now},
		Log:           slog.New(slog.DiscardHandler), Refused: func(context.Context, authn.Reason) {},
	})
	challenge := func(tb testing.TB, e map[string]any) string {
		tb.Helper()
		payload, err := json.Marshal(e)
		if err != nil {
			tb.Fatal(err)
		}
		out, err := fn.Invoke(tb.Context(), payload)
		if err != nil {
			tb.Fatalf("%s: %v", payload, err)
		}
		var answer struct {
			PrincipalID    string
			PolicyDocument struct{ Statement []struct{ Effect string } }
			Context        map[string]string
		}
		if err := json.Unmarshal(out, &answer); err != nil || answer.PrincipalID != "anonymous" || len(answer.PolicyDocument.Statement) != 1 ||
			answer.PolicyDocument.Statement[0].Effect != "Deny" || len(answer.Context) != 1 {
			tb.Fatalf("%s is answered %s, %v", payload, out, err)
		}
		return answer.Context[authorizer.ChallengeKey]
	}
	_, nonce, _ := strings.Cut(challenge(f, event(nil)), `nonce="`)
	nonce, _, _ = strings.Cut(nonce, `"`)
	signed := `Digest username="` + key.PublicKey + `", realm="MMS Public API", nonce="` + nonce + `", uri="/api/atlas/v2/groups/` + group + `", ` +
		`response="0123456789abcdef0123456789abcdef", algorithm=MD5, qop=auth, nc=00000001, cnonce="0011223344556677"`
	for _, header := range []string{
		"", signed, strings.Replace(signed, key.PublicKey, "nobodyxx", 1), strings.Replace(signed, `"MD5"`, "SHA-256", 1), "Basic YTpi", "Bearer a.b.c", "bearer ", "Digest",
		"Bearer eyJhbGciOiJub25lIn0.e30.", strings.Repeat("Digest ,", 2000), "Negotiate \x00",
	} {
		f.Add(header, "/api/atlas/v2/groups/"+group, "a=1", "GET")
	}
	before := len(table.Items())
	f.Fuzz(func(t *testing.T, header, path, query, method string) {
		values, _ := url.ParseQuery(query)
		e := event(map[string]any{"path": path, "multiValueQueryStringParameters": values, "multiValueHeaders": map[string][]string{"authorization": {header}}})
		if e["httpMethod"] = method; method == "" {
			return
		}
		got := challenge(t, e)
		wellFormed := strings.HasPrefix(got, `Digest realm="MMS Public API", domain="", nonce="`) || got == `Bearer realm="MMS Public API", error="invalid_token"`
		if !wellFormed || strings.ContainsAny(got, "\r\n") {
			t.Errorf("%q is challenged with %q", header, got)
		}
		if after := len(table.Items()); after != before {
			t.Errorf("%q has written: %d items, then %d", header, before, after)
		}
	})
}
