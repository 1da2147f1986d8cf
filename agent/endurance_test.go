package agent_test

import (
	"context"
	"runtime"
	"runtime/debug"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/agent"
	"latchkey/shared/node/protocol"
)

// raceDetected reports whether the race detector watches this run.
func raceDetected() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// settleMemory is what is on the heap once garbage is gone.
func settleMemory() (heap, goroutines int) {
	for range 3 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc), runtime.NumGoroutine()
}

func TestTenThousandHeartbeatsLeaveNothingBehind(t *testing.T) { //nolint:paralleltest // it measures the whole process
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.running()
		rest := func(beats int) {
			before := w.net.Requests(protocol.HeartbeatPath)
			for w.net.Requests(protocol.HeartbeatPath) < before+beats {
				time.Sleep(time.Hour)
				w.server.Forget(w.nodeID)
			}
			synctest.Wait()
		}
		rest(500)
		heapBefore, goroutinesBefore := settleMemory()
		beats := 10_000
		if raceDetected() {
			beats = 1000 // it makes cryptography slow, and is after something else
		}
		rest(beats)
		heap, goroutines := settleMemory()
		if grown := heap - heapBefore; grown > 256<<10 || goroutines > goroutinesBefore {
			t.Errorf("%d heartbeats left %d bytes and %d goroutines", beats, grown, goroutines-goroutinesBefore)
		}
		if err := w.end(); err != nil {
			t.Error(err)
		}
	})
}

func BenchmarkHeartbeat(b *testing.B) {
	b.ReportAllocs()
	// The clock of the benchmark is outside the bubble, so it counts real time.
	benchInBubble(b, func(w *world) {
		target := w.net.Requests(protocol.HeartbeatPath) + b.N
		for w.net.Requests(protocol.HeartbeatPath) < target {
			time.Sleep(time.Minute)
			w.server.Forget(w.nodeID)
		}
	})
}

// benchInBubble runs fn with a running node in a bubble, of which benchmarks have none.
func benchInBubble(b *testing.B, fn func(w *world)) {
	b.Helper()
	tests := []testing.InternalTest{{Name: "bubble", F: func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.running()
			fn(w)
			w.end() //nolint:errcheck // tested elsewhere
		})
	}}}
	if !testing.RunTests(func(string, string) (bool, error) { return true, nil }, tests) {
		b.Fail()
	}
}

// runOver runs the agent over another client, and tells when it was first heard.
func (w *world) runOver(client *agent.Client, heard chan<- struct{}) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	w.cancel, w.done = cancel, make(chan error, 1)
	w.agent = agent.New(w.config(client))
	run, done := w.agent, w.done
	w.server.OnReport(func() {
		select {
		case heard <- struct{}{}:
		default:
		}
	})
	go func() { done <- run.Run(ctx) }()
}
