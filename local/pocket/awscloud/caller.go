package awscloud

import (
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"latchkey/local/pocket"
	"latchkey/local/pocket/awscloud/policy"
	"latchkey/shared/atlas"
)

// accessKey is what a request can be signed with. User and Role are empty for the key of an
// account's root user.
type accessKey struct {
	ID      string
	Secret  string
	Account string
	User    string `json:",omitempty"` // name
	Role    string `json:",omitempty"` // name; the key acts as a session of it
	Session string `json:",omitempty"`
	Created time.Time
	Status  timeline[string] // "Active" or "Inactive"
}

// caller is who makes a request and what that identity may do.
type caller struct {
	name      policy.Caller
	partition atlas.AWSPartition
	uniqueID  string // as aws:userid has it
	username  string
	chained   bool // the credentials are a role's already

	identity []policy.Document // the policies of the user or role
	session  *policy.Document  // what AssumeRole limited the session to
}

// arn is the caller as AWS names it in messages.
func (c caller) arn() string {
	if c.name.Session != "" {
		return c.name.Session
	}
	return c.name.Identity
}

// isRoot reports whether the account's root user calls.
func (c caller) isRoot() bool { return c.name.Identity == c.name.Root }

// authenticate finds out who signed the call.
func (c *Cloud) authenticate(call *pocket.Call, e endpoint) (caller, *authFailure, error) {
	header := call.Header.Get("Authorization")
	if header == "" {
		return caller{}, missingToken(), nil
	}
	auth, ok := parseAuthorization(header)
	if !ok {
		return caller{}, incompleteSignature(), nil
	}
	now := c.cfg.Now()
	who, err := c.credentials(auth.accessKeyID, call.Header.Get("X-Amz-Security-Token"), now)
	if err != nil {
		return caller{}, nil, err
	}
	if who.secret == "" || c.partition(who.account) != e.region.Partition() {
		return caller{}, unknownKey(), nil
	}
	if failed := auth.verify(call, e, who.secret, now); failed != nil {
		return caller{}, failed, nil
	}
	if !who.expires.IsZero() && !now.Before(who.expires) {
		return caller{}, expiredToken(), nil
	}
	found, known, err := c.identify(who, now)
	if err == nil && !known {
		return caller{}, unknownKey(), nil
	}
	return found, nil, err
}

// credentials are what an access key id, with or without a session token, stands for.
type credentials struct {
	secret  string // "" if there are no such credentials
	account string
	user    string
	role    string
	roleID  string // set if the session is good only as long as the role is the same one
	session string
	policy  string
	expires time.Time // zero is never
}

func (c *Cloud) credentials(id, token string, now time.Time) (credentials, error) {
	if token != "" {
		t, ok := c.openToken(token)
		if !ok || t.AccessKeyID != id {
			return credentials{}, nil
		}
		return credentials{
			secret: t.Secret, account: t.Account, role: t.Role, roleID: t.RoleID, session: t.Session, policy: t.Policy, expires: t.Expires,
		}, nil
	}
	var k accessKey
	if found, err := c.state.Get(kindAccessKey, id, &k); err != nil || !found {
		return credentials{}, err
	}
	if status, ok := k.Status.at(now); !ok || status != statusActive {
		return credentials{}, nil
	}
	return credentials{secret: k.Secret, account: k.Account, user: k.User, role: k.Role, session: k.Session}, nil
}

func (c *Cloud) partition(account string) atlas.AWSPartition {
	return atlas.AWSPartition(c.accounts[account].Partition)
}

// identify finds the identity behind credentials and the policies in force for it.
func (c *Cloud) identify(who credentials, now time.Time) (caller, bool, error) {
	partition := c.partition(who.account)
	root := atlas.AWSPrincipal{Partition: partition, Account: who.account, Kind: atlas.PrincipalRoot}.String()
	found := caller{partition: partition, name: policy.Caller{Account: who.account, Root: root}}
	switch {
	case who.role != "":
		return c.identifySession(found, who, now)
	case who.user != "":
		return c.identifyUser(found, who, now)
	}
	found.name.Identity, found.uniqueID = root, who.account
	return found, true, nil
}

func (c *Cloud) identifyUser(found caller, who credentials, now time.Time) (caller, bool, error) {
	t, err := c.user(who.account, who.user)
	if err != nil {
		return found, false, err
	}
	u, ok := t.at(now)
	if !ok {
		return found, false, nil
	}
	found.name.Identity, found.uniqueID, found.username = u.arn(found.partition, who.account), u.ID, u.Name
	found.identity, err = parseAll(u.Policies)
	return found, true, err
}

// identifySession makes the caller of a role's session. A session outlives its role, but may
// do nothing then, also if another role of that name was created since.
func (c *Cloud) identifySession(found caller, who credentials, now time.Time) (caller, bool, error) {
	t, err := c.role(who.account, who.role)
	if err != nil {
		return found, false, err
	}
	r, ok := t.at(now)
	if !ok || who.roleID != "" && r.ID != who.roleID {
		r = role{entity: entity{Name: who.role, Path: "/", ID: who.roleID}}
	}
	found.name.Identity = r.arn(found.partition, who.account)
	found.name.Session = atlas.AWSPrincipal{
		Partition: found.partition, Account: who.account, Kind: atlas.PrincipalSession, Name: who.role, Session: who.session,
	}.String()
	found.uniqueID, found.chained = r.ID+":"+who.session, true
	if who.policy != "" {
		doc, err := policy.Parse(who.policy, policy.Identity)
		if err != nil {
			return found, false, err
		}
		found.session = &doc
	}
	found.identity, err = parseAll(r.Policies)
	return found, true, err
}

func parseAll(texts map[string]string) ([]policy.Document, error) {
	var docs []policy.Document
	for name, text := range texts {
		d, err := policy.Parse(text, policy.Identity)
		if err != nil {
			return nil, fmt.Errorf("policy %s: %w", name, err)
		}
		docs = append(docs, d)
	}
	return docs, nil
}

// requestContext are the condition keys that every request has.
func (c *Cloud) requestContext(call *pocket.Call, e endpoint, who caller) map[string][]string {
	now := c.cfg.Now().UTC()
	context := map[string][]string{
		"aws:principalarn":     {who.name.Identity},
		"aws:principalaccount": {who.name.Account},
		"aws:userid":           {who.uniqueID},
		"aws:currenttime":      {now.Format(time.RFC3339)},
		"aws:epochtime":        {strconv.FormatInt(now.Unix(), 10)},
		"aws:requestedregion":  {string(e.region)},
		// The loopback address stands for endpoints that are reached over TLS only.
		"aws:securetransport": {"true"},
	}
	if who.username != "" {
		context["aws:username"] = []string{who.username}
	}
	if e.vpce != "" {
		context["aws:sourcevpce"] = []string{e.vpce}
	} else if ip := c.sourceIP(call); ip.IsValid() {
		context["aws:sourceip"] = []string{ip.String()}
	}
	return context
}

// sourceIP is where the call came from; the zero value within the process.
func (c *Cloud) sourceIP(call *pocket.Call) netip.Addr {
	from, err := netip.ParseAddrPort(call.RemoteAddr)
	ip := from.Addr().Unmap()
	if (err != nil || ip.IsLoopback()) && c.cfg.SourceIP.IsValid() {
		return c.cfg.SourceIP
	}
	return ip
}
