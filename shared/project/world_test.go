package project_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/identity"
	"latchkey/shared/identity/directory"
	"latchkey/shared/identity/identitytest"
	"latchkey/shared/project"
	"latchkey/shared/store"
)

// rig is a service over a real table and real identities, with one organisation in it.
type rig struct {
	*project.Service
	table  *tripTable
	clock  *identitytest.Clock
	org    project.Founded
	caller identity.Caller // an API key of the organisation's owner
}

// tripTable fails the writes that it is told to: before they happen, or after.
type tripTable struct {
	store.Table
	mu     sync.Mutex
	before func(ops []store.Op) error
}

func (t *tripTable) Write(ctx context.Context, ops ...store.Op) error {
	t.mu.Lock()
	before := t.before
	t.mu.Unlock()
	if before != nil {
		if err := before(ops); err != nil {
			return err
		}
	}
	return t.Table.Write(ctx, ops...)
}

func (t *tripTable) trip(before func(ops []store.Op) error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.before = before
}

func newRig(t *testing.T) *rig {
	t.Helper()
	clock := identitytest.NewClock()
	table := &tripTable{Table: identitytest.Table(t)}
	journal := audit.Journal{Table: table, Now: clock.Now}
	people := &directory.Directory{Table: table, Sealer: identitytest.NewSealer(t), Journal: journal, Now: clock.Now}
	r := &rig{table: table, clock: clock, Service: &project.Service{
		Table: table, Journal: journal, Identities: people, Now: clock.Now,
	}}
	r.org = r.found(t, "Acme")
	key, _, err := people.CreateAPIKey(t.Context(), audit.System(), directory.NewAPIKey{
		OrgID: r.org.Org.ID, Desc: "owner", Grants: directory.Grants{OrgRoles: []identity.Role{identity.OrgOwner}},
	})
	if err != nil {
		t.Fatal(err)
	}
	r.caller = key.Caller()
	return r
}

func (r *rig) found(t *testing.T, name string) project.Founded {
	t.Helper()
	f, err := r.Found(t.Context(), project.Founding{Name: name, OwnerEmail: "owner@" + strings.ToLower(name) + ".example"})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (r *rig) create(t *testing.T, name string) project.Group {
	t.Helper()
	g, err := r.Create(t.Context(), r.caller, project.Draft{OrgID: r.caller.OrgID, Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func wantCode(t *testing.T, err error, code atlas.Code) {
	t.Helper()
	if got := atlas.CodeOf(err); got != code {
		t.Errorf("got %v, want %s", err, code)
	}
}

// types lists the events of a feed, oldest first.
func (r *rig) types(t *testing.T, scope string) []string {
	t.Helper()
	events, _, err := r.Journal.List(t.Context(), scope, audit.Filter{}, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	var types []string
	for _, e := range events {
		types = append([]string{string(e.Type)}, types...)
	}
	return types
}
