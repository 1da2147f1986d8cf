// Command local runs the whole suite on one machine, with nothing but Go: the API behind a local
// API Gateway, its functions, the clouds that tenants keep their keys in, and the table.
//
// It runs what is deployed: routes, time-outs, gateway responses and environment variables
// come from template.yaml.
package main

import (
	"cmp"
	"context"
	"crypto/rsa"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"latchkey/local/stack"
	"latchkey/local/states/journal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cfg, err := parseFlags(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		os.Exit(2) // the flag package has said why
	}
	cfg.owner = stack.Owner{
		OrgID: os.Getenv("LATCHKEY_ORG_ID"), GroupID: os.Getenv("LATCHKEY_GROUP_ID"),
		PublicKey: os.Getenv("LATCHKEY_PUBLIC_KEY"), PrivateKey: os.Getenv("LATCHKEY_PRIVATE_KEY"),
	}
	if err := run(ctx, cfg, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "latchkey: "+err.Error())
		stop()
		os.Exit(1) //nolint:gocritic // exitAfterDefer: stop has been called
	}
}

// config is the command line.
type config struct {
	listen, clouds, lambda string // addresses to listen on
	nodes, states          string
	databases              string
	noFleet                bool
	data                   string // directory
	isolated               bool
	functions              string // directory of built programs, "" to build them
	invocations            int    // that a process of an isolated function serves, 0 for any number
	parameters             map[string]string
	owner                  stack.Owner // ids and keys of the first start, "" where any will do
	now                    func() time.Time
	web                    http.RoundTripper                                 // to addresses that tenants choose, nil for the network
	endpointDelay          func() time.Duration                              // of the clouds' private endpoints, nil for the clouds' own
	generateKey            func(bits int) (*rsa.PrivateKey, error)           // of the clouds, nil for new ones
	read                   func(parameters map[string]string) (parts, error) // the template
	journal                func(journal.Journal) journal.Journal             // what executions are kept through, nil for nothing between
	quiet                  bool
	verbose                bool
}

func parseFlags(args []string, stderr io.Writer) (config, error) {
	cfg := config{parameters: map[string]string{}, now: time.Now, read: readParts}
	fs := flag.NewFlagSet("latchkey", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&cfg.listen, "listen", "127.0.0.1:8080", "`address` of the API")
	fs.StringVar(&cfg.clouds, "clouds", "127.0.0.1:8081", "`address` of the clouds that tenants keep their keys in")
	fs.StringVar(&cfg.lambda, "lambda", "127.0.0.1:3001", "`address` of the Lambda Invoke API, for aws lambda invoke --endpoint-url")
	fs.StringVar(&cfg.nodes, "nodes", "127.0.0.1:8082", "`address` that agents of nodes call")
	fs.StringVar(&cfg.states, "states", "127.0.0.1:8083", "`address` of the Step Functions API, for aws stepfunctions --endpoint-url")
	fs.StringVar(&cfg.databases, "databases", "127.0.0.1:8084", "loopback `address` of the clusters' data, for everybody on this machine")
	fs.BoolVar(&cfg.noFleet, "no-fleet", false, "run no nodes: clusters wait for agents that you start")
	fs.StringVar(&cfg.data, "data", ".latchkey", "`directory` of everything that is kept; remove it to begin anew")
	fs.BoolVar(&cfg.isolated, "isolated", false, "run the functions' own programs as Lambda does, each with the permissions that the template gives it")
	fs.StringVar(&cfg.functions, "functions", "", "`directory` of the programs for -isolated, as go build -tags lambda.norpc -o directory/ ./functions/... makes them; empty builds them")
	fs.BoolVar(&cfg.quiet, "quiet", false, "print nothing but errors")
	fs.BoolVar(&cfg.verbose, "verbose", false, "log every request")
	fs.Func("parameter", "`Name=value` of a parameter of template.yaml; may be repeated", func(s string) error {
		name, value, ok := strings.Cut(s, "=")
		if !ok || name == "" {
			return errors.New("it has the form Name=value")
		}
		cfg.parameters[name] = value
		return nil
	})
	if err := fs.Parse(args); err != nil {
		return cfg, err
	}
	if err := checkLoopback(cfg.databases); err != nil {
		fmt.Fprintln(stderr, err) //nolint:errcheck // nowhere else to say it
		return cfg, err
	}
	if fs.NArg() > 0 {
		err := fmt.Errorf("unexpected argument %q", fs.Arg(0))
		fmt.Fprintln(stderr, err) //nolint:errcheck // nowhere else to say it
		fs.Usage()
		return cfg, err
	}
	return cfg, nil
}

// shutdownGrace is how long requests may take to end after the signal to stop.
const shutdownGrace = 5 * time.Second

