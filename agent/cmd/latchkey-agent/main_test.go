//go:build unix

package main

import (
	"bytes"
	"context"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/agent/agenttest"
	"latchkey/shared/node/protocol"
)

// buffer is a bytes.Buffer for two processes' output.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(30 * time.Second)
	for !is() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("not in time: %s", what)
		}
	}
}

func TestTheProgramRunsADatabaseFromEnrolmentToDeletion(t *testing.T) {
	t.Parallel()
	server := agenttest.NewServer(time.Now)
	endpoint := httptest.NewServer(server)
	defer endpoint.Close()
	server.Steady(1)
	nodeID, token := server.AddNode()
	keyDir, err := os.MkdirTemp("/dev/shm", "latchkey-test-") //nolint:usetesting // it has to be in memory
	if err != nil {
		t.Skipf("no tmpfs: %v", err)
	}
	defer os.RemoveAll(keyDir) //nolint:errcheck // it is in memory
	tokenFile, data := filepath.Join(t.TempDir(), "token"), filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(tokenFile, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	server.Command(nodeID, protocol.KindStart, protocol.Run, "AWS")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stdout, stderr, code := &buffer{}, &buffer{}, make(chan int, 1)
	go func() {
		code <- run(ctx, []string{
			"-control-plane", endpoint.URL, "-state-dir", filepath.Join(t.TempDir(), "state"), "-enrol-token-file", tokenFile,
			"-key-dir", keyDir, "-keep-key", "20ms", "-address", "db.internal:27017", "-wipe-command", "rm -f " + data, "--",
			"/bin/sh", "-c", `trap 'exit 0' TERM; wc -c <"$1"; echo "env:$LATCHKEY_X"; touch "$2"; while :; do sleep 0.02; done`, "sh", "{{.KeyFile}}", data,
		}, []string{"PATH=" + os.Getenv("PATH"), "LATCHKEY_X=leaks"}, stdout, stderr)
	}()
	until(t, "running", func() bool { return server.Last(nodeID).State == protocol.StateRunning })
	if out := stdout.String(); !strings.Contains(out, "45\n") || !strings.Contains(out, "env:\n") {
		t.Errorf("the database printed %q", out)
	}
	if r := server.Last(nodeID); len(r.Addresses) != 1 || r.Version == "" {
		t.Errorf("report %+v", r)
	}
	server.Command(nodeID, protocol.KindDelete, protocol.Stop, "AWS")
	if got := <-code; got != exitOK {
		t.Errorf("exit code %d\n%s", got, stderr)
	}
	if _, err := os.Stat(data); err == nil || strings.Contains(stderr.String(), token) {
		t.Errorf("the data is still there, or the token is in the log:\n%s", stderr)
	}
}

func TestExitCodesSayWhetherRestartingHelps(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(agenttest.NewServer(time.Now))
	defer server.Close()
	open := t.TempDir()
	if err := os.Chmod(open, 0o755); err != nil {
		t.Fatal(err)
	}
	disk := t.TempDir()
	good := func(more ...string) []string {
		return append(append([]string{"-control-plane", server.URL, "-state-dir", filepath.Join(t.TempDir(), "s"), "-allow-disk-key-file"}, more...), "--", "true")
	}
	for name, c := range map[string]struct {
		args, env []string
		want      int
	}{
		"help":               {[]string{"-help"}, nil, exitOK},
		"version":            {[]string{"-version"}, nil, exitOK},
		"nothing":            {nil, nil, exitUsage},
		"an unknown flag":    {[]string{"-x"}, nil, exitUsage},
		"no command":         {[]string{"-control-plane", server.URL}, nil, exitUsage},
		"plain http":         {good("-control-plane", "http://keys.example.com"), nil, exitUsage},
		"a key format":       {good("-key-format", "pem"), nil, exitUsage},
		"a variable":         {good(), []string{"LATCHKEY_GRACE=soon"}, exitUsage},
		"a flag beats it":    {good("-grace", "1s"), []string{"LATCHKEY_GRACE=soon"}, exitEnrol},
		"no token":           {good(), nil, exitEnrol},
		"a refused token":    {good(), []string{"LATCHKEY_ENROL_TOKEN=x"}, exitEnrol},
		"an open state":      {good("-state-dir", open), nil, exitState},
		"a key dir on disk":  {good("-allow-disk-key-file=false", "-key-dir", disk), nil, exitTransfer},
		"no such key dir":    {good("-key-dir", filepath.Join(disk, "x")), nil, exitFailed},
		"no such CA":         {good("-ca-file", filepath.Join(disk, "x")), nil, exitUsage},
		"a negative time":    {good("-grace", "-1s"), nil, exitUsage},
		"a negative pause":   {good("-max-interval", "-1s"), nil, exitUsage},
		"a log format":       {good("-log-format", "xml"), nil, exitUsage},
		"a token not there":  {good("-enrol-token-file", filepath.Join(disk, "x")), nil, exitEnrol},
		"a restart policy":   {good("-restart", "never"), nil, exitUsage},
		"a name with slash":  {good("-name", "../x"), nil, exitUsage},
		"a broken template":  {append(good(), "{{"), nil, exitUsage},
		"an absent database": {[]string{"-control-plane", "keys.example.com", "--", "x"}, nil, exitUsage},
	} {
		var stdout, stderr buffer
		if got := run(t.Context(), c.args, c.env, &stdout, &stderr); got != c.want {
			t.Errorf("%s: exit code %d, want %d\n%s", name, got, c.want, stderr.String())
		}
	}
}

func TestHelpNamesEveryFlagFileAndExitCode(t *testing.T) {
	t.Parallel()
	var out, stderr buffer
	run(t.Context(), []string{"-h"}, nil, &out, &stderr)
	for _, want := range []string{
		"-control-plane", "-state-dir", "-wipe-command", "keys.json", "identity.json", "Exit codes", "--enableEncryption",
		"--encryptionKeyFile={{.KeyFile}}", "file_key_management", "LATCHKEY_ENROL_TOKEN",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the help does not speak of %s", want)
		}
	}
	for line := range strings.Lines(out.String()) {
		if len(line) > 160 {
			t.Errorf("a line of %d characters: %s", len(line), line)
		}
	}
}
