// Package auditapi offers the activity feeds and the list of event types over HTTP.
package auditapi

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/httpapi"
	"latchkey/shared/identity"
	"latchkey/shared/store/keys"
)

// API serves the operations of this package.
type API struct {
	Journal audit.Journal
	Groups  identity.GroupFinder
}

// Routes lists the operations.
func (a API) Routes() []httpapi.Route {
	route := func(operation, path string, rule identity.Rule, limit httpapi.EndpointSet, h httpapi.Handler) httpapi.Route {
		return httpapi.Route{
			Operation: operation, Method: http.MethodGet, Path: "/api/atlas/v2" + path,
			Versions: []atlas.Version{atlas.V20230101}, Rule: rule, Limit: limit, Handle: h,
		}
	}
	const group, org = "/groups/{groupId}/events", "/orgs/{orgId}/events"
	return []httpapi.Route{
		route("listGroupEvents", group, identity.ReadGroup, httpapi.LimitEvents, a.list),
		route("getGroupEvent", group+"/{eventId}", identity.ReadGroup, httpapi.LimitEvents, a.get),
		route("listOrgEvents", org, identity.ReadOrg, httpapi.LimitOrg, a.list),
		route("getOrgEvent", org+"/{eventId}", identity.ReadOrg, httpapi.LimitOrg, a.get),
		route("listEventTypes", "/eventTypes", identity.AnyCaller, httpapi.LimitOrgs, listEventTypes),
	}
}

// scope is the feed that the path names. A closed group's feed is out of reach for its former
// members too; the organisation's feed tells of its end.
func (a API) scope(ctx context.Context, r *httpapi.Request) (string, error) {
	if r.GroupID() == "" {
		return keys.OrgScope(r.OrgID()), nil
	}
	_, closed, found, err := a.Groups.FindGroup(ctx, r.GroupID())
	if err != nil {
		return "", err
	}
	if closed || !found {
		return "", atlas.Fail(atlas.GroupNotFound, r.GroupID())
	}
	return keys.GroupScope(r.GroupID()), nil
}

func (a API) list(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	filter, err := readFilter(r)
	if err != nil {
		return httpapi.Response{}, err
	}
	raw, err := r.BoolQuery("includeRaw", false)
	if err != nil {
		return httpapi.Response{}, err
	}
	w, err := r.Window()
	if err != nil {
		return httpapi.Response{}, err
	}
	scope, err := a.scope(ctx, r)
	if err != nil {
		return httpapi.Response{}, err
	}
	events, total, more, err := a.read(ctx, scope, filter, w)
	if err != nil {
		return httpapi.Response{}, err
	}
	views := make([]view, len(events))
	for i, e := range events {
		views[i] = viewEvent(r, e, raw)
	}
	return httpapi.PageOf(r, w, views, total, more), nil
}

// read counts what matches only for clients that ask for the number: it takes the whole feed.
func (a API) read(ctx context.Context, scope string, f audit.Filter, w httpapi.Window) (events []audit.Event, total int, more bool, err error) {
	if !w.IncludeCount {
		events, more, err = a.Journal.Recent(ctx, scope, f, w.Offset(), w.Size)
		return events, 0, more, err
	}
	events, total, err = a.Journal.List(ctx, scope, f, w.Offset(), w.Size)
	return events, total, w.Offset()+len(events) < total, err
}

func (a API) get(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	raw, err := r.BoolQuery("includeRaw", false)
	if err != nil {
		return httpapi.Response{}, err
	}
	scope, err := a.scope(ctx, r)
	if err != nil {
		return httpapi.Response{}, err
	}
	id := r.Param("eventId")
	e, err := a.Journal.Find(ctx, scope, id)
	if errors.Is(err, audit.ErrNoEvent) {
		return httpapi.Response{}, atlas.Fail(atlas.EventNotFound, id)
	}
	if err != nil {
		return httpapi.Response{}, err
	}
	return httpapi.OK(viewEvent(r, e, raw)), nil
}

