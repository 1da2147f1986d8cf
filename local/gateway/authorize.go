package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"latchkey/local/lambdasvc"
	"latchkey/local/template"
)

// verdict is an authorizer's answer.
type verdict struct {
	PrincipalID    string `json:"principalId"`
	PolicyDocument struct {
		Statement []statement
	} `json:"policyDocument"`
	Context map[string]any `json:"context"`
}

type statement struct {
	Effect       string
	Action       template.Strings
	NotAction    template.Strings
	Resource     template.Strings
	NotResource  template.Strings
	Condition    json.RawMessage
	Principal    json.RawMessage
	NotPrincipal json.RawMessage
}

// authorize asks the authorizer and returns the type of the gateway response that refuses the
// request, or "" to let it pass. The authorizer's context is kept for both.
func (g *Gateway) authorize(ctx context.Context, x *exchange) string {
	if x.route.Open {
		return ""
	}
	out, err := g.call(ctx, g.spec.Authorizer, x.authorizerEvent())
	if err != nil {
		if lambdasvc.AsError(err).Message == "Unauthorized" { // how an authorizer asks for a 401
			return "UNAUTHORIZED"
		}
		g.complain(ctx, x, g.spec.Authorizer, err)
		return "AUTHORIZER_CONFIGURATION_ERROR"
	}
	allowed, err := x.judge(out)
	switch {
	case err != nil:
		g.complain(ctx, x, g.spec.Authorizer, err)
		return "AUTHORIZER_CONFIGURATION_ERROR"
	case !allowed:
		return "ACCESS_DENIED"
	}
	return ""
}

func (g *Gateway) complain(ctx context.Context, x *exchange, function string, err error) {
	g.log.LogAttrs(ctx, slog.LevelError, "function failed behind the gateway",
		slog.String("function", function), slog.String("requestId", x.requestID), slog.String("error", err.Error()))
}

// judge decodes an authorizer's answer, keeps its context and evaluates its policy.
func (x *exchange) judge(answer []byte) (allowed bool, err error) {
	var v verdict
	dec := json.NewDecoder(strings.NewReader(string(answer)))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		return false, fmt.Errorf("the authorizer's answer is no policy: %w", err)
	}
	if v.PrincipalID == "" {
		return false, errors.New("the authorizer's answer has no principalId")
	}
	caller := map[string]any{"principalId": v.PrincipalID, "integrationLatency": 0}
	for name, value := range v.Context {
		switch value.(type) {
		case string, bool, json.Number:
			caller[name] = fmt.Sprint(value) // functions get strings, whatever it was
		default:
			return false, fmt.Errorf("the authorizer's context has an object, a list or null as %s", name)
		}
	}
	x.caller = caller
	return evaluate(v.PolicyDocument.Statement, x.methodARN())
}

// evaluate applies a policy to the invocation of one method. A Deny beats every Allow.
func evaluate(statements []statement, arn string) (allowed bool, err error) {
	denied := false
	for _, s := range statements {
		if s.Condition != nil || s.Principal != nil || s.NotPrincipal != nil || s.NotAction != nil || s.NotResource != nil {
			return false, errors.New("the authorizer's policy uses what is not known here")
		}
		if !matchesAny(s.Action, "execute-api:Invoke", true) || !matchesAny(s.Resource, arn, false) {
			continue
		}
		switch s.Effect {
		case "Allow":
			allowed = true
		case "Deny":
			denied = true
		default:
			return false, fmt.Errorf("the authorizer's policy has the effect %q", s.Effect)
		}
	}
	return allowed && !denied, nil
}

// matchesAny applies IAM's wildcards. Names of actions ignore case.
func matchesAny(patterns []string, value string, ignoreCase bool) bool {
	for _, p := range patterns {
		if ignoreCase {
			p, value = strings.ToLower(p), strings.ToLower(value)
		}
		if matches(p, value) {
			return true
		}
	}
	return false
}

// matches reports whether a value is what a pattern says, in which * is any text and ? any one byte. What
// stands before the last * that was met is not tried again, so no pattern takes long.
func matches(pattern, value string) bool {
	star, retry := -1, 0 // the last * that was met, and from where the value is tried again after it
	p := 0
	for v := 0; v < len(value); {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, retry = p, v
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == value[v]):
			p++
			v++
		case star >= 0:
			retry++
			p, v = star+1, retry
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
