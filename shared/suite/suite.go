// Package suite holds what several functions are assembled from in the same way. A function of
// its own, named for its directory under functions/, is assembled in each package below.
package suite

import (
	"context"
	"errors"
	"time"

	"latchkey/shared/alert"
	"latchkey/shared/audit"
	"latchkey/shared/encryption"
	"latchkey/shared/project"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// Projects assembles the project service with all that must come and go with a group. Every
// function that creates or closes groups takes it from here, so that no group lacks a part.
func Projects(table store.Table, journal audit.Journal, identities project.Identities, now func() time.Time) *project.Service {
	return &project.Service{
		Table: table, Journal: journal, Identities: identities, Now: now,
		OnCreate: []project.CreateHook{createEncryption, alert.CreateDefaults},
		OnClose:  []project.CloseHook{removeEncryption(table)},
	}
}

func createEncryption(_ project.Org, g project.Group) ([]store.Op, error) {
	op, err := encryption.Create(g.ID, g.OrgID)
	return []store.Op{op}, err
}

// removeEncryption takes the encryption settings away in the transaction that closes the group,
// so that no key of a closed group is ever checked again.
func removeEncryption(table store.Table) project.CloseHook {
	return func(ctx context.Context, g project.Group) ([]store.Op, error) {
		item, err := table.Get(ctx, keys.Encryption(g.ID))
		if errors.Is(err, store.ErrNotFound) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		return []store.Op{store.Delete(item.Key, item.Version)}, nil
	}
}
