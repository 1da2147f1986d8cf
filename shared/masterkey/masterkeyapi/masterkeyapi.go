// Package masterkeyapi tells over HTTP how old the master keys of a project's nodes are, and how their
// rotation stands. It is Latchkey's own: the documents do not know it.
package masterkeyapi

import (
	"context"
	"net/http"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/httpapi"
	"latchkey/shared/identity"
	"latchkey/shared/maintenance"
	"latchkey/shared/masterkey"
)

// Reports reads reports; masterkey.Service is the one in use.
type Reports interface {
	Report(ctx context.Context, groupID string) (masterkey.Report, error)
}

// API serves the operations of this package. All fields are required.
type API struct {
	Reports Reports
	Now     func() time.Time
}

// Routes lists the operations.
func (a API) Routes() []httpapi.Route {
	return []httpapi.Route{{
		Operation: "getGroupMasterKeys", Method: http.MethodGet, Path: "/api/latchkey/v1/groups/{groupId}/masterKeys",
		Rule: identity.ReadGroup, Limit: httpapi.LimitMaintenance, Handle: a.get,
	}}
}

// view is a report on the wire. A member without a value yet is null.
type view struct {
	Rotation    rotationView     `json:"rotation"`
	Maintenance *maintenanceView `json:"maintenance"`
	Keys        []keyView        `json:"masterKeys"`
}

// rotationView is how the last rotation stands.
type rotationView struct {
	State   masterkey.State `json:"state"`
	BeganAt *string         `json:"beganAt"`
	EndedAt *string         `json:"endedAt"`
	Total   int             `json:"masterKeys"` // that there were to rotate
	Left    int             `json:"left"`
}

// maintenanceView is the maintenance in which the next rotation is planned, or which is going on.
type maintenanceView struct {
	Start     string  `json:"start"`
	Announced bool    `json:"announced"`
	BeganAt   *string `json:"beganAt"`
}

type keyView struct {
	ClusterID   string             `json:"clusterId"`
	ClusterName string             `json:"clusterName"`
	NodeID      string             `json:"nodeId"`
	MadeAt      string             `json:"madeAt"`
	State       masterkey.Standing `json:"state"`
	Overdue     bool               `json:"overdue"`
}

func (a API) get(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	report, err := a.Reports.Report(ctx, r.GroupID())
	if err != nil {
		return httpapi.Response{}, err
	}
	last := report.Rotation
	v := view{
		Rotation: rotationView{
			State: last.State, BeganAt: optional(last.Began), EndedAt: optional(last.Ended), Total: last.Total, Left: last.Left,
		},
		Maintenance: viewPlan(report.Plan), Keys: []keyView{},
	}
	for _, k := range report.Keys {
		v.Keys = append(v.Keys, keyView{
			ClusterID: k.ClusterID, ClusterName: k.ClusterName, NodeID: k.NodeID, MadeAt: atlas.Time(k.Made),
			State: k.Standing, Overdue: k.IsOverdue(a.Now()),
		})
	}
	return httpapi.OK(v), nil
}

func viewPlan(p *maintenance.Plan) *maintenanceView {
	if p == nil {
		return nil
	}
	return &maintenanceView{Start: atlas.Time(p.Start), Announced: p.Announced, BeganAt: optional(p.Begun)}
}

// optional is a time as the API writes it, null if it has not come.
func optional(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	s := atlas.Time(t)
	return &s
}
