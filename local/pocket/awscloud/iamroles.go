package awscloud

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"latchkey/local/pocket/awscloud/policy"
	"latchkey/shared/atlas"
)

// defaultMaxSession is how long a role's sessions may last unless it says otherwise.
const defaultMaxSession = time.Hour

// role is an IAM role.
type role struct {
	entity
	Description string `json:",omitempty"`
	MaxSession  time.Duration
	Trust       string
}

func (r role) arn(partition atlas.AWSPartition, account string) string {
	return entityARN(partition, account, atlas.PrincipalRole, r.Path, r.Name)
}

func (c *Cloud) role(account, name string) (timeline[role], error) {
	var t timeline[role]
	_, err := c.state.Get(kindRole, entityKey(account, name), &t)
	return t, err
}

// entityKey is where a user or role is kept: names are unique regardless of case.
func entityKey(account, name string) string { return account + "/" + strings.ToLower(name) }

// putRole writes a role; nil deletes it.
func (c *Cloud) putRole(account, name string, r *role) error {
	t, err := c.role(account, name)
	if err != nil {
		return err
	}
	return save(c, kindRole, entityKey(account, name), t, r)
}

// namedRole is the role that the request names, which the caller may act on.
func (q *queryCall) namedRole() (role, error) {
	name, err := q.nameParam("RoleName", entityName)
	if err != nil {
		return role{}, err
	}
	t, err := q.role(q.who.name.Account, name)
	if err != nil {
		return role{}, err
	}
	r, ok := t.latest()
	if !ok {
		r = role{entity: entity{Name: name, Path: "/"}}
	}
	if err := q.allow(r.arn(q.who.partition, q.who.name.Account)); err != nil {
		return role{}, err
	}
	if !ok {
		return role{}, noSuchEntity("role", name)
	}
	return r, nil
}

func (q *queryCall) saveRole(r role) error { return q.putRole(q.who.name.Account, r.Name, &r) }

func (q *queryCall) createRole() (any, error) {
	name, err := q.nameParam("RoleName", entityName)
	if err != nil {
		return nil, err
	}
	path, err := q.pathParam()
	if err != nil {
		return nil, err
	}
	r := role{entity: entity{Name: name, Path: path, ID: uniqueID("AROA", 17), Created: q.now}, Description: q.form.Get("Description")}
	if err := q.allow(r.arn(q.who.partition, q.who.name.Account)); err != nil {
		return nil, err
	}
	if r.MaxSession, err = q.maxSession(); err != nil {
		return nil, err
	}
	if r.Trust, err = q.trustParam("AssumeRolePolicyDocument"); err != nil {
		return nil, err
	}
	t, err := q.role(q.who.name.Account, name)
	if err != nil {
		return nil, err
	}
	if _, exists := t.latest(); exists {
		return nil, failWith(http.StatusConflict, "EntityAlreadyExists", "Role with name %s already exists.", name)
	}
	if err := q.saveRole(r); err != nil {
		return nil, err
	}
	return roleResult{q.roleXML(r)}, nil
}

