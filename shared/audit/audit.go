// Package audit keeps the activity feed: who did what to what, when and from where, and who
// tried without being allowed to.
//
// Its invariant: an effect and its event are written in one transaction, so neither exists
// without the other. Events hold no secrets: writers pass ids and names only.
package audit

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/identity"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// Type is an event type of the API (CONTRACT 5.4) or one of Latchkey's own.
type Type string

// AccessDenied is Latchkey's own type for an attempt that was refused for lack of a role.
const AccessDenied Type = "ACCESS_DENIED"

// Types of encryption at rest (CONTRACT 5.4). Those that begin with a provider's name are
// built from it: AWS_ENCRYPTION_KEY_INVALID, …_VALID, …_ROTATED.
const (
	ConfigurationUpdated             Type = "ENCRYPTION_AT_REST_CONFIGURATION_UPDATED"
	ConfigurationValidationFailed    Type = "ENCRYPTION_AT_REST_CONFIGURATION_VALIDATION_FAILED"
	ConfigurationValidationSucceeded Type = "ENCRYPTION_AT_REST_CONFIGURATION_VALIDATION_SUCCEEDED"
	KeyRotationStarted               Type = "ENCRYPTION_AT_REST_KEY_ROTATION_STARTED"
	NetworkAccessDenied              Type = "ENCRYPTION_AT_REST_KMS_NETWORK_ACCESS_DENIED"
	NetworkAccessRestored            Type = "ENCRYPTION_AT_REST_KMS_NETWORK_ACCESS_RESTORED"
	ConfigNoLongerValid              Type = "ENCRYPTION_AT_REST_CONFIG_NO_LONGER_VALID"
	ConfigIsValid                    Type = "ENCRYPTION_AT_REST_CONFIG_IS_VALID"
)

// Event is one entry of a feed.
type Event struct {
	ID          string         `json:"id"`
	Type        Type           `json:"type"`
	Created     time.Time      `json:"created"`
	GroupID     string         `json:"groupId,omitempty"`
	OrgID       string         `json:"orgId,omitempty"`
	Actor       Actor          `json:"actor"`
	ClusterName string         `json:"clusterName,omitempty"`
	Detail      map[string]any `json:"detail,omitempty"` // what exactly; shown with includeRaw=true
}

// Actor is who caused an event.
type Actor struct {
	Kind          identity.Kind `json:"kind"`
	ID            string        `json:"id,omitempty"`
	Name          string        `json:"name,omitempty"`
	RemoteAddress string        `json:"remoteAddress,omitempty"`
}

// System is the actor of what schedules and workflows do.
func System() Actor { return Actor{Kind: identity.KindSystem} }

// By is the actor that a caller is.
func By(c identity.Caller) Actor {
	return Actor{Kind: c.Kind, ID: c.ID, Name: c.Name, RemoteAddress: c.RemoteAddress}
}

// resolution is what feeds tell times apart by. Events and filters agree on it, so that an
// event that one page ends before is where the next one begins.
const resolution = time.Microsecond

// New makes an event of a group or, with an empty groupID, of an organisation.
func New(now time.Time, t Type, by Actor, orgID, groupID string) Event {
	return Event{
		ID: atlas.NewID(now), Type: t, Created: now.UTC().Truncate(resolution), Actor: by, OrgID: orgID, GroupID: groupID,
	}
}

// With returns the event with one more detail; the event itself stays as it is. A detail of
// the same name is replaced.
func (e Event) With(name string, value any) Event {
	detail := make(map[string]any, len(e.Detail)+1)
	maps.Copy(detail, e.Detail)
	detail[name] = value
	e.Detail = detail
	return e
}

func (e Event) scope() string {
	if e.GroupID != "" {
		return keys.GroupScope(e.GroupID)
	}
	return keys.OrgScope(e.OrgID)
}

// Journal writes and reads feeds.
type Journal struct {
	Table     store.Table
	Now       func() time.Time
	Retention time.Duration // how long events are kept; 0 keeps them for ever
}

// Put is the operation that stores an event. Add it to the transaction that has the effect.
func (j Journal) Put(e Event) (store.Op, error) {
	item, err := store.Encode(keys.Event(e.scope(), e.Created, e.ID), 0, e)
	if err != nil {
		return store.Op{}, err
	}
	if j.Retention > 0 {
		item.Expires = e.Created.Add(j.Retention)
	}
	return store.Put(item), nil
}

// PutAll is Put for each of some events.
func (j Journal) PutAll(events ...Event) ([]store.Op, error) {
	ops := make([]store.Op, len(events))
	for i, e := range events {
		op, err := j.Put(e)
		if err != nil {
			return nil, err
		}
		ops[i] = op
	}
	return ops, nil
}

// Append stores an event that goes with no other write.
func (j Journal) Append(ctx context.Context, e Event) error {
	op, err := j.Put(e)
	if err != nil {
		return err
	}
	return j.Table.Write(ctx, op)
}

