// Package nodeapi is the HTTP side of what agents ask: the routes of the agents' protocol.
//
// Its one invariant: no handler but that of enrolment runs without the node that the request's
// token speaks for. The gate knows callers of the API, which agents are not, so their routes are
// open at the gate and authenticated here, in one place.
package nodeapi

import (
	"context"
	"errors"
	"net/http"

	"latchkey/shared/cluster"
	"latchkey/shared/httpapi"
	"latchkey/shared/identity"
	"latchkey/shared/node"
	"latchkey/shared/node/protocol"
)

// API offers the operations of nodes.
type API struct{ Nodes *node.Service }

// Routes lists the operations.
func (a API) Routes() []httpapi.Route {
	d := newDoor(a.Nodes)
	route := func(operation, path string, h httpapi.Handler) httpapi.Route {
		return httpapi.Route{Operation: operation, Method: http.MethodPost, Path: path, Rule: identity.Anyone, Handle: d.guard(h)}
	}
	return []httpapi.Route{
		route("enrolNode", protocol.EnrolPath, httpapi.JSON(a.enrol)),
		routine(route("reportNode", protocol.HeartbeatPath, authenticated(d, a.heartbeat))),
		route("wrapMasterKey", protocol.WrapPath, authenticated(d, answer(a.Nodes.Wrap))),
		route("releaseMasterKey", protocol.ReleasePath, authenticated(d, answer(a.Nodes.Release))),
		route("rewrapMasterKey", protocol.RewrapPath, authenticated(d, answer(a.Nodes.Rewrap))),
		route("keepSnapshotKey", protocol.KeepPath, authenticated(d, a.keep)),
		route("adoptSnapshotKey", protocol.AdoptPath, authenticated(d, answer(a.Nodes.Adopt))),
		route("acknowledgeCommand", protocol.AckPath, lastWords(authenticated(d, a.ack))),
	}
}

// routine is a route of what every node asks every minute.
func routine(r httpapi.Route) httpapi.Route {
	r.Routine = true
	return r
}

// operation is what a node may do.
type operation[B any] func(ctx context.Context, n cluster.Node, body B) (httpapi.Response, error)

// authenticated performs an operation for the node that the request's token speaks for.
func authenticated[B any](d *door, op operation[B]) httpapi.Handler {
	return func(ctx context.Context, req *httpapi.Request) (httpapi.Response, error) {
		n, err := d.admit(ctx, req)
		if err != nil {
			return httpapi.Response{}, err
		}
		return httpapi.JSON(func(ctx context.Context, _ *httpapi.Request, body B) (httpapi.Response, error) {
			return op(ctx, n, body)
		})(ctx, req)
	}
}

// lastWords answers a node that has destroyed itself as if it had not been heard before.
func lastWords(h httpapi.Handler) httpapi.Handler {
	return func(ctx context.Context, req *httpapi.Request) (httpapi.Response, error) {
		resp, err := h(ctx, req)
		if errors.Is(err, node.ErrGone) {
			return httpapi.NoContent(), nil
		}
		return resp, err
	}
}

// answer makes an operation of a use case that answers with a body. Keys are never cached.
func answer[B, A any](op func(ctx context.Context, n cluster.Node, body B) (A, error)) operation[B] {
	return func(ctx context.Context, n cluster.Node, body B) (httpapi.Response, error) {
		a, err := op(ctx, n, body)
		resp := httpapi.OK(a)
		resp.Header = http.Header{"Cache-Control": {"no-store"}}
		return resp, err
	}
}

func (a API) enrol(ctx context.Context, _ *httpapi.Request, body protocol.EnrolRequest) (httpapi.Response, error) {
	enrolled, err := a.Nodes.Enrol(ctx, body)
	return httpapi.OK(enrolled), err
}

func (a API) heartbeat(ctx context.Context, n cluster.Node, body protocol.HeartbeatRequest) (httpapi.Response, error) {
	next, err := a.Nodes.Heartbeat(ctx, n, body.Report)
	return httpapi.OK(next), err
}

func (a API) keep(ctx context.Context, n cluster.Node, body protocol.KeepRequest) (httpapi.Response, error) {
	return httpapi.NoContent(), a.Nodes.Keep(ctx, n, body)
}

func (a API) ack(ctx context.Context, n cluster.Node, body protocol.AckRequest) (httpapi.Response, error) {
	return httpapi.NoContent(), a.Nodes.Ack(ctx, n, body)
}
