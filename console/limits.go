package console

import (
	"net"
	"net/http"
	"strconv"
	"time"

	"latchkey/console/client"
	"latchkey/shared/atlas"
	"latchkey/shared/httpapi"
)

// What one network may do before it is known who is there. The API cannot tell: it sees the console's
// address. As the API's, buckets are per instance of the function.
var (
	limitSignIns = httpapi.EndpointSet{ID: "signIn", Name: "Sign in", Scope: httpapi.PerIP, Capacity: 30, Refill: 10}
	// Each forged session costs a question to the operator's key, whose quota the whole deployment shares.
	limitForged = httpapi.EndpointSet{ID: "forged", Name: "Forged sessions", Scope: httpapi.PerIP, Capacity: 30, Refill: 10}
)

// network is where the visitor is, as the gateway saw it.
func (v *Visit) network() string {
	host, _, err := net.SplitHostPort(v.r.RemoteAddr)
	if err != nil {
		host = v.r.RemoteAddr
	}
	return httpapi.Neighbourhood(host)
}

// take draws a token for this visitor's network.
func (v *Visit) take(set httpapi.EndpointSet) error {
	if _, again, ok := v.console.limits.Take(set, v.network()); !ok {
		return tooMany(again)
	}
	return nil
}

// left looks whether there is one, without drawing it.
func (v *Visit) left(set httpapi.EndpointSet) error {
	if again, ok := v.console.limits.Left(set, v.network()); !ok {
		return tooMany(again)
	}
	return nil
}

func tooMany(again time.Duration) error {
	return &client.Error{
		Status: http.StatusTooManyRequests, Code: atlas.RateLimited, RetryAfter: again,
		Detail: "Nobody was recognised at your network's address too many times.",
	}
}

// tellWhen says in a header when to try again, if there is a time.
func (v *Visit) tellWhen(f *Failure) {
	if f.RetryAfter > 0 {
		v.w.Header().Set("Retry-After", strconv.Itoa(int(f.RetryAfter.Seconds())))
	}
}
