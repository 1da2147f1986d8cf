package encryption_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"time"

	"latchkey/local/pocket"
	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
	domain "latchkey/shared/encryption"
	"latchkey/shared/ledger"
	"latchkey/shared/node/protocol"
	"latchkey/shared/snapshot"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// snapshotID is of the snapshot that scenarios restore.
const snapshotID = "650000000000000000000050"

// named gives a new cluster another name.
func named(r request, name string) request {
	r.body = strings.Replace(r.body, `"c1"`, `"`+name+`"`, 1)
	return r
}

// restoreTo asks to restore the snapshot of c1.
func restoreTo(name, delivery string) request {
	return request{http.MethodPost, clusters + "/c1/backup/restoreJobs", fmt.Sprintf(
		`{"deliveryType":%q,"snapshotId":%q,"targetClusterName":%q,"targetGroupId":%q}`, delivery, snapshotID, name, groupID)}
}

// withSnapshot makes c1 with a snapshot, and more, ahead of a request.
func withSnapshot(provider string, r request, more ...func(w *world, key string)) func(*world) request {
	return func(w *world) request {
		key := w.awsKey()
		w.mustSend(configure("awsKms", w.byAWSRole(key)))
		c := w.mustSend(newCluster(provider))
		w.snapshotted(c.body["id"].(string), atlas.Provider(provider))
		for _, do := range more {
			do(w, key)
		}
		return r
	}
}

// snapshotted has records of a snapshot as nodes and the control plane would make them.
func (w *world) snapshotted(clusterID string, provider atlas.Provider) {
	w.t.Helper()
	ctx := w.t.Context()
	e := ledger.Entry{GroupID: groupID, ClusterID: clusterID, NodeID: "650000000000000000000051", KeyID: "k1", Wrapped: time.Now()}
	x := snapshot.Snapshot{
		ID: snapshotID, ClusterID: clusterID, ClusterName: "c1", GroupID: groupID, OrgID: orgID, Status: snapshot.Completed, Frequency: snapshot.OnDemand,
		Version: "8.0.29", Provider: provider, Created: time.Now(), Expires: time.Now().AddDate(0, 0, 7),
		Parts: []snapshot.Part{{ID: snapshotID, NodeID: e.NodeID, Announced: true, Done: true}},
	}
	if provider != cluster.None {
		settings := &domain.Service{Table: w.deps.Table, Sealer: w.deps.Sealer, Keys: w.deps.Keys, Now: time.Now, Log: w.deps.Log}
		key, cmk, err := settings.KeyFor(ctx, groupID, provider, false)
		w.must(err)
		sealed, err := key.Encrypt(ctx, bytes.Repeat([]byte{7}, protocol.MasterKeySize), e.Binding())
		w.must(err)
		e.CMK, e.Blob = cmk.At(sealed.Version), sealed.Blob
		put, err := e.Kept(snapshotID, x.Expires).Put()
		w.must(err)
		w.must(w.table.Write(ctx, put))
		x.Parts[0].KeyID, x.Parts[0].CMK = e.KeyID, e.CMK
	}
	item, err := store.Encode(keys.Snapshot(clusterID, snapshotID), 0, x)
	w.must(err)
	w.must(w.table.Write(ctx, store.Put(item)))
}

func restoreScenarios() []scenario {
	makes := func(r request) func(*world, string) { return func(w *world, _ string) { w.mustSend(r) } }
	changes := func(what string) func(*world, string) {
		return func(w *world, key string) { w.awsKeyChanges(key)[what].take() }
	}
	another := func(w *world, _ string) { w.mustSend(configure("awsKms", members{"customerMasterKeyID": w.awsKey()})) }
	return []scenario{
		{
			code: "CANNOT_DOWNLOAD_SNAPSHOT_WITH_ENCRYPTION", when: "download of an encrypted snapshot", params: `[]`,
			prepare: withSnapshot("AWS", restoreTo("", "download")),
		},
		{
			code: "INVALID_SNAPSHOT_RESTORE_ENCRYPTION", when: "an encrypted snapshot to a cluster without encryption", params: `[]`,
			prepare: withSnapshot("AWS", restoreTo("c2", "automated"), makes(named(newCluster("NONE"), "c2"))),
		},
		{
			code: "INVALID_SNAPSHOT_RESTORE_ENCRYPTION", when: "a snapshot without encryption to an encrypted cluster", params: `[]`,
			prepare: withSnapshot("NONE", restoreTo("c2", "automated"), makes(named(newCluster("AWS"), "c2"))),
		},
		{
			code: "INVALID_SNAPSHOT_RESTORE_ENCRYPTION", when: "the snapshot's key is disabled, and another one in use", params: `[]`,
			prepare: withSnapshot("AWS", restoreTo("c1", "automated"), another, changes("key disabled")),
		},
		{
			code: "INVALID_SNAPSHOT_RESTORE_ENCRYPTION", when: "the snapshot's key is to be deleted", params: `[]`,
			prepare: withSnapshot("AWS", restoreTo("c1", "automated"), changes("key scheduled for deletion")),
		},
		{
			code: atlas.KMSUnreachable, when: "a restore while AWS KMS is down", params: `[]`,
			prepare: withSnapshot("AWS", restoreTo("c1", "automated"), func(w *world, _ string) {
				w.Faults.Set(pocket.Fault{Host: "kms.us-east-1.amazonaws.com", Kind: pocket.Down})
			}),
		},
		{
			code: atlas.ClusterRestoreInProgress, when: "a second restore", params: `[]`, detail: "Cluster restore already in progress.",
			prepare: withSnapshot("AWS", restoreTo("c1", "automated"), makes(restoreTo("c1", "automated"))),
		},
		{
			code: atlas.ClusterRestoreInProgress, when: "another key for a cluster that is being restored", params: `[]`,
			prepare: withSnapshot("AWS", changeCluster(`{"encryptionAtRestProvider":"NONE"}`), makes(restoreTo("c1", "automated"))),
		},
	}
}
