package template

import (
	"encoding/json"
	"strconv"
	"strings"
)

// expression computes a value. A missing one is nil.
type expression func(r *run) (any, error)

// space skips white space.
func (p *parser) space() {
	p.at += len(p.rest()) - len(strings.TrimLeft(p.rest(), " \t\r\n"))
}

// take skips a token if it is next.
func (p *parser) take(token string) bool {
	if !strings.HasPrefix(p.rest(), token) {
		return false
	}
	p.at += len(token)
	return true
}

// operator skips white space and the first of the operators that is next.
func (p *parser) operator(operators ...string) string {
	p.space()
	for _, o := range operators {
		if p.take(o) {
			return o
		}
	}
	return ""
}

func (p *parser) name() string {
	end := 0
	for end < len(p.rest()) && isNameByte(p.rest()[end], end == 0) {
		end++
	}
	name := p.rest()[:end]
	p.at += end
	return name
}

func isNameByte(b byte, first bool) bool {
	return b == '_' || 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || !first && '0' <= b && b <= '9'
}

// expression reads alternatives (||), each of conditions that all must hold (&&), each a
// comparison.
func (p *parser) expression() (expression, error) {
	if err := p.nest(); err != nil {
		return nil, err
	}
	defer func() { p.depth-- }()
	return p.chain(true, func() (expression, error) { return p.chain(false, p.comparison, "&&") }, "||")
}

// chain reads operands between which an operator stands; the first whose truth is decisive
// decides.
func (p *parser) chain(decisive bool, operand func() (expression, error), operator string) (expression, error) {
	first, err := operand()
	if err != nil {
		return nil, err
	}
	operands := []expression{first}
	for p.operator(operator) != "" {
		next, err := operand()
		if err != nil {
			return nil, err
		}
		operands = append(operands, next)
	}
	if len(operands) == 1 {
		return first, nil
	}
	return func(r *run) (any, error) {
		for _, o := range operands {
			if holds, err := truth(r, o); err != nil || holds == decisive {
				return decisive, err
			}
		}
		return !decisive, nil
	}, nil
}

func (p *parser) comparison() (expression, error) {
	left, err := p.unary()
	if err != nil {
		return nil, err
	}
	o := p.operator("==", "!=", "=")
	if o == "" {
		return left, nil
	}
	right, err := p.unary()
	if err != nil {
		return nil, err
	}
	return func(r *run) (any, error) {
		same, err := equal(r, left, right)
		return same == (o != "!="), err
	}, nil
}

func (p *parser) unary() (expression, error) {
	if p.operator("!") == "" {
		return p.postfix()
	}
	if err := p.nest(); err != nil {
		return nil, err
	}
	defer func() { p.depth-- }()
	e, err := p.unary()
	if err != nil {
		return nil, err
	}
	return func(r *run) (any, error) {
		holds, err := truth(r, e)
		return !holds, err
	}, nil
}

// postfix reads a value and what is done to it: members, elements, built-ins, defaults, whether
// it is there.
func (p *parser) postfix() (expression, error) {
	p.space()
	variable := p.peekName()
	e, err := p.primary()
	if err != nil {
		return nil, err
	}
	for {
		switch {
		case p.take("."):
			name := p.name()
			if name == "" {
				return nil, p.malformed("a member has no name")
			}
			e = member(e, func(*run) (any, error) { return name, nil })
		case p.take("["):
			key, err := p.expression()
			if err != nil {
				return nil, err
			}
			if p.operator("]") == "" {
				return nil, p.malformed("an index has no end")
			}
			e = member(e, key)
		case p.take("??"):
			e = isThere(e)
		case p.take("?"):
			built, ok := builtIn(p.name(), variable, e)
			if !ok {
				return nil, p.malformed("a built-in is unknown")
			}
			e = built
		case strings.HasPrefix(p.rest(), "!") && !strings.HasPrefix(p.rest(), "!="):
			p.at++
			if e, err = p.withDefault(e); err != nil {
				return nil, err
			}
		default:
			return e, nil
		}
		variable = ""
	}
}

