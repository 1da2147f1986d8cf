package suite_test

import (
	"context"
	"errors"
	"testing"

	"latchkey/shared/audit"
	"latchkey/shared/identity"
	"latchkey/shared/identity/directory"
	"latchkey/shared/identity/identitytest"
	"latchkey/shared/project"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
	"latchkey/shared/suite"
)

func TestProjects_EncryptionSettingsComeAndGoWithTheGroup(t *testing.T) {
	table, clock := identitytest.Table(t), identitytest.NewClock()
	journal := audit.Journal{Table: table, Now: clock.Now}
	identities := &directory.Directory{Table: table, Sealer: identitytest.NewSealer(t), Journal: journal, Now: clock.Now}
	projects := suite.Projects(table, journal, identities, clock.Now)
	founded, err := projects.Found(t.Context(), project.Founding{Name: "Acme", OwnerEmail: "o@acme.example"})
	if err != nil {
		t.Fatal(err)
	}
	caller := identity.Caller{Kind: identity.KindSystem, ID: "x", OrgID: founded.Org.ID}
	created, err := projects.Create(t.Context(), caller, project.Draft{OrgID: founded.Org.ID, Name: "second"})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{founded.GroupID, created.ID} {
		if _, err := table.Get(t.Context(), keys.Encryption(id)); err != nil {
			t.Errorf("group %s has no settings: %v", id, err)
		}
		if err := projects.Close(t.Context(), caller, id); err != nil {
			t.Fatal(err)
		}
		if _, err := table.Get(t.Context(), keys.Encryption(id)); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("closed group %s keeps its settings: %v", id, err)
		}
	}
}

// lastWrite is a table that is lost after one more write.
type lastWrite struct {
	store.Table
	writes int
}

func (t *lastWrite) Write(ctx context.Context, ops ...store.Op) error {
	if t.writes++; t.writes > 1 {
		return errors.New("crash")
	}
	return t.Table.Write(ctx, ops...)
}

func TestProjects_SettingsGoInTheTransactionThatClosesTheGroup(t *testing.T) {
	table, clock := identitytest.Table(t), identitytest.NewClock()
	journal := audit.Journal{Table: table, Now: clock.Now}
	people := &directory.Directory{Table: table, Journal: journal, Now: clock.Now}
	founded, err := suite.Projects(table, journal, people, clock.Now).Found(t.Context(), project.Founding{Name: "Acme", OwnerEmail: "o@acme.example"})
	if err != nil {
		t.Fatal(err)
	}
	projects := suite.Projects(&lastWrite{Table: table}, journal, people, clock.Now)
	if err := projects.Close(t.Context(), identity.Caller{ID: "x", OrgID: founded.Org.ID}, founded.GroupID); err != nil {
		t.Fatal(err)
	}
	if _, err := table.Get(t.Context(), keys.Encryption(founded.GroupID)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the settings outlived the close: %v", err)
	}
}

func TestProjects_AGroupWithoutSettingsClosesToo(t *testing.T) {
	table, clock := identitytest.Table(t), identitytest.NewClock()
	journal := audit.Journal{Table: table, Now: clock.Now}
	people := &directory.Directory{Table: table, Journal: journal, Now: clock.Now}
	projects := suite.Projects(table, journal, people, clock.Now)
	founded, err := projects.Found(t.Context(), project.Founding{Name: "Acme", OwnerEmail: "o@acme.example"})
	if err != nil {
		t.Fatal(err)
	}
	if err := table.Write(t.Context(), store.Delete(keys.Encryption(founded.GroupID), 1)); err != nil {
		t.Fatal(err)
	}
	if err := projects.Close(t.Context(), identity.Caller{ID: "x", OrgID: founded.Org.ID}, founded.GroupID); err != nil {
		t.Error(err)
	}
}
