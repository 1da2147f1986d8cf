package changeover

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"latchkey/shared/atlas"
	"latchkey/shared/encryption"
	"latchkey/shared/ledger"
	"latchkey/shared/store"
	"latchkey/shared/verdict"
)

// How many wrapped keys one call opens, and how many at the same time: a tenant's KMS has quotas,
// which its own applications need too.
const (
	batch   = 32
	atATime = 8
	// proofTime bounds a call: a key that does not answer is an answer too, and must not be taken for a
	// fault of our own.
	proofTime = 24 * time.Second
)

// Keys opens wrapped keys in both ways of a change; encryption.Service is the one in use.
type Keys interface {
	Load(ctx context.Context, groupID string) (encryption.Settings, error)
	ProveEntry(ctx context.Context, settings encryption.Settings, e ledger.Entry) (encryption.EntryProof, error)
	// OpensFormerly reports whether the way back opens the present key.
	OpensFormerly(ctx context.Context, settings encryption.Settings, p atlas.Provider) bool
}

// Prover opens wrapped keys and writes nothing. All fields are required.
type Prover struct {
	Table store.Table
	Keys  Keys
}

// Found is what opening a batch of wrapped keys has shown.
type Found struct {
	// From and Cursor are before and behind the batch. A batch that could not be proved as a whole is
	// tried again as a whole.
	From   string `json:"from"`
	Cursor string `json:"cursor"`
	Proved int    `json:"proved"`
	Lost   int    `json:"lost"`
	More   bool   `json:"more"`
	// Reason is OK, or why a wrapped key was not opened; Back tells that the former way opens it, and
	// the present key too.
	Reason verdict.Reason `json:"reason"`
	Back   bool           `json:"back"`
}

// Prove opens a batch of the wrapped keys that a provider's keys of a group have wrapped, behind a
// cursor. A key that can't be used is an answer; an error is a fault of our own.
func (p *Prover) Prove(ctx context.Context, groupID string, provider atlas.Provider, cursor string) (Found, error) {
	settings, err := p.Keys.Load(ctx, groupID)
	if err != nil {
		return Found{}, err
	}
	found := Found{From: cursor, Cursor: cursor, Reason: verdict.OK}
	if settings.Key(provider) == nil {
		return found, nil // disabled meanwhile
	}
	entries, next, more, err := p.read(ctx, settings, provider, cursor)
	if err != nil {
		return Found{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, proofTime)
	defer cancel()
	proofs, err := p.open(ctx, settings, entries)
	if err != nil {
		return Found{}, err
	}
	found.judge(proofs)
	// A way that opens a former key alone must not return: no node could start.
	found.Back = found.Back && p.Keys.OpensFormerly(ctx, settings, provider)
	if found.Reason == verdict.OK {
		found.Cursor, found.More = next, more
	}
	return found, nil
}

// read reads the batch behind a cursor, without what is of other providers.
func (p *Prover) read(ctx context.Context, settings encryption.Settings, provider atlas.Provider, cursor string) (
	batchOf []ledger.Entry, next string, more bool, err error,
) {
	cmks, err := settings.CMKs(provider)
	if err != nil {
		return nil, "", false, err
	}
	clusters, err := ledger.Clusters(ctx, p.Table, settings.GroupID, cmks...)
	if err != nil {
		return nil, "", false, err
	}
	entries, next, more, err := ledger.After(ctx, p.Table, clusters, cursor, batch)
	for _, e := range entries {
		if e.CMK.Provider == provider {
			batchOf = append(batchOf, e)
		}
	}
	return batchOf, next, more, err
}

// open opens a batch, a few at a time, and no more once one does not open.
func (p *Prover) open(ctx context.Context, settings encryption.Settings, entries []ledger.Entry) ([]encryption.EntryProof, error) {
	var isOver atomic.Bool
	proofs := make([]encryption.EntryProof, len(entries))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atATime)
	for i, e := range entries {
		group.Go(func() (err error) {
			if isOver.Load() {
				proofs[i].Reason = verdict.OK // not needed: the batch is tried again
				return nil
			}
			proofs[i], err = p.Keys.ProveEntry(ctx, settings, e)
			if errors.Is(err, context.DeadlineExceeded) {
				proofs[i], err = encryption.EntryProof{Reason: verdict.TimedOut}, nil
			}
			if proofs[i].Reason != verdict.OK && !proofs[i].Gone {
				isOver.Store(true)
			}
			return err
		})
	}
	return proofs, group.Wait()
}

// judge sums up a batch. What the change takes away counts most, then what may go away by itself.
func (f *Found) judge(proofs []encryption.EntryProof) {
	for _, proof := range proofs {
		switch {
		case proof.Reason == verdict.OK:
			f.Proved++
		case proof.Gone:
			f.Lost++
		case proof.OpensBefore:
			f.Reason, f.Back = proof.Reason, true
		case !f.Back:
			f.Reason = proof.Reason
		}
	}
	if f.Reason != verdict.OK {
		f.Proved, f.Lost = 0, 0 // to be counted when the batch is tried again
	}
}
