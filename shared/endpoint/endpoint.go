// Package endpoint is the private endpoints through which a group's customer master keys are
// reached: VPC endpoints of AWS and private endpoints of Azure, which lie in the operator's
// networks and lead to the tenant's KMS.
//
// Its invariants: an endpoint carries traffic only once the group's key was proved to open
// through it; what was made in a cloud is known by the endpoint's id alone, so that repeating a
// step makes nothing twice and nothing is left behind; and while a group's private networking is
// in force, no request for its keys has another way.
package endpoint

import (
	"slices"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/kms"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// Status is an endpoint's status in the API's words (CONTRACT 3.5).
type Status string

// The statuses.
const (
	Initiating        Status = "INITIATING"         // the cloud is asked for it
	PendingAcceptance Status = "PENDING_ACCEPTANCE" // waits for the tenant's approval, at Azure
	Active            Status = "ACTIVE"             // carries the traffic of the group's key
	Failed            Status = "FAILED"             // could not be made, or was rejected before it was active
	PendingRecreation Status = "PENDING_RECREATION" // the tenant took it away; another one is being made
	Deleting          Status = "DELETING"
)

// Target is what an endpoint leads to, as it was when the endpoint was created. It is empty at AWS,
// where that is the region's KMS.
type Target struct {
	Environment atlas.AzureEnvironment `json:"environment,omitempty"`
	VaultID     string                 `json:"vaultId,omitempty"`   // Azure's resource id of the vault
	VaultHost   string                 `json:"vaultHost,omitempty"` // in lower case
}

// Endpoint is one private endpoint.
type Endpoint struct {
	ID string `json:"id"`
	// Region is spelt as the client did, which compares what it gets with what it sent.
	Region string `json:"region"`
	Status Status `json:"status"`
	// Message says what is wrong; "" if nothing is.
	Message string `json:"message,omitempty"`
	Target  Target `json:"target,omitzero"`

	// ResourceID, Connection and Address are what the cloud made: the resource, the name by which
	// the tenant knows the connection, and where the KMS is reached (AWS a host name, Azure an IP
	// address). "" until known.
	ResourceID string `json:"resourceId,omitempty"`
	Connection string `json:"connection,omitempty"`
	Address    string `json:"address,omitempty"`
	// Released says that the cloud holds nothing of it any more, though it is still listed.
	Released bool `json:"released,omitempty"`

	Created time.Time `json:"created"`
	Since   time.Time `json:"since"` // when the status last changed
	// Deadline is when it fails unless it is active by then; zero while that is up to the tenant.
	Deadline time.Time `json:"deadline,omitzero"`
	// Replaces names the endpoint that it was made in place of, ReplacedBy the reverse.
	Replaces   string `json:"replaces,omitempty"`
	ReplacedBy string `json:"replacedBy,omitempty"`
	// Attempt counts the executions that were started for it.
	Attempt int64 `json:"attempt"`
	// DeletedBy asked for the deletion.
	DeletedBy *audit.Actor `json:"deletedBy,omitempty"`
}

// Set is all endpoints of a group at one provider. It is one record, so that there is one
// endpoint per region, and none beside a change of the configuration that there must be none for.
// The record is never deleted, since one that comes back would count its versions anew.
type Set struct {
	GroupID   string         `json:"groupId"`
	OrgID     string         `json:"orgId"`
	Provider  atlas.Provider `json:"provider"`
	Endpoints []Endpoint     `json:"endpoints"` // oldest first

	version int64
}

func (s Set) put() (store.Op, error) {
	item, err := store.Encode(keys.PrivateEndpoints(s.GroupID, string(s.Provider)), s.version, s)
	if len(s.Endpoints) > 0 {
		item.Index = keys.WatchedEndpoints(s.GroupID, string(s.Provider))
	}
	return store.Put(item), err
}

// clone copies the set so that changing the copy's endpoints leaves the original alone.
func (s Set) clone() Set {
	s.Endpoints = slices.Clone(s.Endpoints)
	return s
}

func (s Set) index(id string) int {
	return slices.IndexFunc(s.Endpoints, func(e Endpoint) bool { return e.ID == id })
}

// Find is the endpoint with an id.
func (s Set) Find(id string) (Endpoint, bool) {
	if i := s.index(id); i >= 0 {
		return s.Endpoints[i], true
	}
	return Endpoint{}, false
}

// with returns the set with an endpoint in the place of the one of its id.
func (s Set) with(e Endpoint) Set {
	s = s.clone()
	if i := s.index(e.ID); i >= 0 {
		s.Endpoints[i] = e
	}
	return s
}

// without returns the set without an endpoint.
func (s Set) without(id string) Set {
	s = s.clone()
	s.Endpoints = slices.DeleteFunc(s.Endpoints, func(e Endpoint) bool { return e.ID == id })
	return s
}

// regions are where there are endpoints, whatever their status, in the API's spelling.
func (s Set) regions() []string {
	var regions []string
	for _, e := range s.Endpoints {
		if name := normal(s.Provider, e.Region); !slices.Contains(regions, name) {
			regions = append(regions, name)
		}
	}
	return regions
}

// normal is the one spelling of a region, to compare by.
func normal(p atlas.Provider, region string) string {
	if p == atlas.AWS {
		if r, err := atlas.ParseAWSRegion(region); err == nil {
			return r.Atlas()
		}
	}
	return region
}

// InForce reports whether private networking is in force: whether there is an endpoint that is
// active, was, or stands in for one that was, and that nobody asked to delete. From then on keys
// have no other way, also while the tenant has taken the endpoint away.
func (s Set) InForce() bool {
	return slices.ContainsFunc(s.Endpoints, func(e Endpoint) bool {
		return e.Status == Active || e.Status == PendingRecreation || e.Replaces != "" && e.Status != Deleting
	})
}

// Ways are the endpoints that carry traffic.
func (s Set) Ways() []kms.PrivateEndpoint {
	var ways []kms.PrivateEndpoint
	for _, e := range s.Endpoints {
		if e.Status == Active {
			ways = append(ways, s.way(e))
		}
	}
	return ways
}

func (s Set) way(e Endpoint) kms.PrivateEndpoint {
	return kms.PrivateEndpoint{Region: normal(s.Provider, e.Region), Host: e.Target.VaultHost, Address: e.Address}
}

// to returns the endpoint with another status.
func (e Endpoint) to(status Status, message string, now time.Time) Endpoint {
	e.Status, e.Message, e.Since = status, message, now.UTC()
	if status != Initiating && status != PendingAcceptance {
		e.Deadline = time.Time{}
	}
	return e
}

// moves reports whether there is work to be done for the endpoint, rather than the cloud to be
// watched.
func (e Endpoint) moves() bool {
	switch e.Status {
	case Initiating, Deleting:
		return true
	case Failed, PendingRecreation:
		return !e.Released
	case Active, PendingAcceptance:
	}
	return false
}

// isDue reports whether the time has passed within which the endpoint had to become active.
func (e Endpoint) isDue(now time.Time) bool { return !e.Deadline.IsZero() && !now.Before(e.Deadline) }
