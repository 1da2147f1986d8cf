//go:build unix && !linux

package execengine

import "os"

// isInMemory is never sure outside Linux; the operator decides with AllowDisk.
func isInMemory(dir string) (bool, error) {
	_, err := os.Stat(dir)
	return false, err
}
