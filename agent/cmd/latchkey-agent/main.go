//go:build unix

// Command latchkey-agent runs one database process whose data is encrypted under a master key
// that the customer's own key wraps. Its -help describes it; docs/agent.md says more.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"latchkey/agent"
	"latchkey/agent/execengine"
	"latchkey/agent/statedir"
)

// Exit codes.
const (
	exitOK       = 0
	exitFailed   = 1 // something else; the log says what
	exitUsage    = 2 // wrong flags or arguments
	exitEnrol    = 3 // not enrolled: no token, or it was refused. Restarting does not help
	exitState    = 4 // the state directory cannot be used. Restarting does not help
	exitTransfer = 5 // the key directory is not in memory. Restarting does not help
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the whole program.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	s, err := parse(args, environ, stdout, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		fmt.Fprintf(stderr, "latchkey-agent: %v\nRun 'latchkey-agent -help' for usage.\n", err) //nolint:errcheck // nobody is left to tell
		return exitUsage
	case s.version:
		fmt.Fprintln(stdout, "latchkey-agent", version()) //nolint:errcheck // likewise
		return exitOK
	}
	log := s.logger(stderr)
	if err := s.run(ctx, stdout, log); err != nil {
		log.LogAttrs(ctx, slog.LevelError, "the agent ends", slog.Any("error", err))
		return exitCode(err)
	}
	return exitOK
}

func exitCode(err error) int {
	for code, causes := range map[int][]error{
		exitUsage:    {errUsage},
		exitEnrol:    {agent.ErrNotEnrolled, agent.ErrEnrolmentRefused},
		exitState:    {statedir.ErrDamaged, statedir.ErrLocked, statedir.ErrPermissions},
		exitTransfer: {execengine.ErrOnDisk},
	} {
		for _, cause := range causes {
			if errors.Is(err, cause) {
				return code
			}
		}
	}
	return exitFailed
}

// run assembles the agent and runs it.
func (s *settings) run(ctx context.Context, stdout io.Writer, log *slog.Logger) error {
	transport, err := s.transport()
	if err != nil {
		return err
	}
	client, err := agent.NewClient(s.controlPlane, transport, time.Now)
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	engine, err := execengine.New(s.engine(stdout, log))
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	if err := engine.Check(); err != nil {
		return err
	}
	files, err := statedir.Open(s.stateDir)
	if err != nil {
		return err
	}
	defer files.Close() //nolint:errcheck // every file in it is synced
	return agent.New(agent.Config{
		Client: client, State: statedir.New(files), Engine: engine, EnrolToken: s.token,
		Addresses: s.addresses, Version: version(), Log: log, Now: time.Now,
		MaxInterval: s.maxInterval, StopTimeout: s.grace + agent.DefaultStopTimeout, Snapshots: s.snapshots(),
	}).Run(ctx)
}
