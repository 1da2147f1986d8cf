package agent_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"testing"

	"latchkey/agent"
)

// heldFiles are files of a snapshot; one without content is damaged.
type heldFiles map[string]string

func (h heldFiles) Names() []string {
	var names []string
	for name := range h {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (h heldFiles) Open(name string) (io.ReadCloser, error) {
	if h[name] == "" {
		return nil, agent.ErrSnapshotDamaged
	}
	return io.NopCloser(bytes.NewBufferString(h[name])), nil
}

func TestFilesOfASnapshotAreRestoredForTheEngineAlone(t *testing.T) {
	t.Parallel()
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close() //nolint:errcheck // it was only read
	held := heldFiles{"a": "1", "deep/below/b": "2"}
	if err := agent.RestoreFiles(t.Context(), root, held, held.Names()); err != nil {
		t.Fatal(err)
	}
	for name, content := range held {
		got, err := root.ReadFile(name)
		if err != nil || string(got) != content {
			t.Errorf("%s has %q, %v", name, got, err)
		}
	}
	for name, want := range map[string]fs.FileMode{"deep": 0o700, "deep/below": 0o700, "a": 0o600, "deep/below/b": 0o600} {
		info, err := root.Stat(name)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s is %v, %v", name, info, err)
		}
	}
}

func TestFilesAreNotRestoredOverOthersNorOutOfTheDirectory(t *testing.T) {
	t.Parallel()
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx  context.Context //nolint:containedctx // it is of the case
		held heldFiles
		want error // nil: any
	}{
		"a file that is there":     {t.Context(), heldFiles{"there": "other"}, fs.ErrExist},
		"a file that is damaged":   {t.Context(), heldFiles{"damaged": ""}, agent.ErrSnapshotDamaged},
		"a name that leads out":    {t.Context(), heldFiles{"../out": "1"}, nil},
		"a call that is over":      {over, heldFiles{"new": "1"}, context.Canceled},
		"a directory that is none": {t.Context(), heldFiles{"there/below": "1"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root, err := os.OpenRoot(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close() //nolint:errcheck // it was only read
			if err := root.WriteFile("there", []byte("mine"), 0o600); err != nil {
				t.Fatal(err)
			}
			err = agent.RestoreFiles(c.ctx, root, c.held, c.held.Names())
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("RestoreFiles = %v, want %v", err, c.want)
			}
			if got, err := root.ReadFile("there"); err != nil || string(got) != "mine" {
				t.Errorf("what was there has %q, %v", got, err)
			}
		})
	}
}
