//go:build !linux

package ratio

import (
	"errors"
	"time"
)

// CPUOfProcess is known on Linux only.
func CPUOfProcess(int) (time.Duration, error) {
	return 0, errors.New("the CPU time of another process is measured on Linux only")
}
