// Command operator creates organisations and their owners' keys, and keeps house when the
// deployment's schedules say so. No API leads here: whoever may invoke the function in the
// account is the operator.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"latchkey/shared/seal"
	"latchkey/shared/seal/awsseal"
	"latchkey/shared/store/dynamo"
	"latchkey/shared/suite/operator"
)

func main() {
	log := lambdacontext.NewLogger()
	f, err := assemble(context.Background())
	if err != nil {
		log.Error("start", slog.String("error", err.Error()))
		os.Exit(1)
	}
	lambda.Start(f)
}

func assemble(ctx context.Context) (*operator.Function, error) {
	table, key := os.Getenv("TABLE_NAME"), os.Getenv("SEAL_KEY_ARN")
	if table == "" || key == "" {
		return nil, errors.New("TABLE_NAME and SEAL_KEY_ARN must be set")
	}
	days, err := strconv.ParseUint(os.Getenv("EVENT_RETENTION_DAYS"), 10, 16)
	if err != nil {
		return nil, fmt.Errorf("EVENT_RETENTION_DAYS: %w", err)
	}
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, err
	}
	return operator.New(operator.Deps{
		Table:  dynamo.New(dynamodb.NewFromConfig(cfg), table),
		Sealer: seal.New(awsseal.New(kms.NewFromConfig(cfg), key), time.Now),
		Now:    time.Now, EventRetention: time.Duration(days) * 24 * time.Hour,
	}), nil
}
