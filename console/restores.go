package console

import (
	"net/http"
	"net/url"
	"strings"

	"latchkey/console/client"
	"latchkey/shared/atlas"
)

// restoreJob is a restore as the API shows it.
type restoreJob struct {
	ID          string `json:"id"`
	Snapshot    string `json:"snapshotId"`
	Target      string `json:"targetClusterName"`
	TargetGroup string `json:"targetGroupId"`
	TakenAt     string `json:"timestamp"`
	FinishedAt  string `json:"finishedAt"`
	Failed      bool   `json:"failed"`
	Cancelled   bool   `json:"cancelled"`
	Expired     bool   `json:"expired"`
}

func (j restoreJob) isOver() bool { return j.FinishedAt != "" || j.Failed || j.Cancelled || j.Expired }

// restoreRow is a restore in the list.
type restoreRow struct {
	restoreJob

	Badge     Badge
	Elsewhere bool // its target is in another project
	Going     bool
	Task      *clusterTask // how far it is
	MayCancel bool
}

// maxRestores is how many restores are shown, newest first.
const maxRestores = "20"

// maxFollowed is how many restores are followed to their targets.
const maxFollowed = 4

// restoreRows are the restores of a cluster's snapshots, with how far those are that go on.
func (v *Visit) restoreRows(name string) ([]restoreRow, error) {
	var jobs atlas.Page[restoreJob]
	path := v.Group("clusters", name, "backup", "restoreJobs")
	if err := v.API.Get(v.Context(), path, url.Values{"itemsPerPage": {maxRestores}}, &jobs); err != nil {
		return nil, err
	}
	rows := make([]restoreRow, len(jobs.Results))
	var follow []func() error
	for i, j := range jobs.Results {
		rows[i] = restoreRow{restoreJob: j, Badge: restoreBadge(j), Elsewhere: j.TargetGroup != v.GroupID(), Going: !j.isOver()}
		if rows[i].Going && len(follow) < maxFollowed {
			follow = append(follow, func() error { return v.follow(&rows[i]) })
		}
	}
	return rows, Together(follow...)
}

// follow looks at the target of a restore. Whoever may not read it does without.
func (v *Visit) follow(row *restoreRow) error {
	var target clusterProgress
	err := v.API.Get(v.Context(), client.Path("/api/latchkey/v1/groups", row.TargetGroup, "clusters", row.Target), nil, &target)
	if err != nil {
		if client.IsUnauthorized(err) {
			return err
		}
		return nil
	}
	if r := target.Restore; r != nil && r.ID == row.ID {
		task := restoreTask(target)
		row.Task, row.MayCancel = &task, r.Phase != "RESTORING"
	}
	return nil
}

func restoreBadge(j restoreJob) Badge {
	switch {
	case j.Failed:
		return Badge{Bad, "Failed"}
	case j.Cancelled:
		return Badge{Neutral, "Cancelled"}
	case j.Expired:
		return Badge{Neutral, "Expired"}
	case j.FinishedAt != "":
		return Badge{Good, "Finished"}
	}
	return Badge{Busy, "Under way"}
}

// restoreView is the page to choose where a snapshot goes, or the review of that.
type restoreView struct {
	GroupID, Name string
	Denied        string
	Snapshot      snapshotRow
	Target        Field
	Chosen        *restoreTarget
	Wrong         string // why the target cannot be chosen
}

// restoreTarget is a cluster that a snapshot is about to replace.
type restoreTarget struct {
	Value      string // as it is chosen
	GroupID    string
	Project    string
	Name       string
	Badge      Badge
	Encryption Badge
	Warnings   []string
}

const backupsRestore = "To restore a snapshot takes a Project Owner or a Project Backup Manager."

// loadRestore is the choice of a target.
func loadRestore(v *Visit) (any, error) { return v.restoreView(false) }

// loadRestoreReview is what is about to happen.
func loadRestoreReview(v *Visit) (any, error) { return v.restoreView(true) }

func (v *Visit) restoreView(review bool) (restoreView, error) {
	name, id := v.Param("clusterName"), v.Param("snapshotId")
	view := restoreView{GroupID: v.GroupID(), Name: name}
	var s clusterSnapshot
	var reports atlas.Page[clusterKeys]
	var rights Rights
	var places []restorePlace
	err := Together(
		func() error {
			return v.API.Get(v.Context(), v.Group("clusters", name, "backup", "snapshots", id), nil, &s)
		},
		func() error {
			return v.API.Get(v.Context(), v.OwnGroup("encryptionAtRest", "keys"), nil, &reports)
		},
		func() (err error) { rights, err = v.Rights(); return err },
		func() (err error) { places, err = v.restorePlaces(); return err },
	)
	if err != nil {
		return view, err
	}
	v.explain()
	view.Snapshot = snapshotRowOf(s, reports.Results)
	if !rights.ManagesBackups() {
		view.Denied = backupsRestore
		return view, nil
	}
	view.Target = targetField(places, v.typed("target"), v.GroupID(), name)
	if !review {
		return view, nil
	}
	place, ok := placeOf(places, v.typed("target"))
	if !ok {
		view.Target.Error = "Choose a cluster."
		return view, nil
	}
	v.Title = "Review the restore"
	view.Chosen, err = v.restoreTarget(place, s)
	return view, err
}

// restorePlace is a cluster that the caller may read, somewhere.
type restorePlace struct{ GroupID, Project, OrgID, Name string }

func (p restorePlace) value() string { return p.GroupID + "/" + p.Name }

