package statedir_test

import (
	"bytes"
	"errors"
	"io/fs"
	"slices"
	"testing"

	"latchkey/agent/statedir"
)

// rotten is a disk on which files rot.
type rotten map[string][]byte

func (r rotten) ReadFile(name string) ([]byte, error) {
	content, ok := r[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return content, nil
}

func (r rotten) WriteSynced(name string, content []byte) error {
	r[name] = bytes.Clone(content)
	return nil
}

func (r rotten) Rename(from, to string) error {
	r[to] = r[from]
	delete(r, from)
	return nil
}

func (r rotten) Remove(name string) error {
	if _, ok := r[name]; !ok {
		return fs.ErrNotExist
	}
	delete(r, name)
	return nil
}

func (rotten) Sync() error { return nil }

// FuzzRead writes twice, and then the file rots, is cut off or is exchanged. What is read is what was written last, or before
// that and said to be so, or nothing: never anything else.
func FuzzRead(f *testing.F) {
	f.Add([]byte("first"), []byte("second"), uint16(3), byte(1), false, []byte(nil))
	f.Add([]byte(""), []byte("\n"), uint16(70), byte(0), true, []byte("latchkey"))
	f.Add([]byte("a"), []byte("a"), uint16(0), byte(0xff), false, []byte("x"))
	f.Fuzz(func(t *testing.T, first, second []byte, at uint16, flip byte, cut bool, instead []byte) {
		disk := rotten{}
		d := statedir.New(disk)
		for _, content := range [][]byte{first, second} {
			if err := d.Write("keys", content); err != nil {
				t.Fatal(err)
			}
		}
		if got, recovered, err := d.Read("keys"); err != nil || recovered || !bytes.Equal(got, second) {
			t.Fatalf("%q is read as %q, %t, %v", second, got, recovered, err)
		}
		sound := slices.Clone(disk["keys"])
		rot(disk, at, flip, cut, instead)
		got, recovered, err := d.Read("keys")
		switch {
		case err != nil || recovered && !bytes.Equal(got, first):
			t.Errorf("with a predecessor, %q is read as %q, %t, %v", disk["keys"], got, recovered, err)
		case !recovered && !bytes.Equal(got, second) && !bytes.Equal(disk["keys"], sound):
			if !bytes.Contains(instead, got) { // who can write there can write anything
				t.Errorf("%q is read as %q", disk["keys"], got)
			}
		}
		for name := range disk {
			if name != "keys" {
				disk[name] = instead
			}
		}
		if got, _, err := d.Read("keys"); err != nil && !errors.Is(err, statedir.ErrDamaged) || err == nil && !bytes.Equal(got, second) && !bytes.Contains(instead, got) {
			t.Errorf("without a predecessor, %q is read as %q, %v", disk["keys"], got, err)
		}
	})
}

// rot changes one byte of the file, cuts it off, or puts something in its place.
func rot(disk rotten, at uint16, flip byte, cut bool, instead []byte) {
	file := slices.Clone(disk["keys"])
	i := int(at) % len(file)
	switch {
	case instead != nil:
		file = instead
	case cut:
		file = file[:i]
	default:
		file[i] ^= flip
	}
	disk["keys"] = file
}
