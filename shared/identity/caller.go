// Package identity says who is calling and what they may do: API keys over HTTP Digest,
// service accounts over OAuth 2.0 client credentials, and the roles of CONTRACT 2.4.
//
// Its one invariant: a caller of one organisation learns nothing about a group of another,
// not even whether it exists.
package identity

import (
	"encoding/json"
	"slices"
)

// Role is the wire code of a role.
type Role string

// The roles that rules name. Others are stored and returned, and grant nothing here.
const (
	OrgOwner        Role = "ORG_OWNER"
	OrgMember       Role = "ORG_MEMBER"
	OrgGroupCreator Role = "ORG_GROUP_CREATOR"
	OrgReadOnly     Role = "ORG_READ_ONLY"

	GroupOwner          Role = "GROUP_OWNER"
	GroupReadOnly       Role = "GROUP_READ_ONLY"
	GroupClusterManager Role = "GROUP_CLUSTER_MANAGER"
	GroupBackupManager  Role = "GROUP_BACKUP_MANAGER"
)

// orgRoles and groupRoles are every role code that the API accepts (CONTRACT 2.4).
var (
	orgRoles = []Role{
		OrgOwner, OrgMember, OrgGroupCreator, OrgReadOnly, "ORG_BILLING_ADMIN", "ORG_BILLING_READ_ONLY",
		"ORG_STREAM_PROCESSING_ADMIN",
	}
	groupRoles = []Role{
		GroupOwner, GroupReadOnly, GroupClusterManager, GroupBackupManager, "GROUP_DATA_ACCESS_ADMIN",
		"GROUP_DATA_ACCESS_READ_WRITE", "GROUP_DATA_ACCESS_READ_ONLY", "GROUP_DATABASE_ACCESS_ADMIN",
		"GROUP_SEARCH_INDEX_EDITOR", "GROUP_OBSERVABILITY_VIEWER", "GROUP_STREAM_PROCESSING_OWNER",
	}
)

// IsOrgRole reports whether the API knows r as a role in an organisation.
func IsOrgRole(r Role) bool { return slices.Contains(orgRoles, r) }

// IsGroupRole reports whether the API knows r as a role in a group.
func IsGroupRole(r Role) bool { return slices.Contains(groupRoles, r) }

// Kind tells what a caller authenticated with.
type Kind string

// The kinds of caller.
const (
	KindAPIKey         Kind = "apiKey"
	KindServiceAccount Kind = "serviceAccount"
	KindSystem         Kind = "system" // Latchkey itself: schedules and workflows
)

// Caller is who makes a request: an authenticated identity with the roles it holds. The
// authorizer builds it and hands it to the functions in the authorizer context, so it holds
// no secret.
type Caller struct {
	Kind  Kind   `json:"kind"`
	ID    string `json:"id"`   // the API key's id, or the service account's client id
	Name  string `json:"name"` // the public key, or the client id: what events and alerts show
	OrgID string `json:"orgId"`
	// OrgRoles are the roles in OrgID.
	OrgRoles []Role `json:"orgRoles,omitempty"`
	// GroupRoles are the roles by group id. The authorizer leaves out the groups that the
	// request does not name, so that the context stays small.
	GroupRoles map[string][]Role `json:"groupRoles,omitempty"`
	// RemoteAddress is the address the request came from, for events.
	RemoteAddress string `json:"remoteAddress,omitempty"`
}

// Anonymous reports whether nobody has authenticated.
func (c Caller) Anonymous() bool { return c.ID == "" }

// ForGroup returns the caller with the roles of no other group than this one.
func (c Caller) ForGroup(groupID string) Caller {
	roles := c.GroupRoles[groupID]
	c.GroupRoles = nil
	if groupID != "" && len(roles) > 0 {
		c.GroupRoles = map[string][]Role{groupID: roles}
	}
	return c
}

// Encode renders the caller as the authorizer context carries it.
func (c Caller) Encode() string {
	b, err := json.Marshal(c)
	if err != nil {
		panic(err) // strings and maps of strings always marshal
	}
	return string(b)
}

// DecodeCaller reads what Encode wrote. An error means a gateway that is not ours.
func DecodeCaller(s string) (Caller, error) {
	var c Caller
	err := json.Unmarshal([]byte(s), &c)
	return c, err
}
