package googlecloud

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
)

// policy is an IAM policy on the wire.
type policy struct {
	Version  int       `json:"version,omitempty"`
	Etag     []byte    `json:"etag,omitempty"`
	Bindings []binding `json:"bindings,omitempty"`
}

type binding struct {
	Role      string          `json:"role"`
	Members   []string        `json:"members"`
	Condition json.RawMessage `json:"condition,omitempty"`
}

// storedPolicy keeps a resource's policy and those that may still be in force: changes take
// effect late.
type storedPolicy struct {
	Revisions []policyRevision `json:"revisions"` // oldest first; the last is the current one
}

type policyRevision struct {
	Since    time.Time         `json:"since"`
	Bindings []binding         `json:"bindings"`
	UIDs     map[string]string `json:"uids"` // unique id of each service account at that time
}

// inForce is what applies at a time, given how late changes apply.
func (s storedPolicy) inForce(now time.Time, lag time.Duration) policyRevision {
	for _, r := range slices.Backward(s.Revisions) {
		if !now.Before(r.Since.Add(lag)) {
			return r
		}
	}
	return policyRevision{}
}

// current is what was set last.
func (s storedPolicy) current() policyRevision {
	if len(s.Revisions) == 0 {
		return policyRevision{}
	}
	return s.Revisions[len(s.Revisions)-1]
}

// etag changes with the policy.
func (r policyRevision) etag() []byte {
	if r.Since.IsZero() {
		return []byte{0x00, 0x20, 0x01} // "ACAB", which Google sends for no policy
	}
	body, err := json.Marshal(r)
	if err != nil {
		return nil
	}
	sum := sha256.Sum256(body)
	return sum[:8]
}

// binds reports whether the revision gives a principal a permission.
func (r policyRevision) binds(p principal, permission string) bool {
	return slices.ContainsFunc(r.Bindings, func(b binding) bool {
		return grants(b.Role, permission) && slices.ContainsFunc(b.Members, func(m string) bool {
			return m == "allUsers" || m == "allAuthenticatedUsers" || m == p.Member && r.UIDs[m] == p.UID
		})
	})
}

// demand fails unless the caller has the permission on the resource or on what holds it.
func (c *Cloud) demand(req *request, permission, resource string) error {
	ok, err := c.permits(req, permission, resource)
	if err == nil && !ok {
		err = denied(permission, resource)
	}
	return err
}

func (c *Cloud) permits(req *request, permission, resource string) (bool, error) {
	if req.caller.Member == Administrator {
		return true, nil
	}
	for _, name := range lineage(resource) {
		var p storedPolicy
		if _, err := c.docs.Get(kindPolicy, name, &p); err != nil {
			return false, err
		}
		if p.inForce(req.now, c.cfg.Lag).binds(req.caller, permission) {
			return true, nil
		}
	}
	return false, nil
}

// lineage is a resource and everything that it inherits policies from.
func lineage(resource string) []string {
	var names []string
	for name := resource; name != "" && name != "projects"; name = parent(parent(name)) {
		names = append(names, name)
	}
	return names
}

func (c *Cloud) getPolicy(req *request) (any, error) {
	if err := c.exists(req.resource); err != nil {
		return nil, err
	}
	var p storedPolicy
	if _, err := c.docs.Get(kindPolicy, req.resource, &p); err != nil {
		return nil, err
	}
	return c.wirePolicy(p.current())
}

