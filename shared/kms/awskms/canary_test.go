package awskms_test

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"latchkey/local/pocket"
	"latchkey/shared/kms/awskms"
	"latchkey/shared/verdict"
)

// guarded makes credentials of tenants' roles that share a canary, as those of a deployment do.
func (w *world) guarded() func() *awskms.Credential {
	own := credentials.NewStaticCredentialsProvider(latchkeyKeys.AccessKeyID, latchkeyKeys.SecretAccessKey, "")
	o := w.options()
	o.Canary = awskms.NewCanary(own, canaryARN, time.Now, o)
	return func() *awskms.Credential {
		return awskms.NewRoleCredential(own, awskms.Role{ARN: roleARN, ExternalID: externalID, Session: "latchkey"}, o)
	}
}

// permit replaces the policy of Latchkey's own identity.
func (w *world) permit(policy string) {
	w.t.Helper()
	_, err := w.owner.PutUserPolicy(w.ctx(), &iam.PutUserPolicyInput{UserName: aws.String("latchkey"), PolicyName: aws.String("assume"), PolicyDocument: &policy})
	w.must(err)
}

// withdraw has the tenant withdraw its trust, which restore gives back.
func (w *world) withdraw() { w.trust(strings.Replace(trustPolicy, externalID, "another", 1)) }
func (w *world) restore()  { w.trust(trustPolicy) }

// denial is an identity policy that allows all roles and denies some, as a permission boundary
// or an organisation's policy may. STS tells Latchkey of neither.
func denial(roles string) string {
	return strings.Replace(assumePolicy, `"Statement":[`, `"Statement":[{"Effect":"Deny","Action":"sts:AssumeRole","Resource":"`+roles+`"},`, 1)
}

func TestCanary_aLostPermissionOfOursIsNotTheTenantsAct(t *testing.T) {
	cases := map[string]func(w *world){
		"the permission is gone": func(w *world) {
			_, err := w.owner.DeleteUserPolicy(w.ctx(), &iam.DeleteUserPolicyInput{UserName: aws.String("latchkey"), PolicyName: aws.String("assume")})
			w.must(err)
		},
		"all roles are denied to us": func(w *world) { w.permit(denial("*")) },
		"the trust is gone as well":  func(w *world) { w.permit(denial("*")); w.withdraw() },
		"the canary is gone": func(w *world) {
			_, err := w.owner.DeleteRole(w.ctx(), &iam.DeleteRoleInput{RoleName: aws.String("canary")})
			w.must(err)
			w.withdraw()
		},
		"the canary does not answer": func(w *world) { w.mute = canaryARN; w.withdraw() },
	}
	for name, lose := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				arn, guarded := w.newKey(), w.guarded()
				s := seal(t, w.open(guarded(), arn))
				lose(w)
				err := open(t, w.open(guarded(), arn), s)
				wantReason(t, "decrypt", err, verdict.OurCredentials)
				wantReason(t, "authenticate", guarded().Authenticate(t.Context()), verdict.OurCredentials)
				for _, part := range []string{roleARN, "canary", "AccessDenied"} {
					if err == nil || !strings.Contains(err.Error(), part) {
						t.Errorf("the error does not name %s: %v", part, err)
					}
				}
				wantReason(t, "decrypt without a canary", open(t, w.open(w.asRole(), arn), s), verdict.RoleDenied)
			})
		})
	}
}

func TestCanary_aWithdrawnTrustIsTheTenantsAct(t *testing.T) {
	w := newWorld(t)
	arn, guarded := w.newKey(), w.guarded()
	s := seal(t, w.open(guarded(), arn))
	w.withdraw()
	wantReason(t, "decrypt", open(t, w.open(guarded(), arn), s), verdict.RoleDenied)
	if roles, canary := w.callsTo(roleARN), w.callsTo(canaryARN); roles != 2 || canary != 1 {
		t.Errorf("the role was asked for %d times and the canary %d times, want 2 and 1", roles, canary)
	}
	w.restore()
	wantReason(t, "decrypt again", open(t, w.open(guarded(), arn), s), verdict.OK)
}

func TestCanary_isAskedOnlyWhenARoleIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		arn, guarded := w.newKey(), w.guarded()
		k := w.open(guarded(), arn)
		s := seal(t, k)
		for range 24 * 4 { // a day of checks
			time.Sleep(15 * time.Minute)
			wantReason(t, "decrypt", open(t, k, s), verdict.OK)
		}
		for _, kind := range []pocket.FaultKind{pocket.Throttle, pocket.ServerError, pocket.Down, pocket.Firewall, pocket.Deny} {
			w.faults.Set(pocket.Fault{Host: "sts.us-east-1.amazonaws.com", Kind: kind})
			if err := guarded().Authenticate(t.Context()); err == nil {
				t.Errorf("%s goes unnoticed", kind)
			}
			w.faults.Clear()
		}
		if n := w.callsTo(canaryARN); n != 0 {
			t.Errorf("the canary was asked for %d times", n)
		}
	})
}

// refusals asks for the tenant's role many times at once.
func (w *world) refusals(role func() *awskms.Credential, want verdict.Reason) {
	w.t.Helper()
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() { wantReason(w.t, "authenticate", role().Authenticate(w.t.Context()), want) })
	}
	all.Wait()
}

// Those who are refused while the canary is asked share the answer to the next question.
func TestCanary_twoCallsAnswerForAMassRevocation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		guarded := w.guarded()
		w.withdraw()
		w.faults.Set(pocket.Fault{Host: "sts.us-east-1.amazonaws.com", Kind: pocket.Slow})
		w.refusals(guarded, verdict.RoleDenied)
		if n := w.callsTo(canaryARN); n > 2 {
			t.Errorf("50 refusals at once ask for the canary %d times", n)
		}
		w.permit(denial("*"))
		before := w.callsTo(canaryARN)
		w.refusals(guarded, verdict.OurCredentials)
		if n := w.callsTo(canaryARN) - before; n != 1 {
			t.Errorf("50 more ask for it %d times", n)
		}
	})
}

// A tenant's nodes would be stopped for what Latchkey lost a moment after the canary was last assumed.
func TestCanary_whatCouldBeAssumedBeforeARefusalProvesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		guarded := w.guarded()
		w.withdraw()
		w.refusals(guarded, verdict.RoleDenied)
		w.permit(denial("*"))
		w.refusals(guarded, verdict.OurCredentials)
	})
}

// A tenant may name any role as its own, the canary included. Its external id is not the canary's.
func TestCanary_isNoRoleForTenants(t *testing.T) {
	w := newWorld(t)
	own := credentials.NewStaticCredentialsProvider(latchkeyKeys.AccessKeyID, latchkeyKeys.SecretAccessKey, "")
	c := awskms.NewRoleCredential(own, awskms.Role{ARN: canaryARN, ExternalID: externalID, Session: "latchkey"}, w.options())
	wantReason(t, "authenticate", c.Authenticate(t.Context()), verdict.RoleDenied)
}
