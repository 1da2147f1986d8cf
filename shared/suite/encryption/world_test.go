package encryption_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/local/pocket/pockettest"
	"latchkey/shared/audit"
	"latchkey/shared/httpapi"
	"latchkey/shared/identity"
	"latchkey/shared/identity/directory"
	"latchkey/shared/kms/keyring"
	"latchkey/shared/project"
	"latchkey/shared/seal"
	"latchkey/shared/seal/fileseal"
	"latchkey/shared/seal/leaktest"
	"latchkey/shared/store"
	"latchkey/shared/store/bolt"
	"latchkey/shared/store/keys"
	common "latchkey/shared/suite"
	"latchkey/shared/suite/adminapi"
	suite "latchkey/shared/suite/encryption"
	"latchkey/shared/validity"
	"latchkey/shared/workflow"
)

const (
	groupID = "650000000000000000000001"
	orgID   = "650000000000000000000002"
	v2      = "/api/atlas/v2/groups/" + groupID
	ear     = v2 + "/encryptionAtRest"
	roles   = v2 + "/cloudProviderAccess"

	clusters = v2 + "/clusters"
)

var owner = identity.Caller{
	Kind: identity.KindAPIKey, ID: "650000000000000000000060", Name: "abcdefgh", OrgID: orgID,
	GroupRoles: map[string][]identity.Role{groupID: {identity.GroupOwner}},
}

// world is the whole function over a real table, a real seal and the three pocket clouds. It
// lives in a bubble of testing/synctest, where time.Sleep costs nothing.
type world struct {
	*pockettest.Clouds
	t       *testing.T
	table   *brittleTable
	wire    *wire
	log     *safeBuffer
	deps    suite.Deps
	api     http.Handler
	admin   http.Handler // the function that serves clusters, over the same table
	started *starter
	secrets []string // of the tenant: must not show up anywhere
	leaks   leaktest.Detector
	known   int    // of the secrets, to the detector
	file    string // of the table
	// named is what a scenario expects to be named in parameters.
	named string
	// lag is how late the clouds act on changes.
	lag time.Duration
	// withoutGoogle: the operator has no project at Google.
	withoutGoogle bool
}

type option func(*world, *pockettest.Options)

// inWorld runs a test in a new world.
func inWorld(t *testing.T, fn func(w *world), options ...option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, options...)
		fn(w)
		time.Sleep(time.Minute) // SDKs finish what nobody waits for any more
		w.seeNoSecret()
		w.wire.seeNoStranger(t)
	})
}

func newWorld(t *testing.T, options ...option) *world {
	t.Helper()
	w := &world{t: t, log: &safeBuffer{}}
	clouds := pockettest.Options{Now: time.Now}
	w.deps.AllowAWSUserKeys, w.deps.PrivateEndpointRegions = true, endpointRegions
	for _, set := range options {
		set(w, &clouds)
	}
	w.Clouds = pockettest.New(t, clouds)
	w.wire = &wire{base: w.Transport()}
	w.file = filepath.Join(t.TempDir(), "table.db")
	table, err := bolt.Open(w.file)
	w.must(err)
	t.Cleanup(func() { table.Close() }) //nolint:errcheck // the folder goes away
	w.table = &brittleTable{Table: table}
	wrapper, err := fileseal.Open(filepath.Join(t.TempDir(), "keys", "seal"))
	w.must(err)
	w.deps.Table, w.deps.Sealer = w.table, seal.New(wrapper, time.Now)
	w.deps.Now, w.deps.Log = time.Now, slog.New(slog.NewJSONHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.found()
	w.deps.AWSPrincipalARN, w.deps.AzureAppID = pockettest.PrincipalARN, pockettest.AppID
	if !w.withoutGoogle {
		w.deps.Google = w.Accounts(w.wire)
	}
	w.restart()
	return w
}

// found makes the organisation and its group.
func (w *world) found() {
	w.t.Helper()
	journal := audit.Journal{Table: w.table.Table, Now: time.Now}
	people := &directory.Directory{Table: w.table.Table, Journal: journal, Now: time.Now}
	_, err := common.Projects(w.table.Table, journal, people, time.Now).Found(w.t.Context(), project.Founding{
		Name: "Acme", OwnerEmail: "owner@acme.example", OrgID: orgID, GroupID: groupID,
	})
	w.must(err)
}

// starter starts no workflow, and remembers which it was to start.
type starter struct {
	mu    sync.Mutex
	names []string
}

func (s *starter) Start(_ context.Context, x workflow.Execution) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	name, err := x.Name()
	s.names = append(s.names, name)
	return err
}

func (s *starter) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.names)
}

