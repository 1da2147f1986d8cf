package policy_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"latchkey/local/pocket/awscloud/policy"
)

const (
	root    = "arn:aws:iam::111122223333:root"
	role    = "arn:aws:iam::111122223333:role/kms"
	session = "arn:aws:sts::111122223333:assumed-role/kms/latchkey"
	key     = "arn:aws:kms:us-east-1:111122223333:key/1"
)

func request(context map[string][]string) policy.Request {
	return policy.Request{
		Caller: policy.Caller{Account: "111122223333", Root: root, Identity: role, Session: session},
		Action: "kms:Decrypt", Resource: key, Context: context,
	}
}

func mustParse(t *testing.T, text string, kind policy.Kind) policy.Document {
	t.Helper()
	d, err := policy.Parse(text, kind)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return d
}

func TestDecide_follows_the_statement_that_names_the_caller_most_closely(t *testing.T) {
	cases := map[string]struct {
		statements string
		want       policy.Grant
	}{
		"nobody":                    {`{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:role/other"},"Action":"kms:*","Resource":"*"}`, policy.Silent},
		"the account":               {`{"Effect":"Allow","Principal":{"AWS":"` + root + `"},"Action":"kms:*","Resource":"*"}`, policy.ToAccount},
		"the account by its number": {`{"Effect":"Allow","Principal":{"AWS":["111122223333"]},"Action":"kms:*","Resource":"*"}`, policy.ToAccount},
		"the role":                  {`{"Effect":"Allow","Principal":{"AWS":["` + root + `","` + role + `"]},"Action":"kms:*","Resource":"*"}`, policy.ToPrincipal},
		"the session":               {`{"Effect":"Allow","Principal":{"AWS":"` + session + `"},"Action":"kms:*","Resource":"*"}`, policy.ToSession},
		"everyone":                  {`{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"}`, policy.ToPrincipal},
		"everyone of AWS":           {`{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"kms:*","Resource":"*"}`, policy.ToPrincipal},
		"an empty list":             {`{"Effect":"Allow","Principal":{"AWS":[]},"Action":"kms:*","Resource":"*"}`, policy.Silent},
		"a service":                 {`{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"kms:*","Resource":"*"}`, policy.Silent},
		"an action in other case":   {`{"Effect":"Allow","Principal":"*","Action":"KMS:decRYPT","Resource":"*"}`, policy.ToPrincipal},
		"an action by wildcard":     {`{"Effect":"Allow","Principal":"*","Action":["kms:De?rypt*"],"Resource":"*"}`, policy.ToPrincipal},
		"another action":            {`{"Effect":"Allow","Principal":"*","Action":"kms:Encrypt","Resource":"*"}`, policy.Silent},
		"all but another action":    {`{"Effect":"Allow","Principal":"*","NotAction":"kms:Encrypt","Resource":"*"}`, policy.ToPrincipal},
		"all but this action":       {`{"Effect":"Allow","Principal":"*","NotAction":"kms:D*","Resource":"*"}`, policy.Silent},
		"another resource":          {`{"Effect":"Allow","Principal":"*","Action":"*","Resource":"` + key + `2"}`, policy.Silent},
		"all but this resource":     {`{"Effect":"Allow","Principal":"*","Action":"*","NotResource":"` + key + `"}`, policy.Silent},
		"deny wins": {
			`[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"},{"Effect":"Deny","Principal":{"AWS":"` + root + `"},"Action":"kms:Decrypt","Resource":"*"}]`, policy.Denied,
		},
		"deny to all others": {
			`[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"},{"Effect":"Deny","NotPrincipal":{"AWS":"` + role + `"},"Action":"*","Resource":"*"}]`, policy.ToPrincipal,
		},
		"deny to all but another": {`{"Effect":"Deny","NotPrincipal":{"AWS":"arn:aws:iam::111122223333:role/x"},"Action":"*","Resource":"*"}`, policy.Denied},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			d := mustParse(t, `{"Version":"2012-10-17","Statement":`+c.statements+`}`, policy.Key)
			if got := d.Decide(request(nil)); got != c.want {
				t.Errorf("grant %d, want %d", got, c.want)
			}
		})
	}
}

