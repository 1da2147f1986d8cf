package awscloud

import (
	"net/http"
	"net/url"
	"time"

	"latchkey/local/pocket"
)

// queryCall is one authenticated request in the protocol AWS Query.
type queryCall struct {
	*Cloud
	service string // "iam", "sts"
	action  string
	form    url.Values
	who     caller
	now     time.Time
	context map[string][]string // condition keys
}

// serveQuery authenticates a request and performs its operation.
func (c *Cloud) serveQuery(w http.ResponseWriter, call *pocket.Call, namespace string, operations map[string]func(*queryCall) (any, error)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	form := formOf(call)
	result, err := c.perform(call, form, operations)
	if err != nil {
		writeQueryFailure(w, namespace, asFailure(err, "InternalFailure"))
		return
	}
	writeQuery(w, namespace, form.Get("Action"), result)
}

func (c *Cloud) perform(call *pocket.Call, form url.Values, operations map[string]func(*queryCall) (any, error)) (any, error) {
	e, _ := parseHost(call.Host)
	who, refused, err := c.authenticate(call, e)
	if err != nil {
		return nil, err
	}
	if refused != nil {
		return nil, refused.query
	}
	operation, ok := operations[form.Get("Action")]
	if !ok {
		return nil, fail("InvalidAction", "Could not find operation %s for version %s", form.Get("Action"), form.Get("Version"))
	}
	return operation(&queryCall{
		Cloud: c, service: e.service, action: form.Get("Action"), form: form, who: who, now: c.cfg.Now(),
		context: c.requestContext(call, e, who),
	})
}

// refuseQuery answers a request that a fault was set for.
func (c *Cloud) refuseQuery(w http.ResponseWriter, call *pocket.Call, kind pocket.FaultKind, namespace, service string, internal *failure) {
	switch kind {
	case pocket.Throttle:
		writeQueryFailure(w, namespace, fail("Throttling", "Rate exceeded"))
	case pocket.ServerError:
		writeQueryFailure(w, namespace, internal)
	default:
		message := c.faultMessage(call, kind, service+":"+formOf(call).Get("Action"))
		writeQueryFailure(w, namespace, failWith(http.StatusForbidden, "AccessDenied", "%s", message))
	}
}

// faultMessage is the text of a refusal that a fault was set for.
func (c *Cloud) faultMessage(call *pocket.Call, kind pocket.FaultKind, action string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, _ := parseHost(call.Host)
	who, refused, err := c.authenticate(call, e)
	if refused != nil || err != nil {
		who.name.Identity = "anonymous"
	}
	if kind == pocket.Firewall {
		return who.unauthorized(action, "*", explicit("a VPC endpoint policy"))
	}
	return who.unauthorized(action, "*", silent("identity-based policy", action))
}
