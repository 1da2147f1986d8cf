package console_test

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"
)

const (
	backupPage   = shop + "/backup"
	backupAPI    = clustersAPI + "/shop/backup"
	snapshotID   = "32b6e34b3d91647abb20e7f1"
	restoreJobID = "32b6e34b3d91647abb20e7f2"
	otherGroup   = "32b6e34b3d91647abb20e7f3"
	keyUUID      = "0f0e0d0c-1111-4222-8333-444455556666" // of awsKey
)

// aSnapshot is completed, and encrypted with awsKey.
func aSnapshot(changes object) object {
	s := object{
		"id": snapshotID, "status": "completed", "snapshotType": "scheduled", "frequencyType": "daily", "type": "replicaSet", "createdAt": "2026-01-02T03:04:05Z",
		"expiresAt": "2026-01-09T03:04:05Z", "masterKeyUUID": keyUUID, "mongodVersion": "8.0.1", "storageSizeBytes": 3 << 20,
	}
	maps.Copy(s, changes)
	return s
}

func aSchedule() object {
	return object{
		"nextSnapshot": "2026-01-03T03:04:00Z", "referenceHourOfDay": 3, "referenceMinuteOfHour": 4, "policies": []any{object{"id": "p1", "policyItems": []any{
			object{"id": "i1", "frequencyType": "hourly", "frequencyInterval": 6, "retentionUnit": "days", "retentionValue": 2},
			object{"id": "i2", "frequencyType": "weekly", "frequencyInterval": 6, "retentionUnit": "weeks", "retentionValue": 4},
			object{"id": "i3", "frequencyType": "weekly", "frequencyInterval": 1, "retentionUnit": "weeks", "retentionValue": 1},
		}}},
	}
}

// backupWorld is clusterWorld with backups.
func backupWorld(t *testing.T, role string) *world {
	t.Helper()
	w := clusterWorld(t, role)
	w.api.set("GET "+backupAPI+"/snapshots", listed(aSnapshot(nil)))
	w.api.set("GET "+backupAPI+"/snapshots/"+snapshotID, aSnapshot(nil))
	w.api.set("GET "+backupAPI+"/restoreJobs", listed())
	w.api.set("GET "+backupAPI+"/schedule", aSchedule())
	place := func(group, name, org string, clusters ...any) object {
		return object{"groupId": group, "groupName": name, "orgId": org, "clusters": clusters}
	}
	w.api.set("GET /api/atlas/v2/clusters", listed(
		place(groupID, "Shop", orgID, object{"name": "old"}, object{"name": "shop"}), place(otherGroup, "Lab", orgID, object{"name": "lab"}),
		place("32b6e34b3d91647abb20e7f4", "Foreign", "32b6e34b3d91647abb20e7f5", object{"name": "foreign"}),
	))
	return w
}

