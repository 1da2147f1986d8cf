package dynamocloud

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

// expressions are a request's placeholders and which of them its expressions used.
type expressions struct {
	names  map[string]string
	values map[string]value
	used   map[string]bool
}

func newExpressions(names map[string]string, values map[string]value) (*expressions, error) {
	for _, v := range values {
		if err := v.validate(); err != nil {
			return nil, err
		}
	}
	return &expressions{names: names, values: values, used: map[string]bool{}}, nil
}

// finish refuses placeholders that no expression used, as DynamoDB does.
func (e *expressions) finish() error {
	for kind, defined := range map[string][]string{
		"ExpressionAttributeNames": slices.Sorted(maps.Keys(e.names)), "ExpressionAttributeValues": slices.Sorted(maps.Keys(e.values)),
	} {
		unused := slices.DeleteFunc(defined, func(name string) bool { return e.used[name] })
		if len(unused) > 0 {
			return invalid("Value provided in %s unused in expressions: keys: {%s}", kind, strings.Join(unused, ", "))
		}
	}
	return nil
}

// term is one test of an attribute. Expressions are terms joined by AND.
type term struct {
	operator  string // "=", "<", "<=", ">", ">=", "BETWEEN", "begins_with", "attribute_exists", "attribute_not_exists"
	attribute string
	operands  []value
}

var token = regexp.MustCompile(`^\s*([#:]?[A-Za-z_][A-Za-z0-9_]*|<=|>=|[=<>(),])`)

// parser reads one expression.
type parser struct {
	*expressions
	kind   string // "ConditionExpression", "KeyConditionExpression"
	tokens []string
	next   int
	failed error
}

// parse reads terms joined by AND.
func (e *expressions) parse(kind, text string) ([]term, error) {
	p := &parser{expressions: e, kind: kind}
	for rest := strings.TrimSpace(text); rest != ""; {
		m := token.FindStringSubmatch(rest)
		if m == nil {
			return nil, p.fail("token", rest)
		}
		p.tokens, rest = append(p.tokens, m[1]), strings.TrimSpace(rest[len(m[0]):])
	}
	terms := []term{p.term()}
	for p.failed == nil && p.next < len(p.tokens) {
		p.word("AND")
		terms = append(terms, p.term())
	}
	return terms, p.failed
}

func (p *parser) fail(what, near string) error {
	if p.failed == nil {
		p.failed = invalid("Invalid %s: Syntax error; %s: %q; the pocket DynamoDB knows comparisons, BETWEEN, begins_with, "+
			"attribute_exists and attribute_not_exists, joined by AND", p.kind, what, near)
	}
	return p.failed
}

func (p *parser) take() string {
	if p.next == len(p.tokens) {
		p.fail("token", "<EOF>") //nolint:errcheck // it is kept
		return ""
	}
	p.next++
	return p.tokens[p.next-1]
}

func (p *parser) word(want string) {
	if got := p.take(); !strings.EqualFold(got, want) {
		p.fail("token", got) //nolint:errcheck // it is kept
	}
}

// functions are the operators that are written before their operands, with the number of
// values behind the attribute.
var functions = map[string]int{"begins_with": 1, "attribute_exists": 0, "attribute_not_exists": 0}

func (p *parser) term() term {
	first := p.take()
	if values, ok := functions[first]; ok {
		p.word("(")
		t := term{operator: first, attribute: p.attribute(p.take())}
		for range values {
			p.word(",")
			t.operands = append(t.operands, p.value())
		}
		p.word(")")
		return t
	}
	t := term{attribute: p.attribute(first), operator: strings.ToUpper(p.take())}
	switch t.operator {
	case "=", "<", "<=", ">", ">=":
		t.operands = []value{p.value()}
	case "BETWEEN":
		t.operands = []value{p.value()}
		p.word("AND")
		t.operands = append(t.operands, p.value())
	default:
		p.fail("operator", t.operator) //nolint:errcheck // it is kept
	}
	return t
}

