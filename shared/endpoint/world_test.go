package endpoint_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/encryption"
	"latchkey/shared/endpoint"
	"latchkey/shared/endpoint/endpointtest"
	"latchkey/shared/identity"
	"latchkey/shared/kms"
	"latchkey/shared/project"
	"latchkey/shared/store"
	"latchkey/shared/store/bolt"
	"latchkey/shared/store/keys"
	"latchkey/shared/verdict"
	"latchkey/shared/workflow"
)

const (
	orgID  = "650000000000000000000002"
	keyARN = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
	mrkARN = "arn:aws:kms:us-east-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab"
	vault  = "kv-kms.vault.azure.net"
)

var owner = identity.Caller{Kind: identity.KindAPIKey, ID: "650000000000000000000060", Name: "abcdefgh", OrgID: orgID, RemoteAddress: "198.51.100.7"}

// world is the use case over a real table and clouds in memory, whose workflows run when told to.
type world struct {
	*endpoint.Service
	t         *testing.T
	groupID   string
	table     *hookedTable
	clusters  []endpoint.Location
	aws       *endpointtest.Memory
	azure     *endpointtest.Memory
	now       time.Time
	unproved  error
	proved    []kms.PrivateEndpoint
	started   []workflow.Execution
	ended     bool // every execution that was started has ended
	startFail error
}

// hookedTable can run something before a write.
type hookedTable struct {
	store.Table
	before func()
}

func (h *hookedTable) Write(ctx context.Context, ops ...store.Op) error {
	if hook := h.before; hook != nil {
		h.before = nil
		hook()
	}
	return h.Table.Write(ctx, ops...)
}

