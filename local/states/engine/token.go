package engine

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"latchkey/local/states/asl"
)

// A task token says which call it is for, so that finding it needs no index; the random part
// keeps others from making one.

func (x *execution) newToken(frame string, try int64) string {
	text := fmt.Sprintf("%s/%s/%s/%d/%s", x.key.machine, x.key.name, frame, try, uuidFrom(x.rand))
	return base64.RawURLEncoding.EncodeToString([]byte(text))
}

// errGone refuses the answer to a call that nobody waits for any more.
func errGone() *Error {
	return refuse(TaskTimedOut, "Task Timed Out: 'Provided task does not exist anymore'")
}

func parseToken(token string) (k key, frame string, err error) {
	invalid := refuse(InvalidToken, "Invalid Token: 'Invalid token'")
	text, decodeErr := base64.RawURLEncoding.DecodeString(token)
	parts := strings.Split(string(text), "/")
	if decodeErr != nil || len(parts) != 5 {
		return key{}, "", invalid
	}
	if _, err := strconv.ParseInt(parts[3], 10, 64); err != nil {
		return key{}, "", invalid
	}
	return key{parts[0], parts[1]}, parts[2], nil
}

// answer applies do to the call that waits for a token.
func (e *Engine) answer(ctx context.Context, token string, do func(x *execution, b *batch, f *frame, s *asl.State)) error {
	k, id, err := parseToken(token)
	if err != nil {
		return err
	}
	x := e.find(k)
	if x == nil {
		if _, err := e.record(k); err != nil {
			if refusal, ok := errors.AsType[*Error](err); ok && refusal.Code == ExecutionDoesNotExist {
				return refuse(TaskDoesNotExist, "Task Does Not Exist: 'Provided task does not exist'")
			}
			return err
		}
		return errGone()
	}
	return e.tell(ctx, x, func(b *batch) error {
		f := x.frames[id]
		if f == nil || f.Call == nil || f.Call.Token != token {
			return errGone()
		}
		b.touch(f)
		do(x, b, f, x.state(f))
		return nil
	})
}

// tell changes a running execution and returns when the change is durable.
func (e *Engine) tell(ctx context.Context, x *execution, apply func(*batch) error) error {
	m := message{apply: apply, reply: make(chan error, 1)}
	if !x.send(ctx, m) {
		if err := ctx.Err(); err != nil {
			return err
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.broken != nil {
			return e.broken
		}
		return errGone()
	}
	select {
	case err := <-m.reply:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// SendTaskSuccess ends the task that a token was given to with an output, which is JSON. It
// returns when that is durable.
func (e *Engine) SendTaskSuccess(ctx context.Context, token, output string) error {
	result, err := asl.Unmarshal([]byte(output))
	if err != nil {
		return refuse(InvalidOutput, "Invalid Output: 'The output is not JSON: %v'", err)
	}
	if len(output) > maxData {
		return refuse(InvalidOutput, "Invalid Output: 'The output is larger than %d bytes'", maxData)
	}
	return e.answer(ctx, token, func(x *execution, b *batch, f *frame, s *asl.State) {
		x.cancel(f)
		x.taskSucceeded(b, f, s, result)
	})
}

// SendTaskFailure ends the task that a token was given to with an error.
func (e *Engine) SendTaskFailure(ctx context.Context, token, name, cause string) error {
	return e.answer(ctx, token, func(x *execution, b *batch, f *frame, s *asl.State) {
		x.cancel(f)
		x.taskFailed(b, f, s, &asl.Failure{Name: name, Cause: cause})
	})
}

// SendTaskHeartbeat says that the task that a token was given to is still being worked on.
func (e *Engine) SendTaskHeartbeat(ctx context.Context, token string) error {
	return e.answer(ctx, token, func(x *execution, _ *batch, f *frame, _ *asl.State) {
		if f.Call.Every > 0 {
			f.Call.Heartbeat = x.e.cfg.Now().Add(f.Call.Every)
		}
	})
}
