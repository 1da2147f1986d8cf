// Package lambdahttp is what the HTTP front ends of Lambda functions have in common: what becomes
// of the headers that a function answers. The gateway and the function URLs on this machine import it.
package lambdahttp

import (
	"fmt"
	"net/http"
	"strings"
)

// Remap makes a function's headers what the client gets: those named in remapped, which a function
// must not set, become X-Amzn-Remapped-<name>, and a body without a type is JSON. It fails if a
// header is none.
func Remap(h http.Header, remapped []string) error {
	for name, values := range h {
		if !isHeader(name, values) {
			return fmt.Errorf("the header %q", name)
		}
	}
	h.Del("Transfer-Encoding")
	for _, name := range remapped {
		if values := h.Values(name); len(values) > 0 {
			h.Del(name)
			h[http.CanonicalHeaderKey("X-Amzn-Remapped-"+name)] = values
		}
	}
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/json")
	}
	return nil
}

func isHeader(name string, values []string) bool {
	if name == "" || strings.ContainsFunc(name, func(c rune) bool { return c <= ' ' || c >= 0x7f || c == ':' }) {
		return false
	}
	for _, v := range values {
		if strings.ContainsAny(v, "\r\n\x00") {
			return false
		}
	}
	return true
}
