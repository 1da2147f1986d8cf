package agent_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"latchkey/agent"
	"latchkey/agent/dump"
	"latchkey/shared/node/protocol"
	"latchkey/shared/verdict"
)

// life is a sequence of commands, each with something that goes wrong on the way.
type life struct {
	kind      protocol.Kind
	over      protocol.Kind // the command that supersedes it a moment later, "" for none
	crashDisk int           // the agent's disk crashes at this step, 0 for none
	crashAt   int           // the process dies at this request, counted from the command, 0 for none
	before    bool          // the request takes no effect
	afterwork bool          // the process dies right after the engine's work
	kept      int           // how many unsynced changes survive
	lose      string
	outage    bool // the KMS is away for a while
}

var kinds = []protocol.Kind{
	protocol.KindStart, protocol.KindStop, protocol.KindRotate, protocol.KindRotate, protocol.KindRewrap, protocol.KindRewrap,
	protocol.KindResync,
}

var lives = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) life {
	return life{
		kind:      rapid.SampledFrom(kinds).Draw(t, "kind"),
		over:      rapid.SampledFrom(append([]protocol.Kind{"", ""}, kinds...)).Draw(t, "over"),
		crashDisk: rapid.IntRange(0, 14).Draw(t, "crashDisk"),
		crashAt:   rapid.IntRange(0, 8).Draw(t, "crashAt"),
		before:    rapid.Bool().Draw(t, "before"),
		afterwork: rapid.IntRange(0, 3).Draw(t, "afterwork") == 0,
		kept:      rapid.IntRange(0, 4).Draw(t, "kept"),
		lose: rapid.SampledFrom([]string{
			"", protocol.WrapPath, protocol.ReleasePath, protocol.RewrapPath, protocol.AckPath, protocol.HeartbeatPath,
		}).Draw(t, "lose"),
		outage: rapid.IntRange(0, 4).Draw(t, "outage") == 0,
	}
}), 1, 8)

// The invariant of the agent, over everything that can happen to it: whatever was written is
// read back, no key is used that is not stored, and every command comes to its end.
func TestNoSequenceOfCrashesLosesAKey(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		steps := lives.Draw(r, "life")
		var wrong []string
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.live(steps)
			w.end() //nolint:errcheck // tested elsewhere
			if wrong = w.wrong; len(wrong) > 0 {
				wrong = append(wrong, w.log.String())
			}
		})
		if len(wrong) > 0 {
			r.Fatal(wrong)
		}
	})
}

// live goes through a life and complains about what is wrong.
func (w *world) live(steps []life) {
	written := 0
	w.source = func(context.Context) (io.ReadCloser, error) {
		var stream bytes.Buffer
		out := dump.NewWriter(&stream)
		for n := range written {
			if err := out.Write(dump.Record{Database: "db", Key: strconv.Itoa(n), Value: fmt.Append(nil, "value of ", n)}); err != nil {
				return nil, err
			}
		}
		return io.NopCloser(&stream), out.Close()
	}
	w.start()
	for i, step := range steps {
		number := w.misfortune(step)
		if !w.eventually(func() bool { return w.server.Last(w.nodeID).CommandAcked == number }) {
			w.complain("step %d (%v) does not end: %+v", i, step, w.server.Last(w.nodeID))
			return
		}
		if w.server.Last(w.nodeID).Reason != "" && !w.eventually(func() bool { return w.server.Last(w.nodeID).Reason == "" }) {
			w.complain("step %d (%v) ends with %+v", i, step, w.server.Last(w.nodeID))
			return
		}
		if w.engine.Status().Phase != agent.Running {
			continue
		}
		for n := range written {
			if !w.has(strconv.Itoa(n)) {
				w.complain("step %d (%v): %d is gone", i, step, n)
			}
		}
		w.put(strconv.Itoa(written))
		written++
	}
}

// misfortune gives a command while everything of a step goes wrong, and repairs it.
func (w *world) misfortune(step life) int64 {
	if step.kind == protocol.KindRewrap {
		w.server.SwitchCMK()
	}
	if step.outage {
		w.server.CMK().Break(verdict.ConnectFailed)
	}
	if step.lose != "" {
		w.net.LoseAnswers(step.lose, 2)
	}
	dead := make(chan struct{}, 1)
	die := func() {
		w.disk.Crash()
		select {
		case dead <- struct{}{}:
		default:
		}
		w.cancel()
	}
	w.disk.CrashAt(step.crashDisk)
	var requests atomic.Int64
	w.net.OnRequest(func(_ string, before bool) {
		if before == step.before {
			if requests.Add(1) == int64(step.crashAt) {
				die()
			}
		}
	})
	if step.afterwork {
		w.engine.mu.Lock()
		w.engine.afterwork = func(string) { die() }
		w.engine.mu.Unlock()
	}
	number := w.command(step.kind)
	if step.over != "" {
		time.Sleep(time.Duration(step.kept) * 2 * time.Second)
		number = w.command(step.over)
	}
	for range 150 {
		if synctest.Wait(); w.disk.Crashed() || len(dead) > 0 || w.server.Last(w.nodeID).CommandAcked == number {
			break
		}
		time.Sleep(time.Second)
	}
	w.net.OnRequest(nil)
	w.engine.mu.Lock()
	w.engine.afterwork = nil
	w.engine.mu.Unlock()
	w.crash(step.kept)
	w.server.CMK().Break(verdict.OK)
	w.start()
	return number
}
