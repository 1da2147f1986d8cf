package stack

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

	"latchkey/console"
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

// Surroundings are what functions have in the place of AWS. Fields without a default are required.
type Surroundings struct {
	Table     store.Table
	Sealer    *seal.Sealer
	Now       func() time.Time
	Log       *slog.Logger
	Clouds    *Clouds
	Workflows *Workflows
	Web       http.RoundTripper // to addresses that tenants choose; nil is the network
	API       string            // where the API is served, for the console; "" is where its visitors are
	Jitter    func() float64    // in [0, 1), by which messages are retried at different times; nil is random
}

// Functions makes all functions, as they are invoked by whoever calls Lambda.
func Functions(ctx context.Context, specs []template.Function, around Surroundings) ([]lambdasvc.Function, error) {
	var functions []lambdasvc.Function
	for _, spec := range specs {
		handler, err := Function(ctx, spec, around)
		if err != nil {
			return nil, err
		}
		functions = append(functions, Lambda(spec, handler))
	}
	return functions, nil
}

// Lambda is a function as it is deployed, with a handler.
func Lambda(spec template.Function, handler lambdasvc.Invoker) lambdasvc.Function {
	return lambdasvc.Function{
		ID: spec.ID, Name: spec.Name, FunctionName: spec.FunctionName, Timeout: spec.Timeout, Handler: handler, ARN: functionARN(spec),
	}
}

func functionARN(spec template.Function) string {
	return "arn:aws:lambda:" + Region + ":" + OperatorAccount + ":function:" + spec.FunctionName
}

// Function makes the function of one directory under functions/ anew, as its main package does at a
// cold start: it knows nothing of what an earlier one has cached.
func Function(ctx context.Context, spec template.Function, around Surroundings) (lambdasvc.Invoker, error) {
	around.Log = around.Log.With(slog.String("function", spec.Name))
	handler, err := makeHandler(ctx, spec, around)
	if err != nil {
		return nil, fmt.Errorf("functions/%s: %w", spec.Name, err)
	}
	return handler, nil
}

