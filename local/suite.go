package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"go.etcd.io/bbolt"

	"latchkey"
	"latchkey/local/gateway"
	"latchkey/local/lambdasvc"
	"latchkey/local/schedule"
	"latchkey/local/template"
	"latchkey/shared/httpapi/apigw"
	"latchkey/shared/identity/authn"
	"latchkey/shared/identity/directory"
	signingkeys "latchkey/shared/identity/keyring"
	"latchkey/shared/kms/keyring"
	"latchkey/shared/seal"
	"latchkey/shared/seal/fileseal"
	"latchkey/shared/store"
	"latchkey/shared/store/bolt"
	"latchkey/shared/suite/adminapi"
	"latchkey/shared/suite/authorizer"
	"latchkey/shared/suite/encryption"
	"latchkey/shared/suite/operator"
)

// suite is everything that runs.
type suite struct {
	gateway   http.Handler
	lambda    *lambdasvc.Service
	schedules *schedule.Scheduler
	clouds    http.Handler

	at      addresses
	owner   owner
	secrets secrets
	specs   []template.Function // as they are deployed; of isolated functions only
	closers []func() error      // in the order of opening
}

// surroundings are what the functions have in the place of AWS.
type surroundings struct {
	table  store.Table
	sealer *seal.Sealer
	now    func() time.Time
	log    *slog.Logger
	clouds *clouds
}

// open opens the data, makes the functions of the template and puts the gateway in front.
func open(ctx context.Context, cfg config, at addresses, log *slog.Logger) (_ *suite, err error) {
	s := &suite{at: at}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	run := s.inProcess
	if cfg.isolated {
		run = s.isolate
	}
	d, err := run(ctx, cfg, log)
	if err != nil {
		return nil, err
	}
	s.lambda = lambdasvc.New(d.functions, cfg.now, log)
	byID := map[string]lambdasvc.Invoker{}
	for _, f := range d.functions {
		byID[f.ID] = f
	}
	s.gateway, err = gateway.New(gateway.Config{Template: d.template, Functions: byID, Now: cfg.now, Log: log})
	if err != nil {
		return nil, err
	}
	if s.schedules, err = schedules(d.template, byID, cfg.now, log); err != nil {
		return nil, err
	}
	i := slices.IndexFunc(d.functions, func(f lambdasvc.Function) bool { return f.Name == "operator" })
	if i < 0 {
		return nil, errors.New("the template has no function operator")
	}
	s.owner, err = ensureOwner(ctx, d.clouds.state, d.functions[i].Handler, cfg.owner)
	return s, err
}

// deployment is the template as it runs: its functions, and the clouds that they reach.
type deployment struct {
	template  *template.Template
	functions []lambdasvc.Function
	clouds    *clouds
}

// inProcess runs the functions within this process, over the embedded table.
func (s *suite) inProcess(ctx context.Context, cfg config, log *slog.Logger) (*deployment, error) {
	tmpl, specs, err := resolve(cfg.parameters)
	if err != nil {
		return nil, err
	}
	around, err := s.surroundings(ctx, cfg, log)
	if err != nil {
		return nil, err
	}
	if around.clouds, err = s.openClouds(ctx, cfg, specs); err != nil {
		return nil, err
	}
	functions, err := makeFunctions(ctx, specs, around)
	return &deployment{template: tmpl, functions: functions, clouds: around.clouds}, err
}

func resolve(parameters map[string]string) (*template.Template, []template.Function, error) {
	tmpl, err := template.Parse(latchkey.Template(), template.Options{Parameters: parameters})
	if err != nil {
		return nil, nil, err
	}
	specs, err := tmpl.Functions()
	return tmpl, specs, err
}

// schedules makes the schedules of the template, which come due while the suite runs.
func schedules(
	tmpl *template.Template, functions map[string]lambdasvc.Invoker, now func() time.Time, log *slog.Logger,
) (*schedule.Scheduler, error) {
	all, err := schedule.Read(tmpl)
	if err != nil {
		return nil, err
	}
	return schedule.New(all, functions, now, log)
}

// openClouds opens the pocket clouds, in which the suite is known as the template has it.
func (s *suite) openClouds(ctx context.Context, cfg config, specs []template.Function) (*clouds, error) {
	db, err := bbolt.Open(filepath.Join(cfg.data, "clouds.db"), 0o600, &bbolt.Options{Timeout: time.Second})
	if err != nil {
		return nil, fmt.Errorf("-data: %w", err)
	}
	s.closers = append(s.closers, db.Close)
	i := slices.IndexFunc(specs, func(f template.Function) bool { return f.Name == "encryption" })
	if i < 0 {
		return nil, errors.New("the template has no function encryption")
	}
	env := specs[i].Environment
	c, err := openClouds(ctx, db, cfg.now, env["AZURE_APP_ID"], env["GOOGLE_PROJECT_ID"])
	if err != nil {
		return nil, err
	}
	s.clouds, s.secrets = c.served, c.secrets
	return c, nil
}

func (s *suite) surroundings(ctx context.Context, cfg config, log *slog.Logger) (surroundings, error) {
	table, err := bolt.Open(filepath.Join(cfg.data, "table.db"))
	if err != nil {
		return surroundings{}, fmt.Errorf("-data: %w", err)
	}
	s.closers = append(s.closers, table.Close)
	wrapper, err := fileseal.Open(filepath.Join(cfg.data, "seal.key"))
	if err != nil {
		return surroundings{}, fmt.Errorf("-data: %w", err)
	}
	around := surroundings{table: table, sealer: seal.New(wrapper, cfg.now), now: cfg.now, log: log}
	// Without the key that the table's secrets were sealed with no request could be authenticated.
	if _, err := (&signingkeys.Keyring{Table: table, Sealer: around.sealer, Now: cfg.now}).Ring(ctx); err != nil {
		return surroundings{}, fmt.Errorf(
			"-data: the seal.key in %s does not open what table.db holds; put the right one back, or remove the folder to begin anew: %w",
			cfg.data, err)
	}
	return around, nil
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
	return apigw.New(adminapi.New(adminapi.Deps{
		Table: s.table, Sealer: s.sealer, Now: s.now, Log: s.log,
		EventRetention: retention, ControlPlane: addresses,
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
	// The pocket clouds' grants take effect at once, so nobody waits for them here.
	return apigw.New(encryption.New(encryption.Deps{
		Table: s.table, Sealer: s.sealer, Now: s.now, Log: s.log, Keys: keys, EventRetention: retention,
		AllowAWSUserKeys: env["ALLOW_AWS_USER_KEYS"] == "true", AWSPrincipalARN: env["AWS_PRINCIPAL_ARN"],
		AzureAppID: env["AZURE_APP_ID"], Google: s.clouds.accounts,
	})), nil
}

func eventRetention(env map[string]string) (time.Duration, error) {
	days, err := strconv.ParseUint(env["EVENT_RETENTION_DAYS"], 10, 16)
	if err != nil {
		return 0, fmt.Errorf("EVENT_RETENTION_DAYS: %w", err)
	}
	return time.Duration(days) * 24 * time.Hour, nil
}

// close ends what was opened.
func (s *suite) close() error {
	if s.lambda != nil {
		s.lambda.Wait()
	}
	var failed error
	for _, closer := range slices.Backward(s.closers) {
		failed = errors.Join(failed, closer())
	}
	return failed
}
