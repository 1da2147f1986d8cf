package snapshotapi

import (
	"encoding/json"
	"strings"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/httpapi"
	"latchkey/shared/snapshot"
)

// takeBody asks for a snapshot.
type takeBody struct {
	Description     string `json:"description"`
	RetentionInDays *int   `json:"retentionInDays"`
}

// retentionBody changes how long a snapshot is kept.
type retentionBody struct {
	RetentionUnit  string `json:"retentionUnit"`
	RetentionValue *int   `json:"retentionValue"`
}

// restoreBody asks for a restore. What belongs to continuous backup is not read: that is not offered.
type restoreBody struct {
	DeliveryType      string `json:"deliveryType"`
	SnapshotID        string `json:"snapshotId"`
	TargetClusterName string `json:"targetClusterName"`
	TargetGroupID     string `json:"targetGroupId"`
}

// scheduleBody changes a schedule. Both versions have these members.
type scheduleBody struct {
	Policies               []policyView      `json:"policies"`
	ReferenceHourOfDay     *int              `json:"referenceHourOfDay"`
	ReferenceMinuteOfHour  *int              `json:"referenceMinuteOfHour"`
	RestoreWindowDays      *int              `json:"restoreWindowDays"`
	UpdateSnapshots        bool              `json:"updateSnapshots"`
	AutoExportEnabled      bool              `json:"autoExportEnabled"`
	DeleteSnapshots        bool              `json:"deleteSnapshots"`
	CopySettings           []json.RawMessage `json:"copySettings"`
	ExtraRetentionSettings []json.RawMessage `json:"extraRetentionSettings"`
}

func (b scheduleBody) update() snapshot.Update {
	u := snapshot.Update{
		Hour: b.ReferenceHourOfDay, Minute: b.ReferenceMinuteOfHour, RestoreWindowDays: b.RestoreWindowDays, Reapply: b.UpdateSnapshots,
	}
	for _, p := range b.Policies {
		policy := snapshot.PolicyUpdate{ID: p.ID}
		for _, i := range p.PolicyItems {
			policy.Items = append(policy.Items, snapshot.Item{
				ID: i.ID, Frequency: snapshot.Frequency(i.FrequencyType), Interval: i.FrequencyInterval, Retention: retention(i.RetentionUnit, i.RetentionValue),
			})
		}
		u.Policies = append(u.Policies, policy)
	}
	return u
}

// retention reads a retention: one operation spells units in capital letters, the other does not.
func retention(unit string, value int) snapshot.Retention {
	return snapshot.Retention{Unit: strings.ToLower(unit), Value: value}
}

// view is a snapshot. What the real service leaves out at first is left out too.
type view struct {
	CloudProvider    string       `json:"cloudProvider,omitempty"`
	CopyRegions      []string     `json:"copyRegions"`
	CreatedAt        string       `json:"createdAt,omitempty"`
	Description      string       `json:"description,omitempty"`
	ExpiresAt        string       `json:"expiresAt"`
	FrequencyType    string       `json:"frequencyType"`
	ID               string       `json:"id"`
	Links            []atlas.Link `json:"links"`
	MasterKeyUUID    string       `json:"masterKeyUUID,omitempty"`
	MongodVersion    string       `json:"mongodVersion,omitempty"`
	PolicyItems      []string     `json:"policyItems"`
	ReplicaSetName   string       `json:"replicaSetName,omitempty"`
	SnapshotType     string       `json:"snapshotType"`
	Status           string       `json:"status"`
	StorageSizeBytes int64        `json:"storageSizeBytes"`
	Type             string       `json:"type"`
}

// shardedView is a snapshot of a sharded cluster.
type shardedView struct {
	view

	Members     []member `json:"members"`
	SnapshotIDs []string `json:"snapshotIds"`
}

type member struct {
	CloudProvider  string `json:"cloudProvider"`
	ID             string `json:"id"`
	ReplicaSetName string `json:"replicaSetName"`
}

func show(r *httpapi.Request, s snapshot.Snapshot) view {
	v := view{
		CopyRegions: []string{}, CreatedAt: optional(s.Created), Description: s.Description, ExpiresAt: atlas.Time(s.Expires),
		FrequencyType: string(s.Frequency), ID: s.ID, Links: r.Self(path(s.GroupID, s.ClusterName) + "/snapshots/" + s.ID),
		MasterKeyUUID: s.MasterKeyUUID(), MongodVersion: s.Version, PolicyItems: append([]string{}, s.PolicyItems...),
		SnapshotType: s.Kind(), Status: string(s.Status), StorageSizeBytes: s.Bytes(), Type: "shardedCluster",
	}
	if len(s.Parts) > 0 {
		v.CloudProvider = string(s.Parts[0].CloudProvider)
	}
	if !s.Sharded {
		v.Type, v.ReplicaSetName = "replicaSet", s.ClusterName
	}
	return v
}

