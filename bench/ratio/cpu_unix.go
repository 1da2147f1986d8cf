//go:build unix

package ratio

import (
	"fmt"
	"syscall"
	"time"
)

// used is the CPU time that this process has used, by itself and in the kernel.
func used() (time.Duration, error) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0, fmt.Errorf("getrusage: %w", err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), nil
}
