package sweep_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/shared/access"
	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/encryption"
	"latchkey/shared/kms"
	"latchkey/shared/kms/kmstest"
	"latchkey/shared/store"
	"latchkey/shared/store/bolt"
	"latchkey/shared/store/keys"
	"latchkey/shared/validity"
	"latchkey/shared/validity/sweep"
	"latchkey/shared/verdict"
)

const (
	accountPrefix = "arn:aws:kms:us-east-1:111122223333:key/"
	roleID        = "650000000000000000000099"
)

// world is groups with a memory key each, in a bubble of testing/synctest.
type world struct {
	t        *testing.T
	table    *table
	settings *encryption.Service
	sweep    *sweep.Sweep
	log      *logBuffer
	enforcer *enforcer
	groups   []*tenant
	keys     map[string]*kmstest.Memory
	region   string // of the groups that are added
}

// tenant is one group.
type tenant struct {
	id  string
	key *kmstest.Memory
}

// table counts writes and queries, and can fail.
type table struct {
	store.Table
	mu              sync.Mutex
	writes, queries int
	failQuery       func(store.Query) error
	beforeWrite     func(ops []store.Op) error
	afterQuery      func(store.Page) store.Page
}

func (b *table) Query(ctx context.Context, q store.Query) (store.Page, error) {
	b.mu.Lock()
	b.queries++
	fail, after := b.failQuery, b.afterQuery
	b.mu.Unlock()
	if fail != nil {
		if err := fail(q); err != nil {
			return store.Page{}, err
		}
	}
	page, err := b.Table.Query(ctx, q)
	if after != nil {
		page = after(page)
	}
	return page, err
}

func (b *table) Write(ctx context.Context, ops ...store.Op) error {
	b.mu.Lock()
	if ops[0].Item.Key != keys.SweepProgress() {
		b.writes++
	}
	before := b.beforeWrite
	b.mu.Unlock()
	if before != nil {
		if err := before(ops); err != nil {
			return err
		}
	}
	return b.Table.Write(ctx, ops...)
}

func (b *table) written() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.writes
	b.writes = 0
	return n
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), s)
}

// late is the lateness that the last run reported.
func (w *world) late() time.Duration {
	w.t.Helper()
	w.log.mu.Lock()
	defer w.log.mu.Unlock()
	_, rest, ok := strings.Cut(w.log.b.String()[strings.LastIndex(w.log.b.String(), `"msg":"sweep done"`):], `"OldestUncheckedSeconds":`)
	if !ok {
		w.t.Fatal("no run has reported")
	}
	seconds, _, _ := strings.Cut(rest, ",")
	n, err := strconv.Atoi(seconds)
	w.must(err)
	return time.Duration(n) * time.Second
}

// enforcer remembers what it was told.
type enforcer struct {
	mu    sync.Mutex
	calls []string
	err   error
}

func (e *enforcer) Enforce(_ context.Context, groupID string, p atlas.Provider, revision int64, valid bool) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.calls = append(e.calls, fmt.Sprintf("%s %s %d %t", groupID, p, revision, valid))
	return e.err
}

func (e *enforcer) took() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	calls := e.calls
	e.calls = nil
	return calls
}

// inWorld runs fn with n groups, each of an organisation of its own, whose keys were configured
// a day ago. The first run, in which every turn is due, is over.
func inWorld(t *testing.T, n int, fn func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		db, err := bolt.Open(filepath.Join(t.TempDir(), "table.db"))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close() //nolint:errcheck // the folder goes away
		w := &world{t: t, table: &table{Table: db}, log: &logBuffer{}, enforcer: &enforcer{}, keys: map[string]*kmstest.Memory{}, region: "US_EAST_1"}
		w.settings = &encryption.Service{
			Table: w.table, Journal: audit.Journal{Table: w.table, Now: time.Now}, Keys: w, Checker: validity.New(w, time.Now),
			Now: time.Now, Log: slog.New(slog.DiscardHandler),
		}
		w.sweep = w.another()
		for i := range n {
			w.add(i, fmt.Sprintf("66%022x", i))
		}
		time.Sleep(24*time.Hour + time.Second)
		w.mustRun()
		w.forget()
		fn(w)
	})
}

// another is another instance of the function, with nothing in its memory.
func (w *world) another() *sweep.Sweep {
	settings := *w.settings
	settings.Checker = validity.New(w, time.Now)
	return &sweep.Sweep{Settings: &settings, Enforcer: w.enforcer, Log: slog.New(slog.NewJSONHandler(w.log, nil))}
}

