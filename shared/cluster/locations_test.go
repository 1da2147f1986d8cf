package cluster_test

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
)

// networks has some private endpoints in force, lets nodes be in some regions, and remembers what it
// was asked.
type networks struct {
	let     []cluster.Location
	asked   [][]cluster.Location
	inForce []atlas.Provider
	fails   error
	reads   int
}

func (n *networks) InForce(context.Context, string) ([]atlas.Provider, error) {
	n.reads++
	return n.inForce, n.fails
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

func TestClustersTellWhetherPrivateNetworkingIsInForce(t *testing.T) {
	const member = "encryptionAtRestPrivateNetworking"
	w := newWorld(t)
	w.keys.valid[atlas.Azure] = true
	n := &networks{let: []cluster.Location{{Provider: atlas.AWS, Region: "US_EAST_1"}}}
	w.service.Networks = n
	for name, provider := range map[string]string{"aws": "AWS", "azure": "AZURE", "gcp": "GCP", "none": "NONE"} {
		w.create(name, `"encryptionAtRestProvider":"`+provider+`",`)
		w.work(name)
	}
	for name, c := range map[string]struct {
		inForce []atlas.Provider
		want    map[string]any
	}{
		"nowhere":        {nil, map[string]any{"aws": "INACTIVE", "azure": "INACTIVE", "gcp": nil, "none": nil}},
		"at AWS":         {[]atlas.Provider{atlas.AWS}, map[string]any{"aws": "ACTIVE", "azure": "INACTIVE", "gcp": nil, "none": nil}},
		"at Azure":       {[]atlas.Provider{atlas.Azure}, map[string]any{"aws": "INACTIVE", "azure": "ACTIVE", "gcp": nil, "none": nil}},
		"at both clouds": {[]atlas.Provider{atlas.AWS, atlas.Azure}, map[string]any{"aws": "ACTIVE", "azure": "ACTIVE", "gcp": nil, "none": nil}},
	} {
		n.inForce = c.inForce
		for _, version := range []string{"2023-01-01", "2023-02-01", "2024-08-05"} {
			w.version, n.reads = version, 0
			list, ok := w.must(http.MethodGet, "/clusters", "")["results"].([]any)
			if !ok || n.reads != 1 {
				t.Fatalf("%d reads list %v", n.reads, list)
			}
			for _, element := range list {
				one := element.(map[string]any)
				id, _ := one["name"].(string)
				if diff := cmp.Diff(c.want[id], one[member]); diff != "" {
					t.Errorf("%s at %s, in force %s, in the list:\n%s", id, version, name, diff)
				}
				if diff := cmp.Diff(c.want[id], w.must(http.MethodGet, "/clusters/"+id, "")[member]); diff != "" {
					t.Errorf("%s at %s, in force %s:\n%s", id, version, name, diff)
				}
			}
		}
	}
}

func TestPrivateNetworkingIsNotTheClientsToSay(t *testing.T) {
	const member = "encryptionAtRestPrivateNetworking"
	w := newWorld(t)
	n := &networks{let: []cluster.Location{{Provider: atlas.AWS, Region: "US_EAST_1"}}, inForce: []atlas.Provider{atlas.AWS}}
	w.service.Networks = n
	made := w.must(http.MethodPost, "/clusters", body("c1", `"encryptionAtRestProvider":"AWS","`+member+`":"INACTIVE",`))
	if made[member] != "ACTIVE" {
		t.Errorf("a new cluster shows %v", made[member])
	}
	w.work("c1")
	for _, sent := range []string{`"INACTIVE"`, `"no such word"`, `{"a":[1]}`, `null`} {
		if got := w.must(http.MethodPatch, "/clusters/c1", `{"`+member+`":`+sent+`}`)[member]; got != "ACTIVE" || w.load("c1").Plan != nil {
			t.Errorf("after %s was sent it is %v", sent, got)
		}
	}
}

// An answer that can't be given must not hide a change that was made.
func TestAChangeIsNotMadeIfItsAnswerCannotBeGiven(t *testing.T) {
	w := newWorld(t)
	n := &networks{let: []cluster.Location{{Provider: atlas.AWS, Region: "US_EAST_1"}}}
	w.service.Networks = n
	w.create("c1", "")
	w.work("c1")
	n.fails = errors.New("the table is away")
	for method, path := range map[string]string{http.MethodGet: "/clusters/c1", http.MethodPatch: "/clusters/c1", http.MethodPost: "/clusters"} {
		request := body("c2", "")
		if method == http.MethodPatch {
			request = `{"backupEnabled":true}`
		}
		w.fail(method, path, request, 500, "UNEXPECTED_ERROR")
	}
	if w.load("c1").Settings.Backup {
		t.Error("the change was made")
	}
	n.fails = nil
	w.fail(http.MethodGet, "/clusters/c2", "", 404, "CLUSTER_NOT_FOUND")
}