// readFilter reads the query parameters of a list of events (CONTRACT 7.7).
func readFilter(r *httpapi.Request) (audit.Filter, error) {
	var f audit.Filter
	var errs [4]error
	f.Types, errs[0] = readTypes(r, "eventType")
	f.Excluded, errs[1] = readTypes(r, "excludedEventType")
	f.From, errs[2] = readDate(r, "minDate")
	f.Until, errs[3] = readDate(r, "maxDate")
	f.Clusters = r.Query["clusterNames"]
	return f, errors.Join(errs[:]...)
}

// typePattern is what names of event types look like. Types that never occur here are accepted,
// since clients filter by the whole vocabulary of the real service.
var typePattern = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Z][A-Z0-9_]{0,99}$`) })

func readTypes(r *httpapi.Request, parameter string) ([]audit.Type, error) {
	var types []audit.Type
	for _, name := range r.Query[parameter] {
		if !typePattern().MatchString(name) {
			return nil, atlas.Fail(atlas.InvalidEnumValue, name)
		}
		types = append(types, audit.Type(name))
	}
	return types, nil
}

// dateLayouts are the forms of ISO 8601 that clients send. Without a zone it is UTC.
var dateLayouts = []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02T15:04Z07:00", "2006-01-02T15:04", time.DateOnly}

func readDate(r *httpapi.Request, parameter string) (time.Time, error) {
	// An unescaped "+02:00" arrives as " 02:00".
	s := strings.ReplaceAll(r.Query.Get(parameter), " ", "+")
	if s == "" {
		return time.Time{}, nil
	}
	if t, err := atlas.ParseTime(s, dateLayouts...); err == nil {
		return t, nil
	}
	return time.Time{}, atlas.Fail(atlas.InvalidQueryParameter, parameter).
		Hinting("It must be an ISO 8601 date and time such as 2026-01-02T03:04:05Z.")
}

// view is an event on the wire. Its members depend on the event.
type view map[string]any

// shown are the details that have a member of their own on the wire; the rest is raw only.
var shown = []string{
	"groupId", "alertId", "alertConfigId", "endpointId", "metricName", "providerEndpointId", "replicaSetName",
	"resourceId", "resourceType", "shardName", "targetPublicKey", "targetUsername", "whitelistEntry",
}

func viewEvent(r *httpapi.Request, e audit.Event, withRaw bool) view {
	v := view{
		"created": atlas.Time(e.Created), "eventTypeName": e.Type, "id": e.ID, "isGlobalAdmin": false,
		"links": r.Self(path(e) + "/" + e.ID), "orgId": e.OrgID,
	}
	for _, name := range shown {
		if value, has := e.Detail[name]; has {
			v[name] = value
		}
	}
	v.add("groupId", e.GroupID)
	v.add("clusterName", e.ClusterName)
	v.add("remoteAddress", e.Actor.RemoteAddress)
	switch e.Actor.Kind {
	case identity.KindAPIKey:
		v["apiKeyId"], v["publicKey"] = e.Actor.ID, e.Actor.Name
	case identity.KindServiceAccount:
		v["userId"], v["username"] = e.Actor.ID, e.Actor.Name
	case identity.KindSystem: // nobody outside
	}
	if withRaw {
		v["raw"] = rawEvent(e)
	}
	return v
}

// add sets a member that has a value.
func (v view) add(name, value string) {
	if value != "" {
		v[name] = value
	}
}

// rawEvent is all that is known of an event, by the abbreviations of the real service.
func rawEvent(e audit.Event) view {
	raw := view{}
	maps.Copy(raw, e.Detail)
	raw["_t"], raw["id"], raw["cre"], raw["description"], raw["orgId"] =
		e.Type, e.ID, atlas.Time(e.Created), describe(e.Type), e.OrgID
	raw.add("cid", e.GroupID)
	return raw
}

func path(e audit.Event) string {
	if e.GroupID != "" {
		return "/groups/" + e.GroupID + "/events"
	}
	return "/orgs/" + e.OrgID + "/events"
}

func describe(t audit.Type) string {
	i := slices.IndexFunc(EventTypes(), func(known EventType) bool { return known.Type == t })
	if i < 0 {
		return string(t)
	}
	return EventTypes()[i].Description
}
