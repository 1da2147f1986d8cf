// Package sealing seals and opens secrets with the deployment's key.
package sealing

import (
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"latchkey/functions/internal/deployment"
	"latchkey/shared/seal"
	"latchkey/shared/seal/awsseal"
)

// Sealer seals and opens secrets, as far as the function's role lets it.
func Sealer(env *deployment.Environment) *seal.Sealer {
	return seal.New(awsseal.New(kms.NewFromConfig(env.AWS), env.Required("SEAL_KEY_ARN")), env.Now)
}
