package sim

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
)

// marked begins every value in the databases, so that one search finds a trace of any.
const marked = "CANARY"

// needles are the marker as it is, and as it is encoded wherever it stands in what was encoded.
var needles = func() [][]byte {
	all := [][]byte{[]byte(marked), []byte(hex.EncodeToString([]byte(marked)))}
	for shift := range 3 {
		// Of the text before nothing is known, so the first characters that it has a part in are left out; of the last too.
		text := base64.StdEncoding.EncodeToString(append(make([]byte, shift), marked...))
		from, to := (shift*8+5)/6, (shift+len(marked))*8/6
		all = append(all, []byte(text[from:to]))
	}
	return all
}()

// traceOf finds the marker in what may hold no secret.
func traceOf(content []byte) bool {
	for _, needle := range needles {
		if bytes.Contains(content, needle) {
			return true
		}
	}
	return false
}

// book is what everybody logs.
type book struct {
	secrets *secrets
	crowd   *crowd // nil in most worlds
	last    [100][]byte
	n       int
}

// Write implements io.Writer.
func (b *book) Write(line []byte) (int, error) {
	kept := bytes.Clone(line)
	b.secrets.look("the log", kept)
	b.last[b.n%len(b.last)] = kept
	b.n++
	if b.crowd != nil && bytes.Contains(line, []byte(`"VerdictsHeld":`)) { // the operator has an alarm on it
		b.crowd.pages++
	}
	return len(line), nil
}
