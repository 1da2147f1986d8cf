package command_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"latchkey/bench/command"
)

func TestAProgramEndsWithWhatItsCommandReturns(t *testing.T) {
	for name, c := range map[string]struct {
		err        error
		status     int
		complaints string
	}{
		"done":   {nil, 0, ""},
		"help":   {fmt.Errorf("flags: %w", flag.ErrHelp), 0, ""},
		"failed": {errors.New("no"), 1, "cost: no\n"},
	} {
		var out, complaints strings.Builder
		status := command.Run(t.Context(), "cost", func(_ context.Context, w io.Writer, args []string) error {
			_, err := io.WriteString(w, strings.Join(args, " "))
			return errors.Join(c.err, err)
		}, &out, &complaints, []string{"a", "b"})
		if status != c.status || out.String() != "a b" || complaints.String() != c.complaints {
			t.Errorf("%s: status %d, %q, %q", name, status, out.String(), complaints.String())
		}
	}
}

func TestAnInterruptEndsTheCommand(t *testing.T) {
	var complaints strings.Builder
	status := command.Run(t.Context(), "cost", func(ctx context.Context, _ io.Writer, _ []string) error {
		self, err := os.FindProcess(os.Getpid())
		if err != nil {
			return err
		}
		if err := self.Signal(os.Interrupt); err != nil {
			return err
		}
		<-ctx.Done()
		return ctx.Err()
	}, io.Discard, &complaints, nil)
	if status != 1 || complaints.String() != "cost: context canceled\n" {
		t.Errorf("status %d, %q", status, complaints.String())
	}
}
