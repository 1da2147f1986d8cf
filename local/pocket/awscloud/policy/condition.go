package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Condition is one test of a statement: every condition of a statement must hold.
type Condition struct {
	test     test
	key      string // in lower case
	values   []string
	ifExists bool // holds when the request has no such key
	set      set
	null     bool // the operator Null, which asks for the key itself
}

// set says how a condition treats a key with several values.
type set int

const (
	anyOf set = iota // the plain operators; also ForAnyValue
	allOf            // ForAllValues
)

// test compares one value of the request with one of the policy. Negated operators hold when
// none of the policy's values matches.
type test struct {
	matches func(want, got string) bool
	negated bool
}

// tests is the one table of operators.
var tests = map[string]test{
	"StringEquals":              {matches: equal},
	"StringNotEquals":           {matches: equal, negated: true},
	"StringEqualsIgnoreCase":    {matches: strings.EqualFold},
	"StringNotEqualsIgnoreCase": {matches: strings.EqualFold, negated: true},
	"StringLike":                {matches: Match},
	"StringNotLike":             {matches: Match, negated: true},
	"Bool":                      {matches: strings.EqualFold},
	"IpAddress":                 {matches: inNetwork},
	"NotIpAddress":              {matches: inNetwork, negated: true},
	"ArnEquals":                 {matches: matchARN},
	"ArnLike":                   {matches: matchARN},
	"ArnNotEquals":              {matches: matchARN, negated: true},
	"ArnNotLike":                {matches: matchARN, negated: true},
	"NumericEquals":             {matches: number(func(want, got float64) bool { return got == want })},
	"NumericNotEquals":          {matches: number(func(want, got float64) bool { return got == want }), negated: true},
	"NumericLessThan":           {matches: number(func(want, got float64) bool { return got < want })},
	"NumericLessThanEquals":     {matches: number(func(want, got float64) bool { return got <= want })},
	"NumericGreaterThan":        {matches: number(func(want, got float64) bool { return got > want })},
	"NumericGreaterThanEquals":  {matches: number(func(want, got float64) bool { return got >= want })},
	"DateEquals":                {matches: date(func(want, got time.Time) bool { return got.Equal(want) })},
	"DateNotEquals":             {matches: date(func(want, got time.Time) bool { return got.Equal(want) }), negated: true},
	"DateLessThan":              {matches: date(func(want, got time.Time) bool { return got.Before(want) })},
	"DateLessThanEquals":        {matches: date(func(want, got time.Time) bool { return !got.After(want) })},
	"DateGreaterThan":           {matches: date(func(want, got time.Time) bool { return got.After(want) })},
	"DateGreaterThanEquals":     {matches: date(func(want, got time.Time) bool { return !got.Before(want) })},
}

func conditions(raw map[string]map[string]oneOrMany[scalar]) ([]Condition, error) {
	var all []Condition
	for operator, byKey := range raw {
		for key, values := range byKey {
			c, err := condition(operator, key)
			if err != nil {
				return nil, err
			}
			for _, v := range values {
				c.values = append(c.values, string(v))
			}
			all = append(all, c)
		}
	}
	return all, nil
}

func condition(operator, key string) (Condition, error) {
	c := Condition{key: strings.ToLower(key)}
	name, isAll := strings.CutPrefix(operator, "ForAllValues:")
	if isAll {
		c.set = allOf
	}
	name = strings.TrimPrefix(name, "ForAnyValue:")
	name, c.ifExists = strings.CutSuffix(name, "IfExists")
	if name == "Null" && name == operator {
		c.null = true
		return c, nil
	}
	t, ok := tests[name]
	if !ok {
		return c, fmt.Errorf("invalid condition type %s", operator)
	}
	c.test = t
	return c, nil
}

// holds evaluates the condition. A key that the request does not have fails every plain
// operator and passes every negated one.
func (c Condition) holds(context map[string][]string) bool {
	got, has := context[c.key]
	has = has && len(got) > 0
	if c.null {
		return slices.ContainsFunc(c.values, func(want string) bool { return strings.EqualFold(want, strconv.FormatBool(!has)) })
	}
	if !has {
		return c.ifExists || c.test.negated || c.set == allOf
	}
	if c.set == allOf {
		return !slices.ContainsFunc(got, func(v string) bool { return !c.fits(v) })
	}
	return slices.ContainsFunc(got, c.fits)
}

func (c Condition) fits(got string) bool {
	matched := slices.ContainsFunc(c.values, func(want string) bool { return c.test.matches(want, got) })
	return matched != c.test.negated
}

func equal(want, got string) bool { return want == got }

// matchARN matches each of the six parts of an ARN for itself, so that a * does not reach
// over a colon.
func matchARN(want, got string) bool {
	wants, gots := strings.SplitN(want, ":", 6), strings.SplitN(got, ":", 6)
	if len(wants) != 6 || len(gots) != 6 {
		return want == "*"
	}
	for i := range wants {
		if !Match(wants[i], gots[i]) {
			return false
		}
	}
	return true
}

func inNetwork(want, got string) bool {
	ip, err := netip.ParseAddr(got)
	if err != nil {
		return false
	}
	if prefix, err := netip.ParsePrefix(want); err == nil {
		return prefix.Contains(ip.Unmap())
	}
	single, err := netip.ParseAddr(want)
	return err == nil && single == ip.Unmap()
}

func number(holds func(want, got float64) bool) func(string, string) bool {
	return func(want, got string) bool {
		w, err1 := strconv.ParseFloat(want, 64)
		g, err2 := strconv.ParseFloat(got, 64)
		return err1 == nil && err2 == nil && holds(w, g)
	}
}

func date(holds func(want, got time.Time) bool) func(string, string) bool {
	return func(want, got string) bool {
		w, err1 := parseDate(want)
		g, err2 := parseDate(got)
		return err1 == nil && err2 == nil && holds(w, g)
	}
}

// parseDate reads the forms of ISO 8601 that IAM documents, and seconds since 1970.
func parseDate(s string) (time.Time, error) {
	if seconds, err := strconv.ParseInt(s, 10, 64); err == nil {
		return time.Unix(seconds, 0), nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	return time.Parse(time.DateOnly, s)
}