// restorePlaces are the clusters of the organisation of this project.
func (v *Visit) restorePlaces() ([]restorePlace, error) {
	var all atlas.Page[struct {
		GroupID  string `json:"groupId"`
		Project  string `json:"groupName"`
		OrgID    string `json:"orgId"`
		Clusters []struct {
			Name string `json:"name"`
		} `json:"clusters"`
	}]
	err := v.API.Get(v.Context(), "/api/atlas/v2/clusters", url.Values{"itemsPerPage": {maxClusters}}, &all)
	org := ""
	for _, g := range all.Results {
		if g.GroupID == v.GroupID() {
			org = g.OrgID
		}
	}
	var places []restorePlace
	for _, g := range all.Results {
		if g.OrgID != org {
			continue
		}
		for _, c := range g.Clusters {
			places = append(places, restorePlace{g.GroupID, g.Project, g.OrgID, c.Name})
		}
	}
	return places, err
}

func placeOf(places []restorePlace, value string) (restorePlace, bool) {
	for _, p := range places {
		if p.value() == value {
			return p, true
		}
	}
	return restorePlace{}, false
}

// targetField is the choice of a target: the snapshot's own cluster first, then those of the project.
func targetField(places []restorePlace, chosen, groupID, name string) Field {
	f := Field{Name: "target", Label: "Restore to", Required: true, Value: chosen, Hint: "All data of this cluster are replaced."}
	var own, near, far []Option
	for _, p := range places {
		switch {
		case p.GroupID == groupID && p.Name == name:
			own = append(own, Option{Value: p.value(), Text: p.Name + " (the cluster that it was taken of)"})
		case p.GroupID == groupID:
			near = append(near, Option{Value: p.value(), Text: p.Name})
		default:
			far = append(far, Option{Value: p.value(), Text: p.Name + " in project " + p.Project})
		}
	}
	f.Options = append(append(append([]Option{{Value: "", Text: "Choose a cluster"}}, own...), near...), far...)
	return f
}

// restoreTarget looks at the target, and at what would be refused.
func (v *Visit) restoreTarget(p restorePlace, s clusterSnapshot) (*restoreTarget, error) {
	var c atlas.Cluster
	var progress clusterProgress
	err := Together(
		func() error {
			return v.API.Get(v.Context(), client.Path("/api/atlas/v2/groups", p.GroupID, "clusters", p.Name), nil, &c)
		},
		func() error {
			return v.API.Get(v.Context(), client.Path("/api/latchkey/v1/groups", p.GroupID, "clusters", p.Name), nil, &progress)
		},
	)
	t := &restoreTarget{
		Value: p.value(), GroupID: p.GroupID, Project: p.Project, Name: p.Name, Badge: clusterBadge(c, progress),
		Encryption: encryptionBadge(c.EncryptionAtRestProvider),
	}
	warn := func(is bool, sentence string) {
		if is {
			t.Warnings = append(t.Warnings, sentence)
		}
	}
	isEncrypted := c.EncryptionAtRestProvider != noProvider
	warn(s.KeyUUID != "" && !isEncrypted, "The snapshot is encrypted with a key of yours, and this cluster is not. It will be refused.")
	warn(s.KeyUUID == "" && isEncrypted, "The snapshot is not encrypted with a key of yours, and this cluster is. It will be refused.")
	warn(c.Paused, "The cluster is paused. It will be refused until it is resumed.")
	warn((s.Type == "shardedCluster") != (c.ClusterType != "REPLICASET"), "One of snapshot and cluster is sharded, and the other is not. It will be refused.")
	warn(progress.Disabled != nil, "The cluster is disabled. The restore begins when its own key is valid again.")
	warn(progress.Restore != nil, "Another restore to this cluster is under way. It will be refused until that is over.")
	return t, err
}

func restoreSnapshot(v *Visit) (string, error) {
	name, id := v.Param("clusterName"), v.Param("snapshotId")
	groupID, target, _ := strings.Cut(v.Form("target"), "/")
	if target == "" || v.Form(fieldTyped) != target {
		return "", Refuse("Type the name of the cluster whose data are replaced.", map[string]string{fieldTyped: "This is not its name."})
	}
	body := map[string]any{"deliveryType": "automated", "snapshotId": id, "targetClusterName": target, "targetGroupId": groupID}
	if err := v.API.Do(v.Context(), http.MethodPost, v.Group("clusters", name, "backup", "restoreJobs"), body, nil); err != nil {
		return "", err
	}
	v.Say("The restore to " + target + " is under way.")
	return v.Page("clusters", name, "backup"), nil
}

// loadRestoreCancel asks before a restore is called off.
func loadRestoreCancel(v *Visit) (any, error) {
	name, id := v.Param("clusterName"), v.Param("restoreJobId")
	rights, err := v.Rights()
	j := restoreJob{Target: "its target"}
	if err == nil && rights.ManagesBackups() { // nobody else may read it
		err = v.API.Get(v.Context(), v.Group("clusters", name, "backup", "restoreJobs", id), nil, &j)
	}
	v.explain()
	v.Title = "Cancel a restore"
	return Confirm{
		Question: "Cancel the restore to " + j.Target + "?",
		Detail:   "Its data stay as they are. That works only as long as no node has begun to restore.",
		Action:   v.Page("clusters", name, "restores", id, "cancel"), Button: "Cancel the restore", Danger: true, Back: v.Page("clusters", name, "backup"),
	}.unless(rights.ManagesBackups(), byBackupManagers), err
}

func cancelRestore(v *Visit) (string, error) {
	name, id := v.Param("clusterName"), v.Param("restoreJobId")
	if err := v.API.Do(v.Context(), http.MethodDelete, v.Group("clusters", name, "backup", "restoreJobs", id), nil, nil); err != nil {
		return "", err
	}
	v.Say("The restore is cancelled. Nothing was changed.")
	return v.Page("clusters", name, "backup"), nil
}