func TestBackup_tellsTheKeyThatASnapshotNeeds(t *testing.T) {
	t.Parallel()
	former := inUse("AWS", awsKey, true)
	former["formerKeys"] = []any{object{"key": "arn:former", "version": "f-1", "snapshotIds": []any{snapshotID}}}
	const azureUUID, aliasUUID = "11112222-3333-8444-8555-666677778888", "99992222-3333-8444-8555-666677778888"
	named := func(uuid string, report object) object {
		report["keyInUse"].(object)["masterKeyUUID"] = uuid
		return report
	}
	azure := named(azureUUID, inUse("AZURE", "https://kv.vault.azure.net/keys/k", true))
	google := named("22222222-3333-8444-8555-666677778888", inUse("GCP", "projects/p", true))
	replica := named(aliasUUID, inUse("AWS", multiRegion, true))
	for name, tt := range map[string]struct {
		snapshot object
		reports  []any
		want     []string
	}{
		"the key in use":                  {nil, []any{inUse("AWS", awsKey, true), azure}, []string{"In use, valid", awsKey, "v-7", "!vault.azure"}},
		"one that is disabled":            {nil, []any{inUse("AWS", awsKey, false)}, []string{"Not valid", "cannot be restored now: the key is disabled"}},
		"a former one":                    {nil, []any{former}, []string{"Former key", "arn:former", "f-1", "Keep it enabled", "!In use"}},
		"a key of Azure":                  {object{"masterKeyUUID": azureUUID}, []any{inUse("AWS", awsKey, true), azure, google, replica}, []string{"In use, valid", "https://kv.vault.azure.net/keys/k", "!" + awsKey, "!" + azureUUID}},
		"a key of Google":                 {object{"masterKeyUUID": "22222222-3333-8444-8555-666677778888"}, []any{azure, google}, []string{"In use, valid", "<code class=\"long\">projects/p</code>", "!vault.azure"}},
		"a replica, or an alias":          {object{"masterKeyUUID": keyUUID}, []any{replica, azure}, []string{"In use, valid", multiRegion, "!vault.azure"}},
		"another of Azure":                {object{"masterKeyUUID": keyUUID}, []any{azure, google}, []string{"Tried when you restore", keyUUID, "!vault.azure"}},
		"none":                            {object{"masterKeyUUID": ""}, []any{azure}, []string{"not encrypted with a key of yours", "!vault.azure"}},
		"not known yet":                   {object{"masterKeyUUID": "", "status": "queued"}, []any{azure}, []string{"Not known yet", "Queued", "hx-trigger", "!>Restore<"}},
		"with a hostile description":      {object{"description": "<script>alert(1)</script>"}, nil, []string{"&lt;script&gt;alert(1)", "!<script>alert"}},
		"what else is told of a snapshot": {nil, nil, []string{"By the schedule, daily, version 8.0.1, 3.0 MiB", "9 Jan 2026, 03:04:05 UTC", "!hx-trigger"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := backupWorld(t, "GROUP_OWNER")
			w.api.set("GET "+backupAPI+"/snapshots", listed(aSnapshot(tt.snapshot)))
			w.keys(tt.reports...)
			w.get(backupPage).says(t, tt.want...)
		})
	}
}

func TestBackup_showsScheduleAndWhatThereIsNot(t *testing.T) {
	t.Parallel()
	w := backupWorld(t, "GROUP_BACKUP_MANAGER")
	w.api.set("GET "+backupAPI+"/snapshots", listed(aSnapshot(object{"expiresAt": w.clock.Now().Add(50 * time.Hour).Format(time.RFC3339)})))
	w.get(backupPage).says(t, "in 2 days", "Every 6 hours, kept for 2 days", "Every Saturday, kept for 4 weeks", "Every Monday, kept for 1 week<", "03:04 UTC", "Take a snapshot now", ">Restore<span")
	w.api.set("GET "+backupAPI+"/snapshots", listed())
	w.get(backupPage).says(t, "No snapshots", "No snapshot of this cluster was restored lately")
	w.api.set("GET "+backupAPI+"/schedule", refused{404, "BACKUP_JOB_NOT_FOUND", "Backups are not enabled.", ""})
	w.get(backupPage).says(t, "Cloud Backup is off", "!Take a snapshot now")
	w.get(shop+"/schedule").says(t, "Cloud Backup is off")

	w = backupWorld(t, "GROUP_READ_ONLY")
	w.api.set("GET "+backupAPI+"/restoreJobs", refused{401, "USER_UNAUTHORIZED", "No.", ""})
	w.get(backupPage).says(t, "takes a Project Owner or a Project Backup Manager", "!Take a snapshot now", "!>Restore", "!Delete…")
	for _, path := range []string{"/take-snapshot", "/schedule", "/snapshots/" + snapshotID + "/restore"} {
		w.get(shop+path).says(t, "takes a Project Owner or a Project Backup Manager", `!class="card" method="post"`, "!Choose a cluster")
	}
}

func TestSnapshot_isTakenAndDeleted(t *testing.T) {
	t.Parallel()
	w := backupWorld(t, "GROUP_OWNER")
	take, remove := "POST "+backupAPI+"/snapshots", "DELETE "+backupAPI+"/snapshots/"+snapshotID
	w.api.set(take, aSnapshot(nil))
	w.post(shop+"/take-snapshot", url.Values{"days": {"0"}, "description": {"kept"}}).says(t, "whole number of days", `value="kept"`)
	if slices.Contains(w.api.asked(), take) {
		t.Error("it was taken")
	}
	if a := w.post(shop+"/take-snapshot", url.Values{"days": {"3"}, "description": {"before"}}); a.Header.Get("Location") != backupPage {
		t.Errorf("it is answered %d", a.StatusCode)
	}
	w.demands(take, object{"retentionInDays": 3, "description": "before"})
	w.api.set(take, refused{400, "UNFINISHED_ON_DEMAND_SNAPSHOT", "Another one.", ""})
	w.post(shop+"/take-snapshot", url.Values{"days": {"3"}}).says(t, "UNFINISHED_ON_DEMAND_SNAPSHOT", "Wait until that one is completed")

	w.get(shop+"/snapshots/"+snapshotID+"/delete").says(t, "2 Jan 2026, 03:04:05 UTC", "cannot be undone")
	w.api.set(remove, refused{400, "CANNOT_DELETE_IN_PROGRESS_SNAPSHOT", "It is in progress.", ""})
	w.post(shop+"/snapshots/"+snapshotID+"/delete", nil).says(t, "CANNOT_DELETE_IN_PROGRESS_SNAPSHOT")
	w.api.set(remove, object{})
	if a := w.post(shop+"/snapshots/"+snapshotID+"/delete", nil); a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != backupPage {
		t.Errorf("it is answered %d", a.StatusCode)
	}
}

