package changeover

import (
	"cmp"
	"context"
	"slices"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/encryption"
	"latchkey/shared/ledger"
)

// Report is what a tenant wants to know of a provider's key: how the last change stands, and which
// former keys must not be taken away yet.
type Report struct {
	Change encryption.Changeover
	Former []FormerKey
}

// FormerKey is a version of a customer key that is in use no more, and what still needs it. It must
// be kept until nothing does.
type FormerKey struct {
	CMK ledger.CMK
	// Nodes and Snapshots are the ids of those that need it, sorted.
	Nodes, Snapshots []string
	// LastExpiry is when the last of the snapshots expires; zero without any.
	LastExpiry time.Time
}

// Report reads the report. What needs a key is read from the ledger itself and not from the index, so
// that a key which is not listed is needed by nothing.
func (s *Service) Report(ctx context.Context, groupID string, p atlas.Provider) (Report, error) {
	settings, err := s.Settings.Load(ctx, groupID)
	if err != nil {
		return Report{}, err
	}
	if settings.Key(p) == nil {
		return Report{}, atlas.Fail(atlas.EARNotEnabled, groupID)
	}
	var r Report
	if r.Change, err = s.Settings.Changeover(ctx, groupID, p); err != nil {
		return Report{}, err
	}
	cmks, err := settings.CMKs(p)
	if err != nil {
		return Report{}, err
	}
	clusters, err := ledger.Clusters(ctx, s.Table, groupID, cmks...)
	if err != nil {
		return Report{}, err
	}
	byKey := map[ledger.CMK][]ledger.Entry{}
	for _, id := range clusters {
		entries, err := ledger.OfCluster(ctx, s.Table, id)
		if err != nil {
			return Report{}, err
		}
		for _, e := range entries {
			if e.CMK.Provider != p {
				continue
			}
			inUse, err := settings.Wraps(e, r.Change.Began)
			if err != nil {
				return Report{}, err
			}
			if !inUse {
				byKey[e.CMK] = append(byKey[e.CMK], e)
			}
		}
	}
	for cmk, entries := range byKey {
		r.Former = append(r.Former, formerKey(cmk, entries))
	}
	slices.SortFunc(r.Former, func(a, b FormerKey) int {
		return cmp.Or(cmp.Compare(a.CMK.Name, b.CMK.Name), cmp.Compare(a.CMK.Version, b.CMK.Version))
	})
	return r, nil
}

func formerKey(cmk ledger.CMK, entries []ledger.Entry) FormerKey {
	f := FormerKey{CMK: cmk, LastExpiry: ledger.LastExpiry(entries)}
	for _, e := range entries {
		if e.SnapshotID != "" {
			f.Snapshots = append(f.Snapshots, e.SnapshotID)
		} else {
			f.Nodes = append(f.Nodes, e.NodeID)
		}
	}
	slices.Sort(f.Nodes)
	slices.Sort(f.Snapshots)
	f.Nodes, f.Snapshots = slices.Compact(f.Nodes), slices.Compact(f.Snapshots)
	return f
}