func (p *parser) peekName() string {
	name := p.name()
	p.at -= len(name)
	return name
}

// withDefault reads the value that stands in for a missing one; nothing is the empty text.
func (p *parser) withDefault(e expression) (expression, error) {
	instead := func(*run) (any, error) { return "", nil }
	if rest := p.rest(); rest != "" && (strings.ContainsRune(`'"([`, rune(rest[0])) || isNameByte(rest[0], true) || '0' <= rest[0] && rest[0] <= '9') {
		read, err := p.primary()
		if err != nil {
			return nil, err
		}
		instead = read
	}
	return func(r *run) (any, error) {
		v, err := e(r)
		if err != nil || v != nil {
			return v, err
		}
		return instead(r)
	}, nil
}

// primary reads a literal, a variable, a call of a helper, or an expression in brackets.
func (p *parser) primary() (expression, error) {
	p.space()
	if p.rest() == "" {
		return nil, p.malformed("an expression has no end")
	}
	switch c := p.rest()[0]; {
	case c == '"' || c == '\'':
		s, err := p.quoted()
		return constant(s), err
	case '0' <= c && c <= '9':
		return p.number()
	case c == '(':
		p.at++
		e, err := p.expression()
		if err == nil && p.operator(")") == "" {
			err = p.malformed("a bracket has no end")
		}
		return e, err
	case c == '[':
		p.at++
		elements, err := p.expressions("]")
		return func(r *run) (any, error) { return evaluate(r, elements) }, err
	}
	for _, helper := range []string{"re.group(", "re.findAllGroup("} {
		if p.take(helper) {
			arguments, err := p.expressions(")")
			return matched(arguments, helper == "re.findAllGroup("), err
		}
	}
	switch name := p.name(); name {
	case "":
		return nil, p.malformed("an expression is missing")
	case "true", "false":
		return constant(name == "true"), nil
	default:
		return func(r *run) (any, error) { return r.lookup(name), r.step() }, nil
	}
}

func constant(v any) expression { return func(*run) (any, error) { return v, nil } }

// expressions reads expressions between commas, and their end.
func (p *parser) expressions(end string) ([]expression, error) {
	var all []expression
	for {
		if p.operator(end) != "" {
			return all, nil
		}
		if len(all) > 0 && p.operator(",") == "" {
			return nil, p.malformed("a list of values has no end")
		}
		e, err := p.expression()
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
}

// quoted reads a text in quotation marks. An escape that is unknown stands for itself, so that
// regular expressions need not be escaped twice.
func (p *parser) quoted() (string, error) {
	mark := p.rest()[0]
	var b strings.Builder
	for i := 1; i < len(p.rest()); i++ {
		c := p.rest()[i]
		if c == mark {
			p.at += i + 1
			return b.String(), nil
		}
		if c != '\\' || i+1 == len(p.rest()) {
			b.WriteByte(c)
			continue
		}
		i++
		switch next := p.rest()[i]; next {
		case '"', '\'', '\\', '{', '$':
			b.WriteByte(next)
		case 'n':
			b.WriteByte('\n')
		case 't':
			b.WriteByte('\t')
		default:
			b.WriteByte('\\')
			b.WriteByte(next)
		}
	}
	return "", p.malformed("a text has no end")
}

func (p *parser) number() (expression, error) {
	end := strings.IndexFunc(p.rest(), func(c rune) bool { return (c < '0' || c > '9') && c != '.' })
	if end < 0 {
		end = len(p.rest())
	}
	n := p.rest()[:end]
	if _, err := strconv.ParseFloat(n, 64); err != nil || !json.Valid([]byte(n)) {
		return nil, p.malformed("a number is none")
	}
	p.at += end
	return constant(json.Number(n)), nil
}
