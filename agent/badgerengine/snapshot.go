package badgerengine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"

	"latchkey/agent"
	"latchkey/agent/statedir"
)

// lockFile is Badger's, and of this process.
const lockFile = "LOCK"

// Snapshot implements agent.Engine. It copies the files, since Badger's own backup decrypts. A
// store is closed while it is copied: that writes out what it has in memory and ends its
// compactions, which would otherwise remove files under the copy. Writes wait until all stores are
// copied, so the snapshot is of one moment; the cluster has its other nodes meanwhile.
func (e *Engine) Snapshot(ctx context.Context, sink agent.SnapshotSink) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.running() {
		return ErrNotRunning
	}
	err := e.closeStores()
	if err == nil {
		err = e.copyOut(ctx, sink)
	}
	if again := e.openAll(context.WithoutCancel(ctx)); again != nil {
		again = errors.Join(again, e.close())
		e.show(agent.Status{Phase: agent.Failed, Detail: again.Error()})
		return errors.Join(err, again)
	}
	return err
}

// closeStores closes every database and forgets none: openAll opens them again.
func (e *Engine) closeStores() error {
	for name, db := range e.open {
		if err := db.Close(); err != nil {
			return fmt.Errorf("close database %q: %w", name, err)
		}
		delete(e.open, name)
	}
	return nil
}

// copyOut copies what the table knows. Other directories are of databases that were never there.
func (e *Engine) copyOut(ctx context.Context, sink agent.SnapshotSink) error {
	root, err := os.OpenRoot(e.cfg.Dir)
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // it was only read
	for _, name := range slices.Sorted(maps.Keys(e.table.Databases)) {
		dir := path.Join(stores, e.table.Databases[name].ID)
		entries, err := fs.ReadDir(root.FS(), dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue // its key is stored, and nothing was ever written under it
		}
		if err != nil {
			return err
		}
		for _, entry := range entries {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if !entry.Type().IsRegular() || entry.Name() == lockFile {
				continue
			}
			if err := agent.CopyFile(root, path.Join(dir, entry.Name()), sink); err != nil {
				return err
			}
		}
	}
	return agent.CopyFile(root, tableFile, sink)
}

// Restore implements agent.Engine. The table comes last: stores without a table do not open.
func (e *Engine) Restore(ctx context.Context, files agent.SnapshotFiles) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.files != nil {
		return errRunning
	}
	names := files.Names()
	if !slices.Contains(names, tableFile) {
		return fmt.Errorf("%w: %s is missing", agent.ErrSnapshotDamaged, tableFile)
	}
	dir, err := statedir.Open(e.cfg.Dir)
	if err != nil {
		return err
	}
	err = wipe(e.cfg.Dir, dir)
	if err == nil {
		err = e.copyIn(ctx, files, names)
	}
	return errors.Join(err, dir.Close())
}

func (e *Engine) copyIn(ctx context.Context, files agent.SnapshotFiles, names []string) error {
	root, err := os.OpenRoot(e.cfg.Dir)
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // what was written through it is synced
	ofStores := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == tableFile })
	if err := agent.RestoreFiles(ctx, root, files, ofStores); err != nil {
		return err
	}
	if err := agent.RestoreFile(root, files, tableFile, newTable); err != nil {
		return err
	}
	if err := agent.SyncDir(root, "."); err != nil {
		return err
	}
	if err := root.Rename(newTable, tableFile); err != nil {
		return err
	}
	return agent.SyncDir(root, ".")
}
