// Package hostiletest makes hostile requests out of good ones, for fuzz tests: a fuzzer that changes
// bytes seldom gets past the decoder, and what lies behind it is what has to hold.
//
// Its invariant: what it makes is JSON, and the same for the same arguments.
package hostiletest

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// values are what a member is replaced by: what decoders, parsers, clocks and tables are known to
// stumble over.
func values() []string {
	return []string{
		`null`, `true`, `false`, `0`, `-1`, `1.5`, `7.0`, `1e3`, `1e400`, `-0`, `2147483648`, `9007199254740993`,
		`9223372036854775807`, `9223372036854775808`, `-9223372036854775808`,
		`""`, `" "`, `"\u0000"`, `"a\nb"`, `"\ud800"`, `"\u202e"`, `"a\u0301"`, `"../.."`, `"%2f"`, `"${id}"`, `"<script>"`, `"a:b#c?d"`,
		`"GROUP_OWNER"`, `"650000000000000000000099"`, `"arn:aws:kms:us-east-1:111122223333:key/x"`,
		`"9999-12-31T23:59:59-23:59"`, `"0000-01-01T00:00:00+23:59"`, `"0001-01-01T00:00:00Z"`, `"2262-04-12T00:00:00Z"`, `"2026-05-01T12:00:00.000000001Z"`,
		`[]`, `{}`, `[null]`, `[[]]`, `[{}]`, `{"":null}`, `[""]`, `["",""]`,
	}
}

// largeValues is how many large values there are.
const largeValues = 5

// large is what limits of length and of depth are for.
func large(i int) string {
	switch i {
	case 0:
		return `"` + strings.Repeat("x", 129) + `"`
	case 1:
		return `"` + strings.Repeat("\u00e9", 5_000) + `"`
	case 2:
		return strings.Repeat("[", 9_000) + strings.Repeat("]", 9_000)
	case 3:
		return `"` + strings.Repeat("y", 450_000) + `"` // more than an item of the table holds
	}
	return `"` + strings.Repeat(`\u0000`, 100_000) + `"`
}

// The changes that are no replacement.
const (
	remove = iota // a member or an element
	repeat        // the elements of a list, or an element
	nest          // in a list
	changes
)

// Twists is how many ways there are to change one part of a document.
func Twists() int { return changes + len(values()) + largeValues }

// Parts is how many parts a document has: itself, its members and elements, and theirs.
func Parts(document string) int {
	v, ok := decode(document)
	if !ok {
		return 0
	}
	t := &twister{part: -1}
	t.walk(v)
	return t.seen
}

// Twist changes one part of a document in one way; numbers wrap around. What is no JSON is returned as
// it is.
func Twist(document string, part, way int) string {
	v, ok := decode(document)
	if !ok {
		return document
	}
	parts := Parts(document)
	t := &twister{part: (part%parts + parts) % parts, way: (way%Twists() + Twists()) % Twists()}
	twisted := t.walk(v)
	if len(twisted) == 0 {
		return ""
	}
	b, err := json.Marshal(twisted[0])
	if err != nil {
		return document
	}
	return string(b)
}

func decode(document string) (v any, ok bool) {
	const large = 64 << 10 // changing what is large teaches nothing new
	if len(document) > large || !json.Valid([]byte(document)) {
		return nil, false
	}
	dec := json.NewDecoder(bytes.NewReader([]byte(document)))
	dec.UseNumber()
	return v, dec.Decode(&v) == nil
}

// twister walks through a document in its order, members by name, until it comes to the part.
type twister struct {
	part, way, seen int
}

// walk returns what stands where v stood: nothing, v, or more.
func (t *twister) walk(v any) []any {
	here := t.seen == t.part
	t.seen++
	if here {
		return t.twist(v)
	}
	switch in := v.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(in)) {
			switch out := t.walk(in[name]); len(out) {
			case 0:
				delete(in, name)
			default:
				in[name] = out[0]
			}
		}
	case []any:
		var out []any
		for _, element := range in {
			out = append(out, t.walk(element)...)
		}
		return []any{append([]any{}, out...)}
	}
	return []any{v}
}

func (t *twister) twist(v any) []any {
	switch t.way {
	case remove:
		return nil
	case repeat:
		if list, ok := v.([]any); ok {
			return []any{slices.Repeat(list, repeats(v))}
		}
		return slices.Repeat([]any{v}, repeats(v))
	case nest:
		return []any{[]any{v}}
	}
	small := values()
	if i := t.way - changes - len(small); i >= 0 {
		return []any{json.RawMessage(large(i))}
	}
	return []any{json.RawMessage(small[t.way-changes])}
}

// repeats is how often a part is repeated: as often as there is room for it in a request.
func repeats(v any) int {
	const room = 900_000
	b, err := json.Marshal(v)
	if err != nil {
		return 1
	}
	return room / (len(b) + 1)
}
