package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/aws-sdk-go-v2/service/sns"

	"latchkey/local/lambdasvc"
	"latchkey/local/template"
	"latchkey/shared/endpoint"
	"latchkey/shared/httpapi/apigw"
	"latchkey/shared/httpapi/functionurl"
	"latchkey/shared/identity/authn"
	"latchkey/shared/identity/directory"
	signingkeys "latchkey/shared/identity/keyring"
	"latchkey/shared/kms/keyring"
	"latchkey/shared/notification"
	"latchkey/shared/notification/awsbus"
	"latchkey/shared/notification/awsses"
	"latchkey/shared/notification/awssns"
	"latchkey/shared/notification/outbound"
	"latchkey/shared/seal"
	"latchkey/shared/store"
	"latchkey/shared/suite/adminapi"
	"latchkey/shared/suite/authorizer"
	"latchkey/shared/suite/encryption"
	"latchkey/shared/suite/fleettasks"
	"latchkey/shared/suite/keytasks"
	"latchkey/shared/suite/networktasks"
	"latchkey/shared/suite/nodes"
	"latchkey/shared/suite/notify"
	"latchkey/shared/suite/operator"
	"latchkey/shared/suite/remind"
	"latchkey/shared/suite/validate"
)

// surroundings are what the functions have in the place of AWS.
type surroundings struct {
	table     store.Table
	sealer    *seal.Sealer
	now       func() time.Time
	log       *slog.Logger
	clouds    *clouds
	workflows *workflows
	web       http.RoundTripper // to addresses that tenants choose, nil for the network
}

func makeFunctions(ctx context.Context, specs []template.Function, around surroundings) ([]lambdasvc.Function, error) {
	var functions []lambdasvc.Function
	for _, spec := range specs {
		handler, err := makeHandler(ctx, spec, around)
		if err != nil {
			return nil, fmt.Errorf("functions/%s: %w", spec.Name, err)
		}
		functions = append(functions, lambdaFunction(spec, handler))
	}
	return functions, nil
}

func lambdaFunction(spec template.Function, handler lambdasvc.Invoker) lambdasvc.Function {
	return lambdasvc.Function{
		ID: spec.ID, Name: spec.Name, FunctionName: spec.FunctionName, Timeout: spec.Timeout, Handler: handler, ARN: functionARN(spec),
	}
}

func functionARN(spec template.Function) string {
	return "arn:aws:lambda:" + deployedRegion + ":" + operatorAccount + ":function:" + spec.FunctionName
}

// makeHandler makes the function of one directory under functions/, as its main package does.
func makeHandler(ctx context.Context, spec template.Function, around surroundings) (lambdasvc.Invoker, error) {
	around.log = around.log.With(slog.String("function", spec.Name))
	switch spec.Name {
	case "authorizer":
		return authorizerFunction(around), nil
	case "adminapi":
		return adminapiFunction(around, spec.Environment)
	case "operator":
		return operatorFunction(around, spec.Environment)
	case "encryption":
		return encryptionFunction(ctx, around, spec.Environment)
	case "nodes":
		return nodesFunction(ctx, around)
	case "validate":
		return validateFunction(ctx, around, spec.Environment)
	case "notify":
		return notifyFunction(around, spec.Environment)
	case "remind":
		return remindFunction(around, spec.Environment)
	case "fleettasks":
		return fleettasksFunction(around, spec.Environment)
	case "keytasks":
		return keytasksFunction(ctx, around)
	case "networktasks":
		return networktasksFunction(around, spec)
	}
	return nil, errors.New("the program does not have this function of the template")
}

func authorizerFunction(s surroundings) lambdasvc.Invoker {
	return authorizer.New(authorizer.Config{
		Authenticator: &authn.Authenticator{
			Directory: &directory.Directory{Table: s.table, Sealer: s.sealer, Now: s.now},
			Keyring:   &signingkeys.Keyring{Table: s.table, Sealer: s.sealer, Now: s.now},
			Now:       s.now,
		},
		Log:     s.log,
		Refused: func(context.Context, authn.Reason) {},
	})
}

func adminapiFunction(s surroundings, env map[string]string) (lambdasvc.Invoker, error) {
	retention, err := eventRetention(env)
	if err != nil {
		return nil, err
	}
	addresses, err := adminapi.ParseControlPlane([]byte(env["CONTROL_PLANE_IPS"]), "us-east-1")
	if err != nil {
		return nil, fmt.Errorf("CONTROL_PLANE_IPS: %w", err)
	}
	starter, err := s.workflows.starter(env)
	if err != nil {
		return nil, err
	}
	return apigw.New(adminapi.New(adminapi.Deps{
		Table: s.table, Sealer: s.sealer, Now: s.now, Log: s.log,
		EventRetention: retention, ControlPlane: addresses, Start: starter, Domain: env["NODE_DOMAIN"],
	})), nil
}

func operatorFunction(s surroundings, env map[string]string) (lambdasvc.Invoker, error) {
	retention, err := eventRetention(env)
	if err != nil {
		return nil, err
	}
	return operator.New(operator.Deps{Table: s.table, Sealer: s.sealer, Now: s.now, EventRetention: retention}), nil
}

