// Command cost counts what operations of the suite take of AWS, over the pocket clouds, and computes what that costs a
// month. It fails if a budget is broken. docs/cost.md explains the figures.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"time"

	"latchkey"
	"latchkey/bench/command"
	"latchkey/bench/cost/bill"
	"latchkey/bench/cost/measure"
	"latchkey/local/template"
)

func main() {
	os.Exit(command.Run(context.Background(), "cost", run, os.Stdout, os.Stderr, os.Args[1:]))
}

func run(ctx context.Context, w io.Writer, args []string) error {
	flags := flag.NewFlagSet("cost", flag.ContinueOnError)
	groups := flags.Int("groups", 1_000_000, "compute what this many groups cost")
	checked := flags.Int("checked", 100, "measure with this many groups: a few make a run count what it does once with each check")
	if err := flags.Parse(args); err != nil {
		return err
	}
	debug.SetGCPercent(heapGrowth)
	seen, err := measured(ctx, *checked)
	if err != nil {
		return err
	}
	counts, err := countsOf(seen)
	if err != nil {
		return err
	}
	prices, err := bill.Load()
	if err != nil {
		return err
	}
	r := report{w: w, seen: seen, counts: counts, prices: prices, assumed: bill.Assumptions(), groups: float64(*groups)}
	r.print()
	return errors.Join(r.broken()...)
}

// heapGrowth is what the garbage collector lets a heap grow to, in per cent of what is in use, as in functions that are
// deployed.
const heapGrowth = 400

// seen is what was measured.
type seen struct {
	operations []measure.Operation
	checks     measure.Checks
	node       measure.Node
	digest     measure.Usage // the authorizer, of a request with an API key that was challenged before
}

// measured measures in worlds of their own, so that nothing of one is in the other.
func measured(ctx context.Context, groups int) (s seen, err error) {
	if err := within(ctx, func(w *measure.World) (err error) {
		s.operations, err = w.Operations(ctx)
		return err
	}); err != nil {
		return s, err
	}
	err = within(ctx, func(w *measure.World) (err error) {
		if s.checks, err = w.Checks(ctx, groups); err != nil {
			return err
		}
		if s.digest, err = w.Digest(ctx); err != nil {
			return err
		}
		s.node, err = w.Node(ctx)
		return err
	})
	return s, err
}

func within(ctx context.Context, do func(*measure.World) error) error {
	w, err := measure.Open(ctx)
	if err != nil {
		return err
	}
	return errors.Join(do(w), w.Close())
}

// countsOf is what was measured as the model takes it.
func countsOf(s seen) (bill.Counts, error) {
	c := s.checks
	each := 1 / float64(c.Groups)
	daily := each / float64(c.Days)
	counts := bill.Counts{
		ChecksPerHour: measure.ChecksPerHour, SettingsBytes: float64(c.SettingsBytes), GroupBytes: float64(c.GroupBytes),
		HourReads: (c.Hour.ReadUnits - c.Hour.IndexUnits) * each, HourWrites: c.Hour.WriteUnits * each,
		DayReads: c.Weeks.ReadUnits * daily, DayWrites: c.Weeks.WriteUnits * daily,
		HourTenantKMS: float64(c.Hour.TenantKMS) * each, CheckCPU: c.CheckCPU, Metrics: float64(c.Metrics),
		RunReads: c.IdleRun.ReadUnits, RunWrites: c.IdleRun.WriteUnits, RunLogged: float64(c.IdleRun.Logged),
		ReminderReads: c.IdleReminder.ReadUnits, ReminderLogged: float64(c.IdleReminder.Logged),
		HeartbeatsPerHour: float64(s.node.PerHour), NodeHourReads: s.node.Hour.ReadUnits, NodeHourWrites: s.node.Hour.WriteUnits,
		NodeHourLogged: float64(s.node.Hour.Logged), AnswerBytes: float64(s.node.AnswerBytes), HeartbeatCPU: s.node.CPU,
	}
	return counts, fromTemplate(&counts)
}

// fromTemplate adds what is deployed.
func fromTemplate(c *bill.Counts) error {
	tmpl, err := template.Parse(latchkey.Template(), template.Options{})
	if err != nil {
		return err
	}
	memory := map[string]*float64{"ValidateFunction": &c.ChecksMemory, "RemindFunction": &c.RemindersMemory, "NodesFunction": &c.NodesMemory}
	for _, r := range tmpl.OfType("AWS::Serverless::Function") {
		size, ok := number(r.Properties["MemorySize"])
		if at := memory[r.ID]; at != nil && ok {
			*at = size
			delete(memory, r.ID)
		}
	}
	if len(memory) > 0 {
		return fmt.Errorf("the template does not tell the memory of %d functions", len(memory))
	}
	for _, alarm := range tmpl.OfType("AWS::CloudWatch::Alarm") {
		c.Alarms += watched(alarm.Properties)
	}
	c.RunsPerMonth, err = measure.RunsPerMonth(tmpl, time.Duration(bill.HoursPerMonth)*time.Hour)
	return err
}

// watched is how many metrics an alarm looks at, each of which is billed: one, unless it computes.
func watched(alarm map[string]any) float64 {
	queries, ok := alarm["Metrics"].([]any)
	if !ok {
		return 1
	}
	var n float64
	for _, query := range queries {
		if q, ok := query.(map[string]any); ok && q["MetricStat"] != nil {
			n++
		}
	}
	return n
}

// number is a number of a template, whose parser may have made it of any kind.
func number(v any) (float64, bool) {
	var n float64
	_, err := fmt.Sscan(fmt.Sprint(v), &n)
	return n, err == nil
}
