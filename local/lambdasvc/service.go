package lambdasvc

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Service is the Lambda Invoke API over functions of this process. It is an http.Handler. It
// asks for no signature, because it listens on this machine only.
type Service struct {
	functions []Function
	now       func() time.Time
	log       *slog.Logger
	running   sync.WaitGroup
}

// New returns a service over functions.
func New(functions []Function, now func() time.Time, log *slog.Logger) *Service {
	return &Service{functions: functions, now: now, log: log}
}

// Wait returns when the invocations of type Event that were accepted have ended.
func (s *Service) Wait() { s.running.Wait() }

const (
	pathPrefix = "/2015-03-31/functions/"
	pathSuffix = "/invocations"
)

// ServeHTTP serves POST /2015-03-31/functions/{name}/invocations.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := RequestID(r.Context())
	w.Header().Set("X-Amzn-Requestid", id)
	name, ok := functionName(r.URL.EscapedPath())
	switch {
	case !ok:
		refuse(w, http.StatusNotFound, "PathNotFoundException", "This is the Lambda Invoke API: POST "+pathPrefix+"{name}"+pathSuffix)
		return
	case r.Method != http.MethodPost:
		refuse(w, http.StatusMethodNotAllowed, "MethodNotAllowedException", "Use POST")
		return
	}
	f, ok := s.find(name)
	if !ok {
		refuse(w, http.StatusNotFound, "ResourceNotFoundException",
			"Function not found: "+name+". There are: "+strings.Join(s.names(), ", "))
		return
	}
	payload, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxPayload))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		refuse(w, http.StatusRequestEntityTooLarge, "RequestTooLargeException",
			fmt.Sprintf("Request must be smaller than %d bytes for the InvokeFunction operation", MaxPayload))
		return
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, "InvalidRequestContentException", "Could not read the request body")
		return
	}
	if len(payload) == 0 {
		payload = []byte("{}") // as Lambda does for an invocation without an event
	}
	s.dispatch(WithRequestID(r.Context(), id), w, r, f, payload)
}

func (s *Service) dispatch(ctx context.Context, w http.ResponseWriter, r *http.Request, f Function, payload []byte) {
	switch kind := r.Header.Get("X-Amz-Invocation-Type"); kind {
	case "", "RequestResponse":
		s.invoke(ctx, w, r, f, payload)
	case "Event":
		ctx = context.WithoutCancel(ctx)
		s.running.Go(func() {
			if _, err := f.Invoke(ctx, payload); err != nil {
				s.log.ErrorContext(ctx, "function failed", slog.String("function", f.Name), slog.String("error", err.Error()))
			}
		})
		w.WriteHeader(http.StatusAccepted)
	case "DryRun":
		w.WriteHeader(http.StatusNoContent)
	default:
		refuse(w, http.StatusBadRequest, "InvalidParameterValueException", "There is no invocation type "+kind)
	}
}

func (s *Service) invoke(ctx context.Context, w http.ResponseWriter, r *http.Request, f Function, payload []byte) {
	start := s.now()
	out, err := f.Invoke(ctx, payload)
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Amz-Executed-Version", "$LATEST")
	if r.Header.Get("X-Amz-Log-Type") == "Tail" {
		h.Set("X-Amz-Log-Result", logResult(RequestID(ctx), s.now().Sub(start)))
	}
	if err != nil {
		h.Set("X-Amz-Function-Error", "Unhandled")
		out = AsError(err).Payload()
	}
	w.Write(out) //nolint:errcheck // the client is gone; there is nobody to tell
}

// logResult is the report of an invocation. The function's own log goes to the log of this
// process, where all functions write.
func logResult(id string, took time.Duration) string {
	report := fmt.Sprintf("START RequestId: %s Version: $LATEST\nEND RequestId: %s\nREPORT RequestId: %s\tDuration: %.2f ms\n",
		id, id, id, float64(took.Microseconds())/1000)
	return base64.StdEncoding.EncodeToString([]byte(report))
}

// functionName reads the name out of a path: a name, a partial or a full ARN, without its qualifier.
func functionName(path string) (string, bool) {
	rest, ok := strings.CutPrefix(path, pathPrefix)
	if !ok {
		return "", false
	}
	escaped, ok := strings.CutSuffix(rest, pathSuffix)
	if !ok || escaped == "" || strings.Contains(escaped, "/") {
		return "", false
	}
	name, err := url.PathUnescape(escaped)
	if err != nil {
		return "", false
	}
	if _, last, isARN := strings.Cut(name, ":function:"); isARN {
		name = last
	}
	return strings.TrimSuffix(name, ":$LATEST"), true
}

func (s *Service) find(name string) (Function, bool) {
	for _, f := range s.functions {
		if name != "" && (name == f.ID || name == f.Name || name == f.FunctionName) {
			return f, true
		}
	}
	return Function{}, false
}

func (s *Service) names() []string {
	var names []string
	for _, f := range s.functions {
		names = append(names, f.Name)
	}
	return names
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Amzn-Errortype", code)
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{"Type": "User", "Message": message}) //nolint:errcheck // the client is gone; there is nobody to tell
}
