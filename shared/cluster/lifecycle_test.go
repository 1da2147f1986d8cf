package cluster_test

import (
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/shared/cluster"
	"latchkey/shared/identity"
	"latchkey/shared/project"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

func TestAClusterLivesFromCreatingToNotFound(t *testing.T) {
	w := newWorld(t)
	status, answer, _ := w.call(http.MethodPost, "/clusters", body("c1", ""))
	if status != 201 || answer["stateName"] != "CREATING" || w.header.Get("Location") == "" {
		t.Errorf("create answers %d %v", status, answer)
	}
	if strings, _ := answer["connectionStrings"].(map[string]any); strings == nil || len(strings) > 0 {
		t.Errorf("a cluster that is being created has the connection strings %v", answer["connectionStrings"])
	}
	w.work("c1")
	if got := w.state("c1"); got != "IDLE" {
		t.Errorf("a finished cluster is %s", got)
	}
	w.must(http.MethodPatch, "/clusters/c1", `{"replicationSpecs":[`+spec(5)+`]}`)
	if got := w.state("c1"); got != "UPDATING" {
		t.Errorf("a growing cluster is %s", got)
	}
	w.work("c1")
	if got, nodes := w.state("c1"), len(w.load("c1").Nodes); got != "IDLE" || nodes != 5 {
		t.Errorf("a grown cluster is %s with %d nodes", got, nodes)
	}
	status, answer, _ = w.call(http.MethodDelete, "/clusters/c1", "")
	if status != 202 || len(answer) != 0 {
		t.Errorf("delete answers %d %v", status, answer)
	}
	if got := w.state("c1"); got != "DELETING" {
		t.Errorf("a cluster that was asked to go is %s", got)
	}
	w.work("c1")
	answer = w.fail(http.MethodGet, "/clusters/c1", "", 404, "CLUSTER_NOT_FOUND")
	if diff := cmp.Diff([]any{"c1", w.group}, answer["parameters"]); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"create", "update", "delete"}, w.starter.names()); diff != "" {
		t.Error(diff)
	}
	want := []string{
		"CLUSTER_CREATED", "CLUSTER_READY", "CLUSTER_UPDATE_SUBMITTED", "CLUSTER_UPDATE_STARTED", "CLUSTER_UPDATE_COMPLETED",
		"CLUSTER_DELETE_SUBMITTED", "CLUSTER_DELETED",
	}
	if diff := cmp.Diff(slices.Sorted(slices.Values(want)), slices.Sorted(slices.Values(w.events()))); diff != "" {
		t.Error(diff)
	}
}

// Terraform disables the project's encryption and deletes the project right after the 404.
func TestWhatADeletedClusterBlockedIsFreeAtTheFirst404AndNotBefore(t *testing.T) {
	w := newWorld(t)
	d := w.create("c1", `"encryptionAtRestProvider":"AWS",`)
	w.must(http.MethodDelete, "/clusters/c1", "")
	for range 10 {
		if w.state("c1") == "" {
			break
		}
		g, err := w.projects.Open(t.Context(), w.group)
		if err != nil {
			t.Fatal(err)
		}
		if g.Uses[project.Clusters] != 1 || len(w.used("AWS")) != 1 {
			t.Errorf("a cluster that answers GET counts %d and uses %v", g.Uses[project.Clusters], w.used("AWS"))
		}
		w.obey(w.load("c1"))
		if _, err := w.service.FinishDelete(t.Context(), d.ID); err != nil {
			t.Fatal(err)
		}
	}
	g, err := w.projects.Open(t.Context(), w.group)
	if err != nil {
		t.Fatal(err)
	}
	if g.Uses[project.Clusters] != 0 || len(w.used("AWS")) != 0 {
		t.Errorf("a cluster that is gone counts %d and uses %v", g.Uses[project.Clusters], w.used("AWS"))
	}
	if err := w.disableProvider("AWS"); err != nil {
		t.Error(err)
	}
	if done, err := w.service.FinishDelete(t.Context(), d.ID); !done || err != nil {
		t.Errorf("a late repetition says %t, %v", done, err)
	}
	if err := w.projects.Close(t.Context(), w.caller, w.group); err != nil {
		t.Errorf("the group can't be closed: %v", err)
	}
}

