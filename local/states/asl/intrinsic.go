package asl

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxNesting is how deep calls may stand in each other; Step Functions' own limit.
const maxNesting = 10

// call is a call of an intrinsic function.
type call struct {
	fn   function
	args []node
}

func (c call) eval(env *Env) (any, *Failure) {
	args := make([]any, len(c.args))
	for i, arg := range c.args {
		v, failure := arg.eval(env)
		if failure != nil {
			return nil, Fails(ErrIntrinsicFailure, "The function '%s' had the following error: %s", c.fn.name, failure.Cause)
		}
		args[i] = v
	}
	v, err := c.fn.apply(args, env)
	if err != nil {
		return nil, Fails(ErrIntrinsicFailure, "The function '%s' had the following error: %v", c.fn.name, err)
	}
	return v, nil
}

// parseCall reads "States.Name(argument, …)".
func parseCall(text string) (node, []*Path, error) {
	p := &callParser{text: text}
	n, err := p.call(1)
	if err != nil {
		return nil, nil, fmt.Errorf("%q: %w", text, err)
	}
	p.space()
	if p.at < len(p.text) {
		return nil, nil, fmt.Errorf("%q goes on after its end", text)
	}
	return n, p.paths, nil
}

type callParser struct {
	text  string
	at    int
	paths []*Path
}

func (p *callParser) space() {
	for p.at < len(p.text) && p.text[p.at] == ' ' {
		p.at++
	}
}

// accept consumes one character if it is next.
func (p *callParser) accept(c byte) bool {
	p.space()
	if p.at < len(p.text) && p.text[p.at] == c {
		p.at++
		return true
	}
	return false
}

func (p *callParser) call(depth int) (node, error) {
	if depth > maxNesting {
		return nil, fmt.Errorf("calls are nested deeper than %d", maxNesting)
	}
	open := strings.IndexByte(p.text[p.at:], '(')
	if open < 0 {
		return nil, errors.New("it is neither a path nor a call of an intrinsic function")
	}
	name := p.text[p.at : p.at+open]
	fn, ok := functions[name]
	if !ok {
		return nil, fmt.Errorf("there is no intrinsic function %q", name)
	}
	p.at += open + 1
	args, err := p.arguments(depth)
	if err != nil {
		return nil, err
	}
	fn.name = name
	if len(args) < fn.least || fn.most >= 0 && len(args) > fn.most {
		return nil, fmt.Errorf("%s does not take %d arguments", name, len(args))
	}
	for i, arg := range args {
		// The pattern of States.Format keeps its escaped braces until it is filled in.
		if l, ok := arg.(literal); ok && (i > 0 || name != "States.Format") {
			args[i] = literal{plain(l.value)}
		}
	}
	return call{fn: fn, args: args}, nil
}

func (p *callParser) arguments(depth int) ([]node, error) {
	var args []node
	if p.accept(')') {
		return nil, nil
	}
	for {
		p.space()
		arg, err := p.argument(depth)
		if err != nil {
			return nil, err
		}
		args = append(args, arg)
		if p.accept(')') {
			return args, nil
		}
		if !p.accept(',') {
			return nil, errors.New("a comma or a closing bracket is missing")
		}
	}
}

func (p *callParser) argument(depth int) (node, error) {
	rest := p.text[p.at:]
	switch {
	case strings.HasPrefix(rest, "'"):
		return p.quoted()
	case strings.HasPrefix(rest, "$"):
		return p.path()
	case strings.HasPrefix(rest, "States."):
		return p.call(depth + 1)
	}
	end := strings.IndexAny(rest, ",) ")
	if end < 0 {
		return nil, errors.New("a closing bracket is missing")
	}
	word := rest[:end]
	p.at += end
	switch word {
	case "true", "false":
		return literal{word == "true"}, nil
	case "null":
		return literal{nil}, nil
	}
	if i, err := strconv.ParseInt(word, 10, 64); err == nil {
		return literal{i}, nil
	}
	// Through JSON's grammar, so that NaN, Inf and hexadecimal digits are no numbers.
	if v, err := Unmarshal([]byte(word)); err == nil {
		if f, ok := v.(float64); ok {
			return literal{f}, nil
		}
	}
	return nil, fmt.Errorf("the argument %q is neither a string, a number, a path nor a call", word)
}

// quoted reads a string. In it \' \{ \} and \\ stand for the character itself; the escapes of
// braces are left for States.Format.
func (p *callParser) quoted() (node, error) {
	var s strings.Builder
	for i := p.at + 1; i < len(p.text); i++ {
		switch c := p.text[i]; c {
		case '\'':
			p.at = i + 1
			if !utf8.ValidString(s.String()) {
				return nil, errors.New("a string is not UTF-8")
			}
			return literal{s.String()}, nil
		case '\\':
			i++
			if i == len(p.text) || !strings.ContainsRune(`'{}\`, rune(p.text[i])) {
				return nil, errors.New(`only ' { } and \ are escaped in a string`)
			}
			if p.text[i] != '\'' {
				s.WriteByte('\\')
			}
			s.WriteByte(p.text[i])
		default:
			s.WriteByte(c)
		}
	}
	return nil, errors.New("a string does not end")
}

// path reads a path up to the comma or bracket that ends the argument.
func (p *callParser) path() (node, error) {
	rest := p.text[p.at:]
	end, depth, quote := -1, 0, byte(0)
	for i := 0; i < len(rest) && end < 0; i++ {
		switch c := rest[i]; {
		case quote != 0:
			switch c {
			case '\\':
				i++
			case quote:
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case c == '[' || c == '(':
			depth++
		case depth > 0 && (c == ']' || c == ')'):
			depth--
		case depth == 0 && (c == ',' || c == ')' || c == ' '):
			end = i
		}
	}
	if end < 0 {
		return nil, errors.New("a closing bracket is missing")
	}
	path, err := ParsePath(rest[:end])
	if err != nil {
		return nil, err
	}
	p.at += end
	p.paths = append(p.paths, path)
	return pathValue{path: path, field: path.text}, nil
}

// plain takes the backslashes away that quoted has left.
func plain(v any) any {
	s, ok := v.(string)
	if !ok {
		return v
	}
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		out.WriteByte(s[i])
	}
	return out.String()
}
