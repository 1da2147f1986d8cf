package latchkey_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"latchkey/shared/atlas"
	"latchkey/shared/identity"
	"latchkey/shared/identity/directory"
	"latchkey/shared/store/keys"
)

// Who may do what is written in the API's description (x-roles), which the tests of openapi_test.go hold
// against the code. Here every operation is really asked for, by everybody, everywhere.

// What must hold of the description itself, whatever is in it.
func TestAccess_isDescribedWithinTheLaws(t *testing.T) {
	t.Parallel()
	anyCaller := map[string]string{
		"getSystemStatus": "", "listRateLimits": "", "getRateLimit": "", "listOrgs": "those of the caller", "listGroups": "those of the caller",
		"getGroupByName": "of those of the caller", "listClusterDetails": "of the groups of the caller", "listAlertConfigMatcherFieldNames": "", "listEventTypes": "",
	}
	readers := []string{"GROUP_READ_ONLY", "ORG_READ_ONLY", "ORG_MEMBER", "ORG_BILLING_READ_ONLY", "GROUP_DATA_ACCESS_READ_ONLY", "GROUP_OBSERVABILITY_VIEWER"}
	for _, op := range operations(t) {
		scoped := strings.Contains(op.path, "{groupId}") || strings.Contains(op.path, "{orgId}")
		_, listed := anyCaller[op.id]
		switch {
		case op.public && scoped:
			t.Errorf("%s is public, and its path names a tenant", op.id)
		case !op.public && len(op.roles) == 0 && !listed:
			t.Errorf("%s has no rule: say in the description whom it admits (x-roles), or list it here", op.id)
		case listed && (op.public || len(op.roles) > 0 || scoped):
			t.Errorf("%s is listed for any caller, and is not", op.id)
		}
		isReader := func(role string) bool { return slices.Contains(readers, role) }
		if op.method != http.MethodGet && slices.ContainsFunc(op.roles, isReader) {
			t.Errorf("%s changes something, and admits those who may only read: %v", op.id, op.roles)
		}
		keysOf := strings.Contains(op.path, "/encryptionAtRest") || strings.Contains(op.path, "/cloudProviderAccess")
		if keysOf && op.method != http.MethodGet && !slices.Equal(op.roles, []string{"GROUP_OWNER"}) {
			t.Errorf("%s changes how keys are reached, and admits others than Project Owners: %v", op.id, op.roles)
		}
	}
}

// caller is somebody of the first tenant.
type caller struct {
	name       string
	orgRoles   []identity.Role
	groupRoles []identity.Role // in its own group and in the closed one; none in the other
	credentials
}

// everyRole lists each role that the API knows.
func everyRole() []identity.Role {
	var all []identity.Role
	for _, role := range []identity.Role{
		"ORG_OWNER", "ORG_MEMBER", "ORG_GROUP_CREATOR", "ORG_READ_ONLY", "ORG_BILLING_ADMIN", "ORG_BILLING_READ_ONLY", "ORG_STREAM_PROCESSING_ADMIN",
		"GROUP_OWNER", "GROUP_READ_ONLY", "GROUP_CLUSTER_MANAGER", "GROUP_BACKUP_MANAGER", "GROUP_DATA_ACCESS_ADMIN", "GROUP_DATA_ACCESS_READ_WRITE",
		"GROUP_DATA_ACCESS_READ_ONLY", "GROUP_DATABASE_ACCESS_ADMIN", "GROUP_SEARCH_INDEX_EDITOR", "GROUP_OBSERVABILITY_VIEWER",
		"GROUP_STREAM_PROCESSING_OWNER",
	} {
		if identity.IsOrgRole(role) || identity.IsGroupRole(role) {
			all = append(all, role)
		}
	}
	return all
}