func newWorld(t *testing.T) *world {
	t.Helper()
	db, err := bolt.Open(filepath.Join(t.TempDir(), "table.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() }) //nolint:errcheck // the folder goes away
	w := &world{
		t: t, table: &hookedTable{Table: db}, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), ended: true,
		aws: endpointtest.NewMemory(false), azure: endpointtest.NewMemory(true),
	}
	clock := func() time.Time { return w.now }
	journal := audit.Journal{Table: w.table, Now: clock}
	projects := &project.Service{Table: w.table, Journal: journal, Now: clock}
	founded, err := projects.Found(t.Context(), project.Founding{Name: "Acme", OwnerEmail: "o@acme.example"})
	if err != nil {
		t.Fatal(err)
	}
	w.groupID = founded.GroupID
	op, err := encryption.Create(w.groupID, orgID)
	w.must(err)
	w.must(w.table.Write(t.Context(), op))
	w.Service = &endpoint.Service{
		Table: w.table, Projects: projects, Journal: journal, Now: clock, Log: slog.New(slog.DiscardHandler), Start: w,
		Settings: w, Clusters: w, Prover: w,
		Regions: map[atlas.Provider][]string{atlas.AWS: {"US_EAST_1", "EU_WEST_1"}, atlas.Azure: {"US_EAST_2"}},
		Clouds:  map[atlas.Provider]endpoint.Cloud{atlas.AWS: w.aws, atlas.Azure: w.azure},
	}
	w.configure(func(s *encryption.Settings) {
		s.AWS = &encryption.AWS{KeyID: keyARN, Region: "US_EAST_1", PrivateNetworking: true}
		s.Azure = &encryption.Azure{
			Environment: "AZURE", KeyIdentifier: "https://KV-kms.vault.azure.net/keys/atlas", VaultName: "KV-kms",
			ResourceGroup: "rg", SubscriptionID: "6f1b0000-0000-4000-8000-000000000003", PrivateNetworking: true,
		}
	})
	return w
}

// configure changes the group's settings without proving anything.
func (w *world) configure(change func(*encryption.Settings)) {
	w.t.Helper()
	item, err := w.table.Get(w.t.Context(), keys.Encryption(w.groupID))
	w.must(err)
	s, err := store.Decode[encryption.Settings](item)
	w.must(err)
	change(&s)
	next, err := store.Encode(item.Key, item.Version, s)
	w.must(err)
	w.must(w.table.Table.Write(w.t.Context(), store.Put(next)))
}

func (w *world) Load(ctx context.Context, groupID string) (encryption.Settings, error) {
	return (&encryption.Service{Table: w.table}).Load(ctx, groupID)
}

func (w *world) Locations(context.Context, string) ([]endpoint.Location, error) {
	return w.clusters, nil
}

func (w *world) ProveWay(_ context.Context, _ string, _ atlas.Provider, way kms.PrivateEndpoint) error {
	if w.unproved == nil {
		w.proved = append(w.proved, way)
	}
	return w.unproved
}

func (w *world) Start(_ context.Context, x workflow.Execution) error {
	if w.startFail != nil {
		return w.startFail
	}
	if _, err := x.Name(); err != nil {
		return err
	}
	w.started = append(w.started, x)
	return nil
}

func (w *world) Ensure(_ context.Context, x workflow.Execution) (bool, error) {
	if slices.ContainsFunc(w.started, func(s workflow.Execution) bool { return s.Subject == x.Subject && s.Version[0] == x.Version[0] }) {
		return w.ended, nil
	}
	w.started = append(w.started, x)
	return false, nil
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) create(p atlas.Provider, region string) endpoint.Endpoint {
	w.t.Helper()
	e, err := w.Create(w.t.Context(), owner, w.groupID, p, region)
	w.must(err)
	return e
}

func (w *world) delete(p atlas.Provider, id string) {
	w.t.Helper()
	w.now = w.now.Add(time.Second)
	w.must(w.Delete(w.t.Context(), owner, w.groupID, p, id))
}

// refuse demands that an endpoint can't be created.
func (w *world) refuse(p atlas.Provider, region string, code atlas.Code) {
	w.t.Helper()
	if _, err := w.Create(w.t.Context(), owner, w.groupID, p, region); atlas.CodeOf(err) != code {
		w.t.Errorf("creation in %s of %s gives %v, want %s", region, p, err, code)
	}
}

func (w *world) ref(p atlas.Provider, id string) endpoint.Ref {
	return endpoint.Ref{GroupID: w.groupID, Provider: p, EndpointID: id}
}

// Prove does what two tasks of the state machine do.
func (w *world) Prove(ctx context.Context, ref endpoint.Ref, started time.Time) (endpoint.Step, error) {
	proof, err := w.Try(ctx, ref)
	if err != nil {
		return endpoint.Step{}, err
	}
	return w.Conclude(ctx, ref, proof, started)
}

func (w *world) step(p atlas.Provider, id string) endpoint.Step {
	w.t.Helper()
	step, err := w.Advance(w.t.Context(), w.ref(p, id), w.now)
	w.must(err)
	return step
}

// run does what the state machine does until an execution would end, and returns how it does. Time
// passes as it asks for.
func (w *world) run(p atlas.Provider, id string) endpoint.Outcome {
	w.t.Helper()
	started := w.now
	for range 2000 {
		step, err := w.Advance(w.t.Context(), w.ref(p, id), started)
		w.must(err)
		if step.Outcome == endpoint.Prove {
			step, err = w.Prove(w.t.Context(), w.ref(p, id), started)
			w.must(err)
		}
		if step.Outcome != endpoint.Wait {
			return step.Outcome
		}
		if step.WaitSeconds < 1 {
			w.t.Fatalf("a wait of %d s", step.WaitSeconds)
		}
		w.now = w.now.Add(time.Duration(step.WaitSeconds) * time.Second)
		w.aws.Settle() // the clouds work while it waits
		w.azure.Settle()
	}
	w.t.Fatal("the execution does not end")
	return ""
}

// active is an endpoint that carries traffic.
func (w *world) active(p atlas.Provider, region string) endpoint.Endpoint {
	w.t.Helper()
	e := w.create(p, region)
	if outcome := w.run(p, e.ID); p == atlas.Azure && outcome == endpoint.Awaiting {
		w.azure.Set(e.ID, endpoint.Ready, "")
		w.run(p, e.ID)
	}
	w.is(p, e.ID, endpoint.Active)
	return w.get(p, e.ID)
}

func (w *world) get(p atlas.Provider, id string) endpoint.Endpoint {
	w.t.Helper()
	e, err := w.Get(w.t.Context(), w.groupID, p, id)
	w.must(err)
	return e
}

func (w *world) list(p atlas.Provider) []endpoint.Endpoint {
	w.t.Helper()
	all, err := w.List(w.t.Context(), w.groupID, p)
	w.must(err)
	return all
}

func (w *world) is(p atlas.Provider, id string, status endpoint.Status) {
	w.t.Helper()
	if e := w.get(p, id); e.Status != status {
		w.t.Fatalf("the endpoint is %s (%s), want %s", e.Status, e.Message, status)
	}
}

func (w *world) gone(p atlas.Provider, id string) {
	w.t.Helper()
	if _, err := w.Get(w.t.Context(), w.groupID, p, id); atlas.CodeOf(err) != atlas.ResourceNotFound {
		w.t.Fatalf("the endpoint is still there: %v", err)
	}
}

func (w *world) watch() endpoint.Watched {
	w.t.Helper()
	seen, err := w.Watch(w.t.Context(), w)
	w.must(err)
	return seen
}

// uses is how many endpoints keep the group from being closed.
func (w *world) uses() int {
	w.t.Helper()
	g, _, err := store.Load[project.Group](w.t.Context(), w.table, keys.Group(w.groupID))
	w.must(err)
	return g.Uses[project.PrivateEndpoints]
}

// events are the types of the group's events on endpoints, oldest first, and who caused them.
func (w *world) events() []string {
	w.t.Helper()
	all, _, err := w.Journal.List(w.t.Context(), keys.GroupScope(w.groupID), audit.Filter{}, 0, 500)
	w.must(err)
	var types []string
	for _, e := range slices.Backward(all) {
		if e.Detail["endpointId"] != nil {
			types = append(types, fmt.Sprintf("%s by %s", string(e.Type)[len("ENCRYPTION_AT_REST_PRIVATE_ENDPOINT_"):], e.Actor.Kind))
		}
	}
	return types
}

func (w *world) ways(p atlas.Provider) ([]kms.PrivateEndpoint, bool) {
	w.t.Helper()
	ways, inForce, err := endpoint.Network{Table: w.table}.Ways(w.t.Context(), w.groupID, p)
	w.must(err)
	return ways, inForce
}

var (
	errCrash    = errors.New("crash")
	unavailable = &endpoint.Failure{Kind: endpoint.Unavailable, Err: errCrash}
	unreachable = verdict.Failed(verdict.ConnectFailed, "no way")
)
