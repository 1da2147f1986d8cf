package crashtest_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// binaryVariable names a program that is built already.
const binaryVariable = "LATCHKEY_CRASH_BINARY"

// TestMain builds the program, once for all tests.
func TestMain(m *testing.M) { os.Exit(withBinary(m.Run)) }

func withBinary(run func() int) (code int) {
	if os.Getenv(binaryVariable) != "" {
		return run()
	}
	dir, err := os.MkdirTemp("", "latchkey-crashtest")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir) //nolint:errcheck // in the system's folder for what may go
	path := filepath.Join(dir, "latchkey")
	build := exec.CommandContext(context.Background(), "go", "build", "-ldflags=-s -w", "-o", path, "latchkey/local")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	if err := os.Setenv(binaryVariable, path); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return run()
}

// program is the suite in a process, over the same data however often it is killed.
type program struct {
	t       *testing.T
	command []string // with what runs it, if anything does
	stderr  string   // the file that has what it said there

	cmd   *exec.Cmd
	ended chan error
	at    map[string]string // addresses and variables that it printed
	ready []time.Duration   // how long each start took
}

// newProgram is the program with its data in a directory, run by a wrapper if there is one.
func newProgram(t *testing.T, wrapper []string, data string) *program {
	t.Helper()
	p := &program{t: t, stderr: filepath.Join(t.ArtifactDir(), "stderr.txt")}
	p.command = append(append(p.command, wrapper...), os.Getenv(binaryVariable), "-data", data)
	for _, name := range []string{"-listen", "-clouds", "-lambda", "-nodes", "-states", "-databases"} {
		p.command = append(p.command, name, "127.0.0.1:0")
	}
	p.command = append(p.command, strings.Fields(os.Getenv("LATCHKEY_CRASH_ARGS"))...)
	t.Cleanup(p.kill)
	return p
}

// launch starts the process and returns what it prints.
func (p *program) launch() (stdout io.Reader) {
	p.t.Helper()
	p.cmd = exec.CommandContext(p.t.Context(), p.command[0], p.command[1:]...)
	said, err := os.OpenFile(p.stderr, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	defer said.Close() //nolint:errcheck // the process has it
	p.cmd.Stderr = said
	reader, writer, err := os.Pipe()
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { reader.Close() }) //nolint:errcheck // it was read
	p.cmd.Stdout = writer
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	writer.Close() //nolint:errcheck // the process has it
	cmd, ended := p.cmd, make(chan error, 1)
	p.ended = ended
	go func() { ended <- cmd.Wait() }()
	return reader
}

var addressLine = regexp.MustCompile(`^(API|clouds|Lambda|nodes|states) +(http://\S+)$`)

// start starts the program and waits until it is ready.
func (p *program) start() error {
	p.t.Helper()
	began := time.Now()
	lines := bufio.NewScanner(p.launch())
	p.at = map[string]string{}
	for lines.Scan() {
		if lines.Text() == "ready" {
			p.ready = append(p.ready, time.Since(began))
			return nil
		}
		if address := addressLine.FindStringSubmatch(lines.Text()); address != nil {
			p.at[address[1]] = address[2]
		}
		if exports, ok := strings.CutPrefix(lines.Text(), "  export "); ok {
			for word := range strings.FieldsSeq(exports) {
				name, value, _ := strings.Cut(word, "=")
				p.at[name] = value
			}
		}
	}
	return errors.Join(errors.New("it is not ready"), p.death())
}

// kill ends the process as a power cut would, so far as it sees.
func (p *program) kill() {
	if p.cmd == nil {
		return
	}
	p.cmd.Process.Kill() //nolint:errcheck // it may have ended
	<-p.ended            //nolint:errcheck // it was killed
	p.cmd = nil
}

// death is how the process ended by itself; nil if it runs.
func (p *program) death() error {
	select {
	case err := <-p.ended:
		p.ended <- err
		return fmt.Errorf("the program ended by itself: %w\n%s", err, p.lastWords())
	case <-time.After(0):
		return nil
	}
}

// everything is what it said.
func (p *program) everything() string {
	said, err := os.ReadFile(p.stderr)
	if err != nil {
		p.t.Error(err)
	}
	return string(said)
}

// says reports whether it has said something, or does so in a moment.
func (p *program) says(text string) bool {
	const moment = 10 * time.Second
	for began := time.Now(); time.Since(began) < moment; pause(p.t.Context(), 100*time.Millisecond) {
		if strings.Contains(p.everything(), text) {
			return true
		}
	}
	return false
}

// lastWords is the end of what it said.
func (p *program) lastWords() string {
	const most = 6000
	said := p.everything()
	return said[max(0, len(said)-most):]
}

// pause lets things go on for a while, unless ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
