// Package statedir keeps the few small files that an agent must not lose: its identity and its
// wrapped master keys.
//
// Its one invariant: after a crash at any moment, and with a full disk, a file has either its
// old content or its new one, whole; and what was read stays. Each file carries a checksum and
// leaves its predecessor behind, so that one that rots is noticed and replaced. Only the agent
// imports it.
package statedir

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
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
type Dir struct {
	files   Files
	syncing sync.Mutex
	// settled is that a power cut leaves the directory as it is seen. It is not when a process begins: the one
	// before may have ended between a change and its Sync.
	settled atomic.Bool
}

// New keeps files in a directory of any file system, without a lock. Open is for programs.
func New(files Files) *Dir { return &Dir{files: files} }

const (
	next     = ".new"      // being written; never read
	previous = ".previous" // what the file was before its last change
	magic    = "latchkey-state-1 "
)

// Read returns a file's content. recovered says that the file itself was missing or damaged and
// that this is its predecessor. What it returns is on disk.
func (d *Dir) Read(name string) (content []byte, recovered bool, err error) {
	if err := d.settle(); err != nil {
		return nil, false, fmt.Errorf("statedir: %s is not on disk yet: %w", name, err)
	}
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

// settle puts on disk what was not when a process ended, or a change failed.
func (d *Dir) settle() error {
	d.syncing.Lock()
	defer d.syncing.Unlock()
	if d.settled.Swap(true) { // before the Sync: a change that fails during it unsettles the directory again
		return nil
	}
	err := d.files.Sync()
	if err != nil {
		d.settled.Store(false)
	}
	return err
}

// unsettled is a change that failed, so that nobody knows how much of it is on disk.
func (d *Dir) unsettled(what string, err error) error {
	d.settled.Store(false)
	return fmt.Errorf("%w: %s: %w", ErrNotStored, what, err)
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
		return d.unsettled(name, err)
	}
	if _, err := d.read(name); err == nil {
		if err := d.files.Rename(name, name+previous); err != nil {
			return d.unsettled(name, err)
		}
	}
	if err := d.files.Rename(name+next, name); err != nil {
		return d.unsettled(name, err)
	}
	if err := d.files.Sync(); err != nil {
		return d.unsettled(name, err)
	}
	return nil
}

// Remove removes a file and its predecessor. Removing what is not there is no error.
func (d *Dir) Remove(name string) error {
	for _, file := range []string{name + next, name + previous, name} {
		if err := d.files.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return d.unsettled("remove "+name, err)
		}
	}
	if err := d.files.Sync(); err != nil {
		return d.unsettled("remove "+name, err)
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
