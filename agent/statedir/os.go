package statedir

import (
	"errors"
	"fmt"
	"io"
	"os"
)

const (
	dirMode  = 0o700
	fileMode = 0o600
	// maxFile bounds what is read. The agent's files have a few kilobytes.
	maxFile  = 1 << 20
	lockName = "lock"
)

// ErrLocked is returned by Open while another process has the directory open.
var ErrLocked = errors.New("statedir: another agent is using this directory")

// ErrPermissions is returned by Open for a directory that others than its owner may enter.
var ErrPermissions = errors.New("statedir: the directory must be accessible to its owner only (mode 0700)")

// OS is a directory of the operating system, opened once: names cannot lead out of it.
type OS struct {
	root *os.Root
	lock *os.File
}

// Open opens a directory for this process alone, and makes it if it is not there.
func Open(path string) (*OS, error) {
	if err := os.MkdirAll(path, dirMode); err != nil {
		return nil, fmt.Errorf("make the state directory: %w", err)
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("open the state directory: %w", err)
	}
	o := &OS{root: root}
	if err := o.claim(); err != nil {
		return nil, errors.Join(err, o.Close())
	}
	return o, nil
}

func (o *OS) claim() error {
	info, err := o.root.Stat(".")
	if err != nil {
		return fmt.Errorf("look at the state directory: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%w: it is %v", ErrPermissions, info.Mode().Perm())
	}
	if o.lock, err = o.root.OpenFile(lockName, os.O_CREATE|os.O_RDWR, fileMode); err != nil {
		return fmt.Errorf("lock the state directory: %w", err)
	}
	return lock(o.lock)
}

// Close gives up the directory.
func (o *OS) Close() error {
	var err error
	if o.lock != nil {
		err = o.lock.Close()
	}
	return errors.Join(err, o.root.Close())
}

// ReadFile implements Files.
func (o *OS) ReadFile(name string) ([]byte, error) {
	f, err := o.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	return io.ReadAll(io.LimitReader(f, maxFile))
}

// WriteSynced implements Files.
func (o *OS) WriteSynced(name string, content []byte) error {
	f, err := o.root.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, fileMode)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// Rename implements Files.
func (o *OS) Rename(from, to string) error { return o.root.Rename(from, to) }

// Remove implements Files.
func (o *OS) Remove(name string) error { return o.root.Remove(name) }

// Sync implements Files.
func (o *OS) Sync() error {
	dir, err := o.root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
