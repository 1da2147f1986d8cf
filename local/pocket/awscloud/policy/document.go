// Package policy reads and evaluates AWS policy documents: identity, session, key and trust
// policies.
//
// Its one invariant is IAM's: what a document does not say is refused, never allowed; a
// document with an element that this package does not understand is not accepted at all.
// Policy variables ("${aws:username}") are taken literally. It imports the standard library
// only.
package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Kind is what a document is attached to, which decides the elements it may have.
type Kind int

// The kinds of document.
const (
	Identity Kind = iota // inline policy of a user or role, or session policy
	Key                  // key policy
	Trust                // a role's trust policy
)

// Document is a parsed policy.
type Document struct {
	Version    string
	Statements []Statement
}

// Statement is one statement of a document.
type Statement struct {
	SID          string
	Deny         bool
	Attached     bool // of an identity policy: for whoever it is attached to, without principals
	Principals   Principals
	NotPrincipal bool // the statement is for everyone but Principals
	Actions      []string
	NotAction    bool // the statement is for every action but Actions
	Resources    []string
	NotResource  bool
	Conditions   []Condition
}

// Principals are the identities that a statement of a key or trust policy is for.
type Principals struct {
	Everyone bool     // "*"
	AWS      []string // ARNs and account ids
	Other    []string // services and identity providers, which never call here
}

// versions are the versions of the policy language that exist.
var versions = []string{"2012-10-17", "2008-10-17"}

// Parse reads a document. The error says what is wrong with it.
func Parse(text string, kind Kind) (Document, error) {
	var raw struct {
		Version   *string
		ID        json.RawMessage `json:"Id"`
		Statement oneOrMany[rawStatement]
	}
	if err := strict(text, &raw); err != nil {
		return Document{}, err
	}
	d := Document{Version: versions[1]}
	if raw.Version != nil {
		d.Version = *raw.Version
	}
	if !slices.Contains(versions, d.Version) {
		return Document{}, fmt.Errorf("version %q does not exist; it must be %q or %q, "+
			"the version of the policy language and not a date of your own", d.Version, versions[0], versions[1])
	}
	if len(raw.Statement) == 0 {
		return Document{}, errors.New("it needs at least one statement")
	}
	for i, s := range raw.Statement {
		statement, err := s.statement(kind)
		if err != nil {
			return Document{}, fmt.Errorf("statement %d: %w", i+1, err)
		}
		d.Statements = append(d.Statements, statement)
	}
	return d, nil
}

// strict decodes exactly one JSON value without members that v does not have.
func strict(text string, v any) error {
	dec := json.NewDecoder(strings.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is something after the document")
	}
	return nil
}

type rawStatement struct {
	Sid          string
	Effect       string
	Principal    json.RawMessage
	NotPrincipal json.RawMessage
	Action       oneOrMany[string]
	NotAction    oneOrMany[string]
	Resource     oneOrMany[string]
	NotResource  oneOrMany[string]
	Condition    map[string]map[string]oneOrMany[scalar]
}

func (r rawStatement) statement(kind Kind) (Statement, error) {
	s := Statement{SID: r.Sid, Deny: r.Effect == "Deny"}
	if r.Effect != "Allow" && r.Effect != "Deny" {
		return s, errors.New("element Effect must be Allow or Deny")
	}
	var err error
	if s.Actions, s.NotAction, err = either("Action", r.Action, r.NotAction); err != nil {
		return s, err
	}
	if err := r.resources(&s, kind); err != nil {
		return s, err
	}
	if err := r.principals(&s, kind); err != nil {
		return s, err
	}
	s.Conditions, err = conditions(r.Condition)
	return s, err
}

func (r rawStatement) resources(s *Statement, kind Kind) (err error) {
	if kind == Trust {
		if len(r.Resource)+len(r.NotResource) > 0 {
			return errors.New("has prohibited field Resource")
		}
		s.Resources = []string{"*"}
		return nil
	}
	s.Resources, s.NotResource, err = either("Resource", r.Resource, r.NotResource)
	return err
}

func (r rawStatement) principals(s *Statement, kind Kind) (err error) {
	raw := r.Principal
	if r.NotPrincipal != nil {
		raw, s.NotPrincipal = r.NotPrincipal, true
	}
	switch {
	case kind == Identity && raw != nil:
		return errors.New("an identity policy should not specify a principal")
	case kind == Identity:
		s.Attached = true
		return nil
	case raw == nil:
		return errors.New("missing required field Principal")
	case r.Principal != nil && r.NotPrincipal != nil:
		return errors.New("it has both Principal and NotPrincipal")
	case s.NotPrincipal && !s.Deny:
		return errors.New("effect Allow with NotPrincipal is not supported")
	}
	s.Principals, err = principals(raw)
	return err
}

// either takes an element or its negation, exactly one of which must be there.
func either(name string, is, isNot []string) (values []string, negated bool, err error) {
	switch {
	case len(is) > 0 && len(isNot) > 0:
		return nil, false, fmt.Errorf("it has both %s and Not%s", name, name)
	case len(is) == 0 && len(isNot) == 0:
		return nil, false, fmt.Errorf("missing required field %s", name)
	case len(isNot) > 0:
		return isNot, true, nil
	}
	return is, false, nil
}

func principals(raw json.RawMessage) (Principals, error) {
	if bytes.Equal(bytes.TrimSpace(raw), []byte(`"*"`)) {
		return Principals{Everyone: true}, nil
	}
	var byType map[string]oneOrMany[string]
	if err := json.Unmarshal(raw, &byType); err != nil || len(byType) == 0 {
		return Principals{}, errors.New(`element Principal must be "*" or an object such as {"AWS": "arn:aws:iam::111122223333:root"}`)
	}
	var p Principals
	for kind, names := range byType {
		switch kind {
		case "AWS":
			for _, name := range names {
				p.Everyone = p.Everyone || name == "*"
			}
			p.AWS = slices.DeleteFunc(slices.Clone([]string(names)), func(s string) bool { return s == "*" })
		case "Service", "Federated", "CanonicalUser":
			p.Other = append(p.Other, names...)
		default:
			return Principals{}, fmt.Errorf("invalid principal type %q", kind)
		}
	}
	return p, nil
}

// oneOrMany is a member that is written as one value or as an array of them.
type oneOrMany[T any] []T

// UnmarshalJSON accepts both forms.
func (m *oneOrMany[T]) UnmarshalJSON(body []byte) error {
	if bytes.HasPrefix(bytes.TrimSpace(body), []byte("[")) {
		var many []T
		if err := strict(string(body), &many); err != nil {
			return err
		}
		*m = many
		return nil
	}
	var one T
	if err := strict(string(body), &one); err != nil {
		return err
	}
	*m = oneOrMany[T]{one}
	return nil
}

// scalar is a condition's value: a string, a boolean or a number, kept as text.
type scalar string

// UnmarshalJSON accepts the three forms.
func (s *scalar) UnmarshalJSON(body []byte) error {
	var v any
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		return err
	}
	switch v := v.(type) {
	case string:
		*s = scalar(v)
	case bool, json.Number:
		*s = scalar(fmt.Sprint(v))
	default:
		return errors.New("a condition's value must be a string, a boolean or a number")
	}
	return nil
}
