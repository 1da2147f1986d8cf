package agent_test

import (
	"testing"
	"time"

	"latchkey/shared/node/protocol"
)

// BenchmarkAgent_tenThousandHeartbeats measures what a node's life leaves behind: a week of
// heartbeats must cost what a minute of them does. Growth is per ten thousand heartbeats.
func BenchmarkAgent_tenThousandHeartbeats(b *testing.B) {
	const (
		beats = 10_000
		// allowed is for the Go runtime's own tables; a leak of 32 bytes per heartbeat shows.
		allowed = 256 << 10
	)
	grown, added := 0, 0
	benchInBubble(b, func(w *world) {
		rest := func(beats int) {
			target := w.net.Requests(protocol.HeartbeatPath) + beats
			for w.net.Requests(protocol.HeartbeatPath) < target {
				time.Sleep(time.Hour)
				w.server.Forget(w.nodeID)
			}
		}
		rest(500) // caches and buffers reach their size
		heapBefore, goroutinesBefore := settleMemory()
		for range b.N {
			rest(beats)
		}
		heap, goroutines := settleMemory()
		grown, added = heap-heapBefore, goroutines-goroutinesBefore
	})
	b.ReportMetric(float64(grown)/float64(b.N), "heap-bytes")
	b.ReportMetric(float64(added), "goroutines")
	if grown > allowed || added > 0 {
		b.Fatalf("%d heartbeats left %d bytes and %d goroutines", b.N*beats, grown, added)
	}
}

func TestMaxIntervalBoundsHeartbeats(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		t.Helper()
		w.maxInterval = 10 * time.Second
		w.running()
		before := w.net.Requests(protocol.HeartbeatPath)
		time.Sleep(10 * time.Minute)
		if beats := w.net.Requests(protocol.HeartbeatPath) - before; beats < 59 || beats > 61 {
			t.Errorf("%d heartbeats in 10 minutes", beats)
		}
	})
}
