package operator_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
	"latchkey/shared/node"
	"latchkey/shared/node/protocol"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
	"latchkey/shared/suite/operator"
)

const clusterID = "650000000000000000000002"

// nodes makes a cluster with as many nodes, and returns their ids.
func (r *rig) nodes(t *testing.T, count int) []string {
	t.Helper()
	record, err := store.Encode(keys.Cluster(clusterID), 0, cluster.Cluster{ID: clusterID, Name: "c1"})
	if err == nil {
		err = r.table.Write(t.Context(), store.Put(record))
	}
	ids := make([]string, count)
	for i := range count {
		ids[i] = fmt.Sprintf("65%022x", i)
		n := cluster.Node{ID: ids[i], ClusterID: clusterID, GroupID: "650000000000000000000001", Host: "h1", Alias: "a1", Port: 27017, Index: i}
		put, putErr := n.Put()
		if err == nil {
			err = putErr
		}
		if err == nil {
			err = r.table.Write(t.Context(), put)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

// enrol has an agent use a token.
func (r *rig) enrol(t *testing.T, token string) error {
	t.Helper()
	service := &node.Service{
		Table: r.table, Nodes: &cluster.Service{Table: r.table}, Now: r.clock.Now, Log: slog.New(slog.DiscardHandler),
		Recipients: &node.Recipients{Table: r.table, Sealer: r.sealer, Now: r.clock.Now},
	}
	_, err := service.Enrol(t.Context(), protocol.EnrolRequest{Token: token, PublicKey: bytes.Repeat([]byte{7}, 32)})
	return err
}

func TestANodeWaitsUntilItHasAnAgent(t *testing.T) {
	r := newRig(t)
	ids := r.nodes(t, 3)
	list := operator.Request{Operation: operator.ListWaitingNodes}
	if got := r.must(t, list).Nodes; len(got) != 3 || got[1].NodeID != ids[1] || got[1].ClusterName != "c1" || !got[1].TokenExpires.IsZero() {
		t.Fatalf("waiting: %+v", got)
	}
	issue := operator.Request{Operation: operator.IssueNodeToken, ClusterID: clusterID, NodeID: ids[1]}
	issued := r.must(t, issue)
	if !issued.Expires.Equal(r.clock.Now().Add(time.Hour)) {
		t.Errorf("the token expires at %s", issued.Expires)
	}
	if got := r.must(t, list).Nodes; len(got) != 3 || !got[1].TokenExpires.Equal(issued.Expires) {
		t.Errorf("waiting, with a token: %+v", got)
	}
	r.clock.Advance(time.Hour)
	if got := r.must(t, list).Nodes; !got[1].TokenExpires.IsZero() {
		t.Errorf("a token that nobody can use is still shown: %+v", got[1])
	}
	if err := r.enrol(t, issued.Token); atlas.CodeOf(err) != atlas.NodeEnrolmentRefused {
		t.Errorf("a token of an hour ago: %v", err)
	}
	if err := r.enrol(t, r.must(t, issue).Token); err != nil {
		t.Fatal(err)
	}
	if got := r.must(t, list).Nodes; len(got) != 2 || got[0].NodeID != ids[0] || got[1].NodeID != ids[2] {
		t.Errorf("still waiting: %+v", got)
	}
}

func TestNodesThatWaitAreListedByPages(t *testing.T) {
	r := newRig(t)
	r.nodes(t, 230)
	seen := map[string]bool{}
	req := operator.Request{Operation: operator.ListWaitingNodes}
	for pages := 1; ; pages++ {
		page := r.must(t, req)
		for _, n := range page.Nodes {
			seen[n.NodeID] = true
		}
		if req.After = page.Next; page.Next == "" {
			break
		}
		if pages > 5 {
			t.Fatal("the list does not end")
		}
	}
	if len(seen) != 230 {
		t.Errorf("%d nodes", len(seen))
	}
	if _, err := r.Do(t.Context(), operator.Request{Operation: operator.ListWaitingNodes, After: "x"}); atlas.CodeOf(err) != atlas.InvalidAttribute {
		t.Error("a page that is none")
	}
}

func TestATokenIsForANodeThatExists(t *testing.T) {
	r := newRig(t)
	ids := r.nodes(t, 1)
	for _, c := range []struct {
		cluster, node string
		want          atlas.Code
	}{
		{clusterID, "", atlas.InvalidAttribute},
		{"", ids[0], atlas.InvalidAttribute},
		{clusterID, "CLUSTER", atlas.InvalidAttribute},
		{ids[0], ids[0], atlas.NodeNotFound},
		{clusterID, clusterID, atlas.NodeNotFound},
	} {
		_, err := r.Do(t.Context(), operator.Request{Operation: operator.IssueNodeToken, ClusterID: c.cluster, NodeID: c.node})
		if atlas.CodeOf(err) != c.want {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestKeysOfNodesRotateWhenTheyAreDue(t *testing.T) {
	r := newRig(t)
	rotate := func() bool {
		t.Helper()
		out, err := r.Invoke(t.Context(), []byte(`{"operation":"rotateNodeKeys"}`))
		var result operator.Result
		if err == nil {
			err = json.Unmarshal(out, &result)
		}
		if err != nil {
			t.Fatal(err)
		}
		return result.Rotated
	}
	if rotate() {
		t.Error("keys that nobody made were rotated")
	}
	recipients := &node.Recipients{Table: r.table, Sealer: r.sealer, Now: r.clock.Now}
	if _, err := recipients.Public(t.Context()); err != nil {
		t.Fatal(err)
	}
	if rotate() {
		t.Error("keys of this second were rotated")
	}
	r.clock.Advance(node.MinRotation)
	if !rotate() || rotate() {
		t.Error("want one rotation of two")
	}
}
