// Package googlecloud is a pocket Google Cloud: the OAuth token endpoint, the parts of IAM and
// IAM Credentials with which service accounts are made, given keys and impersonated, Cloud
// KMS, and the switches by which a project loses an API or its billing. Google's own client
// and a person with curl can talk to it.
//
// Its one invariant: permissions, key states and signatures are obeyed as the real services
// obey them, so that what Latchkey concludes here it would conclude there. Messages of Cloud
// KMS are spoken in Google's published protocol buffers. Imported by local/ and by tests.
//
// Not here: paging of lists, conditions in policies, custom roles, import of key material,
// regional endpoints. Projects need not be created. The states that the real service passes
// through on its own (PENDING_IMPORT, GENERATION_FAILED, …) are set by an administrator with
// the header ControlHeader.
package googlecloud

import (
	"crypto/rand"
	"crypto/rsa"
	"net/http"
	"sync"
	"time"

	"latchkey/local/pocket"
)

// ControlHeader lets an administrator's PATCH of a key version, when it is set to "state", put the
// version into states that the real service gives itself (PENDING_GENERATION,
// PENDING_IMPORT, IMPORT_FAILED, …) and take it out of them.
const ControlHeader = "X-Pocket-Control"

// Administrator is the principal that the administrator's token stands for. It owns every project.
const Administrator = "user:administrator@pocket.example"

// Config says how a Cloud is run. State, Now and AdminToken are required.
type Config struct {
	State pocket.State
	Now   func() time.Time
	// AdminToken is the bearer token of an owner of every project: what
	// `gcloud auth print-access-token` would print.
	AdminToken string
	// Lag is how late changes of IAM policies take effect; 0 is at once.
	Lag time.Duration
	// GenerateKey makes the RSA keys of service accounts; nil is rsa.GenerateKey. Tests reuse keys.
	GenerateKey func(bits int) (*rsa.PrivateKey, error)
}

// Cloud is one pocket Google. It implements pocket.Service and is safe for concurrent use.
type Cloud struct {
	cfg  Config
	docs documents
	mu   sync.Mutex // serialises requests: each reads and then writes documents
}

var _ pocket.Service = (*Cloud)(nil)

// New returns a Cloud over what the state holds.
func New(cfg Config) *Cloud {
	if cfg.GenerateKey == nil {
		cfg.GenerateKey = func(bits int) (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, bits) }
	}
	return &Cloud{cfg: cfg, docs: documents{cfg.State}}
}

// The hosts that are served.
const (
	oauthHost       = "oauth2.googleapis.com"
	iamHost         = "iam.googleapis.com"
	credentialsHost = "iamcredentials.googleapis.com"
	kmsHost         = "cloudkms.googleapis.com"
	projectsHost    = "cloudresourcemanager.googleapis.com"
	servicesHost    = "serviceusage.googleapis.com"
	billingHost     = "cloudbilling.googleapis.com"
)

// Serves reports whether host is one of Google's hosts that are here.
func (c *Cloud) Serves(host string) bool { return host == oauthHost || routes[host] != nil }

// Operation is the RPC that a request performs: "Decrypt", "GetCryptoKeyVersion",
// "GenerateAccessToken"; "Token" at the token endpoint.
func (c *Cloud) Operation(call *pocket.Call) string {
	if call.Host == oauthHost {
		return "Token"
	}
	r, _ := match(call)
	return r.operation
}

// Serve answers a request.
func (c *Cloud) Serve(w http.ResponseWriter, call *pocket.Call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if call.Host == oauthHost {
		c.serveToken(w, call)
		return
	}
	body, err := c.serve(call)
	if err != nil {
		writeError(w, err)
		return
	}
	writeBody(w, call, body)
}

// serve checks, in Google's order, who calls, whether the API is on, and the permission.
func (c *Cloud) serve(call *pocket.Call) (any, error) {
	route, vars := match(call)
	if route.serve == nil {
		return nil, failure(http.StatusNotFound, "NOT_FOUND", "Method not found.")
	}
	req := &request{Call: call, vars: vars, now: c.cfg.Now().UTC(), operation: route.operation}
	var err error
	if req.caller, err = c.authenticate(req); err != nil {
		return nil, err
	}
	if call.Host == kmsHost {
		if err := c.checkProjects(req); err != nil {
			return nil, err
		}
	}
	if route.resource != nil {
		if req.resource, err = route.resource(c, req); err != nil {
			return nil, err
		}
	}
	if route.permission != "" {
		if err := c.demand(req, route.permission, req.resource); err != nil {
			return nil, err
		}
	}
	return route.serve(c, req)
}

// Refuse answers as the service would when it denies, throttles, keeps a perimeter or fails.
func (c *Cloud) Refuse(w http.ResponseWriter, call *pocket.Call, kind pocket.FaultKind) {
	if call.Host == oauthHost {
		refuseToken(w, kind)
		return
	}
	route, vars := match(call)
	req := &request{Call: call, vars: vars}
	switch kind {
	case pocket.Deny:
		writeError(w, denied(route.permission, req.path()))
	case pocket.Throttle:
		writeError(w, quotaExceeded(call.Host))
	case pocket.Firewall:
		writeError(w, perimeter(call.Host, req.project()))
	default:
		writeError(w, failure(http.StatusServiceUnavailable, "UNAVAILABLE", "The service is currently unavailable."))
	}
}
