package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"time"

	"latchkey/shared/node/protocol"
)

// overheard is a request of an agent as a thief may have got hold of it.
type overheard struct {
	at     time.Time
	bearer string
	body   []byte
}

// gate is the nodes' URL as one machine reaches it. It looks at what the suite hands out there.
type gate struct {
	to   http.RoundTripper
	host *host
}

// RoundTrip implements http.RoundTripper.
func (g gate) RoundTrip(r *http.Request) (*http.Response, error) {
	s, err := take(r)
	if err != nil {
		return nil, err
	}
	h, path := g.host, r.URL.Path
	if r.Header.Get("Authorization") != "" {
		h.overheard[path] = overheard{time.Now(), r.Header.Get("Authorization"), s.body}
	}
	before := h.world.checks.disabled(h.ClusterID)
	resp, err := s.to(g.to, r.Context())
	if err == nil && resp.StatusCode == http.StatusOK && path == protocol.ReleasePath && !before.IsZero() &&
		before.Equal(h.world.checks.disabled(h.ClusterID)) {
		h.world.failf("I2: the master key of %s is released, and its cluster is disabled since %s", h.name(), before)
	}
	return resp, err
}

// What thieves try.
const (
	anothersToken = "the token of another node"
	formerToken   = "a token of before"
	usedToken     = "an enrolment token that was used" //nolint:gosec // says what is tried
	noToken       = "no token"
)

var thefts = []string{anothersToken, formerToken, usedToken, noToken}

// theft is that somebody tries what agents were overheard to say.
func (w *World) theft() (string, func()) {
	victim, other := w.someHost(), w.someHost()
	if victim == nil || victim == other {
		return "", nil
	}
	asked, isKnown := victim.overheard[protocol.ReleasePath]
	beat, isHeard := other.overheard[protocol.HeartbeatPath]
	if !isKnown || !isHeard {
		return "", nil
	}
	w.run("thief", func(ctx context.Context) {
		t := thief{w, ctx}
		t.tries(anothersToken, protocol.ReleasePath, beat.bearer, asked.body)
		if time.Since(asked.at) > protocol.TokenLife+protocol.Leeway+time.Minute+skewed(victim) {
			t.tries(formerToken, protocol.ReleasePath, asked.bearer, asked.body)
		}
		again, err := json.Marshal(protocol.EnrolRequest{Token: victim.token, PublicKey: bytes.Repeat([]byte{7}, 32)})
		if err != nil {
			w.fail(err)
			return
		}
		t.tries(usedToken, protocol.EnrolPath, "", again)
		t.tries(noToken, protocol.ReleasePath, "", asked.body)
	})
	return "a thief", func() {}
}

// skewed is by how much a machine's tokens may be valid for longer: its agent has learnt the time.
func skewed(h *host) time.Duration { return max(0, time.Duration(h.skew.Load())) }

// thief is somebody who has what is not theirs.
type thief struct {
	world *World
	ctx   context.Context //nolint:containedctx // of the one attempt
}

func (t thief) tries(what, path, bearer string, body []byte) {
	w := t.world
	r, err := http.NewRequestWithContext(t.ctx, http.MethodPost, "https://nodes.latchkey.example"+path, bytes.NewReader(body))
	if err != nil {
		w.fail(err)
		return
	}
	r.Header.Set("Content-Type", "application/json")
	if bearer != "" {
		r.Header.Set("Authorization", bearer)
	}
	resp, err := (&wire{to: w.nodes, kind: asking, conductor: w.conductor, cut: func() bool { return w.apart }}).RoundTrip(r)
	if err != nil || !w.awaitTurn(t.ctx, "is answered") {
		return
	}
	w.faults.count["thief: "+what]++
	if resp.StatusCode < http.StatusBadRequest {
		w.failf("nobody is let in: a thief with %s is answered %s at %s", what, resp.Status, path)
	}
}
