package clusterapi

import (
	"context"
	"net/http"

	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
	"latchkey/shared/httpapi"
)

// list reads no more clusters than the page shows. Clusters that have ended but whose backups
// are kept are never among them: includeDeletedWithRetainedBackups is accepted for clients that
// send it.
func (a API) list(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	if _, err := r.BoolQuery("includeDeletedWithRetainedBackups", false); err != nil {
		return httpapi.Response{}, err
	}
	w, err := r.Window()
	if err != nil {
		return httpapi.Response{}, err
	}
	names, err := a.Clusters.Names(ctx, r.GroupID())
	if err != nil {
		return httpapi.Response{}, err
	}
	shown, more := httpapi.Cut(w, names)
	page, err := a.Clusters.List(ctx, r.GroupID(), shown)
	if err != nil {
		return httpapi.Response{}, err
	}
	v, err := a.viewer(ctx, r)
	if err != nil {
		return httpapi.Response{}, err
	}
	views := make([]any, len(page))
	for i, d := range page {
		if views[i], err = v.view(d); err != nil {
			return httpapi.Response{}, err
		}
	}
	return httpapi.PageOf(r, w, views, len(names), more), nil
}

func (a API) get(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	d, err := a.find(ctx, r)
	if err != nil {
		return httpapi.Response{}, err
	}
	v, err := a.viewer(ctx, r)
	if err != nil {
		return httpapi.Response{}, err
	}
	view, err := v.view(d)
	return httpapi.OK(view), err
}

// find reads the cluster that the path names.
func (a API) find(ctx context.Context, r *httpapi.Request) (cluster.Deployment, error) {
	return a.Clusters.Get(ctx, r.GroupID(), r.Param("clusterName"))
}

// request decodes a body as the request's version means it. present is the cluster that it
// changes, nil for a new one.
func request(r *httpapi.Request, present *cluster.Deployment) (atlas.ClusterRequest, error) {
	if isLegacy(r) {
		var body atlas.LegacyClusterRequest
		if err := httpapi.Decode(r.Body, &body); err != nil {
			return atlas.ClusterRequest{}, err
		}
		return modernized(body, present)
	}
	var body atlas.ClusterRequest
	err := httpapi.Decode(r.Body, &body)
	if r.Version == atlas.V20230201 {
		return body.Of20230201(), err
	}
	return body.Of20240805(), err
}

func (a API) create(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	body, err := request(r, nil)
	if err != nil {
		return httpapi.Response{}, err
	}
	v, err := a.viewer(ctx, r)
	if err != nil {
		return httpapi.Response{}, err
	}
	d, err := a.Clusters.Create(ctx, r.Caller, r.GroupID(), body)
	if err != nil {
		return httpapi.Response{}, err
	}
	view, err := v.view(d)
	return httpapi.Created(view, r.Link(path(d))), err
}

func (a API) update(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	var present *cluster.Deployment
	if isLegacy(r) {
		d, err := a.find(ctx, r)
		if err != nil {
			return httpapi.Response{}, err
		}
		present = &d
	}
	body, err := request(r, present)
	if err != nil {
		return httpapi.Response{}, err
	}
	v, err := a.viewer(ctx, r)
	if err != nil {
		return httpapi.Response{}, err
	}
	d, err := a.Clusters.Update(ctx, r.Caller, r.GroupID(), r.Param("clusterName"), body)
	if err != nil {
		return httpapi.Response{}, err
	}
	view, err := v.view(d)
	return httpapi.OK(view), err
}

func (a API) delete(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	var deletion cluster.Deletion
	if r.Query.Has("retainBackups") {
		retain, err := r.BoolQuery("retainBackups", false)
		if err != nil {
			return httpapi.Response{}, err
		}
		deletion.RetainBackups = &retain
	}
	if err := a.Clusters.Delete(ctx, r.Caller, r.GroupID(), r.Param("clusterName"), deletion); err != nil {
		return httpapi.Response{}, err
	}
	return httpapi.Response{Status: http.StatusAccepted, Body: struct{}{}}, nil
}

// getStatus tells whether everything that was asked for is in effect.
func (a API) getStatus(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	d, err := a.find(ctx, r)
	if err != nil {
		return httpapi.Response{}, err
	}
	status := "APPLIED"
	if d.Plan != nil || d.Queued() {
		status = "PENDING"
	}
	return httpapi.OK(map[string]any{"changeStatus": status, "links": r.Self(path(d) + "/status")}), nil
}

// getScalingMode tells clients which versions can show the cluster.
func (a API) getScalingMode(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	d, err := a.find(ctx, r)
	if err != nil {
		return httpapi.Response{}, err
	}
	mode := "CLUSTER_WIDE_SCALING"
	if !d.Spec.Symmetric() {
		mode = "INDEPENDENT_SHARD_SCALING"
	}
	return httpapi.OK(map[string]string{"autoScalingMode": mode}), nil
}

// listFlex and getFlex answer clients that look whether a cluster is a flex cluster: none is.
func (a API) listFlex(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	if _, err := a.Projects.Open(ctx, r.GroupID()); err != nil {
		return httpapi.Response{}, err
	}
	return httpapi.List(r, []struct{}{})
}

func (a API) getFlex(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	name := r.Param("name")
	if _, err := a.Clusters.Get(ctx, r.GroupID(), name); err != nil {
		return httpapi.Response{}, err
	}
	return httpapi.Response{}, atlas.Fail(atlas.CannotUseNonFlexInFlexAPI, name)
}
