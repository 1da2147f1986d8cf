package networktasks_test

import (
	"log/slog"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/local/states/asl"
	"latchkey/local/states/engine"
	"latchkey/local/states/journal"
	"latchkey/local/states/statestest"
	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/endpoint"
	"latchkey/shared/suite"
	"latchkey/shared/suite/networktasks"
	"latchkey/shared/workflow"
)

// process is Step Functions and the functions that it calls, which can be killed together.
type process struct {
	*statestest.Process

	w *world
}

// inProcess is inWorld with a process that is killed at the write of a number.
func inProcess(t *testing.T, at int, lost bool, fn func(p process)) {
	t.Helper()
	inWorld(t, func(w *world) {
		p := process{w: w, Process: statestest.NewProcess(w.t, at, lost, func(kept journal.Journal) *engine.Engine {
			w.engine = engine.New(engine.Config{
				Journal: kept, Machines: map[string]*asl.Machine{string(workflow.PrivateEndpoint): statestest.Load(w.t, definition, nil)},
				Invoke: statestest.Invoker(w.tasks), Now: time.Now, Rand: rand.NewPCG(1, 1), Log: slog.New(slog.DiscardHandler),
			})
			return w.engine
		})}
		log := slog.New(slog.DiscardHandler)
		real := w.table
		w.table = p.Table(real)
		w.api = suite.Endpoints(suite.EndpointDeps{
			Table: real, Journal: audit.Journal{Table: real, Now: time.Now}, Start: w, Now: time.Now, Log: log, Prover: w,
			Regions: map[atlas.Provider][]string{atlas.AWS: {"US_EAST_1"}},
		})
		w.tasks["NetworkTasksFunctionArn"] = statestest.Handler(networktasks.New(networktasks.Deps{
			Table: w.table, Now: time.Now, Log: log, Executions: w, Clouds: map[atlas.Provider]endpoint.Cloud{atlas.AWS: w.aws, atlas.Azure: w.azure},
		}))
		p.Start()
		defer p.Stop()
		fn(p)
	})
}

// until lets time go by until something is so: the cloud works, the schedule runs every other minute, and
// a process that was killed is followed by the next.
func (p process) until(what string, is func() bool) (killed bool) {
	w := p.w
	w.t.Helper()
	for minute := range 60 {
		for range 6 {
			w.settle()
			killed = p.Restart() || killed
			if is() {
				return killed
			}
			time.Sleep(9 * time.Second)
		}
		if minute%2 == 0 {
			_, _ = w.tasks["NetworkTasksFunctionArn"](w.t.Context(), []byte(`{"task":"watchEndpoints"}`)) // what fails now is done in two minutes
		}
	}
	w.t.Fatalf("not in an hour: %s", what)
	return killed
}

// The process is killed at every transition in turn, right after it and right before it is kept, while an
// endpoint is made and while it is removed; states that only choose are one transition with the task before
// them. Nothing is made twice, and nothing is left.
func TestPrivateEndpoint_survivesAKillAtAnyTransition(t *testing.T) {
	for name, lost := range map[string]bool{"after it is kept": false, "before it is kept": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kills := 0
			for at := 1; ; at++ {
				killed := false
				inProcess(t, at, lost, func(p process) {
					w := p.w
					e, err := w.api.Create(w.t.Context(), owner, w.groupID, atlas.AWS, "US_EAST_1")
					w.must(err)
					status := func(want endpoint.Status) func() bool {
						return func() bool {
							now, err := w.api.Get(w.t.Context(), w.groupID, atlas.AWS, e.ID)
							return now.Status == want && (want != "" || atlas.CodeOf(err) == atlas.ResourceNotFound)
						}
					}
					killed = p.until("it is active", status(endpoint.Active))
					w.must(w.api.Delete(w.t.Context(), owner, w.groupID, atlas.AWS, e.ID))
					killed = p.until("it is gone", status("")) || killed
					synctest.Wait()
					killed = p.Alive() != nil || killed // with the last transition
					if w.aws.Made() != 1 {
						w.t.Errorf("killed at %d: %d were made", at, w.aws.Made())
					}
				})
				if !killed || t.Failed() {
					break
				}
				kills++
			}
			t.Logf("killed at each of %d transitions", kills)
			if kills < 10 {
				t.Errorf("there were only %d transitions", kills)
			}
		})
	}
}
