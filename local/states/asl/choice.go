package asl

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Rule is one of a Choice state's rules.
type Rule struct {
	Next string
	test test
}

// Holds reports whether the rule's condition is met.
func (r Rule) Holds(env *Env) (bool, *Failure) { return r.test.holds(env) }

type test interface {
	holds(env *Env) (bool, *Failure)
}

type not struct{ inner test }

func (n not) holds(env *Env) (bool, *Failure) {
	ok, failure := n.inner.holds(env)
	return !ok, failure
}

// several is And (until is false) and Or (until is true): it looks until a test says so.
type several struct {
	tests []test
	until bool
}

func (s several) holds(env *Env) (bool, *Failure) {
	for _, t := range s.tests {
		ok, failure := t.holds(env)
		if failure != nil || ok == s.until {
			return ok, failure
		}
	}
	return !s.until, nil
}

// comparison is one operator on one variable.
type comparison struct {
	variable *Path
	operator string
	compare  func(v, with any) bool
	with     any
	withPath *Path // what it compares with, if that is in the input
}

func (c comparison) holds(env *Env) (bool, *Failure) {
	v, ok := c.variable.Find(env)
	if c.operator == "IsPresent" {
		if list, isList := v.([]any); isList && c.variable.many != nil {
			ok = len(list) > 0
		}
		return ok == c.with, nil
	}
	if !ok {
		return false, Fails(ErrRuntime, "Invalid path '%s': The choice state's condition path references an invalid value.", c.variable)
	}
	with := c.with
	if c.withPath != nil {
		if with, ok = c.withPath.Find(env); !ok {
			return false, Fails(ErrRuntime, "Invalid path '%s': The choice state's condition path references an invalid value.", c.withPath)
		}
	}
	return c.compare(v, with), nil
}

// operand is the type of what an operator compares with.
type operand int

const (
	aString operand = iota
	aNumber
	aBoolean
	aTimestamp
	aPattern
)

type operator struct {
	with    operand
	byPath  bool // there is a variant whose name ends in Path
	compare func(v, with any) bool
}

// operators is the table of comparison operators.
var operators = map[string]operator{
	"StringEquals":            {aString, true, ordered(strings2, func(c int) bool { return c == 0 })},
	"StringLessThan":          {aString, true, ordered(strings2, func(c int) bool { return c < 0 })},
	"StringGreaterThan":       {aString, true, ordered(strings2, func(c int) bool { return c > 0 })},
	"StringLessThanEquals":    {aString, true, ordered(strings2, func(c int) bool { return c <= 0 })},
	"StringGreaterThanEquals": {aString, true, ordered(strings2, func(c int) bool { return c >= 0 })},
	"StringMatches":           {aPattern, false, matches},

	"NumericEquals":            {aNumber, true, ordered(compareNumbers, func(c int) bool { return c == 0 })},
	"NumericLessThan":          {aNumber, true, ordered(compareNumbers, func(c int) bool { return c < 0 })},
	"NumericGreaterThan":       {aNumber, true, ordered(compareNumbers, func(c int) bool { return c > 0 })},
	"NumericLessThanEquals":    {aNumber, true, ordered(compareNumbers, func(c int) bool { return c <= 0 })},
	"NumericGreaterThanEquals": {aNumber, true, ordered(compareNumbers, func(c int) bool { return c >= 0 })},

	"TimestampEquals":            {aTimestamp, true, ordered(timestamps, func(c int) bool { return c == 0 })},
	"TimestampLessThan":          {aTimestamp, true, ordered(timestamps, func(c int) bool { return c < 0 })},
	"TimestampGreaterThan":       {aTimestamp, true, ordered(timestamps, func(c int) bool { return c > 0 })},
	"TimestampLessThanEquals":    {aTimestamp, true, ordered(timestamps, func(c int) bool { return c <= 0 })},
	"TimestampGreaterThanEquals": {aTimestamp, true, ordered(timestamps, func(c int) bool { return c >= 0 })},

	"BooleanEquals": {aBoolean, true, func(v, with any) bool {
		a, isA := v.(bool)
		b, isB := with.(bool)
		return isA && isB && a == b
	}},

	"IsPresent":   {aBoolean, false, nil}, // comparison.holds knows it
	"IsNull":      {aBoolean, false, is(func(v any) bool { return v == nil })},
	"IsBoolean":   {aBoolean, false, is(func(v any) bool { _, ok := v.(bool); return ok })},
	"IsString":    {aBoolean, false, is(func(v any) bool { _, ok := v.(string); return ok })},
	"IsNumeric":   {aBoolean, false, is(func(v any) bool { _, ok := compareNumbers(v, v); return ok })},
	"IsTimestamp": {aBoolean, false, is(func(v any) bool { _, ok := timestamps(v, v); return ok })},
}

func is(kind func(any) bool) func(v, with any) bool {
	return func(v, with any) bool { return kind(v) == with }
}

// ordered makes a comparison that is false if the two are not of the kind that order knows.
func ordered(order func(a, b any) (int, bool), want func(int) bool) func(v, with any) bool {
	return func(v, with any) bool {
		c, ok := order(v, with)
		return ok && want(c)
	}
}

