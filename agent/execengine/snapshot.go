//go:build unix

package execengine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"latchkey/agent"
)

// Snapshot implements agent.Engine by a cold copy: no program promises that its files can be read
// while it writes them. It is stopped as gently as Stop does, and started again with the key that
// is still in memory, so that a KMS which is away just then keeps no database down.
func (e *Engine) Snapshot(ctx context.Context, sink agent.SnapshotSink) error {
	if e.cfg.DataDir == "" {
		return agent.ErrUnsupported
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.run == nil {
		return errStopped
	}
	var key *agent.MasterKey
	if e.run.key != nil {
		key = e.run.key.Clone()
	}
	defer key.Destroy()
	if err := e.halt(ctx); err != nil {
		return err
	}
	err := copyOut(ctx, e.cfg.DataDir, sink)
	return errors.Join(err, e.begin(context.WithoutCancel(ctx), key))
}

var (
	errStopped = errors.New("execengine: not running")
	errRunning = errors.New("execengine: running")
)

// copyOut copies regular files. Sockets and the like belong to the process that made them, and
// directories without files are not kept. A link would lead out of the directory, so a snapshot
// without it would not be whole.
func copyOut(ctx context.Context, dir string, sink agent.SnapshotSink) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("open the data directory: %w", err)
	}
	defer root.Close() //nolint:errcheck // it was only read
	return fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case entry.Type()&fs.ModeSymlink != 0:
			return fmt.Errorf("execengine: %s is a symbolic link", name)
		case !entry.Type().IsRegular():
			return nil
		}
		return agent.CopyFile(root, name, sink)
	})
}

// Restore implements agent.Engine. The first file to go and the last to come would have to be the
// program's own to make a half-restored directory unreadable for it, and which one that is differs
// between programs: that it is never opened is up to the agent, which records that a restore has
// begun before it calls, and finishes it before it starts anything.
func (e *Engine) Restore(ctx context.Context, files agent.SnapshotFiles) error {
	if e.cfg.DataDir == "" {
		return agent.ErrUnsupported
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.run != nil {
		return errRunning
	}
	if err := clearDir(e.cfg.DataDir); err != nil {
		return err
	}
	root, err := os.OpenRoot(e.cfg.DataDir)
	if err != nil {
		return fmt.Errorf("open the data directory: %w", err)
	}
	defer root.Close() //nolint:errcheck // what was written through it is synced
	return agent.RestoreFiles(ctx, root, files, files.Names())
}

// clearDir removes what is in a directory and leaves the directory, which may be a mount.
func clearDir(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("clear the data directory: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("clear the data directory: %w", err)
	}
	defer root.Close() //nolint:errcheck // its changes are synced
	for _, entry := range entries {
		if err := root.RemoveAll(entry.Name()); err != nil {
			return fmt.Errorf("clear the data directory: %w", err)
		}
	}
	return agent.SyncDir(root, ".")
}