func TestConditions(t *testing.T) {
	context := map[string][]string{
		"sts:externalid": {"abc"}, "aws:sourceip": {"203.0.113.9"}, "aws:principalarn": {role}, "aws:securetransport": {"true"},
		"kms:encryptioncontext:latchkey:group": {"g1"}, "kms:encryptioncontextkeys": {"a", "b"}, "aws:epochtime": {"1700000000"},
		"aws:currenttime": {"2023-11-14T22:13:20Z"},
	}
	for condition, want := range map[string]bool{
		`"StringEquals":{"sts:ExternalId":"abc"}`:                                        true,
		`"StringEquals":{"STS:externalID":["x","abc"]}`:                                  true,
		`"StringEquals":{"sts:ExternalId":"ABC"}`:                                        false,
		`"StringEqualsIgnoreCase":{"sts:ExternalId":"ABC"}`:                              true,
		`"StringNotEquals":{"sts:ExternalId":"abc"}`:                                     false,
		`"StringNotEquals":{"sts:ExternalId":["abc","x"]}`:                               false,
		`"StringNotEquals":{"aws:SourceVpce":"vpce-1"}`:                                  true, // a missing key passes what is negated
		`"StringEquals":{"aws:SourceVpce":"vpce-1"}`:                                     false,
		`"StringEqualsIfExists":{"aws:SourceVpce":"vpce-1"}`:                             true,
		`"StringLike":{"sts:ExternalId":"a*"}`:                                           true,
		`"StringNotLike":{"sts:ExternalId":"a*"}`:                                        false,
		`"StringEquals":{"kms:EncryptionContext:latchkey:group":"g1"}`:                   true,
		`"StringEquals":{"kms:EncryptionContext:latchkey:group":"g2"}`:                   false,
		`"Bool":{"aws:SecureTransport":true}`:                                            true,
		`"Bool":{"aws:SecureTransport":"false"}`:                                         false,
		`"IpAddress":{"aws:SourceIp":["198.51.100.0/24","203.0.113.0/24"]}`:              true,
		`"IpAddress":{"aws:SourceIp":"203.0.113.9"}`:                                     true,
		`"IpAddress":{"aws:SourceIp":"198.51.100.0/24"}`:                                 false,
		`"NotIpAddress":{"aws:SourceIp":"203.0.113.0/24"}`:                               false,
		`"NotIpAddress":{"aws:SourceIp":"198.51.100.0/24"}`:                              true,
		`"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/k*"}`:                        true,
		`"ArnLike":{"aws:PrincipalArn":"arn:aws:iam:*"}`:                                 false, // a * does not reach over a colon
		`"ArnNotEquals":{"aws:PrincipalArn":"` + role + `"}`:                             false,
		`"Null":{"sts:ExternalId":"false"}`:                                              true,
		`"Null":{"sts:ExternalId":true}`:                                                 false,
		`"Null":{"aws:SourceVpce":"true"}`:                                               true,
		`"ForAllValues:StringEquals":{"kms:EncryptionContextKeys":["a","b"]}`:            true,
		`"ForAllValues:StringEquals":{"kms:EncryptionContextKeys":"a"}`:                  false,
		`"ForAnyValue:StringEquals":{"kms:EncryptionContextKeys":"a"}`:                   true,
		`"NumericLessThan":{"aws:EpochTime":1700000001}`:                                 true,
		`"NumericGreaterThanEquals":{"aws:EpochTime":"1700000001"}`:                      false,
		`"DateLessThan":{"aws:CurrentTime":"2024-01-01"}`:                                true,
		`"DateGreaterThan":{"aws:CurrentTime":"2024-01-01T00:00:00Z"}`:                   false,
		`"StringEquals":{"sts:ExternalId":"abc"},"Bool":{"aws:SecureTransport":"false"}`: false,
	} {
		d := mustParse(t, `{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{`+condition+`}}}`, policy.Identity)
		if got := d.Decide(request(context)).Allowed(); got != want {
			t.Errorf("%s: %t, want %t", condition, got, want)
		}
	}
}

func TestParse_refuses_what_IAM_refuses(t *testing.T) {
	const ok = `"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"AWS":"` + root + `"}`
	for text, kind := range map[string]policy.Kind{
		``:                 policy.Identity,
		`[]`:               policy.Identity,
		`{}`:               policy.Identity,
		`{"Statement":[]}`: policy.Identity,
		`{"Version":"2020-03-17","Statement":[{` + ok + `}]}`:                                               policy.Trust,
		`{"Statement":[{` + ok + `}]} x`:                                                                    policy.Trust,
		`{"Statement":[{` + ok + `,"Resource":"*"}]}`:                                                       policy.Trust,
		`{"Statement":[{` + ok + `,"Recource":"*"}]}`:                                                       policy.Trust,
		`{"Statements":[{` + ok + `}]}`:                                                                     policy.Trust,
		`{"Statement":[{"Effect":"Allow","Action":"sts:AssumeRole"}]}`:                                      policy.Trust,
		`{"Statement":[{"Effect":"Allow","Action":"*"}]}`:                                                   policy.Identity,
		`{"Statement":[{"Effect":"Allow","Resource":"*"}]}`:                                                 policy.Identity,
		`{"Statement":[{"Effect":"allow","Action":"*","Resource":"*"}]}`:                                    policy.Identity,
		`{"Statement":[{"Effect":"Allow","Action":"*","NotAction":"x","Resource":"*"}]}`:                    policy.Identity,
		`{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*","Principal":"*"}]}`:                    policy.Identity,
		`{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*","Principal":"x"}]}`:                    policy.Key,
		`{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*","Principal":{"Aws":"*"}}]}`:            policy.Key,
		`{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*","NotPrincipal":"*"}]}`:                 policy.Key,
		`{"Statement":[{"Effect":"Allow","Action":7,"Resource":"*"}]}`:                                      policy.Identity,
		`{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringIs":{"a":"b"}}}]}`: policy.Identity,
		`{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"Bool":{"a":{}}}}]}`:      policy.Identity,
	} {
		if d, err := policy.Parse(text, kind); err == nil {
			t.Errorf("%s is accepted: %+v", text, d)
		}
	}
}