func TestANameIsFreeAgainAfterTheCluster(t *testing.T) {
	w := newWorld(t)
	first := w.create("c1", "")
	w.fail(http.MethodPost, "/clusters", body("c1", ""), 400, "DUPLICATE_CLUSTER_NAME")
	w.must(http.MethodDelete, "/clusters/c1", "")
	w.fail(http.MethodPost, "/clusters", body("c1", ""), 400, "DUPLICATE_CLUSTER_NAME")
	w.work("c1")
	second := w.create("c1", "")
	if first.ID == second.ID || first.Nodes[0].Alias == second.Nodes[0].Alias {
		t.Errorf("the new cluster is %s at %s, as the old one was", second.ID, second.Nodes[0].Alias)
	}
}

func TestAnUpdateDuringAPlanWaitsForItsEnd(t *testing.T) {
	w := newWorld(t)
	w.must(http.MethodPost, "/clusters", body("c1", ""))
	answer := w.must(http.MethodPatch, "/clusters/c1", `{"replicationSpecs":[`+spec(5)+`]}`)
	if answer["stateName"] != "CREATING" {
		t.Errorf("the update answers %v", answer["stateName"])
	}
	if n := len(w.load("c1").Nodes); n != 3 {
		t.Errorf("the cluster has %d nodes before it is created", n)
	}
	if answer := w.must(http.MethodGet, "/clusters/c1/status", ""); answer["changeStatus"] != "PENDING" {
		t.Errorf("status %v", answer)
	}
	w.work("c1")
	d := w.load("c1")
	if len(d.Nodes) != 5 || d.State() != cluster.Idle || d.Queued() {
		t.Errorf("in the end the cluster is %s with %d nodes", d.State(), len(d.Nodes))
	}
	if answer := w.must(http.MethodGet, "/clusters/c1/status", ""); answer["changeStatus"] != "APPLIED" {
		t.Errorf("status %v", answer)
	}
	if diff := cmp.Diff([]string{"create", "update"}, w.starter.names()); diff != "" {
		t.Error(diff)
	}
}

func TestADisabledClusterStopsQueuesUpdatesAndComesBack(t *testing.T) {
	w := newWorld(t)
	d := w.create("c1", `"encryptionAtRestProvider":"AWS",`)
	for range 2 { // the second is a repetition
		if err := w.service.Disable(t.Context(), d.ID, "AWS", "KEY_DISABLED"); err != nil {
			t.Fatal(err)
		}
	}
	w.obey(w.load("c1"))
	d = w.load("c1")
	if slices.ContainsFunc(d.Nodes, cluster.Node.Running) || d.State() != cluster.Idle || d.Availability() != "dead" {
		t.Errorf("the disabled cluster is %s, %s", d.State(), d.Availability())
	}
	answer := w.must(http.MethodPatch, "/clusters/c1", `{"replicationSpecs":[`+spec(5)+`]}`)
	if answer["stateName"] != "IDLE" || len(w.load("c1").Nodes) != 3 {
		t.Errorf("the update of a disabled cluster answers %v; %d nodes", answer["stateName"], len(w.load("c1").Nodes))
	}
	if err := w.service.Enable(t.Context(), d.ID, "AZURE"); err != nil || w.load("c1").Disabled == nil {
		t.Errorf("another provider's key enables the cluster, %v", err)
	}
	if err := w.service.Enable(t.Context(), d.ID, "AWS"); err != nil {
		t.Fatal(err)
	}
	if d = w.load("c1"); d.State() != cluster.Updating {
		t.Errorf("with the key back the cluster is %s", d.State())
	}
	w.work("c1")
	if d = w.load("c1"); d.State() != cluster.Idle || len(d.Nodes) != 5 || d.Availability() != "available" {
		t.Errorf("in the end the cluster is %s, %s with %d nodes", d.State(), d.Availability(), len(d.Nodes))
	}
	types := w.events()
	if n := len(slices.DeleteFunc(types, func(s string) bool { return s != "CLUSTER_INSTANCE_DISABLED" && s != "CLUSTER_INSTANCE_ENABLED" })); n != 2 {
		t.Errorf("%d events of being disabled and enabled", n)
	}
}

