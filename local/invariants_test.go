package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/kms"

	"latchkey/agent"
	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
	"latchkey/shared/ledger"
	"latchkey/shared/node/protocol"
)

// invariants ends all faults, waits until everything is as the tenant wants it, and demands what
// must be true after anything that can happen:
//
//   - nothing that was acknowledged is lost;
//   - every wrapped key that a node has on disk is in the ledger, the same to the byte, under a
//     customer key that the ledger names and that opens it;
//   - the ledger names nothing that nobody has: nodes have one key each and the ledger one copy;
//   - records and machines agree: what is said to run runs;
//   - neither keys nor data are in the clear in any file or log.
func (e *estate) invariants() {
	e.t.Helper()
	e.mend()
	secrets := [][]byte{[]byte(canary)}
	for _, d := range e.deployments() {
		e.readable(d.Name)
		for _, n := range d.Nodes {
			secrets = append(secrets, e.nodeIsTrue(d, n)...)
		}
	}
	e.noTraceOf(secrets)
}

// mend ends what tests do to the estate. Clocks stay wrong: that is no fault that ends.
func (e *estate) mend() {
	e.t.Helper()
	e.kms("")
	e.net.Down(false)
	e.net.Duplicate(false)
	for _, path := range []string{protocol.WrapPath, protocol.ReleasePath, protocol.HeartbeatPath, protocol.AckPath, protocol.EnrolPath} {
		e.net.LoseAnswers(path, 0)
		e.net.Delay(path, 0)
	}
	e.full.Store(nil)
	e.key.give()
	e.validate()
	e.until("everything is as it should be", func() bool {
		for _, d := range e.deployments() {
			if d.State() != cluster.Idle || d.Disabled != nil || d.Queued() || !e.answers(d.Name) {
				return false
			}
			for _, n := range d.Nodes {
				if !n.Settled() || e.fleet.Statuses()[n.ID].Phase != agent.Running {
					return false
				}
			}
		}
		return true
	})
}

// copyOnDisk is a wrapped key in a node's state directory.
type copyOnDisk struct {
	KeyID   string              `json:"keyId"`
	Wrapped protocol.WrappedKey `json:"wrapped"`
}

// ring reads the wrapped keys that a node has on disk.
func (e *estate) ring(n cluster.Node) (ring struct{ Current, Next *copyOnDisk }) {
	e.t.Helper()
	framed, err := os.ReadFile(filepath.Join(e.cfg.data, "fleet", n.ClusterID, n.ID, "agent", "keys.json"))
	e.must(err)
	_, content, _ := bytes.Cut(framed, []byte("\n")) // the first line is a checksum
	e.must(json.Unmarshal(content, &ring))
	return ring
}

// nodeIsTrue compares a node's disk, its record and the ledger, and returns its master keys.
func (e *estate) nodeIsTrue(d cluster.Deployment, n cluster.Node) (masterKeys [][]byte) {
	e.t.Helper()
	ring := e.ring(n)
	entries, err := ledger.OfNode(e.t.Context(), e.suite.table, n.ClusterID, n.ID)
	e.must(err)
	if ring.Next != nil {
		e.t.Errorf("node %s: a rotation is not finished: %+v", n.ID, ring.Next)
	}
	if ring.Current == nil {
		if d.Spec.Provider != cluster.None || len(entries) > 0 {
			e.t.Errorf("node %s of a cluster with provider %s has no key; the ledger has %d", n.ID, d.Spec.Provider, len(entries))
		}
		return nil
	}
	if n.Reported.KeyID != ring.Current.KeyID || n.Reported.Provider != d.Spec.Provider {
		e.t.Errorf("node %s has key %s, and is recorded as %+v", n.ID, ring.Current.KeyID, n.Reported)
	}
	held := slices.IndexFunc(entries, func(entry ledger.Entry) bool {
		w := ring.Current.Wrapped
		return entry.KeyID == ring.Current.KeyID && bytes.Equal(entry.Blob, w.Blob) &&
			entry.CMK == ledger.CMK{Provider: d.Spec.Provider, Name: w.CMK, Version: w.Version}
	})
	if held < 0 || len(entries) != 1 {
		e.t.Fatalf("node %s holds %+v; the ledger has %+v", n.ID, ring.Current, entries)
	}
	return [][]byte{e.opened(entries[held])}
}

// opened is the master key of an entry, as the tenant's own KMS opens it.
func (e *estate) opened(entry ledger.Entry) []byte {
	e.t.Helper()
	if entry.CMK.Provider != atlas.AWS {
		return e.openedElsewhere(entry)
	}
	keys, name := e.whereUp(entry.CMK.Name)
	out, err := keys.Decrypt(e.t.Context(), &kms.DecryptInput{
		KeyId: &name, CiphertextBlob: entry.Blob,
		EncryptionContext: map[string]string{
			"latchkey:group": entry.GroupID, "latchkey:use": "master-key/" + entry.NodeID + "/" + entry.KeyID,
		},
	})
	if err != nil || len(out.Plaintext) != protocol.MasterKeySize {
		e.t.Fatalf("the ledger's copy of %s does not open under %s: %v", entry.KeyID, entry.CMK.Name, err)
	}
	return out.Plaintext
}

// noTraceOf looks for secrets in every file of the suite and in what was logged.
func (e *estate) noTraceOf(secrets [][]byte) {
	e.t.Helper()
	var needles [][]byte
	for _, s := range secrets {
		needles = append(needles, s, []byte(hex.EncodeToString(s)), []byte(base64.StdEncoding.EncodeToString(s)), []byte(base64.RawURLEncoding.EncodeToString(s)))
	}
	look := func(where string, content io.Reader) {
		found, err := holdsAny(content, needles)
		e.must(err)
		if found {
			e.t.Errorf("%s holds a secret", strings.TrimPrefix(where, e.cfg.data))
		}
	}
	look("the log", bytes.NewReader(e.log.bytes()))
	err := filepath.WalkDir(e.cfg.data, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && !entry.Type().IsRegular() { // databases tidy up while this goes on
			return nil
		}
		if err != nil {
			return err
		}
		file, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		look(path, file)
		return file.Close()
	})
	e.must(err)
}
