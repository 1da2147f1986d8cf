package awskms_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	sdkkms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"latchkey/local/pocket/awscloud"
	"latchkey/shared/atlas"
	"latchkey/shared/kms"
	"latchkey/shared/kms/awskms"
	"latchkey/shared/kms/kmstest"
	"latchkey/shared/verdict"
)

// awsVariable is the URL of an AWS made elsewhere, which is moto: it is emptied for every test. integration/aws.sh sets it.
const awsVariable = "LATCHKEY_AWS_ENDPOINT"

// elsewhere is a moto with a tenant's keys, its user and its role, and Latchkey's user. All are of one account. With
// authorization switched on it checks signatures, and the policies of users and roles.
type elsewhere struct {
	world
	endpoint  string
	user, own awscloud.Keys // the tenant's, Latchkey's
	role      string
}

func newElsewhere(t *testing.T) *elsewhere {
	t.Helper()
	e := &elsewhere{endpoint: os.Getenv(awsVariable)}
	if e.endpoint == "" {
		t.Skipf("%s is not set; integration/aws.sh sets it and runs this", awsVariable)
	}
	e.t = t
	// A connection that is kept would keep the time of a bubble of testing/synctest from passing.
	e.http = &http.Transport{DisableKeepAlives: true}
	e.configure("reset", "")
	e.configure("reset-auth", "100000") // as many calls are not authorized: those of the administrator
	cfg := aws.Config{
		Region: string(home), BaseEndpoint: &e.endpoint, HTTPClient: &http.Client{Transport: e.http},
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
	}
	e.kms, e.iam = sdkkms.NewFromConfig(cfg), iam.NewFromConfig(cfg)
	e.addUser()
	e.addRole()
	return e
}

// configure tells moto something.
func (e *elsewhere) configure(what, body string) {
	e.t.Helper()
	r, err := http.NewRequestWithContext(e.ctx(), http.MethodPost, e.endpoint+"/moto-api/"+what, strings.NewReader(body))
	e.must(err)
	answer, err := e.http.RoundTrip(r)
	e.must(err)
	e.must(answer.Body.Close())
	if answer.StatusCode != http.StatusOK {
		e.t.Fatalf("moto answers %s to %s", answer.Status, what)
	}
}

func (e *elsewhere) addUser() {
	e.t.Helper()
	for _, name := range []string{"atlas", "latchkey"} {
		_, err := e.iam.CreateUser(e.ctx(), &iam.CreateUserInput{UserName: &name})
		e.must(err)
	}
	e.must(e.permitUser())
	_, err := e.iam.PutUserPolicy(e.ctx(), &iam.PutUserPolicyInput{
		UserName: aws.String("latchkey"), PolicyName: aws.String("assume"), PolicyDocument: aws.String(assumePolicy),
	})
	e.must(err)
	e.user, e.own = e.newKeys("atlas"), e.newKeys("latchkey")
}

func (e *elsewhere) newKeys(user string) awscloud.Keys {
	e.t.Helper()
	out, err := e.iam.CreateAccessKey(e.ctx(), &iam.CreateAccessKeyInput{UserName: &user})
	e.must(err)
	return awscloud.Keys{AccessKeyID: *out.AccessKey.AccessKeyId, SecretAccessKey: *out.AccessKey.SecretAccessKey}
}

func (e *elsewhere) addRole() {
	e.t.Helper()
	trust := strings.ReplaceAll(trustPolicy, "999900001111", motoAccount)
	out, err := e.iam.CreateRole(e.ctx(), &iam.CreateRoleInput{RoleName: aws.String("atlas-kms"), AssumeRolePolicyDocument: &trust})
	e.must(err)
	e.role = *out.Role.Arn
	e.must(e.permitRole())
}

func (e *elsewhere) permitUser() error {
	_, err := e.iam.PutUserPolicy(e.ctx(), &iam.PutUserPolicyInput{
		UserName: aws.String("atlas"), PolicyName: aws.String("use"), PolicyDocument: aws.String(usePolicy),
	})
	return err
}

func (e *elsewhere) permitRole() error {
	_, err := e.iam.PutRolePolicy(e.ctx(), &iam.PutRolePolicyInput{
		RoleName: aws.String("atlas-kms"), PolicyName: aws.String("use"), PolicyDocument: aws.String(usePolicy),
	})
	return err
}

// motoAccount is where everything is.
const motoAccount = "123456789012"

// administer changes something without authorization.
func (e *elsewhere) administer(change func() error) func() error {
	return func() error {
		e.configure("reset-auth", "100000")
		defer e.authorize()
		return change()
	}
}

