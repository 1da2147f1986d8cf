package console_test

import (
	"net/http"
	"strings"
	"testing"
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
