//go:build unix

package measure

import (
	"syscall"
	"time"
)

// used is the CPU time that this process has used.
func used() (time.Duration, error) {
	var usage syscall.Rusage
	err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), err
}
