//go:build unix

package execengine

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"latchkey/agent"
)

// Format is how the master key is written for a program.
type Format string

// The formats.
const (
	Raw     Format = "raw"     // the 32 bytes
	Base64  Format = "base64"  // one line, as mongod --encryptionKeyFile wants it
	Hex     Format = "hex"     // one line
	MariaDB Format = "mariadb" // "1;" and hex, as file_key_management wants it
)

// Formats lists them for help texts.
func Formats() []Format { return []Format{Raw, Base64, Hex, MariaDB} }

func (f Format) encode(secret []byte) ([]byte, error) {
	switch f {
	case Raw:
		return append([]byte(nil), secret...), nil
	case Base64:
		return append(base64.StdEncoding.AppendEncode(nil, secret), '\n'), nil
	case Hex:
		return append(hex.AppendEncode(nil, secret), '\n'), nil
	case MariaDB:
		return append(hex.AppendEncode([]byte("1;"), secret), '\n'), nil
	}
	return nil, fmt.Errorf("execengine: unknown key format %q", f)
}

// ErrOnDisk is returned for a directory of key files that is not in memory.
var ErrOnDisk = errors.New("execengine: the key directory is not on tmpfs or ramfs")

const (
	keyDirMode  = 0o700
	keyFileMode = 0o600
	keyName     = "master.key"
)

// keyFile is where the key of one node is handed over: a directory of its own with one file.
type keyFile struct {
	parent    string
	name      string
	allowDisk bool
}

func (k keyFile) dir() string { return filepath.Join(k.parent, "latchkey-"+k.name) }

// check refuses a directory that is not in memory.
func (k keyFile) check() error {
	inMemory, err := isInMemory(k.parent)
	if err != nil {
		return fmt.Errorf("look at the key directory: %w", err)
	}
	if !inMemory && !k.allowDisk {
		return fmt.Errorf("%w: %s", ErrOnDisk, k.parent)
	}
	return nil
}

// write makes the file anew; one that a crash left behind is removed first.
func (k keyFile) write(key *agent.MasterKey, format Format) (path string, err error) {
	if err := k.check(); err != nil {
		return "", err
	}
	if err := k.remove(); err != nil {
		return "", err
	}
	if err := os.Mkdir(k.dir(), keyDirMode); err != nil {
		return "", err
	}
	content, err := format.encode(key.Bytes())
	if err != nil {
		return "", err
	}
	defer clear(content)
	path = filepath.Join(k.dir(), keyName)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, keyFileMode) //nolint:gosec // the operator names the directory
	if err != nil {
		return "", err
	}
	_, err = f.Write(content)
	return path, errors.Join(err, f.Close())
}

// remove overwrites and removes the file. Removing what is not there is no error. What stands
// in the way and is not ours (a link, another's directory) is an error, never followed.
func (k keyFile) remove() error {
	info, err := os.Lstat(k.dir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !info.IsDir() || !ownedByUs(info) {
		return fmt.Errorf("execengine: %s is not a directory of this agent", k.dir())
	}
	root, err := os.OpenRoot(k.dir())
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // nothing is written through it
	if f, err := root.OpenFile(keyName, os.O_WRONLY, 0); err == nil {
		if info, err := f.Stat(); err == nil {
			f.Write(make([]byte, min(info.Size(), 1<<10))) //nolint:errcheck // it is removed in any case
		}
		f.Close() //nolint:errcheck // likewise
	}
	if err := root.Remove(keyName); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Remove(k.dir())
}
