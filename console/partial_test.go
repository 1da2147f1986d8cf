package console_test

import (
	"net/http"
	"strings"
	"testing"

	"latchkey/shared/verdict"
)

// What a page can do without does not take the rest away.
func TestPages_showWhatCanBeRead(t *testing.T) {
	t.Parallel()
	const group = "GET /api/atlas/v2/groups/" + groupID
	for name, tt := range map[string]struct {
		route  string
		answer any
		status int
		want   []string
	}{
		"without the project's name":       {group, refused{503, "SERVICE_UNAVAILABLE", "Later.", ""}, 200, []string{"Not valid", "1 open alert", "Ready"}},
		"without the project's name, slow": {group, refused{429, "RATE_LIMITED", "Later.", "9"}, 200, []string{"Not valid"}},
		"without the organisation's":       {"GET /api/atlas/v2/orgs", refused{500, "UNEXPECTED_ERROR", "Oops.", ""}, 200, []string{"Not valid", "Shop"}},
		"without alerts":                   {group + "/alerts", refused{500, "UNEXPECTED_ERROR", "Oops.", ""}, 200, []string{"Not valid", "Ready", "Alerts cannot be read right now."}},
		"without clusters":                 {group + "/clusters", refused{429, "RATE_LIMITED", "Later.", "9"}, 200, []string{"Not valid", "1 open alert", "Clusters cannot be read right now."}},
		"without what clusters do": {
			"GET /api/latchkey/v1/groups/" + groupID + "/clusters",
			refused{500, "UNEXPECTED_ERROR", "Oops.", ""},
			200,
			[]string{"Not valid", "Clusters cannot be read right now."},
		},
		"without keys":       {group + "/encryptionAtRest", refused{500, "UNEXPECTED_ERROR", "Oops.", ""}, 500, []string{"UNEXPECTED_ERROR"}},
		"of somebody else's": {group, refused{404, "GROUP_NOT_FOUND", "No group.", ""}, 404, []string{"GROUP_NOT_FOUND"}},
		"of nobody":          {group + "/alerts", refused{401, "UNEXPECTED_ERROR", "Who?", ""}, http.StatusSeeOther, nil},
		"of the forbidden":   {group + "/alerts", refused{403, "USER_UNAUTHORIZED", "No.", ""}, 403, []string{"USER_UNAUTHORIZED"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := open(t, "")
			w.signIn()
			w.api.set(tt.route, tt.answer)
			a := w.get(overview)
			if a.StatusCode != tt.status {
				t.Errorf("answer = %d", a.StatusCode)
			}
			for _, want := range tt.want {
				if !strings.Contains(a.body, want) {
					t.Errorf("the page lacks %q", want)
				}
			}
		})
	}
}

// An overview that lacks a part goes on asking for it, and one of a restore follows it.
func TestOverview_followsWhatMoves(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	w.signIn()
	const own = "GET /api/latchkey/v1/groups/" + groupID + "/clusters"
	one := func(item any) any { return map[string]any{"results": []any{item}, "totalCount": 1} }
	w.api.set("GET /api/atlas/v2/groups/"+groupID+"/clusters", one(map[string]any{"id": "32b6e34b3d91647abb20e7c3", "name": "c3", "stateName": "IDLE"}))
	for name, tt := range map[string]struct {
		progress any
		polls    bool
	}{
		"at rest":        {map[string]any{}, false},
		"a restore":      {map[string]any{"restore": map[string]any{}, "state": "IDLE"}, true},
		"starting":       {map[string]any{"state": "IDLE", "nodeCounts": map[string]any{"total": 3, "running": 2}}, true},
		"cannot be read": {refused{500, "UNEXPECTED_ERROR", "Oops.", ""}, true},
	} {
		answer := tt.progress
		if item, is := answer.(map[string]any); is {
			item["id"], item["name"] = "32b6e34b3d91647abb20e7c3", "c3"
			answer = one(item)
		}
		w.api.set(own, answer)
		if a := w.get(overview); strings.Contains(a.body, `hx-trigger="every 5s"`) != tt.polls {
			t.Errorf("%s: %d, polls: %t", name, a.StatusCode, !tt.polls)
		}
	}
}

