package awskms_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdkkms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"latchkey/local/pocket"
	"latchkey/local/pocket/awscloud"
	"latchkey/shared/atlas"
	"latchkey/shared/kms"
	"latchkey/shared/kms/awskms"
	"latchkey/shared/verdict"
)

const (
	stsCalls     = "sts.us-east-1.amazonaws.com "
	decryptCalls = kmsHost + " TrentService.Decrypt"
)

var binding = kms.Binding{GroupID: "650000000000000000000001", Use: "test"}

func reasonOf(err error) verdict.Reason {
	if err == nil {
		return verdict.OK
	}
	if f, ok := errors.AsType[*verdict.Failure](err); ok {
		return f.Reason
	}
	return "no failure: " + verdict.Reason(err.Error())
}

func wantReason(t testing.TB, what string, err error, want verdict.Reason) {
	t.Helper()
	if got := reasonOf(err); got != want {
		t.Errorf("%s gives %s (%v), want %s", what, got, err, want)
	}
}

func seal(t testing.TB, k *kms.Key) kms.Sealed {
	t.Helper()
	s, err := k.Encrypt(t.Context(), []byte("secret"), binding)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func open(t testing.TB, k *kms.Key, s kms.Sealed) error {
	t.Helper()
	got, err := k.Decrypt(t.Context(), s, binding)
	if err == nil && string(got) != "secret" {
		t.Errorf("decrypted to %q", got)
	}
	return err
}

func TestARoleIsAssumedOnceAndAgainBeforeItsSessionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		k := w.open(w.asRole(), w.newKey())
		s := seal(t, k)
		for range 10 {
			wantReason(t, "decrypt", open(t, k, s), verdict.OK)
		}
		if n := w.callsTo(stsCalls); n != 1 {
			t.Errorf("the role was assumed %d times for 11 calls", n)
		}
		for range 24 * 4 { // a day of checks
			time.Sleep(15 * time.Minute)
			wantReason(t, "decrypt", open(t, k, s), verdict.OK)
		}
		if n := w.callsTo(stsCalls); n < 24 || n > 34 {
			t.Errorf("the role was assumed %d times in a day", n)
		}
	})
}

func TestASessionIsLimitedToWhatLatchkeyNeeds(t *testing.T) {
	w := newWorld(t)
	seal(t, w.open(w.asRole(), w.newKey()))
	form, err := url.ParseQuery(string(w.assumed))
	if err != nil {
		t.Fatal(err)
	}
	for _, action := range []string{"kms:Encrypt", "kms:Decrypt", "kms:DescribeKey", "kms:ListKeyRotations", "kms:GetKeyRotationStatus"} {
		if !strings.Contains(form.Get("Policy"), `"`+action+`"`) {
			t.Errorf("the session policy lacks %s: %s", action, form.Get("Policy"))
		}
	}
	if strings.Count(form.Get("Policy"), "kms:") != 5 {
		t.Errorf("the session policy allows more: %s", form.Get("Policy"))
	}
	if form.Get("ExternalId") != externalID || form.Get("DurationSeconds") != "3600" || !strings.HasPrefix(form.Get("RoleSessionName"), "latchkey-") {
		t.Errorf("the role was asked for with %v", form)
	}
}

func TestRevokedTrustIsNoticedWhenTheSessionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		k := w.open(w.asRole(func(r *awskms.Role, _ *awscloud.Keys) { r.Duration = 15 * time.Minute }), w.newKey())
		s := seal(t, k)
		w.trust(strings.Replace(trustPolicy, externalID, "another", 1))
		wantReason(t, "decrypt in the old session", open(t, k, s), verdict.OK)
		time.Sleep(15 * time.Minute)
		wantReason(t, "decrypt in a new one", open(t, k, s), verdict.RoleDenied)
		w.trust(trustPolicy)
		wantReason(t, "decrypt once trusted again", open(t, k, s), verdict.OK)
	})
}

func TestAReplicaOpensWhatWasSealedInAnotherRegion(t *testing.T) {
	w := newWorld(t)
	arn := w.newKey(func(in *sdkkms.CreateKeyInput) { in.MultiRegion = aws.Bool(true) })
	_, err := w.kms.ReplicateKey(w.ctx(), &sdkkms.ReplicateKeyInput{KeyId: &arn, ReplicaRegion: aws.String(string(abroad))})
	w.must(err)
	_, err = w.kms.CreateAlias(w.ctx(), &sdkkms.CreateAliasInput{AliasName: aws.String("alias/atlas"), TargetKeyId: &arn})
	w.must(err)
	c := w.asRole()
	s := seal(t, w.open(c, arn))
	name, err := atlas.ParseAWSKeyName(arn)
	w.must(err)
	for what, k := range map[string]*kms.Key{
		"by ARN": w.openIn(abroad, c, name.InRegion(abroad).String()), "by id": w.openIn(abroad, c, name.ID), "by alias": w.openIn(abroad, c, "alias/atlas"),
	} {
		wantReason(t, "decrypt abroad "+what, open(t, k, s), verdict.OK)
	}
	wantReason(t, "decrypt abroad by the ARN of home", open(t, w.openIn(abroad, c, arn), s), verdict.KeyNotFound)
	d, err := w.open(c, arn).Describe(w.ctx())
	if err != nil || !d.MultiRegion {
		t.Errorf("the key is %+v, %v", d, err)
	}
}

