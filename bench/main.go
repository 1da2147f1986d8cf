// Command bench measures what the suite costs against floors that are measured in the same run, and
// fails when a budget is broken. docs/performance.md explains each number.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"

	"latchkey/bench/command"
	"latchkey/bench/keyuse"
	"latchkey/bench/programs"
	"latchkey/bench/ratio"
)

// sections are all that is measured, in the order of the page.
func sections() []ratio.Section {
	return []ratio.Section{
		programs.Section(),
		keyuse.Section(),
	}
}

func main() {
	os.Exit(command.Run(context.Background(), "bench", run, os.Stdout, os.Stderr, os.Args[1:]))
}

func run(ctx context.Context, w io.Writer, args []string) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	only := flags.String("only", "", "measure what this regular expression matches the name of")
	turns := flags.Int("turns", 0, "take this many turns in each contest")
	keep := flags.String("programs", "", "build programs with symbols into this folder and leave them there, for a profiler")
	asJSON := flags.Bool("json", false, "write one JSON document")
	if err := flags.Parse(args); err != nil {
		return err
	}
	options := ratio.Options{Turns: *turns, JSON: *asJSON}
	if *only != "" {
		var err error
		if options.Only, err = regexp.Compile(*only); err != nil {
			return fmt.Errorf("-only: %w", err)
		}
	}
	lab, err := ratio.NewLab()
	if err != nil {
		return err
	}
	lab.Programs = *keep
	err = ratio.Run(ctx, w, lab, sections(), options)
	return errors.Join(err, lab.Close())
}