// run starts everything, says so on stdout, and returns when ctx ends and all has stopped.
func run(ctx context.Context, cfg config, stdout io.Writer) (err error) {
	if cfg.quiet {
		stdout = io.Discard
	}
	// Ports first: they are what fails most often, and nothing has been touched yet.
	ports := map[string]string{
		"-listen": cfg.listen, "-clouds": cfg.clouds, "-lambda": cfg.lambda, "-nodes": cfg.nodes, "-states": cfg.states,
	}
	if !cfg.noFleet {
		ports["-databases"] = cfg.databases
	}
	listeners, err := listenAll(ctx, ports)
	if err != nil {
		return err
	}
	defer func() {
		for _, l := range listeners {
			l.Close() //nolint:errcheck // closed already if it was served
		}
	}()
	if cfg.isolated { // tables and seals are others, so nothing of the one is there in the other
		cfg.data = filepath.Join(cfg.data, "isolated")
	}
	if err := os.MkdirAll(cfg.data, 0o700); err != nil {
		return fmt.Errorf("-data: %w", err)
	}
	suite, err := open(ctx, cfg, addressesOf(listeners), logger(cfg, os.Stderr))
	if err != nil {
		return err
	}
	// What is begun is ended in the reverse order: first what asks, then what serves, then the
	// executions, then the data.
	defer func() { err = errors.Join(err, suite.close()) }()
	failed := make(chan error, 1)
	defer inBackground(ctx, func(ctx context.Context) { failed <- suite.workflows.Engine.Run(ctx) })()
	servers := serve(listeners, map[string]http.Handler{
		"-listen": suite.gateway, "-clouds": suite.clouds, "-lambda": suite.lambda, "-nodes": suite.nodes, "-states": suite.workflows.API,
		"-databases": suite.databases,
	})
	defer func() { err = errors.Join(err, servers.stop(ctx)) }()
	for _, act := range append(suite.background, suite.schedules) {
		defer inBackground(ctx, act)()
	}
	if err := suite.welcome(stdout, cfg.data); err != nil {
		return err
	}
	fmt.Fprintln(stdout, "ready") //nolint:errcheck // nobody reads it
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return err
	case err := <-servers.failed:
		return err
	}
}

// inBackground runs f until the function that it returns is called, which waits for its end, for a
// while: what a function does for minutes is done again after the next start.
func inBackground(ctx context.Context, f func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // its turn to end comes with stop
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f(ctx)
	}()
	return func() {
		cancel()
		within(shutdownGrace, func() { <-ended })
	}
}

// logger logs as functions do, as JSON; only warnings unless the user asks for more.
func logger(cfg config, w io.Writer) *slog.Logger {
	level := slog.LevelWarn
	if cfg.verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}))
}

// listenAll listens on an address per flag.
func listenAll(ctx context.Context, addresses map[string]string) (map[string]net.Listener, error) {
	listeners := map[string]net.Listener{}
	var failed error
	for _, name := range slices.Sorted(maps.Keys(addresses)) {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addresses[name])
		switch {
		case errors.Is(err, syscall.EADDRINUSE):
			failed = errors.Join(failed, fmt.Errorf(
				"%s is in use: stop what listens there, or choose another address with %s", addresses[name], name))
		case err != nil:
			failed = errors.Join(failed, fmt.Errorf("%s: %w", name, err))
		default:
			listeners[name] = l
		}
	}
	if failed != nil {
		for _, l := range listeners {
			l.Close() //nolint:errcheck // nothing was accepted
		}
		return nil, failed
	}
	return listeners, nil
}

// addresses are where the suite can be reached.
type addresses struct{ api, clouds, lambda, nodes, states, databases string }

// url is that of the API, "" without an address.
func (a addresses) url() string {
	if a.api == "" {
		return ""
	}
	return "http://" + a.api
}

func addressesOf(listeners map[string]net.Listener) addresses {
	at := func(name string) string {
		if l, ok := listeners[name]; ok {
			return l.Addr().String()
		}
		return ""
	}
	return addresses{
		api: at("-listen"), clouds: at("-clouds"), lambda: at("-lambda"), nodes: at("-nodes"), states: at("-states"),
		databases: at("-databases"),
	}
}

// servers are the HTTP servers that run.
type servers struct {
	all    []*http.Server
	failed chan error
}

func serve(listeners map[string]net.Listener, handlers map[string]http.Handler) servers {
	s := servers{failed: make(chan error, len(listeners))}
	for name, l := range listeners {
		// No time-out for writing: the clouds can be told to be slow.
		server := &http.Server{Handler: handlers[name], ReadHeaderTimeout: 10 * time.Second}
		s.all = append(s.all, server)
		go func() {
			if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				s.failed <- fmt.Errorf("%s: %w", name, err)
			}
		}()
	}
	return s
}

// stop lets requests finish, for a while.
func (s servers) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
	defer cancel()
	var failed error
	for _, server := range s.all {
		err := server.Shutdown(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			err = server.Close()
		}
		failed = cmp.Or(failed, err)
	}
	return failed
}
