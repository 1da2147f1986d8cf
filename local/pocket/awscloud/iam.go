package awscloud

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"time"

	"latchkey/local/pocket"
	"latchkey/local/pocket/awscloud/policy"
	"latchkey/shared/atlas"
)

const iamNamespace = "https://iam.amazonaws.com/doc/2010-05-08/"

// The alphabets of IAM's names.
var (
	accountID  = regexp.MustCompile(`^[0-9]{12}$`)
	entityName = regexp.MustCompile(`^[\w+=,.@-]{1,64}$`)
	policyName = regexp.MustCompile(`^[\w+=,.@-]{1,128}$`)
	entityPath = regexp.MustCompile(`^/([!-.0-~]+/)*$`)
)

// maxInlinePolicy bounds one policy document of a user or role (10,240 characters for a role).
const maxInlinePolicy = 10240

// iamService is IAM.
type iamService struct{ *Cloud }

// Serves reports whether host is IAM's.
func (iamService) Serves(host string) bool { return serves(host, "iam") }

// Operation is the Action parameter.
func (iamService) Operation(c *pocket.Call) string { return formOf(c).Get("Action") }

// Serve answers the request.
func (s iamService) Serve(w http.ResponseWriter, c *pocket.Call) {
	s.serveQuery(w, c, iamNamespace, iamOperations)
}

// Refuse answers as IAM does when it denies, throttles or fails.
func (s iamService) Refuse(w http.ResponseWriter, c *pocket.Call, kind pocket.FaultKind) {
	s.refuseQuery(w, c, kind, iamNamespace, "iam", failWith(http.StatusInternalServerError, "ServiceFailure", "Service Failure"))
}

var iamOperations = map[string]func(*queryCall) (any, error){
	"CreateRole":             (*queryCall).createRole,
	"GetRole":                (*queryCall).getRole,
	"ListRoles":              (*queryCall).listRoles,
	"UpdateAssumeRolePolicy": (*queryCall).updateAssumeRolePolicy,
	"PutRolePolicy":          (*queryCall).putRolePolicy,
	"GetRolePolicy":          (*queryCall).getRolePolicy,
	"ListRolePolicies":       (*queryCall).listRolePolicies,
	"DeleteRolePolicy":       (*queryCall).deleteRolePolicy,
	"DeleteRole":             (*queryCall).deleteRole,
	"CreateUser":             (*queryCall).createUser,
	"GetUser":                (*queryCall).getUser,
	"DeleteUser":             (*queryCall).deleteUser,
	"PutUserPolicy":          (*queryCall).putUserPolicy,
	"GetUserPolicy":          (*queryCall).getUserPolicy,
	"ListUserPolicies":       (*queryCall).listUserPolicies,
	"DeleteUserPolicy":       (*queryCall).deleteUserPolicy,
	"CreateAccessKey":        (*queryCall).createAccessKey,
	"ListAccessKeys":         (*queryCall).listAccessKeys,
	"UpdateAccessKey":        (*queryCall).updateAccessKey,
	"DeleteAccessKey":        (*queryCall).deleteAccessKey,
}

// entity is what users and roles have in common.
type entity struct {
	Name     string
	Path     string
	ID       string // "AIDA…", "AROA…"
	Created  time.Time
	Policies map[string]string `json:",omitempty"` // inline policies by name
}

// withPolicy is the entity with one inline policy set; an empty text removes it.
func (e entity) withPolicy(name, text string) entity {
	e.Policies = maps.Clone(e.Policies)
	if text == "" {
		delete(e.Policies, name)
		return e
	}
	if e.Policies == nil {
		e.Policies = map[string]string{}
	}
	e.Policies[name] = text
	return e
}

func (e entity) policyNames() []string { return slices.Sorted(maps.Keys(e.Policies)) }

// entityARN is the ARN of a user or role.
func entityARN(partition atlas.AWSPartition, account string, kind atlas.AWSPrincipalKind, path, name string) string {
	return atlas.AWSPrincipal{Partition: partition, Account: account, Kind: kind, Path: path, Name: name}.String()
}

