package agent_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/agent"
	"latchkey/shared/node/protocol"
)

func TestAControlPlaneElsewhereIsReachedOverHTTPSOnly(t *testing.T) {
	t.Parallel()
	for base, good := range map[string]bool{
		"https://keys.example.com": true, "https://keys.example.com/prod/": true, "http://127.0.0.1:8080": true,
		"http://localhost:8080": true, "http://[::1]:8080": true,
		"http://keys.example.com": false, "http://127.0.0.1.example.com": false, "ftp://127.0.0.1": false, "keys.example.com": false,
		"": false, "https://": false, "https://user:pw@keys.example.com": false, "https://keys.example.com/?x=y": false, ":": false,
	} {
		if _, err := agent.NewClient(base, http.DefaultTransport, time.Now); (err == nil) != good {
			t.Errorf("%q: %v", base, err)
		}
	}
	if _, err := agent.NewClient("http://keys.example.com", nil, time.Now); !errors.Is(err, agent.ErrPlaintext) {
		t.Errorf("NewClient = %v", err)
	}
}

// answerWith writes a body, whatever becomes of it.
func answerWith(w io.Writer, body string) { io.WriteString(w, body) } //nolint:errcheck // the client may be gone

// Whatever a broken server or a proxy answers, the node stays as it is and recovers.
func TestNonsenseFromTheControlPlaneStopsNothing(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"a proxy's page": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadGateway)
			answerWith(w, "<html>Bad gateway</html>")
		},
		"no JSON":         func(w http.ResponseWriter, _ *http.Request) { answerWith(w, "hello") },
		"nothing":         func(http.ResponseWriter, *http.Request) {},
		"an empty object": func(w http.ResponseWriter, _ *http.Request) { answerWith(w, "{}") },
		"too much":        func(w http.ResponseWriter, _ *http.Request) { answerWith(w, `{"x":"`+strings.Repeat("x", 4<<20)) },
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://elsewhere.test/", http.StatusTemporaryRedirect)
		},
		"a time of nonsense": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusUnauthorized)
			answerWith(w, `{"errorCode":"NODE_TOKEN_REFUSED","parameters":["9999-12-31T23:59:59Z"]}`)
		},
		"an endless pause": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "99999999999")
			w.WriteHeader(http.StatusServiceUnavailable)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				w.running()
				w.net.Reach(answer)
				time.Sleep(2 * time.Hour)
				if w.engine.count("start") != 1 || w.engine.count("stop") != 0 {
					t.Errorf("calls %v", w.engine.counts())
				}
				w.net.Reach(w.server)
				w.acked(w.command(protocol.KindStop))
			})
		})
	}
}

func TestRequestsAreSpacedWhenRefused(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.running()
		var refused atomic.Int64
		w.net.Reach(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			refused.Add(1)
			w.Header().Set("Retry-After", "600")
			w.WriteHeader(http.StatusTooManyRequests)
		}))
		time.Sleep(time.Hour)
		if n := refused.Load(); n < 4 || n > 7 {
			t.Errorf("%d requests in an hour with Retry-After: 600", n)
		}
	})
}

func TestTheAgentSpeaksToARealServer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	server := httptest.NewServer(w.server)
	defer server.Close()
	w.net.Down(true)
	enrolled := make(chan struct{}, 1)
	client, err := agent.NewClient(server.URL+"/", http.DefaultTransport, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	w.start()
	w.end() //nolint:errcheck // it only lent its parts
	w.runOver(client, enrolled)
	<-enrolled
	w.server.OnReport(nil)
	if err := w.end(); err != nil || w.server.Last(w.nodeID).Version != "test" {
		t.Errorf("Run = %v, report %+v", err, w.server.Last(w.nodeID))
	}
}
