package ratio

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Lab is where entries prepare what they measure. It lasts as long as the run.
type Lab struct {
	// Dir is a folder for files, which goes with the lab.
	Dir string
	// Programs is a folder for programs that outlive the lab and have their symbols, for a profiler to name what
	// it saw. By default they have none and are in Dir.
	Programs string

	built map[string]string // programs by package
	undo  []func()
}

// NewLab opens a lab in a temporary folder. It is to be closed.
func NewLab() (*Lab, error) {
	dir, err := os.MkdirTemp("", "latchkey-bench-")
	if err != nil {
		return nil, err
	}
	return &Lab{Dir: dir, built: map[string]string{}}, nil
}

// Defer has something done when the run is over, the last one first.
func (l *Lab) Defer(f func()) { l.undo = append(l.undo, f) }

// Close undoes what was prepared.
func (l *Lab) Close() error {
	for len(l.undo) > 0 {
		last := len(l.undo) - 1
		f := l.undo[last]
		l.undo = l.undo[:last]
		f()
	}
	return os.RemoveAll(l.Dir)
}

// Build builds a program of this module as it is deployed, but for this machine, and returns its
// path. It builds each once.
func (l *Lab) Build(ctx context.Context, pkg string) (string, error) {
	if path, ok := l.built[pkg]; ok {
		return path, nil
	}
	path := filepath.Join(cmp.Or(l.Programs, l.Dir), strings.ReplaceAll(pkg, "/", "-"))
	args := []string{"build", "-tags", "lambda.norpc", "-trimpath", "-o", path}
	if l.Programs == "" {
		args = append(args, "-ldflags=-s -w")
	}
	cmd := exec.CommandContext(ctx, "go", append(args, pkg)...) //nolint:gosec // G204: programs of this module
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", pkg, err, bytes.TrimSpace(out))
	}
	l.built[pkg] = path
	return path, nil
}

// CPUOf returns the CPU seconds that this process spends in f, whichever of its threads does: the
// garbage collector's share is part of it.
func CPUOf(f func() error) (float64, error) {
	before, err := used()
	if err != nil {
		return 0, err
	}
	if err := f(); err != nil {
		return 0, err
	}
	after, err := used()
	return (after - before).Seconds(), err
}

// WallOf returns the seconds that pass in f.
func WallOf(f func() error) (float64, error) {
	start := time.Now()
	err := f()
	return time.Since(start).Seconds(), err
}

// CPUPerCall is a turn of n calls in this process: what one of them cost in CPU seconds.
func CPUPerCall(n int, call func(ctx context.Context) error) Turn {
	return func(ctx context.Context) (float64, error) {
		seconds, err := CPUOf(func() error {
			for range n {
				if err := call(ctx); err != nil {
					return err
				}
			}
			return nil
		})
		return seconds / float64(n), err
	}
}
