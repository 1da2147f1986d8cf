package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSuite_keepsHouseOnSchedule(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // begins on 1 January at midnight
		cfg := testConfig(t)
		cfg.data = filepath.Join(memory(t), "data")
		cfg.now = func() time.Time { return time.Now().Add(30*24*time.Hour + 12*time.Hour) } // noon of 31 January
		if err := os.MkdirAll(cfg.data, 0o700); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		level := &slog.HandlerOptions{Level: slog.LevelDebug}
		s, err := open(t.Context(), cfg, addresses{}, slog.New(slog.NewJSONHandler(&log, level)))
		if err != nil {
			t.Fatal(err)
		}
		var stops []func()
		for _, act := range append(s.background, s.schedules) {
			stops = append(stops, inBackground(t.Context(), act))
		}
		time.Sleep(24*time.Hour + time.Second)
		for _, stop := range stops {
			stop()
		}
		if err := s.close(); err != nil {
			t.Error(err)
		}
		done := map[string]int{}
		for lines := json.NewDecoder(&log); lines.More(); {
			var line struct{ Msg, Schedule string }
			if err := lines.Decode(&line); err != nil {
				t.Fatal(err)
			}
			if line.Schedule != "" {
				done[line.Schedule+": "+line.Msg]++
			}
		}
		want := map[string]int{
			"FleetTasksFunction/AttendMasterKeys: schedule done":  24 * 60 / 5,
			"FleetTasksFunction/Backups: schedule done":           24 * 60,
			"FleetTasksFunction/ResumeChanges: schedule done":     24 * 60 / 5,
			"FleetTasksFunction/ResumePlans: schedule done":       24 * 60 / 5,
			"NetworkTasksFunction/WatchEndpoints: schedule done":  24 * 60 / 2,
			"NotifyFunction/RetryDue: schedule done":              24 * 60,
			"OperatorFunction/PurgeClosedProjects: schedule done": 1,
			"OperatorFunction/RotateNodeKeys: schedule done":      1,
			"OperatorFunction/RotateSigningKeys: schedule done":   1,
			"RemindFunction/Remind: schedule done":                24 * 60,
			"ValidateFunction/CheckKeys: schedule done":           24 * 60,
		}
		if diff := cmp.Diff(want, done); diff != "" {
			t.Error(diff)
		}
	})
}
