package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
)

// data asks the database of a cluster.
func (e *estate) data(method, name, key, body string) (int, string) {
	r := httptest.NewRequestWithContext(e.t.Context(), method, "http://127.0.0.1/"+e.owner.GroupID+"/"+name+"/db/"+key, strings.NewReader(body))
	rec := httptest.NewRecorder()
	e.fleet.Databases().ServeHTTP(rec, r)
	return rec.Code, rec.Body.String()
}

func (e *estate) answers(name string) bool {
	code, _ := e.data(http.MethodGet, name, "no-such-key", "")
	return code == http.StatusNotFound
}

// canary is in every value, so that no file and no log may hold it.
const canary = "plaintext-3b1c9f "

// write writes some values, and remembers those that were acknowledged.
func (e *estate) write(name string, values int) (acknowledged int) {
	for range values {
		e.writes++
		key, value := fmt.Sprint("k", e.writes%50), strings.Repeat(fmt.Sprint(canary, e.writes), 1+e.writes%100)
		code, answer := e.data(http.MethodPut, name, key, value)
		switch {
		case code == http.StatusNoContent:
			if e.written[name] == nil {
				e.written[name] = map[string]string{}
			}
			e.written[name][key] = value
			acknowledged++
		case strings.Contains(answer, "may be there or not"):
			delete(e.written[name], key) // either is right
		case code != http.StatusServiceUnavailable:
			e.t.Errorf("a write answers %d %s", code, answer)
		}
	}
	return acknowledged
}

// wrote writes values, all of which must be acknowledged.
func (e *estate) wrote(name string, values int) {
	e.t.Helper()
	if got := e.write(name, values); got != values {
		e.t.Errorf("%d of %d writes were acknowledged", got, values)
	}
}

// readable demands that everything is there that was acknowledged.
func (e *estate) readable(name string) {
	e.t.Helper()
	for key, want := range e.written[name] {
		if code, got := e.data(http.MethodGet, name, key, ""); code != http.StatusOK || got != want {
			e.t.Errorf("%s of %s: %d %.60q, want %.60q", key, name, code, got, want)
		}
	}
}
