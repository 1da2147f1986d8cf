// Package authorizer is the API's REQUEST authorizer for API Gateway (REST, payload format
// 1.0): it authenticates each request and hands the caller to the functions behind it.
//
// Its one invariant: a request passes only with a caller that it proved to come from. What a
// client must hear instead goes through a *deny* policy, because API Gateway renames a
// WWW-Authenticate header that a function returns: the gateway response ACCESS_DENIED turns
// the policy's context into the 401, its challenge and its body.
package authorizer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"

	"github.com/aws/aws-lambda-go/events"

	"latchkey/shared/atlas"
	"latchkey/shared/httpapi/apigw"
	"latchkey/shared/identity"
	"latchkey/shared/identity/authn"
	"latchkey/shared/identity/digest"
)

// ChallengeKey is the member of the authorizer context that holds the value for
// WWW-Authenticate. template.yaml names it in the gateway response ACCESS_DENIED.
const ChallengeKey = "challenge"

// anonymous is the principal of a policy that denies; the gateway demands one.
const anonymous = "anonymous"

// Authenticator finds out who makes a request; *authn.Authenticator is the one in use.
type Authenticator interface {
	Authenticate(ctx context.Context, r authn.Request) (identity.Caller, *authn.Refusal, error)
}

// Config is what the authorizer is made of. All fields are required.
type Config struct {
	Authenticator Authenticator
	Log           *slog.Logger
	// Refused counts refusals by reason. NO_CREDENTIALS is the first half of every Digest
	// exchange and says nothing; any other that piles up is worth a look.
	Refused func(ctx context.Context, why authn.Reason)
}

// Function is the authorizer. It is a lambda.Handler.
type Function struct{ cfg Config }

// New returns the authorizer.
func New(cfg Config) *Function { return &Function{cfg} }

// Invoke decides on one request. It fails when nothing can be decided, so that the gateway
// answers 500: a client must not be told that its key is wrong because a table is down.
func (f *Function) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	var e events.APIGatewayCustomAuthorizerRequestTypeRequest
	if err := json.Unmarshal(payload, &e); err != nil {
		return nil, fmt.Errorf("decode authorizer event: %w", err)
	}
	if e.MethodArn == "" || e.HTTPMethod == "" {
		return nil, errors.New("decode authorizer event: it has no method")
	}
	caller, refusal, err := f.cfg.Authenticator.Authenticate(ctx, authn.Request{
		Method: e.HTTPMethod, Target: target(e), Authorization: authorization(e),
		RemoteAddress: e.RequestContext.Identity.SourceIP,
	})
	if err != nil {
		return nil, fmt.Errorf("authenticate: %w", err)
	}
	if refusal != nil {
		f.report(ctx, e, refusal.Reason)
		return json.Marshal(policy(anonymous, "Deny", e.MethodArn, ChallengeKey, refusal.Challenge))
	}
	caller = caller.ForGroup(groupID(e.Path))
	return json.Marshal(policy(caller.ID, "Allow", e.MethodArn, apigw.CallerKey, caller.Encode()))
}

// report counts a refusal and logs it, unless the client only asks for its challenge. Nothing
// that the client sent is logged: it may hold a password in the wrong place.
func (f *Function) report(ctx context.Context, e events.APIGatewayCustomAuthorizerRequestTypeRequest, why authn.Reason) {
	f.cfg.Refused(ctx, why)
	if why == authn.NoCredentials {
		return
	}
	f.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "refused",
		slog.String("reason", string(why)), slog.String("requestId", e.RequestContext.RequestID),
		slog.String("remoteAddress", e.RequestContext.Identity.SourceIP))
}

// policy is an answer about one request. The gateway does not keep it, so it need not speak of
// others.
func policy(principal, effect, methodARN, key, value string) events.APIGatewayCustomAuthorizerResponse {
	return events.APIGatewayCustomAuthorizerResponse{
		PrincipalID: principal,
		PolicyDocument: events.APIGatewayCustomAuthorizerPolicy{
			Version: "2012-10-17",
			Statement: []events.IAMPolicyStatement{
				{Action: []string{"execute-api:Invoke"}, Effect: effect, Resource: []string{methodARN}},
			},
		},
		Context: map[string]any{key: value},
	}
}

// target is what a signed URI must mean. The event has the path twice, of which one has the
// stage unless the request came by a custom domain; which of them the client saw depends on
// the way it came.
func target(e events.APIGatewayCustomAuthorizerRequestTypeRequest) digest.Target {
	t := digest.Target{Paths: []string{e.Path}, Query: url.Values(e.MultiValueQueryStringParameters)}
	if e.RequestContext.Path != "" {
		t.Paths = append(t.Paths, e.RequestContext.Path)
	}
	if e.RequestContext.Stage != "" {
		t.Paths = append(t.Paths, "/"+e.RequestContext.Stage+e.Path)
	}
	if len(t.Query) == 0 && len(e.QueryStringParameters) > 0 {
		t.Query = url.Values{}
		for name, value := range e.QueryStringParameters {
			t.Query.Set(name, value)
		}
	}
	return t
}

// authorization is the request's one Authorization header. Of several, none is believed.
func authorization(e events.APIGatewayCustomAuthorizerRequestTypeRequest) string {
	var found []string
	for name, values := range e.MultiValueHeaders {
		if strings.EqualFold(name, "Authorization") {
			found = append(found, values...)
		}
	}
	if found == nil {
		for name, value := range e.Headers {
			if strings.EqualFold(name, "Authorization") {
				found = append(found, value)
			}
		}
	}
	if len(found) != 1 {
		return ""
	}
	return found[0]
}

// groupID is the group that a path names, "" if it names none. The function behind reads the
// path for itself; should the two ever differ, the caller has no roles there.
func groupID(path string) string {
	_, rest, found := strings.Cut(path, "/groups/")
	if !found {
		return ""
	}
	id, _, _ := strings.Cut(rest, "/")
	if decoded, err := url.PathUnescape(id); err == nil {
		id = decoded
	}
	if !atlas.ValidID(id) {
		return ""
	}
	return id
}
