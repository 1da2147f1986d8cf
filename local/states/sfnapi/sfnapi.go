// Package sfnapi serves the AWS Step Functions API (JSON 1.0) over an engine, to the official
// SDKs and the AWS CLI.
//
// Its invariant: what it acknowledges is durable. As an http.Handler it asks for no signature,
// because it listens on this machine only; who must know the caller calls Perform.
package sfnapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strings"

	"latchkey/local/states/engine"
)

// targetPrefix begins the X-Amz-Target header of every operation.
const targetPrefix = "AWSStepFunctions."

// maxBody bounds request bodies: an input or output of the largest size, escaped.
const maxBody = 2 << 20

const contentType = "application/x-amz-json-1.0"

// Exceptions that the engine does not raise.
const (
	internalFailure        engine.Code = "InternalFailure"
	unknownOperation       engine.Code = "UnknownOperationException"
	serializationException engine.Code = "SerializationException"
)

// Handler serves the API.
func Handler(e *engine.Engine, log *slog.Logger) http.Handler { return New(e, log) }

// API is the Step Functions API. It is an http.Handler.
type API struct {
	log        *slog.Logger
	operations map[string]operation
}

// New returns the API over an engine.
func New(e *engine.Engine, log *slog.Logger) *API {
	return &API{log: log, operations: operations(e)}
}

// Perform performs an operation and returns what is to be encoded. A refusal is an
// *engine.Error.
func (a *API) Perform(ctx context.Context, name string, body []byte) (any, error) {
	op, ok := a.operations[name]
	if !ok {
		return nil, &engine.Error{Code: unknownOperation, Message: fmt.Sprintf("there is no operation %q here", name)}
	}
	return op(ctx, body)
}

// operation decodes a request, acts, and returns what is to be encoded.
type operation func(ctx context.Context, body []byte) (any, error)

// typed makes an operation of a function over its request.
func typed[In any](act func(context.Context, In) (any, error)) operation {
	return func(ctx context.Context, body []byte) (any, error) {
		var in In
		if err := json.Unmarshal(body, &in); err != nil {
			return nil, &engine.Error{Code: serializationException, Message: "the request is not what the operation takes: " + err.Error()}
		}
		return act(ctx, in)
	}
}

// ServeHTTP serves one request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		a.refuse(w, r, &engine.Error{Code: engine.ValidationException, Message: "the request body is too large or broken"})
		return
	}
	out, err := a.perform(r, body)
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	a.write(w, r, http.StatusOK, out)
}

func (a *API) perform(r *http.Request, body []byte) (any, error) {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if r.Method != http.MethodPost || err != nil || media != contentType {
		return nil, &engine.Error{Code: unknownOperation, Message: "this is the Step Functions API: POST " + contentType}
	}
	name, _ := strings.CutPrefix(r.Header.Get("X-Amz-Target"), targetPrefix)
	return a.Perform(r.Context(), name, body)
}

func (a *API) refuse(w http.ResponseWriter, r *http.Request, err error) {
	refusal, ok := errors.AsType[*engine.Error](err)
	status := http.StatusBadRequest
	if !ok {
		a.log.ErrorContext(r.Context(), "workflow request failed", slog.String("error", err.Error()))
		refusal = &engine.Error{Code: internalFailure, Message: "The request processing has failed because of an internal error."}
		status = http.StatusInternalServerError
	}
	a.write(w, r, status, map[string]string{"__type": string(refusal.Code), "message": refusal.Message})
}

func (a *API) write(w http.ResponseWriter, r *http.Request, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		a.log.ErrorContext(r.Context(), "workflow response failed", slog.String("error", err.Error()))
		status, body = http.StatusInternalServerError, []byte(`{"__type":"`+string(internalFailure)+`"}`)
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	w.Write(body) //nolint:errcheck // the client is gone
}
