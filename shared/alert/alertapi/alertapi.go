// Package alertapi offers alerts and their configurations over HTTP (CONTRACT 5): paths, wire
// shapes and nothing else.
package alertapi

import (
	"context"
	"net/http"

	"latchkey/shared/alert"
	"latchkey/shared/atlas"
	"latchkey/shared/httpapi"
	"latchkey/shared/identity"
)

// API serves the operations of this package.
type API struct{ Alerts *alert.Service }

const (
	base    = "/api/atlas/v2"
	alerts  = base + "/groups/{groupId}/alerts"
	configs = base + "/groups/{groupId}/alertConfigs"
)

// Routes lists the operations.
func (a API) Routes() []httpapi.Route {
	route := func(operation, method, path string, rule identity.Rule, limit httpapi.EndpointSet, h httpapi.Handler) httpapi.Route {
		return httpapi.Route{
			Operation: operation, Method: method, Path: path, Versions: []atlas.Version{atlas.V20230101},
			Rule: rule, Limit: limit, Handle: h,
		}
	}
	read, write := identity.ReadGroup, identity.OwnGroup
	acknowledge := route("acknowledgeGroupAlert", http.MethodPatch, alerts+"/{alertId}", write, httpapi.LimitAlerts, httpapi.JSON(a.acknowledge))
	acknowledge.Versions = []atlas.Version{atlas.V20230101, atlas.V20240530}
	acknowledge.Deprecated = map[atlas.Version]httpapi.Deprecation{
		atlas.V20230101: {Deprecation: "Thu, 30 May 2024 00:00:00 GMT", Sunset: "Thu, 1 Jul 2027 00:00:00 GMT"},
	}
	config := configs + "/{alertConfigId}"
	return []httpapi.Route{
		route("listGroupAlerts", http.MethodGet, alerts, read, httpapi.LimitAlerts, a.listAlerts),
		route("getGroupAlert", http.MethodGet, alerts+"/{alertId}", read, httpapi.LimitAlerts, a.getAlert),
		acknowledge,
		route("getGroupAlertAlertConfigs", http.MethodGet, alerts+"/{alertId}/alertConfigs", read, httpapi.LimitAlertConfigs, a.configsOfAlert),
		route("listGroupAlertConfigs", http.MethodGet, configs, read, httpapi.LimitAlertConfigs, a.listConfigs),
		route("createGroupAlertConfig", http.MethodPost, configs, write, httpapi.LimitAlertConfigs, httpapi.JSON(a.createConfig)),
		route("getGroupAlertConfig", http.MethodGet, config, read, httpapi.LimitAlertConfigs, a.getConfig),
		route("updateGroupAlertConfig", http.MethodPut, config, write, httpapi.LimitAlertConfigs, httpapi.JSON(a.replaceConfig)),
		route("toggleGroupAlertConfig", http.MethodPatch, config, write, httpapi.LimitAlertConfigs, httpapi.JSON(a.toggleConfig)),
		route("deleteGroupAlertConfig", http.MethodDelete, config, write, httpapi.LimitAlertConfigs, a.deleteConfig),
		route("getGroupAlertConfigAlerts", http.MethodGet, config+"/alerts", read, httpapi.LimitAlerts, a.alertsOfConfig),
		route("listAlertConfigMatcherFieldNames", http.MethodGet, base+"/alertConfigs/matchers/fieldNames", identity.AnyCaller, httpapi.LimitOrgs, listFields),
	}
}

// listFields answers with a bare array: clients expect no envelope here.
func listFields(context.Context, *httpapi.Request) (httpapi.Response, error) {
	return httpapi.OK(alert.MatcherFields()), nil
}

func (a API) listConfigs(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	return listOf(r, viewConfig)(a.Alerts.Configs(ctx, r.GroupID()))
}

func (a API) configsOfAlert(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	return listOf(r, viewConfig)(a.Alerts.ConfigsOf(ctx, r.GroupID(), r.Param("alertId")))
}

func (a API) getConfig(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	return showOf(r, viewConfig)(a.Alerts.Config(ctx, r.GroupID(), r.Param("alertConfigId")))
}

