package networktasks_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/local/states/asl"
	"latchkey/local/states/engine"
	"latchkey/local/states/journal"
	"latchkey/local/states/statestest"
	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/encryption"
	"latchkey/shared/endpoint"
	"latchkey/shared/endpoint/endpointtest"
	"latchkey/shared/identity"
	"latchkey/shared/identity/identitytest"
	"latchkey/shared/kms"
	"latchkey/shared/project"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
	"latchkey/shared/suite"
	"latchkey/shared/suite/networktasks"
	"latchkey/shared/task"
	"latchkey/shared/verdict"
	"latchkey/shared/workflow"
)

const definition = "../../../statemachines/private-endpoint.asl.json"

var owner = identity.Caller{Kind: identity.KindAPIKey, ID: "650000000000000000000060", OrgID: "650000000000000000000002"}

// world is the suite from the API's use case to the state machine's tasks, over clouds in memory and
// the engine that executes the definition. It lives in a bubble of testing/synctest.
type world struct {
	t       *testing.T
	table   store.Table
	aws     *endpointtest.Memory
	azure   *endpointtest.Memory
	api     *endpoint.Service
	engine  *engine.Engine
	tasks   map[string]statestest.Function
	groupID string
	unready atomic.Bool // the key does not open through endpoints
}

func inWorld(t *testing.T, fn func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, table: identitytest.Table(t), aws: endpointtest.NewMemory(false), azure: endpointtest.NewMemory(true)}
		w.found()
		log := slog.New(slog.DiscardHandler)
		network := networktasks.New(networktasks.Deps{
			Table: w.table, Now: time.Now, Log: log, Executions: w,
			Clouds: map[atlas.Provider]endpoint.Cloud{atlas.AWS: w.aws, atlas.Azure: w.azure},
		})
		w.api = suite.Endpoints(suite.EndpointDeps{
			Table: w.table, Journal: audit.Journal{Table: w.table, Now: time.Now}, Start: w, Now: time.Now, Log: log, Prover: w,
			Regions: map[atlas.Provider][]string{atlas.AWS: {"US_EAST_1"}, atlas.Azure: {"US_EAST_2"}},
		})
		w.serve(map[string]statestest.Function{"NetworkTasksFunctionArn": statestest.Handler(network), "KeyTasksFunctionArn": w.tryKey})
		fn(w)
	})
}

// serve runs an engine over functions for as long as the test.
func (w *world) serve(tasks map[string]statestest.Function) {
	w.t.Helper()
	w.tasks = tasks
	w.engine = engine.New(engine.Config{
		Journal: journal.Memory(), Machines: map[string]*asl.Machine{string(workflow.PrivateEndpoint): statestest.Load(w.t, definition, nil)},
		Invoke: statestest.Invoker(w.tasks), Now: time.Now, Rand: rand.NewPCG(1, 1), Log: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.engine.Run(ctx) }()
	w.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			w.t.Error(err)
		}
	})
	synctest.Wait()
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) found() {
	w.t.Helper()
	projects := &project.Service{Table: w.table, Journal: audit.Journal{Table: w.table, Now: time.Now}, Now: time.Now}
	founded, err := projects.Found(w.t.Context(), project.Founding{Name: "Acme", OwnerEmail: "o@acme.example"})
	w.must(err)
	w.groupID = founded.GroupID
	s := encryption.New(w.groupID, owner.OrgID)
	s.AWS = &encryption.AWS{KeyID: "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab", Region: "US_EAST_1", PrivateNetworking: true}
	s.Azure = &encryption.Azure{Environment: "AZURE", KeyIdentifier: "https://kv-kms.vault.azure.net/keys/atlas", VaultName: "kv-kms", PrivateNetworking: true}
	item, err := store.Encode(keys.Encryption(w.groupID), 0, s)
	w.must(err)
	w.must(w.table.Write(w.t.Context(), store.Put(item)))
}

// Start implements endpoint.Starter over the engine.
func (w *world) Start(ctx context.Context, x workflow.Execution) error {
	_, err := w.Ensure(ctx, x)
	return err
}

// Ensure implements endpoint.Executions.
func (w *world) Ensure(ctx context.Context, x workflow.Execution) (bool, error) {
	name, err := x.Name()
	w.must(err)
	input, err := json.Marshal(x.Input)
	w.must(err)
	_, err = w.engine.Start(ctx, w.engine.MachineARN(string(x.Kind)), name, string(input))
	if err == nil {
		return false, nil
	}
	known, describeErr := w.engine.Describe(w.arn(name))
	if describeErr != nil {
		return false, errors.Join(err, describeErr)
	}
	return known.Status != engine.Running, nil
}

