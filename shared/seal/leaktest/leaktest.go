// Package leaktest finds secrets where none may be: in answers, logs, events, tables, files and messages.
//
// Its one invariant: a secret is found however a program writes it by accident, as it is, quoted, escaped
// or encoded, also within something larger that was encoded. It is imported by tests only.
package leaktest

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// shortest is how much of an encoded secret must be left to be looked for: less is found by chance.
const shortest = 8

// Detector looks for some secrets. The zero Detector looks for none.
type Detector struct{ traces []trace }

// trace is one form of one secret.
type trace struct {
	name, form string
	bytes      []byte
}

// Add has the detector look for a secret too. name is what it is called in reports, which do not hold it.
// Nothing is looked for that is too short to be recognized.
func (d *Detector) Add(name, secret string) {
	all, known := forms(secret), map[string]bool{}
	for _, form := range slices.Sorted(maps.Keys(all)) { // "as it is" comes before what looks the same
		if text := all[form]; len(text) >= shortest && !known[text] {
			known[text] = true
			d.traces = append(d.traces, trace{name, form, []byte(text)})
		}
	}
}

// In lists what was found in a text: "the webhook's secret, in base64".
func (d *Detector) In(text []byte) []string {
	var found []string
	seen := map[string]bool{}
	for _, t := range d.traces {
		if what := t.name + ", " + t.form; !seen[what] && bytes.Contains(text, t.bytes) {
			seen[what] = true
			found = append(found, what)
		}
	}
	return found
}

// forms are the ways in which programs write a text.
func forms(secret string) map[string]string {
	quoted, _ := json.Marshal(secret) //nolint:errchkjson // a string
	all := map[string]string{
		"as it is":               secret,
		"in JSON":                string(quoted[1 : len(quoted)-1]),
		"in JSON within JSON":    nested(string(quoted)),
		"quoted as Go does":      strings.Trim(strconv.Quote(secret), `"`),
		"in a query":             url.QueryEscape(secret),
		"in a path":              url.PathEscape(secret),
		"in hexadecimal":         hex.EncodeToString([]byte(secret)),
		"in capital hexadecimal": strings.ToUpper(hex.EncodeToString([]byte(secret))),
		"by its bytes":           numbers(secret, " "),
		"by its bytes, in C":     numbers(secret, ","),
	}
	for shift := range 3 {
		all[fmt.Sprintf("in base64 (%d)", shift)] = aligned(base64.RawStdEncoding, secret, shift)
		all[fmt.Sprintf("in base64 of URLs (%d)", shift)] = aligned(base64.RawURLEncoding, secret, shift)
	}
	return all
}

// numbers are the bytes of a text, as programs write lists of them.
func numbers(text, separator string) string {
	list := make([]string, len(text))
	for i, b := range []byte(text) {
		list[i] = strconv.Itoa(int(b))
	}
	return strings.Join(list, separator)
}

// nested is a document as a text in another one.
func nested(document string) string {
	text, _ := json.Marshal(document) //nolint:errchkjson // a string
	return strings.TrimSuffix(strings.TrimPrefix(string(text), `"\"`), `\""`)
}

// aligned is what is certain of a text's base64 when it begins some bytes behind a multiple of three.
func aligned(encoding *base64.Encoding, text string, shift int) string {
	encoded := encoding.EncodeToString(append(make([]byte, shift), text...))
	first := []int{0, 2, 3}[shift]      // these depend on what is before the text
	last := (shift + len(text)) * 8 / 6 // what comes then depends on what is behind it
	return encoded[min(first, last):max(first, last)]
}
