// Command adminapi serves the operations that need the table alone. Its role may use the table
// and seal the identities' secrets; it reaches no tenant's cloud.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"latchkey/shared/httpapi/apigw"
	"latchkey/shared/seal"
	"latchkey/shared/seal/awsseal"
	"latchkey/shared/store/dynamo"
	"latchkey/shared/suite/adminapi"
)

func main() {
	log := lambdacontext.NewLogger()
	api, err := assemble(context.Background(), log)
	if err != nil {
		log.Error("start", slog.String("error", err.Error()))
		os.Exit(1)
	}
	lambda.Start(apigw.New(api))
}

func assemble(ctx context.Context, log *slog.Logger) (http.Handler, error) {
	table, key := os.Getenv("TABLE_NAME"), os.Getenv("SEAL_KEY_ARN")
	if table == "" || key == "" {
		return nil, errors.New("TABLE_NAME and SEAL_KEY_ARN must be set")
	}
	days, err := strconv.ParseUint(os.Getenv("EVENT_RETENTION_DAYS"), 10, 16)
	if err != nil {
		return nil, fmt.Errorf("EVENT_RETENTION_DAYS: %w", err)
	}
	controlPlane, err := adminapi.ParseControlPlane([]byte(os.Getenv("CONTROL_PLANE_IPS")), os.Getenv("AWS_REGION"))
	if err != nil {
		return nil, fmt.Errorf("CONTROL_PLANE_IPS: %w", err)
	}
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, err
	}
	return adminapi.New(adminapi.Deps{
		Table:  dynamo.New(dynamodb.NewFromConfig(cfg), table),
		Sealer: seal.New(awsseal.New(kms.NewFromConfig(cfg), key), time.Now),
		Now:    time.Now, Log: log, EventRetention: time.Duration(days) * 24 * time.Hour,
		ControlPlane: controlPlane, Build: commit(),
	}), nil
}

// commit is what the program was built from, "" if the build does not say.
func commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return ""
}
