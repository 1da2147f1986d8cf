//go:build !unix

package measure

import (
	"errors"
	"time"
)

// used is not known here.
func used() (time.Duration, error) {
	return 0, errors.New("CPU time can be measured on Unix only")
}
