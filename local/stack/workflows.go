package stack

import (
	"context"
	crand "crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"latchkey"
	"latchkey/local/lambdasvc"
	"latchkey/local/pocket"
	"latchkey/local/states/asl"
	"latchkey/local/states/engine"
	"latchkey/local/states/journal"
	"latchkey/local/states/sfnapi"
	"latchkey/local/template"
	"latchkey/shared/workflow"
	"latchkey/shared/workflow/awshistory"
	"latchkey/shared/workflow/awssfn"
)

// Machines reads the definitions of the template's state machines, by their names. Nothing changes
// what it returns, so many Workflows can be made of it.
func Machines(tmpl *template.Template) (map[string]*asl.Machine, error) {
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
	return machines, nil
}

// WorkflowsConfig is what Workflows need. Fields without a default are required.
type WorkflowsConfig struct {
	Machines map[string]*asl.Machine // see Machines
	Journal  journal.Journal
	Now      func() time.Time
	// Rand is drawn from once, for the seed of all that executions draw; nil is a random seed.
	Rand rand.Source
	Log  *slog.Logger
	// Wrap is put around what functions send to Step Functions; nil is nothing.
	Wrap func(http.RoundTripper) http.RoundTripper
}

// Workflows execute the state machines of the template. Executions may be started before Engine
// runs and before there are functions; they go on then.
type Workflows struct {
	Engine *engine.Engine
	API    *sfnapi.API

	transport http.RoundTripper // to API
	functions []lambdasvc.Function
	running   sync.WaitGroup // invocations
}

// NewWorkflows returns Workflows that continue what is in the journal once Engine runs.
func NewWorkflows(cfg WorkflowsConfig) *Workflows {
	if cfg.Rand == nil {
		var seed [32]byte
		crand.Read(seed[:]) // never fails since Go 1.24
		cfg.Rand = rand.NewChaCha8(seed)
	}
	w := &Workflows{}
	w.Engine = engine.New(engine.Config{
		Journal: cfg.Journal, Invoke: w.invoke, Machines: cfg.Machines, Now: cfg.Now, Rand: cfg.Rand, Log: cfg.Log,
		Region: Region, AccountID: OperatorAccount,
	})
	w.API = sfnapi.New(w.Engine, cfg.Log)
	w.transport = pocket.Transport(w.API)
	if cfg.Wrap != nil {
		w.transport = cfg.Wrap(w.transport)
	}
	return w
}

// Call says which functions the executions call. It comes before Engine runs; a function that is made
// anew later has a Handler that leads to it.
func (w *Workflows) Call(functions []lambdasvc.Function) { w.functions = functions }

// Wait returns when no invocation is under way. Engine no longer runs then.
func (w *Workflows) Wait() { w.running.Wait() }

// invoke is how a state machine calls a function.
func (w *Workflows) invoke(ctx context.Context, name string, payload []byte) ([]byte, error) {
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

// Starter starts the state machines that the template names to a function in its environment, as that
// function does when it is deployed: by the official client.
func (w *Workflows) Starter(env map[string]string) (*awssfn.Starter, error) {
	arns, err := machinesIn(env, "STATE_MACHINE_ARNS")
	if err != nil {
		return nil, err
	}
	return awssfn.NewStarter(w.client(), arns), nil
}

// Reader reads the executions of the state machines that the template names to a function for that.
func (w *Workflows) Reader(env map[string]string, now func() time.Time) (*awshistory.Reader, error) {
	arns, err := machinesIn(env, "SHOWN_STATE_MACHINE_ARNS")
	if err != nil {
		return nil, err
	}
	return awshistory.NewReader(w.client(), arns, now), nil
}

func machinesIn(env map[string]string, variable string) (map[workflow.Kind]string, error) {
	arns := map[workflow.Kind]string{}
	if err := json.Unmarshal([]byte(env[variable]), &arns); err != nil {
		return nil, fmt.Errorf("%s: %w", variable, err)
	}
	if len(arns) == 0 {
		return nil, errors.New(variable + " names no state machine")
	}
	return arns, nil
}

func (w *Workflows) client() *sfn.Client {
	return sfn.New(sfn.Options{
		Region: Region, Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""),
		HTTPClient: &http.Client{Transport: w.transport},
	})
}
