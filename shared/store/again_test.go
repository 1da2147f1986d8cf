package store_test

import (
	"errors"
	"fmt"
	"testing"

	"latchkey/shared/store"
)

func TestAgain_repeats_what_conflicts_and_nothing_else(t *testing.T) {
	conflict := fmt.Errorf("put it: %w", &store.ConflictError{})
	other := errors.New("the table is away")
	for name, c := range map[string]struct {
		answers []error // in turn
		want    error
		tries   int
	}{
		"at once":             {[]error{nil}, nil, 1},
		"after two conflicts": {[]error{conflict, conflict, nil}, nil, 3},
		"too many conflicts":  {[]error{conflict, conflict, conflict, nil}, store.ErrConflict, 3},
		"another error":       {[]error{other, nil}, other, 1},
		"an error in between": {[]error{conflict, other, nil}, other, 2},
	} {
		tries := 0
		err := store.Again(3, func() error { tries++; return c.answers[tries-1] })
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) || tries != c.tries {
			t.Errorf("%s: %v after %d tries", name, err, tries)
		}
	}
}
