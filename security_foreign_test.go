package latchkey_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What belongs to another tenant, or to another group, does not exist in a group: whoever owns a group
// and names somebody else's cluster, role, endpoint or node there is answered, to the letter, what it is
// answered about one that never was.

// orgWide are the parameters that name what belongs to an organisation, so to all its groups.
func orgWide() []string { return []string{"apiUserId", "clientId", "groupName"} }

// named are the parameters of a path that name something within a group or an organisation.
func (a asked) named() []string {
	var names []string
	for _, match := range parameter.FindAllString(a.path, -1) {
		name := strings.Trim(match, "{}")
		if !slices.Contains([]string{"groupId", "orgId", "cloudProvider", "limitName", "endpointSetId"}, name) {
			names = append(names, name)
		}
	}
	return names
}

func TestForeignObjects_areAsIfTheyWereNot(t *testing.T) {
	t.Parallel()
	w := inTown(t)
	for _, op := range operations(t) {
		for _, name := range op.named() {
			f := foreigner{town: w, t: t, op: op, param: name}
			nothing := f.ask(w.nobodysObject[name])
			if nothing.Code < http.StatusBadRequest || nothing.Code >= http.StatusInternalServerError {
				t.Errorf("%s: a %s that does not exist is answered %d %s", op.id, name, nothing.Code, nothing.Body)
			}
			f.compare("another organisation's", w.rival.own[name], nothing)
			f.compare("a closed group's of another organisation", w.rival.closed[name], nothing)
			if !slices.Contains(orgWide(), name) && !strings.Contains(op.path, inOrg) {
				f.compare("another group's", w.acme.other[name], nothing)
			}
		}
	}
}

// foreigner asks for one operation in its own group with a parameter that names what is not there.
type foreigner struct {
	*town

	t     *testing.T
	op    asked
	param string
}

func (f foreigner) ask(value string) *httptest.ResponseRecorder {
	f.t.Helper()
	f.table.returnTo(f.base)
	has := maps.Clone(f.acme.own)
	if strings.Contains(f.op.path, inOrg) {
		has = withOrgEvent(has)
	}
	body := fill(f.op.body, has)
	has[f.param] = value
	return f.send(f.acme.credentials, f.op.method, fill(f.op.path, has), f.op.accept, body)
}

func (f foreigner) compare(whose, value string, nothing *httptest.ResponseRecorder) {
	f.t.Helper()
	if f.param == "eventId" && strings.Contains(f.op.path, inOrg) {
		value = f.rival.own["orgEventId"]
	}
	answer := f.ask(value)
	got, want := strings.ReplaceAll(answer.Body.String(), value, "{}"), strings.ReplaceAll(nothing.Body.String(), f.nobodysObject[f.param], "{}")
	if answer.Code != nothing.Code || got != want {
		f.t.Errorf("%s with %s %s:\n%d %s\nwith none:\n%d %s", f.op.id, whose, f.param, answer.Code, got, nothing.Code, want)
	}
	for _, key := range f.table.changes() {
		if !strings.HasPrefix(key.PK, "EVENTS#") || !strings.Contains(key.PK, f.acme.id) && !strings.Contains(key.PK, f.acme.own["groupId"]) {
			f.t.Errorf("%s with %s %s wrote %s", f.op.id, whose, f.param, key)
		}
	}
}

// anyID is what two answers may differ in.
var anyID = regexp.MustCompile(`[0-9a-f]{24}`)

// What is named in a body must be the group's own too.
func TestForeignObjects_areRefusedInBodies(t *testing.T) {
	t.Parallel()
	w := inTown(t)
	restore := func(snapshot, cluster, group string) string {
		return fmt.Sprintf(`{"deliveryType":"automated","snapshotId":%q,"targetClusterName":%q,"targetGroupId":%q}`, snapshot, cluster, group)
	}
	role := func(id string) string { return `{"awsKms":{"roleId":"` + id + `"}}` }
	own, other, rival := w.acme.own, w.acme.other, w.rival.own
	const none = "650000000000000000000099"
	const settings, restores = inGroup + "/encryptionAtRest", inCluster + "/backup/restoreJobs"
	for name, tc := range map[string]struct{ method, path, foreign, none string }{
		"a role of another group":        {http.MethodPatch, settings, role(other["roleId"]), role(none)},
		"a role of another organisation": {http.MethodPatch, settings, role(rival["roleId"]), role(none)},
		"a role of a closed group":       {http.MethodPatch, settings, role(w.acme.closed["roleId"]), role(none)},
		"a snapshot of another group": {
			http.MethodPost, restores, restore(other["snapshotId"], own["clusterName"], own["groupId"]), restore(none, own["clusterName"], own["groupId"]),
		},
		"a snapshot of another organisation": {
			http.MethodPost, restores, restore(rival["snapshotId"], own["clusterName"], own["groupId"]), restore(none, own["clusterName"], own["groupId"]),
		},
		"a target in another organisation": {
			http.MethodPost, restores, restore(own["snapshotId"], rival["clusterName"], rival["groupId"]), restore(own["snapshotId"], rival["clusterName"], none),
		},
		"a target in a closed group elsewhere": {
			http.MethodPost, restores, restore(own["snapshotId"], rival["clusterName"], w.rival.closed["groupId"]),
			restore(own["snapshotId"], rival["clusterName"], none),
		},
		"a group in another organisation": {
			http.MethodPost, "/api/atlas/v2/groups", `{"name":"x","orgId":"` + w.rival.id + `"}`, `{"name":"x","orgId":"` + none + `"}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			ask := func(body string) *httptest.ResponseRecorder {
				w.table.returnTo(w.base)
				return w.send(w.acme.credentials, tc.method, fill(tc.path, own), "application/vnd.atlas.2025-03-12+json", body)
			}
			nothing := ask(tc.none)
			answer := ask(tc.foreign)
			for _, key := range w.table.changes() {
				if !strings.HasPrefix(key.PK, "EVENTS#") || strings.Contains(key.PK, w.rival.id) {
					t.Errorf("it wrote %s", key)
				}
			}
			got, want := anyID.ReplaceAllString(answer.Body.String(), "{}"), anyID.ReplaceAllString(nothing.Body.String(), "{}")
			if answer.Code != nothing.Code || got != want || answer.Code < http.StatusBadRequest {
				t.Errorf("%d %s\nand with none:\n%d %s", answer.Code, answer.Body, nothing.Code, nothing.Body)
			}
		})
	}
}

// A project is made for its own organisation's people: naming somebody else's person lets nobody in.
func TestForeignObjects_ownNoProject(t *testing.T) {
	t.Parallel()
	w := inTown(t)
	path := "/api/atlas/v2/groups?projectOwnerId=" + w.rival.owner.ID
	answer := w.send(w.acme.credentials, http.MethodPost, path, "application/vnd.atlas.2023-01-01+json", `{"name":"x","orgId":"`+w.acme.id+`"}`)
	for _, key := range w.table.changes() {
		item, err := w.table.Get(t.Context(), key)
		if err == nil && strings.Contains(key.String()+string(item.Body), w.rival.owner.ID) {
			t.Errorf("%s holds the person of another organisation", key)
		}
	}
	if answer.Code != http.StatusCreated || strings.Contains(answer.Body.String(), w.rival.owner.ID) {
		t.Errorf("%d %s", answer.Code, answer.Body)
	}
}
