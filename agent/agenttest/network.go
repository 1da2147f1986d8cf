package agenttest

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"

	"latchkey/shared/node/protocol"
)

// ErrNetwork is what a request fails with that got no answer.
var ErrNetwork = errors.New("agenttest: connection reset")

// Network carries requests to a handler in this process, and misbehaves when told to. It is an
// http.RoundTripper, safe for concurrent use, and works in a bubble of testing/synctest.
type Network struct {
	mu         sync.Mutex
	handler    http.Handler
	down       bool
	delay      map[string]time.Duration // by path
	duplicate  bool
	lose       map[string]int // answers to lose, by path
	replay     int            // heartbeats to answer with an old answer
	heartbeats []*httptest.ResponseRecorder
	count      map[string]int
	hook       func(path string, before bool)
}

// NewNetwork returns a network that works.
func NewNetwork(handler http.Handler) *Network { return &Network{handler: handler} }

// Reach makes requests reach another handler.
func (n *Network) Reach(handler http.Handler) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.handler = handler
}

// Down makes the control plane unreachable, or reachable again.
func (n *Network) Down(down bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down = down
}

// Delay makes the answers of a path take as long.
func (n *Network) Delay(path string, d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.delay == nil {
		n.delay = map[string]time.Duration{}
	}
	n.delay[path] = d
}

// Duplicate delivers every request twice; the second answer arrives.
func (n *Network) Duplicate(on bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.duplicate = on
}

// LoseAnswers loses the next answers of a path, after the request took effect.
func (n *Network) LoseAnswers(path string, answers int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.lose == nil {
		n.lose = map[string]int{}
	}
	n.lose[path] = answers
}

// Replay answers the next heartbeats with the oldest answers there were, in their order.
func (n *Network) Replay(answers int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.replay = min(answers, len(n.heartbeats))
}

// Requests is how many requests of a path were sent.
func (n *Network) Requests(path string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.count[path]
}

// OnRequest calls fn before and after each request takes effect; nil ends that.
func (n *Network) OnRequest(fn func(path string, before bool)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hook = fn
}

// RoundTrip implements http.RoundTripper.
func (n *Network) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	path := r.URL.Path
	down, delay, hook := n.enter(path)
	if delay > 0 {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-r.Context().Done():
			return nil, r.Context().Err()
		case <-timer.C:
		}
	}
	if down {
		return nil, ErrNetwork
	}
	hook(path, true)
	answer := n.deliver(r, body)
	hook(path, false)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return n.leave(path, answer)
}

func (n *Network) enter(path string) (down bool, delay time.Duration, hook func(string, bool)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.count == nil {
		n.count = map[string]int{}
	}
	n.count[path]++
	if hook = n.hook; hook == nil {
		hook = func(string, bool) {}
	}
	return n.down, n.delay[path], hook
}

func (n *Network) deliver(r *http.Request, body []byte) *httptest.ResponseRecorder {
	n.mu.Lock()
	times, handler := 1, n.handler
	if n.duplicate {
		times = 2
	}
	n.mu.Unlock()
	var answer *httptest.ResponseRecorder
	for range times {
		request := r.Clone(r.Context())
		request.Body = io.NopCloser(bytes.NewReader(body))
		answer = httptest.NewRecorder()
		handler.ServeHTTP(answer, request)
	}
	return answer
}

func (n *Network) leave(path string, answer *httptest.ResponseRecorder) (*http.Response, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.lose[path] > 0 {
		n.lose[path]--
		return nil, ErrNetwork
	}
	if path == protocol.HeartbeatPath && answer.Code == http.StatusOK {
		const remembered = 100
		if len(n.heartbeats) < remembered {
			n.heartbeats = append(n.heartbeats, answer)
		}
		if n.replay > 0 {
			n.replay--
			old := n.heartbeats[0]
			n.heartbeats = n.heartbeats[1:]
			answer = old
		}
	}
	return answer.Result(), nil
}