func TestRestore_isReviewedThenApplied(t *testing.T) {
	t.Parallel()
	w := backupWorld(t, "GROUP_OWNER")
	page := shop + "/snapshots/" + snapshotID + "/restore"
	w.get(page).says(t, "shop (the cluster that it was taken of)", ">old<", "lab in project Lab", "!foreign", "In use, valid", awsKey)
	w.get(page+"/review?target=").says(t, "Choose a cluster.", "!What will happen")
	w.get(page+"/review?target=32b6e34b3d91647abb20e7f4/foreign").says(t, "Choose a cluster.")

	lab := "/groups/" + otherGroup + "/clusters/lab"
	w.api.set("GET /api/atlas/v2"+lab, aCluster(object{"name": "lab"}))
	w.api.set("GET /api/latchkey/v1"+lab, itsProgress(object{"name": "lab"}))
	review := w.get(page + "/review?target=" + otherGroup + "/lab")
	review.says(t, "All data of lab are overwritten", "cannot be undone", "Key it demands", awsKey, ">Lab<", "!It will be refused")
	route := "POST " + backupAPI + "/restoreJobs"
	w.api.set(route, object{"id": restoreJobID})
	form := review.applied()
	if form.Set("typed", "shop"); w.post(page+"/review", form).StatusCode != http.StatusUnprocessableEntity || slices.Contains(w.api.asked(), route) {
		t.Error("another name than the target's is enough")
	}
	form.Set("typed", "lab")
	if a := w.post(page+"/review", form); a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != backupPage {
		t.Errorf("it is answered %d", a.StatusCode)
	}
	w.demands(route, object{"deliveryType": "automated", "snapshotId": snapshotID, "targetClusterName": "lab", "targetGroupId": otherGroup})
	for code, advice := range map[string]string{
		"INVALID_SNAPSHOT_RESTORE_ENCRYPTION": "is no longer valid: enable it again", "ENCRYPTION_AT_REST_KMS_UNREACHABLE": "Nothing was changed",
		"ATLAS_CLUSTER_RESTORE_IN_PROGRESS": "Wait until the restore to this cluster is over",
	} {
		w.api.set(route, refused{400, code, "No.", ""})
		w.post(page+"/review", form).says(t, code, advice, "All data of lab are overwritten")
	}
}

func TestRestore_warnsOfWhatWillBeRefused(t *testing.T) {
	t.Parallel()
	w := backupWorld(t, "GROUP_OWNER")
	for want, tt := range map[string]struct{ cluster, progress, snapshot object }{
		"and this cluster is not. It will be refused":      {object{"encryptionAtRestProvider": "NONE"}, nil, nil},
		"and this cluster is. It will be refused":          {nil, nil, object{"masterKeyUUID": ""}},
		"The cluster is paused":                            {object{"paused": true}, nil, nil},
		"the other is not. It will be refused":             {object{"clusterType": "SHARDED"}, nil, nil},
		"Another restore to this cluster is under way":     {nil, object{"restore": object{"id": "j"}}, nil},
		"The restore begins when its own key is valid aga": {nil, object{"disabled": object{"cloudProvider": "AWS"}}, nil},
	} {
		w.stand(aCluster(tt.cluster), itsProgress(tt.progress))
		w.api.set("GET "+backupAPI+"/snapshots/"+snapshotID, aSnapshot(tt.snapshot))
		w.get(shop+"/snapshots/"+snapshotID+"/restore/review?target="+groupID+"/shop").says(t, want)
	}
}

