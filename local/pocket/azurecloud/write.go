package azurecloud

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// apiError is a refusal in the form shared by Key Vault, Resource Manager and Graph.
type apiError struct {
	status  int
	code    string
	message string
	inner   string // Key Vault's inner error code
}

// Error makes an apiError an error, so that helpers can return it.
func (e *apiError) Error() string { return e.code + ": " + e.message }

func refuse(status int, code, format string, args ...any) *apiError {
	return &apiError{status: status, code: code, message: fmt.Sprintf(format, args...)}
}

func (e *apiError) because(inner string) *apiError {
	e.inner = inner
	return e
}

// begin sets the headers that Azure puts on every answer.
func begin(w http.ResponseWriter) {
	w.Header().Set("X-Ms-Request-Id", newUUID())
	w.Header().Set("Cache-Control", "no-cache")
}

// answer writes the outcome of an operation: v, or err in the services' own form.
func answer(w http.ResponseWriter, status int, v any, err error) {
	if err != nil {
		writeError(w, err)
		return
	}
	if v == nil {
		w.WriteHeader(status)
		return
	}
	writeJSON(w, status, v)
}

func writeError(w http.ResponseWriter, err error) {
	e, ok := errors.AsType[*apiError](err)
	if !ok {
		e = refuse(http.StatusInternalServerError, "InternalServerError", "%v", err)
	}
	type inner struct {
		Code string `json:"code"`
	}
	type detail struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Inner   *inner `json:"innererror,omitempty"`
	}
	d := detail{Code: e.code, Message: e.message}
	if e.inner != "" {
		d.Inner = &inner{Code: e.inner}
	}
	writeJSON(w, e.status, map[string]detail{"error": d})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v) //nolint:errcheck // the client is gone
}

// decode reads a JSON body; an empty one leaves v as it is.
func decode(body []byte, v any) error {
	if len(body) == 0 {
		return nil
	}
	if err := json.Unmarshal(body, v); err != nil {
		return refuse(http.StatusBadRequest, "BadParameter", "The request body is not valid JSON: %v", err)
	}
	return nil
}
