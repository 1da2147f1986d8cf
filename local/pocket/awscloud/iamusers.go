package awscloud

import (
	"encoding/json"
	"net/http"

	"latchkey/shared/atlas"
)

// The states of an access key.
const (
	statusActive   = "Active"
	statusInactive = "Inactive"
)

// maxAccessKeys is how many access keys a user can have.
const maxAccessKeys = 2

// user is an IAM user.
type user struct{ entity }

func (u user) arn(partition atlas.AWSPartition, account string) string {
	return entityARN(partition, account, atlas.PrincipalUser, u.Path, u.Name)
}

func (c *Cloud) user(account, name string) (timeline[user], error) {
	var t timeline[user]
	_, err := c.state.Get(kindUser, entityKey(account, name), &t)
	return t, err
}

// putUser writes a user; nil deletes it.
func (c *Cloud) putUser(account, name string, u *user) error {
	t, err := c.user(account, name)
	if err != nil {
		return err
	}
	return save(c, kindUser, entityKey(account, name), t, u)
}

// namedUser is the user that the request names, or else the caller, whom the caller may act on.
func (q *queryCall) namedUser() (user, error) {
	if q.form.Get("UserName") == "" && q.who.username != "" {
		q.form.Set("UserName", q.who.username)
	}
	name, err := q.nameParam("UserName", entityName)
	if err != nil {
		return user{}, err
	}
	t, err := q.user(q.who.name.Account, name)
	if err != nil {
		return user{}, err
	}
	u, ok := t.latest()
	if !ok {
		u = user{entity{Name: name, Path: "/"}}
	}
	if err := q.allow(u.arn(q.who.partition, q.who.name.Account)); err != nil {
		return user{}, err
	}
	if !ok {
		return user{}, noSuchEntity("user", name)
	}
	return u, nil
}

func (q *queryCall) saveUser(u user) error { return q.putUser(q.who.name.Account, u.Name, &u) }

func (q *queryCall) createUser() (any, error) {
	name, err := q.nameParam("UserName", entityName)
	if err != nil {
		return nil, err
	}
	path, err := q.pathParam()
	if err != nil {
		return nil, err
	}
	u := user{entity{Name: name, Path: path, ID: uniqueID("AIDA", 17), Created: q.now}}
	if err := q.allow(u.arn(q.who.partition, q.who.name.Account)); err != nil {
		return nil, err
	}
	t, err := q.user(q.who.name.Account, name)
	if err != nil {
		return nil, err
	}
	if _, exists := t.latest(); exists {
		return nil, failWith(http.StatusConflict, "EntityAlreadyExists", "User with name %s already exists.", name)
	}
	if err := q.saveUser(u); err != nil {
		return nil, err
	}
	return userResult{q.userXML(u)}, nil
}

func (q *queryCall) getUser() (any, error) {
	u, err := q.namedUser()
	if err != nil {
		return nil, err
	}
	return userResult{q.userXML(u)}, nil
}

func (q *queryCall) deleteUser() (any, error) {
	u, err := q.namedUser()
	if err != nil {
		return nil, err
	}
	keys, err := q.accessKeysOf(u.Name)
	if err != nil {
		return nil, err
	}
	if len(keys) > 0 {
		return nil, failWith(http.StatusConflict, "DeleteConflict", "Cannot delete entity, must delete access keys first.")
	}
	if len(u.Policies) > 0 {
		return nil, failWith(http.StatusConflict, "DeleteConflict", "Cannot delete entity, must delete policies first.")
	}
	return nil, q.putUser(q.who.name.Account, u.Name, nil)
}

func (q *queryCall) putUserPolicy() (any, error) {
	u, err := q.namedUser()
	if err != nil {
		return nil, err
	}
	u.entity, err = q.changedPolicy(u.entity)
	if err != nil {
		return nil, err
	}
	return nil, q.saveUser(u)
}

func (q *queryCall) getUserPolicy() (any, error) {
	u, err := q.namedUser()
	if err != nil {
		return nil, err
	}
	name, text, err := q.policyOf(u.entity, "user")
	if err != nil {
		return nil, err
	}
	return userPolicyResult{UserName: u.Name, PolicyName: name, PolicyDocument: encodeDocument(text)}, nil
}

func (q *queryCall) listUserPolicies() (any, error) {
	u, err := q.namedUser()
	if err != nil {
		return nil, err
	}
	return policyNamesResult{PolicyNames: u.policyNames()}, nil
}

func (q *queryCall) deleteUserPolicy() (any, error) {
	u, err := q.namedUser()
	if err != nil {
		return nil, err
	}
	name, _, err := q.policyOf(u.entity, "user")
	if err != nil {
		return nil, err
	}
	u.entity = u.withPolicy(name, "")
	return nil, q.saveUser(u)
}

