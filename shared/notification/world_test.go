package notification_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/shared/alert"
	"latchkey/shared/atlas"
	"latchkey/shared/identity"
	"latchkey/shared/identity/identitytest"
	"latchkey/shared/notification"
	"latchkey/shared/project"
	"latchkey/shared/store"
)

const (
	group = "650000000000000000000001"
	org   = "650000000000000000000002"
)

// world is a table with notices, and receivers that remember what they got.
type world struct {
	t      *testing.T
	table  store.Table
	clock  *identitytest.Clock
	sealer *identitytest.Sealer
	box    *box
	log    *strings.Builder
	logMu  *sync.Mutex

	members []project.Member
	people  []project.Person
	jitter  float64
	topic   bool
}

func newWorld(t *testing.T) *world {
	t.Helper()
	clock := identitytest.NewClock()
	return &world{
		t: t, table: identitytest.Table(t), clock: clock, sealer: identitytest.NewSealer(t), log: &strings.Builder{}, logMu: &sync.Mutex{},
		box: &box{got: map[string][]string{}, ids: map[string]int{}},
		members: []project.Member{
			{Username: "owner@example.com", Roles: []identity.Role{identity.GroupOwner}},
			{Username: "reader@example.com", Roles: []identity.Role{identity.GroupReadOnly}},
			{Username: "Owner@Example.com", Roles: []identity.Role{identity.GroupOwner}}, // the same mailbox
		},
		people: []project.Person{
			{Username: "boss@example.com", OrgRoles: []identity.Role{identity.OrgOwner}},
			{Username: "owner@example.com", OrgRoles: []identity.Role{identity.OrgMember}},
		},
	}
}

// directory finds the people of the world; those of other groups and organisations are nobody.
type directory struct{ *world }

func (d directory) Members(_ context.Context, groupID string) ([]project.Member, error) {
	if groupID != group {
		return nil, nil
	}
	return slices.Clone(d.members), nil
}

func (d directory) People(_ context.Context, orgID string) ([]project.Person, error) {
	if orgID != org {
		return nil, nil
	}
	return slices.Clone(d.people), nil
}

func (d directory) Find(context.Context, string) (project.Group, error) {
	return project.Group{Name: "p\r\nBcc: everybody@example.com"}, nil
}

func (d directory) FindOrg(context.Context, string) (project.Org, error) {
	return project.Org{}, atlas.Fail(atlas.OrgNotFound, org)
}

// box receives messages of all kinds.
type box struct {
	mu   sync.Mutex
	got  map[string][]string // events by kind and address
	ids  map[string]int      // how often a message was received
	last notification.Message
	to   notification.Target
	// fail decides about an attempt; nil receives all.
	fail func(m notification.Message, t notification.Target) error
	// after runs once a message was received, before the sender hears of it.
	after func()
}

// Send implements notification.Channel.
func (b *box) Send(ctx context.Context, m notification.Message, t notification.Target) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail != nil {
		if err := b.fail(m, t); err != nil {
			return err
		}
	}
	key := strings.TrimSpace(string(t.Kind) + " " + t.Address)
	b.got[key] = append(b.got[key], string(m.Event))
	b.ids[m.ID]++
	b.last, b.to = m, t
	if b.after != nil {
		b.after()
	}
	return ctx.Err()
}

// took is what was received since it was asked last.
func (b *box) took() map[string][]string {
	b.mu.Lock()
	defer b.mu.Unlock()
	got := maps.Clone(b.got)
	b.got = map[string][]string{}
	return got
}

// locked is the log: deliveries write to it at once.
type locked struct{ *world }

func (l locked) Write(p []byte) (int, error) {
	l.logMu.Lock()
	defer l.logMu.Unlock()
	return l.log.Write(p)
}

// service is an instance that uses a table.
func (w *world) service(table store.Table) *notification.Service {
	channels := map[alert.Kind]notification.Channel{}
	for _, k := range alert.Kinds() {
		channels[k] = w.box
	}
	s := &notification.Service{
		Table: table, People: directory{w}, Groups: directory{w}, Opener: w.sealer, Channels: channels, Now: w.clock.Now,
		Jitter: func() float64 { return w.jitter }, Log: slog.New(slog.NewJSONHandler(locked{w}, nil)),
		Document: func(a alert.Alert) ([]byte, string, error) {
			doc, err := json.Marshal(map[string]string{"id": a.ID, "status": string(a.Status)})
			return doc, "https://latchkey.example/alerts/" + a.ID, err
		},
	}
	if w.topic {
		s.Topic = w.box
	}
	return s
}

// notice is one of an open alert, for one target.
func (w *world) notice(k alert.Kind, change ...func(*alert.Notice)) alert.Notice {
	n := alert.Notice{
		Alert: alert.Alert{
			ID: "650000000000000000000030", GroupID: group, OrgID: org, ConfigID: "650000000000000000000031", Type: alert.KeyInvalid(atlas.AWS),
			Status: alert.Open, Created: w.clock.Now(), Updated: w.clock.Now(),
			Facts: alert.Facts{Summary: "The key is disabled.", Remedy: "Enable it.", ClusterName: "c\x00\r\nX: y"},
		},
		Stage: "1", Due: w.clock.Now(), Severity: alert.Critical,
		Notification: alert.Notification{ID: "650000000000000000000032", Thread: "t" + string(k), Type: k, Email: true, Members: map[string]string{}},
	}
	for _, c := range change {
		c(&n)
	}
	return n
}

// put stores a notice, and its alert as the notice shows it, and returns the key.
func (w *world) put(n alert.Notice) store.Key {
	w.t.Helper()
	w.store(n.Key(), n)
	return n.Key()
}

func (w *world) store(key store.Key, value any) {
	w.t.Helper()
	old, err := w.table.Get(w.t.Context(), key)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		w.t.Fatal(err)
	}
	item, err := store.Encode(key, old.Version, value)
	if err == nil {
		err = w.table.Write(w.t.Context(), store.Put(item))
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) deliver(key store.Key) {
	w.t.Helper()
	if err := w.service(w.table).Deliver(w.t.Context(), key); err != nil {
		w.t.Fatal(err)
	}
}

// pass lets time pass, minute by minute, with the schedule running.
func (w *world) pass(d time.Duration) {
	w.t.Helper()
	for range int(d / time.Minute) {
		w.clock.Advance(time.Minute)
		if _, err := w.service(w.table).RetryDue(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
	}
}

// dying is a table that is gone after a number of writes: the process that used it has died.
type dying struct {
	store.Table
	mu     sync.Mutex
	writes int
}

var errDead = errors.New("the process has died")

func (d *dying) Write(ctx context.Context, ops ...store.Op) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.writes--; d.writes < 0 {
		return errDead
	}
	return d.Table.Write(ctx, ops...)
}
