package fileseal_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"latchkey/shared/seal"
	"latchkey/shared/seal/fileseal"
	"latchkey/shared/seal/sealtest"
)

func keyFile(t testing.TB) string { return filepath.Join(t.TempDir(), "folder", "seal.key") }

func open(t testing.TB, path string) *fileseal.Wrapper {
	t.Helper()
	w, err := fileseal.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestWrapper(t *testing.T) {
	sealtest.Run(t, func(t *testing.T) sealtest.Harness {
		path := keyFile(t)
		return sealtest.Harness{
			Wrapper: open(t, path),
			Again:   func(t *testing.T) seal.Wrapper { return open(t, path) },
			Other:   open(t, keyFile(t)),
		}
	})
}

func TestOpen_makes_a_key_that_only_the_owner_can_use(t *testing.T) {
	path := keyFile(t)
	open(t, path)
	for name, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		info, err := os.Stat(name)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("mode of %s = %v, %v; want %v", name, info.Mode(), err, want)
		}
	}
	key, err := os.ReadFile(path)
	if err != nil || len(key) != 32 || bytes.Equal(key, make([]byte, 32)) {
		t.Errorf("the key has %d bytes, %v", len(key), err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("the folder holds %v, %v; want the key file only", entries, err)
	}
}

func TestOpen_of_many_at_once_makes_one_key(t *testing.T) {
	const rounds, openers = 40, 8
	c := seal.Context{Scope: "system", Field: "test"}
	for range rounds {
		path := keyFile(t)
		wrapped := make([][]byte, openers)
		var group sync.WaitGroup
		for i := range wrapped {
			group.Go(func() {
				w, err := fileseal.Open(path)
				if err != nil {
					t.Error(err)
					return
				}
				if _, wrapped[i], err = w.GenerateDataKey(t.Context(), c); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		last := open(t, path)
		for _, data := range wrapped {
			if _, err := last.OpenDataKey(t.Context(), data, c); err != nil {
				t.Fatalf("one of them used a key that was replaced: %v", err)
			}
		}
	}
}

func TestOpen_refuses_a_key_that_is_not_safe_and_says_what_to_do(t *testing.T) {
	cases := map[string]struct {
		spoil func(path string) error
		want  string
	}{
		"the group can read it":       {func(p string) error { return os.Chmod(p, 0o640) }, "chmod 600"},
		"others can write it":         {func(p string) error { return os.Chmod(p, 0o602) }, "chmod 600"},
		"others can replace it":       {func(p string) error { return os.Chmod(filepath.Dir(p), 0o777) }, "chmod 700"},
		"it is too short":             {func(p string) error { return os.Truncate(p, 31) }, "31 bytes instead of 32"},
		"it is empty":                 {func(p string) error { return os.Truncate(p, 0) }, "put the right file back"},
		"it is too long":              {func(p string) error { return os.Truncate(p, 33) }, "33 bytes instead of 32"},
		"it is a link":                {func(p string) error { return link(p) }, "not a regular file"},
		"it is a folder":              {func(p string) error { return folder(p) }, "not a regular file"},
		"the folder can't be entered": {func(p string) error { return folderFile(p) }, "not a directory"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			path := keyFile(t)
			open(t, path)
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.spoil(path); err != nil {
				t.Fatal(err)
			}
			_, err = fileseal.Open(path)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), filepath.Dir(path)) {
				t.Errorf("error %v, want one that names the file and says %q", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), string(before)) {
				t.Error("the error shows the key")
			}
		})
	}
}

func link(path string) error {
	if err := os.Rename(path, path+".real"); err != nil {
		return err
	}
	return os.Symlink(path+".real", path)
}

func folder(path string) error {
	if err := os.Remove(path); err != nil {
		return err
	}
	return os.Mkdir(path, 0o700)
}

func folderFile(path string) error {
	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		return err
	}
	return os.WriteFile(filepath.Dir(path), nil, 0o600)
}
