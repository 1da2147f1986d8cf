// Command authorizer is the API's Lambda authorizer. Its role may read identities, open API
// keys' private keys, and make the service's own signing keys.
package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"latchkey/shared/audit"
	"latchkey/shared/identity/authn"
	"latchkey/shared/identity/directory"
	"latchkey/shared/identity/keyring"
	"latchkey/shared/seal"
	"latchkey/shared/seal/awsseal"
	"latchkey/shared/store/dynamo"
	"latchkey/shared/suite/authorizer"
)

func main() {
	log := lambdacontext.NewLogger()
	f, err := assemble(context.Background(), log)
	if err != nil {
		log.Error("start", slog.String("error", err.Error()))
		os.Exit(1)
	}
	lambda.Start(f)
}

func assemble(ctx context.Context, log *slog.Logger) (*authorizer.Function, error) {
	table, key := os.Getenv("TABLE_NAME"), os.Getenv("SEAL_KEY_ARN")
	if table == "" || key == "" {
		return nil, errors.New("TABLE_NAME and SEAL_KEY_ARN must be set")
	}
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, err
	}
	t := dynamo.New(dynamodb.NewFromConfig(cfg), table)
	sealer := seal.New(awsseal.New(kms.NewFromConfig(cfg), key), time.Now)
	return authorizer.New(authorizer.Config{
		Authenticator: &authn.Authenticator{
			Directory: &directory.Directory{
				Table: t, Sealer: sealer, Now: time.Now, Journal: audit.Journal{Table: t, Now: time.Now},
			},
			Keyring: &keyring.Keyring{Table: t, Sealer: sealer, Now: time.Now},
			Now:     time.Now,
		},
		Log: log, Refused: authorizer.CountRefusals(log, time.Now),
	}), nil
}
