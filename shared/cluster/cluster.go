// Package cluster is about clusters and their nodes: what a tenant wants, what the nodes have
// reached, and what work is in progress between the two.
//
// Its invariants: a name in a group belongs to at most one cluster; as long as it does, the
// group can't close and the keys that encrypt the cluster can't be disabled, and when it no
// longer does, the cluster blocks nothing. At most one plan works on a cluster at a time; what
// is asked for meanwhile waits.
package cluster

import (
	"crypto/sha256"
	"encoding/base32"
	"slices"
	"strconv"
	"strings"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
	"latchkey/shared/workflow"
)

// Cluster is a cluster's record.
type Cluster struct {
	ID      string    `json:"id"`
	GroupID string    `json:"groupId"`
	OrgID   string    `json:"orgId"`
	Name    string    `json:"name"`
	Created time.Time `json:"created"`

	// Spec is what the tenant wants, and what clients are shown.
	Spec Spec `json:"spec"`
	// Applied is what the nodes were last brought to; nil until they first were. An update
	// that is rolled back returns to it.
	Applied *Spec `json:"applied,omitempty"`
	// Plan is the work in progress; nil when there is none. While Spec is of a later revision
	// than the plan, the change waits for the plan's end.
	Plan *Plan `json:"plan,omitempty"`
	// Last is the plan that ended last; nil if none has.
	Last *EndedPlan `json:"last,omitempty"`
	// Settings take effect at once, without work on nodes.
	Settings Settings    `json:"settings"`
	Args     ProcessArgs `json:"processArgs"`

	// Disabled says that the nodes are stopped because the tenant's key is not valid; nil
	// while they are not. Changes that are asked for meanwhile wait.
	Disabled *Disabled `json:"disabled,omitempty"`
	// Resumed is when the cluster last ceased to be paused.
	Resumed time.Time `json:"resumed,omitzero"`
	// Deleted is when the cluster's end was complete. The record stays, so that what is kept
	// of the cluster (snapshots) can still be told whose it was.
	Deleted time.Time `json:"deleted,omitzero"`

	version int64 // of the stored record
}

// Disabled says why a cluster's nodes are stopped.
type Disabled struct {
	Provider atlas.Provider `json:"provider"`
	Reason   string         `json:"reason"` // a verdict.Reason
	Since    time.Time      `json:"since"`
}

// PlanKind tells plans apart.
type PlanKind string

// The kinds of plans.
const (
	Create PlanKind = "create"
	Update PlanKind = "update"
	Delete PlanKind = "delete"
)

// Plan is work that brings a cluster's nodes to a spec.
type Plan struct {
	ClusterID string    `json:"clusterId"`
	GroupID   string    `json:"groupId"`
	Kind      PlanKind  `json:"kind"`
	Spec      Spec      `json:"spec"`
	Started   time.Time `json:"started"`
	// Needs are the providers whose keys nodes may need until the plan ends.
	Needs []atlas.Provider `json:"needs,omitempty"`
	// Attempt counts, from 1, the executions of the workflow that carry the plan out one after the
	// other. Only the present one may act.
	Attempt int64 `json:"attempt"`
	// Blocked is since when the key of Spec.Provider can't be used for the plan; zero while it can.
	Blocked time.Time `json:"blocked,omitzero"`
}

// EndedPlan is what is remembered of a plan that has ended, or given way to another.
type EndedPlan struct {
	Kind     PlanKind  `json:"kind"`
	Revision int64     `json:"revision"`
	Attempt  int64     `json:"attempt"`
	Started  time.Time `json:"started"`
	Ended    time.Time `json:"ended"`
}

// Execution is the last attempt at the plan of a cluster that has ended.
func (e EndedPlan) Execution(c Cluster) workflow.Execution {
	return Plan{ClusterID: c.ID, GroupID: c.GroupID, Spec: Spec{Revision: e.Revision}, Attempt: e.Attempt}.Execution()
}

