//go:build unix

package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"latchkey/agent"
	"latchkey/agent/execengine"
	"latchkey/agent/snapshotdir"
)

// errUsage is wrapped by what is wrong with flags and arguments.
var errUsage = errors.New("usage")

// envPrefix begins the variables that stand in for flags: LATCHKEY_STATE_DIR for -state-dir.
const envPrefix = "LATCHKEY_"

// settings are the flags, and the variables in their place.
type settings struct {
	controlPlane, caFile string
	stateDir             string
	token, tokenFile     string
	addresses            list
	keyDir, keyFormat    string
	allowDisk            bool
	name, ready          string
	keepKey, grace       time.Duration
	maxInterval          time.Duration
	restart, wipe        string
	dataDir, snapshotDir string
	logFormat            string
	version              bool

	command []string
	environ []string // the program's
}

// list is a flag that may be given several times.
type list []string

func (l *list) String() string     { return strings.Join(*l, ",") }
func (l *list) Set(s string) error { *l = append(*l, strings.Split(s, ",")...); return nil }

func (s *settings) flags() *flag.FlagSet {
	f := flag.NewFlagSet("latchkey-agent", flag.ContinueOnError)
	f.StringVar(&s.controlPlane, "control-plane", "", "`URL` of the Latchkey control plane; https, or http on this machine (required)")
	f.StringVar(&s.caFile, "ca-file", "", "PEM `file` of the authorities to trust for -control-plane, in place of the system's")
	f.StringVar(&s.stateDir, "state-dir", "/var/lib/latchkey-agent", "`directory` for the agent's identity and wrapped keys")
	f.StringVar(&s.tokenFile, "enrol-token-file", "", "`file` with the one-time enrolment token; needed for the first start only")
	f.Var(&s.addresses, "address", "`ip:port` at which the database can be reached, for the list of the cluster's addresses; repeatable")
	f.StringVar(&s.keyDir, "key-dir", "/dev/shm", "`directory` for the key file; must be on tmpfs or ramfs")
	f.StringVar(&s.keyFormat, "key-format", "base64", "how the key file is written: raw, base64 (mongod), hex or mariadb")
	f.BoolVar(&s.allowDisk, "allow-disk-key-file", false, "accept a -key-dir that is not in memory")
	f.StringVar(&s.name, "name", "default", "tells several agents on one host apart; letters, digits, - and _")
	f.StringVar(&s.ready, "ready", "", "TCP `address` that accepts connections once the database is ready; the key file is removed then")
	f.DurationVar(&s.keepKey, "keep-key", execengine.DefaultKeepKey, "without -ready: how long the key file stays")
	f.DurationVar(&s.grace, "grace", execengine.DefaultGrace, "how long the database may take to stop before it is killed")
	f.DurationVar(&s.maxInterval, "max-interval", 0, "call the control plane at least this often, at most once a second; 0 leaves it to the control plane, which asks for a minute")
	f.StringVar(&s.restart, "restart", string(execengine.Always), "start the database again: always, or on-failure")
	f.StringVar(&s.wipe, "wipe-command", "", "`script` for /bin/sh that removes the database's data; without it and -data-dir the node refuses to resync")
	f.StringVar(&s.dataDir, "data-dir", "", "`directory` with all of the database's data and nothing else; without it the node takes and restores no snapshots")
	f.StringVar(&s.snapshotDir, "snapshot-dir", "", "`directory` for snapshots, in which every node that may restore them must find them: a mount of shared storage")
	f.StringVar(&s.logFormat, "log-format", "text", "text or json")
	f.BoolVar(&s.version, "version", false, "print the version and exit")
	return f
}

// parse reads flags, then the environment for what no flag says. The enrolment token itself has
// no flag: arguments can be read by every user of the host.
func parse(args, environ []string, stdout, stderr io.Writer) (*settings, error) {
	s := &settings{}
	f := s.flags()
	f.SetOutput(io.Discard)
	f.Usage = func() {}
	variables, rest := split(environ)
	if err := f.Parse(args); errors.Is(err, flag.ErrHelp) {
		help(stdout, f)
		return nil, err
	} else if err != nil {
		return nil, fmt.Errorf("%w: %w", errUsage, err)
	}
	if err := fromEnvironment(f, variables); err != nil {
		return nil, err
	}
	s.command, s.environ = f.Args(), rest
	if s.version {
		return s, nil
	}
	return s, s.check(variables["ENROL_TOKEN"], stderr)
}