func strings2(a, b any) (int, bool) {
	s, isS := a.(string)
	t, isT := b.(string)
	return strings.Compare(s, t), isS && isT
}

func compareNumbers(a, b any) (int, bool) {
	i, isI := a.(int64)
	j, isJ := b.(int64)
	if isI && isJ {
		return cmp.Compare(i, j), true
	}
	x, isX := float(a)
	y, isY := float(b)
	return cmp.Compare(x, y), isX && isY
}

func float(v any) (float64, bool) {
	switch n := v.(type) {
	case int64:
		return float64(n), true
	case float64:
		return n, true
	}
	return 0, false
}

func timestamps(a, b any) (int, bool) {
	s, isS := a.(string)
	t, isT := b.(string)
	if !isS || !isT {
		return 0, false
	}
	x, errX := ParseTimestamp(s)
	y, errY := ParseTimestamp(t)
	return x.Compare(y), errX == nil && errY == nil
}

// ParseTimestamp reads a time as the language writes it: RFC 3339 with a capital T and Z.
func ParseTimestamp(s string) (time.Time, error) {
	if strings.ContainsAny(s, "tz") {
		return time.Time{}, fmt.Errorf("%q is not a timestamp", s)
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is not a timestamp", s)
	}
	return t, nil
}

// matches compares with a pattern in which * stands for any text, \* for a star and \\ for a
// backslash.
func matches(v, with any) bool {
	s, isS := v.(string)
	pattern, isT := with.(string)
	if !isS || !isT {
		return false
	}
	var parts []string
	var part strings.Builder
	for i := 0; i < len(pattern); i++ {
		switch {
		case pattern[i] == '\\' && i+1 < len(pattern):
			i++
			part.WriteByte(pattern[i])
		case pattern[i] == '*':
			parts = append(parts, part.String())
			part.Reset()
		default:
			part.WriteByte(pattern[i])
		}
	}
	return matchParts(s, append(parts, part.String()))
}

// matchParts reports whether s is the parts with any text between them.
func matchParts(s string, parts []string) bool {
	first, last := parts[0], parts[len(parts)-1]
	if len(parts) == 1 {
		return s == first
	}
	if len(s) < len(first)+len(last) || !strings.HasPrefix(s, first) || !strings.HasSuffix(s, last) {
		return false
	}
	s = s[len(first) : len(s)-len(last)]
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s = s[i+len(part):]
	}
	return true
}

// rule reads a rule of a Choice state; only those at the top say where to go.
func (p *parser) rule(v any, top bool) (Rule, []*Path) {
	f := p.open("a choice rule", v)
	var rule Rule
	if top {
		rule.Next = f.requiredText("Next")
	}
	f.optionalText("Comment")
	var paths []*Path
	rule.test, paths = p.test(f)
	f.close()
	return rule, paths
}

func (p *parser) test(f *fields) (test, []*Path) {
	for _, name := range []string{"And", "Or"} {
		if list, ok := f.take(name); ok {
			return p.several(list, name)
		}
	}
	if inner, ok := f.take("Not"); ok {
		rule, paths := p.rule(inner, false)
		return not{rule.test}, paths
	}
	return p.comparison(f)
}

func (p *parser) several(v any, name string) (test, []*Path) {
	list, ok := v.([]any)
	if !ok || len(list) == 0 {
		p.fail("%s is not a list of choice rules", name)
	}
	s := several{until: name == "Or"}
	var all []*Path
	for _, item := range list {
		rule, paths := p.rule(item, false)
		s.tests = append(s.tests, rule.test)
		all = append(all, paths...)
	}
	return s, all
}

func (p *parser) comparison(f *fields) (test, []*Path) {
	c := comparison{variable: f.path("Variable", ParsePath)}
	if c.variable == nil {
		p.fail("a choice rule has no Variable")
		return c, nil
	}
	paths := []*Path{c.variable}
	for _, name := range slices.Sorted(maps.Keys(f.values)) {
		base, isPath := strings.CutSuffix(name, "Path")
		op, ok := operators[base]
		if !ok || isPath && !op.byPath {
			continue
		}
		if c.operator != "" {
			p.fail("a choice rule compares twice, by %s and by %s", c.operator, name)
		}
		c.operator, c.compare = name, op.compare
		if isPath {
			c.withPath = f.path(name, ParsePath)
			paths = append(paths, c.withPath)
		} else {
			c.with, _ = f.take(name)
			p.operand(name, op.with, c.with)
		}
	}
	if c.operator == "" {
		p.fail("a choice rule has no comparison that is known")
	}
	return c, slices.DeleteFunc(paths, func(p *Path) bool { return p == nil })
}

func (p *parser) operand(name string, kind operand, v any) {
	ok := false
	switch kind {
	case aString:
		_, ok = v.(string)
	case aPattern:
		var s string
		s, ok = v.(string)
		ok = ok && !strings.Contains(strings.NewReplacer(`\\`, "", `\*`, "").Replace(s), `\`)
	case aNumber:
		_, ok = float(v)
	case aBoolean:
		_, ok = v.(bool)
	case aTimestamp:
		_, ok = timestamps(v, v)
	}
	if !ok {
		p.fail("%s compares with a value of the wrong kind", name)
	}
}
