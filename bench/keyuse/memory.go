package keyuse

import (
	"bytes"
	"os"
	"runtime/metrics"
	"strconv"
	"time"
)

// every is how often memory is looked at.
const every = 20 * time.Millisecond

// watchMemory keeps the most memory that is resident until it is stopped.
func watchMemory(peak *uint64) (stop func()) {
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		ticks := time.NewTicker(every)
		defer ticks.Stop()
		for {
			*peak = max(*peak, resident())
			select {
			case <-ticks.C:
			case <-done:
				return
			}
		}
	}()
	return func() { close(done); <-stopped }
}

// resident is the memory of this process that no file can give back: on Linux as the kernel tells it, elsewhere
// as Go does.
func resident() uint64 {
	status, err := os.ReadFile("/proc/self/status")
	if _, rest, found := bytes.Cut(status, []byte("RssAnon:")); err == nil && found {
		kilobytes, err := strconv.ParseUint(string(bytes.Fields(rest)[0]), 10, 64)
		if err == nil {
			return kilobytes << 10
		}
	}
	sample := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64() - sample[1].Value.Uint64()
}
