package awskms

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"

	"latchkey/shared/atlas"
)

// LastRotation asks when KMS last gave the key new material, automatically or on demand; zero
// if it never did. Errors are *verdict.Failure. They say nothing about the key's validity: a
// tenant need not grant kms:ListKeyRotations.
func (c *Credential) LastRotation(ctx context.Context, region atlas.AWSRegion, name atlas.AWSKeyName) (time.Time, error) {
	var last time.Time
	id := name
	if name.IsAlias() { // ListKeyRotations takes no aliases
		out, err := c.client(region).DescribeKey(ctx, &awskms.DescribeKeyInput{KeyId: aws.String(name.String())})
		if err != nil {
			return last, c.failure(ctx, err)
		}
		if id, err = atlas.ParseAWSKeyName(aws.ToString(out.KeyMetadata.Arn)); err != nil {
			return last, c.failure(ctx, err)
		}
	}
	pages := awskms.NewListKeyRotationsPaginator(c.client(region), &awskms.ListKeyRotationsInput{KeyId: aws.String(id.String())})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return time.Time{}, c.failure(ctx, err)
		}
		for _, r := range page.Rotations {
			if at := aws.ToTime(r.RotationDate); at.After(last) {
				last = at
			}
		}
	}
	return last, nil
}