func TestAnAliasMayPointToAnotherKey(t *testing.T) {
	w := newWorld(t)
	first, second := w.newKey(), w.newKey()
	_, err := w.kms.CreateAlias(w.ctx(), &sdkkms.CreateAliasInput{AliasName: aws.String("alias/atlas"), TargetKeyId: &first})
	w.must(err)
	k := w.open(w.asUser(), "alias/atlas")
	old := seal(t, k)
	_, err = w.kms.UpdateAlias(w.ctx(), &sdkkms.UpdateAliasInput{AliasName: aws.String("alias/atlas"), TargetKeyId: &second})
	w.must(err)
	wantReason(t, "decrypt what the former key sealed", open(t, k, old), verdict.OK)
	fresh := seal(t, k)
	if awskms.KeyARN(old.Version) != first || awskms.KeyARN(fresh.Version) != second {
		t.Errorf("sealed by %s, then by %s", old.Version, fresh.Version)
	}
	wantReason(t, "decrypt what the latter sealed", open(t, k, fresh), verdict.OK)
	old.Version = "nonsense"
	wantReason(t, "decrypt without knowing the key", open(t, k, old), verdict.KeyMismatch)
}

func TestDescribe_refuses_keys_that_cannot_wrap(t *testing.T) {
	w := newWorld(t)
	for want, change := range map[verdict.Reason]func(*sdkkms.CreateKeyInput){
		verdict.OK:               func(*sdkkms.CreateKeyInput) {},
		verdict.KeyPendingImport: func(in *sdkkms.CreateKeyInput) { in.Origin = types.OriginTypeExternal },
		verdict.KeyUnsuitable: func(in *sdkkms.CreateKeyInput) {
			in.KeySpec, in.KeyUsage = types.KeySpecRsa2048, types.KeyUsageTypeEncryptDecrypt
		},
	} {
		_, err := w.open(w.asUser(), w.newKey(change)).Describe(w.ctx())
		wantReason(t, "describe", err, want)
		if f, ok := errors.AsType[*verdict.Failure](err); ok && (f.ProviderCode == "" || f.RequestID == "") {
			t.Errorf("the failure names no code or request: %+v", f)
		}
	}
}

func TestDescribe_tells_of_rotation(t *testing.T) {
	w := newWorld(t)
	arn := w.newKey()
	k := w.open(w.asRole(), arn)
	before := must(k.Describe(w.ctx()))(t)
	w.rotate(arn)
	after := must(k.Describe(w.ctx()))(t)
	if before.Version == after.Version || awskms.KeyARN(before.Version) != arn || awskms.KeyARN(after.Version) != arn || after.Created.IsZero() {
		t.Errorf("before %+v, after %+v", before, after)
	}
}

func TestAuthenticate(t *testing.T) {
	w := newWorld(t)
	cases := map[string]struct {
		credential *awskms.Credential
		want       verdict.Reason
	}{
		"a user":                   {w.asUser(), verdict.OK},
		"a user's wrong secret":    {awskms.NewUserCredential(tenantKeys.AccessKeyID, "wrong", w.options()), verdict.CredentialsInvalid},
		"a user who is unknown":    {awskms.NewUserCredential("AKIANOBODY0000000000", "s", w.options()), verdict.CredentialsInvalid},
		"a role":                   {w.asRole(), verdict.OK},
		"a role that is not there": {w.asRole(func(r *awskms.Role, _ *awscloud.Keys) { r.ARN += "x" }), verdict.RoleDenied},
		"no external id":           {w.asRole(func(r *awskms.Role, _ *awscloud.Keys) { r.ExternalID = "" }), verdict.RoleDenied},
		"a session name of ours":   {w.asRole(func(r *awskms.Role, _ *awscloud.Keys) { r.Session = "a b" }), verdict.Internal},
		"an identity unknown":      {w.asRole(func(_ *awskms.Role, own *awscloud.Keys) { own.AccessKeyID = "AKIANOBODY0000000000" }), verdict.OurCredentials},
		"no identity":              {awskms.NewRoleCredential(nil, awskms.Role{ARN: roleARN, Session: "latchkey"}, w.options()), verdict.OurCredentials},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) { wantReason(t, "authenticate", c.credential.Authenticate(t.Context()), c.want) })
	}
	c := w.asRole()
	wantReason(t, "authenticate", c.Authenticate(t.Context()), verdict.OK)
	w.trust(strings.Replace(trustPolicy, externalID, "another", 1))
	wantReason(t, "authenticate after the trust is gone", c.Authenticate(t.Context()), verdict.RoleDenied)
}

