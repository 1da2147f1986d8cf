package cluster_test

import (
	"context"
	"net/http"
	"testing"

	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
)

// networks lets nodes be in some regions, and remembers what it was asked.
type networks struct {
	let   []cluster.Location
	asked [][]cluster.Location
}

func (n *networks) CheckLocations(_ context.Context, groupID string, added []cluster.Location) error {
	n.asked = append(n.asked, added)
	for _, l := range added {
		if groupID == "" || len(n.let) == 0 || l != n.let[0] {
			return atlas.Fail(atlas.PrivateNetworkingNotSupported)
		}
	}
	return nil
}

func TestNodesAreAddedOnlyWherePrivateNetworkingLetsThem(t *testing.T) {
	const refused = "ENCRYPTION_AT_REST_PRIVATE_NETWORKING_NOT_SUPPORTED"
	w := newWorld(t)
	here := cluster.Location{Provider: atlas.AWS, Region: "US_EAST_1"}
	n := &networks{}
	w.service.Networks = n
	w.fail(http.MethodPost, "/clusters", body("c1", ""), 400, refused)
	n.let = []cluster.Location{here}
	w.create("c1", "")
	w.work("c1")
	n.let, n.asked = nil, nil
	w.must(http.MethodPatch, "/clusters/c1", `{"backupEnabled":true}`)
	if len(n.asked) != 0 {
		t.Errorf("asked about %v", n.asked)
	}
	w.fail(http.MethodPatch, "/clusters/c1", `{"replicationSpecs":[`+spec(5)+`]}`, 400, refused)
	n.let = []cluster.Location{here}
	w.must(http.MethodPatch, "/clusters/c1", `{"replicationSpecs":[`+spec(5)+`]}`)
	w.work("c1")
	n.let, n.asked = nil, nil
	w.must(http.MethodPatch, "/clusters/c1", `{"replicationSpecs":[`+spec(3)+`]}`) // fewer may be anywhere
	if len(n.asked) != 0 {
		t.Errorf("asked about %v", n.asked)
	}
}
