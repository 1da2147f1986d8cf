package endpoint

import (
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/audit"
)

// provisioningTime is how long an endpoint may take to become active once that is not up to the
// tenant: the clouds need minutes. Clients wait for three hours.
const provisioningTime = time.Hour

// add puts a new endpoint into the set. There is one per region, apart from those that are being
// recreated.
func (s Set) add(e Endpoint) (Set, error) {
	for _, other := range s.Endpoints {
		if other.Status != PendingRecreation && normal(s.Provider, other.Region) == normal(s.Provider, e.Region) {
			return s, atlas.Fail(atlas.EndpointExists, e.Region).Hinting("Its id is %s and its status %s.", other.ID, other.Status)
		}
	}
	s = s.clone()
	s.Endpoints = append(s.Endpoints, e)
	return s, nil
}

// newEndpoint is an endpoint that nothing was done for yet.
func newEndpoint(id, region string, target Target, now time.Time) Endpoint {
	now = now.UTC()
	return Endpoint{
		ID: id, Region: region, Status: Initiating, Target: target, Created: now, Since: now,
		Deadline: now.Add(provisioningTime), Attempt: 1,
	}
}

// requestDeletion marks an endpoint for deletion, and the one that it was to replace: that is not
// being recreated any more. It is harmless to ask again.
func (s Set) requestDeletion(id string, by audit.Actor, now time.Time) (Set, error) {
	e, ok := s.Find(id)
	switch {
	case !ok:
		return s, atlas.Fail(atlas.ResourceNotFound, id)
	case e.Status == Deleting:
		return s, nil
	case e.Status == Initiating:
		// The real service logs the parameter as a list within the list.
		return s, atlas.Fail(atlas.EndpointDeleteBlocked, []string{id})
	}
	for _, other := range s.Endpoints {
		if other.ID == id || other.ReplacedBy == id {
			s = s.with(other.delete(by, now))
		}
	}
	return s, nil
}

func (e Endpoint) delete(by audit.Actor, now time.Time) Endpoint {
	e = e.to(Deleting, "", now)
	e.DeletedBy, e.Attempt = &by, e.Attempt+1
	return e
}

// take notes what a cloud made, as far as it says so.
func (e Endpoint) take(o Observation) Endpoint {
	for _, f := range []struct{ to, from *string }{
		{&e.ResourceID, &o.ResourceID}, {&e.Connection, &o.Connection}, {&e.Address, &o.Address},
	} {
		if *f.from != "" {
			*f.to = *f.from
		}
	}
	return e
}

// observe is the endpoint after what a cloud says of it, while it is being made or is waiting for
// approval. proves says that it must now be proved that the key opens through it.
func (e Endpoint) observe(o Observation, now time.Time) (next Endpoint, proves bool) {
	e = e.take(o)
	switch o.State {
	case AwaitingApproval:
		if e.Status != PendingAcceptance {
			e = e.to(PendingAcceptance, "", now)
		}
		e.Deadline, e.Message = time.Time{}, ""
		return e, false
	case Rejected:
		return e.to(Failed, explained("The connection was rejected.", o), now), false
	case Broken:
		return e.to(Failed, explained("The cloud provider could not create the endpoint.", o), now), false
	case Missing, Removing:
		if e.Status == PendingAcceptance {
			return e.to(Failed, "The endpoint was removed before its connection was approved.", now), false
		}
	case Ready:
		if e.Deadline.IsZero() {
			e.Deadline = now.UTC().Add(provisioningTime)
		}
		proves = e.Address != ""
	case Provisioning:
	}
	if e.isDue(now) {
		return e.to(Failed, e.overdue(), now), false
	}
	return e, proves
}

// overdue says why an endpoint did not become active in time.
func (e Endpoint) overdue() string {
	if e.Message != "" {
		return e.Message
	}
	return "The cloud provider did not create the endpoint in time."
}

func explained(what string, o Observation) string {
	if o.Message == "" {
		return what
	}
	return what + " It says: " + o.Message
}

// isLost reports whether the tenant, or somebody else, took an active endpoint away. While a
// cloud is still at work on it, nothing is concluded.
func isLost(o Observation) bool {
	switch o.State {
	case Missing, Rejected, Broken, Removing:
		return true
	case Ready, Provisioning, AwaitingApproval:
	}
	return false
}

// recreate puts a new endpoint in the place of one that was taken away.
func (s Set) recreate(e Endpoint, id string, o Observation, now time.Time) Set {
	replacement := newEndpoint(id, e.Region, e.Target, now)
	replacement.Replaces = e.ID
	e = e.take(o).to(PendingRecreation, "The connection was rejected or removed. A new private endpoint "+id+" is being created.", now)
	e.ReplacedBy, e.Released = id, false
	s = s.with(e)
	s.Endpoints = append(s.Endpoints, replacement)
	return s
}

// activate makes an endpoint carry traffic, and ends those that it replaces.
func (s Set) activate(e Endpoint, now time.Time) Set {
	e = e.to(Active, "", now)
	replaced := e.ID
	e.Replaces = ""
	s = s.with(e)
	for _, other := range s.Endpoints {
		if other.ReplacedBy != replaced || other.Status != PendingRecreation {
			continue
		}
		if other.Released {
			s = s.without(other.ID)
		} else {
			s = s.with(other.delete(audit.System(), now))
		}
	}
	return s
}
