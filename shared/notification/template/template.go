// Package template renders the templates that tenants write for the bodies and headers of webhooks:
// the part of FreeMarker's language that such templates are made of.
//
// Its invariant: a template computes text from the data that it is given, in bounded time and
// space, and does nothing else. There is no assignment, no macro, no inclusion, no object that has
// methods. It imports the standard library only.
package template

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Bounds of a template.
const (
	maxSource  = 16 << 10
	maxDepth   = 16
	maxSteps   = 20_000 // nodes and operations of one rendering
	maxOutput  = 64 << 10
	maxPattern = 4 << 20 // instructions of regular expressions times bytes they are matched against
)

// ErrMalformed is returned for what is no template of this language.
var ErrMalformed = errors.New("template: malformed")

// ErrRender is matched by the errors of a rendering: a value that is missing, say.
var ErrRender = errors.New("template: cannot be rendered")

// Template is a parsed template.
type Template struct{ body block }

// node writes a part of the output.
type node func(r *run) error

type block []node

func (b block) render(r *run) error {
	for _, n := range b {
		if err := r.step(); err != nil {
			return err
		}
		if err := n(r); err != nil {
			return err
		}
	}
	return nil
}

// run is one rendering.
type run struct {
	scope   []map[string]any // the innermost last
	escape  func(string) string
	out     strings.Builder
	steps   int
	pattern int
}

func (r *run) step() error { return r.spend(1) }

// spend counts steps that are taken at once.
func (r *run) spend(steps int) error {
	if r.steps += steps; r.steps > maxSteps {
		return fmt.Errorf("%w: it takes too long", ErrRender)
	}
	return nil
}

func (r *run) write(s string) error {
	if r.out.Len()+len(s) > maxOutput {
		return fmt.Errorf("%w: its output is too long", ErrRender)
	}
	r.out.WriteString(s)
	return nil
}

func (r *run) lookup(name string) any {
	for _, names := range slices.Backward(r.scope) {
		if v, ok := names[name]; ok {
			return v
		}
	}
	return nil
}

// Parse reads a template.
func Parse(source string) (*Template, error) {
	if len(source) > maxSource {
		return nil, fmt.Errorf("%w: it is too long", ErrMalformed)
	}
	p := &parser{source: source}
	body, err := p.block("")
	if err != nil {
		return nil, err
	}
	return &Template{body: body}, nil
}

// Render writes the template's text. Values are strings, json.Numbers, booleans, nil, and slices
// ([]any) and maps (map[string]any) of these. escape is applied to every string that is put in.
func (t *Template) Render(data map[string]any, escape func(string) string) (string, error) {
	r := &run{scope: []map[string]any{data}, escape: escape}
	if err := t.body.render(r); err != nil {
		return "", err
	}
	return r.out.String(), nil
}

// parser reads a template from a position on.
type parser struct {
	source string
	at     int
	depth  int
}

func (p *parser) rest() string { return p.source[p.at:] }

func (p *parser) malformed(what string) error {
	return fmt.Errorf("%w: %s at byte %d", ErrMalformed, what, p.at)
}

func (p *parser) nest() error {
	if p.depth++; p.depth > maxDepth {
		return p.malformed("it is nested too deep")
	}
	return nil
}

// block reads until a tag that ends or divides the directive that it is in, which it leaves unread;
// or until the end, where it is in none.
func (p *parser) block(within string) (block, error) {
	if err := p.nest(); err != nil {
		return nil, err
	}
	defer func() { p.depth-- }()
	var b block
	for p.at < len(p.source) {
		switch {
		case strings.HasPrefix(p.rest(), "<#--"):
			end := strings.Index(p.rest(), "-->")
			if end < 0 {
				return nil, p.malformed("a comment has no end")
			}
			p.at += end + len("-->")
		case strings.HasPrefix(p.rest(), "${"):
			p.at += len("${")
			n, err := p.interpolation()
			if err != nil {
				return nil, err
			}
			b = append(b, n)
		case p.divides(within):
			return b, nil
		case strings.HasPrefix(p.rest(), "<#") || strings.HasPrefix(p.rest(), "</#") || strings.HasPrefix(p.rest(), "<@"):
			n, err := p.directive()
			if err != nil {
				return nil, err
			}
			b = append(b, n)
		default:
			b = append(b, p.literal())
		}
	}
	if within != "" {
		return nil, p.malformed("a directive has no end")
	}
	return b, nil
}

