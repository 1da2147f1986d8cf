package functionurl

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strconv"

	"latchkey/local/lambdahttp"
)

// answer is what a function returns. Members that are not of the format are ignored.
type answer struct {
	StatusCode      json.Number    `json:"statusCode"`
	Headers         map[string]any `json:"headers"`
	Body            *string        `json:"body"`
	Cookies         []string       `json:"cookies"`
	IsBase64Encoded bool           `json:"isBase64Encoded"`
}

// remapped are the response headers that a function must not set: the URL renames them to
// X-Amzn-Remapped-<name>, as API Gateway does.
var remapped = []string{
	"Authorization", "Connection", "Content-Length", "Date", "Expect", "Host", "Max-Forwards", "Proxy-Authenticate", "Server",
	"Trailer", "Upgrade", "User-Agent", "WWW-Authenticate",
}

// relay answers with what a function returned. An error means that it is no HTTP response, and
// nothing has been written.
func relay(w http.ResponseWriter, payload []byte) error {
	a, isResponse, err := read(payload)
	if err != nil {
		return err
	}
	if !isResponse { // any other JSON is a body by itself
		w.Header().Set("Content-Type", "application/json")
		w.Write(payload) //nolint:errcheck // the client is gone; there is nobody to tell
		return nil
	}
	status, err := strconv.Atoi(a.StatusCode.String())
	if err != nil || status < 200 || status > 599 {
		return fmt.Errorf("status code %q", a.StatusCode)
	}
	var body []byte
	if a.Body != nil {
		body = []byte(*a.Body)
	}
	if a.IsBase64Encoded {
		if body, err = base64.StdEncoding.DecodeString(string(body)); err != nil {
			return fmt.Errorf("body: %w", err)
		}
	}
	h, err := a.header()
	if err != nil {
		return err
	}
	maps.Copy(w.Header(), h)
	w.WriteHeader(status)
	w.Write(body) //nolint:errcheck // the client is gone; there is nobody to tell
	return nil
}

// read tells an HTTP response from other JSON: it is an object with a status code.
func read(payload []byte) (a answer, isResponse bool, err error) {
	if !json.Valid(payload) {
		return answer{}, false, errors.New("the function's answer is no JSON")
	}
	if !bytes.HasPrefix(bytes.TrimSpace(payload), []byte("{")) {
		return answer{}, false, nil
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(payload, &members); err != nil {
		return answer{}, false, err
	}
	if members["statusCode"] == nil {
		return answer{}, false, nil
	}
	if err := json.Unmarshal(payload, &a); err != nil {
		return answer{}, false, fmt.Errorf("the function's answer is no HTTP response: %w", err)
	}
	return a, true, nil
}

// header are the answer's headers, checked, with those renamed that are the URL's own.
func (a answer) header() (http.Header, error) {
	h := http.Header{}
	for name, v := range a.Headers {
		switch v.(type) {
		case string, bool, float64:
			h.Set(name, fmt.Sprint(v))
		default:
			return nil, fmt.Errorf("the header %q is no text", name)
		}
	}
	for _, cookie := range a.Cookies {
		h.Add("Set-Cookie", cookie)
	}
	return h, lambdahttp.Remap(h, remapped)
}
