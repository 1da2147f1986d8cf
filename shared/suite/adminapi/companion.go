package adminapi

import (
	"context"
	"net/http"
	"net/netip"

	"latchkey/shared/cluster"
	"latchkey/shared/httpapi"
	"latchkey/shared/identity"
)

// companionRoutes are what the command-line client calls on the same base besides the public
// API (CONTRACT 2.3). Telemetry is accepted and thrown away.
func companionRoutes() []httpapi.Route {
	route := func(operation, method, path string, h httpapi.Handler) httpapi.Route {
		return httpapi.Route{
			Operation: operation, Method: method, Path: "/api/private/" + path,
			Rule: identity.Anyone, Limit: httpapi.LimitOpen, Handle: h,
		}
	}
	return []httpapi.Route{
		route("getDefaultMongoDBMajorVersion", http.MethodGet, "unauth/nds/defaultMongoDBMajorVersion",
			func(context.Context, *httpapi.Request) (httpapi.Response, error) {
				return httpapi.Text(cluster.DefaultMajor), nil
			}),
		route("getIPInfo", http.MethodGet, "ipinfo", ipInfo),
		route("sendTelemetry", http.MethodPost, "v1.0/telemetry/events", discard),
		route("sendUnauthenticatedTelemetry", http.MethodPost, "unauth/telemetry/events", discard),
	}
}

func discard(context.Context, *httpapi.Request) (httpapi.Response, error) {
	return httpapi.NoContent(), nil
}

// ipInfo tells the client the IPv4 address that it comes from; "" if that is of another kind.
func ipInfo(_ context.Context, r *httpapi.Request) (httpapi.Response, error) {
	address := ""
	if a, err := netip.ParseAddr(r.Caller.RemoteAddress); err == nil && a.Unmap().Is4() {
		address = a.Unmap().String()
	}
	return httpapi.OK(map[string]string{"currentIpv4Address": address}), nil
}
