package ratio

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"runtime"
)

// Options are how a run is asked for.
type Options struct {
	// Only chooses entries by name; nil is all.
	Only *regexp.Regexp
	// Turns replaces every contest's own number of turns; 0 leaves it.
	Turns int
	// JSON asks for one JSON document in place of tables.
	JSON bool
}

// ErrBroken is returned by Run if a budget was broken, or an entry couldn't be measured.
var ErrBroken = errors.New("budgets were broken")

// errNone is about a name that chooses nothing: a run that measures nothing keeps every budget.
var errNone = errors.New("there is no entry of that name")

// Run measures all entries, one after the other, and writes what it finds.
func Run(ctx context.Context, w io.Writer, lab *Lab, sections []Section, options Options) error {
	var results []Result
	out := table{w: w}
	if options.JSON {
		out.w = io.Discard
	}
	for _, section := range sections {
		entries := chosen(section.Entries, options.Only)
		if len(entries) > 0 {
			out.begin(section.Title)
		}
		for _, entry := range entries {
			r := entry.run(ctx, lab, options.Turns)
			out.row(r)
			results = append(results, r)
		}
	}
	if options.JSON {
		out.err = writeJSON(w, results)
	}
	return errors.Join(out.err, verdict(results))
}

func chosen(entries []Entry, only *regexp.Regexp) []Entry {
	var all []Entry
	for _, e := range entries {
		if only == nil || only.MatchString(e.title()) {
			all = append(all, e)
		}
	}
	return all
}

func verdict(results []Result) error {
	if len(results) == 0 {
		return errNone
	}
	for _, r := range results {
		if r.Verdict == Broken || r.Verdict == Failed {
			return ErrBroken
		}
	}
	return nil
}

// machine is what the numbers depend on.
type machine struct {
	Go         string `json:"go"`
	OS         string `json:"os"`
	Arch       string `json:"arch"`
	Processors int    `json:"processors"`
}

func writeJSON(w io.Writer, results []Result) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(struct {
		Machine machine  `json:"machine"`
		Results []Result `json:"results"`
	}{machine{runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU()}, results})
}

// table writes rows as they come, in columns of fixed width.
type table struct {
	w   io.Writer
	err error // the first
}

const columns = "%-46s %14s %14s %8s %15s %9s  %s\n"

func (t *table) begin(title string) {
	t.printf("\n%s\n", title)
	t.printf(columns, "", "subject", "floor", "ratio", "half of them", "budget", "")
}

func (t *table) row(r Result) {
	if r.Verdict == Failed {
		t.printf("%-46s %s: %s\n", r.Name, r.Verdict, r.Error)
		return
	}
	floor, ratio, spread := "", "", ""
	if r.Floor != "" {
		floor, ratio, spread = r.Unit.format(r.FloorIs), fmt.Sprintf("%.2f", r.Ratio), fmt.Sprintf("%.2f–%.2f", r.Low, r.High)
	}
	t.printf(columns, r.Name, r.Unit.format(r.Subject), floor, ratio, spread, r.Budget, r.Verdict)
}

func (t *table) printf(format string, args ...any) {
	if t.err == nil {
		_, t.err = fmt.Fprintf(t.w, format, args...)
	}
}
