package awskms_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"latchkey/local/pocket"
	"latchkey/shared/kms/awskms"
	"latchkey/shared/verdict"
)

// in is the credential of the tenant's role in a session.
func (w *world) in(s *awskms.Session) *awskms.Credential {
	own := credentials.NewStaticCredentialsProvider(latchkeyKeys.AccessKeyID, latchkeyKeys.SecretAccessKey, "")
	return s.Credential(own, awskms.Role{ARN: roleARN, ExternalID: externalID, Session: "latchkey"}, w.options())
}

func TestASessionOutlivesTheCredentialsThatUseIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		arn, session := w.newKey(), &awskms.Session{}
		s := seal(t, w.open(w.in(session), arn))
		var begun []time.Time
		assumed := w.callsTo(stsCalls)
		for range 10 * 60 {
			wantReason(t, "decrypt", open(t, w.open(w.in(session), arn), s), verdict.OK)
			if n := w.callsTo(stsCalls); n > assumed {
				begun, assumed = append(begun, time.Now()), n
			}
			time.Sleep(time.Minute)
		}
		if assumed != 1+len(begun) || len(begun) < 10 {
			t.Errorf("the role was assumed %d times in ten hours", assumed)
		}
		for i := range len(begun) - 1 {
			if lasted := begun[i+1].Sub(begun[i]); lasted < 54*time.Minute || lasted > 59*time.Minute {
				t.Errorf("a session was used for %v", lasted)
			}
		}
		wantReason(t, "decrypt in another session", open(t, w.open(w.in(&awskms.Session{}), arn), s), verdict.OK)
		if n := w.callsTo(stsCalls); n != assumed+1 {
			t.Errorf("another session assumed the role %d times", n-assumed)
		}
	})
}

func TestAllWhoWaitForASessionHaveTheRoleAssumedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		arn, session := w.newKey(), &awskms.Session{}
		s := seal(t, w.open(w.asRole(), arn))
		before := w.callsTo(stsCalls)
		w.slow = time.Second
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() { wantReason(t, "decrypt", open(t, w.open(w.in(session), arn), s), verdict.OK) })
		}
		all.Go(func() { // who gives up takes nothing from the others
			ctx, cancel := context.WithTimeout(t.Context(), w.slow/2)
			defer cancel()
			_, err := w.open(w.in(session), arn).Decrypt(ctx, s, binding)
			wantReason(t, "decrypt in a hurry", err, verdict.TimedOut)
		})
		all.Wait()
		if n := w.callsTo(stsCalls) - before; n != 1 {
			t.Errorf("the role was assumed %d times", n)
		}
	})
}

// A session that could not begin is tried again.
func TestASessionBeginsAfterFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		arn, session := w.newKey(), &awskms.Session{}
		s := seal(t, w.open(w.asRole(), arn))
		w.faults.Set(pocket.Fault{Host: "sts.us-east-1.amazonaws.com", Kind: pocket.Down})
		wantReason(t, "decrypt while STS is down", open(t, w.open(w.in(session), arn), s), verdict.ConnectFailed)
		w.faults.Clear()
		before := w.callsTo(stsCalls)
		for range 3 {
			wantReason(t, "decrypt", open(t, w.open(w.in(session), arn), s), verdict.OK)
		}
		if n := w.callsTo(stsCalls) - before; n != 1 {
			t.Errorf("the role was assumed %d times", n)
		}
	})
}
