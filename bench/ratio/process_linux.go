package ratio

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// CPUOfProcess is the CPU time that another process has used so far, by itself and in the kernel, in all its
// threads. It reads the process's CPU clock, as clock_getcpuclockid(3) names it: to the nanosecond, where
// /proc tells hundredths of a second.
func CPUOfProcess(pid int) (time.Duration, error) {
	const perProcess = 2 // CPUCLOCK_SCHED of the kernel's posix-timers: what the scheduler accounts for
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|perProcess), &t); err != nil { //nolint:gosec // G115: ids of processes have 22 bits
		return 0, fmt.Errorf("CPU clock of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}
