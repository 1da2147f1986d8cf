package runtimeapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/aws/aws-lambda-go/lambda/messages"

	"latchkey/local/lambdasvc"
)

// api is the Lambda Runtime API, version 2018-06-01.
func (p *process) api() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", p.next)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/response", p.response)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/error", p.failure)
	mux.HandleFunc("POST /2018-06-01/runtime/init/error", p.initFailure)
	return mux
}

// next answers with the next event, whenever it comes.
func (p *process) next(w http.ResponseWriter, r *http.Request) {
	p.readyOnce.Do(func() { close(p.ready) })
	var inv *invocation
	select {
	case inv = <-p.events:
	case <-r.Context().Done():
		return
	}
	p.mu.Lock()
	p.current = inv
	p.mu.Unlock()
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Lambda-Runtime-Aws-Request-Id", inv.id)
	h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(inv.deadline.UnixMilli(), 10))
	h.Set("Lambda-Runtime-Invoked-Function-Arn", p.f.cfg.ARN)
	h.Set("Lambda-Runtime-Trace-Id", traceID(inv))
	w.Write(inv.payload) //nolint:errcheck // a process that is gone is noticed by its end
}

// traceID is that of a trace that nobody records.
func traceID(inv *invocation) string {
	var digits []byte
	for _, c := range []byte(inv.id) {
		if c >= '0' && c <= '9' || c >= 'a' && c <= 'f' {
			digits = append(digits, c)
		}
	}
	return fmt.Sprintf("Root=1-%08x-%024s;Sampled=0", inv.deadline.Unix(), digits[:min(len(digits), 24)])
}

func (p *process) response(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, lambdasvc.MaxPayload))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		p.finish(r.PathValue("id"), answer{err: failed(typeTooLarge,
			"Response payload size exceeded maximum allowed payload size (%d bytes).", lambdasvc.MaxPayload)})
		reply(w, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge")
		return
	}
	p.complete(w, r, err, answer{payload: body})
}

func (p *process) failure(w http.ResponseWriter, r *http.Request) {
	reported, err := readError(w, r)
	p.complete(w, r, err, answer{err: reported})
}

// complete ends an invocation with what the program said, if that could be read.
func (p *process) complete(w http.ResponseWriter, r *http.Request, err error, a answer) {
	switch {
	case err != nil:
		reply(w, http.StatusBadRequest, "InvalidRequest")
	case !p.finish(r.PathValue("id"), a):
		reply(w, http.StatusBadRequest, "InvalidRequestID")
	default:
		reply(w, http.StatusAccepted, "")
	}
}

// finish answers the invocation that the process has in hand, if it has this id.
func (p *process) finish(id string, a answer) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current == nil || p.current.id != id {
		return false
	}
	p.current.answered <- a
	p.current = nil
	return true
}

// initFailure is what a program says before it gives up starting.
func (p *process) initFailure(w http.ResponseWriter, r *http.Request) {
	reported, err := readError(w, r)
	if err != nil {
		reply(w, http.StatusBadRequest, "InvalidRequest")
		return
	}
	p.mu.Lock()
	p.refused = reported
	p.mu.Unlock()
	reply(w, http.StatusAccepted, "")
}

// readError reads an error as runtimes report it.
func readError(w http.ResponseWriter, r *http.Request) (messages.InvokeResponse_Error, error) {
	var e messages.InvokeResponse_Error
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, lambdasvc.MaxPayload)).Decode(&e)
	if kind := r.Header.Get("Lambda-Runtime-Function-Error-Type"); kind != "" && e.Type == "" {
		e.Type = kind
	}
	return e, err
}

func reply(w http.ResponseWriter, status int, problem string) {
	body := map[string]string{"status": "OK"}
	if problem != "" {
		body = map[string]string{"errorType": problem, "errorMessage": problem}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body) //nolint:errcheck // a process that is gone is noticed by its end
}