// divides reports whether a tag is next that ends a directive or one of its parts.
func (p *parser) divides(within string) bool {
	tags := map[string][]string{"if": {"</#if>", "<#else", "<#elseif "}, "list": {"</#list>"}, "sep": {"</#sep>"}}
	for _, tag := range tags[within] {
		if strings.HasPrefix(p.rest(), tag) {
			return true
		}
	}
	return false
}

// literal reads text up to what may be something else.
func (p *parser) literal() node {
	end := strings.IndexAny(p.rest()[1:], "$<") + 1
	if end == 0 {
		end = len(p.rest())
	}
	text := p.rest()[:end]
	p.at += end
	return func(r *run) error { return r.write(text) }
}

func (p *parser) interpolation() (node, error) {
	e, err := p.expression()
	if err != nil {
		return nil, err
	}
	if !p.take("}") {
		return nil, p.malformed("an interpolation has no end")
	}
	return func(r *run) error {
		v, err := e(r)
		if err != nil {
			return err
		}
		s, isSafe, err := text(v)
		if err != nil {
			return err
		}
		if !isSafe {
			s = r.escape(s)
		}
		return r.write(s)
	}, nil
}

func (p *parser) directive() (node, error) {
	switch {
	case p.take("<#if "):
		return p.condition()
	case p.take("<#list "):
		return p.list()
	case p.take("<#sep>"):
		return p.separator()
	}
	return nil, p.malformed("a directive is unknown or misplaced")
}

// condition reads what follows "<#if ".
func (p *parser) condition() (node, error) {
	e, err := p.condensed()
	if err != nil {
		return nil, err
	}
	then, err := p.block("if")
	if err != nil {
		return nil, err
	}
	var otherwise node
	switch {
	case p.take("<#elseif "):
		if err := p.nest(); err != nil {
			return nil, err
		}
		defer func() { p.depth-- }()
		if otherwise, err = p.condition(); err != nil {
			return nil, err
		}
	case p.take("<#else>"):
		b, err := p.block("if")
		if err != nil {
			return nil, err
		}
		otherwise = b.render
		if !p.take("</#if>") {
			return nil, p.malformed("a condition has no end")
		}
	case p.take("</#if>"):
	default:
		return nil, p.malformed("a condition has no end")
	}
	return func(r *run) error {
		holds, err := truth(r, e)
		switch {
		case err != nil:
			return err
		case holds:
			return then.render(r)
		case otherwise != nil:
			return otherwise(r)
		}
		return nil
	}, nil
}

// condensed reads an expression and the end of its tag.
func (p *parser) condensed() (expression, error) {
	e, err := p.expression()
	if err != nil {
		return nil, err
	}
	p.space()
	if !p.take(">") {
		return nil, p.malformed("a tag has no end")
	}
	return e, nil
}

// list reads what follows "<#list ".
func (p *parser) list() (node, error) {
	e, err := p.expression()
	if err != nil {
		return nil, err
	}
	p.space()
	name := ""
	if p.take("as ") {
		p.space()
		name = p.name()
	}
	p.space()
	if name == "" || !p.take(">") {
		return nil, p.malformed("a list has no name for its elements")
	}
	body, err := p.block("list")
	if err != nil {
		return nil, err
	}
	p.take("</#list>")
	return func(r *run) error {
		v, err := e(r)
		if err != nil {
			return err
		}
		elements, ok := v.([]any)
		if !ok {
			return fmt.Errorf("%w: what is listed is no list", ErrRender)
		}
		for i, element := range elements {
			if err := r.step(); err != nil { // also where the body is empty
				return err
			}
			hasNext := i+1 < len(elements)
			r.scope = append(r.scope, map[string]any{
				name: element, name + "_has_next": hasNext, name + "_index": numberOf(i), hasNextMark: hasNext,
			})
			err := body.render(r)
			r.scope = r.scope[:len(r.scope)-1]
			if err != nil {
				return err
			}
		}
		return nil
	}, nil
}

// hasNextMark is what a separator looks up. No name in a template can be it.
const hasNextMark = "#has_next"

// separator reads what follows "<#sep>".
func (p *parser) separator() (node, error) {
	body, err := p.block("sep")
	if err != nil {
		return nil, err
	}
	p.take("</#sep>")
	return func(r *run) error {
		if r.lookup(hasNextMark) == true {
			return body.render(r)
		}
		return nil
	}, nil
}
