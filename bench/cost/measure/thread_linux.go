package measure

import (
	"time"

	"golang.org/x/sys/unix"
)

// usedByThread is the CPU time that this thread has used.
func usedByThread() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}