// authorize has moto check every call from now on.
func (e *elsewhere) authorize() { e.configure("reset-auth", "0") }

func (e *elsewhere) options() awskms.Options {
	return awskms.Options{Transport: enveloped{e.http}, Endpoint: func(string, atlas.AWSRegion) string { return e.endpoint }}
}

// enveloped gives refusals the form that AWS gives them. moto writes them in XML, whatever the service speaks, and
// names them alike.
type enveloped struct{ base http.RoundTripper }

var (
	refusedCode    = regexp.MustCompile(`<Code>(\w+)</Code>`)
	refusedMessage = regexp.MustCompile(`<Message>([^<]*)</Message>`)
	jsonNames      = map[string]string{
		"AccessDenied": "AccessDeniedException", "SignatureDoesNotMatch": "InvalidSignatureException", "InvalidClientTokenId": "UnrecognizedClientException",
	}
)

func (e enveloped) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := e.base.RoundTrip(r)
	if err != nil || answer.StatusCode != http.StatusForbidden {
		return answer, err
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	code, message := refusedCode.FindSubmatch(body), refusedMessage.FindSubmatch(body)
	if code != nil && message != nil {
		if r.Header.Get("X-Amz-Target") != "" {
			answer.StatusCode = http.StatusBadRequest
			body = fmt.Appendf(nil, `{"__type":%q,"message":%q}`, jsonNames[string(code[1])], message[1])
		} else {
			body = fmt.Appendf(nil, `<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error></ErrorResponse>`, code[1], message[1])
		}
	}
	answer.Body, answer.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return answer, answer.Body.Close()
}

func (e *elsewhere) asRole(own awscloud.Keys, externalID string) *awskms.Credential {
	return awskms.NewRoleCredential(credentials.NewStaticCredentialsProvider(own.AccessKeyID, own.SecretAccessKey, ""), awskms.Role{
		ARN: e.role, ExternalID: externalID, Session: "latchkey-650000000000000000000001",
	}, e.options())
}

// forEncryption says what AWS takes for granted, and moto leaves empty.
func forEncryption(in *sdkkms.CreateKeyInput) { in.KeyUsage = types.KeyUsageTypeEncryptDecrypt }

// harness is a key of moto's, and how it can be taken away there.
func (e *elsewhere) harness(c *awskms.Credential, deny, permit func() error) (h *kmstest.Harness, key string) {
	key = e.newKey(forEncryption)
	h = &kmstest.Harness{
		OtherClock: true, Key: e.open(c, key), Other: e.open(c, e.newKey(forEncryption)),
		Breaks: map[kmstest.Break]kmstest.Breaking{
			kmstest.Deny: {Do: e.do(e.administer(deny)), Undo: e.undo(e.administer(permit)), Reason: verdict.AccessDenied},
			kmstest.UnknownKey: {
				Do:     func(testing.TB) *kms.Key { return e.open(c, "1234abcd-12ab-34cd-56ef-1234567890ab") },
				Reason: verdict.KeyNotFound,
			},
		},
		Without: map[kmstest.Break]string{
			kmstest.Disable:          "moto goes on encrypting and decrypting with a key that is disabled; what it describes is tested below",
			kmstest.ScheduleDeletion: "moto goes on encrypting and decrypting with a key that waits for its deletion; what it describes is tested below",
			kmstest.Delete:           "moto deletes no keys when their time has come",
			kmstest.ExpiredKey:       "keys in AWS KMS have no validity period",
			kmstest.NotYetActive:     "keys in AWS KMS have no validity period",
			kmstest.ExpiredSecret:    "nothing of it expires",
		},
	}
	for _, b := range []kmstest.Break{
		kmstest.Firewall, kmstest.Throttle, kmstest.ServerError, kmstest.Outage, kmstest.RegionOutage, kmstest.Timeout,
	} {
		h.Without[b] = "moto does not fail; the pocket AWS does"
	}
	return h, key
}

