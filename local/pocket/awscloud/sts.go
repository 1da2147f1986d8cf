package awscloud

import (
	"net/http"
	"regexp"
	"strconv"
	"time"

	"latchkey/local/pocket"
	"latchkey/local/pocket/awscloud/policy"
	"latchkey/shared/atlas"
)

const stsNamespace = "https://sts.amazonaws.com/doc/2011-06-15/"

// Limits of AssumeRole.
const (
	minSession       = 15 * time.Minute
	maxSession       = 12 * time.Hour
	maxChained       = time.Hour // of a session that another session makes
	maxSessionPolicy = 2048
	maxExternalID    = 1224
)

var (
	sessionName = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)
	externalID  = regexp.MustCompile(`^[\w+=,.@:/-]{2,}$`)
)

// stsService is STS.
type stsService struct{ *Cloud }

// Serves reports whether host is STS's.
func (stsService) Serves(host string) bool { return serves(host, "sts") }

// Operation is the Action parameter.
func (stsService) Operation(c *pocket.Call) string { return formOf(c).Get("Action") }

// Serve answers the request.
func (s stsService) Serve(w http.ResponseWriter, c *pocket.Call) {
	s.serveQuery(w, c, stsNamespace, stsOperations)
}

// Refuse answers as STS does when it denies, throttles or fails.
func (s stsService) Refuse(w http.ResponseWriter, c *pocket.Call, kind pocket.FaultKind) {
	s.refuseQuery(w, c, kind, stsNamespace, "sts", failWith(http.StatusInternalServerError, "InternalFailure", "Internal failure"))
}

var stsOperations = map[string]func(*queryCall) (any, error){
	"AssumeRole":        (*queryCall).assumeRole,
	"GetCallerIdentity": (*queryCall).getCallerIdentity,
}

// getCallerIdentity needs no permission.
func (q *queryCall) getCallerIdentity() (any, error) {
	return callerIdentityResult{Arn: q.who.arn(), UserID: q.who.uniqueID, Account: q.who.name.Account}, nil
}

func (q *queryCall) assumeRole() (any, error) {
	session, err := q.sessionParams()
	if err != nil {
		return nil, err
	}
	arn := q.form.Get("RoleArn")
	target, err := atlas.ParseAWSRole(arn)
	if err != nil {
		return nil, invalid("%s is invalid", arn)
	}
	if q.who.isRoot() {
		return nil, failWith(http.StatusForbidden, "AccessDenied", "Roles may not be assumed by root accounts.")
	}
	t, err := q.role(target.Account, target.Name)
	if err != nil {
		return nil, err
	}
	// A role that does not exist looks like one that does not trust the caller.
	r, ok := t.at(q.now)
	if !ok || target.Path != r.Path || target.Partition != q.who.partition || !q.trusts(r, arn, target.Account) {
		return nil, failWith(http.StatusForbidden, "AccessDenied", "User: %s is not authorized to perform: sts:AssumeRole on resource: %s", q.who.arn(), arn)
	}
	if session.duration > r.MaxSession {
		return nil, fail("ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	}
	return q.newSession(session, r, target)
}

// sessionRequest is what AssumeRole is asked for.
type sessionRequest struct {
	name     string
	duration time.Duration
	policy   string
}

func (q *queryCall) sessionParams() (sessionRequest, error) {
	s := sessionRequest{name: q.form.Get("RoleSessionName"), duration: defaultMaxSession, policy: q.form.Get("Policy")}
	if !sessionName.MatchString(s.name) {
		return s, invalid("Value '%s' at 'roleSessionName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\w+=,.@-]*", s.name)
	}
	if id := q.form.Get("ExternalId"); q.form.Has("ExternalId") && (len(id) > maxExternalID || !externalID.MatchString(id)) {
		return s, invalid("Value '%s' at 'externalId' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\w+=,.@:\\/-]*", id)
	}
	if seconds := q.form.Get("DurationSeconds"); seconds != "" {
		n, err := strconv.Atoi(seconds)
		s.duration = time.Duration(n) * time.Second
		if err != nil || s.duration < minSession || s.duration > maxSession {
			return s, invalid("Value '%s' at 'durationSeconds' failed to satisfy constraint: Member must have value between 900 and 43200", seconds)
		}
	}
	if q.who.chained && s.duration > maxChained {
		return s, fail("ValidationError", "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining")
	}
	if len(s.policy) > maxSessionPolicy {
		return s, invalid("Value at 'policy' failed to satisfy constraint: Member must have length less than or equal to %d", maxSessionPolicy)
	}
	if s.policy != "" {
		if _, err := policy.Parse(s.policy, policy.Identity); err != nil {
			return s, malformedPolicy(err)
		}
	}
	return s, nil
}

// trusts reports whether the caller may assume the role: the role's trust policy and, unless
// that names the caller within the same account, the caller's own policies must allow it.
func (q *queryCall) trusts(r role, arn, owner string) bool {
	trust, err := policy.Parse(r.Trust, policy.Trust)
	if err != nil {
		return false
	}
	q.context["sts:rolesessionname"] = []string{q.form.Get("RoleSessionName")}
	if q.form.Has("ExternalId") {
		q.context["sts:externalid"] = []string{q.form.Get("ExternalId")}
	}
	request := policy.Request{Caller: q.who.name, Action: "sts:AssumeRole", Resource: arn, Context: q.context}
	return q.who.judge(request, trust, owner) == ""
}

func (q *queryCall) newSession(s sessionRequest, r role, target atlas.AWSPrincipal) (any, error) {
	t := sessionToken{
		AccessKeyID: uniqueID("ASIA", 16), Secret: newSecret(), Account: target.Account, Role: r.Name, RoleID: r.ID,
		Session: s.name, Policy: s.policy, Expires: q.now.Add(s.duration).UTC().Truncate(time.Second),
	}
	token, err := q.sealToken(t)
	if err != nil {
		return nil, err
	}
	target.Kind, target.Name, target.Session = atlas.PrincipalSession, r.Name, s.name
	result := assumeRoleResult{
		Credentials: credentialsXML{AccessKeyID: t.AccessKeyID, SecretAccessKey: t.Secret, SessionToken: token, Expiration: iamTime(t.Expires)},
		User:        assumedRoleUserXML{AssumedRoleID: r.ID + ":" + s.name, Arn: target.String()},
	}
	if s.policy != "" {
		size := len(s.policy) * 100 / maxSessionPolicy
		result.PackedPolicySize = &size
	}
	return result, nil
}

type callerIdentityResult struct {
	Arn     string
	UserID  string `xml:"UserId"`
	Account string
}

type credentialsXML struct {
	AccessKeyID     string `xml:"AccessKeyId"`
	SecretAccessKey string
	SessionToken    string
	Expiration      string
}

type assumedRoleUserXML struct {
	AssumedRoleID string `xml:"AssumedRoleId"`
	Arn           string
}

type assumeRoleResult struct {
	Credentials      credentialsXML
	User             assumedRoleUserXML `xml:"AssumedRoleUser"`
	PackedPolicySize *int               `xml:",omitempty"`
}
