package feed

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Filter lets a record through if one of its patterns matches. Without patterns everything passes.
type Filter struct{ patterns []pattern }

// maxPatterns is how many a mapping may have, unless AWS raises its quota.
const maxPatterns = 5

// ParseFilter reads patterns in the language of Amazon EventBridge. Of its comparisons it knows equality
// of strings, null, "prefix" and "exists"; it refuses any other, so that nothing passes or stops here
// that would not do so in AWS.
func ParseFilter(patterns ...string) (Filter, error) {
	if len(patterns) > maxPatterns {
		return Filter{}, fmt.Errorf("feed: a mapping has at most %d patterns", maxPatterns)
	}
	var f Filter
	for _, text := range patterns {
		var members map[string]any
		if err := json.Unmarshal([]byte(text), &members); err != nil {
			return Filter{}, fmt.Errorf("feed: the pattern %s is no JSON object: %w", text, err)
		}
		p, err := parsePattern(members)
		if err != nil {
			return Filter{}, fmt.Errorf("feed: the pattern %s: %w", text, err)
		}
		f.patterns = append(f.patterns, p)
	}
	return f, nil
}

// Matches reports whether an event passes.
func (f Filter) Matches(event []byte) (bool, error) {
	if len(f.patterns) == 0 {
		return true, nil
	}
	var members map[string]any
	if err := json.Unmarshal(event, &members); err != nil {
		return false, err
	}
	return slices.ContainsFunc(f.patterns, func(p pattern) bool { return p.matches(members) }), nil
}

// pattern demands something of each of the members that it names.
type pattern map[string]demand

// demand is what is demanded of one member: that it is an object which matches, or a value for which
// one of the comparisons holds. present is false for a member that is not there.
type demand func(value any, present bool) bool

func parsePattern(members map[string]any) (pattern, error) {
	if len(members) == 0 {
		return nil, errors.New("it names nothing")
	}
	p := pattern{}
	for name, wanted := range members {
		var err error
		switch wanted := wanted.(type) {
		case map[string]any:
			p[name], err = nested(wanted)
		case []any:
			p[name], err = anyOf(wanted)
		default:
			err = errors.New("a value is a list of what it may be")
		}
		if name == "$or" {
			err = errors.New("$or is not known here")
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return p, nil
}

func nested(members map[string]any) (demand, error) {
	p, err := parsePattern(members)
	return func(value any, _ bool) bool {
		object, _ := value.(map[string]any)
		return p.matches(object) // of no object nothing is there, which is what may be demanded
	}, err
}

func (p pattern) matches(object map[string]any) bool {
	for name, holds := range p {
		if value, present := object[name]; !holds(value, present) {
			return false
		}
	}
	return true
}

func anyOf(wanted []any) (demand, error) {
	var comparisons []demand
	for _, w := range wanted {
		c, err := comparison(w)
		if err != nil {
			return nil, err
		}
		comparisons = append(comparisons, c)
	}
	return func(value any, present bool) bool {
		return slices.ContainsFunc(comparisons, func(holds demand) bool { return holds(value, present) })
	}, nil
}

func comparison(wanted any) (demand, error) {
	switch wanted := wanted.(type) {
	case nil:
		return func(value any, present bool) bool { return present && value == nil }, nil
	case string:
		return ofText(func(s string) bool { return s == wanted }), nil
	case map[string]any:
		if prefix, ok := wanted["prefix"].(string); ok && len(wanted) == 1 {
			return ofText(func(s string) bool { return strings.HasPrefix(s, prefix) }), nil
		}
		if exists, ok := wanted["exists"].(bool); ok && len(wanted) == 1 {
			return func(value any, present bool) bool {
				_, isObject := value.(map[string]any)
				return (present && !isObject) == exists // of values only, not of what has members
			}, nil
		}
	}
	return nil, fmt.Errorf("the comparison %v is not known here", wanted)
}

// ofText demands something of a text, or of one in a list.
func ofText(holds func(string) bool) demand {
	return func(value any, _ bool) bool {
		switch v := value.(type) {
		case string:
			return holds(v)
		case []any:
			return slices.ContainsFunc(v, func(element any) bool { s, ok := element.(string); return ok && holds(s) })
		}
		return false
	}
}
