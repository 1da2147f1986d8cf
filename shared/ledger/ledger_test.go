package ledger_test

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"latchkey/shared/atlas"
	"latchkey/shared/ledger"
	"latchkey/shared/store"
	"latchkey/shared/store/bolt"
)

const group = "650000000000000000000001"

func open(t *testing.T) store.Table {
	t.Helper()
	table, err := bolt.Open(filepath.Join(t.TempDir(), "table.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { table.Close() }) //nolint:errcheck // the folder goes away
	return table
}

func enter(t testing.TB, table store.Table, entries ...ledger.Entry) {
	t.Helper()
	for _, e := range entries {
		op, err := e.Put()
		if err == nil {
			err = table.Write(t.Context(), op)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func entry(cluster, node, key, cmk, version string) ledger.Entry {
	return ledger.Entry{
		GroupID: group, ClusterID: cluster, NodeID: node, KeyID: key, Blob: []byte(node + key + version),
		CMK:     ledger.CMK{Provider: atlas.AWS, Name: cmk, Version: version},
		Wrapped: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
}

func names(entries []ledger.Entry) []string {
	var out []string
	for _, e := range entries {
		out = append(out, e.ClusterID+"/"+e.NodeID+"/"+e.KeyID+"/"+e.SnapshotID+"@"+e.CMK.Version)
	}
	slices.Sort(out)
	return out
}

func TestWhatStillNeedsACustomerKeyIsOneQuery(t *testing.T) {
	table := open(t)
	kept := entry("c1", "n1", "k1", "old", "1")
	kept.SnapshotID, kept.Expires = "s1", kept.Wrapped.AddDate(0, 0, 7)
	other := entry("c1", "n1", "k1", "old", "1")
	other.GroupID = "650000000000000000000002"
	enter(t, table, entry("c1", "n1", "k1", "old", "1"), entry("c2", "n2", "k2", "old", "2"), entry("c2", "n3", "k3", "new", "1"), kept)
	got, err := ledger.NeededBy(t.Context(), table, group, atlas.AWS, "old")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"c1/n1/k1/@1", "c1/n1/k1/s1@1", "c2/n2/k2/@2"}
	if !slices.Equal(names(got), want) {
		t.Errorf("got %v, want %v", names(got), want)
	}
	for _, where := range []struct {
		group    string
		provider atlas.Provider
		name     string
	}{{other.GroupID, atlas.AWS, "old"}, {group, atlas.Azure, "old"}, {group, atlas.AWS, "ol"}} {
		if got, err := ledger.NeededBy(t.Context(), table, where.group, where.provider, where.name); err != nil || len(got) != 0 {
			t.Errorf("%+v: %v, %v", where, names(got), err)
		}
	}
}

func TestBothCopiesOfAKeyThatIsWrappedAnewAreKept(t *testing.T) {
	table := open(t)
	enter(t, table, entry("c1", "n1", "k1", "old", "1"), entry("c1", "n1", "k1", "new", "1"))
	of, err := ledger.OfNode(t.Context(), table, "c1", "n1")
	if err != nil || len(of) != 2 {
		t.Fatalf("copies %v, %v", names(of), err)
	}
	old, err := ledger.Find(t.Context(), table, "c1", "n1", "k1", ledger.CMK{Provider: atlas.AWS, Name: "old", Version: "1"})
	if err != nil {
		t.Fatal(err)
	}
	if err := table.Write(t.Context(), old.Delete()); err != nil {
		t.Fatal(err)
	}
	if _, err := ledger.Find(t.Context(), table, "c1", "n1", "k1", old.CMK); !errors.Is(err, ledger.ErrNoEntry) {
		t.Errorf("a copy that was struck out is still found: %v", err)
	}
	if needed, err := ledger.NeededBy(t.Context(), table, group, atlas.AWS, "old"); err != nil || len(needed) != 0 {
		t.Errorf("nobody needs the old key, and the index says %v, %v", names(needed), err)
	}
}

func TestACopyIsEnteredOnce(t *testing.T) {
	table := open(t)
	e := entry("c1", "n1", "k1", "cmk", "1")
	enter(t, table, e)
	op, err := e.Put()
	if err != nil {
		t.Fatal(err)
	}
	if err := table.Write(t.Context(), op); !errors.Is(err, store.ErrConflict) {
		t.Errorf("entering it again gives %v", err)
	}
}

func TestANodeSeesItsOwnCopiesOnly(t *testing.T) {
	table := open(t)
	rapid.Check(t, func(rt *rapid.T) {
		part := rapid.StringMatching(`[a-c#%]{1,3}`)
		cluster, node := part.Draw(rt, "cluster"), part.Draw(rt, "node")
		otherCluster, otherNode := part.Draw(rt, "other cluster"), part.Draw(rt, "other node")
		e := entry(cluster, node, rapid.StringMatching(`[a-z]{24}`).Draw(rt, "key"), "cmk", "1")
		enter(t, table, e)
		of, err := ledger.OfNode(t.Context(), table, otherCluster, otherNode)
		if err != nil {
			rt.Fatal(err)
		}
		mine := otherCluster == cluster && otherNode == node
		if has := slices.ContainsFunc(of, func(got ledger.Entry) bool { return got.KeyID == e.KeyID }); has != mine {
			rt.Fatalf("%q/%q sees the copy of %q/%q: %t", otherCluster, otherNode, cluster, node, has)
		}
	})
}

func TestACopyIsUnderTheKeyThatAnAliasPointedTo(t *testing.T) {
	t.Parallel()
	const arn = "arn:aws:kms:us-east-1:111122223333:key/1234abcd"
	for name, c := range map[string]struct {
		configured ledger.CMK
		version    string
		want       ledger.CMK
	}{
		"an alias": {
			ledger.CMK{Provider: atlas.AWS, Name: "alias/db"}, arn + "#material", ledger.CMK{Provider: atlas.AWS, Name: arn, Version: arn + "#material"},
		},
		"a key of Azure": {
			ledger.CMK{Provider: atlas.Azure, Name: "https://v/keys/k"}, "arn:x", ledger.CMK{Provider: atlas.Azure, Name: "https://v/keys/k", Version: "arn:x"},
		},
	} {
		if got := c.configured.At(c.version); got != c.want {
			t.Errorf("%s is wrapped by %+v", name, got)
		}
	}
}

func TestUUIDOf_is_of_the_key_whatever_its_version(t *testing.T) {
	t.Parallel()
	const id = "0d3b1a52-0000-4000-8000-00000000000a"
	aws := ledger.CMK{Provider: atlas.AWS, Name: "arn:aws:kms:us-east-1:111122223333:key/0D3B1A52-0000-4000-8000-00000000000A", Version: "1"}
	azure := ledger.CMK{Provider: atlas.Azure, Name: "https://kv.vault.azure.net/keys/" + id, Version: "1"}
	newer := azure
	newer.Version = "2"
	if got := ledger.UUIDOf(); got != "" {
		t.Errorf("none has %s", got)
	}
	if got := ledger.UUIDOf(aws, aws); got != id {
		t.Errorf("that of AWS has %s", got)
	}
	ofAzure, ofBoth := ledger.UUIDOf(azure), ledger.UUIDOf(aws, azure)
	if ofAzure != ledger.UUIDOf(newer) || ofBoth != ledger.UUIDOf(newer, aws) || ofAzure == ofBoth || ofAzure == id || ofBoth == id {
		t.Errorf("that of Azure has %s, both together have %s", ofAzure, ofBoth)
	}
}