// RecordDenial stores a refused attempt. It goes to the group's feed only if the caller
// belongs to the group's organisation, which the gate's code tells; else to the caller's own
// organisation, so that strangers can't write into somebody's feed.
func (j Journal) RecordDenial(ctx context.Context, c identity.Caller, a identity.Attempt, code atlas.Code) error {
	groupID := ""
	if code == atlas.UserUnauthorized {
		groupID = a.GroupID
	}
	e := New(j.Now(), AccessDenied, By(c), c.OrgID, groupID).
		With("operation", a.Operation).With("errorCode", string(code))
	if groupID == "" && a.GroupID != "" {
		e = e.With("groupId", a.GroupID)
	}
	return j.Append(ctx, e)
}

// Filter selects events of a feed.
type Filter struct {
	Types    []Type // any of these; empty selects all
	Excluded []Type
	Clusters []string // any of these; empty selects all
	// From and Until bound the time: From <= created < Until. Zero leaves that side open.
	From, Until time.Time
}

func (f Filter) matches(e Event) bool {
	return (len(f.Types) == 0 || slices.Contains(f.Types, e.Type)) && !slices.Contains(f.Excluded, e.Type) &&
		(len(f.Clusters) == 0 || slices.Contains(f.Clusters, e.ClusterName))
}

// query is the part of the filter that the table's order answers. An instant between two
// steps of the resolution bounds as the later one does: no event lies between.
func (f Filter) query(scope string) store.Query {
	q := store.Query{PK: keys.EventPartition(scope), Prefix: keys.EventPrefix, Descending: true}
	if !f.From.IsZero() {
		q.From = keys.EventTime(roundUp(f.From))
	}
	if !f.Until.IsZero() {
		q.Until = keys.EventTime(roundUp(f.Until))
	}
	return q
}

func roundUp(t time.Time) time.Time {
	if down := t.Truncate(resolution); down.Before(t) {
		return down.Add(resolution)
	}
	return t
}

// isBroad reports whether the filter takes every event within its time.
func (f Filter) isBroad() bool { return len(f.Types)+len(f.Excluded)+len(f.Clusters) == 0 }

// List reads a feed newest first. It skips the first offset matching events and returns at
// most limit, and the number of all that match, for which it reads the whole feed. Use Recent
// where nobody asks for the number.
func (j Journal) List(ctx context.Context, scope string, f Filter, offset, limit int) (events []Event, total int, err error) {
	err = j.each(ctx, f.query(scope), func(e Event) bool {
		if !f.matches(e) {
			return true
		}
		if total >= offset && len(events) < limit {
			events = append(events, e)
		}
		total++
		return true
	})
	if err != nil {
		return nil, 0, err
	}
	return events, total, nil
}

// Recent reads as List does, but no further than it must. more says whether events follow.
func (j Journal) Recent(ctx context.Context, scope string, f Filter, offset, limit int) (events []Event, more bool, err error) {
	q := f.query(scope)
	if f.isBroad() {
		q.Limit = offset + limit + 1
	}
	seen := 0
	err = j.each(ctx, q, func(e Event) bool {
		switch {
		case !f.matches(e):
			return true
		case len(events) == limit && seen >= offset:
			more = true
			return false
		case seen >= offset:
			events = append(events, e)
		}
		seen++
		return true
	})
	if err != nil {
		return nil, false, err
	}
	return events, more, nil
}

// ErrNoEvent is returned by Find.
var ErrNoEvent = errors.New("audit: no such event")

// Find reads one event. The id begins with the second it was made in, which is where to look.
func (j Journal) Find(ctx context.Context, scope, id string) (Event, error) {
	raw, err := hex.DecodeString(id)
	if err != nil || !atlas.ValidID(id) {
		return Event{}, ErrNoEvent
	}
	second := time.Unix(int64(binary.BigEndian.Uint32(raw)), 0)
	q := store.Query{
		PK: keys.EventPartition(scope), From: keys.EventTime(second), Until: keys.EventTime(second.Add(time.Second)),
	}
	var found *Event
	err = j.each(ctx, q, func(e Event) bool {
		if e.ID == id {
			found = &e
		}
		return found == nil
	})
	if err != nil {
		return Event{}, err
	}
	if found == nil {
		return Event{}, ErrNoEvent
	}
	return *found, nil
}

// each visits the events of a query until fn returns false. Events past their time are left
// out, since the table removes them late.
func (j Journal) each(ctx context.Context, q store.Query, fn func(Event) bool) error {
	now := j.Now()
	for {
		page, err := j.Table.Query(ctx, q)
		if err != nil {
			return fmt.Errorf("read events: %w", err)
		}
		for _, item := range page.Items {
			if !item.Expires.IsZero() && !item.Expires.After(now) {
				continue
			}
			e, err := store.Decode[Event](item)
			if err != nil {
				return err
			}
			if !fn(e) {
				return nil
			}
		}
		if page.Next == "" {
			return nil
		}
		q.After = page.Next
	}
}
