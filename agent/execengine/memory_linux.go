package execengine

import "syscall"

// Types of file systems that live in memory (linux/magic.h).
const (
	tmpfsMagic = 0x01021994
	ramfsMagic = 0x858458f6
)

// isInMemory reports whether a directory is on tmpfs or ramfs.
func isInMemory(dir string) (bool, error) {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(dir, &stat); err != nil {
		return false, err
	}
	kind := uint32(stat.Type) //nolint:gosec // magic numbers have 32 bits
	return kind == tmpfsMagic || kind == ramfsMagic, nil
}