func groupID(i int) string { return fmt.Sprintf("65%022x", i) }

// add stores a group with a key at AWS, as a configuration would.
func (w *world) add(i int, orgID string) {
	w.t.Helper()
	name := fmt.Sprintf("%s%08x-1111-4111-8111-111111111111", accountPrefix, i)
	w.store(i, orgID, name, func(s *encryption.Settings, k encryption.KeyState) {
		s.AWS = &encryption.AWS{KeyID: name, Region: w.region, RoleID: roleID, Key: k}
	}, access.Role{Provider: atlas.AWS, AWS: &access.AWSRole{ExternalID: "x", ARN: "arn:aws:iam::111122223333:role/r", AuthorizedAt: time.Now()}})
}

// addAzure stores a group with a key in a vault of its own.
func (w *world) addAzure(i int, orgID string) {
	w.t.Helper()
	name := fmt.Sprintf("https://kv-%d.vault.azure.net/keys/k", i)
	w.store(i, orgID, name, func(s *encryption.Settings, k encryption.KeyState) {
		s.Azure = &encryption.Azure{Environment: "AZURE", KeyIdentifier: name, RoleID: roleID, Key: k}
	}, access.Role{Provider: atlas.Azure, Azure: &access.AzureRole{TenantID: "t", AppID: "a", ServicePrincipalID: "s", AuthorizedAt: time.Now()}})
}

func (w *world) store(i int, orgID, name string, use func(*encryption.Settings, encryption.KeyState), role access.Role) {
	w.t.Helper()
	g := &tenant{id: groupID(i), key: kmstest.NewMemory()}
	w.groups, w.keys[name] = append(w.groups, g), g.key
	probe, _, err := g.key.Key(name).NewProbe(w.t.Context(), g.id)
	w.must(err)
	now := time.Now().UTC()
	settings := encryption.New(g.id, orgID)
	settings.Revision = 3
	use(&settings, encryption.KeyState{
		Revision: 3, Probe: probe, Version: "1", Since: now, Valid: true,
		Verdict: verdict.Verdict{Reason: verdict.OK, Settings: 3, StartedAt: now, Since: now},
	})
	item, err := store.Encode(keys.Encryption(g.id), 0, settings)
	w.must(err)
	item.Index = keys.Sweep(encryption.Slot(encryption.SweepMinute(g.id)%encryption.SweepSlots), g.id)
	role.ID, role.GroupID = roleID, g.id
	stored, err := store.Encode(keys.Role(g.id, roleID), 0, role)
	w.must(err)
	w.must(w.table.Table.Write(w.t.Context(), store.Put(item), store.Put(stored)))
}

func (w *world) Open(ref kms.Reference) (*kms.Key, error) {
	name := ""
	if ref.Azure != nil {
		name = ref.Azure.KeyIdentifier
	} else {
		name = ref.AWS.KeyName
	}
	return w.keys[name].Key(name), nil
}

func (w *world) Renew(ref kms.Reference) (*kms.Key, error) { return w.Open(ref) }

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) mustRun(accepted ...sweep.Cause) sweep.Result {
	w.t.Helper()
	result, err := w.sweep.Run(w.t.Context(), time.Now(), accepted...)
	w.must(err)
	return result
}

// minutes runs the sweep at each of the next n minutes and calls fn after each.
func (w *world) minutes(n int, fn func(minute int, r sweep.Result)) {
	w.t.Helper()
	for i := range n {
		time.Sleep(time.Until(time.Now().Truncate(time.Minute).Add(time.Minute + time.Second)))
		r := w.mustRun()
		if fn != nil {
			fn(i+1, r)
		}
	}
}

func (w *world) load(g *tenant) *encryption.KeyState {
	w.t.Helper()
	settings, err := w.settings.Load(w.t.Context(), g.id)
	w.must(err)
	return settings.Key(atlas.AWS)
}

func (w *world) place(g *tenant) string {
	w.t.Helper()
	item, err := w.table.Get(w.t.Context(), keys.Encryption(g.id))
	w.must(err)
	return item.Index.PK
}

func (w *world) forget() {
	w.table.written()
	w.enforcer.took()
}

// hung is how long a check of a key that does not answer takes. Memory keys don't notice that
// the caller's time is over.
const hung = 8*time.Second + time.Millisecond

// slowly makes a key take its time.
func slowly(k *kmstest.Memory, d time.Duration) { k.OnCall(func(string) { time.Sleep(d) }) }
