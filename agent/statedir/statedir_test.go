package statedir_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"latchkey/agent/statedir"
	"latchkey/agent/statedir/statedirtest"
)

const name = "keys.json"

func TestAfterACrashAtAnyStepAFileIsOldOrNewButWhole(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		disk := &statedirtest.Disk{}
		dir := statedir.New(disk)
		stored := []byte(nil) // what Write last acknowledged
		for round := range rapid.IntRange(1, 6).Draw(t, "rounds") {
			written := []byte{byte(round), 1, 2, 3}
			disk.CrashAt(rapid.IntRange(0, 5).Draw(t, "step"))
			err := dir.Write(name, written)
			if disk.Crash(); err == nil {
				stored = written
			}
			disk.Reboot(rapid.IntRange(0, 4).Draw(t, "kept"))
			got, _, readErr := dir.Read(name)
			switch {
			case readErr == nil && (bytes.Equal(got, stored) || bytes.Equal(got, written)):
				stored = got
			case errors.Is(readErr, statedir.ErrNotExist) && stored == nil:
			default:
				t.Fatalf("round %d: stored %v, wrote %v (%v), read %v, %v", round, stored, written, err, got, readErr)
			}
		}
	})
}

// unsynced is a disk whose directory can't be synced, though files can be written and renamed.
type unsynced struct{ *statedirtest.Disk }

func (unsynced) Sync() error { return syscall.ENOSPC }

// A process that was told that a file was not stored ends, and another one finds the file: it may rely on it only if a power
// cut would not take it away again.
func TestWhatWasReadIsThereAfterAPowerCut(t *testing.T) {
	t.Parallel()
	disk := &statedirtest.Disk{}
	if err := statedir.New(unsynced{disk}).Write(name, []byte("new")); !errors.Is(err, statedir.ErrNotStored) {
		t.Fatalf("Write = %v", err)
	}
	if got, _, err := statedir.New(unsynced{disk}).Read(name); err == nil {
		t.Errorf("Read = %q of what is not on disk", got)
	}
	dir := statedir.New(disk)
	if got, _, err := dir.Read(name); string(got) != "new" || err != nil {
		t.Fatalf("Read = %q, %v", got, err)
	}
	disk.Crash()
	disk.Reboot(0)
	if got, _, err := statedir.New(disk).Read(name); string(got) != "new" || err != nil {
		t.Errorf("after a power cut Read = %q, %v", got, err)
	}
}

func TestAFullDiskLeavesTheOldFile(t *testing.T) {
	t.Parallel()
	disk := &statedirtest.Disk{}
	dir := statedir.New(disk)
	if err := dir.Write(name, []byte("old")); err != nil {
		t.Fatal(err)
	}
	disk.Fill(true)
	if err := dir.Write(name, []byte("new")); !errors.Is(err, statedir.ErrNotStored) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Write = %v", err)
	}
	if got, recovered, err := dir.Read(name); string(got) != "old" || recovered || err != nil {
		t.Errorf("Read = %q, %t, %v", got, recovered, err)
	}
}

func TestADamagedFileIsReplacedByItsPredecessor(t *testing.T) {
	t.Parallel()
	for how, damage := range map[string][]byte{"missing": nil, "empty": {}, "torn": []byte("latchkey-state-1 00ff"), "foreign": []byte("{}")} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			disk := &statedirtest.Disk{}
			dir := statedir.New(disk)
			for _, content := range []string{"first", "second"} {
				if err := dir.Write(name, []byte(content)); err != nil {
					t.Fatal(err)
				}
			}
			disk.Damage(name, damage)
			if got, recovered, err := dir.Read(name); string(got) != "first" || !recovered || err != nil {
				t.Fatalf("Read = %q, %t, %v", got, recovered, err)
			}
			disk.CrashAt(3) // the damaged file must not become the predecessor on the way
			if err := dir.Write(name, []byte("third")); err == nil && how != "missing" {
				disk.Crash()
			}
			disk.Reboot(9)
			if got, _, err := dir.Read(name); err != nil || string(got) != "third" && string(got) != "first" {
				t.Errorf("Read = %q, %v", got, err)
			}
		})
	}
}

func TestDamageBeyondRepairIsToldApartFromAFileThatNeverWas(t *testing.T) {
	t.Parallel()
	disk := &statedirtest.Disk{}
	dir := statedir.New(disk)
	if _, _, err := dir.Read(name); !errors.Is(err, statedir.ErrNotExist) {
		t.Errorf("Read of nothing = %v", err)
	}
	disk.Damage(name, []byte("torn"))
	if _, _, err := dir.Read(name); !errors.Is(err, statedir.ErrDamaged) {
		t.Errorf("Read of a torn file = %v", err)
	}
	disk.Damage(name+".previous", []byte("torn"))
	disk.Damage(name, nil)
	if _, _, err := dir.Read(name); !errors.Is(err, statedir.ErrDamaged) {
		t.Errorf("Read of a torn predecessor = %v", err)
	}
	if err := dir.Write(name, []byte("again")); err != nil {
		t.Fatal(err)
	}
	if err := dir.Remove(name); err != nil {
		t.Fatal(err)
	}
	if left := disk.Names(); len(left) > 0 {
		t.Errorf("Remove left %v", left)
	}
	if err := dir.Remove(name); err != nil {
		t.Errorf("removing nothing: %v", err)
	}
}

func TestADirectoryOfTheSystemKeepsFilesToItsOwner(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state")
	files, err := statedir.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	dir := statedir.New(files)
	for _, content := range []string{"one", "two"} {
		if err := dir.Write(name, []byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	for file, want := range map[string]os.FileMode{"": 0o700 | os.ModeDir, name: 0o600, name + ".previous": 0o600} {
		info, err := os.Stat(filepath.Join(path, file))
		if err != nil || info.Mode() != want {
			t.Errorf("%q: mode %v, want %v (%v)", file, info.Mode(), want, err)
		}
	}
	if _, err := statedir.Open(path); !errors.Is(err, statedir.ErrLocked) {
		t.Errorf("a second Open = %v", err)
	}
	if err := files.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := statedir.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close() //nolint:errcheck // tested above
	if got, _, err := statedir.New(again).Read(name); string(got) != "two" || err != nil {
		t.Errorf("Read = %q, %v", got, err)
	}
	if err := statedir.New(again).Write("../outside", nil); err == nil {
		t.Error("a name led out of the directory")
	}
}

func TestADirectoryThatOthersCanEnterIsRefused(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	if err := os.Chmod(path, 0o750); err != nil {
		t.Fatal(err)
	}
	if _, err := statedir.Open(path); !errors.Is(err, statedir.ErrPermissions) {
		t.Errorf("Open = %v", err)
	}
}