func TestADisabledClusterCanBeDeleted(t *testing.T) {
	w := newWorld(t)
	d := w.create("c1", `"encryptionAtRestProvider":"AWS",`)
	if err := w.service.Disable(t.Context(), d.ID, "AWS", "KEY_DELETED"); err != nil {
		t.Fatal(err)
	}
	w.must(http.MethodDelete, "/clusters/c1", "")
	w.work("c1")
	w.fail(http.MethodGet, "/clusters/c1", "", 404, "CLUSTER_NOT_FOUND")
}

func TestDisableLeavesAloneWhatNeedsNoKey(t *testing.T) {
	w := newWorld(t)
	plain := w.create("plain", "")
	gcp := w.create("gcp", `"encryptionAtRestProvider":"GCP",`)
	for _, d := range []cluster.Deployment{plain, gcp} {
		if err := w.service.Disable(t.Context(), d.ID, "AWS", "KEY_DISABLED"); err != nil {
			t.Fatal(err)
		}
		if w.load(d.Name).Disabled != nil {
			t.Errorf("%s is disabled", d.Name)
		}
	}
}

func TestANodeThatIsDownMakesTheClusterRepair(t *testing.T) {
	w := newWorld(t)
	d := w.create("c1", "")
	n := d.Nodes[1]
	if _, err := w.service.ReportNode(t.Context(), d.ID, n.ID, cluster.Reported{State: cluster.Stop, Acked: n.Desired.Number}); err != nil {
		t.Fatal(err)
	}
	if got := w.state("c1"); got != "REPAIRING" {
		t.Errorf("a cluster with a dead node is %s", got)
	}
}

func TestAPausedClusterStopsAndResumes(t *testing.T) {
	w := newWorld(t)
	w.create("c1", "")
	w.must(http.MethodPatch, "/clusters/c1", `{"paused":true}`)
	w.work("c1")
	if d := w.load("c1"); d.State() != cluster.Idle || slices.ContainsFunc(d.Nodes, cluster.Node.Running) {
		t.Errorf("the paused cluster is %s", d.State())
	}
	answer := w.must(http.MethodPatch, "/clusters/c1", `{"paused":false}`)
	if answer["paused"] != false || answer["stateName"] != "UPDATING" {
		t.Errorf("resuming answers %v %v", answer["paused"], answer["stateName"])
	}
	w.work("c1")
	answer = w.fail(http.MethodPatch, "/clusters/c1", `{"paused":true}`, 400, "CANNOT_PAUSE_RECENTLY_RESUMED_CLUSTER")
	if diff := cmp.Diff([]any{60.0}, answer["parameters"]); diff != "" {
		t.Error(diff)
	}
	w.clock.Advance(time.Hour)
	w.must(http.MethodPatch, "/clusters/c1", `{"paused":true}`)
}

func TestAChangeOfEncryptionTakesOneNodeAtATimeAndThePrimaryLast(t *testing.T) {
	w := newWorld(t)
	d := w.create("c1", "")
	primary, _ := d.Primary(d.Spec.Shards[0].ID)
	w.must(http.MethodPatch, "/clusters/c1", `{"encryptionAtRestProvider":"AWS"}`)
	var order []string
	for range 20 {
		d = w.load("c1")
		if d.Plan == nil {
			break
		}
		if n, ok := d.NextResync(); ok {
			order = append(order, n.ID)
		}
		w.step(d)
		if next, ok := w.load("c1").NextResync(); ok {
			t.Errorf("while a node resyncs, %s would be next", next.ID)
		}
		w.obey(w.load("c1"))
	}
	if len(order) != 3 || order[2] != primary.ID {
		t.Errorf("nodes were taken in the order %v, the primary is %s", order, primary.ID)
	}
	if d = w.load("c1"); d.State() != cluster.Idle {
		t.Errorf("in the end the cluster is %s", d.State())
	}
}

