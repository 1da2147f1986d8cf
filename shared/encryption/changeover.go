package encryption

import (
	"bytes"
	"slices"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
	"latchkey/shared/verdict"
	"latchkey/shared/workflow"
)

// Fallback is the way back from a change that is not finished: the configuration of a provider
// that was in use before, with its secret. There is one per provider at most.
type Fallback struct {
	Provider atlas.Provider `json:"provider"`
	// Revision is that of the settings which the change made.
	Revision int64   `json:"revision"`
	AWS      *AWS    `json:"aws,omitempty"`
	Azure    *Azure  `json:"azure,omitempty"`
	Google   *Google `json:"google,omitempty"`
}

// ChangeState is how a change stands.
type ChangeState string

// The states of a change.
const (
	UnderWay ChangeState = "UNDER_WAY"
	Finished ChangeState = "FINISHED"
	Restored ChangeState = "RESTORED" // the way back was taken
	// Abandoned: the provider was disabled or the group closed meanwhile.
	Abandoned ChangeState = "ABANDONED"
)

// Changeover is what is known of the last change of a provider's key, or of how it is reached. It
// is written by the update that begins it, and by the workflow that finishes it.
type Changeover struct {
	GroupID  string         `json:"groupId"`
	Provider atlas.Provider `json:"provider"`
	Kind     workflow.Kind  `json:"kind"`
	// Revision is that of the settings which the change made; Attempt names the execution that may act.
	Revision int64       `json:"revision"`
	Attempt  int64       `json:"attempt"`
	State    ChangeState `json:"state"`
	Began    time.Time   `json:"began"`
	Ended    time.Time   `json:"ended,omitzero"`
	// Reason is why the way back was taken.
	Reason verdict.Reason `json:"reason,omitempty"`

	// Cursor is behind the wrapped keys that were proved: Proved of them, and Lost, which neither
	// way can ever open. Verified says that all were.
	Cursor   string `json:"cursor,omitempty"`
	Proved   int    `json:"proved"`
	Lost     int    `json:"lost"`
	Verified bool   `json:"verified"`
	// NodesLeft is how many nodes are waited for.
	NodesLeft int `json:"nodesLeft,omitempty"`
	// Blocked is since when the proof can't go on, and Blocker why.
	Blocked time.Time      `json:"blocked,omitzero"`
	Blocker verdict.Reason `json:"blocker,omitempty"`

	version int64
}

// input is what the workflow is told of a change.
type input struct {
	GroupID  string         `json:"groupId"`
	Provider atlas.Provider `json:"provider"`
	Revision int64          `json:"revision"`
	Attempt  int64          `json:"attempt"`
}

// Execution is the present attempt at the change.
func (c Changeover) Execution() workflow.Execution {
	return workflow.Execution{
		Kind: c.Kind, GroupID: c.GroupID, Subject: string(c.Provider), Version: []int64{c.Revision, c.Attempt},
		Input: input{GroupID: c.GroupID, Provider: c.Provider, Revision: c.Revision, Attempt: c.Attempt},
	}
}

// Put is the operation that stores what is known of the change if nobody changed it meanwhile. While
// it is under way it is in the index.
func (c Changeover) Put() (store.Op, error) {
	item, err := store.Encode(keys.Changeover(c.GroupID, string(c.Provider)), c.version, c)
	if c.State == UnderWay {
		item.Index = keys.ChangeoverInProgress(c.GroupID, string(c.Provider))
	}
	return store.Put(item), err
}

// IsCarriedOutBy reports whether an attempt at the change of a revision may act.
func (c Changeover) IsCarriedOutBy(revision, attempt int64) bool {
	return c.State == UnderWay && c.Revision == revision && c.Attempt == attempt
}

// begun completes next, the settings after changes: every change that was validated keeps the way
// back, which is the last way that was finished, however many changes follow each other. It
// returns the changes to be carried out. It is pure. Another key is refused while the former
// ones need credentials of which one set would be forgotten.
func (s Settings) begun(next *Settings, changes []Change, now time.Time) ([]Changeover, error) {
	var all []Changeover
	for _, change := range changes {
		p := change.Provider
		held, isHeld := s.Fallback(p)
		next.dropFallback(p)
		if p == atlas.AWS {
			next.remember(s.AWS)
		}
		if change.Kind == Modify && !change.validates() && isHeld {
			next.Fallbacks = append(next.Fallbacks, held)
		}
		if change.Kind != Modify || !change.validates() {
			continue
		}
		if !isHeld {
			held = Fallback{Provider: p, AWS: s.AWS, Azure: s.Azure, Google: s.Google}.only()
		}
		before := s.back(held)
		if isHeld && change.KeyChanged && (!sameAccess(before, s, p) || !sameAccess(s, *next, p)) {
			return nil, atlas.Fail(atlas.ConcurrentModification).
				Hinting("The change of how the key is reached has to be finished before another key can be set.")
		}
		held.Revision = next.Revision
		next.Fallbacks = append(next.Fallbacks, held)
		if !s.roleOnly(p) { // final only once the change is finished
			next.RoleOnly = slices.DeleteFunc(next.RoleOnly, func(only atlas.Provider) bool { return only == p })
		}
		all = append(all, Changeover{
			GroupID: next.GroupID, Provider: p, Kind: kindOf(before, *next, p), Revision: next.Revision, Attempt: 1,
			State: UnderWay, Began: now.UTC(),
		})
	}
	return all, nil
}