func (w *world) arn(name string) string {
	arn := w.engine.MachineARN(string(workflow.PrivateEndpoint))
	return arn[:len(arn)-len("stateMachine:"+string(workflow.PrivateEndpoint))] + "execution:" + string(workflow.PrivateEndpoint) + ":" + name
}

// ProveWay is how the key opens.
func (w *world) ProveWay(context.Context, string, atlas.Provider, kms.PrivateEndpoint) error {
	if w.unready.Load() {
		return verdict.Failed(verdict.ConnectFailed, "no route yet")
	}
	return nil
}

// tryKey does what the task of the function that may use keys does.
func (w *world) tryKey(ctx context.Context, payload json.RawMessage) (any, error) {
	var in struct {
		Task, GroupID, EndpointID string
		Provider                  atlas.Provider
	}
	w.must(json.Unmarshal(payload, &in))
	if in.Task != "tryEndpoint" {
		return nil, task.Error(task.InvalidInput, in.Task)
	}
	p, err := w.api.Try(ctx, endpoint.Ref{GroupID: in.GroupID, Provider: in.Provider, EndpointID: in.EndpointID})
	return map[string]any{"address": p.Address, "reason": p.Reason}, err
}

func (w *world) create(p atlas.Provider) endpoint.Endpoint {
	w.t.Helper()
	region := map[atlas.Provider]string{atlas.AWS: "US_EAST_1", atlas.Azure: "US_EAST_2"}[p]
	e, err := w.api.Create(w.t.Context(), owner, w.groupID, p, region)
	w.must(err)
	return e
}

// await is how the execution of an attempt for an endpoint ends.
func (w *world) await(id string, attempt int64) statestest.Result {
	w.t.Helper()
	name, err := workflow.Execution{Kind: workflow.PrivateEndpoint, GroupID: w.groupID, Subject: id, Version: []int64{attempt}}.Name()
	w.must(err)
	return statestest.Await(w.t, w.engine, w.arn(name))
}

// ends demands where an execution ends, and what an endpoint is then; "" if it is gone.
func (w *world) ends(p atlas.Provider, id string, attempt int64, state string, status endpoint.Status) statestest.Result {
	w.t.Helper()
	r := w.await(id, attempt)
	if last := r.Path[len(r.Path)-1]; last != state {
		w.t.Fatalf("it ends in %q (%s), want %q, after %v", last, r.Error, state, r.Path[:min(len(r.Path), 20)])
	}
	e, err := w.api.Get(w.t.Context(), w.groupID, p, id)
	if status != "" && err != nil || status == "" && atlas.CodeOf(err) != atlas.ResourceNotFound || e.Status != status {
		w.t.Fatalf("the endpoint is %s %q, %v, want %q", e.Status, e.Message, err, status)
	}
	return r
}

// settle lets the clouds finish while executions wait.
func (w *world) settle() {
	time.Sleep(time.Second)
	synctest.Wait()
	w.aws.Settle()
	w.azure.Settle()
}

// work lets the clouds work for a while.
func (w *world) work() {
	for range 20 {
		w.settle()
	}
}

func (w *world) watch() {
	w.t.Helper()
	_, err := w.tasks["NetworkTasksFunctionArn"](w.t.Context(), json.RawMessage(`{"task":"watchEndpoints"}`))
	w.must(err)
	synctest.Wait()
}

func TestPrivateEndpoint_atAWS(t *testing.T) {
	inWorld(t, func(w *world) {
		e := w.create(atlas.AWS)
		w.settle()
		r := w.ends(atlas.AWS, e.ID, 1, "Endpoint is active", endpoint.Active)
		want := []string{"Advance endpoint", "What next?", "Wait for cloud", "Advance endpoint", "What next?", "Try key", "Conclude proof", "What next?", "Endpoint is active"}
		if diff := cmp.Diff(want, r.Path); diff != "" {
			w.t.Error(diff)
		}
		if diff := cmp.Diff([]time.Duration{5 * time.Second}, r.Waits); diff != "" {
			w.t.Error(diff)
		}
		w.must(w.api.Delete(w.t.Context(), owner, w.groupID, atlas.AWS, e.ID))
		w.work()
		w.ends(atlas.AWS, e.ID, 2, "Endpoint is gone", "")
	})
}

