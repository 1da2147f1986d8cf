package cluster_test

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The example of the contract, byte for byte but for line ends, what is random, and the member that
// is Latchkey's own.
func TestAClusterLooksAsTheRealServiceShowsIt(t *testing.T) {
	example, err := os.ReadFile("testdata/cluster.json")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	w.clock.Advance(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Sub(w.clock.Now()))
	d := w.create("c1", `"encryptionAtRestProvider":"AWS","backupEnabled":true,`)
	w.version = "2024-08-05"
	answer, _ := w.raw(http.MethodGet, "/api/atlas/v2/groups/"+w.group+"/clusters/c1", "")
	label := strings.Split(d.Nodes[0].Alias, ".")[1]
	got := strings.NewReplacer(
		d.GroupID, "650000000000000000000001", d.ID, "650000000000000000000040", d.Spec.Shards[0].ID, "650000000000000000000041",
		`"encryptionAtRestPrivateNetworking":"INACTIVE",`, "", d.Spec.Zones[0].ID, "650000000000000000000042", "atlas-"+label, "atlas-ab12cd", label, "ab12c",
	).Replace(string(answer))
	want := strings.NewReplacer("\n ", "", "\n", "").Replace(string(example))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("GET answers (-want +got)\n%s\n%s", diff, got)
	}
	if got, want := w.header.Get("Content-Type"), "application/vnd.atlas.2024-08-05+json;charset=utf-8"; got != want {
		t.Errorf("Content-Type %q", got)
	}
}
