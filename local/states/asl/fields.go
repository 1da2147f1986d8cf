package asl

import (
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// fields hands out an object's members one by one, so that what nobody asked for is noticed.
type fields struct {
	p      *parser
	what   string
	values map[string]any
	// paths are the paths that were read, for the checks that need to know all of them.
	paths []*Path
}

// open starts reading an object.
func (p *parser) open(what string, v any) *fields {
	object, ok := v.(map[string]any)
	if !ok {
		p.fail("%s is not an object", what)
	}
	return &fields{p: p, what: what, values: maps.Clone(object)}
}

// close complains about the members that were not asked for.
func (f *fields) close() {
	for _, name := range slices.Sorted(maps.Keys(f.values)) {
		f.p.fail("%s has the field %q, which is unknown or not supported there", f.what, name)
	}
}

func (f *fields) take(name string) (any, bool) {
	v, ok := f.values[name]
	delete(f.values, name)
	return v, ok
}

func (f *fields) has(name string) bool {
	_, ok := f.values[name]
	return ok
}

func (f *fields) optionalText(name string) string {
	v, ok := f.take(name)
	if !ok {
		return ""
	}
	s, ok := v.(string)
	if !ok {
		f.p.fail("%s is not a string", name)
	}
	return s
}

func (f *fields) requiredText(name string) string {
	if !f.has(name) {
		f.p.fail("%s has no %s", f.what, name)
		return ""
	}
	s := f.optionalText(name)
	if s == "" {
		f.p.fail("%s is empty", name)
	}
	return s
}

func (f *fields) oneOf(name string, choices ...string) string {
	v, ok := f.take(name)
	if !ok {
		return choices[0]
	}
	s, _ := v.(string)
	if !slices.Contains(choices, s) {
		f.p.fail("%s is none of %s", name, strings.Join(choices, ", "))
	}
	return s
}

func (f *fields) list(name string) []any {
	v, ok := f.take(name)
	if !ok {
		return nil
	}
	list, ok := v.([]any)
	if !ok || len(list) == 0 {
		f.p.fail("%s is not a list with something in it", name)
	}
	return list
}

func (f *fields) integer(name string, absent, least, most int64) int64 {
	v, ok := f.take(name)
	if !ok {
		return absent
	}
	n, ok := v.(int64)
	if !ok || n < least || n > most {
		f.p.fail("%s is not an integer from %d to %d", name, least, most)
		return absent
	}
	return n
}

func (f *fields) float(name string, absent, least float64) float64 {
	v, ok := f.take(name)
	if !ok {
		return absent
	}
	n, ok := float(v)
	if !ok || n < least || math.IsInf(n, 0) {
		f.p.fail("%s is not a number from %v upwards", name, least)
		return absent
	}
	return n
}

func (f *fields) boolean(name string) bool {
	v, ok := f.take(name)
	b, isBool := v.(bool)
	if ok && !isBool {
		f.p.fail("%s is neither true nor false", name)
	}
	return b
}

// path reads a member that is a path; nil if there is none or it is bad.
func (f *fields) path(name string, parse func(string) (*Path, error)) *Path {
	v, ok := f.take(name)
	if !ok {
		return nil
	}
	s, ok := v.(string)
	if !ok {
		f.p.fail("%s is not a path", name)
		return nil
	}
	path, err := parse(s)
	if err != nil {
		f.p.fail("%s: %v", name, err)
		return nil
	}
	f.paths = append(f.paths, path)
	return path
}

// isNull consumes a member that is null.
func (f *fields) isNull(name string) bool {
	v, ok := f.values[name]
	if !ok || v != nil {
		return false
	}
	delete(f.values, name)
	return true
}

func (f *fields) filter(name string) Filter {
	if f.isNull(name) {
		return Filter{drop: true}
	}
	return Filter{path: f.path(name, ParsePath)}
}

func (f *fields) target(name string) Target {
	if f.isNull(name) {
		return Target{drop: true}
	}
	path := f.path(name, ParseReference)
	if path != nil && path.inContext {
		f.p.fail("%s: the context object cannot be written", name)
	}
	return Target{path: path}
}

func (f *fields) template(name string) *Template {
	v, ok := f.take(name)
	if !ok {
		return nil
	}
	t, err := ParseTemplate(v)
	if err != nil {
		f.p.fail("%s: %v", name, err)
		return nil
	}
	f.paths = append(f.paths, t.paths...)
	return t
}

// seconds reads a positive number of seconds, or the path to one.
func (f *fields) seconds(name string) Seconds {
	if f.has(name) && f.has(name+"Path") {
		f.p.fail("%s has both %s and %sPath", f.what, name, name)
	}
	return Seconds{
		Fixed: f.integer(name, 0, 1, maxSeconds),
		Path:  f.path(name+"Path", ParseReference),
	}
}

// textOrPath reads a string, or the path or function that computes it.
func (f *fields) textOrPath(name string) Text {
	computed, ok := f.take(name + "Path")
	if !ok {
		return Text{Fixed: f.optionalText(name)}
	}
	if f.has(name) {
		f.p.fail("%s has both %s and %sPath", f.what, name, name)
	}
	expression, _ := computed.(string)
	n, paths, err := parseExpression(name+"Path", expression)
	if err != nil {
		f.p.fail("%v", err)
	}
	f.paths = append(f.paths, paths...)
	return Text{computed: n}
}

// Of evaluates the text.
func (t Text) Of(env *Env) (string, *Failure) {
	if t.computed == nil {
		return t.Fixed, nil
	}
	v, failure := t.computed.eval(env)
	if failure != nil {
		return "", Fails(ErrRuntime, "%s", failure.Cause)
	}
	s, ok := v.(string)
	if !ok {
		return "", Fails(ErrRuntime, "The value of ErrorPath or CausePath is not a string")
	}
	return s, nil
}

// Of evaluates the number of seconds; 0 is none.
func (s Seconds) Of(field string, env *Env) (time.Duration, *Failure) {
	if s.Path == nil {
		return time.Duration(s.Fixed) * time.Second, nil
	}
	return secondsAt(s.Path, field, env, 1)
}

func secondsAt(path *Path, field string, env *Env, least int64) (time.Duration, *Failure) {
	v, ok := path.Find(env)
	n, isInt := v.(int64)
	if !ok || !isInt || n < least || n > maxSeconds {
		return 0, Fails(ErrRuntime, "The %s parameter '%s' does not reference an integer from %d to %d", field, path, least, maxSeconds)
	}
	return time.Duration(n) * time.Second, nil
}

// From is when a wait that begins at now ends.
func (w WaitUntil) From(now time.Time, env *Env) (time.Time, *Failure) {
	switch {
	case w.Seconds != nil:
		return now.Add(time.Duration(*w.Seconds) * time.Second), nil
	case w.SecondsPath != nil:
		d, failure := secondsAt(w.SecondsPath, "SecondsPath", env, 0)
		return now.Add(d), failure
	case w.TimestampPath != nil:
		v, _ := w.TimestampPath.Find(env)
		s, _ := v.(string)
		t, err := ParseTimestamp(s)
		if err != nil {
			return t, Fails(ErrRuntime, "The TimestampPath parameter '%s' does not reference a valid ISO-8601 timestamp", w.TimestampPath)
		}
		return t, nil
	}
	return w.Timestamp, nil
}