func TestPrivateEndpoint_atAzure(t *testing.T) {
	inWorld(t, func(w *world) {
		e := w.create(atlas.Azure)
		w.work()
		w.ends(atlas.Azure, e.ID, 1, "Tenant has to approve", endpoint.PendingAcceptance)
		time.Sleep(30 * 24 * time.Hour)
		w.watch()
		w.azure.Set(e.ID, endpoint.Ready, "")
		w.watch()
		w.ends(atlas.Azure, e.ID, 2, "Endpoint is active", endpoint.Active)
		w.azure.Set(e.ID, endpoint.Rejected, "")
		w.watch()
		w.work()
		w.ends(atlas.Azure, e.ID, 3, "Endpoint is replaced", endpoint.PendingRecreation)
		all, err := w.api.List(w.t.Context(), w.groupID, atlas.Azure)
		w.must(err)
		again := all[1]
		w.work()
		w.ends(atlas.Azure, again.ID, 1, "Tenant has to approve", endpoint.PendingAcceptance)
		w.azure.Set(again.ID, endpoint.Rejected, "no")
		w.watch()
		w.work()
		w.ends(atlas.Azure, again.ID, 2, "Endpoint has failed", endpoint.Failed)
	})
}

func TestPrivateEndpoint_waitsForTheKeyToOpen(t *testing.T) {
	inWorld(t, func(w *world) {
		w.unready.Store(true)
		e := w.create(atlas.AWS)
		w.settle()
		time.Sleep(time.Minute)
		w.unready.Store(false)
		r := w.ends(atlas.AWS, e.ID, 1, "Endpoint is active", endpoint.Active)
		if n := len(r.Waits); n < 3 {
			w.t.Errorf("%d waits", n)
		}
	})
}

func TestPrivateEndpoint_endsAfterADay(t *testing.T) {
	inWorld(t, func(w *world) {
		e := w.create(atlas.AWS)
		w.settle()
		w.await(e.ID, 1)
		w.aws.Fail(&endpoint.Failure{Kind: endpoint.Unavailable, Err: errors.New("down")})
		w.must(w.api.Delete(w.t.Context(), owner, w.groupID, atlas.AWS, e.ID))
		r := w.ends(atlas.AWS, e.ID, 2, "Endpoint takes too long", endpoint.Deleting)
		if r.Error != "EndpointTakesTooLong" || r.Took < 24*time.Hour || r.Took > 25*time.Hour || len(r.Events) > 5000 {
			w.t.Errorf("%s after %s with %d events", r.Error, r.Took, len(r.Events))
		}
		w.aws.Fail(nil)
		w.watch()
		w.work()
		w.ends(atlas.AWS, e.ID, 3, "Endpoint is gone", "")
	})
}

// TestPrivateEndpoint_isCarriedOnByAnotherExecution has each state's task fail for good in turn.
func TestPrivateEndpoint_isCarriedOnByAnotherExecution(t *testing.T) {
	for name, tt := range map[string]struct{ function, task string }{
		"advancing":  {"NetworkTasksFunctionArn", "advanceEndpoint"},
		"trying":     {"KeyTasksFunctionArn", "tryEndpoint"},
		"concluding": {"NetworkTasksFunctionArn", "concludeProof"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				whole := w.tasks[tt.function]
				var mended atomic.Bool
				w.tasks[tt.function] = func(ctx context.Context, payload json.RawMessage) (any, error) {
					var in struct{ Task string }
					w.must(json.Unmarshal(payload, &in))
					if !mended.Load() && in.Task == tt.task {
						return nil, statestest.Fails(task.Panicked)
					}
					return whole(ctx, payload)
				}
				e := w.create(atlas.AWS)
				w.settle()
				if r := w.ends(atlas.AWS, e.ID, 1, "Endpoint not advanced", endpoint.Initiating); r.Error != "EndpointNotAdvanced" {
					w.t.Error(r.Error)
				}
				mended.Store(true)
				w.watch()
				w.settle()
				w.ends(atlas.AWS, e.ID, 2, "Endpoint is active", endpoint.Active)
				if w.aws.Made() != 1 {
					w.t.Errorf("%d were made", w.aws.Made())
				}
			})
		})
	}
}

func TestPrivateEndpoint_retriesWhatPasses(t *testing.T) {
	for _, function := range []string{"NetworkTasksFunctionArn", "KeyTasksFunctionArn"} {
		for _, code := range []string{"CONCURRENT_MODIFICATION", "UNEXPECTED_ERROR", task.TimedOut} {
			inWorld(t, func(w *world) {
				whole := w.tasks[function]
				var calls atomic.Int64
				w.tasks[function] = func(ctx context.Context, payload json.RawMessage) (any, error) {
					if calls.Add(1) <= 5 {
						return nil, statestest.Fails(code)
					}
					return whole(ctx, payload)
				}
				e := w.create(atlas.AWS)
				for range 60 {
					w.settle()
				}
				w.ends(atlas.AWS, e.ID, 1, "Endpoint is active", endpoint.Active)
			})
		}
	}
}

