package statestest

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"latchkey/local/pocket"
	"latchkey/local/states/asl"
	"latchkey/local/states/engine"
	"latchkey/local/states/journal"
	"latchkey/local/states/sfnapi"
	"latchkey/shared/workflow"
	"latchkey/shared/workflow/awssfn"
)

// Workflows are state machines of the suite in an engine, which is reached through the official client as
// in a deployment. The engine has to be run.
type Workflows struct {
	Engine *engine.Engine
	// Refuse, if set, is what starting an execution fails with.
	Refuse error

	starter *awssfn.Starter
}

// Deployed reads the machines' files in a folder. Their executions are kept in a journal.
func Deployed(t testing.TB, folder string, kept journal.Journal, functions map[string]Function, kinds ...workflow.Kind) *Workflows {
	t.Helper()
	machines, arns := map[string]*asl.Machine{}, map[workflow.Kind]string{}
	for _, kind := range kinds {
		machines[string(kind)] = Load(t, filepath.Join(folder, string(kind)+".asl.json"), nil)
	}
	log := slog.New(slog.DiscardHandler)
	w := &Workflows{Engine: engine.New(engine.Config{
		Journal: kept, Now: time.Now, Rand: rand.NewPCG(1, 2), Log: log, Machines: machines, Invoke: Invoker(functions),
	})}
	for _, kind := range kinds {
		arns[kind] = w.Engine.MachineARN(string(kind))
	}
	w.starter = awssfn.NewStarter(sfn.New(sfn.Options{
		Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""), RetryMaxAttempts: 1,
		HTTPClient: &http.Client{Transport: pocket.Transport(sfnapi.Handler(w.Engine, log))},
	}), arns)
	return w
}

// Start implements suite.Executions.
func (w *Workflows) Start(ctx context.Context, x workflow.Execution) error {
	if w.Refuse != nil {
		return w.Refuse
	}
	return w.starter.Start(ctx, x)
}

// Ensure implements suite.Executions.
func (w *Workflows) Ensure(ctx context.Context, x workflow.Execution) (ended bool, err error) {
	if w.Refuse != nil {
		return false, w.Refuse
	}
	return w.starter.Ensure(ctx, x)
}

// Ends is how the executions of a workflow ended, or where they are: their status and their last state,
// oldest first. It must be called in a synctest bubble.
func (w *Workflows) Ends(t testing.TB, kind workflow.Kind) []string {
	t.Helper()
	synctest.Wait() // the last step of an execution is a moment behind what it wrote
	var all []string
	for page := (engine.Page{Limit: 100}); ; {
		list, next, err := w.Engine.List(w.Engine.MachineARN(string(kind)), "", page)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range list {
			r := Read(t, w.Engine, x.ARN)
			all = append(all, string(r.Status)+" "+r.Path[len(r.Path)-1])
		}
		if next == "" {
			break
		}
		page.Token = next
	}
	slices.Reverse(all)
	return all
}
