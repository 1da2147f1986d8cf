package bolt

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Scrub overwrites with zeros what was deleted or replaced. The file keeps the pages of former items until
// it has a use for them, which may be never, and a former item may hold a sealed secret that is said
// to be destroyed. Scrub changes nothing that a transaction can see, so it may be cut short at any point.
//
// A page that is free here is none of the last commit, and bbolt itself may write to it before the next one:
// after a crash at any moment one of these two is in force. Readers of earlier commits are waited for.
func (t *Table) Scrub() (err error) {
	t.readers.Lock()
	defer t.readers.Unlock()
	tx, err := t.db.Begin(true)
	if err != nil {
		return wrap("scrub", err)
	}
	defer func() { err = errors.Join(err, tx.Rollback()) }()
	if tx.ID() == t.scrubbed {
		return nil // nothing was written since
	}
	size := t.db.Info().PageSize
	page, zeros := make([]byte, size), make([]byte, size)
	for id := 0; ; id++ {
		info, err := tx.Page(id)
		if err != nil {
			return wrap("scrub", err)
		}
		if info == nil {
			break
		}
		if info.Type != "free" {
			id += info.OverflowCount
			continue
		}
		at := int64(id) * int64(size)
		if _, err := t.raw.ReadAt(page, at); err != nil && !errors.Is(err, io.EOF) {
			return wrap("scrub", err)
		}
		if bytes.Equal(page, zeros) {
			continue
		}
		if _, err := t.raw.WriteAt(zeros, at); err != nil {
			return wrap("scrub", err)
		}
	}
	if err := t.raw.Sync(); err != nil {
		return wrap("scrub", fmt.Errorf("sync: %w", err))
	}
	t.scrubbed = tx.ID()
	return nil
}
