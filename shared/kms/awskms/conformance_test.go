package awskms_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	sdkkms "github.com/aws/aws-sdk-go-v2/service/kms"

	"latchkey/local/pocket"
	"latchkey/local/pocket/awscloud"
	"latchkey/shared/kms"
	"latchkey/shared/kms/awskms"
	"latchkey/shared/kms/kmstest"
	"latchkey/shared/verdict"
)

func TestConformanceWithATenantsAccessKey(t *testing.T) {
	kmstest.Run(t, func(t *testing.T) *kmstest.Harness {
		t.Helper()
		w := newWorld(t)
		h, key := w.harness(w.asUser())
		name, policy := aws.String("atlas"), aws.String("use")
		h.Breaks[kmstest.Deny] = kmstest.Breaking{
			Do: w.do(func() error {
				_, err := w.iam.DeleteUserPolicy(w.ctx(), &iam.DeleteUserPolicyInput{UserName: name, PolicyName: policy})
				return err
			}),
			Undo: w.undo(func() error {
				_, err := w.iam.PutUserPolicy(w.ctx(), &iam.PutUserPolicyInput{UserName: name, PolicyName: policy, PolicyDocument: aws.String(usePolicy)})
				return err
			}),
			Reason: verdict.AccessDenied,
		}
		set := func(status iamtypes.StatusType) func() error {
			return func() error {
				_, err := w.iam.UpdateAccessKey(w.ctx(), &iam.UpdateAccessKeyInput{UserName: name, AccessKeyId: &tenantKeys.AccessKeyID, Status: status})
				return err
			}
		}
		h.Breaks[kmstest.BadCredentials] = kmstest.Breaking{
			Do: w.do(set(iamtypes.StatusTypeInactive)), Undo: w.undo(set(iamtypes.StatusTypeActive)), Reason: verdict.CredentialsInvalid,
		}
		h.Breaks[kmstest.WrongExternalID] = kmstest.Breaking{ // the other half of the credentials: the secret
			Do: func(testing.TB) *kms.Key {
				return w.open(awskms.NewUserCredential(tenantKeys.AccessKeyID, "wrong", w.options()), key)
			},
			Reason: verdict.CredentialsInvalid,
		}
		h.Without[kmstest.ExpiredSecret] = "a user's access key does not expire"
		h.Without[kmstest.OwnCredentials] = "the tenant's access key is used, none of Latchkey's credentials"
		return h
	})
}

func TestConformanceWithATenantsRole(t *testing.T) {
	kmstest.Run(t, func(t *testing.T) *kmstest.Harness {
		t.Helper()
		w := newWorld(t)
		h, key := w.harness(w.asRole())
		name, policy := aws.String("atlas-kms"), aws.String("use")
		removePolicy := func() error {
			_, err := w.iam.DeleteRolePolicy(w.ctx(), &iam.DeleteRolePolicyInput{RoleName: name, PolicyName: policy})
			return err
		}
		h.Breaks[kmstest.Deny] = kmstest.Breaking{
			Do: w.do(removePolicy),
			Undo: w.undo(func() error {
				_, err := w.iam.PutRolePolicy(w.ctx(), &iam.PutRolePolicyInput{RoleName: name, PolicyName: policy, PolicyDocument: aws.String(usePolicy)})
				return err
			}),
			Reason: verdict.AccessDenied,
		}
		h.Breaks[kmstest.WrongExternalID] = kmstest.Breaking{
			Do: func(testing.TB) *kms.Key {
				return w.open(w.asRole(func(r *awskms.Role, _ *awscloud.Keys) { r.ExternalID = "another" }), key)
			},
			Reason: verdict.RoleDenied,
		}
		h.Breaks[kmstest.BadCredentials] = kmstest.Breaking{ // the tenant deleted the role
			Do: func(testing.TB) *kms.Key {
				w.must(removePolicy())
				_, err := w.iam.DeleteRole(w.ctx(), &iam.DeleteRoleInput{RoleName: name})
				w.must(err)
				return w.open(w.asRole(), key)
			},
			Reason: verdict.RoleDenied,
		}
		h.Breaks[kmstest.OwnCredentials] = kmstest.Breaking{
			Do: func(testing.TB) *kms.Key {
				return w.open(w.asRole(func(_ *awskms.Role, own *awscloud.Keys) { own.SecretAccessKey = "wrong" }), key)
			},
			Reason: verdict.OurCredentials,
		}
		h.Without[kmstest.ExpiredSecret] = "the role's session is Latchkey's own and is renewed"
		return h
	})
}

