package console

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"latchkey/console/client"
	"latchkey/shared/atlas"
)

// clusterSnapshot is a snapshot as the API shows it.
type clusterSnapshot struct {
	ID          string `json:"id"`
	Status      string `json:"status"`
	Kind        string `json:"snapshotType"`
	Frequency   string `json:"frequencyType"`
	Type        string `json:"type"`
	Description string `json:"description"`
	CreatedAt   string `json:"createdAt"`
	ExpiresAt   string `json:"expiresAt"`
	KeyUUID     string `json:"masterKeyUUID"`
	Version     string `json:"mongodVersion"`
	Bytes       int64  `json:"storageSizeBytes"`
}

// isUnfinished reports whether it is still being taken.
func (s clusterSnapshot) isUnfinished() bool {
	return s.Status == "queued" || s.Status == "inProgress"
}

// backupView is the page of a cluster's snapshots.
type backupView struct {
	GroupID   string
	Cluster   atlas.Cluster
	Snapshots []snapshotRow
	Pager     Pager
	Restores  []restoreRow
	Schedule  *scheduleSummary // nil while there are no backups
	Rights    Rights
	Moving    bool
}

// snapshotRow is a snapshot in the list.
type snapshotRow struct {
	clusterSnapshot

	Badge Badge
	Made  string // "By the schedule, daily"
	Size  string
	Key   snapshotKey
	Done  bool // it can be restored
}

func loadBackup(v *Visit) (any, error) {
	name := v.Param("clusterName")
	v.explain()
	pager := v.Pager()
	pager.Path = v.Page("clusters", name, "backup")
	view := backupView{GroupID: v.GroupID()}
	var snapshots atlas.Page[clusterSnapshot]
	var reports atlas.Page[clusterKeys]
	err := Together(
		func() error { return v.API.Get(v.Context(), v.Group("clusters", name), nil, &view.Cluster) },
		func() error {
			return v.API.Get(v.Context(), v.Group("clusters", name, "backup", "snapshots"), pager.Of(), &snapshots)
		},
		func() error {
			return v.API.Get(v.Context(), v.OwnGroup("encryptionAtRest", "keys"), nil, &reports)
		},
		func() (err error) { view.Schedule, err = v.scheduleSummary(name); return err },
		func() (err error) { view.Rights, err = v.Rights(); return err },
	)
	if err != nil {
		return nil, err
	}
	v.Title = "Backup of " + name
	view.Pager = pager.Counted(snapshots.TotalCount)
	for _, s := range snapshots.Results {
		view.Snapshots = append(view.Snapshots, snapshotRowOf(s, reports.Results))
		view.Moving = view.Moving || s.isUnfinished()
	}
	if view.Rights.ManagesBackups() {
		view.Restores, err = v.restoreRows(name)
	}
	for _, r := range view.Restores {
		view.Moving = view.Moving || r.Going
	}
	return view, err
}

// PageNumber is the page of the list that is shown.
func (v backupView) PageNumber() string { return strconv.Itoa(v.Pager.Number) }

func snapshotRowOf(s clusterSnapshot, reports []clusterKeys) snapshotRow {
	row := snapshotRow{clusterSnapshot: s, Badge: snapshotBadge(s.Status), Size: size(s.Bytes), Key: keyOfSnapshot(s, reports), Done: s.Status == "completed"}
	row.Made = "On demand"
	if s.Kind == "scheduled" {
		row.Made = "By the schedule, " + s.Frequency
	}
	return row
}

func snapshotBadge(status string) Badge {
	switch status {
	case "completed":
		return Badge{Good, "Completed"}
	case "failed":
		return Badge{Bad, "Failed"}
	case "queued":
		return Badge{Busy, "Queued"}
	case "inProgress":
		return Badge{Busy, "In progress"}
	}
	return Badge{Neutral, status}
}

// size is a number of bytes as people read it.
func size(bytes int64) string {
	const step = 1024
	units := []string{"bytes", "KiB", "MiB", "GiB", "TiB"}
	n, unit := float64(bytes), 0
	for n >= step && unit < len(units)-1 {
		n, unit = n/step, unit+1
	}
	if unit == 0 {
		return count(int(bytes), "byte")
	}
	return fmt.Sprintf("%.1f %s", n, units[unit])
}

// snapshotKey is the customer key that a snapshot needs.
type snapshotKey struct {
	Provider string // "" if it needs none, or if it is not known whose it is
	Name     string
	Version  string
	Badge    Badge
	Note     string
}

const (
	noteFormer = "A former key. Keep it enabled for as long as the snapshot is kept. Whether it still opens the snapshot is tried when you restore."
	noteOther  = "It is not among the keys that are in use. Whether it still opens the snapshot is tried when you restore."
)