func (p *parser) attribute(text string) string {
	if !strings.HasPrefix(text, "#") {
		if text == "" || !regexp.MustCompile(`^[A-Za-z_]`).MatchString(text) {
			p.fail("attribute", text) //nolint:errcheck // it is kept
		}
		return text
	}
	name, ok := p.names[text]
	if !ok && p.failed == nil {
		p.failed = invalid("Invalid %s: An expression attribute name used in the document path is not defined; attribute name: %s", p.kind, text)
	}
	p.used[text] = true
	return name
}

func (p *parser) value() value {
	text := p.take()
	v, ok := p.values[text]
	if !ok && p.failed == nil {
		p.failed = invalid("Invalid %s: An expression attribute value used in expression is not defined; attribute value: %s", p.kind, text)
	}
	p.used[text] = true
	return v
}

// holds evaluates a condition on a stored item, nil for none.
func holds(terms []term, stored item) bool {
	for _, t := range terms {
		got, exists := stored[t.attribute]
		switch {
		case t.operator == "attribute_exists" && !exists, t.operator == "attribute_not_exists" && exists:
			return false
		case t.operator == "=" && (!exists || !got.equal(t.operands[0])):
			return false
		}
	}
	return true
}

// condition reads a ConditionExpression.
func (e *expressions) condition(text string) ([]term, error) {
	if text == "" {
		return nil, nil
	}
	terms, err := e.parse("ConditionExpression", text)
	if err != nil {
		return nil, err
	}
	for _, t := range terms {
		if !slices.Contains([]string{"=", "attribute_exists", "attribute_not_exists"}, t.operator) {
			return nil, invalid("Invalid ConditionExpression: the pocket DynamoDB does not have %s in conditions of writes", t.operator)
		}
	}
	return terms, nil
}

// keyCondition reads a KeyConditionExpression: the partition, and which of its sort keys.
func (e *expressions) keyCondition(text string, s schema) (pk string, bounds span, err error) {
	terms, err := e.parse("KeyConditionExpression", text)
	if err != nil {
		return "", bounds, err
	}
	seen := map[string]bool{}
	for _, t := range terms {
		for _, v := range t.operands {
			if v.S == nil {
				return "", bounds, invalid("One or more parameter values were invalid: Condition parameter type does not match schema type")
			}
			if *v.S == "" {
				return "", bounds, invalid("One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain "+
					"an empty string value. Key: %s", t.attribute)
			}
		}
		switch {
		case seen[t.attribute]:
			return "", bounds, invalid("KeyConditionExpressions must only contain one condition per key")
		case t.attribute == s.Hash && t.operator == "=":
			pk = *t.operands[0].S
		case t.attribute == s.Range:
			if bounds, err = t.span(); err != nil {
				return "", bounds, err
			}
		default:
			return "", bounds, invalid("Query key condition not supported")
		}
		seen[t.attribute] = true
	}
	if !seen[s.Hash] {
		return "", bounds, invalid("Query condition missed key schema element: %s", s.Hash)
	}
	return pk, bounds, nil
}

// span is a range of sort keys: low <= key < high; an empty high is open.
type span struct{ low, high string }

// span is the sort keys that satisfy the term. A zero byte behind a key makes the next key.
func (t term) span() (span, error) {
	if len(t.operands) == 0 {
		return span{}, invalid("Invalid KeyConditionExpression: Invalid operator used in KeyConditionExpression: %s", t.operator)
	}
	low := *t.operands[0].S
	switch t.operator {
	case "=":
		return span{low, low + "\x00"}, nil
	case "<":
		return span{"", low}, nil
	case "<=":
		return span{"", low + "\x00"}, nil
	case ">":
		return span{low + "\x00", ""}, nil
	case ">=":
		return span{low, ""}, nil
	case "begins_with":
		return span{low, string(following([]byte(low)))}, nil
	}
	high := *t.operands[1].S // BETWEEN
	if low > high {
		return span{}, invalid("Invalid KeyConditionExpression: The BETWEEN operator requires upper bound to be greater than or equal to lower bound")
	}
	return span{low, high + "\x00"}, nil
}