func TestParse_explains_the_documents_wrong_version(t *testing.T) {
	_, err := policy.Parse(`{"Version":"2020-03-17","Statement":[]}`, policy.Trust)
	if err == nil || !strings.Contains(err.Error(), `"2020-03-17" does not exist; it must be "2012-10-17"`) {
		t.Errorf("error %v does not say which versions exist", err)
	}
}

func TestMatch_agrees_with_a_regular_expression(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringMatching(`[ab*?]{0,12}`).Draw(t, "pattern")
		s := rapid.StringMatching(`[ab]{0,12}`).Draw(t, "s")
		re := regexp.MustCompile("^" + strings.NewReplacer("*", ".*", "?", ".").Replace(pattern) + "$")
		if got, want := policy.Match(pattern, s), re.MatchString(s); got != want {
			t.Fatalf("Match(%q, %q) = %t", pattern, s, got)
		}
	})
}

func TestDecide_never_allows_what_a_statement_denies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		allow := rapid.SampledFrom([]string{"*", "kms:*", "kms:Decrypt"}).Draw(t, "allow")
		deny := rapid.SampledFrom([]string{"*", "KMS:*", "kms:Dec*", "kms:decrypt"}).Draw(t, "deny")
		statements := []string{
			`{"Effect":"Allow","Action":"` + allow + `","Resource":"*"}`, `{"Effect":"Deny","Action":"` + deny + `","Resource":"*"}`,
		}
		order := rapid.Permutation(statements).Draw(t, "order")
		d, err := policy.Parse(`{"Statement":[`+strings.Join(order, ",")+`]}`, policy.Identity)
		if err != nil {
			t.Fatal(err)
		}
		if got := d.Decide(request(nil)); got != policy.Denied {
			t.Fatalf("grant %d", got)
		}
	})
}

// FuzzParse reads anything. What is accepted is JSON, decides the same each time, and denies as soon as it says so for everything; without a statement that
// allows it allows nothing.
func FuzzParse(f *testing.F) {
	f.Add(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`)
	f.Add(`{"Statement":{"Effect":"Deny","Principal":{"AWS":["*","1"]},"NotAction":["a"],"Resource":"*","Condition":{"Null":{"a":true}}}}`)
	f.Add(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["` + strings.Repeat("*a", 200) + `"],"Resource":"*"}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		for _, kind := range []policy.Kind{policy.Identity, policy.Key, policy.Trust} {
			d, err := policy.Parse(text, kind)
			if err != nil {
				continue
			}
			if !json.Valid([]byte(text)) {
				t.Fatalf("%q is no JSON", text)
			}
			begun := time.Now()
			got := d.Decide(request(nil))
			if again := d.Decide(request(nil)); again != got || time.Since(begun) > time.Second {
				t.Errorf("%q decides %d and then %d, after %s", text, got, again, time.Since(begun))
			}
			if got > policy.Silent && got != policy.Denied && !strings.Contains(text, "Allow") && !strings.Contains(text, `\u`) {
				t.Errorf("%q allows", text)
			}
			deny := d
			deny.Statements = append(slices.Clone(d.Statements), everything(t, kind)...)
			if deny.Decide(request(nil)) != policy.Denied {
				t.Errorf("%q allows what is denied", text)
			}
		}
	})
}

// everything is the statement that denies everything.
func everything(t *testing.T, kind policy.Kind) []policy.Statement {
	t.Helper()
	elements := map[policy.Kind]string{policy.Identity: `"Action":"*","Resource":"*"`, policy.Key: `"Principal":"*","Action":"*","Resource":"*"`, policy.Trust: `"Principal":"*","Action":"*"`}
	d, err := policy.Parse(`{"Statement":[{"Effect":"Deny",`+elements[kind]+`}]}`, kind)
	if err != nil {
		t.Fatal(err)
	}
	return d.Statements
}
