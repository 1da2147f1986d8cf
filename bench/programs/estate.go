package programs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"

	"latchkey/bench/ratio"
	"latchkey/local/pocket"
	"latchkey/local/runtimeapi"
	"latchkey/local/stack"
	"latchkey/local/states/journal"
	"latchkey/local/template"
)

// estate is the template, deployed into pocket clouds, with the functions' own programs.
type estate struct {
	lab      *ratio.Lab
	template *template.Template
	specs    []template.Function
	clouds   *stack.Clouds
	state    pocket.State
	network  *stack.Network
	log      *slog.Logger // of what programs complain about
}

// openEstate deploys the template as latchkey -isolated does.
func openEstate(ctx context.Context, lab *ratio.Lab) (*estate, error) {
	e := &estate{lab: lab, log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	if err := e.openClouds(ctx); err != nil {
		return nil, err
	}
	parameters, err := e.clouds.Parameters(ctx)
	if err != nil {
		return nil, err
	}
	if e.template, e.specs, err = stack.Resolve(parameters); err != nil {
		return nil, err
	}
	if err := e.clouds.DeployAll(ctx, e.template, e.specs); err != nil {
		return nil, err
	}
	if e.network, err = e.clouds.OpenNetwork(ctx, lab.Dir, time.Now); err != nil {
		return nil, err
	}
	lab.Defer(func() { e.network.Close() }) //nolint:errcheck // nobody uses it any more
	return e, nil
}

func (e *estate) openClouds(ctx context.Context) error {
	db, err := bbolt.Open(filepath.Join(e.lab.Dir, "clouds.db"), 0o600, &bbolt.Options{NoSync: true}) // it goes with the lab
	if err != nil {
		return err
	}
	e.lab.Defer(func() { db.Close() }) //nolint:errcheck // its folder goes away
	tmpl, specs, err := stack.Resolve(nil)
	if err != nil {
		return err
	}
	machines, err := stack.Machines(tmpl)
	if err != nil {
		return err
	}
	e.state = pocket.Bolt(db)
	e.clouds, err = stack.OpenClouds(ctx, stack.CloudsConfig{
		State: e.state, DB: db, Now: time.Now, Functions: specs,
		Workflows: stack.NewWorkflows(stack.WorkflowsConfig{Machines: machines, Journal: journal.Memory(), Now: time.Now, Log: e.log}),
	})
	return err
}

// function is a function's own program, built for this machine, in the environment of the template. Each of its
// processes has whatever the program needs.
func (e *estate) function(ctx context.Context, name string) (runtimeapi.Config, error) {
	for _, spec := range e.specs {
		if spec.Name != name {
			continue
		}
		program, err := e.lab.Build(ctx, "latchkey/functions/"+name)
		return runtimeapi.Config{
			Program: program, Name: spec.FunctionName, ARN: stack.Lambda(spec, nil).ARN,
			Environment: e.network.Environment(spec, e.clouds.Secrets.Functions[name], "WARN"),
			Timeout:     spec.Timeout, InitTimeout: patience, Processes: 1, Now: time.Now, Log: e.log,
		}, err
	}
	return runtimeapi.Config{}, fmt.Errorf("the template has no function %s", name)
}

// patience is how long a program may take on a machine that others use too.
const patience = time.Minute

// hello is the program that functions are compared with.
func hello(ctx context.Context, lab *ratio.Lab, answer []byte, log *slog.Logger) (runtimeapi.Config, error) {
	program, err := lab.Build(ctx, "latchkey/bench/programs/hello")
	return runtimeapi.Config{
		Program: program, Name: "hello", ARN: "arn:aws:lambda:" + stack.Region + ":" + stack.OperatorAccount + ":function:hello",
		Environment: []string{"ANSWER=" + string(answer)},
		Timeout:     patience, InitTimeout: patience, Processes: 1, Now: time.Now, Log: log,
	}, err
}

// errGone is about a process that ended while it was measured.
var errGone = errors.New("the process is gone")

// spent is the CPU time that a function's one process has used so far.
func spent(f *runtimeapi.Function) (time.Duration, error) {
	ids := f.Processes()
	if len(ids) != 1 {
		return 0, errGone
	}
	return ratio.CPUOfProcess(ids[0])
}
