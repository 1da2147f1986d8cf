package ledger_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"latchkey/shared/atlas"
	"latchkey/shared/ledger"
	"latchkey/shared/store"
	"latchkey/shared/store/bolt"
	"latchkey/shared/store/keys"
)

func TestTheEntriesOfAGroupAreReadInBatches(t *testing.T) {
	db, err := bolt.Open(filepath.Join(t.TempDir(), "table.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // the folder goes away
	const group = "650000000000000000000001"
	write := func(op store.Op, err error) {
		t.Helper()
		if err == nil {
			err = db.Write(t.Context(), op)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	pointer := func(key store.Key, cluster string) {
		item, err := store.Encode(key, 0, map[string]string{"clusterId": cluster})
		write(store.Put(item), err)
	}
	old := ledger.CMK{Provider: atlas.AWS, Name: "old", Version: "1"}
	want := map[string]bool{}
	for c, entries := range []int{3, 0, 5, 1} {
		cluster := fmt.Sprintf("65000000000000000000010%d", c)
		for n := range entries {
			e := ledger.Entry{GroupID: group, ClusterID: cluster, NodeID: fmt.Sprintf("n%d", n), KeyID: "k", CMK: old, Blob: []byte("b")}
			write(e.Put())
			want[cluster+e.NodeID] = true
		}
		switch c {
		case 0, 1:
			pointer(keys.ClusterName(group, fmt.Sprintf("c%d", c)), cluster)
		case 2:
			pointer(keys.RetainedBackups(group, "c2", cluster), cluster)
		}
	}
	clusters, err := ledger.Clusters(t.Context(), db, group)
	if err != nil || len(clusters) != 3 {
		t.Errorf("clusters %q, %v", clusters, err)
	}
	clusters, err = ledger.Clusters(t.Context(), db, group, old)
	if err != nil || len(clusters) != 4 || !slices.IsSorted(clusters) {
		t.Errorf("clusters and those that are just going: %q, %v", clusters, err)
	}
	for _, limit := range []int{1, 2, 3, 9, 100} {
		got, cursor := map[string]bool{}, ""
		for more := true; more; {
			var entries []ledger.Entry
			entries, cursor, more, err = ledger.After(t.Context(), db, clusters, cursor, limit)
			if err != nil || len(entries) > limit {
				t.Fatalf("%d entries, %v", len(entries), err)
			}
			for _, e := range entries {
				if got[e.ClusterID+e.NodeID] {
					t.Errorf("limit %d: %s/%s comes twice", limit, e.ClusterID, e.NodeID)
				}
				got[e.ClusterID+e.NodeID] = true
			}
		}
		if len(got) != len(want) {
			t.Errorf("limit %d: %d entries, want %d", limit, len(got), len(want))
		}
	}
}
