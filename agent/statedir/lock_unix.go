//go:build unix

package statedir

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lock takes the file for this process; the system gives it back however the process ends.
func lock(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return ErrLocked
	}
	if err != nil {
		return fmt.Errorf("lock the state directory: %w", err)
	}
	return nil
}
