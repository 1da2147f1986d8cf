package sweep

import (
	"context"
	"log/slog"
	"slices"

	"golang.org/x/sync/errgroup"

	"latchkey/shared/atlas"
	"latchkey/shared/encryption"
	"latchkey/shared/obs"
	"latchkey/shared/verdict"
)

// Cause is why keys became invalid.
type Cause struct {
	Provider atlas.Provider `json:"provider"`
	Reason   verdict.Reason `json:"reason"`
}

// When so many keys of a provider are found to have become invalid for one reason by one run, our own fault,
// or the provider's, is likelier than that all these customers revoked at once. Nothing is
// done to them then, and the operator is paged.
const (
	// Fewer groups than this happen to agree: an incident at one customer, a day on which several
	// end a trial. Stopping them wrongly is bad, but a person can make it good.
	implausibleGroups = 20
	// The share of those keys of the provider that were valid before. A fault of ours (an
	// identity that is refused, a client that is broken) hits nearly all, customers do not agree
	// by the dozen.
	implausibleShare = 0.5
	// One customer may well revoke a role or a key that dozens of its groups use, and must be
	// obeyed. Three in the same minutes, by the above, are no coincidence.
	implausibleTenants = 3
)

// suspect is a key that was valid and has become invalid.
type suspect struct {
	settings encryption.Settings
	provider atlas.Provider
	verdict  verdict.Verdict
}

func (s suspect) cause() Cause { return Cause{s.provider, s.verdict.Reason} }

func (r *run) suspect(s suspect) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.suspects = append(r.suspects, s)
}

// settleWidth is how many verdicts are stored at once.
const settleWidth = 32

// settle stores the verdicts on keys that became invalid, once it is known how many they are.
// Too many of them are INCONCLUSIVE: the keys become urgent and are checked every minute.
func (r *run) settle(ctx context.Context) {
	held := r.implausible()
	for cause, groups := range held {
		r.Log.ErrorContext(ctx, "too many keys became invalid at once: nothing is done about them",
			slog.String("provider", string(cause.Provider)), slog.String("reason", string(cause.Reason)),
			slog.Int("groups", groups), slog.Int("wereValid", r.valid[cause.Provider]))
		obs.Write(ctx, r.Log, r.now, "verdicts held", []obs.Dimension{{Name: "Provider", Value: string(cause.Provider)}},
			obs.Count{Name: "VerdictsHeld", Value: groups})
	}
	var group errgroup.Group
	group.SetLimit(settleWidth)
	for _, s := range r.suspects {
		v := s.verdict
		if held[s.cause()] > 0 {
			v.Reason = verdict.Implausible
			r.count(func(result *Result) {
				result.Held++
				result.Verdicts[verdict.Invalid]--
				result.Verdicts[verdict.Inconclusive]++
			})
		}
		group.Go(func() error {
			r.conclude(ctx, &turn{}, s.settings, s.provider, v)
			return nil
		})
	}
	_ = group.Wait() // conclude notes what fails
}

// implausible finds the causes that are not believed, and how many groups each has.
func (r *run) implausible() map[Cause]int {
	groups, tenants := map[Cause]int{}, map[Cause]map[string]bool{}
	for _, s := range r.suspects {
		c := s.cause()
		groups[c]++
		if tenants[c] == nil {
			tenants[c] = map[string]bool{}
		}
		tenants[c][s.settings.OrgID] = true
	}
	held := map[Cause]int{}
	for c, n := range groups {
		isMost := float64(n) > implausibleShare*float64(r.valid[c.Provider])
		if n >= implausibleGroups && isMost && len(tenants[c]) >= implausibleTenants && !r.isAccepted(c) {
			held[c] = n
		}
	}
	return held
}

func (r *run) isAccepted(c Cause) bool {
	return slices.Contains(r.accepted, c)
}

// report counts what the run did.
func (r *run) report(ctx context.Context) {
	for class, n := range r.result.Verdicts {
		if n > 0 {
			obs.Write(ctx, r.Log, r.now, "keys checked", []obs.Dimension{{Name: "Class", Value: string(class)}}, obs.Count{Name: "Checks", Value: n})
		}
	}
	took := r.Settings.Now().Sub(r.now)
	obs.Write(ctx, r.Log, r.now, "sweep done", nil,
		obs.Count{Name: "OldestUncheckedSeconds", Value: int(r.late.Seconds()), Unit: obs.Seconds},
		obs.Count{Name: "SweepTime", Value: int(took.Milliseconds()), Unit: obs.Milliseconds},
		obs.Count{Name: "KeysChecked", Value: r.attempted}, obs.Count{Name: "KeysLeft", Value: r.result.Left}, obs.Count{Name: "KeysFailed", Value: r.result.Failed},
		obs.Count{Name: "KeysDefective", Value: r.result.Defective}, obs.Count{Name: "Enforced", Value: r.result.Enforced})
}
