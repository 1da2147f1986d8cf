package authorizer_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/google/go-cmp/cmp"

	"latchkey/shared/identity"
	"latchkey/shared/identity/authn"
	"latchkey/shared/suite/authorizer"
)

var _ lambda.Handler = (*authorizer.Function)(nil)

const (
	group     = "650000000000000000000001"
	methodARN = "arn:aws:execute-api:us-east-1:123456789012:abcdef/prod/GET/api/atlas/v2/groups/" + group
)

// authenticator answers what it is told to and remembers what it was asked.
type authenticator struct {
	caller  identity.Caller
	refusal *authn.Refusal
	err     error
	asked   authn.Request
}

func (a *authenticator) Authenticate(_ context.Context, r authn.Request) (identity.Caller, *authn.Refusal, error) {
	a.asked = r
	return a.caller, a.refusal, a.err
}

type bench struct {
	a       *authenticator
	refused []authn.Reason
	log     strings.Builder
}

func (b *bench) function() *authorizer.Function {
	return authorizer.New(authorizer.Config{
		Authenticator: b.a, Log: slog.New(slog.NewTextHandler(&b.log, nil)),
		Refused: func(_ context.Context, why authn.Reason) { b.refused = append(b.refused, why) },
	})
}

// event is what API Gateway sends for a request to the execute-api host of the stage "prod".
func event(changes map[string]any) map[string]any {
	e := map[string]any{
		"type": "REQUEST", "methodArn": methodARN, "resource": "/api/{proxy+}", "httpMethod": "GET",
		"path":                            "/api/atlas/v2/groups/" + group,
		"headers":                         map[string]any{"Accept": "application/vnd.atlas.2023-01-01+json"},
		"multiValueHeaders":               map[string]any{},
		"queryStringParameters":           map[string]any{},
		"multiValueQueryStringParameters": map[string]any{},
		"pathParameters":                  map[string]any{"proxy": "atlas/v2/groups/" + group},
		"requestContext": map[string]any{
			"path": "/prod/api/atlas/v2/groups/" + group, "stage": "prod", "requestId": "r-1",
			"identity": map[string]any{"sourceIp": "198.51.100.7"},
		},
	}
	maps.Copy(e, changes)
	return e
}

func invoke(t *testing.T, f *authorizer.Function, e any) (map[string]any, error) {
	t.Helper()
	payload, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	out, err := f.Invoke(t.Context(), payload)
	if err != nil {
		return nil, err
	}
	var answer map[string]any
	if err := json.Unmarshal(out, &answer); err != nil {
		t.Fatal(err)
	}
	return answer, nil
}

func wantPolicy(principal, effect string, context map[string]any) map[string]any {
	return map[string]any{
		"principalId": principal, "context": context,
		"policyDocument": map[string]any{"Version": "2012-10-17", "Statement": []any{
			map[string]any{"Action": []any{"execute-api:Invoke"}, "Effect": effect, "Resource": []any{methodARN}},
		}},
	}
}

func TestAnAuthenticatedCallerPassesWithTheRolesOfItsGroupOnly(t *testing.T) {
	t.Parallel()
	caller := identity.Caller{
		Kind: identity.KindAPIKey, ID: "key", OrgID: "org", OrgRoles: []identity.Role{identity.OrgMember},
		GroupRoles: map[string][]identity.Role{group: {identity.GroupOwner}, "other": {identity.GroupOwner}},
	}
	b := &bench{a: &authenticator{caller: caller}}
	got, err := invoke(t, b.function(), event(nil))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(wantPolicy("key", "Allow", map[string]any{"caller": caller.ForGroup(group).Encode()}), got); diff != "" {
		t.Error(diff)
	}
	if len(b.refused) != 0 || b.log.Len() != 0 {
		t.Errorf("reported %v, %s", b.refused, &b.log)
	}
}

func TestARefusalCarriesTheChallengeAndIsReported(t *testing.T) {
	t.Parallel()
	tests := map[authn.Reason]bool{authn.NoCredentials: false, authn.WrongResponse: true}
	for reason, logged := range tests {
		b := &bench{a: &authenticator{refusal: &authn.Refusal{Challenge: `Digest realm="MMS Public API"`, Reason: reason}}}
		got, err := invoke(t, b.function(), event(map[string]any{"multiValueHeaders": map[string]any{"authorization": []string{"Digest secret"}}}))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(wantPolicy("anonymous", "Deny", map[string]any{"challenge": `Digest realm="MMS Public API"`}), got); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]authn.Reason{reason}, b.refused); diff != "" {
			t.Error(diff)
		}
		if line := b.log.String(); strings.Contains(line, string(reason)) != logged || strings.Contains(line, "secret") {
			t.Errorf("%s: logged %q", reason, line)
		}
	}
}

