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

// Reports reads reports; changeover.Reporter is the one in use.
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
	// UUID is what snapshots name the key by.
	UUID string `json:"masterKeyUUID"`
}

type inUseView struct {
	keyView
	Since   string      `json:"since"`
	Nodes   int         `json:"nodes"` // whose master keys it wraps
	Status  statusView  `json:"status"`
	Private privateView `json:"privateNetworking"`
}

// statusView is what is stored of the key's checks, in the words of a validation on demand.
type statusView struct {
	Valid        bool           `json:"valid"` // by the newest conclusive verdict
	Class        verdict.Class  `json:"class"`
	Reason       verdict.Reason `json:"reason"`
	Since        string         `json:"since"` // when the class last changed
	CheckedAt    string         `json:"checkedAt"`
	ProviderCode *string        `json:"providerCode"`
	RequestID    *string        `json:"providerRequestId"`
}

// privateView is whether private endpoints are demanded, and whether they are the only way to the key.
type privateView struct {
	Required bool `json:"required"`
	InForce  bool `json:"inForce"`
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
	// Remaining is null unless the change is under way.
	Remaining *remainingView `json:"remaining"`
}

// remainingView is what a change that is under way has before it.
type remainingView struct {
	WaitsFor    *wait         `json:"waitsFor"`
	Nodes       int           `json:"nodes"`
	WrappedKeys int           `json:"wrappedKeys"`
	Awaited     []awaitedView `json:"awaitedNodes"`
}

// wait is what a change waits for.
type wait string

const (
	waitsForKey   wait = "KEY"
	waitsForNodes wait = "NODES"
)

type awaitedView struct {
	ClusterID   string `json:"clusterId"`
	ClusterName string `json:"clusterName"`
	NodeID      string `json:"nodeId"`
	Silent      bool   `json:"silent"`
	Failed      bool   `json:"failed"`
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
	v := reportView{Provider: r.Provider, InUse: viewInUse(r.InUse), LastChange: viewChange(r.Change, r.Remaining), Former: []formerKeyView{}}
	for _, f := range r.Former {
		v.Former = append(v.Former, formerKeyView{
			keyView: viewKey(f.CMK), Nodes: append([]string{}, f.Nodes...), Snapshots: append([]string{}, f.Snapshots...),
			SnapshotsUntil: optional(f.LastExpiry),
		})
	}
	return v
}

func viewInUse(k *changeover.KeyInUse) *inUseView {
	if k == nil {
		return nil
	}
	return &inUseView{
		keyView: viewKey(k.CMK), Since: atlas.Time(k.Since), Nodes: k.Nodes,
		Status: statusView{
			Valid: k.Valid, Class: k.Verdict.Class(), Reason: k.Verdict.Reason, Since: atlas.Time(k.Verdict.Since),
			CheckedAt: atlas.Time(k.Checked), ProviderCode: told(k.Verdict.ProviderCode), RequestID: told(k.Verdict.RequestID),
		},
		Private: privateView{Required: k.PrivateNetworking, InForce: k.PrivateInForce},
	}
}

func viewKey(cmk ledger.CMK) keyView {
	return keyView{Name: cmk.Name, Version: cmk.Version, UUID: ledger.UUIDOf(cmk)}
}

func viewChange(c encryption.Changeover, left *changeover.Remaining) *changeView {
	if c.Kind == "" {
		return nil
	}
	v := &changeView{
		Kind: c.Kind, State: c.State, BeganAt: atlas.Time(c.Began), EndedAt: optional(c.Ended),
		Proved: c.Proved, Lost: c.Lost, Left: c.NodesLeft, BlockedSince: optional(c.Blocked),
		Remaining: viewRemaining(c, left),
	}
	for _, reason := range []verdict.Reason{c.Reason, c.Blocker} {
		if v.Reason == nil && reason != "" {
			v.Reason = &reason
		}
	}
	return v
}

func viewRemaining(c encryption.Changeover, left *changeover.Remaining) *remainingView {
	if left == nil {
		return nil
	}
	v := &remainingView{Nodes: left.Nodes, WrappedKeys: left.WrappedKeys, Awaited: []awaitedView{}}
	for _, n := range left.Awaited {
		v.Awaited = append(v.Awaited, awaitedView{
			ClusterID: n.ClusterID, ClusterName: n.ClusterName, NodeID: n.NodeID, Silent: n.IsSilent, Failed: n.HasFailed,
		})
	}
	switch what := waitsForNodes; {
	case !c.Blocked.IsZero():
		what = waitsForKey
		v.WaitsFor = &what
	case len(left.Awaited) > 0:
		v.WaitsFor = &what
	}
	return v
}

// told is what a provider said, null if it said nothing.
func told(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// optional is a time as the API writes it, null if it has not come.
func optional(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	s := atlas.Time(t)
	return &s
}
