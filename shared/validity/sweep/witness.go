package sweep

import (
	"context"
	"errors"
	"slices"

	"latchkey/shared/atlas"
	"latchkey/shared/encryption"
)

// enough is how many keys of a provider a run must have checked, of those that were valid, to tell a fault of ours
// from revocations: of so many, fewer than implausibleGroups are no majority.
const enough = int(implausibleGroups / implausibleShare)

// callWitnesses checks keys ahead of their time, slot by slot, while keys have become invalid and too few others of
// their provider were asked. A run sees one key in fifteen, so that a fault of ours would otherwise pass for the revocations of a few, run by
// run, wherever there are less than some hundred groups. It ends with the time for checks; what is known by then
// decides. Most runs call nobody, and those of a large deployment never need to.
func (r *run) callWitnesses(ctx, work context.Context, minute int64, served []*turn) error {
	var failed []error
	for n := range int64(encryption.SweepSlots) {
		slot := encryption.Slot(int((minute + n) % encryption.SweepSlots))
		isServed := slices.ContainsFunc(served, func(t *turn) bool { return t.slot == slot })
		if isServed || !slices.ContainsFunc(atlas.Providers(), r.needsWitnesses) {
			continue
		}
		// A slot that can't be read leaves the others, which may be enough.
		failed = append(failed, r.take(ctx, work, []*turn{{slot: slot, wants: r.needsWitnesses}}, false))
	}
	return errors.Join(failed...)
}

// needsWitnesses reports whether more of a provider's keys have to be asked before it is known what to believe of
// those that became invalid.
func (r *run) needsWitnesses(p atlas.Provider) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.suspects, func(s suspect) bool {
		return s.provider == p && r.valid[s.provider] < enough && !r.isAccepted(s.cause())
	})
}
