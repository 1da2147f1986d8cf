package identityapi_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/mongodb-forks/digest"
	"go.mongodb.org/atlas-sdk/v20250312018/admin"

	"latchkey/shared/audit"
	"latchkey/shared/httpapi"
	"latchkey/shared/identity"
	"latchkey/shared/identity/authn"
	lkdigest "latchkey/shared/identity/digest"
	"latchkey/shared/identity/directory"
	"latchkey/shared/identity/identityapi"
	"latchkey/shared/identity/identitytest"
	"latchkey/shared/identity/keyring"
	"latchkey/shared/project"
	"latchkey/shared/store/keys"
)

const (
	v2023 = "application/vnd.atlas.2023-01-01+json"
	v2024 = "application/vnd.atlas.2024-08-05+json"
)

// bench is the API behind real authentication, over a real table and a real HTTP server.
type bench struct {
	t     *testing.T
	url   string
	clock *identitytest.Clock
	table *identitytest.FlakyTable
	dir   *directory.Directory

	journal  audit.Journal
	projects *project.Service
	orgID    string
	groupID  string // the organisation's first group; owner has no role in it
	owner    credentials
}

// credentials are what a client authenticates with.
type credentials struct {
	id, public, private string
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, clock: identitytest.NewClock(), table: &identitytest.FlakyTable{Table: identitytest.Table(t)}}
	sealer := identitytest.NewSealer(t)
	b.journal = audit.Journal{Table: b.table, Now: b.clock.Now}
	b.dir = &directory.Directory{Table: b.table, Sealer: sealer, Journal: b.journal, Now: b.clock.Now}
	b.projects = &project.Service{Table: b.table, Journal: b.journal, Identities: b.dir, Now: b.clock.Now}
	ring := &keyring.Keyring{Table: b.table, Sealer: sealer, Now: b.clock.Now}
	founded, err := b.projects.Found(t.Context(), project.Founding{Name: "Acme", OwnerEmail: "owner@acme.example"})
	if err != nil {
		t.Fatal(err)
	}
	b.orgID, b.groupID = founded.Org.ID, founded.GroupID
	b.owner = b.key(directory.Grants{OrgRoles: []identity.Role{identity.OrgOwner}})
	api := httpapi.New(httpapi.Config{
		Gate: identity.Gate{Groups: b.projects, Denials: b.journal}, Now: b.clock.Now, Log: slog.New(slog.DiscardHandler),
	}, identityapi.API{Directory: b.dir, Keyring: ring, Groups: b.projects, Now: b.clock.Now}.Routes())
	server := httptest.NewServer(authenticate(t, &authn.Authenticator{Directory: b.dir, Keyring: ring, Now: b.clock.Now}, api))
	t.Cleanup(server.Close)
	b.url = server.URL
	return b
}

var groupInPath = regexp.MustCompile(`/groups/([0-9a-f]{24})`)

// authenticate stands where the gateway and its authorizer do.
func authenticate(t *testing.T, a *authn.Authenticator, next http.Handler) http.Handler {
	t.Helper()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/api/oauth/") {
			next.ServeHTTP(w, r)
			return
		}
		caller, refusal, err := a.Authenticate(r.Context(), authn.Request{
			Method: r.Method, Target: lkdigest.TargetOf(r), Authorization: r.Header.Get("Authorization"), RemoteAddress: "198.51.100.7",
		})
		if err != nil {
			t.Error(err)
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		if refusal != nil {
			w.Header().Set("WWW-Authenticate", refusal.Challenge)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		groupID := ""
		if m := groupInPath.FindStringSubmatch(r.URL.Path); m != nil {
			groupID = m[1]
		}
		next.ServeHTTP(w, r.WithContext(httpapi.WithCaller(r.Context(), caller.ForGroup(groupID))))
	})
}

// key makes an API key directly.
func (b *bench) key(g directory.Grants) credentials {
	b.t.Helper()
	k, private, err := b.dir.CreateAPIKey(b.t.Context(), audit.System(), directory.NewAPIKey{OrgID: b.orgID, Desc: "k", Grants: g})
	if err != nil {
		b.t.Fatal(err)
	}
	return credentials{k.ID, k.PublicKey, private}
}

// projectOwner is a key that owns the group and nothing else.
func (b *bench) projectOwner() credentials {
	b.t.Helper()
	return b.key(directory.Grants{}.InGroup(b.groupID, []identity.Role{identity.GroupOwner}))
}

// sdk is the official client with a key's credentials.
func (b *bench) sdk(c credentials) *admin.APIClient {
	b.t.Helper()
	client, err := admin.NewClient(admin.UseDigestAuth(c.public, c.private), admin.UseBaseURL(b.url))
	if err != nil {
		b.t.Fatal(err)
	}
	return client
}

// answer is a response, decoded.
type answer struct {
	status int
	header http.Header
	text   string
	body   map[string]any
}

func (a answer) code() string {
	code, _ := a.body["errorCode"].(string)
	return code
}

// do sends a request signed with a key's credentials.
func (b *bench) do(c credentials, method, path, accept, body string) answer {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.url+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Accept", accept)
	resp, err := digest.NewTransport(c.public, c.private).RoundTrip(req)
	if err != nil {
		b.t.Fatal(err)
	}
	return read(b.t, resp)
}

func read(t *testing.T, resp *http.Response) answer {
	t.Helper()
	defer resp.Body.Close() //nolint:errcheck // nothing to lose
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answer{status: resp.StatusCode, header: resp.Header, text: string(text)}
	if json.NewDecoder(bytes.NewReader(text)).Decode(&a.body) != nil {
		a.body = nil // no object
	}
	return a
}

func (b *bench) org(path string) string   { return "/api/atlas/v2/orgs/" + b.orgID + path }
func (b *bench) group(path string) string { return "/api/atlas/v2/groups/" + b.groupID + path }

// count is the number of events of a type in the organisation's or the group's feed.
func (b *bench) count(t audit.Type) int {
	b.t.Helper()
	n := 0
	for _, scope := range []string{keys.OrgScope(b.orgID), keys.GroupScope(b.groupID)} {
		_, total, err := b.journal.List(b.t.Context(), scope, audit.Filter{Types: []audit.Type{t}}, 0, 1)
		if err != nil {
			b.t.Fatal(err)
		}
		n += total
	}
	return n
}