// restart starts the functions anew, as Lambdas without anything in their memory.
func (w *world) restart() {
	w.t.Helper()
	w.started = &starter{}
	w.deps.Start = w.started
	w.admin = adminapi.New(adminapi.Deps{Table: w.table, Now: time.Now, Log: w.deps.Log, Start: w.started, Domain: "example.net"})
	ring, err := keyring.New(w.t.Context(), w.Identities(w.wire))
	w.must(err)
	w.deps.Keys = ring
	w.api = suite.New(w.deps)
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// answer is what the API answered.
type answer struct {
	status int
	header http.Header
	text   string
	body   map[string]any
}

func (a answer) code() string { s, _ := a.body["errorCode"].(string); return s }

// text of a member as JSON: "parameters".
func (a answer) json(name string) string {
	text, _ := json.Marshal(a.body[name]) //nolint:errchkjson // it was JSON
	return string(text)
}

// block is one provider's block.
func (a answer) block(name string) map[string]any { b, _ := a.body[name].(map[string]any); return b }

// request is what a client sends.
type request struct{ method, path, body string }

func patch(body string) request { return request{http.MethodPatch, ear, body} }

func (w *world) send(r request) answer {
	w.t.Helper()
	return w.sendAs(owner, r)
}

// serves is the function that API Gateway hands a path to.
func (w *world) serves(path string) http.Handler {
	if path == v2 || strings.HasPrefix(path, v2+"/alert") || strings.HasPrefix(path, v2+"/events") || strings.HasSuffix(path, "/encryptionAtRest/keys") || strings.Contains(path, "/clusters") && !strings.Contains(path, "/restoreJobs") {
		return w.admin
	}
	return w.api
}

func (w *world) sendAs(caller identity.Caller, r request) answer {
	w.t.Helper()
	req := httptest.NewRequestWithContext(w.t.Context(), r.method, r.path, strings.NewReader(r.body))
	if strings.Contains(r.path, "/v2/") {
		req.Header.Set("Accept", "application/vnd.atlas.2024-11-13+json")
	}
	req = req.WithContext(httpapi.WithCaller(req.Context(), caller))
	rec := httptest.NewRecorder()
	w.serves(r.path).ServeHTTP(rec, req)
	a := answer{status: rec.Code, header: rec.Header(), text: rec.Body.String(), body: map[string]any{}}
	if a.text != "" {
		if err := json.Unmarshal([]byte(a.text), &a.body); err != nil {
			w.t.Fatalf("%s %s answers %q", r.method, r.path, a.text)
		}
	}
	w.seeNoSecretIn("the answer to "+r.method, a.text)
	return a
}

// mustSend sends a request that has to succeed.
func (w *world) mustSend(r request) answer {
	w.t.Helper()
	a := w.send(r)
	if a.status >= http.StatusMultipleChoices {
		w.t.Fatalf("%s %s %s answers %d %s\n%s", r.method, r.path, r.body, a.status, a.text, w.log.String())
	}
	return a
}

// get reads the configuration when calls no longer share an earlier check.
func (w *world) get() answer {
	w.t.Helper()
	time.Sleep(validity.Shared)
	return w.mustSend(request{http.MethodGet, ear, ""})
}

// stored is everything that the group's partition holds but events, by sort key.
func (w *world) stored() map[string]string {
	w.t.Helper()
	items, err := store.All(w.t.Context(), w.table.Table, store.Query{PK: keys.Group(groupID).PK})
	w.must(err)
	all := map[string]string{}
	for _, item := range items {
		all[item.SK] = string(item.Body)
	}
	return all
}

// seeNoSecret looks for secrets in what was stored and logged, and in all that the table's file holds: the
// items of everybody, and what is left of those that were replaced.
func (w *world) seeNoSecret() {
	w.t.Helper()
	w.seeNoSecretIn("the log", w.log.String())
	file, err := os.ReadFile(w.file)
	w.must(err)
	w.seeNoSecretIn("the table's file", string(file))
	for _, pk := range []string{keys.Group(groupID).PK, keys.EventPartition(keys.GroupScope(groupID)), keys.EventPartition(keys.OrgScope(orgID))} {
		items, err := store.All(w.t.Context(), w.table.Table, store.Query{PK: pk})
		w.must(err)
		for _, item := range items {
			w.seeNoSecretIn("the item "+item.String(), string(item.Body))
		}
	}
}

func (w *world) seeNoSecretIn(where, text string) {
	w.t.Helper()
	if n := len(w.secrets) + 1; n != w.known {
		w.leaks, w.known = leaktest.Detector{}, n
		for i, secret := range slices.Concat(w.secrets, w.OwnSecrets()) {
			w.leaks.Add(fmt.Sprint("the secret ", i), secret)
		}
	}
	for _, found := range w.leaks.In([]byte(text)) {
		w.t.Errorf("%s holds %s: %.2000s", where, found, text)
	}
}

// quoted is a text as it looks inside a JSON string.
func quoted(s string) string {
	b, _ := json.Marshal(s) //nolint:errchkjson // a string
	return string(b[1 : len(b)-1])
}
