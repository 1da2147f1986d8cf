package asl

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Env is what paths and functions are evaluated against.
type Env struct {
	Input   any // "$"
	Context any // "$$"
	// UUID makes a version 4 UUID.
	UUID func() string
}

// Template is a payload template: JSON whose members that end in ".$" are computed.
type Template struct {
	root  node
	paths []*Path
}

// node is a part of a template.
type node interface {
	eval(env *Env) (any, *Failure)
}

type literal struct{ value any }

func (l literal) eval(*Env) (any, *Failure) { return l.value, nil }

// pathValue is a member whose value is a path. field names it in errors.
type pathValue struct {
	path  *Path
	field string
}

func (p pathValue) eval(env *Env) (any, *Failure) {
	v, ok := p.path.Find(env)
	if !ok {
		return nil, Fails(ErrParameterPathFailure,
			"The JSONPath '%s' specified for the field '%s' could not be found in the input", p.path, p.field)
	}
	return v, nil
}

type objectValue map[string]node

func (o objectValue) eval(env *Env) (any, *Failure) {
	out := make(map[string]any, len(o))
	for _, name := range slices.Sorted(maps.Keys(o)) { // in order: functions may draw random numbers
		v, failure := o[name].eval(env)
		if failure != nil {
			return nil, failure
		}
		out[name] = v
	}
	return out, nil
}

type listValue []node

func (l listValue) eval(env *Env) (any, *Failure) {
	out := make([]any, len(l))
	for i, n := range l {
		v, failure := n.eval(env)
		if failure != nil {
			return nil, failure
		}
		out[i] = v
	}
	return out, nil
}

// ParseTemplate reads a payload template, which is an object.
func ParseTemplate(v any) (*Template, error) {
	if _, ok := v.(map[string]any); !ok {
		return nil, errors.New("a payload template is an object")
	}
	t := &Template{}
	root, err := t.parse(v)
	t.root = root
	return t, err
}

// Fill evaluates the template.
func (t *Template) Fill(env *Env) (any, *Failure) { return t.root.eval(env) }

func (t *Template) parse(v any) (node, error) {
	switch tv := v.(type) {
	case map[string]any:
		return t.parseObject(tv)
	case []any:
		list := make(listValue, len(tv))
		for i := range tv {
			n, err := t.parse(tv[i])
			if err != nil {
				return nil, err
			}
			list[i] = n
		}
		return list, nil
	}
	return literal{v}, nil
}

func (t *Template) parseObject(object map[string]any) (node, error) {
	out := make(objectValue, len(object))
	for _, key := range slices.Sorted(maps.Keys(object)) {
		name, isComputed := strings.CutSuffix(key, ".$")
		if _, twice := out[name]; twice {
			return nil, fmt.Errorf("%q is given both as it is and computed", name)
		}
		var n node
		var err error
		if isComputed {
			n, err = t.parseComputed(key, object[key])
		} else {
			n, err = t.parse(object[key])
		}
		if err != nil {
			return nil, err
		}
		out[name] = n
	}
	return out, nil
}

func (t *Template) parseComputed(field string, v any) (node, error) {
	text, ok := v.(string)
	if !ok {
		return nil, fmt.Errorf("%q is not a string, so it cannot be computed", field)
	}
	n, paths, err := parseExpression(field, text)
	t.paths = append(t.paths, paths...)
	return n, err
}

// parseExpression reads a path or a call of an intrinsic function.
func parseExpression(field, text string) (node, []*Path, error) {
	if strings.HasPrefix(text, "$") {
		p, err := ParsePath(text)
		if err != nil {
			return nil, nil, fmt.Errorf("%q: %w", field, err)
		}
		return pathValue{path: p, field: field}, []*Path{p}, nil
	}
	call, paths, err := parseCall(text)
	if err != nil {
		return nil, nil, fmt.Errorf("%q: %w", field, err)
	}
	return call, paths, nil
}