// harness has the breaks that are the same for both kinds of credential.
func (w *world) harness(c *awskms.Credential) (h *kmstest.Harness, key string) {
	key = w.newKey()
	id := &key
	disable := func() error { _, err := w.kms.DisableKey(w.ctx(), &sdkkms.DisableKeyInput{KeyId: id}); return err }
	enable := func() error { _, err := w.kms.EnableKey(w.ctx(), &sdkkms.EnableKeyInput{KeyId: id}); return err }
	schedule := func() error {
		_, err := w.kms.ScheduleKeyDeletion(w.ctx(), &sdkkms.ScheduleKeyDeletionInput{KeyId: id, PendingWindowInDays: aws.Int32(7)})
		return err
	}
	cancel := func() error {
		_, err := w.kms.CancelKeyDeletion(w.ctx(), &sdkkms.CancelKeyDeletionInput{KeyId: id})
		w.must(err)
		return enable()
	}
	return &kmstest.Harness{
		Key: w.open(c, key), Other: w.open(c, w.newKey()), Deletes: 7 * 24 * time.Hour,
		Rotate: w.undo(func() error {
			_, err := w.kms.RotateKeyOnDemand(w.ctx(), &sdkkms.RotateKeyOnDemandInput{KeyId: id})
			return err
		}),
		Breaks: map[kmstest.Break]kmstest.Breaking{
			kmstest.Disable:          {Do: w.do(disable), Undo: w.undo(enable), Reason: verdict.KeyDisabled},
			kmstest.ScheduleDeletion: {Do: w.do(schedule), Undo: w.undo(cancel), Reason: verdict.KeyPendingDeletion},
			kmstest.Delete: {
				Do: w.do(func() error {
					w.must(schedule())
					w.elapse(7*24*time.Hour + time.Minute)
					return nil
				}),
				Reason: verdict.KeyNotFound,
			},
			kmstest.UnknownKey: {
				Do:     func(testing.TB) *kms.Key { return w.open(c, "1234abcd-12ab-34cd-56ef-1234567890ab") },
				Reason: verdict.KeyNotFound,
			},
			kmstest.Firewall:     w.fault(kmsHost, pocket.Firewall, verdict.NetworkRefused),
			kmstest.Throttle:     w.fault(kmsHost, pocket.Throttle, verdict.RateLimited),
			kmstest.ServerError:  w.fault(kmsHost, pocket.ServerError, verdict.ProviderError),
			kmstest.Outage:       w.fault("*", pocket.Down, verdict.ConnectFailed),
			kmstest.RegionOutage: w.fault(kmsHost, pocket.Down, verdict.ConnectFailed),
			kmstest.Timeout: {
				Do:   w.do(func() error { w.setSilent(true); return nil }),
				Undo: func(testing.TB) { w.setSilent(false) }, Reason: verdict.TimedOut,
			},
		},
		Without: map[kmstest.Break]string{
			kmstest.ExpiredKey:   "keys in AWS KMS have no validity period; imported material that expires leaves the key pending import",
			kmstest.NotYetActive: "keys in AWS KMS have no validity period",
		},
	}, key
}

func (w *world) fault(host string, kind pocket.FaultKind, reason verdict.Reason) kmstest.Breaking {
	return kmstest.Breaking{
		Do:   w.do(func() error { w.faults.Set(pocket.Fault{Host: host, Kind: kind}); return nil }),
		Undo: func(testing.TB) { w.faults.Clear() }, Reason: reason,
	}
}

// do breaks the key in the cloud and keeps using it.
func (w *world) do(change func() error) func(testing.TB) *kms.Key {
	return func(testing.TB) *kms.Key {
		w.must(change())
		return nil
	}
}

func (w *world) undo(change func() error) func(testing.TB) {
	return func(testing.TB) { w.must(change()) }
}
