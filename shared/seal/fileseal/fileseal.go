// Package fileseal is an operator's key in a file, for a suite that runs on one machine.
//
// Its invariant: a key file is complete or absent, never replaced, and readable by its owner
// only. The local suite and tests import it; nothing that is deployed does.
package fileseal

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"latchkey/shared/seal"
)

const (
	keySize    = 32
	fileMode   = 0o600
	folderMode = 0o700
	others     = 0o077 // the rights of group and others
	othersEdit = 0o022
)

// Wrapper wraps data keys under the key of a file.
type Wrapper struct{ aead cipher.AEAD }

// Open reads the key at path. If there is none, it makes one, and the folder too.
func Open(path string) (*Wrapper, error) {
	key, err := load(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := create(path); err != nil {
			return nil, fmt.Errorf("fileseal: make the key file: %w", err)
		}
		key, err = load(path)
	}
	if err != nil {
		return nil, fmt.Errorf("fileseal: %w", err)
	}
	defer clear(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return &Wrapper{aead: aead}, err
}

// load reads the key and refuses one that others could have read, replaced or cut.
func load(path string) ([]byte, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file; put the key file itself there", path)
	}
	if mode := info.Mode().Perm(); mode&others != 0 {
		return nil, fmt.Errorf("others can use the key file %s (mode %04o); run: chmod 600 %q", path, mode, path)
	}
	folder, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	if mode := folder.Mode().Perm(); mode&othersEdit != 0 {
		return nil, fmt.Errorf("others can replace files in %s (mode %04o); run: chmod 700 %q", filepath.Dir(path), mode, filepath.Dir(path))
	}
	if info.Size() != keySize {
		return nil, fmt.Errorf("the key file %s has %d bytes instead of %d; put the right file back: "+
			"without it nothing sealed opens. If there is nothing to keep, remove it and start again", path, info.Size(), keySize)
	}
	key, err := os.ReadFile(path) //nolint:gosec // the operator's own path
	if err == nil && len(key) != keySize {
		err = fmt.Errorf("the key file %s changed while it was read", path)
	}
	return key, err
}

// create writes a new key beside path, syncs it, and then gives it its name. A hard link does
// that, not a rename: of two processes that start together one gets the name, and a key that
// is in use is never replaced. The other then loads the winner's key.
func create(path string) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, folderMode); err != nil {
		return err
	}
	key := make([]byte, keySize)
	defer clear(key)
	rand.Read(key)                                     // never fails since Go 1.24
	temp, err := os.CreateTemp(dir, ".latchkey-key-*") // O_EXCL, mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name()) //nolint:errcheck // a stray copy harms nobody
	_, err = temp.Write(key)
	if err := errors.Join(err, temp.Chmod(fileMode), temp.Sync(), temp.Close()); err != nil {
		return err
	}
	if err := os.Link(temp.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncFolder(dir)
}

// syncFolder makes the file's name as durable as its content.
func syncFolder(dir string) error {
	f, err := os.Open(dir) //nolint:gosec // the operator's own path
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// GenerateDataKey implements seal.Wrapper.
func (w *Wrapper) GenerateDataKey(ctx context.Context, c seal.Context) (plain, wrapped []byte, err error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	plain = make([]byte, seal.KeySize)
	rand.Read(plain)                                                   // never fails since Go 1.24
	return plain, w.aead.Seal(nil, nil, plain, additionalData(c)), nil //nolint:gosec // the AEAD makes its own nonce
}

// OpenDataKey implements seal.Wrapper.
func (w *Wrapper) OpenDataKey(ctx context.Context, wrapped []byte, c seal.Context) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	plain, err := w.aead.Open(nil, nil, wrapped, additionalData(c))
	if err != nil {
		return nil, fmt.Errorf("%w: the key file did not wrap this", seal.ErrUnopenable)
	}
	return plain, nil
}

func additionalData(c seal.Context) []byte {
	b := []byte("latchkey data key\x00")
	b = append(binary.AppendUvarint(b, uint64(len(c.Scope))), c.Scope...)
	return append(b, c.Field...)
}