func (q *queryCall) maxSession() (time.Duration, error) {
	s := q.form.Get("MaxSessionDuration")
	if s == "" {
		return defaultMaxSession, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 3600 || n > 43200 {
		return 0, invalid("Value '%s' at 'maxSessionDuration' failed to satisfy constraint: Member must be between 3600 and 43200", s)
	}
	return time.Duration(n) * time.Second, nil
}

// trustParam reads and checks a trust policy.
func (q *queryCall) trustParam(param string) (string, error) {
	text, doc, err := q.documentParam(param, policy.Trust)
	if err != nil {
		return "", err
	}
	for _, s := range doc.Statements {
		for _, action := range s.Actions {
			if !strings.HasPrefix(strings.ToLower(action), "sts:") && action != "*" {
				return "", fail("MalformedPolicyDocument", "AssumeRole policy may only specify STS AssumeRole actions.")
			}
		}
	}
	unknown, err := q.strangers(doc)
	if err != nil {
		return "", err
	}
	if len(unknown) > 0 {
		return "", fail("MalformedPolicyDocument", "Invalid principal in policy: \"AWS\":\"%s\"", unknown[0])
	}
	return text, nil
}

func (q *queryCall) getRole() (any, error) {
	r, err := q.namedRole()
	if err != nil {
		return nil, err
	}
	return roleResult{q.roleXML(r)}, nil
}

func (q *queryCall) listRoles() (any, error) {
	if err := q.allow("*"); err != nil {
		return nil, err
	}
	account, prefix := q.who.name.Account, q.form.Get("PathPrefix")
	var list listRolesResult
	err := q.state.Each(kindRole, func(id string, body []byte) error {
		if !strings.HasPrefix(id, account+"/") {
			return nil
		}
		var t timeline[role]
		if err := json.Unmarshal(body, &t); err != nil {
			return err
		}
		if r, ok := t.latest(); ok && strings.HasPrefix(r.Path, prefix) {
			list.Roles = append(list.Roles, q.roleXML(r))
		}
		return nil
	})
	return list, err
}

func (q *queryCall) updateAssumeRolePolicy() (any, error) {
	r, err := q.namedRole()
	if err != nil {
		return nil, err
	}
	if r.Trust, err = q.trustParam("PolicyDocument"); err != nil {
		return nil, err
	}
	return nil, q.saveRole(r)
}

func (q *queryCall) putRolePolicy() (any, error) {
	r, err := q.namedRole()
	if err != nil {
		return nil, err
	}
	r.entity, err = q.changedPolicy(r.entity)
	if err != nil {
		return nil, err
	}
	return nil, q.saveRole(r)
}

// changedPolicy is an entity with the inline policy that the request sets.
func (q *queryCall) changedPolicy(e entity) (entity, error) {
	name, err := q.nameParam("PolicyName", policyName)
	if err != nil {
		return e, err
	}
	text, _, err := q.documentParam("PolicyDocument", policy.Identity)
	if err != nil {
		return e, err
	}
	return e.withPolicy(name, text), nil
}

// policyOf is the inline policy of an entity that the request names.
func (q *queryCall) policyOf(e entity, kind string) (name, text string, err error) {
	name, err = q.nameParam("PolicyName", policyName)
	if err != nil {
		return "", "", err
	}
	text, ok := e.Policies[name]
	if !ok {
		return "", "", failWith(http.StatusNotFound, "NoSuchEntity", "The %s policy with name %s cannot be found.", kind, name)
	}
	return name, text, nil
}

func (q *queryCall) getRolePolicy() (any, error) {
	r, err := q.namedRole()
	if err != nil {
		return nil, err
	}
	name, text, err := q.policyOf(r.entity, "role")
	if err != nil {
		return nil, err
	}
	return rolePolicyResult{RoleName: r.Name, PolicyName: name, PolicyDocument: encodeDocument(text)}, nil
}

func (q *queryCall) listRolePolicies() (any, error) {
	r, err := q.namedRole()
	if err != nil {
		return nil, err
	}
	return policyNamesResult{PolicyNames: r.policyNames()}, nil
}

func (q *queryCall) deleteRolePolicy() (any, error) {
	r, err := q.namedRole()
	if err != nil {
		return nil, err
	}
	name, _, err := q.policyOf(r.entity, "role")
	if err != nil {
		return nil, err
	}
	r.entity = r.withPolicy(name, "")
	return nil, q.saveRole(r)
}

func (q *queryCall) deleteRole() (any, error) {
	r, err := q.namedRole()
	if err != nil {
		return nil, err
	}
	if len(r.Policies) > 0 {
		return nil, failWith(http.StatusConflict, "DeleteConflict", "Cannot delete entity, must delete policies first.")
	}
	return nil, q.putRole(q.who.name.Account, r.Name, nil)
}

// roleXML is a role as IAM returns it.
func (q *queryCall) roleXML(r role) roleXML {
	return roleXML{
		Path: r.Path, RoleName: r.Name, RoleID: r.ID, Arn: r.arn(q.who.partition, q.who.name.Account), CreateDate: iamTime(r.Created),
		AssumeRolePolicyDocument: encodeDocument(r.Trust), Description: r.Description, MaxSessionDuration: int(r.MaxSession.Seconds()),
	}
}

type roleXML struct {
	Path                     string
	RoleName                 string
	RoleID                   string `xml:"RoleId"`
	Arn                      string
	CreateDate               string
	AssumeRolePolicyDocument string
	Description              string `xml:",omitempty"`
	MaxSessionDuration       int
}

type roleResult struct{ Role roleXML }

type listRolesResult struct {
	Roles       []roleXML `xml:"Roles>member"`
	IsTruncated bool
}

type rolePolicyResult struct {
	RoleName       string
	PolicyName     string
	PolicyDocument string
}

type policyNamesResult struct {
	PolicyNames []string `xml:"PolicyNames>member"`
	IsTruncated bool
}