// Pages that are made of several answers show those that there are, and say with the API's code which there are not.
func TestPages_sayWhatCannotBeReadWithTheCode(t *testing.T) {
	t.Parallel()
	const own, group = "GET " + ownAPI, "GET " + groupAPI
	lists, lacks := overview+"/clusters", " cannot be read right now.</strong> Later."
	for name, tt := range map[string]struct {
		page   string
		routes []string // that fail
		status int
		want   []string // "!" before what must not be there
	}{
		"clusters without what goes on":   {lists, []string{own + "/clusters"}, 200, []string{"What goes on in clusters" + lacks, ">shop</a>", "Not known", "Create a cluster", "!>Ready<"}},
		"clusters without their list":     {lists, []string{group + "/clusters"}, 200, []string{"The list of clusters" + lacks, "Latchkey disabled your clusters", "!No clusters"}},
		"clusters without rights":         {lists, []string{"GET /api/atlas/v2"}, 200, []string{"What you may do" + lacks, ">shop</a>", "!takes a Project Owner", "!Create a cluster"}},
		"clusters without anything":       {lists, []string{own + "/clusters", group + "/clusters"}, 503, []string{"SERVICE_UNAVAILABLE"}},
		"a cluster without nodes":         {shop, []string{own + "/clusters/shop"}, 200, []string{"What goes on in clusters" + lacks, "Not known", "Edit Configuration", "!No nodes yet", "!0 nodes"}},
		"a cluster without three":         {shop, []string{own + "/encryptionAtRest/keys", own + "/masterKeys", group + "/ipAddresses"}, 200, []string{"How keys are being changed" + lacks, "The age of master keys" + lacks, "The list of IP addresses" + lacks, "Edit Configuration"}},
		"a cluster without rights":        {shop, []string{"GET /api/atlas/v2"}, 200, []string{"What you may do" + lacks, "!Edit Configuration", "!You may look at this cluster"}},
		"no cluster without itself":       {shop, []string{group + "/clusters/shop"}, 503, []string{"SERVICE_UNAVAILABLE"}},
		"keys without the configuration":  {advanced, []string{group + "/encryptionAtRest"}, 200, []string{"The configuration of keys" + lacks, multiRegion, "Not valid", "Enable the key", "Azure Key Vault is off", "!Search nodes", "!Switch to role"}},
		"keys without their state":        {advanced, []string{own + "/encryptionAtRest/keys"}, 200, []string{"The state of keys" + lacks, ">Valid<", "Not known right now", "<dd>us-east-1</dd>", "!Nodes under this key"}},
		"keys without clusters":           {advanced, []string{own + "/clusters"}, 200, []string{"The list of clusters" + lacks, "Enable the key", "They cannot be read right now.", "!None is yet"}},
		"keys without roles":              {advanced, []string{group + "/cloudProviderAccess"}, 200, []string{"The list of access roles" + lacks, awsRoleID, "Enable the key"}},
		"keys without rights":             {advanced, []string{"GET /api/atlas/v2"}, 200, []string{"What you may do" + lacks, "Enable the key", "!takes the role Project Owner", "!Try again<"}},
		"keys without names of their own": {advanced, []string{own + "/masterKeys"}, 200, []string{"Which nodes need former keys" + lacks, "<code>32b6e34b3d91647abb20e7b9</code>"}},
		"no keys without both":            {advanced, []string{group + "/encryptionAtRest", own + "/encryptionAtRest/keys"}, 503, []string{"SERVICE_UNAVAILABLE"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := clusterWorld(t, "GROUP_OWNER")
			w.api.set("GET "+settingsAPI, awsConfiguration(multiRegion))
			w.api.set("GET "+rolesAPI, object{})
			w.keys(report("AWS", verdict.Invalid, verdict.KeyDisabled, object{
				"formerKeys": []any{object{"key": "arn:former", "version": "1", "nodeIds": []any{"32b6e34b3d91647abb20e7b9"}, "snapshotIds": []any{}}},
			}))
			w.api.set(own+"/clusters", listed(object{
				"id": "32b6e34b3d91647abb20e7c3", "name": "stopped", "disabled": object{"cloudProvider": "AWS", "reason": "KEY_DISABLED", "since": "2026-01-02T03:04:05Z"},
			}))
			for _, route := range tt.routes {
				w.api.set(route, refused{503, "SERVICE_UNAVAILABLE", "Later.", ""})
			}
			a := w.get(tt.page)
			if a.StatusCode != tt.status || tt.status == 200 && !strings.Contains(a.body, "<code>SERVICE_UNAVAILABLE</code>") {
				t.Errorf("answer = %d, or it lacks the code", a.StatusCode)
			}
			if polls := strings.Contains(a.body, `hx-trigger="every`); polls != (tt.status == 200) {
				t.Errorf("it asks again: %t", polls)
			}
			a.says(t, tt.want...)
		})
	}
}