func TestRestores_tellHowFarTheyAreAndAreCancelled(t *testing.T) {
	t.Parallel()
	w := backupWorld(t, "GROUP_OWNER")
	job := func(changes object) object {
		j := object{"id": restoreJobID, "snapshotId": snapshotID, "targetClusterName": "shop", "targetGroupId": groupID, "timestamp": "2026-01-02T03:04:05Z"}
		maps.Copy(j, changes)
		return j
	}
	running := func(phase string) {
		w.stand(aCluster(nil), itsProgress(object{"restore": object{"id": restoreJobID, "fromClusterName": "shop", "phase": phase, "nodes": 3, "nodesDone": 1, "awaitedNodeIds": []any{"n1"}}}))
	}
	w.api.set("GET "+backupAPI+"/restoreJobs", listed(job(nil)))
	w.api.set("GET "+backupAPI+"/restoreJobs/"+restoreJobID, job(nil))
	running("PREPARING")
	w.get(backupPage).says(t, "Under way", "1 of 3 nodes are ready", "n1.example.net", "Cancel the restore…", "hx-trigger")
	running("RESTORING")
	w.get(backupPage).says(t, "1 of 3 nodes are restored", "!Cancel the restore…", "hx-trigger")
	w.api.set("GET "+backupAPI+"/restoreJobs", listed(job(object{"failed": true}), job(object{"cancelled": true}), job(object{"finishedAt": "2026-01-02T04:00:00Z"})))
	w.get(backupPage).says(t, ">Failed<", overview+"/activity", ">Cancelled<", ">Finished<", "!hx-trigger")

	cancel := shop + "/restores/" + restoreJobID + "/cancel"
	route := "DELETE " + backupAPI + "/restoreJobs/" + restoreJobID
	w.get(cancel).says(t, "Cancel the restore to shop?")
	w.api.set(route, refused{405, "METHOD_NOT_ALLOWED", "The restore has begun.", ""})
	w.post(cancel, nil).says(t, "METHOD_NOT_ALLOWED", "carried to its end")
	w.api.set(route, object{})
	if a := w.post(cancel, nil); a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != backupPage {
		t.Errorf("it is answered %d", a.StatusCode)
	}
}

func TestSchedule_isChangedRuleByRule(t *testing.T) {
	t.Parallel()
	w := backupWorld(t, "GROUP_BACKUP_MANAGER")
	page := w.get(shop + "/schedule")
	page.says(t, "Hourly snapshots", "Daily snapshots", "Yearly snapshots", `value="6" selected>Every 6 hours`, `value="off" selected>Off`)
	form := page.applied()
	for name, value := range map[string]string{
		"hour": "5", "minute": "30", "item0.interval": "12", "item0.value": "3", "item0.unit": "days", "item1.interval": "off", "item1.value": "7", "item1.unit": "days",
		"item2.interval": "6", "item2.value": "4", "item2.unit": "weeks", "item3.interval": "off", "item4.interval": "40", "item4.value": "12", "item4.unit": "months", "item5.interval": "off",
	} {
		form.Set(name, value)
	}
	route := "PATCH " + backupAPI + "/schedule"
	w.api.set(route, aSchedule())
	if a := w.post(shop+"/schedule", form); a.Header.Get("Location") != backupPage {
		t.Fatalf("it is answered %d %s", a.StatusCode, a.body)
	}
	item := func(id, frequency string, interval, value int, unit string) object {
		i := object{"frequencyType": frequency, "frequencyInterval": interval, "retentionValue": value, "retentionUnit": unit}
		if id != "" {
			i["id"] = id
		}
		return i
	}
	w.demands(route, object{
		"referenceHourOfDay": 5, "referenceMinuteOfHour": 30, "updateSnapshots": false, "policies": []any{object{"id": "p1", "policyItems": []any{
			item("i1", "hourly", 12, 3, "days"), item("i2", "weekly", 6, 4, "weeks"), item("", "monthly", 40, 12, "months"),
		}}},
	})
	w.api.set(route, refused{400, "INVALID_BACKUP_POLICY", "Invalid Backup Policy.", ""})
	w.post(shop+"/schedule", form).says(t, "INVALID_BACKUP_POLICY", `value="12" selected>Every 12 hours`)
	form.Set("item0.value", "none")
	w.post(shop+"/schedule", form).says(t, "whole number, from 1")
}