// allow checks that the caller may perform the operation on a resource.
func (q *queryCall) allow(resource string) error {
	action := q.service + ":" + q.action
	r := policy.Request{Caller: q.who.name, Action: action, Resource: resource, Context: q.context}
	if why := q.who.judgeIdentity(r); why != "" {
		return q.who.accessDenied(action, resource, why)
	}
	return nil
}

// nameParam reads and checks the name of a user, role or policy.
func (q *queryCall) nameParam(param string, form *regexp.Regexp) (string, error) {
	name := q.form.Get(param)
	if !form.MatchString(name) {
		return "", invalid("Value '%s' at '%s' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\w+=,.@-]+",
			name, lowerFirst(param))
	}
	return name, nil
}

// pathParam reads and checks a path.
func (q *queryCall) pathParam() (string, error) {
	path := q.form.Get("Path")
	if path == "" {
		return "/", nil
	}
	if !entityPath.MatchString(path) || len(path) > 512 {
		return "", invalid("The specified value for path is invalid. It must begin and end with / and contain only " +
			"alphanumeric characters and/or / characters.")
	}
	return path, nil
}

// documentParam reads and checks a policy document.
func (q *queryCall) documentParam(param string, kind policy.Kind) (string, policy.Document, error) {
	text := q.form.Get(param)
	if len(text) > maxInlinePolicy {
		return "", policy.Document{}, failWith(http.StatusConflict, "LimitExceeded", "Maximum policy size of %d bytes exceeded", maxInlinePolicy)
	}
	d, err := policy.Parse(text, kind)
	if err != nil {
		return "", d, malformedPolicy(err)
	}
	return text, d, nil
}

func malformedPolicy(err error) error {
	return fail("MalformedPolicyDocument", "Syntax errors in policy: %v", err)
}

func invalid(format string, args ...any) *failure {
	return fail("ValidationError", "1 validation error detected: "+format, args...)
}

func noSuchEntity(kind, name string) error {
	return failWith(http.StatusNotFound, "NoSuchEntity", "The %s with name %s cannot be found.", kind, name)
}

// encodeDocument is how IAM returns policy documents.
func encodeDocument(text string) string { return awsEscape(text) }

func lowerFirst(s string) string {
	if s == "" {
		return s
	}
	return string(s[0]|0x20) + s[1:]
}

// iamTime is how IAM and STS write instants.
func iamTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// isPrincipal reports whether a name in a policy's Principal element exists: an account of
// this cloud, or a user, role or session in one. AWS refuses policies that name anyone else.
func (c *Cloud) isPrincipal(name string) (bool, error) {
	if accountID.MatchString(name) {
		_, ok := c.accounts[name]
		return ok, nil
	}
	p, err := atlas.ParseAWSPrincipal(name)
	if err != nil || c.partition(p.Account) != p.Partition {
		return false, nil //nolint:nilerr // what is no principal's ARN names nobody
	}
	switch p.Kind {
	case atlas.PrincipalUser:
		t, err := c.user(p.Account, p.Name)
		u, ok := t.latest()
		return ok && u.Path == p.Path, err
	case atlas.PrincipalRole:
		t, err := c.role(p.Account, p.Name)
		r, ok := t.latest()
		return ok && r.Path == p.Path, err
	case atlas.PrincipalSession:
		t, err := c.role(p.Account, p.Name)
		_, ok := t.latest()
		return ok, err
	case atlas.PrincipalRoot:
		return true, nil
	}
	return false, nil
}

// strangers are the AWS principals of a document that do not exist.
func (c *Cloud) strangers(d policy.Document) ([]string, error) {
	var unknown []string
	for _, s := range d.Statements {
		for _, name := range s.Principals.AWS {
			ok, err := c.isPrincipal(name)
			if err != nil {
				return nil, fmt.Errorf("look up principal: %w", err)
			}
			if !ok {
				unknown = append(unknown, name)
			}
		}
	}
	return unknown, nil
}

// formOf reads the parameters of a call in the protocol AWS Query.
func formOf(c *pocket.Call) url.Values {
	form, err := url.ParseQuery(string(c.Body))
	if err != nil || len(form) == 0 {
		return c.URL.Query()
	}
	return form
}
