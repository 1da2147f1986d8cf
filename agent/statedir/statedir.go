// Package statedir keeps the few small files that an agent must not lose: its identity and its
// wrapped master keys.
//
// Its one invariant: after a crash at any moment, and with a full disk, a file has either its
// old content or its new one, whole. Each file carries a checksum and leaves its predecessor
// behind, so that one that rots is noticed and replaced. Only the agent imports it.
package statedir

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
)

// Errors of Read. ErrNotExist is for a file that was never written.
var (
	ErrNotExist = errors.New("statedir: no such file")
	ErrDamaged  = errors.New("statedir: file is damaged, and so is its predecessor")
)

// ErrNotStored is wrapped by every failure of Write and Remove: nothing may rely on the new
// content, and the old one may still be there.
var ErrNotStored = errors.New("statedir: not stored")

// Files is a directory of a file system; OS is the one in use. Names have no separators.
type Files interface {
	// ReadFile fails with fs.ErrNotExist for a file that is not there.
	ReadFile(name string) ([]byte, error)
	// WriteSynced makes or truncates a file that only its owner can read, and returns when its
	// content is on disk.
	WriteSynced(name string, content []byte) error
	Rename(from, to string) error
	// Remove fails with fs.ErrNotExist for a file that is not there.
	Remove(name string) error
	// Sync returns when all renames and removals are on disk.
	Sync() error
}

// Dir is a state directory. Calls for one name must not overlap.
type Dir struct{ files Files }

// New keeps files in a directory of any file system, without a lock. Open is for programs.
func New(files Files) *Dir { return &Dir{files} }

const (
	next     = ".new"      // being written; never read
	previous = ".previous" // what the file was before its last change
	magic    = "latchkey-state-1 "
)

// Read returns a file's content. recovered says that the file itself was missing or damaged and
// that this is its predecessor.
func (d *Dir) Read(name string) (content []byte, recovered bool, err error) {
	content, err = d.read(name)
	if err == nil {
		return content, false, nil
	}
	older, olderErr := d.read(name + previous)
	switch {
	case olderErr == nil:
		return older, true, nil
	case errors.Is(err, fs.ErrNotExist) && errors.Is(olderErr, fs.ErrNotExist):
		return nil, false, ErrNotExist
	case errors.Is(err, fs.ErrNotExist):
		err = olderErr
	}
	return nil, false, fmt.Errorf("%s: %w: %w", name, ErrDamaged, err)
}

func (d *Dir) read(name string) ([]byte, error) {
	framed, err := d.files.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return unframe(framed)
}

// Write replaces a file. The new content goes to another name first, so that whatever fails
// leaves the old one; then the old one becomes the predecessor, unless it is damaged and would
// push out a better one.
func (d *Dir) Write(name string, content []byte) error {
	if err := d.files.WriteSynced(name+next, frame(content)); err != nil {
		d.files.Remove(name + next) //nolint:errcheck // it gives back room on a full disk; the next Write overwrites it anyway
		return fmt.Errorf("%w: %s: %w", ErrNotStored, name, err)
	}
	if _, err := d.read(name); err == nil {
		if err := d.files.Rename(name, name+previous); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrNotStored, name, err)
		}
	}
	if err := d.files.Rename(name+next, name); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrNotStored, name, err)
	}
	if err := d.files.Sync(); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrNotStored, name, err)
	}
	return nil
}

// Remove removes a file and its predecessor. Removing what is not there is no error.
func (d *Dir) Remove(name string) error {
	for _, file := range []string{name + next, name + previous, name} {
		if err := d.files.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%w: remove %s: %w", ErrNotStored, name, err)
		}
	}
	if err := d.files.Sync(); err != nil {
		return fmt.Errorf("%w: remove %s: %w", ErrNotStored, name, err)
	}
	return nil
}

// frame puts a line with the checksum before the content, which stays readable for people.
func frame(content []byte) []byte {
	return fmt.Appendf(nil, "%s%x\n%s", magic, sha256.Sum256(content), content)
}

var errFrame = errors.New("the checksum does not match")

func unframe(framed []byte) ([]byte, error) {
	rest, ok := bytes.CutPrefix(framed, []byte(magic))
	if !ok {
		return nil, errFrame
	}
	line, content, ok := bytes.Cut(rest, []byte("\n"))
	sum := sha256.Sum256(content)
	if !ok || string(line) != hex.EncodeToString(sum[:]) {
		return nil, errFrame
	}
	return content, nil
}
