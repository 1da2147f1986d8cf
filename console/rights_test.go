package console_test

import (
	"net/http"
	"testing"
)

// A question whose answer would be refused is not asked: whoever may not do it is told who may.
func TestConfirm_asksNobodyWhoMayNot(t *testing.T) {
	t.Parallel()
	config := configsPage + "/" + configID
	for path, who := range map[string]string{
		shop + "/power": "a Project Owner or a Project Cluster Manager.",
		shop + "/snapshots/" + snapshotID + "/delete":  "a Project Owner or a Project Backup Manager.",
		shop + "/restores/" + restoreJobID + "/cancel": "a Project Owner or a Project Backup Manager.",
		config + "/toggle": "a Project Owner.",
		config + "/delete": "a Project Owner.",
		config + "/notifications/" + notifierID + "/remove": "a Project Owner.",
		overview + "/maintenance/start":                     "a Project Owner.",
	} {
		w := backupWorld(t, "GROUP_OWNER")
		w.config(nil, webhook())
		w.api.set("GET /api/atlas/v2/eventTypes", listed())
		job := "GET " + backupAPI + "/restoreJobs/" + restoreJobID
		w.api.set(job, object{"id": restoreJobID, "targetClusterName": "shop"})
		w.get(path).says(t, `class="confirm"`, "!This takes")
		w.as("GROUP_READ_ONLY")
		w.api.set(job, refused{http.StatusUnauthorized, "USER_UNAUTHORIZED", "No.", ""})
		if a := w.get(path); a.StatusCode != http.StatusOK {
			t.Errorf("%s is answered %d", path, a.StatusCode)
		} else {
			a.says(t, "This takes "+who, `!class="confirm"`, `!type="submit">Delete`, "data-close>Back")
		}
	}
}
