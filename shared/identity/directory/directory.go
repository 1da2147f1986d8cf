// Package directory keeps the identities that call the API: API keys and service accounts,
// with the roles they hold. It is what the authorizer looks callers up in, and what the
// operations on keys and accounts change.
//
// Its invariants: a change and the events that tell of it are one transaction; an
// organisation that has owners always keeps one; the table holds no secret in the clear. An
// identity is stored twice in each transaction: where the authorizer finds it in one read, and
// without its secrets under its organisation, so that lists are complete at once.
package directory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/seal"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// MaxPerOrg is how many API keys, and how many service accounts, an organisation may have
// (the real service's limit). It is checked without a lock, so a race may exceed it by a few.
const MaxPerOrg = 500

// Sealer seals and opens secrets; *seal.Sealer is the one in use.
type Sealer interface {
	Seal(ctx context.Context, plaintext []byte, c seal.Context) (seal.Sealed, error)
	Open(ctx context.Context, s seal.Sealed, c seal.Context) ([]byte, error)
}

// Directory reads and changes identities. All fields are required.
type Directory struct {
	Table   store.Table
	Sealer  Sealer
	Journal audit.Journal
	Now     func() time.Time
}

// pair are the two places that an identity is stored at, with the versions found there.
type pair struct {
	record, listing               store.Key
	recordVersion, listingVersion int64
}

// put stores both forms of an identity.
func (p pair) put(record, listing any) ([]store.Op, error) {
	first, err := store.Encode(p.record, p.recordVersion, record)
	if err != nil {
		return nil, err
	}
	second, err := store.Encode(p.listing, p.listingVersion, listing)
	if err != nil {
		return nil, err
	}
	return []store.Op{store.Put(first), store.Put(second)}, nil
}

// remove deletes both forms.
func (p pair) remove() []store.Op {
	return []store.Op{store.Delete(p.record, p.recordVersion), store.Delete(p.listing, p.listingVersion)}
}

// owners is the record of who owns an organisation. Every change of ownership writes it, so
// that two owners cannot remove each other at the same time.
type owners struct {
	IDs []string `json:"ids"`
}

// handOver returns the operation that records a change of ownership; none if nothing changes.
// refusal is the code for an organisation that would be left without an owner.
func (d *Directory) handOver(ctx context.Context, orgID, id string, was, is bool, refusal atlas.Code) ([]store.Op, error) {
	if was == is {
		return nil, nil
	}
	rec, version, err := store.Load[owners](ctx, d.Table, keys.Owners(orgID))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("read owners: %w", err)
	}
	rec.IDs = slices.DeleteFunc(rec.IDs, func(other string) bool { return other == id })
	if is {
		rec.IDs = append(rec.IDs, id)
	}
	if len(rec.IDs) == 0 {
		return nil, atlas.Fail(refusal)
	}
	item, err := store.Encode(keys.Owners(orgID), version, rec)
	return []store.Op{store.Put(item)}, err
}

// withEvents adds the operations that store events.
func (d *Directory) withEvents(ops []store.Op, events []audit.Event) ([]store.Op, error) {
	told, err := d.Journal.PutAll(events...)
	return append(ops, told...), err
}

// write stores operations and events in one transaction.
func (d *Directory) write(ctx context.Context, events []audit.Event, ops ...store.Op) error {
	ops, err := d.withEvents(ops, events)
	if err != nil {
		return err
	}
	return d.Table.Write(ctx, ops...)
}

// attempts bounds how often a change is made again because somebody else changed the same
// identity, or the ownership of the same organisation, meanwhile.
const attempts = 5

// list decodes every item of an organisation's listing.
func list[T any](ctx context.Context, t store.Table, orgID, prefix string) ([]T, error) {
	return store.LoadAll[T](ctx, t, store.Query{PK: keys.Org(orgID).PK, Prefix: prefix})
}