func TestAnOutageAndABrokenEventAreErrors(t *testing.T) {
	t.Parallel()
	down := errors.New("table down")
	b := &bench{a: &authenticator{err: down}}
	if _, err := invoke(t, b.function(), event(nil)); !errors.Is(err, down) {
		t.Errorf("got %v", err)
	}
	for name, payload := range map[string]string{"no JSON": "x", "no method": "{}", "another type": `{"headers":1}`} {
		if out, err := b.function().Invoke(t.Context(), []byte(payload)); err == nil {
			t.Errorf("%s: answered %s", name, out)
		}
	}
}

func TestTheSignedURIMayHaveTheStageOrNot(t *testing.T) {
	t.Parallel()
	b := &bench{a: &authenticator{refusal: &authn.Refusal{}}}
	query := map[string]any{"pageNum": []string{"1"}, "a": []string{"x", "y z"}}
	if _, err := invoke(t, b.function(), event(map[string]any{"multiValueQueryStringParameters": query})); err != nil {
		t.Fatal(err)
	}
	path := "/api/atlas/v2/groups/" + group
	if diff := cmp.Diff([]string{path, "/prod" + path, "/prod" + path}, b.a.asked.Target.Paths); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(url.Values{"pageNum": {"1"}, "a": {"x", "y z"}}, b.a.asked.Target.Query); diff != "" {
		t.Error(diff)
	}
	if b.a.asked.RemoteAddress != "198.51.100.7" || b.a.asked.Method != "GET" {
		t.Errorf("asked %+v", b.a.asked)
	}
	single := event(map[string]any{"queryStringParameters": map[string]any{"a": "1"}, "multiValueQueryStringParameters": nil})
	if _, err := invoke(t, b.function(), single); err != nil || b.a.asked.Target.Query.Get("a") != "1" {
		t.Errorf("query %v, %v", b.a.asked.Target.Query, err)
	}
}

func TestOneAuthorizationHeaderIsReadAndNoneOfSeveral(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		multi, single map[string]any
		want          string
	}{
		"one":                {multi: map[string]any{"Authorization": []string{"A"}}, want: "A"},
		"in lower case":      {multi: map[string]any{"authorization": []string{"A"}}, want: "A"},
		"single values only": {single: map[string]any{"Authorization": "A"}, want: "A"},
		"both forms":         {multi: map[string]any{"Authorization": []string{"A"}}, single: map[string]any{"Authorization": "A"}, want: "A"},
		"two":                {multi: map[string]any{"Authorization": []string{"A", "B"}}},
		"two spellings":      {multi: map[string]any{"Authorization": []string{"A"}, "authorization": []string{"B"}}},
		"none":               {},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := &bench{a: &authenticator{refusal: &authn.Refusal{}}}
			e := event(map[string]any{"multiValueHeaders": tc.multi, "headers": tc.single})
			if _, err := invoke(t, b.function(), e); err != nil || b.a.asked.Authorization != tc.want {
				t.Errorf("read %q, %v; want %q", b.a.asked.Authorization, err, tc.want)
			}
		})
	}
}

func TestTheGroupIsReadFromThePath(t *testing.T) {
	t.Parallel()
	tests := map[string]bool{
		"/api/atlas/v2/groups/" + group:                          true,
		"/api/atlas/v2/groups/" + group + "/encryptionAtRest/":   true,
		"/api/atlas/v1.0/groups/" + group + "/clusters":          true,
		"/base/api/atlas/v2/groups/" + group + "/clusters":       true,
		"/api/atlas/v2/groups/%36" + group[1:] + "/clusters":     true,
		"/api/atlas/v2/groups":                                   false,
		"/api/atlas/v2/groups/byName/p1":                         false,
		"/api/atlas/v2/orgs/" + group:                            false,
		"/api/atlas/v2/groups/" + strings.ToUpper("a"+group[1:]): false,
	}
	for path, want := range tests {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			caller := identity.Caller{ID: "key", GroupRoles: map[string][]identity.Role{group: {identity.GroupOwner}}}
			b := &bench{a: &authenticator{caller: caller}}
			got, err := invoke(t, b.function(), event(map[string]any{"path": path}))
			if err != nil {
				t.Fatal(err)
			}
			context, ok := got["context"].(map[string]any)
			if !ok {
				t.Fatalf("context %v", got["context"])
			}
			encoded, _ := context["caller"].(string)
			if strings.Contains(encoded, string(identity.GroupOwner)) != want {
				t.Errorf("caller %s", encoded)
			}
		})
	}
}
