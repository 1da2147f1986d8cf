package fleettasks_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/local/states/engine"
	"latchkey/local/states/statestest"
	"latchkey/shared/cluster"
	"latchkey/shared/verdict"
	"latchkey/shared/workflow"
)

func TestAKeyOfWhichNoClusterIsEncryptedStartsNothing(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.create("plain", "NONE")
		w.settled("plain", time.Minute)
		w.key.Break(verdict.KeyDeleted)
		w.pass(40 * time.Minute)
		if ends := w.Ends(w.t, workflow.EnforceValidity); len(ends) > 0 || w.up("plain") != 3 {
			t.Errorf("%v; %d nodes run", ends, w.up("plain"))
		}
	})
}

func TestOnlyInvalidStopsNodes(t *testing.T) {
	t.Parallel()
	for _, r := range []verdict.Reason{verdict.NetworkRefused, verdict.ConnectFailed, verdict.RateLimited, verdict.OurCredentials, verdict.Internal} {
		inWorld(t, func(w *world) {
			w.create("c1", "AWS")
			w.settled("c1", time.Minute)
			w.key.Break(r)
			w.pass(50 * time.Minute)
			if ends := w.Ends(w.t, workflow.EnforceValidity); len(ends) > 0 || w.up("c1") != 3 {
				t.Errorf("%s: %v; %d nodes run", r, ends, w.up("c1"))
			}
		})
	}
}

func TestAllClustersOfAKeyStopAndStart(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		for _, name := range []string{"a", "b"} {
			w.create(name, "AWS")
			w.settled(name, time.Minute)
		}
		w.create("plain", "NONE")
		w.settled("plain", time.Minute)
		w.key.Break(verdict.KeyPendingDeletion)
		if !w.until(17*time.Minute, func() bool { return w.up("a")+w.up("b") == 0 }) {
			t.Errorf("%d and %d nodes run", w.up("a"), w.up("b"))
		}
		w.pass(2 * time.Hour)
		if w.up("plain") != 3 {
			t.Errorf("%d nodes of another cluster run", w.up("plain"))
		}
		w.key.Break(verdict.OK)
		w.settled("a", 3*time.Minute)
		w.settled("b", time.Minute)
		w.pass(time.Minute)
		if diff := cmp.Diff([]string{"SUCCEEDED Nodes stopped", "SUCCEEDED Nodes running"}, w.Ends(w.t, workflow.EnforceValidity)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestAVerdictThatTurnsWhileNodesStopTurnsThemAround(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.create("c1", "AWS")
		d := w.settled("c1", time.Minute)
		w.nodes.deaf = map[string]bool{d.Nodes[0].ID: true} // so that the execution waits
		w.key.Break(verdict.AccessDenied)
		w.until(17*time.Minute, func() bool { return w.load("c1").Disabled != nil })
		w.pass(30 * time.Second)
		w.key.Break(verdict.OK)
		w.pass(2 * time.Minute)
		w.nodes.deaf = nil
		w.settled("c1", 3*time.Minute)
		w.pass(time.Minute)
		for _, end := range w.Ends(w.t, workflow.EnforceValidity) {
			if end != "SUCCEEDED Nodes running" {
				t.Errorf("an execution ends in %q", end)
			}
		}
	})
}

func TestANodeThatIsNotHeardOfIsListedAndNotWaitedForForEver(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.create("c1", "AWS")
		silent := w.settled("c1", time.Minute).Nodes[1].ID
		w.nodes.deaf = map[string]bool{silent: true}
		w.key.Break(verdict.KeyDisabled)
		w.pass(40 * time.Minute)
		list, _, err := w.Engine.List(w.Engine.MachineARN("enforce-validity"), "", engine.Page{})
		w.must(err)
		if len(list) != 1 {
			t.Fatalf("%d executions", len(list))
		}
		r := statestest.Read(t, w.Engine, list[0].ARN)
		if last := r.Path[len(r.Path)-1]; last != "Some nodes have not followed" || r.Took < 15*time.Minute || r.Took > 17*time.Minute {
			t.Errorf("it ends in %q after %s", last, r.Took)
		}
		if want := `"missing":["` + silent + `"]`; !strings.Contains(r.Output, want) {
			t.Errorf("the output is %s, want %s in it", r.Output, want)
		}
		w.nodes.deaf = nil
		w.pass(time.Minute)
		if w.up("c1") > 0 {
			t.Error("the node does not stop once it is heard of")
		}
	})
}

func TestAShardThatMovesKeepsItsDataAndItsMajority(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.create("c1", "AWS")
		w.settled("c1", time.Minute)
		w.watch = func() {
			running := 0
			for _, n := range w.load("c1").Nodes {
				if m := w.nodes.minds[n.ID]; m != nil && m.isUp && !n.Leaving() {
					running++
				}
			}
			if running < 3 {
				t.Errorf("%d nodes run", running)
			}
		}
		w.update("c1", `{"replicationSpecs":[{"regionConfigs":[{"providerName":"AWS","regionName":"EU_WEST_1","priority":7,`+
			`"electableSpecs":{"instanceSize":"M10","nodeCount":3}}]}]}`)
		for _, n := range w.settled("c1", 10*time.Minute).Nodes {
			if n.Region != "EU_WEST_1" {
				t.Errorf("a node is in %s", n.Region)
			}
		}
	})
}

func TestADisabledClusterCanBeDeleted(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.create("c1", "AWS")
		w.settled("c1", time.Minute)
		w.key.Break(verdict.KeyDeleted)
		w.until(17*time.Minute, func() bool { return w.up("c1") == 0 })
		w.must(w.clusters.Delete(w.t.Context(), w.caller, w.group, "c1", cluster.Deletion{}))
		if !w.until(5*time.Minute, func() bool { return !w.exists("c1") }) {
			t.Errorf("the cluster is there: %s", describe(w.load("c1")))
		}
	})
}