func TestAResyncThatWasCutOffByALostKeyIsTakenUpAgain(t *testing.T) {
	w := newWorld(t)
	w.create("c1", "")
	w.must(http.MethodPatch, "/clusters/c1", `{"encryptionAtRestProvider":"AWS"}`)
	w.step(w.load("c1")) // a node is told to resync
	d := w.load("c1")
	if err := w.service.Disable(t.Context(), d.ID, "AWS", "KEY_DISABLED"); err != nil {
		t.Fatal(err)
	}
	w.obey(w.load("c1"))
	if err := w.service.Enable(t.Context(), d.ID, "AWS"); err != nil {
		t.Fatal(err)
	}
	commands := map[cluster.Command]int{}
	for _, n := range w.load("c1").Nodes {
		commands[n.Desired.Command]++
	}
	if diff := cmp.Diff(map[cluster.Command]int{cluster.ResyncCommand: 1, cluster.StartCommand: 2}, commands); diff != "" {
		t.Error(diff)
	}
	w.work("c1")
	if d := w.load("c1"); d.State() != cluster.Idle {
		t.Errorf("in the end the cluster is %s", d.State())
	}
}

func TestARolledBackUpdateReturnsToWhatWas(t *testing.T) {
	w := newWorld(t)
	w.create("c1", "")
	w.must(http.MethodPatch, "/clusters/c1", `{"encryptionAtRestProvider":"AWS"}`)
	d := w.load("c1")
	if err := w.service.RollBack(t.Context(), d.ID, d.Plan.Spec.Revision, "no way to the key for three days"); err != nil {
		t.Fatal(err)
	}
	if err := w.service.RollBack(t.Context(), d.ID, d.Plan.Spec.Revision, "a repetition"); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(w.used("AWS"), []string{"c1"}) {
		t.Error("nodes may be encrypted already, but the key is free")
	}
	w.work("c1")
	if d = w.load("c1"); d.Spec.Provider != cluster.None || d.State() != cluster.Idle || len(w.used("AWS")) != 0 {
		t.Errorf("after the way back the cluster is %s with %s; the key is used by %v", d.State(), d.Spec.Provider, w.used("AWS"))
	}
	if told := slices.DeleteFunc(w.events(), func(e string) bool { return e != string(cluster.EventRolledBack) }); len(told) != 1 {
		t.Errorf("told %d times", len(told))
	}
	w.must(http.MethodPatch, "/clusters/c1/processArgs", `{"javascriptEnabled":false}`)
	if !slices.Contains(w.events(), string(cluster.EventArgsSubmitted)) {
		t.Errorf("told %v", w.events())
	}
}

func TestACreationThatIsRolledBackLeavesNothing(t *testing.T) {
	w := newWorld(t)
	w.must(http.MethodPost, "/clusters", body("c1", `"encryptionAtRestProvider":"AWS",`))
	d := w.load("c1")
	if err := w.service.RollBack(t.Context(), d.ID, 1, "no way to the key for three days"); err != nil {
		t.Fatal(err)
	}
	w.work("c1")
	w.fail(http.MethodGet, "/clusters/c1", "", 404, "CLUSTER_NOT_FOUND")
}

func TestAWorkflowThatCouldNotBeStartedIsStartedLater(t *testing.T) {
	w := newWorld(t)
	w.starter.fails = errors.New("step functions are away")
	if status, _, _ := w.call(http.MethodPost, "/clusters", body("c1", "")); status != 201 {
		t.Errorf("create answers %d", status)
	}
	if _, err := w.service.Resume(t.Context(), w.starter); err == nil {
		t.Error("resuming fails silently")
	}
	w.starter.fails = nil
	if r, err := w.service.Resume(t.Context(), w.starter); r.Plans != 1 || err != nil {
		t.Errorf("%+v, %v", r, err)
	}
	if diff := cmp.Diff([]string{"create"}, w.starter.names()); diff != "" {
		t.Error(diff)
	}
	w.work("c1")
	if r, err := w.service.Resume(t.Context(), w.starter); r.Plans != 0 || err != nil {
		t.Errorf("after the end there are %+v, %v", r, err)
	}
}