func TestPrivateEndpoint_unknownOutcomesEnd(t *testing.T) {
	r := statestest.Execute(t, statestest.Run{
		Machine: statestest.Load(t, definition, nil), Input: `{"groupId":"g","provider":"AWS","endpointId":"e"}`,
		Functions: map[string]statestest.Function{"NetworkTasksFunctionArn": statestest.Script(map[string]any{"outcome": "new", "waitSeconds": 0})},
	})
	if r.Error != "OutcomeUnknown" || !slices.Contains(r.Path, "Outcome unknown") {
		t.Errorf("%s %v", r.Error, r.Path)
	}
}

func TestNew_knowsItsTasks(t *testing.T) {
	inWorld(t, func(w *world) {
		for payload, want := range map[string]bool{
			`{"task":"watchEndpoints"}`: true, `{"task":"advanceEndpoint","groupId":"` + w.groupID + `","provider":"AWS","endpointId":"x","since":"2026-01-02T03:04:05Z"}`: true,
			`{"task":"other"}`: false, `{"task":"advanceEndpoint","more":1}`: false, `{"task":"advanceEndpoint","groupId":"` + w.groupID + `","provider":"GCP","endpointId":"x"}`: true,
		} {
			if _, err := w.tasks["NetworkTasksFunctionArn"](w.t.Context(), json.RawMessage(payload)); (err == nil) != want {
				w.t.Errorf("%s: %v", payload, err)
			}
		}
	})
}

// TestPrivateEndpoint_survivesBeingKilled stops executions before and after each task in turn, from
// the creation of an endpoint to its recreation and its end.
func TestPrivateEndpoint_survivesBeingKilled(t *testing.T) {
	for kill := range 14 {
		for _, after := range []bool{false, true} {
			inWorld(t, func(w *world) {
				var calls atomic.Int64
				for name, whole := range w.tasks {
					w.tasks[name] = func(ctx context.Context, payload json.RawMessage) (any, error) {
						if strings.Contains(string(payload), "watchEndpoints") {
							return whole(ctx, payload)
						}
						killed := calls.Add(1) == int64(kill)+1
						if killed && !after {
							w.killAll()
							return nil, errors.New("killed")
						}
						out, err := whole(ctx, payload)
						if killed {
							w.killAll()
						}
						return out, err
					}
				}
				e := w.create(atlas.AWS)
				w.becomes(endpoint.Active, 1)
				w.aws.Set(e.ID, endpoint.Missing, "")
				w.becomes(endpoint.Active, 2)
				all, err := w.api.List(w.t.Context(), w.groupID, atlas.AWS)
				w.must(err)
				if len(all) != 1 || all[0].ID == e.ID || w.aws.Count() != 1 {
					w.t.Fatalf("killed at call %d: %d resources, %+v", kill, w.aws.Count(), all)
				}
				w.must(w.api.Delete(w.t.Context(), owner, w.groupID, atlas.AWS, all[0].ID))
				w.becomes("", 2)
				if n := calls.Load(); n <= int64(kill) {
					w.t.Skipf("there are %d calls", n)
				}
			})
		}
	}
}

// killAll stops every execution that goes on, from outside.
func (w *world) killAll() {
	all, err := w.api.List(w.t.Context(), w.groupID, atlas.AWS)
	w.must(err)
	for _, e := range all {
		for attempt := range e.Attempt {
			name, err := workflow.Execution{Kind: workflow.PrivateEndpoint, GroupID: w.groupID, Subject: e.ID, Version: []int64{attempt + 1}}.Name()
			w.must(err)
			go w.engine.Stop(w.t.Context(), w.arn(name), "Killed", "") //nolint:errcheck // it may have closed
		}
	}
}

// becomes demands that so many resources were made in all, that the newest endpoint comes to a status
// ("" is none) and that no other is left, with the schedule as the only help.
func (w *world) becomes(status endpoint.Status, made int) {
	w.t.Helper()
	for range 20 {
		w.watch()
		w.work()
		all, err := w.api.List(w.t.Context(), w.groupID, atlas.AWS)
		w.must(err)
		isGone := status == "" && len(all) == 0
		if (isGone || len(all) == 1 && all[0].Status == status) && w.aws.Made() == made {
			return
		}
	}
	w.t.Fatalf("it does not become %q with %d made", status, made)
}
