//go:build unix

package execengine_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"latchkey/agent"
	"latchkey/agent/enginetest"
	"latchkey/agent/execengine"
)

// keeps is a program that writes its data when it is told to end, so that only a cold copy is whole.
const keeps = `trap 'echo end >>journal/log; exit 0' TERM; mkdir -p journal; wc -c <"$1" >>journal/log; echo up; while :; do sleep 0.02; done`

// withData is an engine with a data directory.
func withData(t *testing.T) (e *execengine.Engine, out printed, dir string) {
	t.Helper()
	cfg, out := config(t, keeps)
	dir = t.TempDir()
	cfg.Dir, cfg.DataDir = dir, dir
	return newEngine(t, cfg), out, dir
}

// isUp waits until the program says that it is up.
func isUp(t *testing.T, out printed) {
	t.Helper()
	for out.next(t) != "up" {
	}
}

func log(t *testing.T, dir string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, "journal", "log"))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestEngine_withADataDirectory(t *testing.T) {
	enginetest.Run(t, enginetest.Harness{
		Place: func(t *testing.T) string { t.Helper(); return "" },
		Open: func(t *testing.T, _ string, _ enginetest.Source) agent.Engine {
			t.Helper()
			e, _, _ := withData(t)
			return e
		},
	})
}

func TestASnapshotIsAColdCopy(t *testing.T) {
	t.Parallel()
	e, out, dir := withData(t)
	start(t, e, enginetest.Key(1))
	isUp(t, out)
	var c enginetest.Copy
	if err := e.Snapshot(t.Context(), &c); err != nil {
		t.Fatal(err)
	}
	if got := string(c.Files["journal/log"]); got != "65\nend\n" {
		t.Errorf("the copy is %q", got)
	}
	isUp(t, out) // again, with its key
	if err := os.WriteFile(filepath.Join(dir, "later"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := e.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := log(t, dir); got != "65\nend\n65\nend\n" {
		t.Errorf("the program wrote %q", got)
	}
	if err := e.Restore(t.Context(), &c); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "later")); err == nil || log(t, dir) != "65\nend\n" {
		t.Error("the directory is not as the snapshot was")
	}
}

func TestASnapshotThatFailsStartsTheProgramAgain(t *testing.T) {
	t.Parallel()
	e, out, dir := withData(t)
	start(t, e, nil)
	isUp(t, out)
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := e.Snapshot(t.Context(), &enginetest.Copy{}); err == nil {
		t.Error("a link was left out, or followed")
	}
	isUp(t, out)
	if s := e.Status(); s.Phase == agent.Stopped || s.Phase == agent.Failed {
		t.Errorf("status %+v", s)
	}
}

func TestWithoutADataDirectoryThereAreNoSnapshots(t *testing.T) {
	t.Parallel()
	cfg, out := config(t, stays)
	e := newEngine(t, cfg)
	start(t, e, nil)
	isUp(t, out)
	if err := e.Snapshot(t.Context(), &enginetest.Copy{}); !errors.Is(err, agent.ErrUnsupported) || len(out) > 0 {
		t.Errorf("Snapshot = %v, and %d lines more", err, len(out))
	}
	if err := e.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := e.Restore(t.Context(), &enginetest.Copy{}); !errors.Is(err, agent.ErrUnsupported) {
		t.Errorf("Restore = %v", err)
	}
	if err := e.Wipe(t.Context()); !errors.Is(err, agent.ErrUnsupported) {
		t.Errorf("Wipe = %v", err)
	}
}

func TestWithoutACommandWipingClearsTheDataDirectory(t *testing.T) {
	t.Parallel()
	e, out, dir := withData(t)
	start(t, e, nil)
	isUp(t, out)
	if err := e.Wipe(t.Context()); err == nil {
		t.Error("a running program was wiped")
	}
	if err := e.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := e.Wipe(t.Context()); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("%v is left, %v", entries, err)
	}
}
