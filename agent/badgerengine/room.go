package badgerengine

import (
	"errors"
	"fmt"
)

// ErrNoRoom is returned for what would write to a disk that is nearly full.
var ErrNoRoom = errors.New("badgerengine: the disk is nearly full")

// reserve is how many bytes must be left on the disk for a write. Badger writes through mappings of files that
// it makes longer than what the disk holds of them; where there is no room for a page then, the kernel
// ends the process (SIGBUS), with all that it serves. So an engine stops writing while there is still room for all
// that its stores may have begun: their memtables, a table that is made of one, and a value log.
const reserve = 32 << 20

// hasRoom reports whether the disk has room for writes.
func (e *Engine) hasRoom() error {
	free := e.cfg.Free
	if free == nil {
		free = freeOn
	}
	left, err := free(e.cfg.Dir)
	if err != nil {
		return fmt.Errorf("how much room is on the disk: %w", err)
	}
	if left < reserve {
		return fmt.Errorf("%w: %d bytes are left of it, and it takes %d to write", ErrNoRoom, left, reserve)
	}
	return nil
}
