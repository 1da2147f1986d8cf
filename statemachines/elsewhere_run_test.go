package statemachines_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"latchkey/local/states/statestest"
)

// onStepFunctions executes trials on a Step Functions, all at once: it waits in earnest.
func onStepFunctions(t *testing.T, trials []trial) []outcome {
	t.Helper()
	all, functions := scripts(trials)
	serveLambda(t, os.Getenv(lambdaVariable), functions)
	outcomes := make([]outcome, len(trials))
	var executions sync.WaitGroup
	for i, tr := range trials {
		executions.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), longestTrial)
			defer cancel()
			r, err := statestest.ExecuteOn(ctx, os.Getenv(stepFunctionsVariable), string(tr.Definition), string(tr.Input))
			if err != nil {
				t.Errorf("%s: %v", tr.name, err)
				return
			}
			outcomes[i] = outcomeOf(t, r.Path, r.Output, r.Error, r.Cause, all[i])
		})
	}
	executions.Wait()
	return outcomes
}

// longestTrial is how long an execution may take in earnest: it retries 20 times, after up to a second each.
const longestTrial = 3 * time.Minute

// onNode executes trials with aws-local-stepfunctions, all at once.
func onNode(t *testing.T, trials []trial) []outcome {
	t.Helper()
	all, functions := scripts(trials)
	input, err := json.Marshal(map[string]any{"lambda": serveLambda(t, "127.0.0.1:0", functions), "trials": trials})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), longestTrial)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", filepath.Join("..", "integration", "stepfunctions.cjs"))
	cmd.Env = append(os.Environ(), "NODE_PATH="+os.Getenv(nodeVariable))
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, stderr.Bytes())
	}
	var ends []struct {
		Path         []string
		Output       json.RawMessage
		Error, Cause string
	}
	if err := json.Unmarshal(stdout.Bytes(), &ends); err != nil {
		t.Fatalf("%v\n%s", err, stdout.Bytes())
	}
	outcomes := make([]outcome, len(trials))
	for i, end := range ends {
		outcomes[i] = outcomeOf(t, end.Path, string(end.Output), end.Error, end.Cause, all[i])
	}
	return outcomes
}
