//go:build unix

package execengine_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey/agent"
	"latchkey/agent/enginetest"
	"latchkey/agent/execengine"
)

// memory is a directory in memory.
func memory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "latchkey-test-") //nolint:usetesting // it has to be in memory
	if err != nil {
		t.Skipf("no tmpfs: %v", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) }) //nolint:errcheck // it is in memory
	return dir
}

// printed is the lines of a program's output.
type printed chan string

func (p printed) Write(line []byte) (int, error) {
	p <- strings.TrimSuffix(string(line), "\n")
	return len(line), nil
}

// next is the next line, which must come.
func (p printed) next(t *testing.T) string {
	t.Helper()
	select {
	case line := <-p:
		return strings.TrimPrefix(line, "[database] ")
	case <-time.After(20 * time.Second):
		t.Fatal("the program prints nothing")
		return ""
	}
}

// until waits for what other processes do.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(20 * time.Second)
	for !is() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("not in time: %s", what)
		}
	}
}

// config runs a script, which gets the key file as $1.
func config(t *testing.T, script string) (execengine.Config, printed) {
	t.Helper()
	out := make(printed, 1000)
	return execengine.Config{
		Name: "n1", Command: []string{"/bin/sh", "-c", script, "sh", "{{.KeyFile}}"}, Output: out,
		Env: []string{"PATH=" + os.Getenv("PATH"), "GREETING=hello"}, KeyDir: memory(t), KeyFormat: execengine.Hex,
		RestartDelay: time.Millisecond, Grace: 10 * time.Second, Log: slog.New(slog.DiscardHandler), Now: time.Now,
	}, out
}

func newEngine(t *testing.T, cfg execengine.Config) *execengine.Engine {
	t.Helper()
	e, err := execengine.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Stop(context.WithoutCancel(t.Context())) }) //nolint:errcheck // tested elsewhere; programs outlive who does not wait
	return e
}

func start(t *testing.T, e *execengine.Engine, key *agent.MasterKey) {
	t.Helper()
	if err := e.Start(t.Context(), key); err != nil {
		t.Fatal(err)
	}
}

// stays runs until it is told to end.
const stays = `trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.02; done`

func TestEngine(t *testing.T) {
	place := func(t *testing.T) string { t.Helper(); return "" }
	enginetest.Run(t, enginetest.Harness{Place: place, Open: func(t *testing.T, _ string, _ enginetest.Source) agent.Engine {
		t.Helper()
		cfg, _ := config(t, stays)
		return newEngine(t, cfg)
	}})
}

func TestAProgramGetsItsKeyInTheFormThatItWants(t *testing.T) {
	t.Parallel()
	secret := enginetest.Key(7).Bytes()
	for format, want := range map[execengine.Format]string{
		execengine.Base64:  base64.StdEncoding.EncodeToString(secret) + "\n",
		execengine.Hex:     hex.EncodeToString(secret) + "\n",
		execengine.MariaDB: "1;" + hex.EncodeToString(secret) + "\n",
		execengine.Raw:     string(secret),
	} {
		cfg, out := config(t, `trap 'exit 0' TERM; od -An -v -tx1 "$1" | tr -d ' \n'; echo; stat -c '%a' "$1"; stat -c '%a' "$(dirname "$1")"; while :; do sleep 0.02; done`)
		cfg.KeyFormat = format
		start(t, newEngine(t, cfg), enginetest.Key(7))
		got, err := hex.DecodeString(out.next(t))
		if err != nil || string(got) != want {
			t.Errorf("%s: %q, want %q (%v)", format, got, want, err)
		}
		if file, dir := out.next(t), out.next(t); file != "600" || dir != "700" {
			t.Errorf("%s: modes %s and %s", format, file, dir)
		}
	}
}

