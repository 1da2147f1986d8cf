package main

import (
	"context"
	crand "crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"go.etcd.io/bbolt"

	"latchkey"
	"latchkey/local/lambdasvc"
	"latchkey/local/pocket"
	"latchkey/local/states/asl"
	"latchkey/local/states/engine"
	"latchkey/local/states/journal"
	"latchkey/local/states/sfnapi"
	"latchkey/shared/workflow"
	"latchkey/shared/workflow/awssfn"
)

// workflows executes the state machines of the template. Executions may be started before it runs
// and before there are functions; they go on then.
type workflows struct {
	engine    *engine.Engine
	api       *sfnapi.API
	functions []lambdasvc.Function // set before the engine runs
	running   sync.WaitGroup       // invocations
}

// openWorkflows opens the journal of executions and reads the definitions that are deployed.
func (s *suite) openWorkflows(cfg config, log *slog.Logger) (*workflows, error) {
	tmpl, _, err := resolve(cfg.parameters)
	if err != nil {
		return nil, err
	}
	all, err := tmpl.StateMachines()
	if err != nil {
		return nil, err
	}
	machines := map[string]*asl.Machine{}
	for _, m := range all {
		definition, err := latchkey.StateMachine(m.DefinitionURI)
		if err != nil {
			return nil, err
		}
		if definition, err = asl.Substitute(definition, m.Substitutions); err != nil {
			return nil, fmt.Errorf("%s: %w", m.DefinitionURI, err)
		}
		if machines[m.Name], err = asl.Parse(m.DefinitionURI, definition); err != nil {
			return nil, err
		}
	}
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
	var seed [32]byte
	crand.Read(seed[:])
	w := &workflows{}
	w.engine = engine.New(engine.Config{
		Journal: kept, Invoke: w.invoke, Machines: machines, Now: cfg.now, Rand: rand.NewChaCha8(seed), Log: log,
		Region: deployedRegion, AccountID: operatorAccount,
	})
	w.api = sfnapi.New(w.engine, log)
	return w, nil
}

// invoke is how a state machine calls a function.
func (w *workflows) invoke(ctx context.Context, name string, payload []byte) ([]byte, error) {
	i := slices.IndexFunc(w.functions, func(f lambdasvc.Function) bool { return name == f.ID || name == f.FunctionName })
	if i < 0 {
		return nil, &engine.ServiceError{Code: "ResourceNotFoundException", Message: "Function not found: " + name}
	}
	w.running.Add(1)
	defer w.running.Done()
	out, err := w.functions[i].Invoke(ctx, payload)
	if err != nil {
		return nil, &engine.FunctionError{Payload: lambdasvc.AsError(err).Payload()}
	}
	return out, nil
}

// starter starts the state machines that the template names to a function, as that function
// does when it is deployed: by the official client.
func (w *workflows) starter(env map[string]string) (*awssfn.Starter, error) {
	arns := map[workflow.Kind]string{}
	if err := json.Unmarshal([]byte(env["STATE_MACHINE_ARNS"]), &arns); err != nil {
		return nil, fmt.Errorf("STATE_MACHINE_ARNS: %w", err)
	}
	if len(arns) == 0 {
		return nil, errors.New("STATE_MACHINE_ARNS names no state machine")
	}
	client := sfn.New(sfn.Options{
		Region: deployedRegion, Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""),
		HTTPClient: &http.Client{Transport: pocket.Transport(w.api)},
	})
	return awssfn.NewStarter(client, arns), nil
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