// callers are an API key and a service account with each role, one of each kind with none but membership.
func (w *town) callers() []caller {
	w.tb.Helper()
	var all []caller
	add := func(name string, orgRoles, groupRoles []identity.Role) {
		g := directory.Grants{OrgRoles: orgRoles, GroupRoles: map[string][]identity.Role{}}
		if len(groupRoles) > 0 {
			g.GroupRoles[w.acme.own["groupId"]], g.GroupRoles[w.acme.closed["groupId"]] = groupRoles, groupRoles
		}
		all = append(all,
			caller{"an API key with " + name, orgRoles, groupRoles, w.key(w.acme.id, g)},
			caller{"a service account with " + name, orgRoles, groupRoles, w.account(w.acme.id, g)})
	}
	for _, role := range everyRole() {
		if identity.IsOrgRole(role) {
			add(string(role), []identity.Role{role}, nil)
		} else {
			add(string(role), []identity.Role{identity.OrgMember}, []identity.Role{role})
		}
	}
	add("every role", []identity.Role{identity.OrgOwner, identity.OrgGroupCreator}, []identity.Role{identity.GroupOwner, identity.GroupClusterManager})
	w.base = w.table.fork()
	return all
}

// place is where something is asked for.
type place struct {
	name   string
	has    map[string]string
	member bool // the callers' groupRoles hold there
	ours   bool // it is of the callers' organisation
	closed bool
}

func (w *town) places() []place {
	nowhere := maps.Clone(w.acme.own)
	nowhere["groupId"], nowhere["orgId"] = w.nobodysObject["groupId"], w.nobodysObject["orgId"]
	return []place{
		{"the own group", w.acme.own, true, true, false},
		{"another group of the organisation", w.acme.other, false, true, false},
		{"a closed group", w.acme.closed, true, true, true},
		{"a group of another organisation", w.rival.own, false, false, false},
		{"a closed group of another organisation", w.rival.closed, false, false, true},
		{"a group that does not exist", nowhere, false, false, false},
	}
}

// expected is the code of the refusal that a caller has to get, "" if it has to be admitted.
func expected(op asked, c caller, p place) atlas.Code {
	orgRoles, groupRoles := c.orgRoles, []identity.Role(nil)
	if p.member {
		groupRoles = c.groupRoles
	}
	holds := len(op.roles) == 0
	for _, role := range slices.Concat(orgRoles, groupRoles) {
		holds = holds || slices.Contains(op.roles, string(role))
	}
	switch inGroup, inOrg := strings.Contains(op.path, "{groupId}"), strings.Contains(op.path, "{orgId}"); {
	case op.public:
		return ""
	case inGroup && !p.ours:
		return atlas.UserCannotAccessGroup
	case inOrg && !p.ours:
		return atlas.UserCannotAccessOrg
	case inGroup && p.closed:
		return atlas.GroupNotFound
	case !holds:
		return atlas.UserUnauthorized
	case op.id == "createGroup" && !p.ours:
		return atlas.UserCannotAccessOrg // which is named in the body
	}
	return ""
}

// Every operation, by everybody, everywhere: who is admitted, that a refusal changes nothing but the
// feed of events of the caller's own tenant, and that no answer tells anything of another tenant.
func TestAccess_isAsDescribedForEverybodyEverywhere(t *testing.T) {
	t.Parallel()
	w := inTown(t)
	everybody := w.callers()
	for turn, op := range operations(t) {
		if op.public {
			continue
		}
		if turn%8 == 0 {
			w.open() // with full buckets: who is refused all the time is refused otherwise
		}
		t.Run(op.id+" "+op.method+" "+op.path, func(t *testing.T) {
			m := &matrix{town: w, t: t, op: op, admitted: map[int]string{}}
			for _, p := range w.places() {
				for i, c := range everybody {
					if p.asks(turn+i, c) {
						m.ask(c, p)
					}
				}
			}
			m.provesSomething()
		})
	}
}

// asks reports whether a caller asks in a place. Of the two with the same role one does, turn by turn. In the
// other group roles in groups are none, and where nothing is the callers' they would only say the same.
func (p place) asks(turn int, c caller) bool {
	powerful := strings.HasSuffix(c.name, "every role")
	switch {
	case powerful:
		return true
	case p.member && !p.closed:
		return turn%2 == 0
	case p.ours && !p.closed:
		return turn%2 == 0 && (len(c.groupRoles) == 0 || slices.Contains(c.groupRoles, identity.GroupOwner))
	}
	return turn%2 == 0 && slices.Contains(c.groupRoles, identity.GroupReadOnly)
}