// keyFiles are what is left in the key directory.
func keyFiles(t *testing.T, cfg execengine.Config) []string {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(cfg.KeyDir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return left
}

func TestTheKeyFileIsRemovedWhenTheProgramIsReady(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() //nolint:errcheck // nobody talks over it
	for name, change := range map[string]func(*execengine.Config){
		"by its port": func(c *execengine.Config) { c.Ready = listener.Addr().String() },
		"by time":     func(c *execengine.Config) { c.KeepKey = 50 * time.Millisecond },
	} {
		cfg, out := config(t, `trap 'exit 0' TERM; while [ -e "$1" ]; do sleep 0.01; done; echo gone; while :; do sleep 0.02; done`)
		change(&cfg)
		e := newEngine(t, cfg)
		start(t, e, enginetest.Key(1))
		if out.next(t); len(keyFiles(t, cfg)) > 0 {
			t.Errorf("%s: %v is left", name, keyFiles(t, cfg))
		}
		until(t, "running", func() bool { return e.Status().Phase == agent.Running })
	}
}

func TestTheKeyFileStaysUntilTheProgramIsReadyAndNoLongerThanTheProgram(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	cfg, out := config(t, stays)
	cfg.Ready = nobody
	e := newEngine(t, cfg)
	start(t, e, enginetest.Key(1))
	if out.next(t); len(keyFiles(t, cfg)) != 1 || e.Status().Phase != agent.Starting {
		t.Errorf("%v, %+v", keyFiles(t, cfg), e.Status())
	}
	if err := e.Stop(t.Context()); err != nil || len(keyFiles(t, cfg)) != 0 {
		t.Errorf("Stop = %v, %v is left", err, keyFiles(t, cfg))
	}
}

func TestAKeyIsNotWrittenToADisk(t *testing.T) {
	t.Parallel()
	cfg, out := config(t, stays)
	if cfg.KeyDir = t.TempDir(); strings.HasPrefix(cfg.KeyDir, "/dev/shm") {
		t.Skip("the temporary directory is in memory")
	}
	e := newEngine(t, cfg)
	if err := e.Start(t.Context(), enginetest.Key(1)); !errors.Is(err, execengine.ErrOnDisk) || len(keyFiles(t, cfg)) > 0 {
		t.Errorf("Start = %v, files %v", err, keyFiles(t, cfg))
	}
	start(t, e, nil) // without a key there is nothing to write
	out.next(t)
	cfg.AllowDisk = true
	start(t, newEngine(t, cfg), enginetest.Key(1))
}

func TestWhatStandsInTheKeysPlaceIsNotFollowed(t *testing.T) {
	t.Parallel()
	cfg, out := config(t, stays)
	elsewhere := t.TempDir()
	if err := os.WriteFile(filepath.Join(elsewhere, "master.key"), []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(cfg.KeyDir, "latchkey-n1")
	if err := os.Symlink(elsewhere, link); err != nil {
		t.Fatal(err)
	}
	e := newEngine(t, cfg)
	if err := e.Start(t.Context(), enginetest.Key(1)); err == nil {
		t.Error("it started")
	}
	if got, err := os.ReadFile(filepath.Join(elsewhere, "master.key")); string(got) != "precious" {
		t.Errorf("read %q, %v", got, err)
	}
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(link, 0o700); err != nil { // what a killed agent leaves
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(link, "master.key"), []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, e, enginetest.Key(1))
	out.next(t)
}

func TestAProgramEndsGentlyOrIsKilledWithAllItsChildren(t *testing.T) {
	t.Parallel()
	cfg, out := config(t, stays)
	e := newEngine(t, cfg)
	start(t, e, enginetest.Key(1))
	out.next(t)
	if err := e.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	for out.next(t) != "bye" { // the shell may say that its sleep was terminated
	}
	cfg, out = config(t, `trap '' TERM; (trap '' TERM; while :; do sleep 0.02; done) & echo $!; while :; do sleep 0.02; done`)
	cfg.Grace = 50 * time.Millisecond
	e = newEngine(t, cfg)
	start(t, e, enginetest.Key(1))
	child := out.next(t)
	if err := e.Stop(t.Context()); err != nil || e.Status().Phase != agent.Stopped {
		t.Errorf("Stop = %v, %+v", err, e.Status())
	}
	until(t, "the child's end", func() bool {
		stat, err := os.ReadFile("/proc/" + child + "/stat")
		return err != nil || strings.Contains(string(stat), ") Z ")
	})
}

func TestAProgramThatEndsIsStartedAgain(t *testing.T) {
	t.Parallel()
	cfg, out := config(t, `cat "$1"; exit 3`)
	e := newEngine(t, cfg)
	start(t, e, enginetest.Key(1))
	until(t, "giving up", func() bool { return e.Status().Phase == agent.Failed })
	if want := "exit status 3, 6 times"; e.Status().Detail != want || len(out) != 6 {
		t.Errorf("%+v after %d runs", e.Status(), len(out))
	}
	for range 6 {
		if got := out.next(t); got != hex.EncodeToString(enginetest.Key(1).Bytes()) {
			t.Errorf("a restart got the key %s", got)
		}
	}
	start(t, e, enginetest.Key(2)) // as the agent does after another release
	if got := out.next(t); got != hex.EncodeToString(enginetest.Key(2).Bytes()) {
		t.Errorf("the key is %s", got)
	}
}

func TestAProgramThatEndsAsItWasMeantToStaysEnded(t *testing.T) {
	t.Parallel()
	cfg, out := config(t, `echo done`)
	cfg.Restart = execengine.OnFailure
	e := newEngine(t, cfg)
	start(t, e, nil)
	until(t, "its end", func() bool { return e.Status().Phase == agent.Exited })
	if len(out) != 1 {
		t.Errorf("it ran %d times", len(out))
	}
	if err := e.Stop(t.Context()); err != nil || e.Status().Phase != agent.Stopped {
		t.Errorf("Stop = %v, %+v", err, e.Status())
	}
}

func TestArgumentsAboutTheKeyAreLeftOutWithoutOne(t *testing.T) {
	t.Parallel()
	cfg, out := config(t, "")
	cfg.Command = []string{
		"/bin/sh", "-c", `echo "$# $*"; exec sleep 100`, "sh",
		"{{if .KeyFile}}--enableEncryption{{end}}", "{{if .KeyFile}}--encryptionKeyFile={{.KeyFile}}{{end}}", "",
	}
	e := newEngine(t, cfg)
	start(t, e, nil)
	if got := out.next(t); got != "1 " {
		t.Errorf("arguments %q", got)
	}
	if err := e.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	start(t, e, enginetest.Key(1))
	want := fmt.Sprintf("3 --enableEncryption --encryptionKeyFile=%s/latchkey-n1/master.key ", cfg.KeyDir)
	if got := out.next(t); got != want {
		t.Errorf("arguments %q, want %q", got, want)
	}
}

func TestTheProgramsEnvironmentIsItsOwn(t *testing.T) {
	t.Setenv("LATCHKEY_ENROL_TOKEN", "secret")
	cfg, out := config(t, `echo "$GREETING$LATCHKEY_ENROL_TOKEN"; exec sleep 100`)
	start(t, newEngine(t, cfg), nil)
	if got := out.next(t); got != "hello" {
		t.Errorf("environment %q", got)
	}
}

func TestDataIsWipedByTheOperatorsCommand(t *testing.T) {
	t.Parallel()
	cfg, out := config(t, stays)
	file := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg.WipeCommand = []string{"/bin/rm", file}
	e := newEngine(t, cfg)
	start(t, e, nil)
	out.next(t)
	if err := e.Wipe(t.Context()); err == nil {
		t.Error("a running program's data was wiped")
	}
	if err := e.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := e.Wipe(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("the data is still there")
	}
	if err := e.Wipe(t.Context()); err == nil {
		t.Error("a command that failed counts as done")
	}
}

func TestWhatCannotWorkIsRefusedBeforeAnythingRuns(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*execengine.Config){
		"no command":          func(c *execengine.Config) { c.Command = nil },
		"an empty command":    func(c *execengine.Config) { c.Command = []string{"{{if not .KeyFile}}x{{end}}"} },
		"a broken template":   func(c *execengine.Config) { c.Command = []string{"x", "{{"} },
		"another placeholder": func(c *execengine.Config) { c.Command = []string{"x", "{{.Key}}"} },
		"a broken wipe":       func(c *execengine.Config) { c.WipeCommand = []string{"{{"} },
		"a format":            func(c *execengine.Config) { c.KeyFormat = "pem" },
		"a policy":            func(c *execengine.Config) { c.Restart = "sometimes" },
		"a name":              func(c *execengine.Config) { c.Name = "../x" },
	} {
		cfg, _ := config(t, stays)
		change(&cfg)
		if _, err := execengine.New(cfg); err == nil {
			t.Errorf("%s passed", name)
		}
	}
	cfg, _ := config(t, stays)
	cfg.Command = []string{"/nonexistent/mongod"}
	e := newEngine(t, cfg)
	if err := e.Start(t.Context(), enginetest.Key(1)); err == nil || e.Status().Phase != agent.Stopped || len(keyFiles(t, cfg)) > 0 {
		t.Errorf("Start = %v, %+v, %v", err, e.Status(), keyFiles(t, cfg))
	}
}

func TestALineWithoutAnEndDoesNotFillTheMemory(t *testing.T) {
	t.Parallel()
	cfg, out := config(t, `head -c 200000 /dev/zero | tr '\0' x; echo; echo short; printf last`)
	cfg.Restart = execengine.OnFailure
	e := newEngine(t, cfg)
	start(t, e, nil)
	total := 0
	for {
		line := out.next(t)
		if line == "short" {
			break
		}
		if total += len(line); len(line) > 64<<10 {
			t.Errorf("a line of %d bytes", len(line))
		}
	}
	if total != 200_000 {
		t.Errorf("%d bytes came through", total)
	}
	if got := out.next(t); got != "last" {
		t.Errorf("the rest is %q", got)
	}
}
