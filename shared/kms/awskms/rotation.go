package awskms

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"latchkey/shared/kms/driver"
	"latchkey/shared/verdict"
)

// Dates implements driver.Dated. It needs kms:DescribeKey and, for the date of the last rotation,
// kms:ListKeyRotations, which a tenant need not grant.
func (k *key) Dates(ctx context.Context) (driver.Dates, error) {
	out, err := k.describe(ctx)
	if err != nil {
		if k.Classify(err).Reason == verdict.AccessDenied {
			return driver.Dates{}, nil
		}
		return driver.Dates{}, err
	}
	m := out.KeyMetadata
	d := driver.Dates{
		Created: aws.ToTime(m.CreationDate).UTC(), Expires: instant(m.ValidTo), Deletes: instant(m.DeletionDate),
	}
	d.Rotated, err = k.lastRotation(ctx, m)
	return d, err
}

func instant(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

// lastRotation asks when KMS gave the key the material that encrypts now; zero if that is the first
// one, or if these credentials may not ask.
func (k *key) lastRotation(ctx context.Context, m *types.KeyMetadata) (time.Time, error) {
	var last time.Time
	// ListKeyRotations takes no aliases.
	pages := awskms.NewListKeyRotationsPaginator(k.client, &awskms.ListKeyRotationsInput{KeyId: m.Arn})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx, k.credential.as)
		if err != nil {
			if k.isUntold(err) {
				return time.Time{}, nil
			}
			return time.Time{}, err
		}
		for _, r := range page.Rotations {
			if at := instant(r.RotationDate); at.After(last) && isCurrent(r, m) {
				last = at
			}
		}
	}
	return last, nil
}

// isCurrent reports whether a rotation brought the material that the key encrypts with now. KMS names
// material since 2025; where it does not, the newest rotation counts.
func isCurrent(r types.RotationsListEntry, m *types.KeyMetadata) bool {
	if r.KeyMaterialId != nil && m.CurrentKeyMaterialId != nil {
		return *r.KeyMaterialId == *m.CurrentKeyMaterialId
	}
	return r.KeyMaterialState == types.KeyMaterialStateCurrent || r.KeyMaterialState == ""
}

// isUntold reports whether KMS does not tell of rotations: these credentials may not ask, which those
// of another account never may, or keys of this kind or in this state have none.
func (k *key) isUntold(err error) bool {
	if _, ok := errors.AsType[*types.UnsupportedOperationException](err); ok {
		return true
	}
	if _, ok := errors.AsType[*types.KMSInvalidStateException](err); ok {
		return true
	}
	return k.Classify(err).Reason == verdict.AccessDenied
}
