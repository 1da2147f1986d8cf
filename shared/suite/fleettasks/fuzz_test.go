package fleettasks_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda/messages"

	"latchkey/shared/httpapi/hostiletest"
	"latchkey/shared/identity/identitytest"
	"latchkey/shared/store/storetest"
	"latchkey/shared/suite/fleettasks"
	"latchkey/shared/task"
	"latchkey/shared/workflow"
)

// idle starts nothing.
type idle struct{}

func (idle) Start(context.Context, workflow.Execution) error          { return nil }
func (idle) Ensure(context.Context, workflow.Execution) (bool, error) { return false, nil }

// FuzzInvoke gives tasks whatever a state machine might hand over. They answer with JSON or fail with a code by which Retry and Catch can
// choose, by value, and never panic; what they find nothing of, they make nothing of.
func FuzzInvoke(f *testing.F) {
	const group, cluster = "650000000000000000000001", "650000000000000000000002"
	for _, payload := range []string{
		`{"task":"advancePlan","clusterId":"` + cluster + `","revision":1,"attempt":1,"steps":0,"key":{"reason":"OK"}}`,
		`{"task":"rollBackPlan","clusterId":"` + cluster + `","revision":1,"reason":"x"}`, `{"task":"continuePlan","clusterId":"` + cluster + `","revision":1,"attempt":9223372036854775807}`,
		`{"task":"resumePlans"}`, `{"task":"enforce","groupId":"` + group + `","provider":"AWS"}`, `{"task":"awaitNodes","groupId":"` + group + `","provider":"AWS","direction":"STOP","since":"2026-05-01T12:00:00Z","steps":3}`,
		`{"task":"advanceChange","groupId":"` + group + `","provider":"GCP","revision":1,"attempt":1,"steps":1,"found":{}}`, `{"task":"continueChange","groupId":"` + group + `","provider":"AZURE","revision":1,"attempt":1}`,
		`{"task":"resumeChanges"}`, `{"task":"backups"}`, `{"task":"advanceRotation","groupId":"` + group + `","number":1,"attempt":1,"steps":0}`, `{"task":"continueRotation","groupId":"","number":1,"attempt":1}`,
		`{"task":"attendMasterKeys"}`, `{"task":"none"}`, `null`, `[]`, `{"task":7}`,
	} {
		f.Add(payload, uint16(0), uint8(0), false)
		f.Add(payload, uint16(2), uint8(20), true)
	}
	clock := identitytest.NewClock()
	f.Fuzz(func(t *testing.T, payload string, part uint16, way uint8, twisted bool) {
		if twisted {
			payload = hostiletest.Twist(payload, int(part), int(way))
		}
		table := storetest.NewMemory()
		fn := fleettasks.New(fleettasks.Deps{Table: table, Now: clock.Now, Log: slog.New(slog.DiscardHandler), Start: idle{}, Domain: "example.net"})
		begun := time.Now()
		out, err := fn.Invoke(t.Context(), []byte(payload))
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("%.700q took %s", payload, took)
		}
		if err != nil {
			if named, ok := errors.AsType[messages.InvokeResponse_Error](err); !ok || named.Type == "" || named.Type == task.Panicked {
				t.Errorf("%.700q: %T %v", payload, err, err)
			}
		} else if !json.Valid(out) {
			t.Errorf("%.700q is answered %q", payload, out)
		}
		for key, item := range table.Items() {
			if key.PK == "GROUP#"+group || key.PK == "CLUSTER#"+cluster {
				t.Errorf("%.700q has made %s of nothing: %s", payload, key, item.Body)
			}
		}
	})
}
