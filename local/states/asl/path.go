package asl

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/ohler55/ojg/jp"
)

// Path is a JSONPath into a state's input ("$.a") or into the context object ("$$.a").
type Path struct {
	text      string
	inContext bool
	// steps lead to one place. A path that can mean several places has many instead.
	steps []any // string or int
	many  jp.Expr
}

// ParsePath reads a path of any kind.
func ParsePath(text string) (*Path, error) {
	p, err := parseSteps(text)
	if err == nil {
		return p, nil
	}
	rest, inContext := strings.CutPrefix(text, "$$")
	if inContext {
		rest = "$" + rest
	}
	expr, err := jp.ParseString(rest)
	if err != nil {
		return nil, fmt.Errorf("%q is not a JSONPath: %w", text, err)
	}
	p = &Path{text: text, inContext: inContext}
	return p, p.take(expr)
}

// take accepts an expression that is made of what Step Functions knows.
func (p *Path) take(expr jp.Expr) error {
	if len(expr) == 0 {
		return fmt.Errorf("%q is not a JSONPath", p.text)
	}
	if _, ok := expr[0].(jp.Root); !ok {
		return fmt.Errorf("%q is not a JSONPath: it does not begin with $", p.text)
	}
	single := true
	for _, frag := range expr[1:] {
		switch f := frag.(type) {
		case jp.Child:
			if strings.ContainsAny(string(f), "()") {
				return fmt.Errorf("%q calls a function, which JSONPath here cannot", p.text)
			}
			p.steps = append(p.steps, string(f))
		case jp.Nth:
			p.steps = append(p.steps, int(f))
		case jp.Wildcard, jp.Slice, jp.Union, jp.Descent, *jp.Filter:
			single = false
		default:
			return fmt.Errorf("%q uses JSONPath that is not supported", p.text)
		}
	}
	if !single {
		p.steps, p.many = nil, expr
	}
	return nil
}

// ParseReference reads a reference path: one that means exactly one place.
func ParseReference(text string) (*Path, error) {
	p, err := parseSteps(text)
	if err != nil {
		return nil, fmt.Errorf("%q is not a reference path: %w", text, err)
	}
	return p, nil
}

// parseSteps reads $ or $$ followed by .name, ['name'], ["name"] and [number].
func parseSteps(text string) (*Path, error) {
	rest, ok := strings.CutPrefix(text, "$")
	if !ok {
		return nil, errors.New("it does not begin with $")
	}
	p := &Path{text: text}
	rest, p.inContext = strings.CutPrefix(rest, "$")
	for rest != "" {
		var step any
		var err error
		if name, isDot := strings.CutPrefix(rest, "."); isDot {
			step, rest, err = dotName(name)
		} else {
			step, rest, err = bracket(rest)
		}
		if err != nil {
			return nil, err
		}
		p.steps = append(p.steps, step)
	}
	return p, nil
}

func dotName(text string) (any, string, error) {
	end := strings.IndexAny(text, ".[")
	if end < 0 {
		end = len(text)
	}
	name := text[:end]
	if name == "" {
		return nil, "", errors.New("a name is missing after a dot")
	}
	if i := strings.IndexAny(name, "@,:?*()'\"]{}&|<>=!$ \t\r\n\\"); i >= 0 {
		return nil, "", fmt.Errorf("the name %q has %q in it, which only ['…'] may hold", name, name[i])
	}
	return name, text[end:], nil
}

func bracket(text string) (any, string, error) {
	if len(text) < 3 || text[0] != '[' {
		return nil, "", fmt.Errorf("%q follows neither . nor [", text)
	}
	if quote := text[1]; quote == '\'' || quote == '"' {
		return quotedName(text[2:], quote)
	}
	digits, rest, ok := strings.Cut(text[1:], "]")
	if !ok || digits == "" || strings.Trim(digits, "0123456789") != "" {
		return nil, "", fmt.Errorf("%q is neither a quoted name nor a number in brackets", text)
	}
	n, err := strconv.Atoi(digits)
	if err != nil {
		return nil, "", fmt.Errorf("the index %s is too large", digits)
	}
	return n, rest, nil
}

func quotedName(text string, quote byte) (any, string, error) {
	var name strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && i+1 < len(text) && (text[i+1] == quote || text[i+1] == '\\'):
			i++
			name.WriteByte(text[i])
		case c == '\\':
			return nil, "", errors.New("only quotes and backslashes are escaped in a name")
		case c == quote:
			if !strings.HasPrefix(text[i+1:], "]") {
				return nil, "", errors.New("a ] is missing after a quoted name")
			}
			return name.String(), text[i+2:], nil
		default:
			name.WriteByte(c)
		}
	}
	return nil, "", errors.New("a quoted name does not end")
}

// String is the path as it was written.
func (p *Path) String() string { return p.text }