// kindOf is the workflow of a change.
func kindOf(before, after Settings, p atlas.Provider) workflow.Kind {
	switch {
	case !sameKey(before, after, p):
		return workflow.RotateKey
	case p == atlas.AWS && before.AWS.Region != after.AWS.Region:
		return workflow.ReconfigureRegion
	}
	return workflow.SwitchRole
}

// Fallback is the way back that is kept for a provider.
func (s Settings) Fallback(p atlas.Provider) (Fallback, bool) {
	i := slices.IndexFunc(s.Fallbacks, func(f Fallback) bool { return f.Provider == p })
	if i < 0 {
		return Fallback{}, false
	}
	return s.Fallbacks[i], true
}

func (s *Settings) dropFallback(p atlas.Provider) {
	s.Fallbacks = slices.DeleteFunc(slices.Clone(s.Fallbacks), func(f Fallback) bool { return f.Provider == p })
}

// only returns the fallback without what is of other providers, copied.
func (f Fallback) only() Fallback {
	kept := Settings{AWS: f.AWS, Azure: f.Azure, Google: f.Google}.clone()
	kept.keepRole(f.Provider, nil) // only the settings themselves follow a role that changes
	only := Fallback{Provider: f.Provider, Revision: f.Revision}
	switch f.Provider {
	case atlas.AWS:
		only.AWS = kept.AWS
	case atlas.Azure:
		only.Azure = kept.Azure
	case atlas.GCP:
		only.Google = kept.Google
	}
	return only
}

// back is the settings with a fallback in place of what is there of its provider. Whether networks
// must be private is no part of the change, and stays.
func (s Settings) back(f Fallback) Settings {
	isPrivate := s.PrivateNetworking(f.Provider)
	before, kept := s.clone(), f.only()
	switch f.Provider {
	case atlas.AWS:
		before.AWS = kept.AWS
		before.AWS.PrivateNetworking = isPrivate
	case atlas.Azure:
		before.Azure = kept.Azure
		before.Azure.PrivateNetworking = isPrivate
	case atlas.GCP:
		before.Google = kept.Google
	}
	return before
}

// finish returns the settings once the change of a revision is finished: the way back is gone, with
// its secret, and a role is final. ok is false if the change is none of theirs.
func (s Settings) finish(p atlas.Provider, revision int64) (next Settings, ok bool) {
	f, isHeld := s.Fallback(p)
	if !isHeld || f.Revision != revision || s.Key(p) == nil {
		return s, false
	}
	next = s.clone()
	next.dropFallback(p)
	next.Revision++ // an update that has read the way back must not bring it back
	if next.RoleID(p) != "" && !next.roleOnly(p) {
		next.RoleOnly = append(next.RoleOnly, p)
	}
	return next, true
}

// restore returns the settings once the way back from the change of a revision was taken. ok is
// false if the change is none of theirs.
func (s Settings) restore(p atlas.Provider, revision int64, now time.Time) (next Settings, ok bool) {
	f, isHeld := s.Fallback(p)
	if !isHeld || f.Revision != revision || s.Key(p) == nil {
		return s, false
	}
	next = s.back(f)
	next.dropFallback(p)
	next.Revision, next.Updated = s.Revision+1, now.UTC()
	state := next.Key(p)
	state.Revision = next.Revision
	// The verdict of then stops nothing and starts nothing: the key is checked within a minute.
	state.Verdict = verdict.Verdict{Reason: verdict.Unconfirmed, Settings: next.Revision, StartedAt: next.Updated, Since: next.Updated}
	return next, true
}

// sameAccess reports whether two configurations use the same credentials.
func sameAccess(a, b Settings, p atlas.Provider) bool {
	if a.RoleID(p) != b.RoleID(p) || !bytes.Equal(a.secret(p), b.secret(p)) {
		return false
	}
	switch p {
	case atlas.AWS:
		return a.AWS.AccessKeyID == b.AWS.AccessKeyID
	case atlas.Azure:
		return a.Azure.ClientID == b.Azure.ClientID && a.Azure.TenantID == b.Azure.TenantID
	case atlas.GCP:
	}
	return true
}

// sameKey reports whether two configurations name the same key.
func sameKey(a, b Settings, p atlas.Provider) bool {
	switch p {
	case atlas.AWS:
		return a.AWS.KeyID == b.AWS.KeyID || areReplicas(a.AWS.arn(), b.AWS.arn())
	case atlas.Azure:
		return a.Azure.KeyIdentifier == b.Azure.KeyIdentifier
	case atlas.GCP:
	}
	return a.Google.KeyVersion == b.Google.KeyVersion
}

// LeadsToAnotherKey reports whether taking the way back from the change that is under way would bring
// another key back, and not just another way to the same one.
func (s Settings) LeadsToAnotherKey(p atlas.Provider) bool {
	f, isHeld := s.Fallback(p)
	return isHeld && !sameKey(s.back(f), s, p)
}

// areReplicas reports whether two ARNs name replicas of one multi-Region key: the same key, which is
// reached in another region.
func areReplicas(a, b string) bool {
	first, err := atlas.ParseAWSKeyName(a)
	if err != nil || !first.IsARN() || !first.IsMultiRegion() {
		return false
	}
	second, err := atlas.ParseAWSKeyName(b)
	return err == nil && second.IsARN() && second.InRegion(first.Region) == first
}
