// Command authorizer is the API's Lambda authorizer. Its role may read identities, open API
// keys' private keys, and make the service's own signing keys.
package main

import (
	"context"

	"github.com/aws/aws-lambda-go/lambda"

	"latchkey/functions/internal/deployment"
	"latchkey/functions/internal/deployment/sealing"
	"latchkey/functions/internal/deployment/table"
	"latchkey/shared/audit"
	"latchkey/shared/identity/authn"
	"latchkey/shared/identity/directory"
	"latchkey/shared/identity/keyring"
	"latchkey/shared/suite/authorizer"
)

func main() { deployment.Run(assemble) }

func assemble(_ context.Context, env *deployment.Environment) (lambda.Handler, error) {
	records, sealer := table.Of(env), sealing.Sealer(env)
	return authorizer.New(authorizer.Config{
		Authenticator: &authn.Authenticator{
			Directory: &directory.Directory{
				Table: records, Sealer: sealer, Now: env.Now, Journal: audit.Journal{Table: records, Now: env.Now},
			},
			Keyring: &keyring.Keyring{Table: records, Sealer: sealer, Now: env.Now},
			Now:     env.Now,
		},
		Log: env.Log, Refused: authorizer.CountRefusals(env.Log, env.Now),
	}), nil
}