func TestElsewhere_conformance_with_a_tenants_access_key(t *testing.T) {
	kmstest.Run(t, func(t *testing.T) *kmstest.Harness {
		t.Helper()
		e := newElsewhere(t)
		h, key := e.harness(awskms.NewUserCredential(e.user.AccessKeyID, e.user.SecretAccessKey, e.options()), func() error {
			_, err := e.iam.DeleteUserPolicy(e.ctx(), &iam.DeleteUserPolicyInput{UserName: aws.String("atlas"), PolicyName: aws.String("use")})
			return err
		}, e.permitUser)
		h.Breaks[kmstest.BadCredentials] = kmstest.Breaking{
			Do: func(testing.TB) *kms.Key {
				return e.open(awskms.NewUserCredential("AKIAUNKNOWN000000000", "secret", e.options()), key)
			},
			Reason: verdict.CredentialsInvalid,
		}
		h.Breaks[kmstest.WrongExternalID] = kmstest.Breaking{ // the other half of the credentials: the secret
			Do: func(testing.TB) *kms.Key {
				return e.open(awskms.NewUserCredential(e.user.AccessKeyID, "wrong", e.options()), key)
			},
			Reason: verdict.CredentialsInvalid,
		}
		h.Without[kmstest.OwnCredentials] = "the tenant's access key is used, none of Latchkey's credentials"
		e.authorize()
		return h
	})
}

func TestElsewhere_conformance_with_a_tenants_role(t *testing.T) {
	kmstest.Run(t, func(t *testing.T) *kmstest.Harness {
		t.Helper()
		e := newElsewhere(t)
		h, key := e.harness(e.asRole(e.own, externalID), func() error {
			_, err := e.iam.DeleteRolePolicy(e.ctx(), &iam.DeleteRolePolicyInput{RoleName: aws.String("atlas-kms"), PolicyName: aws.String("use")})
			return err
		}, e.permitRole)
		h.Breaks[kmstest.WrongExternalID] = kmstest.Breaking{
			Do: func(testing.TB) *kms.Key { return e.open(e.asRole(e.own, "another"), key) }, Reason: verdict.RoleDenied,
		}
		h.Breaks[kmstest.OwnCredentials] = kmstest.Breaking{
			Do: func(testing.TB) *kms.Key {
				return e.open(e.asRole(awscloud.Keys{AccessKeyID: e.own.AccessKeyID, SecretAccessKey: "wrong"}, externalID), key)
			},
			Reason: verdict.OurCredentials,
		}
		h.Without[kmstest.BadCredentials] = "moto lets nobody know that a role is gone but by an error of its own"
		e.authorize()
		return h
	})
}

func TestElsewhere_what_is_described_of_a_key(t *testing.T) {
	e := newElsewhere(t)
	key := e.newKey(forEncryption)
	id := aws.String(path.Base(key)) // moto finds no key by its ARN here
	k := e.open(awskms.NewUserCredential(e.user.AccessKeyID, e.user.SecretAccessKey, e.options()), key)
	describe := func() verdict.Reason {
		_, err := k.Describe(e.ctx())
		return reasonOf(err)
	}
	if got := describe(); got != verdict.OK {
		t.Errorf("a new key is %s", got)
	}
	_, err := e.kms.DisableKey(e.ctx(), &sdkkms.DisableKeyInput{KeyId: id})
	e.must(err)
	if got := describe(); got != verdict.KeyDisabled {
		t.Errorf("a disabled key is %s", got)
	}
	_, err = e.kms.EnableKey(e.ctx(), &sdkkms.EnableKeyInput{KeyId: id})
	e.must(err)
	if got := describe(); got != verdict.OK {
		t.Errorf("an enabled key is %s", got)
	}
	_, err = e.kms.ScheduleKeyDeletion(e.ctx(), &sdkkms.ScheduleKeyDeletionInput{KeyId: id, PendingWindowInDays: aws.Int32(7)})
	e.must(err)
	if got := describe(); got != verdict.KeyPendingDeletion {
		t.Errorf("a key that waits for its deletion is %s", got)
	}
}

// By this access roles are refused that let every tenant in.
func TestElsewhere_only_a_role_that_demands_no_external_id_takes_any(t *testing.T) {
	e := newElsewhere(t)
	guarded := e.role
	everybody := strings.Replace(strings.ReplaceAll(trustPolicy, "999900001111", motoAccount), externalID, "*", 1)
	everybody = strings.Replace(everybody, "StringEquals", "StringLike", 1)
	out, err := e.iam.CreateRole(e.ctx(), &iam.CreateRoleInput{RoleName: aws.String("open"), AssumeRolePolicyDocument: &everybody})
	e.must(err)
	e.authorize()
	for role, cases := range map[string]map[string]verdict.Reason{
		guarded:       {externalID: verdict.OK, "another": verdict.RoleDenied},
		*out.Role.Arn: {externalID: verdict.OK, "another": verdict.OK},
	} {
		for id, want := range cases {
			e.role = role
			wantReason(t, role+" with "+id, e.asRole(e.own, id).Authenticate(e.ctx()), want)
		}
	}
}