// split takes the agent's own variables out of the environment: they are not for the database.
func split(environ []string) (own map[string]string, rest []string) {
	own = map[string]string{}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if short, ok := strings.CutPrefix(name, envPrefix); ok {
			own[short] = value
			continue
		}
		rest = append(rest, entry)
	}
	return own, rest
}

func fromEnvironment(f *flag.FlagSet, variables map[string]string) error {
	given := map[string]bool{}
	f.Visit(func(g *flag.Flag) { given[g.Name] = true })
	var err error
	f.VisitAll(func(g *flag.Flag) {
		value, ok := variables[variable(g.Name)]
		if given[g.Name] || !ok {
			return
		}
		if bad := g.Value.Set(value); bad != nil {
			err = errors.Join(err, fmt.Errorf("%w: %s%s: %w", errUsage, envPrefix, variable(g.Name), bad))
		}
	})
	return err
}

func variable(flagName string) string {
	return strings.ToUpper(strings.ReplaceAll(flagName, "-", "_"))
}

func (s *settings) check(token string, stderr io.Writer) error {
	switch {
	case s.controlPlane == "":
		return fmt.Errorf("%w: -control-plane is required", errUsage)
	case len(s.command) == 0:
		return fmt.Errorf("%w: no database command; put it after --", errUsage)
	case s.logFormat != "text" && s.logFormat != "json":
		return fmt.Errorf("%w: -log-format is text or json, not %q", errUsage, s.logFormat)
	case s.keepKey < 0 || s.grace < 0 || s.maxInterval < 0:
		return fmt.Errorf("%w: durations cannot be negative", errUsage)
	}
	s.token = strings.TrimSpace(token)
	if s.tokenFile == "" {
		return nil
	}
	content, err := os.ReadFile(s.tokenFile)
	if errors.Is(err, os.ErrNotExist) {
		// After enrolment the file has served its purpose and may be removed.
		fmt.Fprintf(stderr, "latchkey-agent: %s is not there, which is fine once enrolled\n", s.tokenFile) //nolint:errcheck // it is only a hint
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	s.token = strings.TrimSpace(string(content))
	return nil
}

// transport reaches the control plane with TLS 1.3, by way of the proxy that the environment names.
func (s *settings) transport() (http.RoundTripper, error) {
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return nil, errors.New("the default transport is not net/http's")
	}
	t = t.Clone()
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS13}
	if s.caFile == "" {
		return t, nil
	}
	content, err := os.ReadFile(s.caFile) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUsage, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(content) {
		return nil, fmt.Errorf("%w: %s has no certificate", errUsage, s.caFile)
	}
	t.TLSClientConfig.RootCAs = pool
	return t, nil
}

func (s *settings) engine(stdout io.Writer, log *slog.Logger) execengine.Config {
	cfg := execengine.Config{
		Name: s.name, Command: s.command, Env: s.environ, Output: stdout, KeyDir: s.keyDir,
		KeyFormat: execengine.Format(s.keyFormat), AllowDisk: s.allowDisk, Ready: s.ready, KeepKey: s.keepKey,
		Restart: execengine.Restart(s.restart), Grace: s.grace, DataDir: s.dataDir, Log: log, Now: time.Now,
	}
	if s.wipe != "" {
		cfg.WipeCommand = []string{"/bin/sh", "-c", s.wipe}
	}
	return cfg
}

// snapshots is where snapshots are kept, nil if nowhere.
func (s *settings) snapshots() agent.Snapshots {
	if s.snapshotDir == "" {
		return nil
	}
	return snapshotdir.New(s.snapshotDir)
}

func (s *settings) logger(w io.Writer) *slog.Logger {
	if s.logFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, nil))
	}
	return slog.New(slog.NewTextHandler(w, nil))
}

// version is that of the module, or of the commit that it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			return setting.Value[:min(12, len(setting.Value))]
		}
	}
	return info.Main.Version
}
