package projectapi

import (
	"context"
	"encoding/json"
	"math"
	"strconv"

	"latchkey/shared/atlas"
	"latchkey/shared/httpapi"
	"latchkey/shared/project"
)

// listNothing answers for what groups don't have here but clients list: teams and access lists.
func (a API) listNothing(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	if _, err := a.Projects.Open(ctx, r.GroupID()); err != nil {
		return httpapi.Response{}, err
	}
	return httpapi.List(r, []struct{}{})
}

// ClusterIPs are the addresses of one cluster on the wire (CONTRACT 6.5).
type ClusterIPs struct {
	ClusterName    string   `json:"clusterName"`
	FutureInbound  []string `json:"futureInbound"`
	FutureOutbound []string `json:"futureOutbound"`
	Inbound        []string `json:"inbound"`
	Outbound       []string `json:"outbound"`
}

type ipAddressesView struct {
	GroupID  string `json:"groupId"`
	Services struct {
		Clusters []ClusterIPs `json:"clusters"`
	} `json:"services"`
}

func (a API) getIPAddresses(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	g, err := a.Projects.Open(ctx, r.GroupID())
	if err != nil {
		return httpapi.Response{}, err
	}
	view := ipAddressesView{GroupID: g.ID}
	if a.Addresses != nil {
		if view.Services.Clusters, err = a.Addresses.ClusterAddresses(ctx, g.ID); err != nil {
			return httpapi.Response{}, err
		}
	}
	if view.Services.Clusters == nil {
		view.Services.Clusters = []ClusterIPs{}
	}
	return httpapi.OK(view), nil
}

func (a API) getSettings(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	p, err := a.Projects.Preferences(ctx, r.GroupID())
	if err != nil {
		return httpapi.Response{}, err
	}
	return httpapi.OK(p.Settings), nil
}

// updateSettings decodes the body over the present settings, so that what is absent or null
// stays as it is.
func (a API) updateSettings(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	p, err := a.Projects.Tune(ctx, r.Caller, r.GroupID(), func(p *project.Preferences) error {
		return httpapi.Decode(r.Body, &p.Settings)
	})
	if err != nil {
		return httpapi.Response{}, err
	}
	return httpapi.OK(p.Settings), nil
}

func (a API) getManagedSlowMs(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	p, err := a.Projects.Preferences(ctx, r.GroupID())
	if err != nil {
		return httpapi.Response{}, err
	}
	return httpapi.OK(p.ManagedSlowMs), nil
}

func (a API) setManagedSlowMs(enabled bool) httpapi.Handler {
	return func(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
		_, err := a.Projects.Tune(ctx, r.Caller, r.GroupID(), func(p *project.Preferences) error {
			p.ManagedSlowMs = enabled
			return nil
		})
		if err != nil {
			return httpapi.Response{}, err
		}
		return httpapi.NoContent(), nil
	}
}

type limitView struct {
	CurrentUsage int64  `json:"currentUsage"`
	DefaultLimit *int64 `json:"defaultLimit,omitempty"`
	MaximumLimit *int64 `json:"maximumLimit,omitempty"`
	Name         string `json:"name"`
	Value        int64  `json:"value"`
}

func viewLimit(l project.Limit) limitView {
	return limitView{
		CurrentUsage: l.CurrentUsage, DefaultLimit: l.Default, MaximumLimit: l.Maximum, Name: l.Name, Value: l.Value,
	}
}

// listLimits answers with a bare array: clients expect no envelope here.
func (a API) listLimits(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	limits, err := a.Projects.Limits(ctx, r.GroupID())
	if err != nil {
		return httpapi.Response{}, err
	}
	views := make([]limitView, len(limits))
	for i, l := range limits {
		views[i] = viewLimit(l)
	}
	return httpapi.OK(views), nil
}

func (a API) getLimit(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	return showLimit(a.Projects.Limit(ctx, r.GroupID(), r.Param("limitName")))
}

// limitBody reads the value as a number of any notation: 7.0 is 7 (CONTRACT 1.7).
type limitBody struct {
	Value *json.Number `json:"value"`
}

func (a API) setLimit(ctx context.Context, r *httpapi.Request, b limitBody) (httpapi.Response, error) {
	if b.Value == nil {
		return httpapi.Response{}, atlas.Fail(atlas.MissingAttribute, "value")
	}
	value, err := wholeNumber(*b.Value)
	if err != nil {
		return httpapi.Response{}, atlas.Fail(atlas.InvalidJSONAttribute, "value").Because(err)
	}
	return showLimit(a.Projects.SetLimit(ctx, r.Caller, r.GroupID(), r.Param("limitName"), value))
}

func wholeNumber(n json.Number) (int64, error) {
	if v, err := n.Int64(); err == nil {
		return v, nil
	}
	f, err := n.Float64()
	if err != nil {
		return 0, err
	}
	// Beyond 2^53 floats skip integers, so what was meant can't be told.
	if math.Abs(f) >= 1<<53 || f != math.Trunc(f) {
		return 0, strconv.ErrRange
	}
	return int64(f), nil
}

func showLimit(l project.Limit, err error) (httpapi.Response, error) {
	if err != nil {
		return httpapi.Response{}, err
	}
	return httpapi.OK(viewLimit(l)), nil
}

func (a API) deleteLimit(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	if err := a.Projects.ResetLimit(ctx, r.Caller, r.GroupID(), r.Param("limitName")); err != nil {
		return httpapi.Response{}, err
	}
	return httpapi.NoContent(), nil
}