// Find returns what the path means. A path that means several places finds a list of what is
// there, which may be empty; another one finds nothing if its place does not exist.
func (p *Path) Find(env *Env) (any, bool) {
	root := env.Input
	if p.inContext {
		root = env.Context
	}
	if p.many != nil {
		return p.all(root), true
	}
	for _, step := range p.steps {
		var ok bool
		if root, ok = child(root, step); !ok {
			return nil, false
		}
	}
	return root, true
}

// all returns what a path that means several places finds.
func (p *Path) all(root any) []any {
	if root != nil { // the library does not expect null at the root
		if found := p.many.Get(inOrder(root)); found != nil {
			return plainList(found)
		}
	}
	return []any{}
}

// sorted is an object whose members the library visits by name: a map has no order of its own, and an
// execution that is resumed must find what it found before, where it found it.
type sorted map[string]any

var _ jp.Keyed = sorted{}

// ValueForKey implements jp.Keyed.
func (o sorted) ValueForKey(key string) (value any, has bool) {
	value, has = o[key]
	return value, has
}

// SetValueForKey implements jp.Keyed; only reading is asked for.
func (sorted) SetValueForKey(string, any) {}

// RemoveValueForKey implements jp.Keyed; only reading is asked for.
func (sorted) RemoveValueForKey(string) {}

// Keys implements jp.Keyed.
func (o sorted) Keys() []string { return slices.Sorted(maps.Keys(o)) }

// inOrder is a value with objects that have an order.
func inOrder(v any) any {
	switch x := v.(type) {
	case map[string]any:
		o := make(sorted, len(x))
		for name, member := range x {
			o[name] = inOrder(member)
		}
		return o
	case []any:
		list := make([]any, len(x))
		for i, element := range x {
			list[i] = inOrder(element)
		}
		return list
	}
	return v
}

// plainList is what inOrder was made of.
func plainList(found []any) []any {
	list := make([]any, len(found))
	for i, v := range found {
		list[i] = unordered(v)
	}
	return list
}

func unordered(v any) any {
	switch x := v.(type) {
	case sorted:
		object := make(map[string]any, len(x))
		for name, member := range x {
			object[name] = unordered(member)
		}
		return object
	case []any:
		return plainList(x)
	}
	return v
}

func child(v, step any) (any, bool) {
	switch s := step.(type) {
	case string:
		object, _ := v.(map[string]any)
		c, ok := object[s]
		return c, ok
	case int:
		list, _ := v.([]any)
		if s < 0 {
			s += len(list)
		}
		if s >= 0 && s < len(list) {
			return list[s], true
		}
	}
	return nil, false
}

// Put returns root with v at the path's place, and changes nothing in root. Objects on the way
// that do not exist are made; anything else in the way is an error.
func (p *Path) Put(root, v any) (any, *Failure) {
	out, err := put(root, p.steps, v)
	if err != nil {
		return nil, Fails(ErrResultPathMatchFailure, "Unable to apply ResultPath %s: %v", p.text, err)
	}
	return out, nil
}

func put(root any, steps []any, v any) (any, error) {
	if len(steps) == 0 {
		return v, nil
	}
	switch step := steps[0].(type) {
	case string:
		object, ok := root.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("%q would be a member of what is no object", step)
		}
		inner, exists := object[step]
		if !exists {
			inner = map[string]any{}
		}
		inner, err := put(inner, steps[1:], v)
		if err != nil {
			return nil, err
		}
		out := make(map[string]any, len(object)+1)
		maps.Copy(out, object)
		out[step] = inner
		return out, nil
	case int:
		list, ok := root.([]any)
		if !ok || step >= len(list) {
			return nil, fmt.Errorf("there is no element %d to replace", step)
		}
		inner, err := put(list[step], steps[1:], v)
		if err != nil {
			return nil, err
		}
		out := slices.Clone(list)
		out[step] = inner
		return out, nil
	}
	return nil, errors.New("the path has a step of no kind")
}

// Filter is an InputPath or OutputPath. The zero value passes everything.
type Filter struct {
	path *Path
	drop bool // the path is null
}

// Apply returns what the filter lets through; null lets an empty object through.
func (f Filter) Apply(field string, env *Env) (any, *Failure) {
	switch {
	case f.drop:
		return map[string]any{}, nil
	case f.path == nil:
		return env.Input, nil
	}
	v, ok := f.path.Find(env)
	if !ok {
		return nil, Fails(ErrRuntime, "Invalid path '%s' for the field %s: it could not be found in the input", f.path, field)
	}
	return v, nil
}

// Target is a ResultPath. The zero value replaces the input by the result.
type Target struct {
	path *Path
	drop bool // the path is null
}

// Apply combines a state's input with its result.
func (t Target) Apply(input, result any) (any, *Failure) {
	switch {
	case t.drop:
		return input, nil
	case t.path == nil:
		return result, nil
	}
	return t.path.Put(input, result)
}
