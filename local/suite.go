package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"latchkey"
	"latchkey/local/functionurl"
	"latchkey/local/gateway"
	"latchkey/local/lambdasvc"
	"latchkey/local/schedule"
	"latchkey/local/template"
	signingkeys "latchkey/shared/identity/keyring"
	"latchkey/shared/seal"
	"latchkey/shared/seal/fileseal"
	"latchkey/shared/store"
	"latchkey/shared/store/bolt"
)

// suite is everything that runs.
type suite struct {
	gateway   http.Handler
	lambda    *lambdasvc.Service
	nodes     http.Handler
	workflows *workflows
	clouds    http.Handler
	databases http.Handler // nil without a fleet
	table     store.Table  // nil of isolated functions
	// background is what acts by itself while the suite runs, and uses what is served; schedules do so too,
	// and end first.
	background []func(context.Context)
	schedules  func(context.Context)

	at      addresses
	owner   owner
	secrets secrets
	specs   []template.Function // as they are deployed; of isolated functions only
	closers []func() error      // in the order of opening
}

// open opens the data, makes the functions of the template and puts the gateway in front.
func open(ctx context.Context, cfg config, at addresses, log *slog.Logger) (_ *suite, err error) {
	s := &suite{at: at}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.workflows, err = s.openWorkflows(cfg, log); err != nil {
		return nil, err
	}
	run := s.inProcess
	if cfg.isolated {
		run = s.isolate
	}
	d, err := run(ctx, cfg, log)
	if err != nil {
		return nil, err
	}
	if err := s.openStreams(cfg, d, log); err != nil {
		return nil, err
	}
	s.workflows.functions = d.functions
	s.lambda = lambdasvc.New(d.functions, cfg.now, log)
	byID := map[string]lambdasvc.Invoker{}
	for _, f := range d.functions {
		byID[f.ID] = f
	}
	s.gateway, err = gateway.New(gateway.Config{Template: d.template, Functions: byID, Now: cfg.now, Log: log})
	if err != nil {
		return nil, err
	}
	if s.nodes, err = nodesURL(d, cfg.now, log); err != nil {
		return nil, err
	}
	due, err := schedules(d.template, byID, cfg.now, log)
	if err != nil {
		return nil, err
	}
	s.schedules = due.Run
	if !cfg.noFleet {
		if err := s.openFleet(cfg, d.functions, log); err != nil {
			return nil, err
		}
	}
	i := slices.IndexFunc(d.functions, func(f lambdasvc.Function) bool { return f.Name == "operator" })
	if i < 0 {
		return nil, errors.New("the template has no function operator")
	}
	s.owner, err = ensureOwner(ctx, d.clouds.state, d.functions[i].Handler, cfg.owner)
	return s, err
}

// nodesURL is the URL of the one function that has one.
func nodesURL(d *deployment, now func() time.Time, log *slog.Logger) (http.Handler, error) {
	specs, err := d.template.Functions()
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(specs, func(f template.Function) bool { return f.URL != nil })
	if i < 0 || specs[i].Name != "nodes" {
		return nil, errors.New("the template has no URL of the function nodes")
	}
	return functionurl.New(d.functions[i], now, log), nil
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
	s.settle(specs)
	around, err := s.surroundings(ctx, cfg, log)
	if err != nil {
		return nil, err
	}
	if around.clouds, err = s.openClouds(ctx, cfg, specs); err != nil {
		return nil, err
	}
	if err := around.clouds.aws.Deploy(around.clouds.operatorsAccount()); err != nil { // the folder may be an earlier version's
		return nil, err
	}
	around.workflows = s.workflows
	functions, err := makeFunctions(ctx, specs, around)
	return &deployment{template: tmpl, functions: functions, clouds: around.clouds}, err
}

// resolve reads the template with some of its parameters; the networks are the pocket clouds' unless
// they are among them.
func resolve(parameters map[string]string) (*template.Template, []template.Function, error) {
	networks, err := pocketNetworks()
	if err != nil {
		return nil, nil, err
	}
	all := told()
	all["PrivateEndpointNetworks"] = networks
	maps.Copy(all, parameters)
	tmpl, err := template.Parse(latchkey.Template(), template.Options{Parameters: all})
	if err != nil {
		return nil, nil, err
	}
	specs, err := tmpl.Functions()
	return tmpl, specs, err
}

// settle has functions that know the address of the API, to lead to it in messages, know that of this
// machine instead of API Gateway's.
func (s *suite) settle(specs []template.Function) {
	for _, spec := range specs {
		if _, knows := spec.Environment["API_URL"]; knows && s.at.api != "" {
			spec.Environment["API_URL"] = "http://" + s.at.api
		}
	}
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
	c, err := openClouds(ctx, db, cfg, s.workflows, env["AZURE_APP_ID"], env["GOOGLE_PROJECT_ID"])
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
	s.table = table
	s.background = append(s.background, housekeeping(table, cfg.now, log))
	wrapper, err := fileseal.Open(filepath.Join(cfg.data, "seal.key"))
	if err != nil {
		return surroundings{}, fmt.Errorf("-data: %w", err)
	}
	around := surroundings{table: table, sealer: seal.New(wrapper, cfg.now), now: cfg.now, log: log, web: cfg.web}
	// Without the key that the table's secrets were sealed with no request could be authenticated.
	if _, err := (&signingkeys.Keyring{Table: table, Sealer: around.sealer, Now: cfg.now}).Ring(ctx); err != nil {
		return surroundings{}, fmt.Errorf(
			"-data: the seal.key in %s does not open what table.db holds; put the right one back, or remove the folder to begin anew: %w",
			cfg.data, err)
	}
	return around, nil
}

// close ends what was opened.
func (s *suite) close() error {
	if s.lambda != nil {
		within(shutdownGrace, s.lambda.Wait)
		within(shutdownGrace, s.workflows.running.Wait)
	}
	var failed error
	for _, closer := range slices.Backward(s.closers) {
		failed = errors.Join(failed, closer())
	}
	return failed
}
