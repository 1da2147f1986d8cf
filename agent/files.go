package agent

import (
	"context"
	"errors"
	"io"
	"os"
	"path"
)

// What an engine's directory is made with: it is the engine's alone.
const (
	dirMode  = 0o700
	fileMode = 0o600
)

// CopyFile copies a file of an engine's directory into a snapshot.
func CopyFile(root *os.Root, name string, sink SnapshotSink) error {
	from, err := root.Open(name)
	if err != nil {
		return err
	}
	defer from.Close() //nolint:errcheck // it was only read
	to, err := sink.Create(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	return errors.Join(err, to.Close())
}

// RestoreFiles copies some files of a snapshot into an engine's directory, where none of them may
// be. When it returns nil they are on disk, and so are the directories on the way to them.
func RestoreFiles(ctx context.Context, root *os.Root, files SnapshotFiles, names []string) error {
	dirs := map[string]bool{".": true}
	for _, name := range names {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := root.MkdirAll(path.Dir(name), dirMode); err != nil {
			return err
		}
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			dirs[dir] = true
		}
		if err := RestoreFile(root, files, name, name); err != nil {
			return err
		}
	}
	for dir := range dirs {
		if err := SyncDir(root, dir); err != nil {
			return err
		}
	}
	return nil
}

// RestoreFile copies a file of a snapshot into an engine's directory, maybe under another name. Its
// content is on disk when it returns nil, and its name when the directory is synced.
func RestoreFile(root *os.Root, files SnapshotFiles, name, as string) error {
	from, err := files.Open(name)
	if err != nil {
		return err
	}
	defer from.Close() //nolint:errcheck // it was only read
	to, err := root.OpenFile(as, os.O_CREATE|os.O_EXCL|os.O_WRONLY, fileMode)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	return errors.Join(err, to.Sync(), to.Close())
}

// SyncDir has a directory below root remember which files are in it.
func SyncDir(root *os.Root, name string) error {
	dir, err := root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