func (c *Cloud) setPolicy(req *request) (any, error) {
	var in struct {
		Policy policy `json:"policy"`
	}
	if err := readJSON(req, &in); err != nil {
		return nil, err
	}
	if err := c.exists(req.resource); err != nil {
		return nil, err
	}
	var stored storedPolicy
	if _, err := c.docs.Get(kindPolicy, req.resource, &stored); err != nil {
		return nil, err
	}
	if len(in.Policy.Etag) > 0 && !bytes.Equal(in.Policy.Etag, stored.current().etag()) {
		return nil, failure(http.StatusConflict, "ABORTED",
			"There were concurrent policy changes. Please retry the whole read-modify-write with exponential backoff.")
	}
	next := policyRevision{Since: req.now, Bindings: in.Policy.Bindings, UIDs: map[string]string{}}
	if err := c.checkBindings(next); err != nil {
		return nil, err
	}
	stored.Revisions = append(stored.pruned(req.now, c.cfg.Lag), next)
	if err := c.docs.Put(kindPolicy, req.resource, stored); err != nil {
		return nil, err
	}
	return c.wirePolicy(next)
}

// pruned drops the revisions that a later one in force has replaced.
func (s storedPolicy) pruned(now time.Time, lag time.Duration) []policyRevision {
	keep := 0
	for i, r := range s.Revisions {
		if !now.Before(r.Since.Add(lag)) {
			keep = i
		}
	}
	return s.Revisions[keep:]
}

// checkBindings refuses what IAM refuses and what is not here, and records which accounts the
// members are.
func (c *Cloud) checkBindings(r policyRevision) error {
	for _, b := range r.Bindings {
		if _, ok := roles[b.Role]; !ok {
			return invalidArgument("Role " + b.Role + " is not supported for this resource.")
		}
		if b.Condition != nil {
			return invalidArgument("Conditions are not supported by the pocket cloud.")
		}
		for _, m := range b.Members {
			kind, name, _ := strings.Cut(m, ":")
			switch kind {
			case "serviceAccount":
				a, found, err := c.account(name)
				if err != nil {
					return err
				}
				if !found {
					return invalidArgument("Service account " + name + " does not exist.")
				}
				r.UIDs[m] = a.UID
			case "user", "group", "domain", "allUsers", "allAuthenticatedUsers", "deleted":
			default:
				return invalidArgument("The member " + m + " is of an unknown type.")
			}
		}
	}
	return nil
}

// wirePolicy shows a revision as IAM does: members that are gone are marked as deleted.
func (c *Cloud) wirePolicy(r policyRevision) (policy, error) {
	p := policy{Version: 1, Etag: r.etag()}
	for _, b := range r.Bindings {
		shown := binding{Role: b.Role, Members: slices.Clone(b.Members)}
		for i, m := range shown.Members {
			email, ok := strings.CutPrefix(m, "serviceAccount:")
			if !ok {
				continue
			}
			a, found, err := c.account(email)
			if err != nil {
				return policy{}, err
			}
			if !found || a.UID != r.UIDs[m] {
				shown.Members[i] = "deleted:" + m + "?uid=" + r.UIDs[m]
			}
		}
		p.Bindings = append(p.Bindings, shown)
	}
	return p, nil
}

func (c *Cloud) testPermissions(req *request) (any, error) {
	var in struct {
		Permissions []string `json:"permissions"`
	}
	if err := readJSON(req, &in); err != nil {
		return nil, err
	}
	out := struct {
		Permissions []string `json:"permissions,omitempty"`
	}{}
	for _, permission := range in.Permissions {
		ok, err := c.permits(req, permission, req.resource)
		if err != nil {
			return nil, err
		}
		if ok {
			out.Permissions = append(out.Permissions, permission)
		}
	}
	return out, nil
}

// exists fails for a key ring, key or service account that was never made. Projects always exist.
func (c *Cloud) exists(resource string) error {
	var doc json.RawMessage
	kind, what := "", ""
	switch parts := strings.Split(resource, "/"); {
	case len(parts) == 6:
		kind, what = kindRing, "KeyRing"
	case len(parts) == 8:
		kind, what = kindKey, "CryptoKey"
	default:
		return nil // accounts are found before permissions are checked
	}
	found, err := c.docs.Get(kind, resource, &doc)
	if err == nil && !found {
		err = notFound(what + " " + resource + " not found.")
	}
	return err
}
