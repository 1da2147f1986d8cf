package enforcement_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
	"latchkey/shared/encryption"
	"latchkey/shared/enforcement"
	"latchkey/shared/identity/identitytest"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
	"latchkey/shared/verdict"
	"latchkey/shared/workflow"
)

const group = "650000000000000000000001"

// settings are one group's.
type settings struct{ encryption.Settings }

func (s *settings) Load(context.Context, string) (encryption.Settings, error) { return s.Settings, nil }

// clusters are one, which another execution may have dealt with.
type clusters struct{ cluster.Deployment }

func (c *clusters) Load(context.Context, string) (cluster.Deployment, error) {
	return c.Deployment, nil
}

func (c *clusters) Enforce(_ context.Context, _ string, v map[atlas.Provider]verdict.Verdict) error {
	c.Cluster, _ = c.Judged(v, time.Time{})
	return nil
}

// starts are the names of what was started.
type starts []string

func (s *starts) Start(_ context.Context, x workflow.Execution) error {
	name, err := x.Name()
	*s = append(*s, name)
	return err
}

func TestEnforce_starts_an_execution_every_five_minutes_while_there_is_something_to_do(t *testing.T) {
	table, clock := identitytest.Table(t), identitytest.NewClock()
	since := clock.Now()
	s := &settings{encryption.Settings{GroupID: group, AWS: &encryption.AWS{Key: encryption.KeyState{Revision: 3}}}}
	c := &clusters{cluster.Deployment{
		Cluster: cluster.Cluster{ID: "c", Applied: &cluster.Spec{Provider: atlas.AWS}},
		Nodes: []cluster.Node{{
			ID: "n", Desired: cluster.Desired{State: cluster.Run, Provider: atlas.AWS}, Reported: cluster.Reported{State: cluster.Run, Provider: atlas.AWS},
		}},
	}}
	var started starts
	e := &enforcement.Enforcer{Table: table, Settings: s, Clusters: c, Start: &started, Now: clock.Now}
	o := &enforcement.Officer{Table: table, Settings: s, Clusters: c, Projects: projects{}, Now: clock.Now}
	enforce := func(what string, want ...string) {
		t.Helper()
		started = nil
		if err := e.Enforce(t.Context(), group, atlas.AWS, 3, false); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(want, []string(started)); diff != "" {
			t.Errorf("%s, want (-) and started (+):\n%s", what, diff)
		}
	}
	judge := func(r verdict.Reason) {
		s.AWS.Key.Verdict = verdict.Verdict{Reason: r, Settings: 3, StartedAt: clock.Now(), Since: clock.Now()}
	}

	judge(verdict.KeyDisabled)
	enforce("a group without a cluster")
	use, err := store.Encode(keys.EncryptionUse(group, "AWS"), 0, map[string]any{"clusters": map[string]string{"c": "name"}})
	if err == nil {
		err = table.Write(t.Context(), store.Put(use))
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range verdict.Reasons() {
		if r.Class() != verdict.Valid && r.Class() != verdict.Invalid {
			judge(r)
			enforce(string(r))
		}
	}
	judge(verdict.KeyDisabled)
	const stop, start = "_0_", "_1_"
	name := "enforce-validity-" + group + "-AWS-3_1777636800000" + stop
	if since.UnixMilli() != 1777636800000 {
		t.Fatalf("the clock shows %d", since.UnixMilli())
	}
	enforce("at once", name+"0")
	clock.Advance(4 * time.Minute)
	enforce("within five minutes", name+"0")
	clock.Advance(time.Minute)
	enforce("then", name+"1")
	if d, err := o.Act(t.Context(), group, atlas.AWS); d != enforcement.Stop || err != nil {
		t.Errorf("acting gives %s, %v", d, err)
	}
	enforce("when the node was not told", name+"1")
	c.Nodes[0].Desired.State = cluster.Stop
	enforce("when there is nothing left to do")

	clock.Advance(-time.Hour) // the clock was set back
	judge(verdict.OK)
	clock.Advance(-time.Minute)
	enforce("given back", "enforce-validity-"+group+"-AWS-3_1777633500000"+start+"0")

	judge(verdict.KeyDisabled)
	c.Nodes[0].Desired.State = cluster.Run
	enforce("taken away", "enforce-validity-"+group+"-AWS-3_1777633440000"+stop+"0")
	c.Nodes[0].Desired.State = cluster.Stop
	judge(verdict.OK)
	enforce("given back at the same moment", "enforce-validity-"+group+"-AWS-3_1777633440000"+start+"0")
	clock.Advance(700 * time.Millisecond)
	judge(verdict.KeyDisabled)
	c.Nodes[0].Desired.State = cluster.Run
	enforce("taken away within the same second", "enforce-validity-"+group+"-AWS-3_1777633440700"+stop+"0")
}

func TestAwait_lists_the_nodes_that_are_waited_for_until_time_is_up(t *testing.T) {
	table, clock := identitytest.Table(t), identitytest.NewClock()
	began := clock.Now()
	s := &settings{encryption.Settings{GroupID: group, AWS: &encryption.AWS{Key: encryption.KeyState{
		Verdict: verdict.Verdict{Reason: verdict.KeyDeleted},
	}}}}
	node := func(id string, reported cluster.Power, key []byte) cluster.Node {
		return cluster.Node{
			ID: id, PublicKey: key, Desired: cluster.Desired{State: cluster.Stop, Provider: atlas.AWS},
			Reported: cluster.Reported{State: reported, Provider: atlas.AWS},
		}
	}
	key := []byte("key")
	c := &clusters{cluster.Deployment{
		Cluster: cluster.Cluster{ID: "c", Applied: &cluster.Spec{Provider: atlas.AWS}, Disabled: &cluster.Disabled{Provider: atlas.AWS}},
		Nodes:   []cluster.Node{node("stops", "", key), node("runs", cluster.Run, key), node("stopped", cluster.Stop, key), node("has no agent", "", nil)},
	}}
	use, err := store.Encode(keys.EncryptionUse(group, "AWS"), 0, map[string]any{"clusters": map[string]string{"c": "name"}})
	if err == nil {
		err = table.Write(t.Context(), store.Put(use))
	}
	if err != nil {
		t.Fatal(err)
	}
	o := &enforcement.Officer{Table: table, Settings: s, Clusters: c, Projects: projects{}, Now: clock.Now}
	await := func(to enforcement.Direction, want enforcement.State, missing ...string) {
		t.Helper()
		state, got, err := o.Await(t.Context(), group, atlas.AWS, to, began)
		if err != nil || state != want {
			t.Errorf("the state is %s, %v, want %s", state, err, want)
		}
		if diff := cmp.Diff(missing, got); diff != "" {
			t.Error(diff)
		}
	}
	await(enforcement.Stop, enforcement.Awaited, "runs", "stops")
	await(enforcement.Start, enforcement.Turned)
	clock.Advance(15 * time.Minute)
	await(enforcement.Stop, enforcement.Silent, "runs", "stops")
	c.Nodes[0].Reported.State, c.Nodes[1].Reported.State = cluster.Stop, cluster.Stop
	await(enforcement.Stop, enforcement.Reached)

	s.AWS.Key.Verdict.Reason = verdict.OK
	await(enforcement.Stop, enforcement.Turned)
	await(enforcement.Start, enforcement.Turned) // the cluster is still disabled
	c.Disabled = nil
	for i := range c.Nodes {
		c.Nodes[i].Desired.State = cluster.Run
	}
	await(enforcement.Start, enforcement.Awaited, "has no agent", "runs", "stopped", "stops")
	clock.Advance(30 * time.Minute)
	await(enforcement.Start, enforcement.Silent, "has no agent", "runs", "stopped", "stops")
	s.AWS = nil
	await(enforcement.Start, enforcement.Turned)
}
