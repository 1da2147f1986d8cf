// Package lambdasvc runs the suite's functions within the process as AWS Lambda runs them, and
// serves the Lambda Invoke API, as `sam local start-lambda` does.
//
// Its invariant: whatever a handler does (fail, panic, hang, answer too much), its caller gets
// an answer within the function's time-out.
package lambdasvc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/lambda/messages"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/google/uuid"
)

// MaxPayload is the size limit of what goes into a synchronous invocation and what comes out.
const MaxPayload = 6 << 20

// Invoker is a function's handler: lambda.Handler of the Lambda SDK.
type Invoker interface {
	Invoke(ctx context.Context, payload []byte) ([]byte, error)
}

// Function is a handler with the surroundings that Lambda gives it. It is an Invoker.
type Function struct {
	// ID is the logical id in the template, Name the directory, FunctionName the name it is
	// deployed under. The function can be invoked by each of them.
	ID, Name, FunctionName string
	// ARN is what the handler finds in its context.
	ARN string
	// Timeout ends an invocation; 0 is Lambda's default of 3 s.
	Timeout time.Duration
	Handler Invoker
}

// defaultTimeout is Lambda's.
const defaultTimeout = 3 * time.Second

// Error is a failed invocation, as callers of the Invoke API see it.
type Error struct {
	Message    string   `json:"errorMessage"`
	Type       string   `json:"errorType"`
	StackTrace []string `json:"stackTrace,omitempty"`
}

// Error joins type and message.
func (e *Error) Error() string { return e.Type + ": " + e.Message }

// Invoke runs the handler. Every error it returns is an *Error.
//
// The caller's cancellation does not reach the handler: Lambda finishes what it began after
// the client has gone. A handler that outlives its time-out is left behind with its context
// cancelled.
func (f Function) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	if len(payload) > MaxPayload {
		return nil, &Error{
			Type:    "RequestTooLargeException",
			Message: fmt.Sprintf("Request must be smaller than %d bytes for the InvokeFunction operation", MaxPayload),
		}
	}
	timeout := f.Timeout
	if timeout == 0 {
		timeout = defaultTimeout
	}
	id := RequestID(ctx)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	ctx = lambdacontext.NewContext(ctx, &lambdacontext.LambdaContext{AwsRequestID: id, InvokedFunctionArn: f.ARN})
	done := make(chan result, 1)
	go func() {
		defer cancel()
		done <- f.run(ctx, append([]byte(nil), payload...))
	}()
	select {
	case r := <-done:
		return r.payload, r.err
	case <-ctx.Done():
	}
	select {
	case r := <-done: // it finished, which is what ended the context
		return r.payload, r.err
	default:
	}
	return nil, &Error{
		Type: "Sandbox.Timedout", Message: fmt.Sprintf("RequestId: %s Error: Task timed out after %.2f seconds", id, timeout.Seconds()),
	}
}

type result struct {
	payload []byte
	err     error
}

func (f Function) run(ctx context.Context, payload []byte) (r result) {
	defer func() {
		if p := recover(); p != nil {
			r = result{err: &Error{
				Message: fmt.Sprint(p), Type: typeName(p), StackTrace: strings.Split(string(debug.Stack()), "\n"),
			}}
		}
	}()
	out, err := f.Handler.Invoke(ctx, payload)
	switch {
	case err != nil:
		return result{err: shape(err)}
	case len(out) > MaxPayload:
		return result{err: &Error{
			Type:    "Function.ResponseSizeTooLarge",
			Message: fmt.Sprintf("Response payload size exceeded maximum allowed payload size (%d bytes).", MaxPayload),
		}}
	}
	return result{payload: out}
}

// shape names an error as the Go runtime of Lambda does: by the type of the outermost value,
// unless that is a messages.InvokeResponse_Error itself.
func shape(err error) *Error {
	if e, ok := err.(messages.InvokeResponse_Error); ok { //nolint:errorlint // the runtime does not unwrap either
		return &Error{Message: e.Message, Type: e.Type}
	}
	return &Error{Message: err.Error(), Type: typeName(err)}
}

func typeName(v any) string {
	t := reflect.TypeOf(v)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.Name()
}

// AsError finds the *Error in err's chain; anything else is shaped as Lambda would.
func AsError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return shape(err)
}

// Payload is the error as the Invoke API sends it.
func (e *Error) Payload() []byte {
	b, err := json.Marshal(e)
	if err != nil {
		panic(err) // strings always marshal
	}
	return b
}

type requestIDKey struct{}

// WithRequestID sets the request id that the next invocation gets.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, id)
}

// RequestID is the id that WithRequestID has set, or a new one.
func RequestID(ctx context.Context) string {
	if id, ok := ctx.Value(requestIDKey{}).(string); ok {
		return id
	}
	return uuid.NewString()
}
