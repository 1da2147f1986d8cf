package sim

import (
	"context"
	"math/rand/v2"
	"net/http"
	"time"

	"latchkey/local/lambdasvc"
	"latchkey/local/pocket"
	"latchkey/local/stack"
)

// startWorkflows starts the engine of workflows over its journal.
func (w *World) startWorkflows(d *deployment) {
	p := &process{name: "states"}
	w.engine = p
	cfg := d.machines
	cfg.Journal = &records{Journal: w.journal, conductor: w.conductor, by: p, secrets: w.secrets}
	cfg.Now, cfg.Log = time.Now, w.log
	cfg.Rand = rand.NewPCG(w.cfg.Seed, 4+uint64(len(w.closers)))
	// Functions go on with the engine that there is now, whichever they began with.
	cfg.Wrap = func(http.RoundTripper) http.RoundTripper { return roundTrip(w.toWorkflows) }
	w.workflows = stack.NewWorkflows(cfg)
}

type roundTrip func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func (w *World) toWorkflows(r *http.Request) (*http.Response, error) {
	present := roundTrip(func(r *http.Request) (*http.Response, error) {
		return pocket.Transport(w.oneByOne(w.workflows.API)).RoundTrip(r)
	})
	return (&wire{to: present, kind: calling, conductor: w.conductor, silent: func(*http.Request) {}}).RoundTrip(r)
}

// oneByOne handles one request at a time. The engine keeps others out by a lock while it waits for the journal, and a lock
// stops the world that would have to come to the journal's turn: a channel does not.
func (w *World) oneByOne(h http.Handler) http.Handler {
	return http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		select {
		case w.starting <- struct{}{}:
		default:
			w.starting <- struct{}{}
			w.awaitTurn(r.Context(), "is let in")
		}
		defer func() { <-w.starting }()
		h.ServeHTTP(out, r)
	})
}

// runEngine runs the engine of workflows, and starts it again when it was killed.
func (w *World) runEngine(d *deployment) {
	p, engine := w.engine, w.workflows.Engine
	ctx, stop := context.WithCancel(within(w.ctx, p))
	p.died = stop
	w.running.Go(func() {
		defer stop()
		err := engine.Run(ctx)
		if w.ctx.Err() != nil {
			return
		}
		if !p.dead {
			w.failf("the engine of workflows ends: %w", err)
			return
		}
		w.after(time.Duration(1+w.cfg.Seed%20)*time.Second, "states start again", func() {
			functions := make([]lambdasvc.Function, 0, len(w.functions))
			for _, f := range w.functions {
				functions = append(functions, f)
			}
			w.startWorkflows(d)
			w.workflows.Call(functions)
			w.runEngine(d)
		})
	})
}
