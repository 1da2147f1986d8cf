package endpoint

import (
	"context"
	"log/slog"

	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/project"
	"latchkey/shared/store"
	"latchkey/shared/workflow"
)

// Types of events. The first two are the API's (CONTRACT 3.5), the others Latchkey's own.
const (
	EventCreated    audit.Type = "ENCRYPTION_AT_REST_PRIVATE_ENDPOINT_CREATED"
	EventDeleted    audit.Type = "ENCRYPTION_AT_REST_PRIVATE_ENDPOINT_DELETED"
	EventActive     audit.Type = "ENCRYPTION_AT_REST_PRIVATE_ENDPOINT_ACTIVE"
	EventAwaiting   audit.Type = "ENCRYPTION_AT_REST_PRIVATE_ENDPOINT_PENDING_ACCEPTANCE"
	EventFailed     audit.Type = "ENCRYPTION_AT_REST_PRIVATE_ENDPOINT_FAILED"
	EventRecreation audit.Type = "ENCRYPTION_AT_REST_PRIVATE_ENDPOINT_PENDING_RECREATION"
)

// statusEvents tell of an endpoint's becoming what it is.
var statusEvents = map[Status]audit.Type{
	Active: EventActive, PendingAcceptance: EventAwaiting, Failed: EventFailed, PendingRecreation: EventRecreation,
}

func (s *Service) event(t audit.Type, set Set, e Endpoint, by audit.Actor) audit.Event {
	event := audit.New(s.Now(), t, by, set.OrgID, set.GroupID).
		With("endpointId", e.ID).With("provider", string(set.Provider)).With("regionName", e.Region)
	if e.Message != "" {
		event = event.With("errorMessage", e.Message)
	}
	return event
}

// commit writes a changed set with its events and more, and keeps the count of the group's
// endpoints right.
func (s *Service) commit(ctx context.Context, before, after Set, events []audit.Event, more ...store.Op) error {
	record, err := after.put()
	if err != nil {
		return err
	}
	ops := append([]store.Op{record}, more...)
	if n := len(after.Endpoints) - len(before.Endpoints); n != 0 {
		count, err := s.Projects.Occupy(ctx, after.GroupID, project.PrivateEndpoints, n)
		if err != nil {
			return err
		}
		ops = append(ops, count)
	}
	told, err := s.Journal.PutAll(events...)
	if err != nil {
		return err
	}
	return s.Table.Write(ctx, append(ops, told...)...)
}

// progress writes what a step of the workflow changed, and tells of it.
func (s *Service) progress(ctx context.Context, before, after Set) error {
	var events []audit.Event
	for _, e := range after.Endpoints {
		old, existed := before.Find(e.ID)
		t, tells := statusEvents[e.Status]
		switch {
		case !existed:
			events = append(events, s.event(EventCreated, after, e, audit.System()))
		case old.Status != e.Status && tells:
			events = append(events, s.event(t, after, e, audit.System()))
		}
	}
	for _, e := range before.Endpoints {
		if _, stays := after.Find(e.ID); !stays {
			by := audit.System()
			if e.DeletedBy != nil {
				by = *e.DeletedBy
			}
			events = append(events, s.event(EventDeleted, after, e, by))
		}
	}
	return s.commit(ctx, before, after, events)
}

// input is what the workflow is told of an endpoint.
type input struct {
	GroupID    string         `json:"groupId"`
	Provider   atlas.Provider `json:"provider"`
	EndpointID string         `json:"endpointId"`
}

func execution(groupID string, p atlas.Provider, e Endpoint) workflow.Execution {
	return workflow.Execution{
		Kind: workflow.PrivateEndpoint, GroupID: groupID, Subject: e.ID, Version: []int64{e.Attempt},
		Input: input{GroupID: groupID, Provider: p, EndpointID: e.ID},
	}
}

// begin starts the workflow for what is already stored. What fails here is made up for by Watch.
func (s *Service) begin(ctx context.Context, groupID string, p atlas.Provider, e Endpoint) {
	if s.Start == nil {
		return
	}
	if err := s.Start.Start(context.WithoutCancel(ctx), execution(groupID, p, e)); err != nil {
		s.Log.ErrorContext(ctx, "work on private endpoint not begun", slog.String("groupId", groupID),
			slog.String("endpointId", e.ID), slog.String("error", err.Error()))
	}
}

// attempts bounds how often a change is made again because something else was written to the
// same records at the same time. Verdicts on the group's key are, now and then.
const attempts = 5
