package awscloud

import (
	"fmt"
	"net/http"

	"latchkey/local/pocket/awscloud/policy"
)

// identityGrant is what the caller's own policies say. The root user needs none.
func (c caller) identityGrant(r policy.Request) policy.Grant {
	if c.isRoot() {
		return policy.ToPrincipal
	}
	return policy.Decide(c.identity, r)
}

// sessionGrant is what the session's policy leaves of them; without one, everything.
func (c caller) sessionGrant(r policy.Request) policy.Grant {
	if c.session == nil {
		return policy.ToPrincipal
	}
	return c.session.Decide(r)
}

// refusal says in AWS's words which kind of policy refused a request; "" if none did.
type refusal string

func explicit(kind string) refusal { return refusal("with an explicit deny in " + kind) }

func silent(kind, action string) refusal {
	return refusal(fmt.Sprintf("because no %s allows the %s action", kind, action))
}

// judgeIdentity decides a request for a resource that has no policy of its own.
func (c caller) judgeIdentity(r policy.Request) refusal {
	identity, session := c.identityGrant(r), c.sessionGrant(r)
	switch {
	case identity == policy.Denied:
		return explicit("an identity-based policy")
	case session == policy.Denied:
		return explicit("a session policy")
	case !identity.Allowed():
		return silent("identity-based policy", r.Action)
	case !session.Allowed():
		return silent("session policy", r.Action)
	}
	return ""
}

// judge decides a request for a resource that has a policy and belongs to the account owner.
// Within the account the resource's policy may allow the caller directly; if it only names the
// account, or if the caller is of another one, the caller's own policies must allow it too.
func (c caller) judge(r policy.Request, resource policy.Document, owner string) refusal {
	grant, identity, session := resource.Decide(r), c.identityGrant(r), c.sessionGrant(r)
	needsIdentity := owner != c.name.Account || grant == policy.ToAccount
	switch {
	case grant == policy.Denied:
		return explicit("a resource-based policy")
	case identity == policy.Denied:
		return explicit("an identity-based policy")
	case session == policy.Denied:
		return explicit("a session policy")
	case grant == policy.Silent:
		return silent("resource-based policy", r.Action)
	case needsIdentity && !identity.Allowed():
		return silent("identity-based policy", r.Action)
	case grant != policy.ToSession && !session.Allowed():
		return silent("session policy", r.Action)
	}
	return ""
}

// unauthorized is the message of a refused request.
func (c caller) unauthorized(action, resource string, why refusal) string {
	return fmt.Sprintf("User: %s is not authorized to perform: %s on resource: %s %s", c.arn(), action, resource, why)
}

// accessDenied is the failure of a refused request to IAM or STS.
func (c caller) accessDenied(action, resource string, why refusal) *failure {
	return failWith(http.StatusForbidden, "AccessDenied", "%s", c.unauthorized(action, resource, why))
}
