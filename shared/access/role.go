// Package access keeps the access roles of a group ("cloud provider access"): the IAM roles,
// service principals and service accounts through which Latchkey reaches a tenant's keys
// without holding a secret of the tenant's.
//
// Its invariant: a role belongs to one group for ever, and nothing is reached through a role
// that was not verified for that group with that group's external id.
package access

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"latchkey/shared/atlas"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// Role is one access role.
type Role struct {
	ID       string         `json:"id"`
	GroupID  string         `json:"groupId"`
	Provider atlas.Provider `json:"provider"`
	Created  time.Time      `json:"created"`
	// Closing means that a deletion has begun: nothing may start to use the role any more.
	Closing bool        `json:"closing,omitempty"`
	AWS     *AWSRole    `json:"aws,omitempty"`
	Azure   *AzureRole  `json:"azure,omitempty"`
	Google  *GoogleRole `json:"google,omitempty"`

	version int64 // of the stored item; 0 for a new one
}

// AWSRole is what is particular to an AWS IAM role.
type AWSRole struct {
	// ExternalID is unique to the role, so that a tenant can't make us use another tenant's
	// role ("confused deputy", private-endpoints document).
	ExternalID   string    `json:"externalId"`
	ARN          string    `json:"arn,omitempty"`
	AuthorizedAt time.Time `json:"authorizedAt,omitzero"`
}

// AzureRole is what is particular to an Azure service principal.
type AzureRole struct {
	AppID              string    `json:"appId"`
	TenantID           string    `json:"tenantId"`
	ServicePrincipalID string    `json:"servicePrincipalId"`
	AuthorizedAt       time.Time `json:"authorizedAt,omitzero"`
	Updated            time.Time `json:"updated"`
}

// GoogleRole is what is particular to a Google service account.
type GoogleRole struct {
	Email  string       `json:"email"`
	Status GoogleStatus `json:"status"`
	// OrgID is the organisation of whoever made the role, for events.
	OrgID string `json:"orgId,omitempty"`
}

// GoogleStatus is how far the making of a service account has come.
type GoogleStatus string

// The statuses of CONTRACT 4.
const (
	NotInitiated GoogleStatus = "NOT_INITIATED"
	InProgress   GoogleStatus = "IN_PROGRESS"
	Complete     GoogleStatus = "COMPLETE"
	Failed       GoogleStatus = "FAILED"
)

// Authorized reports whether keys may be reached through the role.
func (r Role) Authorized() bool {
	switch {
	case r.Closing:
		return false
	case r.AWS != nil:
		return !r.AWS.AuthorizedAt.IsZero()
	case r.Google != nil:
		return r.Google.Status == Complete
	}
	return r.Azure != nil && !r.Azure.AuthorizedAt.IsZero()
}

// Version is the version of the stored role, for a transaction that relies on it.
func (r Role) Version() int64 { return r.version }

// newAWS makes a role with an external id of its own.
func newAWS(groupID string, now time.Time) Role {
	return Role{
		ID: atlas.NewID(now), GroupID: groupID, Provider: atlas.AWS, Created: now.UTC(),
		AWS: &AWSRole{ExternalID: uuid.NewString()},
	}
}

// Find reads one role of a group. It returns CLOUD_PROVIDER_ACCESS_ROLE_NOT_FOUND for a role
// that does not exist, belongs to another group or is being deleted.
func Find(ctx context.Context, t store.Table, groupID, roleID string) (Role, error) {
	role, err := find(ctx, t, groupID, roleID)
	if err == nil && role.Closing {
		err = atlas.Fail(atlas.RoleNotFound, roleID)
	}
	return role, err
}

func find(ctx context.Context, t store.Table, groupID, roleID string) (Role, error) {
	if !atlas.ValidID(roleID) {
		return Role{}, atlas.Fail(atlas.RoleNotFound, roleID)
	}
	role, version, err := store.Load[Role](ctx, t, keys.Role(groupID, roleID))
	if errors.Is(err, store.ErrNotFound) {
		return Role{}, atlas.Fail(atlas.RoleNotFound, roleID)
	}
	if err != nil {
		return Role{}, fmt.Errorf("load role %s: %w", roleID, err)
	}
	role.version = version
	return role, nil
}

// put is the operation that stores the role if nobody changed it meanwhile.
func (r Role) put() (store.Op, error) {
	item, err := store.Encode(keys.Role(r.GroupID, r.ID), r.version, r)
	return store.Put(item), err
}
