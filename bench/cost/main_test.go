package main

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"latchkey/bench/cost/bill"
	"latchkey/bench/cost/measure"
)

// cheap is a report of something that costs nearly nothing.
func cheap(t *testing.T) report {
	t.Helper()
	prices, err := bill.Load()
	if err != nil {
		t.Fatal(err)
	}
	return report{
		w: io.Discard, prices: prices, assumed: bill.Assumptions(), groups: 1e6,
		counts: bill.Counts{
			ChecksPerHour: 4, HourTenantKMS: 4, SettingsBytes: 100, CheckCPU: time.Microsecond, ChecksMemory: 1024, RemindersMemory: 512, NodesMemory: 256,
			HeartbeatsPerHour: 60, HeartbeatCPU: time.Microsecond,
		},
		seen: seen{operations: []measure.Operation{{
			Method: "GET", Path: "/api/atlas/v2/groups/{group}/encryptionAtRest", Function: measure.Usage{Reads: 1},
		}, {
			Method: "PATCH", Path: "/api/atlas/v2/groups/{group}/encryptionAtRest", What: measure.NoKeyChanged,
			Function: measure.Usage{Reads: 1, Transactions: 1},
		}}, checks: measure.Checks{Groups: 1}},
	}
}

func TestBudgetsFailWhenTheyAreBroken(t *testing.T) {
	if err := errors.Join(cheap(t).broken()...); err != nil {
		t.Fatalf("what costs nothing breaks %v", err)
	}
	for want, spend := range map[string]func(*report){
		"a million groups cost": func(r *report) { r.counts.HourReads = 10 },
		"a node costs":          func(r *report) { r.counts.NodeHourLogged = 60 * 1000 },
		"healthy checks writes": func(r *report) { r.counts.HourWrites = 1e-9 },
		"GET /api/atlas":        func(r *report) { r.seen.operations[0].Function.Reads++ },
		"PATCH /api/atlas":      func(r *report) { r.seen.operations[1].Function.Puts++ },
	} {
		r := cheap(t)
		spend(&r)
		err := errors.Join(r.broken()...)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v", want, err)
		}
	}
}

// All of it is measured and printed, though with few groups.
func TestEverythingIsMeasured(t *testing.T) {
	s, err := measured(t.Context(), 3)
	if err != nil {
		t.Fatal(err)
	}
	counts, err := countsOf(s)
	if err != nil {
		t.Fatal(err)
	}
	r := cheap(t)
	var printed strings.Builder
	r.w, r.seen, r.counts = &printed, s, counts
	r.print()
	for _, table := range []string{"What a request takes", "What goes on by itself", "One steady node", "Growth", "one Lambda per group"} {
		if !strings.Contains(printed.String(), table) {
			t.Errorf("there is nothing of %q", table)
		}
	}
	for what, got := range map[string]float64{
		"requests for a tenant's key": counts.HourTenantKMS, "bytes of settings": counts.SettingsBytes, "runs": counts.RunsPerMonth,
		"alarms": counts.Alarms, "memory": counts.NodesMemory, "answers": counts.AnswerBytes, "writes of a node": counts.NodeHourWrites,
		"time of a check": float64(counts.CheckCPU), "time of a heartbeat": float64(counts.HeartbeatCPU),
	} {
		if got <= 0 {
			t.Errorf("%s: nothing is counted", what)
		}
	}
	const fewBytes = 700 // half of what they are in JSON
	if counts.SettingsBytes > fewBytes {
		t.Errorf("settings take %g bytes of the index", counts.SettingsBytes)
	}
	if counts.HourWrites != 0 {
		t.Errorf("an hour of healthy checks writes %g units", counts.HourWrites)
	}
	if got := s.node.Heartbeat; got.Reads != 1 || got.Writes() != 0 || got.Lines != 0 {
		t.Errorf("a steady heartbeat takes %+v", got)
	}
}
