package console_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// edit is the form of "shop" with a change.
func edit(changes url.Values) url.Values {
	d := draft(changes)
	d.Del("name")
	return d
}

func TestEdit_sendsWhatIsDifferentAlone(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		cluster object
		form    url.Values
		review  []string
		body    object
	}{
		"encryption on": {
			object{"encryptionAtRestProvider": "NONE"},
			edit(nil),
			[]string{"<strong>Yes, with AWS KMS</strong>", "initial sync", "one at a time", "quorum", "All 4 nodes", "three days", "Apply Changes"},
			object{"encryptionAtRestProvider": "AWS"},
		},
		"encryption off": {
			nil, edit(url.Values{"provider": {"NONE"}}),
			[]string{"<strong>No</strong>", "no longer encrypted with a key of yours", "Keep the key until", "quorum"},
			object{"encryptionAtRestProvider": "NONE"},
		},
		"backups and protection": {
			nil, edit(url.Values{"backup": {""}, "protect": {"on"}}),
			[]string{"No more snapshots are taken", "<strong>Off</strong>"},
			object{"backupEnabled": false, "terminationProtectionEnabled": true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := clusterWorld(t, "GROUP_OWNER")
			w.stand(aCluster(tt.cluster), itsProgress(nil))
			review := w.get(shop + "/review?" + tt.form.Encode())
			review.says(t, tt.review...)
			w.api.set("PATCH "+clustersAPI+"/shop", aCluster(nil))
			if a := w.post(shop+"/review", review.applied()); a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != shop {
				t.Fatalf("it is answered %d %s", a.StatusCode, a.body)
			}
			w.demands("PATCH "+clustersAPI+"/shop", tt.body)
		})
	}
}

func TestEdit_addsNodesAndKeepsWhatItDoesNotShow(t *testing.T) {
	t.Parallel()
	w := clusterWorld(t, "GROUP_CLUSTER_MANAGER")
	review := w.get(shop + "/review?" + edit(url.Values{"size": {"M30"}, "nodes0": {"5"}, "provider": {"NONE"}}).Encode())
	review.says(t, "2 nodes are added", "The nodes change to size M30", "three days", "!no longer encrypted")
	w.api.set("PATCH "+clustersAPI+"/shop", aCluster(nil))
	w.post(shop+"/review", review.applied())
	if sent := w.api.sent("PATCH " + clustersAPI + "/shop"); strings.Contains(sent, "encryptionAtRestProvider") || strings.Contains(sent, "effective") {
		t.Errorf("it sent %s", sent)
	}
	for _, part := range []string{
		`"id":"32b6e34b3d91647abb20e7d1"`, `"electableSpecs":{"diskSizeGB":30.0,"instanceSize":"M30","nodeCount":5}`,
		`"analyticsSpecs":{"diskSizeGB":30.0,"instanceSize":"M10","nodeCount":1}`, `"priority":7`,
	} {
		if sent := w.api.sent("PATCH " + clustersAPI + "/shop"); !strings.Contains(sent, part) {
			t.Errorf("%s is not in %s", part, sent)
		}
	}
}

func TestEdit_refusesWhatWouldNotDo(t *testing.T) {
	t.Parallel()
	w := clusterWorld(t, "GROUP_OWNER")
	w.get(shop+"/review?"+edit(url.Values{"provider": {"AZURE"}}).Encode()).says(t, "cannot go from one provider to another at once", "!Apply Changes")
	same := w.get(shop + "/review?" + edit(nil).Encode())
	same.says(t, "No node is touched")
	if a := w.post(shop+"/review", same.applied()); a.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(a.body, "Nothing is different") {
		t.Errorf("without a difference: %d", a.StatusCode)
	}
	w.stand(aCluster(object{"paused": true}), itsProgress(nil))
	w.get(shop+"/edit").says(t, "while it is paused", "!Review Changes")
	if slices.Contains(w.api.asked(), "PATCH "+clustersAPI+"/shop") {
		t.Error("it changed the cluster")
	}
}