func encryptionFunction(ctx context.Context, s surroundings, env map[string]string) (lambdasvc.Invoker, error) {
	retention, err := eventRetention(env)
	if err != nil {
		return nil, err
	}
	keys, err := keyring.New(ctx, s.clouds.ring)
	if err != nil {
		return nil, err
	}
	starter, err := s.workflows.starter(env)
	if err != nil {
		return nil, err
	}
	networks, err := privateEndpointNetworks(env)
	if err != nil {
		return nil, err
	}
	// The pocket clouds' grants take effect at once, so nobody waits for them here.
	return apigw.New(encryption.New(encryption.Deps{
		Table: s.table, Sealer: s.sealer, Now: s.now, Log: s.log, Keys: keys, EventRetention: retention, Start: starter,
		AllowAWSUserKeys: env["ALLOW_AWS_USER_KEYS"] == "true", AWSPrincipalARN: env["AWS_PRINCIPAL_ARN"],
		AzureAppID: env["AZURE_APP_ID"], Google: s.clouds.accounts, PrivateEndpointRegions: networks.Regions(),
	})), nil
}

func nodesFunction(ctx context.Context, s surroundings) (lambdasvc.Invoker, error) {
	keys, err := keyring.New(ctx, s.clouds.ring)
	if err != nil {
		return nil, err
	}
	return functionurl.New(nodes.New(nodes.Deps{Table: s.table, Sealer: s.sealer, Now: s.now, Log: s.log, Keys: keys})), nil
}

func validateFunction(ctx context.Context, s surroundings, env map[string]string) (lambdasvc.Invoker, error) {
	retention, err := eventRetention(env)
	if err != nil {
		return nil, err
	}
	keys, err := keyring.New(ctx, s.clouds.ring)
	if err != nil {
		return nil, err
	}
	starter, err := s.workflows.starter(env)
	if err != nil {
		return nil, err
	}
	return validate.New(validate.Deps{
		Table: s.table, Sealer: s.sealer, Now: s.now, Log: s.log, Keys: keys, EventRetention: retention, Start: starter,
	}), nil
}

func remindFunction(s surroundings, env map[string]string) (lambdasvc.Invoker, error) {
	retention, err := eventRetention(env)
	if err != nil {
		return nil, err
	}
	return remind.New(remind.Deps{Table: s.table, Now: s.now, Log: s.log, EventRetention: retention}), nil
}

func fleettasksFunction(s surroundings, env map[string]string) (lambdasvc.Invoker, error) {
	retention, err := eventRetention(env)
	if err != nil {
		return nil, err
	}
	starter, err := s.workflows.starter(env)
	if err != nil {
		return nil, err
	}
	return fleettasks.New(fleettasks.Deps{
		Table: s.table, Now: s.now, Log: s.log, EventRetention: retention, Start: starter, Domain: env["NODE_DOMAIN"],
	}), nil
}

func keytasksFunction(ctx context.Context, s surroundings) (lambdasvc.Invoker, error) {
	keys, err := keyring.New(ctx, s.clouds.ring)
	if err != nil {
		return nil, err
	}
	return keytasks.New(keytasks.Deps{Table: s.table, Sealer: s.sealer, Now: s.now, Log: s.log, Keys: keys}), nil
}

func notifyFunction(s surroundings, env map[string]string) (lambdasvc.Invoker, error) {
	allow, err := outbound.ParseAllowlist(env["NOTIFICATION_ALLOW_LIST"])
	if err != nil {
		return nil, fmt.Errorf("NOTIFICATION_ALLOW_LIST: %w", err)
	}
	var mail, sms, topic notification.Channel
	var bus notification.Bus
	if from := env["MAIL_FROM"]; from != "" {
		mail = awsses.New(sesv2.NewFromConfig(s.clouds.operator()), from)
	}
	if env["SMS_NOTIFICATIONS"] == "true" {
		sms = awssns.NewSMS(sns.NewFromConfig(s.clouds.operator()))
	}
	if arn := env["ALERT_TOPIC_ARN"]; arn != "" {
		topic = awssns.NewTopic(sns.NewFromConfig(s.clouds.operator()), arn)
	}
	if name := env["EVENT_BUS_NAME"]; name != "" {
		bus = awsbus.New(eventbridge.NewFromConfig(s.clouds.operator()), name)
	}
	return notify.New(notify.Deps{
		Table: s.table, Opener: s.sealer, Now: s.now, Log: s.log, API: env["API_URL"], Jitter: rand.Float64,
		Channels: notify.Channels(outbound.New(outbound.Options{Allow: allow, Transport: s.web, Now: s.now}), mail, sms), Topic: topic, Bus: bus,
	}), nil
}

func networktasksFunction(s surroundings, spec template.Function) (lambdasvc.Invoker, error) {
	retention, err := eventRetention(spec.Environment)
	if err != nil {
		return nil, err
	}
	starter, err := s.workflows.starter(spec.Environment)
	if err != nil {
		return nil, err
	}
	connected, err := s.clouds.connect(spec)
	if err != nil {
		return nil, err
	}
	return networktasks.New(networktasks.Deps{
		Table: s.table, Now: s.now, Log: s.log, EventRetention: retention, Executions: starter, Clouds: connected,
	}), nil
}

func privateEndpointNetworks(env map[string]string) (endpoint.Networks, error) {
	n, err := endpoint.ParseNetworks(env["PRIVATE_ENDPOINT_NETWORKS"])
	if err != nil {
		return endpoint.Networks{}, fmt.Errorf("PRIVATE_ENDPOINT_NETWORKS: %w", err)
	}
	return n, nil
}

func eventRetention(env map[string]string) (time.Duration, error) {
	days, err := strconv.ParseUint(env["EVENT_RETENTION_DAYS"], 10, 16)
	if err != nil {
		return 0, fmt.Errorf("EVENT_RETENTION_DAYS: %w", err)
	}
	return time.Duration(days) * 24 * time.Hour, nil
}
