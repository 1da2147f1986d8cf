// Package task is the boundary between Step Functions and Go: it makes a Lambda handler of a
// function from a typed input to a typed output.
//
// Its invariant: whatever the function does, the state machine sees a code that its Retry and
// Catch can name. Lambda names an error after the Go type of the outermost value, so a wrapped
// error matches nothing; only messages.InvokeResponse_Error returned by value carries a name of
// our choice. The conversion happens here and nowhere else. Only functions' assemblies import it.
package task

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambda/messages"

	"latchkey/shared/atlas"
)

// The codes that this package raises itself.
const (
	// InvalidInput: the state's Payload is not what the task takes. Retrying does not help.
	InvalidInput = "TASK_INPUT_INVALID"
	// TimedOut: the task gave up shortly before its function would have been killed.
	TimedOut = "TASK_TIMED_OUT"
	// Panicked: the task has a bug.
	Panicked = "TASK_PANICKED"
)

// Codes names an error for a state machine: the code that Retry and Catch match, and a sentence
// for the operator. Both are in the execution's history, so neither may hold a secret.
type Codes func(err error) (code, detail string)

// AtlasCodes names errors by the API's code list; an error without a code is UNEXPECTED_ERROR.
func AtlasCodes(err error) (code, detail string) {
	e := atlas.AsError(err)
	return string(e.Code), e.Detail()
}

// Error is a failure of a task as Lambda hands it to the state machine.
func Error(code, detail string) error {
	return messages.InvokeResponse_Error{Type: code, Message: detail}
}

// margin is what a task leaves of its function's time, to answer before it is killed.
const margin = 500 * time.Millisecond

// Handler makes a Lambda handler of fn, which must be idempotent: Step Functions calls it again
// after a time-out that may have succeeded. Errors are logged with their causes and leave as
// codes.
func Handler[In, Out any](log *slog.Logger, codes Codes, fn func(context.Context, In) (Out, error)) lambda.Handler {
	return handler[In, Out]{log: log, codes: codes, fn: fn}
}

type handler[In, Out any] struct {
	log   *slog.Logger
	codes Codes
	fn    func(context.Context, In) (Out, error)
}

// Invoke implements lambda.Handler.
func (h handler[In, Out]) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-margin))
		defer cancel()
	}
	var in In
	dec := json.NewDecoder(bytes.NewReader(payload))
	dec.DisallowUnknownFields() // states spell their Payload out, so anything else is a mistake
	if err := dec.Decode(&in); err != nil {
		h.log.ErrorContext(ctx, "task input refused", slog.String("error", err.Error()))
		return nil, Error(InvalidInput, "The state's Payload is not what the task takes.")
	}
	out, err := h.run(ctx, in)
	if err != nil {
		return nil, h.named(ctx, err)
	}
	body, err := json.Marshal(out)
	if err != nil {
		return nil, h.named(ctx, fmt.Errorf("encode the output: %w", err))
	}
	return body, nil
}

// panicked carries a panic out of fn.
type panicked struct {
	value any
	stack []byte
}

func (p *panicked) Error() string { return fmt.Sprintf("panic: %v\n%s", p.value, p.stack) }

func (h handler[In, Out]) run(ctx context.Context, in In) (out Out, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &panicked{value: v, stack: debug.Stack()}
		}
	}()
	return h.fn(ctx, in)
}

// named logs an error and gives it its code.
func (h handler[In, Out]) named(ctx context.Context, err error) error {
	var code, detail string
	_, isPanic := errors.AsType[*panicked](err)
	switch {
	case isPanic:
		code, detail = Panicked, "The task has a bug; its log has the details."
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		code, detail = TimedOut, "The task did not finish in its function's time."
	default:
		code, detail = h.codes(err)
	}
	h.log.ErrorContext(ctx, "task failed", slog.String("code", code), slog.String("error", err.Error()))
	return Error(code, detail)
}
