//go:build linux || darwin

package badgerengine

import "syscall"

// freeOn is how many bytes of the disk that holds a directory are free for this user.
func freeOn(dir string) (uint64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return s.Bavail * uint64(s.Bsize), nil //nolint:gosec // sizes of blocks are positive
}
