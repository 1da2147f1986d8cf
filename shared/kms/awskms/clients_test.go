package awskms_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"latchkey/shared/atlas"
	"latchkey/shared/kms/awskms"
	"latchkey/shared/verdict"
)

// unwell is a KMS that fails whenever it is asked by the access key "AKIAFAILING", and every other time by others.
type unwell struct{ asked map[string]int }

func (u unwell) RoundTrip(r *http.Request) (*http.Response, error) {
	_, rest, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	who, _, _ := strings.Cut(rest, "/")
	u.asked[who]++
	status, body := http.StatusOK, `{"KeyMetadata":{"Arn":"arn","KeyId":"id","KeyState":"Enabled","KeyUsage":"ENCRYPT_DECRYPT","KeySpec":"SYMMETRIC_DEFAULT"}}`
	if who == "AKIAFAILING" || u.asked[who]%2 == 1 {
		status, body = http.StatusInternalServerError, `{"__type":"KMSInternalException"}`
	}
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/x-amz-json-1.1"}}, Body: io.NopCloser(strings.NewReader(body))}, nil
}

func TestATenantWhoseCallsFailLeavesTheOthersTheirSecondAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kms := unwell{asked: map[string]int{}}
		o := awskms.Options{Transport: kms, Clients: &awskms.Clients{}}
		name, err := atlas.ParseAWSKeyName("arn:aws:kms:us-east-1:111122223333:key/11111111-1111-4111-8111-111111111111")
		if err != nil {
			t.Fatal(err)
		}
		failing := awskms.Open(awskms.NewUserCredential("AKIAFAILING", "s", o), home, name)
		other := awskms.Open(awskms.NewUserCredential("AKIAOTHER", "s", o), home, name)
		for range 500 {
			if _, err := failing.Describe(t.Context()); reasonOf(err) != verdict.ProviderError {
				t.Fatalf("a KMS that fails gives %v", err)
			}
		}
		if _, err := other.Describe(t.Context()); err != nil || kms.asked["AKIAOTHER"] != 2 {
			t.Errorf("after %d attempts: %v", kms.asked["AKIAOTHER"], err)
		}
		if got := kms.asked["AKIAFAILING"]; got != 1000 {
			t.Errorf("500 calls made %d attempts", got)
		}
	})
}

// Whoever knows the id of an access key, which is no secret, must not sign with its secret because somebody else did so before over
// the same client; and who mistyped a secret may correct it.
func TestASecretIsNotThatOfAnotherCredentialWithTheSameID(t *testing.T) {
	w := newWorld(t)
	key, o := w.newKey(), w.options()
	o.Clients = &awskms.Clients{}
	with := func(secret string) *awskms.Credential {
		return awskms.NewUserCredential(tenantKeys.AccessKeyID, secret, o)
	}
	for _, c := range []struct {
		secret string
		want   verdict.Reason
	}{{"mistyped", verdict.CredentialsInvalid}, {tenantKeys.SecretAccessKey, verdict.OK}, {"a guess", verdict.CredentialsInvalid}} {
		wantReason(t, "authenticate with "+c.secret, with(c.secret).Authenticate(t.Context()), c.want)
		_, err := w.open(with(c.secret), key).Describe(t.Context())
		wantReason(t, "describe with "+c.secret, err, c.want)
	}
}
