package node_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
	"latchkey/shared/kms/kmstest"
	"latchkey/shared/node/protocol"
	"latchkey/shared/store"
	"latchkey/shared/verdict"
)

func TestAMasterKeyIsWrappedEnteredAndReleasedToItsNode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.enrol(nodeA)
	key := masterKey()
	wrapped := a.wrap("k1", key)
	entries := w.copies(nodeA)
	if len(entries) != 1 || !bytes.Equal(entries[0].Blob, wrapped.Blob) || entries[0].CMK.Name != "AWS-key-0" || entries[0].GroupID != groupID {
		t.Errorf("the ledger has %+v", entries)
	}
	a.opens("k1", wrapped, key)
	if w.header.Get("Cache-Control") != "no-store" {
		t.Error("a released key may be cached")
	}
	if !strings.Contains(w.log.String(), `"msg":"master key released"`) {
		t.Error("the release is not in the log")
	}
	for _, secret := range []string{hex.EncodeToString(key), base64.StdEncoding.EncodeToString(key), string(key)} {
		if strings.Contains(w.log.String(), secret) {
			t.Error("the log shows the key")
		}
	}
}

func TestWrappingAgainAnswersTheSameCopy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.enrol(nodeA)
	first := a.wrap("k1", masterKey())
	w.api = w.instance() // the process that wrapped ended before it answered
	if diff := cmp.Diff(first, a.wrap("k1", masterKey())); diff != "" {
		t.Error(diff)
	}
	w.wantCopies(nodeA, 1)
	if n := w.tenant.current(atlas.AWS).Calls("Encrypt"); n != 1 {
		t.Errorf("the tenant's key wrapped %d times", n)
	}
}

func TestConcurrentWrapsOfOneKeyAnswerOneCopy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.enrol(nodeA)
	key := masterKey()
	// Nobody encrypts before all have seen that there is no copy.
	var together sync.WaitGroup
	const requests = 8
	together.Add(requests)
	w.tenant.current(atlas.AWS).OnCall(func(op string) {
		if op == "Encrypt" {
			together.Done()
			together.Wait()
		}
	})
	n := w.node(nodeA)
	answers := make([]protocol.WrapResponse, requests)
	sealed := a.sealed("k1", key)
	var wg sync.WaitGroup
	for i := range requests {
		wg.Go(func() {
			var err error
			if answers[i], err = w.nodes.Wrap(t.Context(), n, protocol.WrapRequest{KeyID: "k1", SealedKey: sealed}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, answer := range answers {
		if diff := cmp.Diff(answers[0], answer); diff != "" {
			t.Fatal(diff)
		}
	}
	w.wantCopies(nodeA, 1)
}

func TestNoCopyIsAnsweredThatIsNotInTheLedger(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.enrol(nodeA)
	w.tenant.current(atlas.AWS).OnCall(func(string) { w.table.Break(true) })
	var answer protocol.WrapResponse
	status, _ := a.try(protocol.WrapPath, a.wrapping("k1", masterKey()), &answer)
	if status != http.StatusInternalServerError || len(answer.Wrapped.Blob) > 0 {
		t.Errorf("answered %d %+v", status, answer)
	}
}

func TestACopyIsOfUseToItsOwnNodeAndKeyOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.enrol(nodeA), w.enrol(nodeB)
	mine := a.wrap("k1", masterKey())
	other := b.wrap("k2", masterKey())
	b.refused(protocol.ReleasePath, asking("k1", mine), atlas.MasterKeyNotFound)
	b.refused(protocol.RewrapPath, protocol.RewrapRequest{KeyID: "k1", Wrapped: mine}, atlas.MasterKeyNotFound)
	a.refused(protocol.ReleasePath, asking("k2", mine), atlas.MasterKeyNotFound)
	a.refused(protocol.ReleasePath, asking("k1", other), atlas.MasterKeyNotFound)
	for name, change := range map[string]func(*protocol.WrappedKey){
		"blob":     func(k *protocol.WrappedKey) { k.Blob = bytes.Clone(k.Blob); k.Blob[0] ^= 1 },
		"no blob":  func(k *protocol.WrappedKey) { k.Blob = nil },
		"CMK":      func(k *protocol.WrappedKey) { k.CMK = "AWS-key-1" },
		"version":  func(k *protocol.WrappedKey) { k.Version = "2" },
		"provider": func(k *protocol.WrappedKey) { k.Provider = "GCP" },
		"a split":  func(k *protocol.WrappedKey) { k.CMK, k.Version = k.CMK+"\x00"+k.Version, "" },
	} {
		altered := mine
		change(&altered)
		status, refusal := a.try(protocol.ReleasePath, asking("k1", altered), nil)
		if status != http.StatusNotFound || refusal.ErrorCode != atlas.MasterKeyNotFound {
			t.Errorf("%s: %d %+v", name, status, refusal)
		}
	}
	if n := w.tenant.current(atlas.AWS).Calls("Decrypt"); n != 0 {
		t.Errorf("the tenant's key was asked %d times", n)
	}
}

// A copy of another node that somebody smuggled into the ledger still does not open.
func TestTheCustomerKeyItselfTellsNodesApart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.enrol(nodeA), w.enrol(nodeB)
	wrapped := a.wrap("k1", masterKey())
	e := w.copies(nodeA)[0]
	e.NodeID = nodeB
	w.put(e.Key(), e)
	b.refused(protocol.ReleasePath, asking("k1", wrapped), atlas.WrappedKeyInvalid)
}

func TestASealedKeyIsTakenForItsOwnNodeKeyAndDirectionOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.enrol(nodeA), w.enrol(nodeB)
	sealed := a.sealed("k1", masterKey())
	b.refused(protocol.WrapPath, protocol.WrapRequest{KeyID: "k1", SealedKey: sealed}, atlas.SealedKeyInvalid)
	a.refused(protocol.WrapPath, protocol.WrapRequest{KeyID: "k2", SealedKey: sealed}, atlas.SealedKeyInvalid)
	back, err := protocol.SealKey(a.sealTo, protocol.ToNode, nodeA, "k1", masterKey())
	if err != nil {
		t.Fatal(err)
	}
	a.refused(protocol.WrapPath, protocol.WrapRequest{KeyID: "k1", SealedKey: back}, atlas.SealedKeyInvalid)
	a.refused(protocol.WrapPath, protocol.WrapRequest{KeyID: "k1"}, atlas.SealedKeyInvalid)
	for _, id := range []string{"", "a#b", strings.Repeat("k", 65), "k\x00"} {
		a.refused(protocol.WrapPath, protocol.WrapRequest{KeyID: id, SealedKey: sealed}, atlas.InvalidAttribute)
		a.refused(protocol.ReleasePath, protocol.ReleaseRequest{KeyID: id}, atlas.InvalidAttribute)
		a.refused(protocol.RewrapPath, protocol.RewrapRequest{KeyID: id}, atlas.InvalidAttribute)
	}
	w.wantCopies(nodeA, 0)
	w.wantCopies(nodeB, 0)
}

func TestADisabledClusterGetsNoKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.enrol(nodeA)
	key := masterKey()
	wrapped := a.wrap("k1", key)
	w.disable("KEY_DISABLED")
	a.refused(protocol.ReleasePath, asking("k1", wrapped), atlas.NodeDisabled)
	a.refused(protocol.WrapPath, a.wrapping("k2", masterKey()), atlas.NodeDisabled)
	if n := w.tenant.current(atlas.AWS).Calls("Decrypt"); n != 0 {
		t.Error("the tenant's key was used")
	}
	w.disable("")
	a.opens("k1", wrapped, key)
}

func TestANodeWithoutEncryptionOrWithoutItsProviderGetsNothingWrapped(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.enrol(nodeA)
	w.tell(nodeA, cluster.StartCommand, cluster.None)
	a.refused(protocol.WrapPath, a.wrapping("k1", masterKey()), atlas.NodeNotEncrypted)
	w.tell(nodeA, cluster.StartCommand, atlas.Azure)
	a.refused(protocol.WrapPath, a.wrapping("k1", masterKey()), atlas.EARNotEnabled)
}

func TestEveryFailureOfACustomerKeyHasItsAnswer(t *testing.T) {
	t.Parallel()
	for _, reason := range verdict.Reasons() {
		if reason == verdict.OK || reason == verdict.KeyExpired { // with which keys go on decrypting
			continue
		}
		t.Run(string(reason), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			a := w.enrol(nodeA)
			wrapped := a.wrap("k1", masterKey())
			w.tenant.current(atlas.AWS).Break(reason)
			want := map[verdict.Class]atlas.Code{
				verdict.Invalid: atlas.NodeDisabled, verdict.Unreachable: atlas.NodeKMSUnreachable,
				verdict.Throttled: atlas.NodeKMSUnreachable, verdict.Inconclusive: atlas.UnexpectedError,
			}[reason.Class()]
			if reason == verdict.KeyMismatch {
				want = atlas.WrappedKeyInvalid
			}
			a.refused(protocol.ReleasePath, asking("k1", wrapped), want)
			if retry, _ := strconv.Atoi(w.header.Get("Retry-After")); (want == atlas.NodeKMSUnreachable) != (retry > 0) {
				t.Errorf("Retry-After is %d", retry)
			}
			a.refused(protocol.RewrapPath, protocol.RewrapRequest{KeyID: "k1", Wrapped: wrapped}, want)
			a.refused(protocol.WrapPath, a.wrapping("k2", masterKey()), want)
			w.wantCopies(nodeA, 1)
		})
	}
}

