package adminapi_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/atlas-sdk/v20250312018/admin"

	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/httpapi"
	"latchkey/shared/identity"
	"latchkey/shared/identity/directory"
	"latchkey/shared/identity/identitytest"
	"latchkey/shared/project"
	"latchkey/shared/store"
	"latchkey/shared/suite/adminapi"
)

// rig is the assembled function over a real table behind a real HTTP server, with an
// authorizer that believes the caller's public key.
type rig struct {
	t          testing.TB
	url        string
	clock      *identitytest.Clock
	table      store.Table
	journal    audit.Journal
	identities *directory.Directory
	projects   *project.Service
	org        project.Founded
	owner      directory.APIKey // ORG_OWNER, no role in any group
	log        *bytes.Buffer
}

func newRig(t *testing.T, configure ...func(*adminapi.Deps)) *rig {
	t.Helper()
	return newRigOver(t, identitytest.Table(t), configure...)
}

func newRigOver(t testing.TB, table store.Table, configure ...func(*adminapi.Deps)) *rig {
	t.Helper()
	r := &rig{t: t, clock: identitytest.NewClock(), table: table, log: &bytes.Buffer{}}
	sealer := identitytest.NewSealer(t)
	r.journal = audit.Journal{Table: r.table, Now: r.clock.Now}
	r.identities = &directory.Directory{Table: r.table, Sealer: sealer, Journal: r.journal, Now: r.clock.Now}
	r.projects = &project.Service{Table: r.table, Journal: r.journal, Identities: r.identities, Now: r.clock.Now}
	var err error
	if r.org, err = r.projects.Found(t.Context(), project.Founding{Name: "Acme", OwnerEmail: "owner@acme.example"}); err != nil {
		t.Fatal(err)
	}
	r.owner = r.key(r.org.Org.ID, identity.OrgOwner, nil)
	deps := adminapi.Deps{
		Table: r.table, Sealer: sealer, Now: r.clock.Now, Log: slog.New(slog.NewJSONHandler(r.log, nil)),
	}
	for _, c := range configure {
		c(&deps)
	}
	server := httptest.NewServer(r.authorize(adminapi.New(deps)))
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

// key makes an API key.
func (r *rig) key(orgID string, role identity.Role, groups map[string][]identity.Role) directory.APIKey {
	r.t.Helper()
	k, _, err := r.identities.CreateAPIKey(r.t.Context(), audit.System(), directory.NewAPIKey{
		OrgID: orgID, Desc: "k", Grants: directory.Grants{OrgRoles: []identity.Role{role}, GroupRoles: groups},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return k
}

// keyHeader names the API key that a request is from.
const keyHeader = "X-Test-Key"

// authorize hands the caller over as the real authorizer does: with the roles of the one
// group that the path names.
func (r *rig) authorize(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		caller := identity.Caller{RemoteAddress: "198.51.100.7"}
		key, found, err := r.identities.FindByPublicKey(req.Context(), req.Header.Get(keyHeader))
		if err != nil {
			r.t.Error(err)
		}
		if found {
			groupID := ""
			if parts := strings.Split(req.URL.Path, "/"); len(parts) > 5 && parts[4] == "groups" {
				groupID = parts[5]
			}
			caller = key.Caller().ForGroup(groupID)
			caller.RemoteAddress = "198.51.100.7"
		}
		ctx := httpapi.WithBase(httpapi.WithCaller(req.Context(), caller), r.url)
		next.ServeHTTP(w, req.WithContext(ctx))
	})
}

// as is a transport that signs with a key.
type as struct{ publicKey string }

func (a as) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set(keyHeader, a.publicKey)
	return http.DefaultTransport.RoundTrip(req)
}

