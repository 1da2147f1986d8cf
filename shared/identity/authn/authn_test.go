package authn_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/mongodb-forks/digest"

	"latchkey/shared/audit"
	"latchkey/shared/identity"
	"latchkey/shared/identity/authn"
	lkdigest "latchkey/shared/identity/digest"
	"latchkey/shared/identity/directory"
	"latchkey/shared/identity/identitytest"
	"latchkey/shared/identity/keyring"
	"latchkey/shared/identity/token"
)

const (
	org   = "650000000000000000000002"
	group = "650000000000000000000001"
	path  = "/api/atlas/v2/groups/" + group + "/encryptionAtRest"
)

type bench struct {
	*authn.Authenticator

	table  *identitytest.FlakyTable
	sealer *identitytest.Sealer
	clock  *identitytest.Clock

	key     directory.APIKey
	private string
	account directory.ServiceAccount
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{
		table:  &identitytest.FlakyTable{Table: identitytest.Table(t)},
		sealer: identitytest.NewSealer(t), clock: identitytest.NewClock(),
	}
	dir := &directory.Directory{
		Table: b.table, Sealer: b.sealer, Now: b.clock.Now, Journal: audit.Journal{Table: b.table, Now: b.clock.Now},
	}
	b.Authenticator = &authn.Authenticator{
		Directory: dir, Now: b.clock.Now,
		Keyring: &keyring.Keyring{Table: b.table, Sealer: b.sealer, Now: b.clock.Now},
	}
	roles := directory.Grants{OrgRoles: []identity.Role{identity.OrgOwner}}.InGroup(group, []identity.Role{identity.GroupOwner})
	var err error
	b.key, b.private, err = dir.CreateAPIKey(t.Context(), audit.System(), directory.NewAPIKey{OrgID: org, Desc: "ci", Grants: roles})
	if err != nil {
		t.Fatal(err)
	}
	b.account, _, err = dir.CreateServiceAccount(t.Context(), audit.System(), directory.NewServiceAccount{
		OrgID: org, Name: "ci", Grants: roles, SecretLife: 8 * time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// ask authenticates a request that must not fail.
func (b *bench) ask(t *testing.T, r authn.Request) (identity.Caller, *authn.Refusal) {
	t.Helper()
	caller, refusal, err := b.Authenticate(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return caller, refusal
}

func request(uri, authorization string) authn.Request {
	r := httptest.NewRequest(http.MethodPatch, uri, nil)
	return authn.Request{
		Method: r.Method, Target: lkdigest.TargetOf(r), Authorization: authorization, RemoteAddress: "198.51.100.7",
	}
}

// signed is the header with which the official client answers the challenge.
func signed(t *testing.T, challenge, user, password, uri string) string {
	t.Helper()
	transport := digest.NewTransportWithHTTPRoundTripper(user, password, exchange{t, challenge})
	resp, err := transport.RoundTrip(httptest.NewRequest(http.MethodPatch, uri, nil))
	if err != nil {
		t.Fatal(err)
	}
	return resp.Header.Get("X-Signed")
}

// exchange challenges the client and hands back what it answers.
type exchange struct {
	t         *testing.T
	challenge string
}

func (e exchange) RoundTrip(r *http.Request) (*http.Response, error) {
	resp := &http.Response{StatusCode: http.StatusOK, Header: http.Header{"X-Signed": r.Header["Authorization"]}, Body: http.NoBody}
	if r.Header.Get("Authorization") == "" {
		resp.StatusCode, resp.Header = http.StatusUnauthorized, http.Header{"Www-Authenticate": {e.challenge}}
	}
	return resp, nil
}

func TestAnAPIKeyProvesItselfByItsSignature(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, refusal := b.ask(t, request(path, ""))
	if refusal == nil || refusal.Reason != authn.NoCredentials {
		t.Fatalf("an unsigned request: %+v", refusal)
	}
	caller, refused := b.ask(t, request(path, signed(t, refusal.Challenge, b.key.PublicKey, b.private, path)))
	if refused != nil {
		t.Fatalf("refused: %s", refused.Reason)
	}
	want := b.key.Caller()
	want.RemoteAddress = "198.51.100.7"
	if diff := cmp.Diff(want, caller); diff != "" {
		t.Error(diff)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, refusal := b.ask(t, request(path, ""))
	good := signed(t, refusal.Challenge, b.key.PublicKey, b.private, path)
	tests := map[string]struct {
		uri, authorization string
		want               authn.Reason
	}{
		"nothing":                       {path, "", authn.NoCredentials},
		"spaces":                        {path, "  ", authn.NoCredentials},
		"basic":                         {path, "Basic YTpi", authn.UnsupportedScheme},
		"no parameters":                 {path, "Digest", authn.Malformed},
		"rubbish":                       {path, "Digest x", authn.Malformed},
		"a nonce that is not ours":      {path, strings.Replace(good, `nonce="`, `nonce="x`, 1), authn.ForeignNonce},
		"a wrong private key":           {path, signed(t, refusal.Challenge, b.key.PublicKey, "wrong", path), authn.WrongResponse},
		"an unknown public key":         {path, signed(t, refusal.Challenge, "unknownx", b.private, path), authn.UnknownIdentity},
		"no public key at all":          {path, signed(t, refusal.Challenge, "no/key#at all", b.private, path), authn.UnknownIdentity},
		"the signature of another path": {path + "/x", good, authn.OtherURI},
		"a query that was not signed":   {path + "?a=1", good, authn.OtherURI},
		"an empty token":                {path, "Bearer", authn.InvalidToken},
		"a token that is none":          {path, "Bearer abc", authn.InvalidToken},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			caller, got := b.ask(t, request(tc.uri, tc.authorization))
			if got == nil || got.Reason != tc.want || !caller.Anonymous() {
				t.Fatalf("got %+v for %+v, want %s", caller, got, tc.want)
			}
			wantScheme := "Digest "
			if strings.HasPrefix(tc.authorization, "Bearer") {
				wantScheme = "Bearer "
			}
			if !strings.HasPrefix(got.Challenge, wantScheme) {
				t.Errorf("challenged with %q", got.Challenge)
			}
		})
	}
}

func TestASignatureOfYesterdayIsAnsweredWithAFreshNonce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, refusal := b.ask(t, request(path, ""))
	header := signed(t, refusal.Challenge, b.key.PublicKey, b.private, path)
	b.clock.Advance(24 * time.Hour)
	_, stale := b.ask(t, request(path, header))
	if stale == nil || stale.Reason != authn.StaleNonce || !strings.HasSuffix(stale.Challenge, "stale=true") {
		t.Fatalf("got %+v", stale)
	}
	if _, refused := b.ask(t, request(path, signed(t, stale.Challenge, b.key.PublicKey, b.private, path))); refused != nil {
		t.Errorf("the fresh nonce was refused: %s", refused.Reason)
	}
}

// What can be seen from outside is the work that is done; time follows from it.
func TestAnUnknownKeyCostsWhatAWrongOneCosts(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, refusal := b.ask(t, request(path, ""))
	cost := func(user string) (reads, opened int) {
		header := signed(t, refusal.Challenge, user, "wrong", path)
		readsBefore, _ := b.table.Counts()
		openedBefore := b.sealer.Opened()
		b.ask(t, request(path, header))
		reads, _ = b.table.Counts()
		return reads - readsBefore, b.sealer.Opened() - openedBefore
	}
	knownReads, knownOpened := cost(b.key.PublicKey)
	unknownReads, unknownOpened := cost("unknownx")
	if knownReads != 1 || knownOpened != 1 || unknownReads != knownReads || unknownOpened != knownOpened {
		t.Errorf("known: %d reads, %d opened; unknown: %d, %d; want 1 and 1 for both",
			knownReads, knownOpened, unknownReads, unknownOpened)
	}
}

func (b *bench) token(t *testing.T) string {
	t.Helper()
	ring, err := b.Keyring.Ring(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s, err := token.Issue(ring.Current(b.clock.Now()), b.account.ClientID, b.account.Secrets[0].ID, b.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAServiceAccountProvesItselfByItsToken(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	header := "bearer " + b.token(t)
	reads, _ := b.table.Counts()
	caller, refused := b.ask(t, request(path, header))
	if refused != nil || caller.ID != b.account.ClientID || caller.Kind != identity.KindServiceAccount {
		t.Fatalf("got %+v, %+v", caller, refused)
	}
	if after, _ := b.table.Counts(); after != reads+1 {
		t.Errorf("%d reads, want 1", after-reads)
	}
	b.clock.Advance(token.Life)
	if _, refused := b.ask(t, request(path, header)); refused == nil || refused.Reason != authn.InvalidToken {
		t.Errorf("an expired token: %+v", refused)
	}
}

func TestRolesAndRevocationsTakeEffectAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	header := "Bearer " + b.token(t)
	_, err := b.Directory.ChangeServiceAccount(t.Context(), audit.System(), org, b.account.ClientID,
		func(a directory.ServiceAccount) (directory.ServiceAccount, error) {
			a.Grants = a.InGroup(group, nil)
			return a, nil
		})
	if err != nil {
		t.Fatal(err)
	}
	if caller, refused := b.ask(t, request(path, header)); refused != nil || len(caller.GroupRoles) != 0 {
		t.Errorf("after the role was taken: %+v, %+v", caller, refused)
	}
	ring, err := b.Keyring.Ring(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tok, err := token.Verify(ring, strings.TrimPrefix(header, "Bearer "), b.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Directory.Revoke(t.Context(), tok); err != nil {
		t.Fatal(err)
	}
	if _, refused := b.ask(t, request(path, header)); refused == nil || refused.Reason != authn.RevokedToken {
		t.Errorf("a revoked token: %+v", refused)
	}
	other := "Bearer " + b.token(t)
	if err := b.Directory.DeleteServiceAccount(t.Context(), audit.System(), org, b.account.ClientID); err != nil {
		t.Fatal(err)
	}
	if _, refused := b.ask(t, request(path, other)); refused == nil || refused.Reason != authn.UnknownIdentity {
		t.Errorf("a token of a deleted account: %+v", refused)
	}
}

func TestAnOutageIsAnErrorAndNoRefusal(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, refusal := b.ask(t, request(path, ""))
	headers := map[string]string{
		"known":   signed(t, refusal.Challenge, b.key.PublicKey, b.private, path),
		"unknown": signed(t, refusal.Challenge, "unknownx", "x", path),
	}
	for name, header := range headers {
		b.sealer.Break(true)
		if _, refused, err := b.Authenticate(t.Context(), request(path, header)); !errors.Is(err, identitytest.ErrSealer) || refused != nil {
			t.Errorf("%s key, seal broken: %+v, %v", name, refused, err)
		}
		b.sealer.Break(false)
		b.table.Break(true)
		if _, refused, err := b.Authenticate(t.Context(), request(path, header)); !errors.Is(err, identitytest.ErrTable) || refused != nil {
			t.Errorf("%s key, table broken: %+v, %v", name, refused, err)
		}
		b.table.Break(false)
	}
	header := "Bearer " + b.token(t)
	b.table.Break(true)
	if _, refused, err := b.Authenticate(t.Context(), request(path, header)); !errors.Is(err, identitytest.ErrTable) || refused != nil {
		t.Errorf("token, table broken: %+v, %v", refused, err)
	}
}