// keyOfSnapshot finds the key that a snapshot needs. Former keys know their snapshots by id; keys in use are
// named as snapshots name them.
func keyOfSnapshot(s clusterSnapshot, reports []clusterKeys) snapshotKey {
	if s.KeyUUID == "" {
		if s.Status != "completed" {
			return snapshotKey{Badge: Badge{Neutral, "Not known yet"}}
		}
		return snapshotKey{Badge: Badge{Neutral, "None"}, Note: "It is not encrypted with a key of yours."}
	}
	var perhaps []clusterKeys
	for _, r := range reports {
		for _, f := range r.Former {
			if slices.Contains(f.Snapshots, s.ID) {
				return snapshotKey{ProviderName(r.Provider), f.Key, versionOf(f.Key, f.Version), Badge{Warning, "Former key"}, noteFormer}
			}
		}
		switch {
		case r.InUse == nil:
		case strings.EqualFold(r.InUse.UUID, s.KeyUUID):
			return snapshotKeyInUse(r)
		case hasOtherNames(r):
			perhaps = append(perhaps, r)
		}
	}
	if len(perhaps) != 1 {
		return snapshotKey{Name: s.KeyUUID, Badge: Badge{Neutral, "Tried when you restore"}, Note: noteOther}
	}
	return snapshotKeyInUse(perhaps[0])
}

// hasOtherNames reports whether a key may be the one that a snapshot names although the names differ: a key of AWS
// has an ARN in each of its Regions, and aliases.
func hasOtherNames(r clusterKeys) bool {
	return r.Provider == atlas.AWS && mayMove(r.InUse.Key)
}

func snapshotKeyInUse(r clusterKeys) snapshotKey {
	key := snapshotKey{ProviderName(r.Provider), r.InUse.Key, versionOf(r.InUse.Key, r.InUse.Version), Badge{Good, "In use, valid"}, ""}
	if !r.InUse.Status.Valid {
		key.Badge, key.Note = Badge{Bad, "Not valid"}, "It cannot be restored now: "+ReasonText(r.InUse.Status.Reason)+"."
	}
	return key
}

// takeView is the form to take a snapshot.
type takeView struct {
	GroupID, Name string
	Denied        string
	Days          Field
	Description   Field
}

func loadTake(v *Visit) (any, error) {
	rights, err := v.Rights()
	v.explain()
	view := takeView{GroupID: v.GroupID(), Name: v.Param("clusterName")}
	if !rights.ManagesBackups() {
		view.Denied = "To take a snapshot takes a Project Owner or a Project Backup Manager."
	}
	view.Days = v.Field(Field{Name: "days", Label: "Keep it for so many days", Required: true, Value: "7", Type: "number"}, "retentionInDays")
	view.Description = v.Field(Field{Name: "description", Label: "Description", Hint: "What it is for. Everybody in the project sees it."}, "description")
	return view, err
}

func takeSnapshot(v *Visit) (string, error) {
	name := v.Param("clusterName")
	days, err := strconv.Atoi(v.Form("days"))
	if err != nil || days < 1 {
		return "", Refuse("A snapshot is kept for at least a day.", map[string]string{"days": "Give a whole number of days, from 1."})
	}
	body := map[string]any{"retentionInDays": days}
	if d := v.Form("description"); d != "" {
		body["description"] = d
	}
	if err := v.API.Do(v.Context(), http.MethodPost, v.Group("clusters", name, "backup", "snapshots"), body, nil); err != nil {
		return "", err
	}
	v.Say("A snapshot is being taken.")
	return v.Page("clusters", name, "backup"), nil
}

// loadSnapshotDelete asks before a snapshot is deleted.
func loadSnapshotDelete(v *Visit) (any, error) {
	name, id := v.Param("clusterName"), v.Param("snapshotId")
	var s clusterSnapshot
	if err := v.API.Get(v.Context(), v.Group("clusters", name, "backup", "snapshots", id), nil, &s); err != nil {
		return nil, err
	}
	v.explain()
	v.Title = "Delete a snapshot"
	return v.ask(Confirm{
		Question: "Delete the snapshot of " + name + " of " + moment(s.CreatedAt, v.console.deps.Now()).Absolute + "?",
		Detail:   "It can then be restored to no cluster. This cannot be undone. Other snapshots and the cluster itself stay.",
		Action:   v.Page("clusters", name, "snapshots", id, "delete"), Button: "Delete the snapshot", Danger: true, Back: v.Page("clusters", name, "backup"),
	}, Rights.ManagesBackups, byBackupManagers)
}

func deleteSnapshot(v *Visit) (string, error) {
	name, id := v.Param("clusterName"), v.Param("snapshotId")
	back := v.Page("clusters", name, "backup")
	err := v.API.Do(v.Context(), http.MethodDelete, v.Group("clusters", name, "backup", "snapshots", id), nil, nil)
	if client.IsNotFound(err) {
		v.Say("The snapshot is gone already.")
		return back, nil
	}
	if err != nil {
		return "", err
	}
	v.Say("The snapshot is deleted.")
	return back, nil
}