func TestNodesThatWereNeverWrittenAreMadeUpFor(t *testing.T) {
	w := newWorld(t)
	w.must(http.MethodPost, "/clusters", body("c1", ""))
	d := w.load("c1")
	for _, n := range d.Nodes[1:] { // as if the process had died after the cluster's record
		if err := w.table.Write(t.Context(), store.Delete(keys.Node(d.ID, n.ID), n.Version())); err != nil {
			t.Fatal(err)
		}
	}
	if done, err := w.service.MarkReady(t.Context(), d.ID, 1); done || err != nil {
		t.Errorf("a cluster without its nodes is ready: %t, %v", done, err)
	}
	if _, err := w.service.Resume(t.Context(), w.starter); err != nil {
		t.Fatal(err)
	}
	if n := len(w.load("c1").Nodes); n != 3 {
		t.Errorf("the cluster has %d nodes", n)
	}
}

func TestAClusterOfMoreNodesThanATransactionHoldsIsMade(t *testing.T) {
	w := newWorld(t)
	w.version = "2023-02-01"
	w.must(http.MethodPost, "/clusters", `{"name":"big","clusterType":"SHARDED","replicationSpecs":[{"numShards":50,`+spec(5)[1:]+`]}`)
	if n := len(w.load("big").Nodes); n != 250 {
		t.Errorf("the cluster has %d nodes", n)
	}
}

func TestANewerPlanMakesAnOlderOneHarmless(t *testing.T) {
	w := newWorld(t)
	node := w.create("c1", "").Nodes[0]
	w.must(http.MethodPatch, "/clusters/c1", `{"replicationSpecs":[`+spec(5)+`]}`)
	d := w.load("c1")
	w.must(http.MethodDelete, "/clusters/c1", "")
	if done, err := w.service.MarkReady(t.Context(), d.ID, d.Plan.Spec.Revision); !done || err != nil {
		t.Errorf("the superseded plan is done: %t, %v", done, err)
	}
	if err := w.service.RollBack(t.Context(), d.ID, d.Plan.Spec.Revision, "late"); err != nil {
		t.Fatal(err)
	}
	if got := w.state("c1"); got != "DELETING" {
		t.Errorf("the cluster is %s", got)
	}
	n, err := w.service.SetDesired(t.Context(), d.ID, node.ID, cluster.Order{ID: "late", Command: cluster.RotateCommand})
	if err != nil || !n.Leaving() {
		t.Errorf("a node that has to go was told to %s, %v", n.Desired.Command, err)
	}
}

func TestReadersMayReadAndManagersMayNotDelete(t *testing.T) {
	w := newWorld(t)
	w.create("c1", "")
	w.caller = w.as(identity.GroupReadOnly)
	w.must(http.MethodGet, "/clusters/c1", "")
	w.fail(http.MethodPatch, "/clusters/c1", `{}`, 401, "USER_UNAUTHORIZED")
	w.caller = w.as(identity.GroupClusterManager)
	w.must(http.MethodPatch, "/clusters/c1", `{"replicationSpecs":[`+spec(5)+`]}`)
	w.fail(http.MethodPatch, "/clusters/c1", `{"encryptionAtRestProvider":"AWS"}`, 401, "USER_UNAUTHORIZED")
	w.fail(http.MethodPatch, "/clusters/c1", `{"terminationProtectionEnabled":true}`, 401, "USER_UNAUTHORIZED")
	w.fail(http.MethodPost, "/clusters", body("c2", ""), 401, "USER_UNAUTHORIZED")
	w.fail(http.MethodDelete, "/clusters/c1", "", 401, "USER_UNAUTHORIZED")
	denied := 0
	for _, e := range w.events() {
		if e == "ACCESS_DENIED" {
			denied++
		}
	}
	if denied != 5 {
		t.Errorf("%d denials were recorded", denied)
	}
}
