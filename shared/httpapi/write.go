package httpapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"latchkey/shared/atlas"
)

// write answers with a JSON body, indented and enveloped as the query asks. It returns the
// status that was sent.
func write(w http.ResponseWriter, query url.Values, contentType string, resp Response) (int, error) {
	var body []byte
	if resp.Body != nil {
		var err error
		if body, err = encode(query, resp.Status, resp.Body); err != nil {
			return 0, err
		}
	}
	maps.Copy(w.Header(), resp.Header)
	if body != nil {
		w.Header().Set("Content-Type", contentType)
	}
	w.WriteHeader(resp.Status)
	w.Write(body) //nolint:errcheck // the client is gone; there is nobody to tell
	return resp.Status, nil
}

// writeRaw answers with a body that has its own form, such as the OAuth endpoints'.
func writeRaw(w http.ResponseWriter, resp Response) int {
	status, err := write(w, nil, "application/json;charset=utf-8", resp)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return http.StatusInternalServerError
	}
	return status
}

// writeText answers with plain text, whatever the query asks for.
func writeText(w http.ResponseWriter, resp Response) int {
	maps.Copy(w.Header(), resp.Header)
	w.Header().Set("Content-Type", "text/plain;charset=utf-8")
	w.WriteHeader(resp.Status)
	io.WriteString(w, resp.Text) //nolint:errcheck // the client is gone; there is nobody to tell
	return resp.Status
}

func writeError(w http.ResponseWriter, query url.Values, e *atlas.Error) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Error-Code", string(e.Code))
	if e.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(e.RetryAfter.Seconds()))))
	}
	body, err := encode(query, e.Status(), e.Body())
	if err != nil {
		body = []byte(`{"error":500,"errorCode":"UNEXPECTED_ERROR","detail":"Unexpected error.","parameters":[],"reason":"Internal Server Error"}`)
	}
	w.WriteHeader(e.Status())
	w.Write(body) //nolint:errcheck // the client is gone; there is nobody to tell
}

// encode marshals v. envelope=true puts the status into the body: lists gain a status member,
// anything else becomes {"status":…,"content":…} (CONTRACT 1.3; the HTTP status stays).
func encode(query url.Values, status int, v any) ([]byte, error) {
	body, err := marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode response: %w", err)
	}
	if isTrue(query.Get("envelope")) {
		body = envelop(body, status)
	}
	if isTrue(query.Get("pretty")) {
		var pretty bytes.Buffer
		if err := json.Indent(&pretty, body, "", "  "); err != nil {
			return nil, fmt.Errorf("indent response: %w", err)
		}
		body = pretty.Bytes()
	}
	return body, nil
}

// marshal leaves <, > and & as they are: error details quote what the client sent.
func marshal(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

func envelop(body []byte, status int) []byte {
	code := strconv.Itoa(status)
	if rest, isList := bytes.CutPrefix(body, []byte(`{"links":`)); isList && bytes.Contains(body, []byte(`"results":`)) {
		return []byte(`{"status":` + code + `,"links":` + string(rest))
	}
	return []byte(`{"status":` + code + `,"content":` + string(body) + `}`)
}

func isTrue(s string) bool { return strings.EqualFold(s, "true") }

func deprecate(h http.Header, d Deprecation) {
	if d.Sunset != "" {
		h.Set("Deprecation", d.Deprecation)
		h.Set("Sunset", d.Sunset)
	}
}
