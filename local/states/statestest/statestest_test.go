package statestest_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/local/states/engine"
	"latchkey/local/states/statestest"
	"latchkey/shared/atlas"
	"latchkey/shared/task"
)

const definition = `{"StartAt": "Check key", "States": {
	"Check key": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "TimeoutSeconds": 30, "Next": "Settle",
		"Parameters": {"FunctionName": "${CheckKeyFunctionArn}", "Payload": {"groupId.$": "$.groupId"}}, "ResultPath": null,
		"Retry": [{"ErrorEquals": ["SERVICE_UNAVAILABLE"], "IntervalSeconds": 10}],
		"Catch": [{"ErrorEquals": ["GROUP_NOT_FOUND"], "Next": "Gone"}]},
	"Settle": {"Type": "Wait", "Seconds": 5, "Next": "Done"},
	"Done": {"Type": "Succeed"},
	"Gone": {"Type": "Fail", "Error": "GONE", "Cause": "${Advice}"}}}`

type input struct {
	GroupID string `json:"groupId"`
}

// checkKey is a real handler over a use case that ends as told.
func checkKey(outcomes ...error) statestest.Function {
	calls := 0
	return statestest.Handler(task.Handler(slog.New(slog.DiscardHandler), task.AtlasCodes, func(_ context.Context, in input) (struct{}, error) {
		if in.GroupID != "g" {
			return struct{}{}, atlas.Fail(atlas.InvalidGroupID, in.GroupID)
		}
		if calls++; calls <= len(outcomes) {
			return struct{}{}, outcomes[calls-1]
		}
		return struct{}{}, nil
	}))
}

func TestExecute_reports_path_output_error_and_waits(t *testing.T) {
	file := filepath.Join(t.TempDir(), "check-key.asl.json")
	if err := os.WriteFile(file, []byte(definition), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		function  statestest.Function
		wantPath  []string
		wantError string
		wantWaits []time.Duration
		wantTook  time.Duration
	}{
		"a key that is fine": {
			function: checkKey(), wantPath: []string{"Check key", "Settle", "Done"}, wantWaits: []time.Duration{5 * time.Second}, wantTook: 5 * time.Second,
		},
		"a service that is busy twice": {
			function: checkKey(atlas.Fail(atlas.ServiceUnavailable), atlas.Fail(atlas.ServiceUnavailable)),
			wantPath: []string{"Check key", "Settle", "Done"}, wantWaits: []time.Duration{10 * time.Second, 20 * time.Second, 5 * time.Second},
			wantTook: 35 * time.Second,
		},
		"a group that is gone": {
			function: checkKey(atlas.Fail(atlas.GroupNotFound, "g")), wantPath: []string{"Check key", "Gone"}, wantError: "GONE",
		},
		"a code that nobody catches": {
			function: statestest.Script(statestest.Fails("KEY_DISABLED")), wantPath: []string{"Check key"}, wantError: "KEY_DISABLED",
		},
		"a function that hangs": {
			function: statestest.After(time.Hour, checkKey()), wantPath: []string{"Check key"}, wantError: "States.Timeout", wantTook: 30 * time.Second,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := statestest.Execute(t, statestest.Run{
				Machine:   statestest.Load(t, file, map[string]string{"Advice": "Start again."}),
				Input:     `{"groupId": "g"}`,
				Functions: map[string]statestest.Function{"CheckKeyFunctionArn": tt.function},
			})
			if diff := cmp.Diff(tt.wantPath, got.Path); diff != "" {
				t.Errorf("path (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.wantWaits, got.Waits); diff != "" {
				t.Errorf("waits (-want +got):\n%s", diff)
			}
			if got.Error != tt.wantError || got.Took != tt.wantTook || (got.Status == engine.Succeeded) != (tt.wantError == "") {
				t.Errorf("%s %q after %v: %s", got.Status, got.Error, got.Took, got.Cause)
			}
		})
	}
}

func TestExecute_acts_meanwhile(t *testing.T) {
	got := statestest.Execute(t, statestest.Run{
		Machine: statestest.Parse(t, "x", `{"StartAt": "A", "States": {"A": {"Type": "Wait", "Seconds": 60, "End": true}}}`),
		Meanwhile: func(ctx context.Context, e *engine.Engine, arn string) {
			time.Sleep(10 * time.Second)
			if _, err := e.Stop(ctx, arn, "STOP", ""); err != nil {
				t.Error(err)
			}
		},
	})
	if got.Status != engine.Aborted || got.Took != 10*time.Second {
		t.Errorf("%+v", got)
	}
}
