// Package changeoverapi tells over HTTP how changes of customers' keys stand, and which keys must be
// kept. It is Latchkey's own: the documents know neither.
package changeoverapi

import (
	"context"
	"net/http"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/changeover"
	"latchkey/shared/encryption"
	"latchkey/shared/httpapi"
	"latchkey/shared/identity"
	"latchkey/shared/ledger"
	"latchkey/shared/verdict"
	"latchkey/shared/workflow"
)

// Reports reads reports; changeover.Service is the one in use.
type Reports interface {
	Report(ctx context.Context, groupID string) ([]changeover.Report, error)
}

// API serves the operations of this package.
type API struct{ Reports Reports }

// Routes lists the operations.
func (a API) Routes() []httpapi.Route {
	return []httpapi.Route{{
		Operation: "listGroupEncryptionAtRestKeys", Method: http.MethodGet,
		Path: "/api/latchkey/v1/groups/{groupId}/encryptionAtRest/keys",
		Rule: identity.ReadGroup, Limit: httpapi.LimitEncryption, Handle: a.list,
	}}
}

// reportView tells of one provider's keys.
type reportView struct {
	Provider   atlas.Provider  `json:"cloudProvider"`
	InUse      *inUseView      `json:"keyInUse"`
	LastChange *changeView     `json:"lastChange"`
	Former     []formerKeyView `json:"formerKeys"`
}

type keyView struct {
	Name    string `json:"key"`
	Version string `json:"version"`
}

type inUseView struct {
	keyView
	Since string `json:"since"`
	Nodes int    `json:"nodes"` // whose master keys it wraps
}

// changeView is how a change stands. A member without a value yet is null.
type changeView struct {
	Kind    workflow.Kind          `json:"kind"`
	State   encryption.ChangeState `json:"state"`
	BeganAt string                 `json:"beganAt"`
	EndedAt *string                `json:"endedAt"`
	Proved  int                    `json:"wrappedKeysProved"`
	Lost    int                    `json:"wrappedKeysLost"`
	Left    int                    `json:"nodesLeft"`
	// BlockedSince is when it began to wait for a key, and Reason why, or why it was taken back.
	BlockedSince *string         `json:"blockedSince"`
	Reason       *verdict.Reason `json:"reason"`
}

// formerKeyView is a key that must be kept until nothing needs it.
type formerKeyView struct {
	keyView
	Nodes     []string `json:"nodeIds"`
	Snapshots []string `json:"snapshotIds"`
	// SnapshotsUntil is when the last of the snapshots expires.
	SnapshotsUntil *string `json:"lastSnapshotExpiresAt"`
}

func (a API) list(ctx context.Context, req *httpapi.Request) (httpapi.Response, error) {
	reports, err := a.Reports.Report(ctx, req.GroupID())
	if err != nil {
		return httpapi.Response{}, err
	}
	views := make([]reportView, len(reports))
	for i, r := range reports {
		views[i] = view(r)
	}
	return httpapi.List(req, views)
}

func view(r changeover.Report) reportView {
	v := reportView{Provider: r.Provider, LastChange: viewChange(r.Change), Former: []formerKeyView{}}
	if r.InUse != nil {
		v.InUse = &inUseView{keyView: viewKey(r.InUse.CMK), Since: atlas.Time(r.InUse.Since), Nodes: r.InUse.Nodes}
	}
	for _, f := range r.Former {
		v.Former = append(v.Former, formerKeyView{
			keyView: viewKey(f.CMK), Nodes: append([]string{}, f.Nodes...), Snapshots: append([]string{}, f.Snapshots...),
			SnapshotsUntil: optional(f.LastExpiry),
		})
	}
	return v
}

func viewKey(cmk ledger.CMK) keyView { return keyView{Name: cmk.Name, Version: cmk.Version} }

func viewChange(c encryption.Changeover) *changeView {
	if c.Kind == "" {
		return nil
	}
	v := &changeView{
		Kind: c.Kind, State: c.State, BeganAt: atlas.Time(c.Began), EndedAt: optional(c.Ended),
		Proved: c.Proved, Lost: c.Lost, Left: c.NodesLeft, BlockedSince: optional(c.Blocked),
	}
	for _, reason := range []verdict.Reason{c.Reason, c.Blocker} {
		if v.Reason == nil && reason != "" {
			v.Reason = &reason
		}
	}
	return v
}

// optional is a time as the API writes it, null if it has not come.
func optional(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	s := atlas.Time(t)
	return &s
}
