package task_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambda/messages"

	"latchkey/shared/atlas"
	"latchkey/shared/task"
)

type input struct {
	GroupID string `json:"groupId"`
}

type output struct {
	Nodes int `json:"nodes"`
}

func TestHandler_errors_leave_as_codes_by_value(t *testing.T) {
	wrapped := fmt.Errorf("load settings: %w", atlas.Fail(atlas.ConcurrentModification).Because(errors.New("hunter2")))
	tests := map[string]struct {
		payload  string
		fn       func(context.Context, input) (output, error)
		wantCode string
	}{
		"a wrapped error keeps its code": {
			payload: `{"groupId": "g"}`, wantCode: string(atlas.ConcurrentModification),
			fn: func(context.Context, input) (output, error) { return output{}, wrapped },
		},
		"an error without a code is unexpected": {
			payload: `{"groupId": "g"}`, wantCode: string(atlas.UnexpectedError),
			fn: func(context.Context, input) (output, error) { return output{}, errors.New("hunter2") },
		},
		"a panic has a code": {
			payload: `{"groupId": "g"}`, wantCode: task.Panicked,
			fn: func(context.Context, input) (output, error) { panic("hunter2") },
		},
		"a payload with an unknown member is refused": {
			payload: `{"groupId": "g", "hunter2": 1}`, wantCode: task.InvalidInput,
			fn: func(context.Context, input) (output, error) { return output{}, nil },
		},
		"a payload that is not JSON is refused": {
			payload: `hunter2`, wantCode: task.InvalidInput,
			fn: func(context.Context, input) (output, error) { return output{}, nil },
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			h := task.Handler(slog.New(slog.NewTextHandler(&log, nil)), task.AtlasCodes, tt.fn)
			_, err := h.Invoke(t.Context(), []byte(tt.payload))
			e, ok := err.(messages.InvokeResponse_Error) //nolint:errorlint // by value, or Lambda does not see the name
			if !ok || e.Type != tt.wantCode {
				t.Fatalf("got %T %v, want the code %s", err, err, tt.wantCode)
			}
			if strings.Contains(e.Message, "hunter2") {
				t.Errorf("the cause is in the history: %s", e.Message)
			}
			if log.Len() == 0 {
				t.Error("the cause is not in the log")
			}
		})
	}
}

func TestHandler_answers_what_the_function_returns(t *testing.T) {
	h := task.Handler(slog.New(slog.DiscardHandler), task.AtlasCodes, func(_ context.Context, in input) (output, error) {
		return output{Nodes: len(in.GroupID)}, nil
	})
	body, err := h.Invoke(t.Context(), []byte(`{"groupId": "abc"}`))
	var out output
	if err != nil || json.Unmarshal(body, &out) != nil || out.Nodes != 3 {
		t.Errorf("got %s, %v", body, err)
	}
}

func TestHandler_gives_up_before_its_function_is_killed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		h := task.Handler(slog.New(slog.DiscardHandler), task.AtlasCodes, func(ctx context.Context, _ input) (output, error) {
			<-ctx.Done()
			return output{}, fmt.Errorf("call the key: %w", ctx.Err())
		})
		_, err := h.Invoke(ctx, []byte(`{}`))
		if e, ok := errors.AsType[messages.InvokeResponse_Error](err); !ok || e.Type != task.TimedOut {
			t.Errorf("got %v, want %s", err, task.TimedOut)
		}
		if ctx.Err() != nil {
			t.Error("the function had been killed by then")
		}
	})
}

func TestDispatch_finds_the_task_that_the_payload_names(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	count := task.Handler(log, task.AtlasCodes, func(_ context.Context, in input) (output, error) {
		return output{Nodes: len(in.GroupID)}, nil
	})
	d := task.Dispatch(log, map[string]lambda.Handler{"count": count})
	body, err := d.Invoke(t.Context(), []byte(`{"task": "count", "groupId": "abc"}`))
	if string(body) != `{"nodes":3}` || err != nil {
		t.Errorf("got %s, %v", body, err)
	}
	for _, payload := range []string{`{"task": "other"}`, `{}`, `{"task": 1}`, `{"task": ["count"]}`, `null`, `count`, ``, `{"task": "count", "other": 1}`} {
		_, err := d.Invoke(t.Context(), []byte(payload))
		if e, ok := errors.AsType[messages.InvokeResponse_Error](err); !ok || e.Type != task.InvalidInput {
			t.Errorf("%q gives %v, want %s", payload, err, task.InvalidInput)
		}
	}
}
