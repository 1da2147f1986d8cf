package nodeapi

import (
	"context"
	"crypto/ed25519"
	"net/http"
	"strings"
	"sync"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
	"latchkey/shared/httpapi"
	"latchkey/shared/node"
	"latchkey/shared/node/protocol"
)

// limitStrangers bounds the attempts from one address that are refused. Each costs a read of the
// table; beyond the limit none does.
var limitStrangers = httpapi.EndpointSet{
	ID: "strangers", Name: "Agents that are refused", Scope: httpapi.PerIP, Capacity: 300, Refill: 100,
}

// maxKnown bounds the agents that a door remembers.
const maxKnown = 20_000

// door lets agents in. Whoever is refused again and again is slowed down by address. Nodes share
// addresses with each other and with who knows what, and one that is kept out does not hear that
// it should stop; so an agent that was let in before gets in at any time.
type door struct {
	nodes  *node.Service
	limits *httpapi.Limiter

	mu    sync.Mutex
	known map[protocol.Identity]ed25519.PublicKey
}

func newDoor(nodes *node.Service) *door {
	return &door{
		nodes: nodes, known: map[protocol.Identity]ed25519.PublicKey{},
		limits: httpapi.NewLimiter(func() time.Time { return nodes.Now() }), // routes are listed without a service too
	}
}

// guard performs an operation unless too many from the same address were refused.
func (d *door) guard(h httpapi.Handler) httpapi.Handler {
	return func(ctx context.Context, req *httpapi.Request) (httpapi.Response, error) {
		from := httpapi.Neighbourhood(req.Caller.RemoteAddress)
		if retry, ok := d.limits.Left(limitStrangers, from); !ok && !d.knows(bearer(req.Header)) {
			return httpapi.Response{}, limitStrangers.Exceeded(req, retry)
		}
		resp, err := h(ctx, req)
		if code := atlas.CodeOf(err); err != nil && (code == atlas.NodeTokenRefused || code == atlas.NodeEnrolmentRefused) {
			d.limits.Take(limitStrangers, from)
		}
		return resp, err
	}
}

// admit finds the node that the request's token speaks for.
func (d *door) admit(ctx context.Context, req *httpapi.Request) (cluster.Node, error) {
	n, err := d.nodes.Authenticate(ctx, bearer(req.Header))
	if err != nil {
		return cluster.Node{}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.known) >= maxKnown {
		clear(d.known) // they come back within a minute
	}
	d.known[protocol.Identity{NodeID: n.ID, ClusterID: n.ClusterID}] = n.PublicKey
	return n, nil
}

// knows reports whether a token was signed by an agent that was let in before.
func (d *door) knows(token string) bool {
	_, err := protocol.VerifyToken(token, d.nodes.Now(), func(who protocol.Identity) (ed25519.PublicKey, error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.known[who], nil
	})
	return err == nil
}

// bearer is the token of a request, "" for none or more than one.
func bearer(h http.Header) string {
	values := h.Values("Authorization")
	if len(values) != 1 {
		return ""
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return token
}
