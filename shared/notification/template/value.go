package template

import (
	"encoding/json"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"
	"unicode/utf8"
)

// bytesOfStep is how many bytes of text are worked on in about the time of a step.
const bytesOfStep = 256

// escaped is a text that a built-in has escaped already.
type escaped string

func numberOf(i int) json.Number { return json.Number(strconv.Itoa(i)) }

// text is how a value is written. isSafe says that it needs no escaping.
func text(v any) (s string, isSafe bool, err error) {
	switch v := v.(type) {
	case string:
		return v, false, nil
	case escaped:
		return string(v), true, nil
	case json.Number:
		return v.String(), true, nil
	case bool:
		return strconv.FormatBool(v), true, nil
	case nil:
		return "", false, fmt.Errorf("%w: a value is missing and has no default", ErrRender)
	}
	return "", false, fmt.Errorf("%w: a value is no text", ErrRender)
}

func truth(r *run, e expression) (bool, error) {
	v, err := e(r)
	if err != nil {
		return false, err
	}
	holds, ok := v.(bool)
	if !ok {
		return false, fmt.Errorf("%w: a condition is neither true nor false", ErrRender)
	}
	return holds, nil
}

func equal(r *run, left, right expression) (bool, error) {
	values, err := evaluate(r, []expression{left, right})
	if err != nil {
		return false, err
	}
	a, _, err := text(values[0])
	if err != nil {
		return false, err
	}
	b, _, err := text(values[1])
	return a == b, err
}

func evaluate(r *run, all []expression) ([]any, error) {
	values := make([]any, len(all))
	for i, e := range all {
		v, err := e(r)
		if err != nil {
			return nil, err
		}
		values[i] = v
	}
	return values, r.spend(1 + len(all))
}

// member reads a member of a map or an element of a list. What a missing value has is missing.
func member(of, key expression) expression {
	return func(r *run) (any, error) {
		values, err := evaluate(r, []expression{of, key})
		if err != nil {
			return nil, err
		}
		switch v := values[0].(type) {
		case map[string]any:
			name, _ := values[1].(string)
			return v[name], nil
		case []any:
			n, _ := values[1].(json.Number)
			if i, err := strconv.Atoi(n.String()); err == nil && i >= 0 && i < len(v) {
				return v[i], nil
			}
			return nil, nil
		case nil:
			return nil, nil
		}
		return nil, fmt.Errorf("%w: a text has no members", ErrRender)
	}
}

func isThere(e expression) expression {
	return func(r *run) (any, error) {
		v, err := e(r)
		return v != nil, err
	}
}

// builtIn is what "?name" makes of a value. variable is the value's name if it is a plain variable.
func builtIn(name, variable string, e expression) (built expression, ok bool) {
	switch name {
	case "has_next", "index":
		return func(r *run) (any, error) { return r.lookup(variable + "_" + name), nil }, variable != ""
	case "has_content":
		return func(r *run) (any, error) {
			v, err := e(r)
			return size(v) > 0, err
		}, true
	case "size", "length":
		return func(r *run) (any, error) {
			v, err := e(r)
			return numberOf(size(v)), err
		}, true
	}
	transforms := map[string]func(string) any{
		"js_string": escapedJSON, "json_string": escapedJSON,
		"upper_case": func(s string) any { return strings.ToUpper(s) },
		"lower_case": func(s string) any { return strings.ToLower(s) },
		"trim":       func(s string) any { return strings.TrimSpace(s) },
		"string":     func(s string) any { return s },
		"c":          func(s string) any { return s },
	}
	transform, ok := transforms[name]
	return func(r *run) (any, error) {
		v, err := e(r)
		if err != nil {
			return nil, err
		}
		if _, isEscaped := v.(escaped); isEscaped {
			return v, nil
		}
		s, isSafe, err := text(v)
		if isSafe || err != nil {
			return v, err
		}
		return transform(s), r.spend(1 + len(s)/bytesOfStep)
	}, ok
}

func size(v any) int {
	switch v := v.(type) {
	case string:
		return utf8.RuneCountInString(v)
	case escaped:
		return utf8.RuneCountInString(string(v))
	case []any:
		return len(v)
	case map[string]any:
		return len(v)
	case nil:
		return 0
	}
	return 1
}

// EscapeJSON escapes a text for a place between the quotation marks of JSON.
func EscapeJSON(s string) string {
	quoted, err := json.Marshal(s)
	if err != nil { // no text has one
		return ""
	}
	return string(quoted[1 : len(quoted)-1])
}

func escapedJSON(s string) any { return escaped(EscapeJSON(s)) }

// matched finds what a group of a regular expression matches in a text: the first time, or every time.
// Regular expressions are Go's, which take time in proportion to the text.
func matched(arguments []expression, all bool) expression {
	return func(r *run) (any, error) {
		values, err := evaluate(r, arguments)
		if err != nil {
			return nil, err
		}
		if len(values) != 3 {
			return nil, fmt.Errorf("%w: a regular expression takes a text, a pattern and a group", ErrRender)
		}
		input, _, inputErr := text(values[0])
		pattern, _, patternErr := text(values[1])
		number, _ := values[2].(json.Number)
		group, err := strconv.Atoi(number.String())
		if inputErr != nil || patternErr != nil || err != nil || group < 0 {
			return nil, fmt.Errorf("%w: a regular expression takes a text, a pattern and a group", ErrRender)
		}
		expr, err := r.compile(pattern, input)
		if err != nil {
			return nil, err
		}
		found := []any{}
		for _, m := range expr.FindAllStringSubmatch(input, -1) {
			if group < len(m) {
				found = append(found, m[group])
			}
		}
		switch {
		case all:
			return found, nil
		case len(found) == 0:
			return "", nil
		}
		return found[0], nil
	}
}

// compile compiles a regular expression, if the rendering may still spend what matching it costs.
func (r *run) compile(pattern, input string) (*regexp.Regexp, error) {
	const longest = 256
	if len(pattern) > longest {
		return nil, fmt.Errorf("%w: a regular expression is too long", ErrRender)
	}
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil, fmt.Errorf("%w: a regular expression is malformed", ErrRender)
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return nil, fmt.Errorf("%w: a regular expression is malformed", ErrRender)
	}
	if r.pattern += len(program.Inst) * (len(input) + 1); r.pattern > maxPattern {
		return nil, fmt.Errorf("%w: its regular expressions take too long", ErrRender)
	}
	expr, err := regexp.Compile(pattern)
	if err != nil {
		return nil, fmt.Errorf("%w: a regular expression is malformed", ErrRender)
	}
	return expr, nil
}