// client is the official SDK as a caller with a key.
func (r *rig) client(k directory.APIKey) *admin.APIClient {
	r.t.Helper()
	c, err := admin.NewClient(admin.UseBaseURL(r.url), admin.UseHTTPClient(&http.Client{Transport: as{k.PublicKey}}))
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

// answer is what a plain HTTP request gets.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) code(t *testing.T) atlas.Code {
	t.Helper()
	var e atlas.ErrorBody
	if err := json.Unmarshal([]byte(a.body), &e); err != nil {
		t.Fatalf("%s: %v", a.body, err)
	}
	return e.ErrorCode
}

// do makes a request at the newest version, as the CLI's and curl's users do.
func (r *rig) do(k directory.APIKey, method, path, body string) answer {
	return r.at("2025-03-12", k, method, path, body)
}

func (r *rig) at(version string, k directory.APIKey, method, path, body string) answer {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.url+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Accept", "application/vnd.atlas."+version+"+json")
	resp, err := (&http.Client{Transport: as{k.PublicKey}}).Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(b)}
}

// create makes a group through the API, as the owner.
func (r *rig) create(name string) *admin.Group {
	r.t.Helper()
	g, _, err := r.client(r.owner).ProjectsApi.CreateGroup(r.t.Context(), &admin.Group{
		Name: name, OrgId: r.org.Org.ID, Created: time.Time{},
	}).Execute()
	if err != nil {
		r.t.Fatal(err)
	}
	return g
}

const v2 = "/api/atlas/v2"

