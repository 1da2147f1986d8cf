package progress_test

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
	"latchkey/shared/progress"
)

var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// nodes are running, unencrypted and at rest.
func nodes(n int) []cluster.Node {
	all := make([]cluster.Node, n)
	for i := range all {
		all[i] = cluster.Node{
			ID: "n" + strconv.Itoa(i), PublicKey: []byte("k"), Desired: cluster.Desired{State: cluster.Run, Provider: cluster.None, Number: 1},
			Reported: cluster.Reported{State: cluster.Run, Provider: cluster.None, Acked: 1, LastSeen: noon.Add(-time.Minute)},
		}
	}
	return all
}

func encrypting(all []cluster.Node) cluster.Deployment {
	return cluster.Deployment{Nodes: all, Cluster: cluster.Cluster{
		ID: "c", Spec: cluster.Spec{Provider: atlas.AWS, Revision: 2}, Applied: &cluster.Spec{Provider: cluster.None, Revision: 1},
		Plan: &cluster.Plan{Kind: cluster.Update, Spec: cluster.Spec{Provider: atlas.AWS, Revision: 2}, Started: noon.Add(-time.Hour), Attempt: 1},
	}}
}

func TestProject_counts_the_nodes_of_an_initial_sync(t *testing.T) {
	all := nodes(3)
	all[0].Desired.Provider, all[0].Reported.Provider = atlas.AWS, atlas.AWS
	all[1] = all[1].Told(cluster.Order{ID: "sync", Command: cluster.ResyncCommand, State: cluster.Run, Provider: atlas.AWS})
	all[1].Reported.State = cluster.Stop
	d := encrypting(all)
	got := progress.Project(d, noon)
	want := &progress.Work{Nodes: 3, Done: 1, At: []string{"n1"}, Awaited: []string{"n1", "n2"}, Wait: progress.ForNodes}
	if diff := cmp.Diff(want, got.Work); diff != "" {
		t.Errorf("want (-) and got (+):\n%s", diff)
	}
	if s := got.Members; s[0].Status != progress.Running || s[1].Status != progress.Syncing || s[2].Status != progress.Running {
		t.Errorf("the nodes are %s, %s, %s", s[0].Status, s[1].Status, s[2].Status)
	}

	d.Plan.Blocked = noon.Add(-time.Minute)
	if w := progress.Project(d, noon).Work; w.Wait != progress.ForKey || !w.Since.Equal(d.Plan.Blocked) {
		t.Errorf("with the key out of use: %+v", w)
	}
	d.Disabled = &cluster.Disabled{Provider: atlas.AWS, Reason: "KEY_DISABLED", Since: noon}
	if w := progress.Project(d, noon).Work; w.Wait != progress.ForKey || w.Reason != "KEY_DISABLED" || !w.Since.Equal(noon) {
		t.Errorf("with the key taken away: %+v", w)
	}
	d.Plan = nil
	if w := progress.Project(d, noon).Work; w != nil {
		t.Errorf("without a plan: %+v", w)
	}
}

func TestProject_tells_what_a_node_does(t *testing.T) {
	told := func(c cluster.Command, state cluster.Power) func(*cluster.Node) {
		return func(n *cluster.Node) { *n = n.Told(cluster.Order{Command: c, State: state, Provider: atlas.AWS}) }
	}
	tests := map[string]struct {
		change func(*cluster.Node)
		want   progress.Status
	}{
		"at rest":             {func(*cluster.Node) {}, progress.Running},
		"no agent":            {func(n *cluster.Node) { n.PublicKey = nil }, progress.Unclaimed},
		"to be destroyed":     {told(cluster.DeleteCommand, cluster.Stop), progress.Leaving},
		"rebuilds its data":   {told(cluster.ResyncCommand, cluster.Run), progress.Syncing},
		"restores a snapshot": {told(cluster.RestoreCommand, cluster.Run), progress.Reverting},
		"is told to stop":     {told(cluster.StopCommand, cluster.Stop), progress.Stopping},
		"rewraps meanwhile":   {told(cluster.RewrapCommand, cluster.Run), progress.Running},
		"waits for its key":   {func(n *cluster.Node) { n.Reported.State = cluster.Stop }, progress.Starting},
		"is stopped": {func(n *cluster.Node) {
			n.Desired.State, n.Reported.State = cluster.Stop, cluster.Stop
		}, progress.Stopped},
		"cannot rebuild": {func(n *cluster.Node) {
			told(cluster.ResyncCommand, cluster.Run)(n)
			n.Reported.Acked, n.Reported.Failure = n.Desired.Number, cluster.Failure{Command: n.Desired.Number, Reason: "NO_SOURCE"}
		}, progress.Running},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			n := nodes(1)
			tt.change(&n[0])
			if got := progress.Project(cluster.Deployment{Nodes: n}, noon).Members[0]; got.Status != tt.want || got.IsSilent {
				t.Errorf("it is %s, silent %t", got.Status, got.IsSilent)
			}
			if late := progress.Project(cluster.Deployment{Nodes: n}, noon.Add(time.Hour)).Members[0]; !late.IsSilent {
				t.Error("after an hour without a word it is not silent")
			}
		})
	}
}

func TestProject_bounds_what_it_lists_and_counts_every_node_once(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		all := nodes(rapid.IntRange(0, 80).Draw(rt, "nodes"))
		for i := range all {
			switch rapid.IntRange(0, 2).Draw(rt, "node") {
			case 0:
				all[i].Desired.Provider, all[i].Reported.Provider = atlas.AWS, atlas.AWS
			case 1:
				all[i] = all[i].Told(cluster.Order{Command: cluster.ResyncCommand, State: cluster.Run, Provider: atlas.AWS})
			}
		}
		w := progress.Project(encrypting(all), noon).Work
		if w.Nodes != len(all) || len(w.Awaited) != min(50, w.Nodes-w.Done) || len(w.At) > w.Nodes-w.Done {
			rt.Errorf("of %d nodes: %+v", len(all), w)
		}
		if slices.ContainsFunc(w.Awaited, func(id string) bool { return id == "" }) {
			rt.Errorf("it waits for %q", w.Awaited)
		}
	})
}
