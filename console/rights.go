package console

import (
	"latchkey/shared/identity"
)

// Rights are what whoever is signed in may do in a project, so that pages offer nothing that would be
// refused. They decide nothing: the API does.
type Rights struct {
	roles map[identity.Role]bool
}

// statusAPI tells who asks.
const statusAPI = "/api/atlas/v2"

// Rights asks the API which roles whoever is signed in has in the project of the path.
func (v *Visit) Rights() (Rights, error) {
	var status struct {
		APIKey struct {
			Roles []struct {
				GroupID string        `json:"groupId"`
				OrgID   string        `json:"orgId"`
				Role    identity.Role `json:"roleName"`
			} `json:"roles"`
		} `json:"apiKey"`
	}
	err := v.API.Get(v.Context(), statusAPI, nil, &status)
	r := Rights{roles: map[identity.Role]bool{}}
	for _, has := range status.APIKey.Roles {
		if has.GroupID == v.GroupID() || has.OrgID != "" {
			r.roles[has.Role] = true
		}
	}
	return r, err
}

// Any reports whether one of some roles is there.
func (r Rights) Any(roles ...identity.Role) bool {
	for _, role := range roles {
		if r.roles[role] {
			return true
		}
	}
	return false
}

// Owns reports whether somebody is Project Owner: keys, encryption, new clusters and their end.
func (r Rights) Owns() bool { return r.Any(identity.GroupOwner) }

// Administers reports whether somebody may change the project's settings.
func (r Rights) Administers() bool { return r.Any(identity.GroupOwner, identity.OrgOwner) }

// ManagesClusters reports whether somebody may change clusters.
func (r Rights) ManagesClusters() bool {
	return r.Any(identity.GroupOwner, identity.GroupClusterManager)
}

// Who may do something, for pages that say so to others.
const (
	byOwners          = "a Project Owner"
	byClusterManagers = "a Project Owner or a Project Cluster Manager"
	byBackupManagers  = "a Project Owner or a Project Backup Manager"
)

// ask is a question for whoever may do what it asks; others are told who may.
func (v *Visit) ask(question Confirm, may func(Rights) bool, who string) (any, error) {
	rights, err := v.Rights()
	return question.unless(may(rights), who), err
}

// unless denies what is asked to those who may not do it.
func (c Confirm) unless(may bool, who string) Confirm {
	if !may {
		c.Denied = "This takes " + who + "."
	}
	return c
}

// ManagesBackups reports whether somebody may take, remove and restore snapshots.
func (r Rights) ManagesBackups() bool { return r.Any(identity.GroupOwner, identity.GroupBackupManager) }