func TestAdminAPI_EveryPublicRouteIsMeantToBe(t *testing.T) {
	public := map[string]bool{
		"listControlPlaneIpAddresses": true, "getDefaultMongoDBMajorVersion": true, "getIPInfo": true,
		"sendTelemetry": true, "sendUnauthenticatedTelemetry": true,
		"issueAccessToken": true, "revokeAccessToken": true, // they authenticate clients themselves
	}
	api := adminapi.New(adminapi.Deps{Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	for _, route := range api.Routes() {
		if isPublic := route.Rule.Scope == identity.Public; isPublic != public[route.Operation] {
			t.Errorf("%s is public: %t", route.Operation, isPublic)
		}
		if route.Limit.ID == "" {
			t.Errorf("%s has no rate limit", route.Operation)
		}
	}
}

func TestAdminAPI_NobodyGetsNothing(t *testing.T) {
	r := newRig(t)
	for _, path := range []string{"", "/groups", "/orgs", "/groups/" + r.org.GroupID, "/orgs/" + r.org.Org.ID, "/rateLimits", "/eventTypes"} {
		a := r.do(directory.APIKey{}, "GET", v2+path, "")
		if a.status != http.StatusUnauthorized {
			t.Errorf("GET %s answers %d", path, a.status)
		}
	}
}

func TestAdminAPI_AStrangerCannotTellAGroupFromNone(t *testing.T) {
	r := newRig(t)
	other, err := r.projects.Found(t.Context(), project.Founding{Name: "Other", OwnerEmail: "o@o.example"})
	if err != nil {
		t.Fatal(err)
	}
	stranger := r.key(other.Org.ID, identity.OrgOwner, nil)
	closed := r.create("closed").GetId()
	if a := r.do(r.owner, "DELETE", v2+"/groups/"+closed, ""); a.status != http.StatusNoContent {
		t.Fatalf("%+v", a)
	}
	const never = "650000000000000000000099"
	answers := map[string]bool{}
	for _, id := range []string{r.org.GroupID, closed, never} {
		for _, path := range []string{"", "/settings", "/limits", "/users", "/events", "/ipAddresses", "/managedSlowMs"} {
			a := r.do(stranger, "GET", v2+"/groups/"+id+path, "")
			answers[strings.ReplaceAll(a.body, id, "ID")] = true
			if a.status != http.StatusUnauthorized {
				t.Errorf("%s%s answers %d", id, path, a.status)
			}
		}
	}
	if len(answers) != 1 {
		t.Errorf("the answers differ: %v", answers)
	}
	if a := r.do(stranger, "GET", v2+"/orgs/"+r.org.Org.ID, ""); a.status != http.StatusUnauthorized || a.code(t) != atlas.UserCannotAccessOrg {
		t.Errorf("%+v", a)
	}
	if a := r.do(stranger, "GET", v2+"/groups/byName/Project%200", ""); !strings.Contains(a.body, other.GroupID) {
		t.Errorf("a name finds somebody else's group: %+v", a)
	}
}

func TestAdminAPI_AClosedGroupIsGoneForItsOwnOrganisation(t *testing.T) {
	r := newRig(t)
	g := r.create("gone").GetId()
	if a := r.do(r.owner, "DELETE", v2+"/groups/"+g, `{"ignored":true}`); a.status != http.StatusNoContent || a.body != "" {
		t.Fatalf("%+v", a)
	}
	reader := r.key(r.org.Org.ID, identity.OrgReadOnly, nil)
	// The owner's key created the group and so holds a role in it still.
	for name, k := range map[string]directory.APIKey{"its creator": r.owner, "an overseer": reader} {
		for _, path := range []string{
			"", "/settings", "/limits", "/limits/atlas.project.deployment.clusters", "/users", "/teams", "/accessList",
			"/events", "/events/" + g, "/ipAddresses", "/managedSlowMs",
		} {
			if a := r.do(k, "GET", v2+"/groups/"+g+path, ""); a.status != http.StatusNotFound || a.code(t) != atlas.GroupNotFound {
				t.Errorf("%s: GET %s answers %+v", name, path, a)
			}
		}
	}
	for _, c := range [][3]string{
		{"PATCH", "", `{"name":"x"}`},
		{"DELETE", "", ""},
		{"PATCH", "/settings", `{}`},
		{"POST", "/managedSlowMs/enable", ""},
		{"PATCH", "/limits/atlas.project.deployment.clusters", `{"value":1}`},
		{"DELETE", "/limits/atlas.project.deployment.clusters", ""},
	} {
		if a := r.do(r.owner, c[0], v2+"/groups/"+g+c[1], c[2]); a.status != http.StatusNotFound {
			t.Errorf("%s %s answers %+v", c[0], c[1], a)
		}
	}
}

func TestAdminAPI_RolesDecideWhoChangesAGroup(t *testing.T) {
	r := newRig(t)
	g := r.create("p").GetId()
	in := func(role identity.Role) map[string][]identity.Role { return map[string][]identity.Role{g: {role}} }
	for name, tt := range map[string]struct {
		key                  directory.APIKey
		read, change, create int
	}{
		"organisation owner":  {r.owner, 200, 200, 201},
		"project owner":       {r.key(r.org.Org.ID, identity.OrgMember, in(identity.GroupOwner)), 200, 200, 401},
		"project reader":      {r.key(r.org.Org.ID, identity.OrgMember, in(identity.GroupReadOnly)), 200, 401, 401},
		"group creator":       {r.key(r.org.Org.ID, identity.OrgGroupCreator, nil), 401, 401, 201},
		"organisation reader": {r.key(r.org.Org.ID, identity.OrgReadOnly, nil), 200, 401, 401},
		"organisation member": {r.key(r.org.Org.ID, identity.OrgMember, nil), 401, 401, 401},
	} {
		read := r.do(tt.key, "GET", v2+"/groups/"+g, "").status
		change := r.do(tt.key, "PATCH", v2+"/groups/"+g+"/settings", `{"isSchemaAdvisorEnabled":true}`).status
		create := r.do(tt.key, "POST", v2+"/groups", `{"name":"by `+name+`","orgId":"`+r.org.Org.ID+`"}`).status
		if read != tt.read || change != tt.change || create != tt.create {
			t.Errorf("%s: read %d, change %d, create %d", name, read, change, create)
		}
	}
}

func TestAdminAPI_NoSecretIsLogged(t *testing.T) {
	r := newRig(t)
	r.do(r.owner, "PATCH", v2+"/groups/"+r.org.GroupID+"?x=hush", `{"name":"hush`)
	if strings.Contains(r.log.String(), "hush") {
		t.Errorf("log: %s", r.log)
	}
}