func makeHandler(ctx context.Context, spec template.Function, around Surroundings) (lambdasvc.Invoker, error) {
	switch spec.Name {
	case "authorizer":
		return authorizerFunction(around), nil
	case "adminapi":
		return adminapiFunction(around, spec.Environment)
	case "console":
		return consoleFunction(around), nil
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

func authorizerFunction(s Surroundings) lambdasvc.Invoker {
	return authorizer.New(authorizer.Config{
		Authenticator: &authn.Authenticator{
			Directory: &directory.Directory{Table: s.Table, Sealer: s.Sealer, Now: s.Now},
			Keyring:   &signingkeys.Keyring{Table: s.Table, Sealer: s.Sealer, Now: s.Now},
			Now:       s.Now,
		},
		Log:     s.Log,
		Refused: func(context.Context, authn.Reason) {},
	})
}

func adminapiFunction(s Surroundings, env map[string]string) (lambdasvc.Invoker, error) {
	retention, err := eventRetention(env)
	if err != nil {
		return nil, err
	}
	addresses, err := adminapi.ParseControlPlane([]byte(env["CONTROL_PLANE_IPS"]), "us-east-1")
	if err != nil {
		return nil, fmt.Errorf("CONTROL_PLANE_IPS: %w", err)
	}
	starter, err := s.Workflows.Starter(env)
	if err != nil {
		return nil, err
	}
	runs, err := s.Workflows.Reader(env, s.Now)
	if err != nil {
		return nil, err
	}
	return apigw.New(adminapi.New(adminapi.Deps{
		Table: s.Table, Sealer: s.Sealer, Now: s.Now, Log: s.Log,
		EventRetention: retention, ControlPlane: addresses, Start: starter, Runs: runs, Domain: env["NODE_DOMAIN"],
	})), nil
}

// consoleFunction calls the API where it is served, if that is known: the address that a client names
// for it here is no gateway's word.
func consoleFunction(s Surroundings) lambdasvc.Invoker {
	return apigw.New(console.New(console.Deps{Sealer: s.Sealer, Now: s.Now, Log: s.Log, API: s.API}))
}

func operatorFunction(s Surroundings, env map[string]string) (lambdasvc.Invoker, error) {
	retention, err := eventRetention(env)
	if err != nil {
		return nil, err
	}
	return operator.New(operator.Deps{Table: s.Table, Sealer: s.Sealer, Now: s.Now, EventRetention: retention}), nil
}

func encryptionFunction(ctx context.Context, s Surroundings, env map[string]string) (lambdasvc.Invoker, error) {
	retention, err := eventRetention(env)
	if err != nil {
		return nil, err
	}
	keys, err := keyring.New(ctx, s.Clouds.Ring)
	if err != nil {
		return nil, err
	}
	starter, err := s.Workflows.Starter(env)
	if err != nil {
		return nil, err
	}
	networks, err := privateEndpointNetworks(env)
	if err != nil {
		return nil, err
	}
	// The pocket clouds' grants take effect at once, so nobody waits for them here.
	return apigw.New(encryption.New(encryption.Deps{
		Table: s.Table, Sealer: s.Sealer, Now: s.Now, Log: s.Log, Keys: keys, EventRetention: retention, Start: starter,
		AllowAWSUserKeys: env["ALLOW_AWS_USER_KEYS"] == "true", AWSPrincipalARN: env["AWS_PRINCIPAL_ARN"],
		AzureAppID: env["AZURE_APP_ID"], Google: s.Clouds.Accounts, PrivateEndpointRegions: networks.Regions(),
	})), nil
}

func nodesFunction(ctx context.Context, s Surroundings) (lambdasvc.Invoker, error) {
	keys, err := keyring.New(ctx, s.Clouds.Ring)
	if err != nil {
		return nil, err
	}
	return functionurl.New(nodes.New(nodes.Deps{Table: s.Table, Sealer: s.Sealer, Now: s.Now, Log: s.Log, Keys: keys})), nil
}

func validateFunction(ctx context.Context, s Surroundings, env map[string]string) (lambdasvc.Invoker, error) {
	retention, err := eventRetention(env)
	if err != nil {
		return nil, err
	}
	keys, err := keyring.New(ctx, s.Clouds.Ring)
	if err != nil {
		return nil, err
	}
	starter, err := s.Workflows.Starter(env)
	if err != nil {
		return nil, err
	}
	return validate.New(validate.Deps{
		Table: s.Table, Sealer: s.Sealer, Now: s.Now, Log: s.Log, Keys: keys, EventRetention: retention, Start: starter,
	}), nil
}

func remindFunction(s Surroundings, env map[string]string) (lambdasvc.Invoker, error) {
	retention, err := eventRetention(env)
	if err != nil {
		return nil, err
	}
	return remind.New(remind.Deps{Table: s.Table, Now: s.Now, Log: s.Log, EventRetention: retention}), nil
}

func fleettasksFunction(s Surroundings, env map[string]string) (lambdasvc.Invoker, error) {
	retention, err := eventRetention(env)
	if err != nil {
		return nil, err
	}
	starter, err := s.Workflows.Starter(env)
	if err != nil {
		return nil, err
	}
	return fleettasks.New(fleettasks.Deps{
		Table: s.Table, Now: s.Now, Log: s.Log, EventRetention: retention, Start: starter, Domain: env["NODE_DOMAIN"],
	}), nil
}

func keytasksFunction(ctx context.Context, s Surroundings) (lambdasvc.Invoker, error) {
	keys, err := keyring.New(ctx, s.Clouds.Ring)
	if err != nil {
		return nil, err
	}
	return keytasks.New(keytasks.Deps{Table: s.Table, Sealer: s.Sealer, Now: s.Now, Log: s.Log, Keys: keys}), nil
}

func notifyFunction(s Surroundings, env map[string]string) (lambdasvc.Invoker, error) {
	allow, err := outbound.ParseAllowlist(env["NOTIFICATION_ALLOW_LIST"])
	if err != nil {
		return nil, fmt.Errorf("NOTIFICATION_ALLOW_LIST: %w", err)
	}
	jitter := s.Jitter
	if jitter == nil {
		jitter = rand.Float64
	}
	var mail, sms, topic notification.Channel
	var bus notification.Bus
	if from := env["MAIL_FROM"]; from != "" {
		mail = awsses.New(sesv2.NewFromConfig(s.Clouds.sender()), from)
	}
	if env["SMS_NOTIFICATIONS"] == "true" {
		sms = awssns.NewSMS(sns.NewFromConfig(s.Clouds.sender()))
	}
	if arn := env["ALERT_TOPIC_ARN"]; arn != "" {
		topic = awssns.NewTopic(sns.NewFromConfig(s.Clouds.sender()), arn)
	}
	if name := env["EVENT_BUS_NAME"]; name != "" {
		bus = awsbus.New(eventbridge.NewFromConfig(s.Clouds.sender()), name)
	}
	return notify.New(notify.Deps{
		Table: s.Table, Opener: s.Sealer, Now: s.Now, Log: s.Log, API: env["API_URL"], Jitter: jitter,
		Channels: notify.Channels(outbound.New(outbound.Options{Allow: allow, Transport: s.Web, Now: s.Now}), mail, sms), Topic: topic, Bus: bus,
	}), nil
}

func networktasksFunction(s Surroundings, spec template.Function) (lambdasvc.Invoker, error) {
	retention, err := eventRetention(spec.Environment)
	if err != nil {
		return nil, err
	}
	starter, err := s.Workflows.Starter(spec.Environment)
	if err != nil {
		return nil, err
	}
	connected, err := s.Clouds.connect(spec)
	if err != nil {
		return nil, err
	}
	return networktasks.New(networktasks.Deps{
		Table: s.Table, Now: s.Now, Log: s.Log, EventRetention: retention, Executions: starter, Clouds: connected,
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
