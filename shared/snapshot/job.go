package snapshot

import (
	"context"
	"errors"
	"fmt"
	"time"

	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// remembered is for how long jobs that are over can be looked up.
const remembered = 365 * 24 * time.Hour

// JobState is how far a restore is.
type JobState string

// The states of a restore job.
const (
	JobQueued     JobState = "queued"
	JobInProgress JobState = "inProgress"
	JobFinished   JobState = "finished"
	JobFailed     JobState = "failed"
	JobCancelled  JobState = "cancelled"
)

// NodeOutcome is how a restore ended on a node, "" while it has not.
type NodeOutcome string

// PartlyRestored is the Failure of a job after which some shards have the snapshot's data and others
// that of before, each whole. All shards had been ready, so it takes a second fault at the worst
// moment; restoring once more, this snapshot or another, mends it.
const PartlyRestored = "PARTLY_RESTORED"

// The outcomes.
const (
	Restored NodeOutcome = "restored"
	Refused  NodeOutcome = "refused" // the node has the data of before
	Gone     NodeOutcome = "gone"    // the node is no more
	Late     NodeOutcome = "late"    // the node does not answer; it restores when it does
)

// Job is a restore of a snapshot to a cluster. Its record is with the snapshot's cluster.
type Job struct {
	ID          string    `json:"id"`
	ClusterID   string    `json:"clusterId"` // of the snapshot
	ClusterName string    `json:"clusterName"`
	GroupID     string    `json:"groupId"`
	OrgID       string    `json:"orgId"`
	SnapshotID  string    `json:"snapshotId"`
	TakenAt     time.Time `json:"takenAt"` // the snapshot's
	Target      Target    `json:"target"`

	State    JobState  `json:"state"`
	Failure  string    `json:"failure,omitempty"`
	Created  time.Time `json:"created"`
	Asked    time.Time `json:"asked,omitzero"` // when nodes were told to prepare
	Begun    time.Time `json:"begun,omitzero"` // when they were told to restore
	Finished time.Time `json:"finished,omitzero"`
	// Nodes are those that were told to restore.
	Nodes []Member `json:"nodes,omitempty"`

	version int64
}

// Target is the cluster that a snapshot is restored to.
type Target struct {
	ClusterID   string `json:"clusterId"`
	ClusterName string `json:"clusterName"`
	GroupID     string `json:"groupId"`
}

// Member is a node of a restore.
type Member struct {
	NodeID  string      `json:"nodeId"`
	ShardID string      `json:"shardId"`
	PartID  string      `json:"partId"`
	Outcome NodeOutcome `json:"outcome,omitempty"`
	Failure string      `json:"failure,omitempty"`
}

// Over reports whether nothing more happens to the job.
func (j Job) Over() bool { return j.State != JobQueued && j.State != JobInProgress }

func (j Job) put() (store.Op, error) {
	item, err := store.Encode(keys.RestoreJob(j.ClusterID, j.ID), j.version, j)
	if j.Over() {
		item.Expires = j.Finished.Add(remembered)
	}
	return store.Put(item), err
}

func (j Job) node(id string) int {
	for i, m := range j.Nodes {
		if m.NodeID == id {
			return i
		}
	}
	return -1
}

func (j Job) with(i int, change func(*Member)) Job {
	j.Nodes = append([]Member(nil), j.Nodes...)
	change(&j.Nodes[i])
	return j
}

var errNoJob = errors.New("snapshot: no such restore job")

func loadJob(ctx context.Context, t store.Table, clusterID, id string) (Job, error) {
	j, version, err := store.Load[Job](ctx, t, keys.RestoreJob(clusterID, id))
	if errors.Is(err, store.ErrNotFound) {
		return Job{}, errNoJob
	}
	if err != nil {
		return Job{}, fmt.Errorf("load restore job %s: %w", id, err)
	}
	j.version = version
	return j, nil
}
