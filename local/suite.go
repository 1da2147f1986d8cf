package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"latchkey/local/lambdasvc"
	"latchkey/local/pocket"
	"latchkey/local/stack"
	"latchkey/local/states/asl"
	"latchkey/local/states/journal"
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
	workflows *stack.Workflows
	clouds    http.Handler
	databases http.Handler // nil without a fleet
	table     store.Table  // nil of isolated functions
	// background is what acts by itself while the suite runs, and uses what is served; schedules do so too,
	// and end first.
	background []func(context.Context)
	schedules  func(context.Context)

	at        addresses
	owner     stack.Owner
	secrets   stack.Secrets
	functions []lambdasvc.Function
	specs     []template.Function // as they are deployed; of isolated functions only
	closers   []func() error      // in the order of opening
}

// open opens the data, makes the functions of the template and puts the gateway in front.
func open(ctx context.Context, cfg config, at addresses, log *slog.Logger) (_ *suite, err error) {
	s := &suite{at: at}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	parts, err := cfg.read(cfg.parameters)
	if err != nil {
		return nil, err
	}
	if s.workflows, err = s.openWorkflows(cfg, parts.machines, log); err != nil {
		return nil, err
	}
	run := s.inProcess
	if cfg.isolated {
		run = s.isolate
	}
	d, err := run(ctx, cfg, &deployment{template: parts.template, specs: stack.WithAPI(parts.specs, s.at.url())}, log)
	if err != nil {
		return nil, err
	}
	if err := s.openStreams(cfg, d, log); err != nil {
		return nil, err
	}
	if err := s.serve(cfg, d, log); err != nil {
		return nil, err
	}
	operator, err := stack.Named(d.functions, "operator")
	if err != nil {
		return nil, err
	}
	s.owner, err = stack.EnsureOwner(ctx, d.state, operator.Handler, cfg.owner)
	return s, err
}

// serve puts what calls the functions in front of them.
func (s *suite) serve(cfg config, d *deployment, log *slog.Logger) (err error) {
	s.functions = d.functions
	s.workflows.Call(d.functions)
	s.lambda = lambdasvc.New(d.functions, cfg.now, log)
	if s.gateway, err = stack.Gateway(d.template, d.functions, cfg.now, log); err != nil {
		return err
	}
	if s.nodes, err = stack.NodesURL(d.template, d.functions, cfg.now, log); err != nil {
		return err
	}
	due, err := stack.Schedules(d.template, d.functions, cfg.now, log)
	if err != nil {
		return err
	}
	s.schedules = due.Run
	if cfg.noFleet {
		return nil
	}
	return s.openFleet(cfg, d.functions, log)
}

// parts are what is read of the template, and never changed.
type parts struct {
	template *template.Template
	specs    []template.Function
	machines map[string]*asl.Machine
}

func readParts(parameters map[string]string) (parts, error) {
	tmpl, specs, err := stack.Resolve(parameters)
	if err != nil {
		return parts{}, err
	}
	machines, err := stack.Machines(tmpl)
	return parts{template: tmpl, specs: specs, machines: machines}, err
}

// openWorkflows opens the journal of executions.
func (s *suite) openWorkflows(cfg config, machines map[string]*asl.Machine, log *slog.Logger) (*stack.Workflows, error) {
	db, err := bbolt.Open(filepath.Join(cfg.data, "workflows.db"), 0o600, &bbolt.Options{Timeout: time.Second})
	if err != nil {
		return nil, fmt.Errorf("-data: %w", err)
	}
	s.closers = append(s.closers, db.Close)
	kept, err := journal.Bolt(db, "executions")
	if err != nil {
		return nil, fmt.Errorf("-data: %w", err)
	}
	if cfg.journal != nil {
		kept = cfg.journal(kept)
	}
	return stack.NewWorkflows(stack.WorkflowsConfig{Machines: machines, Journal: kept, Now: cfg.now, Log: log}), nil
}

// deployment is the template as it runs: its functions, and the clouds that they reach.
type deployment struct {
	template  *template.Template
	specs     []template.Function
	functions []lambdasvc.Function
	clouds    *stack.Clouds
	state     pocket.State // of the clouds
}

// inProcess runs the functions of d within this process, over the embedded table.
func (s *suite) inProcess(ctx context.Context, cfg config, d *deployment, log *slog.Logger) (*deployment, error) {
	around, err := s.surroundings(ctx, cfg, log)
	if err != nil {
		return nil, err
	}
	if err := s.openClouds(ctx, cfg, d); err != nil {
		return nil, err
	}
	if err := d.clouds.Deploy(d.specs); err != nil {
		return nil, err
	}
	around.Clouds, around.Workflows, around.API = d.clouds, s.workflows, s.at.url()
	d.functions, err = stack.Functions(ctx, d.specs, around)
	return d, err
}

// openClouds opens the pocket clouds, in which the suite is known as the template has it.
func (s *suite) openClouds(ctx context.Context, cfg config, d *deployment) error {
	db, err := bbolt.Open(filepath.Join(cfg.data, "clouds.db"), 0o600, &bbolt.Options{Timeout: time.Second})
	if err != nil {
		return fmt.Errorf("-data: %w", err)
	}
	s.closers = append(s.closers, db.Close)
	d.state = pocket.Bolt(db)
	d.clouds, err = stack.OpenClouds(ctx, stack.CloudsConfig{
		State: d.state, DB: db, Now: cfg.now, Workflows: s.workflows, Functions: d.specs, EndpointDelay: cfg.endpointDelay,
		GenerateKey: cfg.generateKey,
	})
	if err != nil {
		return err
	}
	s.clouds, s.secrets = d.clouds.Served, d.clouds.Secrets
	return nil
}

func (s *suite) surroundings(ctx context.Context, cfg config, log *slog.Logger) (stack.Surroundings, error) {
	table, err := bolt.Open(filepath.Join(cfg.data, "table.db"))
	if err != nil {
		return stack.Surroundings{}, fmt.Errorf("-data: %w", err)
	}
	s.closers = append(s.closers, table.Close)
	s.table = table
	s.background = append(s.background, housekeeping(table, cfg.now, log))
	wrapper, err := fileseal.Open(filepath.Join(cfg.data, "seal.key"))
	if err != nil {
		return stack.Surroundings{}, fmt.Errorf("-data: %w", err)
	}
	around := stack.Surroundings{Table: table, Sealer: seal.New(wrapper, cfg.now), Now: cfg.now, Log: log, Web: cfg.web}
	// Without the key that the table's secrets were sealed with no request could be authenticated.
	if _, err := (&signingkeys.Keyring{Table: table, Sealer: around.Sealer, Now: cfg.now}).Ring(ctx); err != nil {
		return stack.Surroundings{}, fmt.Errorf(
			"-data: the seal.key in %s does not open what table.db holds; put the right one back, or remove the folder to begin anew: %w",
			cfg.data, err)
	}
	return around, nil
}

// close ends what was opened.
func (s *suite) close() error {
	if s.lambda != nil {
		within(shutdownGrace, s.lambda.Wait)
		within(shutdownGrace, s.workflows.Wait)
	}
	var failed error
	for _, closer := range slices.Backward(s.closers) {
		failed = errors.Join(failed, closer())
	}
	return failed
}

// within waits for what ends by itself, but no longer than for a while.
func within(most time.Duration, wait func()) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		wait()
	}()
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
	}
}
