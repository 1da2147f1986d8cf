// Package snapshotapi offers snapshots, their schedule and restores over HTTP: paths, the API's
// shapes, and nothing else (CONTRACT 6.6).
package snapshotapi

import (
	"context"
	"net/http"

	"latchkey/shared/atlas"
	"latchkey/shared/httpapi"
	"latchkey/shared/identity"
	"latchkey/shared/snapshot"
)

// API serves the operations of this package.
type API struct{ Snapshots *snapshot.Service }

const (
	backup    = "/api/atlas/v2/groups/{groupId}/clusters/{clusterName}/backup"
	snapshots = backup + "/snapshots"
	sharded   = snapshots + "/shardedCluster/{snapshotId}"
	one       = snapshots + "/{snapshotId}"
	jobs      = backup + "/restoreJobs"
	job       = jobs + "/{restoreJobId}"
	schedule  = backup + "/schedule"
)

// Who may do what (CONTRACT, Appendix A). The narrower roles' codes are not established, so that
// Backup Managers stand in for backup creators and recovery operators.
var (
	read   = identity.ReadGroup
	manage = identity.Rule{Scope: identity.InGroup, Roles: []identity.Role{identity.GroupOwner, identity.GroupBackupManager}}
)

var (
	first    = []atlas.Version{atlas.V20230101}
	versions = []atlas.Version{atlas.V20230101, atlas.V20240805}
	replaced = map[atlas.Version]httpapi.Deprecation{
		atlas.V20230101: {Deprecation: "Mon, 5 Aug 2024 00:00:00 GMT", Sunset: "Thu, 1 Jul 2027 00:00:00 GMT"},
	}
)

func route(operation, method, path string, rule identity.Rule, h httpapi.Handler) httpapi.Route {
	return httpapi.Route{Operation: operation, Method: method, Path: path, Versions: first, Rule: rule, Limit: httpapi.LimitBackups, Handle: h}
}

// Routes lists the operations that need the table alone.
func (a API) Routes() []httpapi.Route {
	versioned := func(operation, method string, rule identity.Rule, h httpapi.Handler) httpapi.Route {
		r := route(operation, method, schedule, rule, h)
		r.Versions, r.Deprecated = versions, replaced
		return r
	}
	return []httpapi.Route{
		route("listGroupClusterBackupSnapshots", http.MethodGet, snapshots, read, a.list),
		route("takeGroupClusterBackupSnapshots", http.MethodPost, snapshots, manage, httpapi.JSON(a.take)),
		route("listGroupClusterBackupSnapshotShardedClusters", http.MethodGet, snapshots+"/shardedClusters", read, a.listSharded),
		route("getGroupClusterBackupSnapshotShardedCluster", http.MethodGet, sharded, read, a.getSharded),
		route("deleteGroupClusterBackupSnapshotShardedCluster", http.MethodDelete, sharded, manage, a.delete),
		route("getGroupClusterBackupSnapshot", http.MethodGet, one, read, a.get),
		route("updateGroupClusterBackupSnapshot", http.MethodPatch, one, manage, httpapi.JSON(a.update)),
		route("deleteGroupClusterBackupSnapshot", http.MethodDelete, one, manage, a.delete),
		versioned("getGroupClusterBackupSchedule", http.MethodGet, read, a.getSchedule),
		versioned("updateGroupClusterBackupSchedule", http.MethodPatch, manage, httpapi.JSON(a.updateSchedule)),
		versioned("deleteGroupClusterBackupSchedule", http.MethodDelete, manage, a.deleteSchedule),
	}
}

// KeyRoutes lists the operations on restores, one of which uses tenants' keys too: whoever restores
// an encrypted snapshot wants to know at once whether the key of then still opens it.
func (a API) KeyRoutes() []httpapi.Route {
	return []httpapi.Route{
		route("listGroupClusterBackupRestoreJobs", http.MethodGet, jobs, manage, a.listJobs),
		route("getGroupClusterBackupRestoreJob", http.MethodGet, job, manage, a.getJob),
		route("cancelGroupClusterBackupRestoreJob", http.MethodDelete, job, snapshot.RestoreRule, a.cancel),
		route("createGroupClusterBackupRestoreJob", http.MethodPost, jobs, snapshot.RestoreRule, httpapi.JSON(a.restore)),
	}
}

func cluster(r *httpapi.Request) (groupID, name string) { return r.GroupID(), r.Param("clusterName") }

// id is an id of the path, which must look like one.
func id(r *httpapi.Request, parameter string) (string, error) {
	value := r.Param(parameter)
	if !atlas.ValidID(value) {
		return "", atlas.Fail(atlas.InvalidPathParameter, parameter)
	}
	return value, nil
}

func (a API) list(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	group, name := cluster(r)
	all, err := a.Snapshots.List(ctx, group, name)
	if err != nil {
		return httpapi.Response{}, err
	}
	views := make([]view, len(all))
	for i, s := range all {
		views[i] = show(r, s)
	}
	return httpapi.List(r, views)
}

// listSharded lists the snapshots that have parts.
func (a API) listSharded(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	group, name := cluster(r)
	all, err := a.Snapshots.List(ctx, group, name)
	if err != nil {
		return httpapi.Response{}, err
	}
	views := []shardedView{}
	for _, s := range all {
		if s.Sharded {
			views = append(views, showSharded(r, s))
		}
	}
	return httpapi.List(r, views)
}