// accessKeysOf lists a user's access keys.
func (q *queryCall) accessKeysOf(user string) ([]accessKey, error) {
	var keys []accessKey
	err := q.state.Each(kindAccessKey, func(_ string, body []byte) error {
		var k accessKey
		if err := json.Unmarshal(body, &k); err != nil {
			return err
		}
		if _, exists := k.Status.latest(); exists && k.Account == q.who.name.Account && k.User == user {
			keys = append(keys, k)
		}
		return nil
	})
	return keys, err
}

// putAccessKey writes the status of an access key; "" deletes it.
func (c *Cloud) putAccessKey(k accessKey, status string) error {
	value := &status
	if status == "" {
		value = nil
	}
	k.Status = k.Status.with(value, c.cfg.Now(), c.cfg.Lag())
	if k.Status.isGone(c.cfg.Now()) {
		return c.state.Delete(kindAccessKey, k.ID)
	}
	return c.state.Put(kindAccessKey, k.ID, k)
}

func (q *queryCall) createAccessKey() (any, error) {
	u, err := q.namedUser()
	if err != nil {
		return nil, err
	}
	keys, err := q.accessKeysOf(u.Name)
	if err != nil {
		return nil, err
	}
	if len(keys) >= maxAccessKeys {
		return nil, failWith(http.StatusConflict, "LimitExceeded", "Cannot exceed quota for AccessKeysPerUser: %d", maxAccessKeys)
	}
	k := accessKey{ID: uniqueID("AKIA", 16), Secret: newSecret(), Account: q.who.name.Account, User: u.Name, Created: q.now}
	if err := q.putAccessKey(k, statusActive); err != nil {
		return nil, err
	}
	return createAccessKeyResult{accessKeyXML{
		UserName: u.Name, AccessKeyID: k.ID, Status: statusActive, SecretAccessKey: k.Secret, CreateDate: iamTime(k.Created),
	}}, nil
}

func (q *queryCall) listAccessKeys() (any, error) {
	u, err := q.namedUser()
	if err != nil {
		return nil, err
	}
	keys, err := q.accessKeysOf(u.Name)
	if err != nil {
		return nil, err
	}
	var list listAccessKeysResult
	for _, k := range keys {
		status, _ := k.Status.latest()
		list.Keys = append(list.Keys, accessKeyXML{UserName: u.Name, AccessKeyID: k.ID, Status: status, CreateDate: iamTime(k.Created)})
	}
	return list, nil
}

// namedAccessKey is the access key that the request names.
func (q *queryCall) namedAccessKey() (accessKey, error) {
	u, err := q.namedUser()
	if err != nil {
		return accessKey{}, err
	}
	keys, err := q.accessKeysOf(u.Name)
	if err != nil {
		return accessKey{}, err
	}
	id := q.form.Get("AccessKeyId")
	for _, k := range keys {
		if k.ID == id {
			return k, nil
		}
	}
	return accessKey{}, failWith(http.StatusNotFound, "NoSuchEntity", "The Access Key with id %s cannot be found.", id)
}

func (q *queryCall) updateAccessKey() (any, error) {
	k, err := q.namedAccessKey()
	if err != nil {
		return nil, err
	}
	status := q.form.Get("Status")
	if status != statusActive && status != statusInactive {
		return nil, invalid("Value '%s' at 'status' failed to satisfy constraint: Member must satisfy enum value set: [Active, Inactive]", status)
	}
	return nil, q.putAccessKey(k, status)
}

func (q *queryCall) deleteAccessKey() (any, error) {
	k, err := q.namedAccessKey()
	if err != nil {
		return nil, err
	}
	return nil, q.putAccessKey(k, "")
}

// userXML is a user as IAM returns it.
func (q *queryCall) userXML(u user) userXML {
	return userXML{
		Path: u.Path, UserName: u.Name, UserID: u.ID, Arn: u.arn(q.who.partition, q.who.name.Account), CreateDate: iamTime(u.Created),
	}
}

type userXML struct {
	Path       string
	UserName   string
	UserID     string `xml:"UserId"`
	Arn        string
	CreateDate string
}

type userResult struct{ User userXML }

type userPolicyResult struct {
	UserName       string
	PolicyName     string
	PolicyDocument string
}

type accessKeyXML struct {
	UserName        string
	AccessKeyID     string `xml:"AccessKeyId"`
	Status          string
	SecretAccessKey string `xml:",omitempty"`
	CreateDate      string
}

type createAccessKeyResult struct{ AccessKey accessKeyXML }

type listAccessKeysResult struct {
	Keys        []accessKeyXML `xml:"AccessKeyMetadata>member"`
	IsTruncated bool
}
