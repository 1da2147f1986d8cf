package protocol_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"latchkey/shared/node/protocol"
)

func TestOfAnyOrderOfCommandsTheHighestNumberWins(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		numbers := rapid.SliceOf(rapid.Int64Range(0, 20)).Draw(t, "numbers")
		var latest protocol.Command
		highest := int64(0)
		for _, n := range numbers {
			highest = max(highest, n)
			if c := (protocol.Command{Number: n}); c.Supersedes(latest) {
				latest = c
			}
		}
		if latest.Number != highest {
			t.Fatalf("%v ends at %d", numbers, latest.Number)
		}
	})
}

func TestOnlyKnownCommandsAreValid(t *testing.T) {
	t.Parallel()
	const id = "650000000000000000000050"
	good := protocol.Command{Number: 1, Kind: protocol.KindRestore, Target: protocol.Run, Provider: "AWS", SnapshotID: id, RestoreID: id}
	for _, kind := range []protocol.Kind{protocol.KindStart, protocol.KindSnapshot, protocol.KindPrepare, protocol.KindRestore, protocol.KindPurge} {
		c := good
		if c.Kind = kind; c.Validate() != nil {
			t.Errorf("%+v: %v", c, c.Validate())
		}
	}
	for name, change := range map[string]func(*protocol.Command){
		"no kind":            func(c *protocol.Command) { c.Kind = "" },
		"a kind of tomorrow": func(c *protocol.Command) { c.Kind = "DEFRAGMENT" },
		"no target":          func(c *protocol.Command) { c.Target = "" },
		"another provider":   func(c *protocol.Command) { c.Provider = "aws" },
		"no snapshot":        func(c *protocol.Command) { c.SnapshotID = "" },
		"a path":             func(c *protocol.Command) { c.SnapshotID = "../../../../../etc/passwd" },
		"no restore":         func(c *protocol.Command) { c.RestoreID = "" },
		"a negative number":  func(c *protocol.Command) { c.Number = -1 },
	} {
		bad := good
		change(&bad)
		if bad.Validate() == nil {
			t.Errorf("%s is valid", name)
		}
	}
}

func TestTheNextHeartbeatIsNeitherAtOnceNorNever(t *testing.T) {
	t.Parallel()
	for seconds, want := range map[int]time.Duration{
		math.MinInt: time.Minute, -1: time.Minute, 0: time.Minute, 1: time.Second, 60: time.Minute,
		900: 15 * time.Minute, 901: 15 * time.Minute, math.MaxInt: 15 * time.Minute,
	} {
		if got := (protocol.HeartbeatResponse{NextInSeconds: seconds}).Next(); got != want {
			t.Errorf("%d is %v, want %v", seconds, got, want)
		}
	}
}

func TestEnrolmentTokensAreFoundByTheirHash(t *testing.T) {
	t.Parallel()
	token, hash := protocol.NewEnrolToken()
	if got, ok := protocol.EnrolTokenHash(token); !ok || got != hash || strings.Contains(token, hash) {
		t.Errorf("EnrolTokenHash = %s, %t; want %s", got, ok, hash)
	}
	other, otherHash := protocol.NewEnrolToken()
	if other == token || otherHash == hash {
		t.Error("two tokens are the same")
	}
	for _, bad := range []string{"", "x", token[1:], token + "A", token[:len(token)-1], strings.Repeat("x", 1<<16)} {
		if _, ok := protocol.EnrolTokenHash(bad); ok {
			t.Errorf("%.40q is a token", bad)
		}
	}
}

// The wire form is agreed with agents that are already installed: it changes by addition only.
func TestTheWireFormStays(t *testing.T) {
	t.Parallel()
	for want, body := range map[string]any{
		`{"report":{"state":"RUNNING","keyId":"k","commandAcked":3,"startedAt":"2026-11-22T01:02:03Z"}}`: protocol.HeartbeatRequest{
			Report: protocol.Report{State: protocol.StateRunning, KeyID: "k", CommandAcked: 3, StartedAt: now},
		},
		`{"command":{"number":4,"kind":"ROTATE","state":"RUN","provider":"AWS"},"nextInSeconds":5}`: protocol.HeartbeatResponse{
			Command: protocol.Command{Number: 4, Kind: protocol.KindRotate, Target: protocol.Run, Provider: "AWS"}, NextInSeconds: 5,
		},
		`{"keyId":"k","wrapped":{"blob":"AQI=","provider":"AWS","cmk":"c","version":"v"},"recipient":"Aw=="}`: protocol.ReleaseRequest{
			KeyID: "k", Recipient: []byte{3}, Wrapped: protocol.WrappedKey{Blob: []byte{1, 2}, Provider: "AWS", CMK: "c", Version: "v"},
		},
		`{"command":{"number":4,"kind":"RESTORE","state":"RUN","provider":"AWS","snapshotId":"s","restoreId":"r"},"nextInSeconds":5}`: protocol.HeartbeatResponse{
			Command:       protocol.Command{Number: 4, Kind: protocol.KindRestore, Target: protocol.Run, Provider: "AWS", SnapshotID: "s", RestoreID: "r"},
			NextInSeconds: 5,
		},
		`{"snapshotId":"s"}`: protocol.KeepRequest{SnapshotID: "s"},
		`{"command":4,"outcome":"DONE","snapshotBytes":7}`: protocol.AckRequest{Command: 4, Outcome: protocol.Done, SnapshotBytes: 7},
		`{"keyId":"k","sealedKey":"AQ=="}`:                 protocol.WrapRequest{KeyID: "k", SealedKey: []byte{1}},
		`{"command":4,"outcome":"DONE"}`:                   protocol.AckRequest{Command: 4, Outcome: protocol.Done},
		`{"token":"t","publicKey":"AQ=="}`:                 protocol.EnrolRequest{Token: "t", PublicKey: []byte{1}},
		`{"nodeId":"n","clusterId":"c","groupId":"g","controlPlaneHPKEKey":"AQ=="}`: protocol.EnrolResponse{
			NodeID: "n", ClusterID: "c", GroupID: "g", ControlPlaneKey: []byte{1},
		},
	} {
		got, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Error(diff)
		}
	}
}