func TestATenantsPolicyCanDemandTheEncryptionContext(t *testing.T) {
	w := newWorld(t)
	arn := w.newKey()
	policy := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"kms:*","Resource":"*"},` +
		`{"Effect":"Deny","Principal":{"AWS":"` + roleARN + `"},"Action":["kms:Encrypt","kms:Decrypt"],"Resource":"*",` +
		`"Condition":{"StringNotEquals":{"kms:EncryptionContext:latchkey:group":"` + binding.GroupID + `"}}}]}`
	_, err := w.kms.PutKeyPolicy(w.ctx(), &sdkkms.PutKeyPolicyInput{KeyId: &arn, Policy: &policy})
	w.must(err)
	k := w.open(w.asRole(), arn)
	s := seal(t, k)
	wantReason(t, "decrypt for the group", open(t, k, s), verdict.OK)
	_, err = k.Encrypt(w.ctx(), []byte("x"), kms.Binding{GroupID: "other", Use: "test"})
	wantReason(t, "encrypt for another group", err, verdict.AccessDenied)
}

func TestSilenceIsWaitedForOnlySoLong(t *testing.T) {
	for name, host := range map[string]string{"of KMS": kmsHost, "of STS": "sts.us-east-1.amazonaws.com"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				k := w.open(w.asRole(), w.newKey())
				w.faults.Set(pocket.Fault{Host: host, Kind: pocket.Timeout})
				for _, limit := range []time.Duration{time.Minute, 3 * time.Second} {
					start := time.Now()
					ctx, cancel := context.WithTimeout(t.Context(), limit)
					_, err := k.Encrypt(ctx, []byte("x"), binding)
					cancel()
					wantReason(t, "encrypt", err, verdict.TimedOut)
					if took := time.Since(start); took > min(limit, 9*time.Second) {
						t.Errorf("it took %s of %s", took, limit)
					}
				}
				w.faults.Clear()
				wantReason(t, "decrypt afterwards", open(t, k, seal(t, k)), verdict.OK)
			})
		})
	}
}

func TestAttemptsAreBounded(t *testing.T) {
	cases := map[string]struct {
		host, count string
		kind        pocket.FaultKind
		reason      verdict.Reason
		want        int
	}{
		"KMS throttles": {kmsHost, decryptCalls, pocket.Throttle, verdict.RateLimited, 2},
		"KMS fails":     {kmsHost, decryptCalls, pocket.ServerError, verdict.ProviderError, 2},
		"KMS denies":    {kmsHost, decryptCalls, pocket.Deny, verdict.AccessDenied, 1},
		"KMS is down":   {kmsHost, decryptCalls, pocket.Down, verdict.ConnectFailed, 2},
		"STS throttles": {"sts.us-east-1.amazonaws.com", stsCalls, pocket.Throttle, verdict.RateLimited, 2},
		"STS fails":     {"sts.us-east-1.amazonaws.com", stsCalls, pocket.ServerError, verdict.ProviderError, 2},
		"STS denies us": {"sts.us-east-1.amazonaws.com", stsCalls, pocket.Deny, verdict.OurCredentials, 1},
		"STS is walled": {"sts.us-east-1.amazonaws.com", stsCalls, pocket.Firewall, verdict.OurCredentials, 1},
		"STS is down":   {"sts.us-east-1.amazonaws.com", stsCalls, pocket.Down, verdict.ConnectFailed, 2},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				arn := w.newKey()
				s := seal(t, w.open(w.asRole(), arn))
				k, before := w.open(w.asRole(), arn), w.callsTo(c.count)
				w.faults.Set(pocket.Fault{Host: c.host, Kind: c.kind})
				err := open(t, k, s)
				wantReason(t, "decrypt", err, c.reason)
				if n := w.callsTo(c.count) - before; n != c.want {
					t.Errorf("%d attempts, want %d", n, c.want)
				}
				f, _ := errors.AsType[*verdict.Failure](err)
				if c.kind != pocket.Down && (f.ProviderCode == "" || f.RequestID == "") {
					t.Errorf("the failure names no code or request: %+v", f)
				}
			})
		})
	}
}

func TestNoSecretIsInAnError(t *testing.T) {
	w := newWorld(t)
	arn := w.newKey()
	for _, kind := range []pocket.FaultKind{pocket.Deny, pocket.Throttle, pocket.ServerError, pocket.Down} {
		w.faults.Set(pocket.Fault{Host: "*", Kind: kind})
		for _, c := range []*awskms.Credential{w.asUser(), w.asRole()} {
			_, err := w.open(c, arn).Describe(w.ctx())
			for _, secret := range []string{tenantKeys.SecretAccessKey, latchkeyKeys.SecretAccessKey, externalID} {
				if err == nil || strings.Contains(err.Error(), secret) {
					t.Errorf("%s: the error %v holds %q", kind, err, secret)
				}
			}
		}
		w.faults.Clear()
	}
}
