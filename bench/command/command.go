// Package command is how the commands of bench begin and end.
package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
)

// Command does what its arguments ask for and writes what it finds. Its error is for people.
type Command func(ctx context.Context, w io.Writer, args []string) error

// Run runs a command until it is done or interrupted, and returns the status that the program ends with. Having asked
// what the flags are is no failure.
func Run(ctx context.Context, name string, command Command, out, complaints io.Writer, args []string) int {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	err := command(ctx, out, args)
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return 0
	}
	fmt.Fprintf(complaints, "%s: %v\n", name, err) //nolint:errcheck // there is nowhere else to say it
	return 1
}