func (a API) find(ctx context.Context, r *httpapi.Request) (snapshot.Snapshot, error) {
	group, name := cluster(r)
	snapshotID, err := id(r, "snapshotId")
	if err != nil {
		return snapshot.Snapshot{}, err
	}
	return a.Snapshots.Get(ctx, group, name, snapshotID)
}

func (a API) get(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	s, err := a.find(ctx, r)
	return httpapi.OK(show(r, s)), err
}

func (a API) getSharded(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	s, err := a.find(ctx, r)
	if err == nil && !s.Sharded {
		err = atlas.Fail(atlas.SnapshotNotFound, s.ID, s.ClusterName).Hinting("It is of a replica set.")
	}
	return httpapi.OK(showSharded(r, s)), err
}

func (a API) take(ctx context.Context, r *httpapi.Request, body takeBody) (httpapi.Response, error) {
	if body.RetentionInDays == nil {
		return httpapi.Response{}, atlas.Fail(atlas.MissingAttribute, "retentionInDays")
	}
	group, name := cluster(r)
	s, err := a.Snapshots.Take(ctx, r.Caller, group, name, snapshot.Request{Description: body.Description, RetentionDays: *body.RetentionInDays})
	return httpapi.OK(show(r, s)), err
}

func (a API) update(ctx context.Context, r *httpapi.Request, body retentionBody) (httpapi.Response, error) {
	snapshotID, err := id(r, "snapshotId")
	if err != nil {
		return httpapi.Response{}, err
	}
	switch {
	case body.RetentionUnit == "":
		return httpapi.Response{}, atlas.Fail(atlas.MissingAttribute, "retentionUnit")
	case body.RetentionValue == nil:
		return httpapi.Response{}, atlas.Fail(atlas.MissingAttribute, "retentionValue")
	}
	group, name := cluster(r)
	s, err := a.Snapshots.ChangeRetention(ctx, r.Caller, group, name, snapshotID, retention(body.RetentionUnit, *body.RetentionValue))
	return httpapi.OK(show(r, s)), err
}

func (a API) delete(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	s, err := a.find(ctx, r)
	if err != nil {
		return httpapi.Response{}, err
	}
	group, name := cluster(r)
	return httpapi.NoContent(), a.Snapshots.Delete(ctx, r.Caller, group, name, s.ID)
}

func (a API) listJobs(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	group, name := cluster(r)
	all, err := a.Snapshots.Jobs(ctx, group, name)
	if err != nil {
		return httpapi.Response{}, err
	}
	views := make([]jobView, len(all))
	for i, j := range all {
		views[i] = showJob(r, j)
	}
	return httpapi.List(r, views)
}

func (a API) getJob(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	jobID, err := id(r, "restoreJobId")
	if err != nil {
		return httpapi.Response{}, err
	}
	group, name := cluster(r)
	j, err := a.Snapshots.Job(ctx, group, name, jobID)
	return httpapi.OK(showJob(r, j)), err
}

func (a API) cancel(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	jobID, err := id(r, "restoreJobId")
	if err != nil {
		return httpapi.Response{}, err
	}
	group, name := cluster(r)
	return httpapi.NoContent(), a.Snapshots.Cancel(ctx, r.Caller, group, name, jobID)
}

func (a API) restore(ctx context.Context, r *httpapi.Request, body restoreBody) (httpapi.Response, error) {
	if body.SnapshotID != "" && !atlas.ValidID(body.SnapshotID) {
		return httpapi.Response{}, atlas.Fail(atlas.InvalidAttribute, "snapshotId")
	}
	group, name := cluster(r)
	j, err := a.Snapshots.Restore(ctx, r.Caller, group, name, snapshot.RestoreRequest{
		Delivery: snapshot.Delivery(body.DeliveryType), SnapshotID: body.SnapshotID, TargetGroupID: body.TargetGroupID, TargetClusterName: body.TargetClusterName,
	})
	return httpapi.OK(showJob(r, j)), err
}

func (a API) getSchedule(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	group, name := cluster(r)
	p, err := a.Snapshots.Schedule(ctx, group, name)
	return httpapi.OK(showSchedule(r, p)), err
}

func (a API) updateSchedule(ctx context.Context, r *httpapi.Request, body scheduleBody) (httpapi.Response, error) {
	if offered := body.unoffered(); offered != "" {
		return httpapi.Response{}, atlas.Fail(atlas.ValidationError).Hinting("%s is not offered here.", offered)
	}
	group, name := cluster(r)
	p, err := a.Snapshots.UpdateSchedule(ctx, r.Caller, group, name, body.update())
	return httpapi.OK(showSchedule(r, p)), err
}

func (a API) deleteSchedule(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	group, name := cluster(r)
	p, err := a.Snapshots.DeleteSchedule(ctx, r.Caller, group, name)
	return httpapi.OK(showSchedule(r, p)), err
}

// unoffered names the first thing that a client asks for and that is not offered, "" if nothing.
func (b scheduleBody) unoffered() string {
	asked := []struct {
		name string
		yes  bool
	}{
		{"autoExportEnabled", b.AutoExportEnabled},
		{"copySettings", len(b.CopySettings) > 0},
		{"extraRetentionSettings", len(b.ExtraRetentionSettings) > 0},
		{"deleteSnapshots", b.DeleteSnapshots},
	}
	for _, a := range asked {
		if a.yes {
			return a.name
		}
	}
	return ""
}