func showSharded(r *httpapi.Request, s snapshot.Snapshot) shardedView {
	v := shardedView{view: show(r, s), Members: []member{}, SnapshotIDs: []string{}}
	for _, p := range s.Parts {
		v.Members = append(v.Members, member{CloudProvider: string(p.CloudProvider), ID: p.ID, ReplicaSetName: p.ReplicaSetName})
		v.SnapshotIDs = append(v.SnapshotIDs, p.ID)
	}
	return v
}

func path(groupID, name string) string { return "/groups/" + groupID + "/clusters/" + name + "/backup" }

// optional is a time that may not have come.
func optional(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return atlas.Time(t)
}

// jobView is a restore. Clients watch it until finishedAt, failed, cancelled or expired shows.
type jobView struct {
	Cancelled                bool           `json:"cancelled"`
	Components               []component    `json:"components,omitempty"`
	DeliveryType             string         `json:"deliveryType"`
	DeliveryURL              []string       `json:"deliveryUrl"`
	DesiredTimestamp         map[string]any `json:"desiredTimestamp"`
	Expired                  bool           `json:"expired"`
	Failed                   bool           `json:"failed"`
	FinishedAt               string         `json:"finishedAt,omitempty"`
	ID                       string         `json:"id"`
	Links                    []atlas.Link   `json:"links"`
	SnapshotID               string         `json:"snapshotId"`
	TargetClusterName        string         `json:"targetClusterName"`
	TargetDeploymentItemName string         `json:"targetDeploymentItemName"`
	TargetGroupID            string         `json:"targetGroupId"`
	Timestamp                string         `json:"timestamp"`
}

// component is what is restored to one shard.
type component struct {
	DownloadURL    string `json:"downloadUrl,omitempty"`
	ReplicaSetName string `json:"replicaSetName,omitempty"`
}

func showJob(r *httpapi.Request, j snapshot.Job) jobView {
	v := jobView{
		Cancelled: j.State == snapshot.JobCancelled, DeliveryType: string(snapshot.Automated), DeliveryURL: []string{},
		DesiredTimestamp: map[string]any{"date": nil, "increment": nil, "time": nil}, Failed: j.State == snapshot.JobFailed, ID: j.ID,
		Links: r.Self(path(j.GroupID, j.ClusterName) + "/restoreJobs/" + j.ID), SnapshotID: j.SnapshotID, TargetClusterName: j.Target.ClusterName,
		TargetDeploymentItemName: j.Target.ClusterName, TargetGroupID: j.Target.GroupID, Timestamp: atlas.Time(j.TakenAt),
	}
	if j.State == snapshot.JobFinished {
		v.FinishedAt = atlas.Time(j.Finished)
	}
	return v
}

// scheduleView is a schedule in both versions: they differ in the copy settings, of which there
// are none.
type scheduleView struct {
	AutoExportEnabled      bool         `json:"autoExportEnabled"`
	ClusterID              string       `json:"clusterId"`
	ClusterName            string       `json:"clusterName"`
	CopySettings           []struct{}   `json:"copySettings"`
	ExtraRetentionSettings []struct{}   `json:"extraRetentionSettings"`
	Links                  []atlas.Link `json:"links"`
	NextSnapshot           string       `json:"nextSnapshot,omitempty"`
	Policies               []policyView `json:"policies"`
	ReferenceHourOfDay     int          `json:"referenceHourOfDay"`
	ReferenceMinuteOfHour  int          `json:"referenceMinuteOfHour"`
	RestoreWindowDays      int          `json:"restoreWindowDays"`
	UseNamesInExportPrefix bool         `json:"useOrgAndGroupNamesInExportPrefix"`
}

type policyView struct {
	ID          string     `json:"id,omitempty"`
	PolicyItems []itemView `json:"policyItems"`
}

type itemView struct {
	FrequencyInterval int    `json:"frequencyInterval"`
	FrequencyType     string `json:"frequencyType"`
	ID                string `json:"id,omitempty"`
	RetentionUnit     string `json:"retentionUnit"`
	RetentionValue    int    `json:"retentionValue"`
}

func showSchedule(r *httpapi.Request, p snapshot.Plan) scheduleView {
	policy := policyView{ID: p.Schedule.PolicyID, PolicyItems: []itemView{}}
	for _, i := range p.Schedule.Items {
		policy.PolicyItems = append(policy.PolicyItems, itemView{
			FrequencyInterval: i.Interval, FrequencyType: string(i.Frequency), ID: i.ID, RetentionUnit: i.Retention.Unit, RetentionValue: i.Retention.Value,
		})
	}
	return scheduleView{
		ClusterID: p.Cluster.ID, ClusterName: p.Cluster.Name, CopySettings: []struct{}{}, ExtraRetentionSettings: []struct{}{},
		Links: r.Self(path(p.Cluster.GroupID, p.Cluster.Name) + "/schedule"), NextSnapshot: optional(p.Next), Policies: []policyView{policy},
		ReferenceHourOfDay: p.Schedule.Hour, ReferenceMinuteOfHour: p.Schedule.Minute, RestoreWindowDays: p.Schedule.RestoreWindowDays,
	}
}
