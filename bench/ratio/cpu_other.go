//go:build !unix

package ratio

import (
	"errors"
	"time"
)

// used is not known here.
func used() (time.Duration, error) {
	return 0, errors.New("the CPU time of a process is measured on Unix only")
}
