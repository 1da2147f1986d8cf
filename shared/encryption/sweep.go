package encryption

import (
	"context"
	"hash/fnv"
	"net/url"
	"slices"
	"strconv"

	"latchkey/shared/atlas"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
	"latchkey/shared/validity"
	"latchkey/shared/verdict"
)

// SweepSlots is how many one-minute slots the scheduled checks are spread over: a group's turn
// comes every 15 minutes.
const SweepSlots = 15

// UrgentSlot is the slot of groups with a key that is not VALID: their turn comes every minute.
const UrgentSlot = "URGENT"

// SweepMinute is the minute of the hour, 0 to 59, at which a group's keys are inspected. Their
// turn comes at that minute and every SweepSlots minutes before and after.
func SweepMinute(groupID string) int { return SweepMinuteOf(groupID, 60) }

// SweepMinuteOf is the same in a longer period: so many minutes, of whole hours.
func SweepMinuteOf(groupID string, minutes int) int {
	h := fnv.New32a()
	h.Write([]byte(groupID))
	return int(h.Sum32() % uint32(minutes)) //nolint:gosec // of a week at most
}

// Slot names the n-th slot.
func Slot(n int) string { return strconv.Itoa(n) }

// sweepPlace is where the settings are in the index: nowhere unless a provider is enabled, or was and
// alerts don't know yet that it no longer is.
func (s Settings) sweepPlace() store.Key {
	if slot := s.SweepSlot(); slot != "" {
		return keys.Sweep(slot, s.GroupID)
	}
	return store.Key{}
}

// SweepSlot is the slot in which the group's turn comes, "" if there is nothing to check.
func (s Settings) SweepSlot() string {
	enabled := s.Enabled()
	if len(s.Left()) > 0 || slices.ContainsFunc(enabled, s.isUrgentlyUntold) {
		return UrgentSlot
	}
	if len(enabled) == 0 {
		return ""
	}
	for _, p := range enabled {
		if s.Key(p).Verdict.Class() != verdict.Valid {
			return UrgentSlot
		}
	}
	return Slot(SweepMinute(s.GroupID) % SweepSlots)
}

// Enabled lists the providers at which the group uses a key.
func (s Settings) Enabled() []atlas.Provider {
	var enabled []atlas.Provider
	for _, p := range atlas.Providers() {
		if s.Key(p) != nil {
			enabled = append(enabled, p)
		}
	}
	return enabled
}

// KeyHost names what a provider's key shares its speed with: the host that serves it.
func (s Settings) KeyHost(p atlas.Provider) string {
	switch {
	case p == atlas.AWS && s.AWS != nil:
		return s.AWS.Region
	case p == atlas.Azure && s.Azure != nil:
		if u, err := url.Parse(s.Azure.KeyIdentifier); err == nil {
			return u.Host
		}
	}
	return ""
}

// Stored decodes settings as they were found. What the index holds may be older than the table;
// writing such settings conflicts.
func Stored(item store.Item) (Settings, error) {
	settings, err := store.Decode[Settings](item)
	settings.version = item.Version
	return settings, err
}

// Check concludes a verdict on a provider's key, which must be enabled, with cached
// credentials: one call to the tenant's KMS while the key is healthy. It stores nothing.
func (s *Service) Check(ctx context.Context, settings Settings, p atlas.Provider) verdict.Verdict {
	return s.Checker.Check(ctx, s.scheduled(settings, p))
}

// scheduled is the subject of a check that nobody waits for.
func (s *Service) scheduled(settings Settings, p atlas.Provider) validity.Subject {
	subject := s.subject(settings, p, false)
	subject.Fresh = false
	return subject
}