func TestCredentialsOfYesterdayKeepNoNodeFromStarting(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.enrol(nodeA)
	key := masterKey()
	wrapped := a.wrap("k1", key)
	w.tenant.stale = kmstest.NewMemory()
	w.tenant.stale.Break(verdict.AccessDenied)
	a.opens("k1", wrapped, key)
}

func TestARecipientThatIsNoneGetsNoKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.enrol(nodeA)
	wrapped := a.wrap("k1", masterKey())
	for _, recipient := range [][]byte{nil, make([]byte, 32), make([]byte, 31), bytes.Repeat([]byte{9}, 1<<10)} {
		a.refused(protocol.ReleasePath, protocol.ReleaseRequest{KeyID: "k1", Wrapped: wrapped, Recipient: recipient}, atlas.InvalidAttribute)
	}
}

func TestAfterTheCustomerRotatesBothCopiesOpenUntilTheNodeAcknowledges(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.enrol(nodeA)
	key := masterKey()
	old := a.wrap("k1", key)
	w.tenant.rotate(atlas.AWS)
	number := w.tell(nodeA, cluster.RewrapCommand, atlas.AWS)
	fresh := a.rewrap("k1", old)
	if fresh.CMK != "AWS-key-1" || bytes.Equal(fresh.Blob, old.Blob) {
		t.Fatalf("rewrapped as %+v", fresh)
	}
	if diff := cmp.Diff(fresh, a.rewrap("k1", old)); diff != "" {
		t.Errorf("asked again, another copy: %s", diff)
	}
	for _, wrapped := range []protocol.WrappedKey{old, fresh} {
		a.opens("k1", wrapped, key)
	}
	a.must(protocol.AckPath, done(number, "k1", fresh), nil)
	a.refused(protocol.ReleasePath, asking("k1", old), atlas.MasterKeyNotFound)
	a.opens("k1", fresh, key)
}

func TestADeadNodeLeavesNothingInTheLedger(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.enrol(nodeA)
	// The node is removed while its key is being wrapped.
	w.tenant.current(atlas.AWS).OnCall(func(string) {
		n := w.node(nodeA)
		if err := w.table.Write(t.Context(), store.Delete(store.Key{PK: "CLUSTER#" + clusterID, SK: "NODE#" + nodeA}, n.Version())); err != nil {
			t.Error(err)
		}
	})
	a.refused(protocol.WrapPath, a.wrapping("k1", masterKey()), atlas.NodeTokenRefused)
	w.wantCopies(nodeA, 0)
}

func TestAnAgentThatWasReplacedEntersNothingMore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.enrol(nodeA)
	request := a.wrapping("k1", masterKey())
	w.tenant.current(atlas.AWS).OnCall(func(string) {
		w.tenant.current(atlas.AWS).OnCall(nil)
		w.enrol(nodeA)
	})
	a.refused(protocol.WrapPath, request, atlas.NodeTokenRefused)
	w.wantCopies(nodeA, 0)
}

func TestAnotherProviderMakesAnotherCopy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.enrol(nodeA)
	key := masterKey()
	first := a.wrap("k1", key)
	w.tell(nodeA, cluster.ResyncCommand, atlas.GCP)
	second := a.wrap("k1", key)
	if first.Provider != "AWS" || second.Provider != "GCP" {
		t.Errorf("wrapped by %s, then by %s", first.Provider, second.Provider)
	}
	// Rewrapping stays with the provider of the copy.
	if again := a.rewrap("k1", first); again.Provider != "AWS" {
		t.Errorf("rewrapped by %s", again.Provider)
	}
}

func TestANodeCannotFillTheLedger(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.enrol(nodeA)
	var last protocol.WrappedKey
	for i := range 64 {
		last = a.wrap("k"+strconv.Itoa(i), masterKey())
	}
	a.refused(protocol.WrapPath, a.wrapping("more", masterKey()), atlas.TooManyMasterKeys)
	// A resync makes room.
	a.must(protocol.AckPath, done(w.tell(nodeA, cluster.ResyncCommand, atlas.AWS), "k63", last), nil)
	a.wrap("more", masterKey())
	w.wantCopies(nodeA, 2)
}