// matrix asks for one operation.
type matrix struct {
	*town

	t        *testing.T
	op       asked
	admitted map[int]string // what those were answered who were admitted, by status
}

// provesSomething demands that somebody succeeds with the request that all others are refused, or is
// admitted at least.
func (m *matrix) provesSomething() {
	m.t.Helper()
	succeeds := slices.ContainsFunc(slices.Collect(maps.Keys(m.admitted)), func(status int) bool { return status < http.StatusMultipleChoices })
	want, listed := refusedToAll()[m.op.method+" "+m.op.path]
	_, refused := m.admitted[want]
	switch {
	case listed && (succeeds || !refused):
		m.t.Errorf("it is listed to be answered %d to those whom it admits: %v", want, m.admitted)
	case !listed && !succeeds:
		m.t.Errorf("nobody succeeds, so the refusals prove nothing: %v", m.admitted)
	}
}

// ask asks once.
func (m *matrix) ask(c caller, p place) {
	m.t.Helper()
	m.table.returnTo(m.base)
	has := p.has
	if strings.Contains(m.op.path, inOrg) {
		has = withOrgEvent(has)
	}
	path, body := fill(m.op.path, has), fill(m.op.body, has)
	answer := m.send(c.credentials, m.op.method, path, m.op.accept, body)
	want, got := expected(m.op, c, p), atlas.Code(errorCode(answer))
	complain := func(format string, args ...any) {
		m.t.Errorf("%s, %s: %s\n%d %s", c.name, p.name, fmt.Sprintf(format, args...), answer.Code, answer.Body)
	}
	gone := want == atlas.GroupNotFound && answer.Code == http.StatusNotFound // of a closed group anything may be said to be gone
	if want != "" && got != want && !gone {
		complain("want %s", want)
	}
	if want == "" && (answer.Code == http.StatusUnauthorized || answer.Code == http.StatusForbidden || answer.Code >= http.StatusInternalServerError) {
		complain("want it admitted")
	}
	if want != "" {
		m.changedNothing(p, want, complain)
	}
	m.staysAtHome(complain)
	m.tellsNothing(answer, path+body, complain)
	if want == "" {
		m.admitted[answer.Code] = answer.Body.String()
	}
}

func withOrgEvent(has map[string]string) map[string]string {
	changed := maps.Clone(has)
	changed["eventId"] = has["orgEventId"]
	return changed
}

// changedNothing demands that a refusal has written one event, where the caller's own tenant sees it.
func (m *matrix) changedNothing(p place, code atlas.Code, complain func(string, ...any)) {
	m.t.Helper()
	feed := keys.EventPartition(keys.OrgScope(m.acme.id))
	if code == atlas.UserUnauthorized && strings.Contains(m.op.path, "{groupId}") {
		feed = keys.EventPartition(keys.GroupScope(p.has["groupId"]))
	}
	for _, key := range m.table.changes() {
		if key.PK != feed {
			complain("the refusal wrote %s", key)
		}
	}
}

// staysAtHome demands that nothing of another tenant's is written, whatever was answered.
func (m *matrix) staysAtHome(complain func(string, ...any)) {
	m.t.Helper()
	for _, key := range m.table.changes() {
		for _, foreign := range m.rival.identifiers() {
			if strings.Contains(key.String(), foreign) {
				complain("%s was written, which is another tenant's", key)
			}
		}
	}
}

// tellsNothing demands that an answer holds nothing of another tenant's but what was in the request.
func (m *matrix) tellsNothing(answer *httptest.ResponseRecorder, request string, complain func(string, ...any)) {
	m.t.Helper()
	text := answer.Body.String()
	for _, foreign := range m.rival.identifiers() {
		if strings.Contains(text, foreign) && !strings.Contains(request, foreign) {
			complain("the answer tells %q of another tenant", foreign)
		}
	}
}
