package changeover

import (
	"cmp"
	"context"
	"slices"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/encryption"
	"latchkey/shared/ledger"
	"latchkey/shared/store"
	"latchkey/shared/verdict"
)

// Report is what a tenant wants to know of a provider's keys: which is in use and what was found of it
// last, how the last change stands, and which former keys must not be taken away yet.
type Report struct {
	Provider atlas.Provider
	// InUse is nil if the provider is not enabled. Former keys may be needed all the same.
	InUse *KeyInUse
	// Change is the last one; the zero one if there was none. Remaining is nil unless it is under way.
	Change    encryption.Changeover
	Remaining *Remaining
	Former    []FormerKey
}

// KeyInUse is the customer key that is configured.
type KeyInUse struct {
	CMK ledger.CMK
	// Since is when the group began to use it, or its provider made the present version.
	Since time.Time
	// Nodes is how many nodes have their master keys wrapped by it.
	Nodes int
	// Verdict is the newest that is stored, Valid the newest conclusive one, and Checked when the key was
	// checked last: a check that finds what was found before stores nothing.
	Verdict verdict.Verdict
	Valid   bool
	Checked time.Time
	// PrivateNetworking is whether the tenant demands it, PrivateInForce whether the key has no other way.
	PrivateNetworking bool
	PrivateInForce    bool
}

// FormerKey is a version of a customer key that is in use no more, and what still needs it. It must
// be kept until nothing does. Without nodes and snapshots it is what the key is still checked by,
// until the next inspection.
type FormerKey struct {
	CMK ledger.CMK
	// Nodes and Snapshots are the ids of those that need it, sorted.
	Nodes, Snapshots []string
	// LastExpiry is when the last of the snapshots expires; zero without any.
	LastExpiry time.Time
}

// Networks tells at which providers a group's keys are reached through private endpoints alone;
// endpoint.Network is the one in use.
type Networks interface {
	InForce(ctx context.Context, groupID string) ([]atlas.Provider, error)
}

// Checks tells when the scheduled checks came to a group's keys last; sweep.Turns is the one in use.
type Checks interface {
	Last(ctx context.Context, settings encryption.Settings) (time.Time, error)
}

// Reporter tells tenants of their keys. It reads what is stored and asks no provider. All fields are
// required.
type Reporter struct {
	Table    store.Table
	Settings Settings
	Nodes    Nodes
	Networks Networks
	Checks   Checks
	Now      func() time.Time
}

// Report reads the report of each provider that is enabled or has former keys. What needs a key is
// read from the ledger itself and not from the index, so that a key which is not listed is needed
// by nothing.
func (s *Reporter) Report(ctx context.Context, groupID string) ([]Report, error) {
	settings, err := s.Settings.Load(ctx, groupID)
	if err != nil {
		return nil, err
	}
	var cmks []ledger.CMK
	for _, p := range settings.Enabled() {
		of, err := settings.CMKs(p)
		if err != nil {
			return nil, err
		}
		cmks = append(cmks, of...)
	}
	entries, err := s.entries(ctx, groupID, cmks)
	if err != nil {
		return nil, err
	}
	var all []Report
	for _, p := range atlas.Providers() {
		r := Report{Provider: p}
		if r.Change, err = s.Settings.Changeover(ctx, groupID, p); err != nil {
			return nil, err
		}
		if err := r.tell(settings, entries); err != nil {
			return nil, err
		}
		if r.Change.State == encryption.UnderWay {
			if r.Remaining, err = s.remaining(ctx, settings, r.Change, entries); err != nil {
				return nil, err
			}
		}
		if r.InUse != nil || len(r.Former) > 0 {
			all = append(all, r)
		}
	}
	return all, s.complete(ctx, settings, all)
}

// complete adds what is stored apart from the settings: when the keys were checked, and the ways to them.
func (s *Reporter) complete(ctx context.Context, settings encryption.Settings, all []Report) error {
	inForce, err := s.Networks.InForce(ctx, settings.GroupID)
	if err != nil {
		return err
	}
	turn, err := s.Checks.Last(ctx, settings)
	if err != nil {
		return err
	}
	for _, r := range all {
		if r.InUse == nil {
			continue
		}
		r.InUse.PrivateInForce = slices.Contains(inForce, r.Provider)
		if turn.After(r.InUse.Checked) {
			r.InUse.Checked = turn
		}
	}
	return nil
}

// entries reads the ledger of a group's clusters, those that are gone included.
func (s *Reporter) entries(ctx context.Context, groupID string, cmks []ledger.CMK) ([]ledger.Entry, error) {
	clusters, err := ledger.Clusters(ctx, s.Table, groupID, cmks...)
	if err != nil {
		return nil, err
	}
	var all []ledger.Entry
	for _, id := range clusters {
		entries, err := ledger.OfCluster(ctx, s.Table, id)
		if err != nil {
			return nil, err
		}
		all = append(all, entries...)
	}
	return all, nil
}

// tell completes the report by the entries of its provider.
func (r *Report) tell(settings encryption.Settings, entries []ledger.Entry) error {
	formerly := map[ledger.CMK][]ledger.Entry{}
	if key := settings.Key(r.Provider); key != nil {
		cmk, err := settings.CMK(r.Provider)
		if err != nil {
			return err
		}
		r.InUse = &KeyInUse{
			CMK: cmk, Since: key.Since, Verdict: key.Verdict, Valid: key.Valid, Checked: key.Verdict.StartedAt,
			PrivateNetworking: settings.PrivateNetworking(r.Provider),
		}
		by, isFormer, err := settings.ProbedBy(r.Provider)
		if err != nil {
			return err
		}
		if isFormer {
			formerly[by] = nil
		}
	}
	for _, e := range entries {
		if e.CMK.Provider != r.Provider {
			continue
		}
		isInUse := false
		if r.InUse != nil {
			var err error
			if isInUse, err = settings.Wraps(e, r.InUse.Since); err != nil {
				return err
			}
		}
		switch {
		case !isInUse:
			cmk := settings.Located(e.CMK)
			formerly[cmk] = append(formerly[cmk], e)
		case e.SnapshotID == "":
			r.InUse.Nodes++
		}
	}
	for cmk, entries := range formerly {
		r.Former = append(r.Former, formerKey(cmk, entries))
	}
	slices.SortFunc(r.Former, func(a, b FormerKey) int {
		return cmp.Or(cmp.Compare(a.CMK.Name, b.CMK.Name), cmp.Compare(a.CMK.Version, b.CMK.Version))
	})
	return nil
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
