package directory

import (
	"maps"
	"slices"
	"time"

	"latchkey/shared/audit"
	"latchkey/shared/identity"
)

// The types of the events that this package writes, as the API names them.
//
//nolint:gosec // G101 takes names of events for credentials
const (
	APIKeyCreated            audit.Type = "API_KEY_CREATED"
	APIKeyDeleted            audit.Type = "API_KEY_DELETED"
	APIKeyDescriptionChanged audit.Type = "API_KEY_DESCRIPTION_CHANGED"
	APIKeyRolesChanged       audit.Type = "API_KEY_ROLES_CHANGED"
	APIKeyAddedToGroup       audit.Type = "API_KEY_ADDED_TO_GROUP"
	APIKeyRemovedFromGroup   audit.Type = "API_KEY_REMOVED_FROM_GROUP"

	ServiceAccountCreated          audit.Type = "SERVICE_ACCOUNT_CREATED"
	ServiceAccountDeleted          audit.Type = "SERVICE_ACCOUNT_DELETED"
	ServiceAccountDetailsChanged   audit.Type = "SERVICE_ACCOUNT_DETAILS_CHANGED"
	ServiceAccountRolesChanged     audit.Type = "SERVICE_ACCOUNT_ROLES_CHANGED"
	ServiceAccountAddedToGroup     audit.Type = "SERVICE_ACCOUNT_ADDED_TO_GROUP"
	ServiceAccountRemovedFromGroup audit.Type = "SERVICE_ACCOUNT_REMOVED_FROM_GROUP"
	ServiceAccountSecretAdded      audit.Type = "SERVICE_ACCOUNT_SECRET_ADDED"
	ServiceAccountSecretDeleted    audit.Type = "SERVICE_ACCOUNT_SECRET_DELETED"
)

// vocabulary are the event types of one kind of identity.
type vocabulary struct {
	described, roles, added, removed, secretAdded, secretDeleted audit.Type
}

var (
	apiKeyEvents = vocabulary{
		described: APIKeyDescriptionChanged, roles: APIKeyRolesChanged,
		added: APIKeyAddedToGroup, removed: APIKeyRemovedFromGroup,
	}
	serviceAccountEvents = vocabulary{
		described: ServiceAccountDetailsChanged, roles: ServiceAccountRolesChanged,
		added: ServiceAccountAddedToGroup, removed: ServiceAccountRemovedFromGroup,
		secretAdded: ServiceAccountSecretAdded, secretDeleted: ServiceAccountSecretDeleted,
	}
)

// portrait is what events tell of an identity: no secrets.
type portrait struct {
	id, name, orgID string // name is the public key or the client id
	description     string // whatever a client may change besides roles and secrets
	grants          Grants
	secrets         []string // ids
}

// scribe writes the events of one change.
type scribe struct {
	now   time.Time
	by    audit.Actor
	about portrait
}

func (s scribe) event(t audit.Type, groupID string) audit.Event {
	return audit.New(s.now, t, s.by, s.about.orgID, groupID).With("id", s.about.id).With("name", s.about.name)
}

// creation tells that an identity was made, in the feed of its organisation and of each group.
func (s scribe) creation(t audit.Type, words vocabulary) []audit.Event {
	events := []audit.Event{s.event(t, "").With("roles", s.about.grants.OrgRoles)}
	for _, groupID := range s.about.grants.Groups() {
		events = append(events, s.event(words.added, groupID).With("roles", s.about.grants.GroupRoles[groupID]))
	}
	return events
}

// deletion tells that an identity is gone. It is one event however many groups it was in,
// since a transaction is bounded.
func (s scribe) deletion(t audit.Type) []audit.Event {
	return []audit.Event{s.event(t, "").With("groupIds", s.about.grants.Groups())}
}

// change tells what became different from before.
func (s scribe) change(before portrait, words vocabulary) []audit.Event {
	var events []audit.Event
	if before.description != s.about.description {
		events = append(events, s.event(words.described, ""))
	}
	if !slices.Equal(before.grants.OrgRoles, s.about.grants.OrgRoles) {
		events = append(events, s.event(words.roles, "").With("roles", s.about.grants.OrgRoles))
	}
	events = append(events, s.groups(before.grants.GroupRoles, words)...)
	for _, id := range missing(before.secrets, s.about.secrets) {
		events = append(events, s.event(words.secretAdded, "").With("secretId", id))
	}
	for _, id := range missing(s.about.secrets, before.secrets) {
		events = append(events, s.event(words.secretDeleted, "").With("secretId", id))
	}
	return events
}

func (s scribe) groups(before map[string][]identity.Role, words vocabulary) []audit.Event {
	all := maps.Clone(before)
	if all == nil {
		all = map[string][]identity.Role{}
	}
	maps.Copy(all, s.about.grants.GroupRoles)
	var events []audit.Event
	for _, groupID := range slices.Sorted(maps.Keys(all)) {
		was, is := before[groupID], s.about.grants.GroupRoles[groupID]
		switch {
		case slices.Equal(was, is):
		case len(was) == 0:
			events = append(events, s.event(words.added, groupID).With("roles", is))
		case len(is) == 0:
			events = append(events, s.event(words.removed, groupID))
		default:
			events = append(events, s.event(words.roles, groupID).With("roles", is))
		}
	}
	return events
}

// missing returns what is in b and not in a.
func missing(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(b), func(id string) bool { return slices.Contains(a, id) })
}
