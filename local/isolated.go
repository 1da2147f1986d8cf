package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"

	"latchkey/local/runtimeapi"
	"latchkey/local/stack"
	"latchkey/local/template"
)

// isolate deploys the template of d into the pocket clouds and runs the functions' own programs, as
// AWS would: in processes that have nothing but their environment, with the permissions that
// the template gives them and no others.
func (s *suite) isolate(ctx context.Context, cfg config, d *deployment, log *slog.Logger) (*deployment, error) {
	if runtime.GOOS != "linux" {
		return nil, errors.New("-isolated needs Linux: elsewhere Go programs do not heed SSL_CERT_FILE, by which they come to trust the pocket clouds")
	}
	built := make(chan error, 1)
	programs := filepath.Join(cfg.data, "functions")
	go func() { built <- buildFunctions(ctx, cmp.Or(cfg.functions, programs), cfg.functions != "") }()
	err := s.deploy(ctx, cfg, d)
	err = errors.Join(err, <-built)
	if err != nil {
		return nil, err
	}
	network, err := d.clouds.OpenNetwork(ctx, cfg.data, cfg.now)
	if err != nil {
		return nil, fmt.Errorf("-data: %w", err)
	}
	s.closers = append(s.closers, network.Close)
	level := "WARN"
	if cfg.verbose {
		level = "DEBUG"
	}
	var running []*runtimeapi.Function
	for _, spec := range d.specs {
		made := stack.Lambda(spec, nil)
		f := runtimeapi.New(runtimeapi.Config{
			Program: filepath.Join(cmp.Or(cfg.functions, programs), spec.Name), Name: spec.FunctionName, ARN: made.ARN,
			Environment: network.Environment(spec, d.clouds.Secrets.Functions[spec.Name], level),
			Timeout:     spec.Timeout, Invocations: cfg.invocations, Now: cfg.now, Log: log.With(slog.String("function", spec.Name)),
		})
		s.closers = append(s.closers, f.Close)
		running = append(running, f)
		made.Handler, made.Timeout = f, f.Longest() // a cold start is not counted against the function's own time-out
		d.functions = append(d.functions, made)
	}
	return d, warm(ctx, d.specs, running)
}

// warm starts a process of every function, so that the suite is ready when it says so.
func warm(ctx context.Context, specs []template.Function, running []*runtimeapi.Function) error {
	failed := make([]error, len(running))
	var all sync.WaitGroup
	for i, f := range running {
		all.Go(func() {
			if err := f.Warm(ctx); err != nil {
				failed[i] = fmt.Errorf("functions/%s does not start: %w", specs[i].Name, err)
			}
		})
	}
	all.Wait()
	return errors.Join(failed...)
}

// buildFunctions builds the functions' programs for this machine, as they are deployed but for
// the platform. What is up to date is left alone.
func buildFunctions(ctx context.Context, dir string, given bool) error {
	if given {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil { //nolint:gosec // G703: the user names the folder
		return fmt.Errorf("-data: %w", err)
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-tags", "lambda.norpc", "-o", dir+string(filepath.Separator), "latchkey/functions/...") //nolint:gosec // G204: the user names the folder
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the functions: %w\n%s", err, bytes.TrimSpace(out))
	}
	return nil
}

// deploy does what an operator and CloudFormation do: secrets, then the stack of d.
func (s *suite) deploy(ctx context.Context, cfg config, d *deployment) error {
	if err := s.openClouds(ctx, cfg, d); err != nil {
		return err
	}
	parameters, err := d.clouds.Parameters(ctx)
	if err != nil {
		return fmt.Errorf("pocket Secrets Manager: %w", err)
	}
	maps.Copy(parameters, cfg.parameters)
	if d.template, d.specs, err = stack.Resolve(parameters); err != nil {
		return err
	}
	d.specs = stack.WithAPI(d.specs, s.at.url())
	if err := d.clouds.DeployAll(ctx, d.template, d.specs); err != nil {
		return err
	}
	s.secrets, s.specs = d.clouds.Secrets, d.specs
	return nil
}
