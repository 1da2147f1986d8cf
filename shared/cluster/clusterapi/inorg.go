package clusterapi

import (
	"context"

	"latchkey/shared/cluster"
	"latchkey/shared/httpapi"
)

// groupView is a group with its clusters in the list of all that a caller may read.
type groupView struct {
	Clusters  []summaryView `json:"clusters"`
	GroupID   string        `json:"groupId"`
	GroupName string        `json:"groupName"`
	OrgID     string        `json:"orgId"`
	OrgName   string        `json:"orgName"`
	PlanType  string        `json:"planType"`
	Tags      []string      `json:"tags"`
}

type summaryView struct {
	AlertCount    int      `json:"alertCount"`
	AuthEnabled   bool     `json:"authEnabled"`
	Availability  string   `json:"availability"`
	BackupEnabled bool     `json:"backupEnabled"`
	ClusterID     string   `json:"clusterId"`
	DataSizeBytes int64    `json:"dataSizeBytes"`
	Name          string   `json:"name"`
	NodeCount     int      `json:"nodeCount"`
	SSLEnabled    bool     `json:"sslEnabled"`
	Type          string   `json:"type"`
	Versions      []string `json:"versions"`
}

// summarize shows a cluster in brief. What its alerts and its data amount to is not known here.
func summarize(d cluster.Deployment) summaryView {
	kind := "SHARDED_CLUSTER"
	if d.Spec.Type == cluster.ReplicaSet {
		kind = "REPLICA_SET"
	}
	return summaryView{
		AuthEnabled: true, Availability: d.Availability(), BackupEnabled: d.Settings.Backup, ClusterID: d.ID, Name: d.Name,
		NodeCount: len(d.Nodes), SSLEnabled: true, Type: kind, Versions: []string{d.Spec.Release.Full},
	}
}

// listInOrg lists the clusters of all groups that the caller may read.
func (a API) listInOrg(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	visible, err := a.Projects.Visible(ctx, r.Caller)
	if err != nil {
		return httpapi.Response{}, err
	}
	org, err := a.Projects.FindOrg(ctx, r.Caller.OrgID)
	if err != nil {
		return httpapi.Response{}, err
	}
	byGroup, err := a.Clusters.InOrg(ctx, org.ID)
	if err != nil {
		return httpapi.Response{}, err
	}
	views := make([]groupView, len(visible))
	for i, g := range visible {
		views[i] = groupView{
			Clusters: []summaryView{}, GroupID: g.ID, GroupName: g.Name, OrgID: org.ID, OrgName: org.Name, PlanType: "Atlas", Tags: []string{},
		}
		for _, d := range byGroup[g.ID] {
			views[i].Clusters = append(views[i].Clusters, summarize(d))
		}
	}
	return httpapi.List(r, views)
}
