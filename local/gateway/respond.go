package gateway

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"latchkey/local/lambdahttp"
)

// builtin is what a REST API answers unless the API says otherwise: the status, the message
// and the X-Amzn-Errortype of each type of gateway response.
var builtin = map[string]struct {
	status        int
	message, kind string
}{
	"ACCESS_DENIED":                  {403, "User is not authorized to access this resource with an explicit deny", "AccessDeniedException"},
	"AUTHORIZER_CONFIGURATION_ERROR": {500, "", "AuthorizerConfigurationException"},
	"DEFAULT_5XX":                    {502, "Internal server error", "InternalServerErrorException"},
	"INTEGRATION_TIMEOUT":            {504, "Endpoint request timed out", "InternalServerErrorException"},
	"MISSING_AUTHENTICATION_TOKEN":   {403, "Missing Authentication Token", "MissingAuthenticationTokenException"},
	"REQUEST_TOO_LARGE":              {413, "Request Too Long", "RequestTooLargeException"},
	"UNAUTHORIZED":                   {401, "Unauthorized", "UnauthorizedException"},
}

// refuse answers with a gateway response.
func (g *Gateway) refuse(w http.ResponseWriter, x *exchange, kind string) {
	preset := builtin[kind]
	response, ok := g.spec.Responses[kind]
	if !ok {
		fallback := "DEFAULT_4XX"
		if preset.status >= http.StatusInternalServerError {
			fallback = "DEFAULT_5XX"
		}
		response = g.spec.Responses[fallback]
	}
	status := preset.status
	if n, err := strconv.Atoi(response.Status); err == nil {
		status = n
	}
	body, ok := response.Templates["application/json"]
	if !ok {
		body = `{"message":$context.error.messageString}`
	}
	h := w.Header()
	x.mark(h)
	h.Set("X-Amzn-Errortype", preset.kind)
	h.Set("Content-Type", "application/json")
	for name, expression := range response.Headers {
		if value := x.mapped(expression); value != "" {
			h.Set(name, value)
		}
	}
	w.WriteHeader(status)
	w.Write([]byte(x.render(body, kind, preset.message))) //nolint:errcheck // the client is gone; there is nobody to tell
}

// mark sets the headers that every response carries.
func (x *exchange) mark(h http.Header) {
	h.Set("X-Amzn-Requestid", x.requestID)
	h.Set("X-Amz-Apigw-Id", base64.StdEncoding.EncodeToString([]byte(x.requestID))[:15]+"=")
	h.Set("X-Amzn-Trace-Id", x.traceID)
}

// mapped evaluates a mapping expression of a header. What there is not gives "", and the header
// is left out.
func (x *exchange) mapped(expression string) string {
	if literal, ok := strings.CutPrefix(expression, "'"); ok {
		return strings.TrimSuffix(literal, "'")
	}
	for prefix, lookup := range map[string]func(string) string{
		"context.":                    x.contextVariable,
		"method.request.header.":      x.request.Header.Get,
		"method.request.path.":        func(name string) string { return x.params[name] },
		"method.request.querystring.": func(name string) string { last, _ := x.query(); return last[name] },
	} {
		if name, ok := strings.CutPrefix(expression, prefix); ok {
			return oneLine(lookup(name))
		}
	}
	return ""
}

// oneLine keeps a value from ending the header it is put into.
func oneLine(s string) string {
	return strings.Map(func(c rune) rune {
		if c == '\r' || c == '\n' || c == 0 {
			return ' '
		}
		return c
	}, s)
}

// contextVariable is $context.<name>; "" if there is none.
func (x *exchange) contextVariable(name string) string {
	var v any = x.context()
	for part := range strings.SplitSeq(name, ".") {
		m, ok := v.(map[string]any)
		if !ok || m[part] == nil {
			return ""
		}
		v = m[part]
	}
	switch v.(type) {
	case map[string]any:
		return ""
	}
	return fmt.Sprint(v)
}

var variableName = regexp.MustCompile(`\$context\.[A-Za-z0-9_.]*[A-Za-z0-9_]`)

// render fills in a body. Gateway responses know variables only, no template language, and
// paste them in as they are.
func (x *exchange) render(body, kind, message string) string {
	quoted, err := json.Marshal(message)
	if err != nil {
		quoted = []byte(`""`)
	}
	return variableName.ReplaceAllStringFunc(body, func(match string) string {
		switch name := strings.TrimPrefix(match, "$context."); name {
		case "error.message":
			return message
		case "error.messageString":
			return string(quoted)
		case "error.responseType":
			return kind
		default:
			return x.contextVariable(name)
		}
	})
}

// answer is what a Lambda proxy integration returns.
type answer struct {
	StatusCode        json.Number         `json:"statusCode"`
	Headers           map[string]any      `json:"headers"`
	MultiValueHeaders map[string][]string `json:"multiValueHeaders"`
	Body              string              `json:"body"`
	IsBase64Encoded   bool                `json:"isBase64Encoded"`
}

// remapped are the response headers that a function must not set: the gateway renames them to
// X-Amzn-Remapped-<name>. WWW-Authenticate is the one that Digest needs; docs/gateway.md says
// how it gets to clients all the same.
var remapped = []string{
	"Authorization", "Connection", "Content-Length", "Content-MD5", "Date", "Expect", "Host", "Max-Forwards",
	"Proxy-Authenticate", "Server", "Trailer", "Upgrade", "User-Agent", "WWW-Authenticate",
}

// relay answers with what a function returned. An error means that it is no HTTP response.
func (x *exchange) relay(w http.ResponseWriter, payload []byte) error {
	var a answer
	dec := json.NewDecoder(bytes.NewReader(payload))
	dec.DisallowUnknownFields() // as the gateway does
	dec.UseNumber()
	if err := dec.Decode(&a); err != nil {
		return fmt.Errorf("malformed Lambda proxy response: %w", err)
	}
	if !bytes.HasPrefix(bytes.TrimSpace(payload), []byte("{")) {
		return errors.New("malformed Lambda proxy response: no object")
	}
	status := http.StatusOK
	if a.StatusCode != "" {
		n, err := strconv.Atoi(a.StatusCode.String())
		if err != nil || n < 200 || n > 599 {
			return fmt.Errorf("malformed Lambda proxy response: status code %q", a.StatusCode)
		}
		status = n
	}
	body := []byte(a.Body)
	if a.IsBase64Encoded {
		decoded, err := base64.StdEncoding.DecodeString(a.Body)
		if err != nil {
			return fmt.Errorf("malformed Lambda proxy response: body: %w", err)
		}
		body = decoded
	}
	header, err := a.header()
	if err != nil {
		return err
	}
	maps.Copy(w.Header(), header)
	x.mark(w.Header())
	w.WriteHeader(status)
	w.Write(body) //nolint:errcheck // the client is gone; there is nobody to tell
	return nil
}

// header joins both kinds of headers, and renames and drops those that are the gateway's own.
func (a answer) header() (http.Header, error) {
	h := http.Header{}
	for name, v := range a.Headers {
		switch v.(type) {
		case string, bool, json.Number:
			h.Set(name, fmt.Sprint(v))
		default:
			return nil, errors.New("malformed Lambda proxy response: the header " + name + " is no string")
		}
	}
	for name, values := range a.MultiValueHeaders {
		h.Del(name)
		for _, v := range values {
			h.Add(name, v)
		}
	}
	if err := lambdahttp.Remap(h, remapped); err != nil {
		return nil, fmt.Errorf("malformed Lambda proxy response: %w", err)
	}
	return h, nil
}