func TestEdit_reviewsAnewWhatSomebodyElseChanged(t *testing.T) {
	t.Parallel()
	w := clusterWorld(t, "GROUP_OWNER")
	w.api.set("PATCH "+clustersAPI+"/shop", aCluster(nil))
	review := w.get(shop + "/review?" + edit(url.Values{"provider": {"NONE"}}).Encode())
	w.stand(aCluster(object{"terminationProtectionEnabled": true}), itsProgress(nil))
	again := w.post(shop+"/review", review.applied())
	again.says(t, "Nothing was changed", "Somebody changed the cluster", "Apply Changes", "<strong>No</strong>", "!correct the form")
	if again.StatusCode != http.StatusUnprocessableEntity || slices.Contains(w.api.asked(), "PATCH "+clustersAPI+"/shop") {
		t.Errorf("it is answered %d", again.StatusCode)
	}
	if a := w.post(shop+"/review", again.applied()); a.StatusCode != http.StatusSeeOther {
		t.Errorf("reviewed again it is answered %d", a.StatusCode)
	}

	w.api.set("PATCH "+clustersAPI+"/shop", refused{409, "CONCURRENT_MODIFICATION", "Try again.", ""})
	a := w.post(shop+"/review", w.get(shop+"/review?"+edit(url.Values{"provider": {"NONE"}}).Encode()).applied())
	a.says(t, "CONCURRENT_MODIFICATION", "Look at how it stands now", "Apply Changes")
}

func TestEdit_keepsAProviderWhoseKeyIsOutOfUse(t *testing.T) {
	t.Parallel()
	w := clusterWorld(t, "GROUP_OWNER")
	w.api.set("GET "+settingsAPI, object{"awsKms": object{"enabled": true, "valid": false}, "azureKeyVault": object{}, "googleCloudKms": object{}})
	w.get(shop+"/edit").says(t, `value="AWS" selected>Yes, with AWS KMS (not valid)`)
	w.get(shop+"/review?"+edit(url.Values{"size": {"M30"}}).Encode()).says(t, "The nodes change to size M30", "Apply Changes")
}

func TestEdit_leavesShardsThatDifferAlone(t *testing.T) {
	t.Parallel()
	w := clusterWorld(t, "GROUP_OWNER")
	shard := func(nodes int) object {
		return object{"id": "s", "regionConfigs": []any{object{"providerName": "AWS", "regionName": "US_EAST_1", "priority": 7, "electableSpecs": object{"instanceSize": "M10", "nodeCount": nodes}}}}
	}
	w.stand(aCluster(object{"clusterType": "SHARDED", "replicationSpecs": []any{shard(3), shard(5)}}), itsProgress(nil))
	w.get(shop+"/edit").says(t, "differ from each other", "!Instance size")
	w.api.set("PATCH "+clustersAPI+"/shop", aCluster(nil))
	review := w.get(shop + "/review?" + edit(url.Values{"provider": {"NONE"}, "size": {"M30"}}).Encode())
	w.post(shop+"/review", review.applied())
	w.demands("PATCH "+clustersAPI+"/shop", object{"encryptionAtRestProvider": "NONE"})
}

func TestDelete_needsTheNameAndSaysWhatBecomesOfSnapshots(t *testing.T) {
	t.Parallel()
	w := clusterWorld(t, "GROUP_OWNER")
	route := "DELETE " + clustersAPI + "/shop"
	w.api.set(route, object{})
	w.get(shop+"/delete").says(t, "This cannot be undone", "4 nodes", `data-expect="shop"`)
	if a := w.post(shop+"/delete", url.Values{"typed": {"shops"}}); a.StatusCode != http.StatusUnprocessableEntity || slices.Contains(w.api.asked(), route) {
		t.Errorf("with another name: %d", a.StatusCode)
	}
	for form, want := range map[string]string{"": "retainBackups=false", "on": "retainBackups=true"} {
		if a := w.post(shop+"/delete", url.Values{"typed": {"shop"}, "retain": {form}}); a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != clusterList {
			t.Errorf("it is answered %d", a.StatusCode)
		}
		if q := w.api.query(route); q != want {
			t.Errorf("it asked %q", q)
		}
	}
	w.stand(aCluster(object{"terminationProtectionEnabled": true}), itsProgress(nil))
	w.get(shop+"/delete").says(t, "Termination protection is on", "!Delete the cluster<")
}

func TestPower_pausesAndResumes(t *testing.T) {
	t.Parallel()
	w := clusterWorld(t, "GROUP_OWNER")
	route := "PATCH " + clustersAPI + "/shop"
	for paused, question := range map[bool]string{false: "Pause shop?", true: "Resume shop?"} {
		w.stand(aCluster(object{"paused": paused}), itsProgress(nil))
		w.api.set(route, aCluster(nil))
		a := w.get(shop + "/power")
		a.says(t, question)
		w.post(shop+"/power", a.applied())
		w.demands(route, object{"paused": !paused})
	}
	w.api.set(route, refused{409, "CANNOT_PAUSE_CLUSTER_WITH_PENDING_CHANGES", "Cannot pause.", ""})
	w.post(shop+"/power", url.Values{"paused": {"true"}}).says(t, "CANNOT_PAUSE_CLUSTER_WITH_PENDING_CHANGES", "Wait until the changes have ended")
}