// remembering returns the cluster with what is remembered of the plan that it had before.
func (c Cluster) remembering(before *Plan, now time.Time) Cluster {
	if before != nil && (c.Plan == nil || c.Plan.Spec.Revision != before.Spec.Revision) {
		c.Last = &EndedPlan{
			Kind: before.Kind, Revision: before.Spec.Revision, Attempt: before.Attempt, Started: before.Started, Ended: now.UTC(),
		}
	}
	return c
}

// Name identifies an attempt at the plan for ever, so that starting it twice is harmless.
func (p Plan) Name() string { return p.name() + "-" + strconv.FormatInt(p.Attempt, 10) }

// name identifies the plan whatever the attempt.
func (p Plan) name() string {
	return string(p.Kind) + "-" + p.ClusterID + "-" + strconv.FormatInt(p.Spec.Revision, 10)
}

// Version is the version of the stored record, for conditions on it.
func (c Cluster) Version() int64 { return c.version }

// Deleting reports whether the cluster's deletion was requested.
func (c Cluster) Deleting() bool { return c.Plan != nil && c.Plan.Kind == Delete }

// Queued reports whether a change waits: for the plan in progress, or for a key.
func (c Cluster) Queued() bool {
	if c.Plan != nil {
		return c.Spec.Revision > c.Plan.Spec.Revision
	}
	return c.Applied != nil && c.Spec.Revision > c.Applied.Revision
}

// target is the spec that the nodes belong to now: the plan's, or the one last reached.
func (c Cluster) target() Spec {
	switch {
	case c.Plan != nil:
		return c.Plan.Spec
	case c.Applied != nil:
		return *c.Applied
	}
	return c.Spec
}

// power is whether the nodes should run.
func (c Cluster) power() Power {
	if c.Disabled != nil || c.target().Paused {
		return Stop
	}
	return Run
}

// Uses reports whether a provider's key encrypts the cluster, or will or did until the plan
// in progress ends.
func (c Cluster) Uses(p atlas.Provider) bool {
	if !c.Deleted.IsZero() {
		return false
	}
	return c.Spec.Provider == p || c.Plan != nil && slices.Contains(c.Plan.Needs, p) ||
		c.Applied != nil && c.Applied.Provider == p
}

// begin returns the cluster with a plan that brings its nodes to its spec.
func (c Cluster) begin(kind PlanKind, now time.Time) Cluster {
	plan := Plan{ClusterID: c.ID, GroupID: c.GroupID, Kind: kind, Spec: c.Spec, Started: now.UTC(), Attempt: 1}
	for _, p := range atlas.Providers() {
		if c.Uses(p) {
			plan.Needs = append(plan.Needs, p)
		}
	}
	c.Plan = &plan
	return c
}

// label distinguishes the cluster's host names from all others'. 50 bits make a clash of two
// clusters of one name unlikely in deployments of any size.
func (c Cluster) label() string {
	const length = 10
	sum := sha256.Sum256([]byte(c.ID))
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum[:]))[:length]
}

// put is the operation that stores the record if nobody changed it meanwhile.
func (c Cluster) put() (store.Op, error) {
	item, err := store.Encode(keys.Cluster(c.ID), c.version, c)
	if err == nil && c.Deleted.IsZero() {
		item.Index = keys.ClustersOf(c.OrgID, c.GroupID, c.Name)
	}
	return store.Put(item), err
}

// pointer is the record behind a cluster's name.
type pointer struct {
	ClusterID string `json:"clusterId"`
}

// point is the operation that stores the name's record. version is the one that was read. The
// index finds the clusters with a plan, whose workflow may have to be started again.
func (c Cluster) point(version int64) (store.Op, error) {
	item, err := store.Encode(keys.ClusterName(c.GroupID, c.Name), version, pointer{ClusterID: c.ID})
	if err == nil && c.Plan != nil {
		item.Index = keys.PlanInProgress(c.ID)
	}
	return store.Put(item), err
}