func (a API) createConfig(ctx context.Context, r *httpapi.Request, b configBody) (httpapi.Response, error) {
	d, err := b.draft()
	if err != nil {
		return httpapi.Response{}, err
	}
	c, err := a.Alerts.Create(ctx, r.Caller, r.GroupID(), d)
	if err != nil {
		return httpapi.Response{}, err
	}
	return httpapi.Created(viewConfig(r, c), r.Link(pathOfConfig(c.GroupID, c.ID))), nil
}

func (a API) replaceConfig(ctx context.Context, r *httpapi.Request, b configBody) (httpapi.Response, error) {
	d, err := b.draft()
	if err != nil {
		return httpapi.Response{}, err
	}
	return showOf(r, viewConfig)(a.Alerts.Replace(ctx, r.Caller, r.GroupID(), r.Param("alertConfigId"), d))
}

func (a API) toggleConfig(ctx context.Context, r *httpapi.Request, b toggleBody) (httpapi.Response, error) {
	if b.Enabled == nil {
		return httpapi.Response{}, atlas.Fail(atlas.MissingAttribute, "enabled")
	}
	return showOf(r, viewConfig)(a.Alerts.Toggle(ctx, r.Caller, r.GroupID(), r.Param("alertConfigId"), *b.Enabled))
}

func (a API) deleteConfig(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	return httpapi.NoContent(), a.Alerts.Delete(ctx, r.Caller, r.GroupID(), r.Param("alertConfigId"))
}

func (a API) listAlerts(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	return listOf(r, viewAlert)(a.Alerts.Alerts(ctx, r.GroupID(), alert.Status(r.Query.Get("status"))))
}

func (a API) alertsOfConfig(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	return listOf(r, viewAlert)(a.Alerts.AlertsOf(ctx, r.GroupID(), r.Param("alertConfigId")))
}

func (a API) getAlert(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	return showOf(r, viewAlert)(a.Alerts.Alert(ctx, r.GroupID(), r.Param("alertId")))
}

// acknowledge reads two kinds of bodies: an alert at the older version, in which no date undoes
// an acknowledgement, and an acknowledgement at the newer one, which says so.
func (a API) acknowledge(ctx context.Context, r *httpapi.Request, b acknowledgeBody) (httpapi.Response, error) {
	id := r.Param("alertId")
	undo := b.AcknowledgedUntil == nil && r.Version < atlas.V20240530
	if r.Version >= atlas.V20240530 && b.UnacknowledgeAlert != nil && *b.UnacknowledgeAlert {
		undo = true // whatever date is sent with it
	}
	if undo {
		return showOf(r, viewAlert)(a.Alerts.Unacknowledge(ctx, r.Caller, r.GroupID(), id))
	}
	if b.AcknowledgedUntil == nil {
		return httpapi.Response{}, atlas.Fail(atlas.MissingAttribute, "acknowledgedUntil")
	}
	until, err := atlas.ParseTime(*b.AcknowledgedUntil)
	if err != nil {
		return httpapi.Response{}, atlas.Fail(atlas.InvalidAttribute, "acknowledgedUntil").Because(err)
	}
	comment := ""
	if b.AcknowledgementComment != nil {
		comment = *b.AcknowledgementComment
	}
	return showOf(r, viewAlert)(a.Alerts.Acknowledge(ctx, r.Caller, r.GroupID(), id, until, comment))
}

// showOf answers with one object.
func showOf[T, V any](r *httpapi.Request, view func(*httpapi.Request, T) V) func(T, error) (httpapi.Response, error) {
	return func(t T, err error) (httpapi.Response, error) {
		if err != nil {
			return httpapi.Response{}, err
		}
		return httpapi.OK(view(r, t)), nil
	}
}

// listOf answers with the page of a list that the client asked for.
func listOf[T, V any](r *httpapi.Request, view func(*httpapi.Request, T) V) func([]T, error) (httpapi.Response, error) {
	return func(all []T, err error) (httpapi.Response, error) {
		if err != nil {
			return httpapi.Response{}, err
		}
		views := make([]V, len(all))
		for i, t := range all {
			views[i] = view(r, t)
		}
		return httpapi.List(r, views)
	}
}
