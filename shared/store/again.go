package store

import "errors"

// Again repeats a change that reads, decides and writes while its write conflicts, so that it is decided
// anew on what somebody else wrote meanwhile. After so many attempts it returns the conflict.
func Again(attempts int, change func() error) error {
	var err error
	for range attempts {
		if err = change(); !errors.Is(err, ErrConflict) {
			return err
		}
	}
	return err
}
