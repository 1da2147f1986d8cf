// Command encryption serves encryption at rest and cloud provider access. Its role is the only
// one that may assume tenants' roles, and it holds Latchkey's own identities in Azure and Google.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"golang.org/x/oauth2/google"

	"latchkey/shared/access/googleaccount"
	"latchkey/shared/atlas"
	"latchkey/shared/httpapi/apigw"
	"latchkey/shared/kms/azurekv"
	"latchkey/shared/kms/keyring"
	"latchkey/shared/seal"
	"latchkey/shared/seal/awsseal"
	"latchkey/shared/store/dynamo"
	"latchkey/shared/suite/encryption"
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
	patience, err := strconv.ParseUint(os.Getenv("GRANT_PATIENCE_SECONDS"), 10, 8)
	if err != nil {
		return nil, fmt.Errorf("GRANT_PATIENCE_SECONDS: %w", err)
	}
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, err
	}
	deps := encryption.Deps{
		Table:  dynamo.New(dynamodb.NewFromConfig(cfg), table),
		Sealer: seal.New(awsseal.New(kms.NewFromConfig(cfg), key), time.Now),
		Now:    time.Now, Log: log, EventRetention: time.Duration(days) * 24 * time.Hour,
		GrantPatience:    time.Duration(patience) * time.Second,
		AllowAWSUserKeys: os.Getenv("ALLOW_AWS_USER_KEYS") == "true",
		AWSPrincipalARN:  os.Getenv("AWS_PRINCIPAL_ARN"),
	}
	if err := identify(ctx, cfg, &deps); err != nil {
		return nil, err
	}
	return encryption.New(deps), nil
}

// identify gives the function its identities in the three clouds, as far as the deployment has them.
func identify(ctx context.Context, cfg aws.Config, deps *encryption.Deps) error {
	ring := keyring.Config{
		Transport: http.DefaultTransport, Now: time.Now, AWS: cfg.Credentials, AWSRegion: atlas.AWSRegion(cfg.Region),
	}
	secrets := secretsmanager.NewFromConfig(cfg)
	if arn := os.Getenv("AZURE_APP_SECRET_ARN"); arn != "" {
		secret, err := secretValue(ctx, secrets, arn)
		if err != nil {
			return err
		}
		deps.AzureAppID = os.Getenv("AZURE_APP_ID")
		ring.Azure = azurekv.App{ClientID: deps.AzureAppID, HomeTenant: os.Getenv("AZURE_HOME_TENANT_ID"), Secret: secret}
	}
	if arn := os.Getenv("GOOGLE_CREDENTIALS_SECRET_ARN"); arn != "" {
		secret, err := secretValue(ctx, secrets, arn)
		if err != nil {
			return err
		}
		if ring.Google, err = googleIdentity(ctx, secret); err != nil {
			return err
		}
		ring.GoogleProjectNumber = os.Getenv("GOOGLE_PROJECT_NUMBER")
		accounts, err := googleaccount.NewAccounts(ring.Google, os.Getenv("GOOGLE_PROJECT_ID"), ring.Transport)
		if err != nil {
			return err
		}
		deps.Google = accounts
	}
	var err error
	deps.Keys, err = keyring.New(ctx, ring)
	return err
}

func secretValue(ctx context.Context, client *secretsmanager.Client, arn string) (string, error) {
	out, err := client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &arn})
	if err != nil {
		return "", fmt.Errorf("read secret %s: %w", arn, err)
	}
	return aws.ToString(out.SecretString), nil
}

// googleIdentity reads the operator's Google credentials: the key of a service account, or the
// configuration of workload identity federation, with which the function's AWS role is enough
// and no key exists.
func googleIdentity(ctx context.Context, secret string) (*googleaccount.Identity, error) {
	var kind struct {
		Type google.CredentialsType `json:"type"`
	}
	if err := json.Unmarshal([]byte(secret), &kind); err != nil {
		return nil, errors.New("the Google credentials are no JSON")
	}
	if kind.Type == google.ExternalAccount {
		creds, err := google.CredentialsFromJSONWithType(ctx, []byte(secret), kind.Type, googleaccount.ScopePlatform)
		if err != nil {
			return nil, errors.New("the Google credentials are no usable configuration of workload identity federation")
		}
		return googleaccount.Own(creds.TokenSource, time.Now), nil
	}
	key, err := atlas.ParseGoogleServiceAccountKey(secret)
	if err != nil {
		return nil, fmt.Errorf("the Google credentials: %w", err)
	}
	return googleaccount.OwnKey(key, googleaccount.Options{
		Transport: http.DefaultTransport, Now: time.Now, Scope: googleaccount.ScopePlatform,
	}), nil
}
