package policy

import (
	"slices"
	"strings"
)

// Caller is who makes a request, by every name that a policy may use for it.
type Caller struct {
	Account  string
	Root     string // the ARN of the account: arn:aws:iam::111122223333:root
	Identity string // the ARN of the user or role; the root's ARN for the root user
	Session  string // the ARN of a role's session; "" for users
}

// isRoot reports whether the account itself calls.
func (c Caller) isRoot() bool { return c.Identity == c.Root }

// Request is what a caller asks to do.
type Request struct {
	Caller   Caller
	Action   string // "kms:Decrypt"
	Resource string // an ARN
	// Context has the values of condition keys, by the key in lower case.
	Context map[string][]string
}

// Grant is what a document says of a request, in rising order of strength.
type Grant int

// The grants.
const (
	Silent      Grant = iota // the document does not allow it
	ToAccount                // a key or trust policy leaves it to the caller's account
	ToPrincipal              // allowed to the caller's user or role, or to everyone
	ToSession                // allowed to exactly this session of a role
	Denied                   // explicitly denied, which wins over everything
)

// Allowed reports whether a document without principals allows the request.
func (g Grant) Allowed() bool { return g != Silent && g != Denied }

// Decide evaluates the document: the strongest thing that any statement says. For documents
// without principals it is ToPrincipal or Silent or Denied.
func (d Document) Decide(r Request) Grant {
	strongest := Silent
	for _, s := range d.Statements {
		strongest = max(strongest, s.decide(r))
	}
	return strongest
}

// Decide evaluates several documents together.
func Decide(docs []Document, r Request) Grant {
	strongest := Silent
	for _, d := range docs {
		strongest = max(strongest, d.Decide(r))
	}
	return strongest
}

func (s Statement) decide(r Request) Grant {
	grant := s.reaches(r.Caller)
	if grant == Silent || s.NotAction == s.hasAction(r.Action) || s.NotResource == s.hasResource(r.Resource) {
		return Silent
	}
	for _, c := range s.Conditions {
		if !c.holds(r.Context) {
			return Silent
		}
	}
	if s.Deny {
		return Denied
	}
	return grant
}

// reaches says how closely the statement's principals name the caller.
func (s Statement) reaches(c Caller) Grant {
	if s.Attached {
		return ToPrincipal
	}
	grant := s.Principals.reach(c)
	if !s.NotPrincipal {
		return grant
	}
	if grant == Silent {
		return ToPrincipal
	}
	return Silent
}

func (p Principals) reach(c Caller) Grant {
	strongest := Silent
	if p.Everyone {
		strongest = ToPrincipal
	}
	for _, name := range p.AWS {
		switch name {
		case c.Session:
			strongest = max(strongest, ToSession)
		case c.Identity:
			strongest = max(strongest, ToPrincipal)
		case c.Root, c.Account:
			strongest = max(strongest, ToAccount)
			if c.isRoot() {
				strongest = max(strongest, ToPrincipal)
			}
		}
	}
	return strongest
}

// hasAction matches actions regardless of case, as IAM does.
func (s Statement) hasAction(action string) bool {
	action = strings.ToLower(action)
	return slices.ContainsFunc(s.Actions, func(pattern string) bool { return Match(strings.ToLower(pattern), action) })
}

func (s Statement) hasResource(resource string) bool {
	return slices.ContainsFunc(s.Resources, func(pattern string) bool { return Match(pattern, resource) })
}

// Match reports whether s fits a pattern in which * stands for any characters and ? for one.
// It takes time proportional to the product of their lengths at worst.
func Match(pattern, s string) bool {
	star, resume := -1, 0
	p, i := 0, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, resume = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0: // let the last * take one character more
			resume++
			p, i = star+1, resume
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
