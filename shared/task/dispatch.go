package task

import (
	"context"
	"encoding/json"
	"log/slog"

	"github.com/aws/aws-lambda-go/lambda"
)

// Dispatch makes one Lambda handler of many tasks: {"task": "<name>", ...} goes to the handler of
// that name, without the member "task".
func Dispatch(log *slog.Logger, tasks map[string]lambda.Handler) lambda.Handler {
	return dispatch{log: log, tasks: tasks}
}

type dispatch struct {
	log   *slog.Logger
	tasks map[string]lambda.Handler
}

// Invoke implements lambda.Handler.
func (d dispatch) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	var members map[string]json.RawMessage
	var name string
	err := json.Unmarshal(payload, &members)
	if err == nil {
		err = json.Unmarshal(members["task"], &name)
	}
	h, ok := d.tasks[name]
	if err != nil || !ok {
		d.log.ErrorContext(ctx, "task unknown", slog.String("task", name))
		return nil, Error(InvalidInput, "The state's Payload names no task of this function.")
	}
	delete(members, "task")
	rest, err := json.Marshal(members)
	if err != nil {
		return nil, err
	}
	return h.Invoke(ctx, rest)
}
