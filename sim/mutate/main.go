// Command mutate breaks the guard of each of the suite's promises in turn, and shows that the simulation
// notices: a simulation that nothing can fail proves nothing. It builds each broken suite from the source as
// it is, with one file replaced, and runs seeds until one is violated. Mishaps are more frequent than usual, to be
// done sooner.
//
// It ends with an error if a guard can be broken unnoticed, or is no longer there to be broken.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func main() {
	seeds := flag.Int("seeds", 40, "how many seeds may pass before a broken guard counts as unnoticed")
	only := flag.String("only", "", "break only the guards whose names contain this")
	flag.Parse()
	if err := run(context.Background(), *seeds, *only); err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, seeds int, only string) error {
	dir, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // the system tidies its temporary files
	var unnoticed []string
	for _, w := range worlds {
		for _, m := range w.mutations {
			if !strings.Contains(m.name, only) {
				continue
			}
			violation, err := m.try(ctx, dir, append(w.flags, fmt.Sprint("-seeds=", seeds)))
			if err != nil {
				return fmt.Errorf("%s: %w", m.name, err)
			}
			if violation == "" {
				unnoticed = append(unnoticed, m.name)
				violation = "NOT NOTICED"
			}
			fmt.Printf("%s: %s\n    %s\n", m.promise, m.name, violation)
		}
	}
	if len(unnoticed) > 0 {
		return fmt.Errorf("not noticed: %s", strings.Join(unnoticed, "; "))
	}
	return nil
}

// worlds are those that broken guards are tried in, and the flags that make them.
var worlds = []struct {
	mutations []mutation
	flags     []string
}{
	{mutations, []string{"-rate=0.05", "-groups=3", "-for=90m"}},
	{crowdMutations, []string{"-crowd"}},
}

// mutation is a guard and how it is broken.
type mutation struct {
	promise  string // I1 to I9
	name     string
	file     string
	old, new string
}

// try breaks the guard and simulates. It returns the first violation, "" if there is none.
func (m mutation) try(ctx context.Context, dir string, flags []string) (string, error) {
	source, err := os.ReadFile(m.file)
	if err != nil {
		return "", err
	}
	if n := bytes.Count(source, []byte(m.old)); n != 1 {
		return "", fmt.Errorf("%s has what is to be broken %d times", m.file, n)
	}
	overlay, err := m.overlay(dir, bytes.Replace(source, []byte(m.old), []byte(m.new), 1))
	if err != nil {
		return "", err
	}
	program := filepath.Join(dir, "sim.test")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-overlay", overlay, "-o", program, "./sim") //nolint:gosec // files of our own
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("it does not build: %s", out)
	}
	simulate := exec.CommandContext(ctx, program, append([]string{"-test.run=^TestSeeds$", "-test.timeout=0", "-until-violated"}, flags...)...) //nolint:gosec // it was just built
	out, err := simulate.CombinedOutput()
	if err == nil {
		return "", nil
	}
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) {
		return "", err
	}
	for line := range strings.Lines(string(out)) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "at ") {
			return line, nil
		}
	}
	return "", fmt.Errorf("it ends without a violation: %s", out)
}

func (m mutation) overlay(dir string, broken []byte) (path string, err error) {
	absolute, err := filepath.Abs(m.file)
	if err != nil {
		return "", err
	}
	replacement := filepath.Join(dir, "broken.go")
	if err := os.WriteFile(replacement, broken, 0o600); err != nil { //nolint:gosec // in a directory that was just made
		return "", err
	}
	text, err := json.Marshal(map[string]map[string]string{"Replace": {absolute: replacement}})
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, text, 0o600)
}
