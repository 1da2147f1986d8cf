package console_test

import (
	"maps"
	"net/http"
	"testing"
)

const (
	maintenancePage = overview + "/maintenance"
	windowAPI       = groupAPI + "/maintenanceWindow"
)

// maintained is a project with a window, and a rotation that stands as more says.
func maintained(t *testing.T, window, more object) *world {
	t.Helper()
	w := open(t, "")
	w.signIn()
	w.as("GROUP_OWNER")
	at := object{"dayOfWeek": 3, "hourOfDay": 4, "timeZoneId": "UTC", "numberOfDeferrals": 1}
	maps.Copy(at, window)
	keys := object{"rotation": object{"state": "RESTING"}, "maintenance": nil, "masterKeys": []any{
		object{"clusterName": "young", "nodeId": "n1", "madeAt": "2026-04-01T00:00:00Z", "state": "CURRENT"},
		object{"clusterName": "old", "nodeId": "n2", "madeAt": "2026-03-01T00:00:00Z", "state": "AWAY", "overdue": true},
		object{"clusterName": "old", "nodeId": "n3", "madeAt": "2026-01-01T00:00:00Z", "state": "AWAY", "overdue": true},
	}}
	maps.Copy(keys, more)
	w.api.set("GET "+windowAPI, at)
	w.api.set("GET "+ownAPI+"/masterKeys", keys)
	return w
}

func TestMaintenance_showsTheWindowAndTheKeys(t *testing.T) {
	t.Parallel()
	w := maintained(t, object{"protectedHours": object{"startHourOfDay": 8, "endHourOfDay": 18}}, nil)
	page := w.get(maintenancePage)
	page.shows(t, "Tuesdays at 04:00 (UTC)", "08:00 to 18:00", "2026-01-01T00:00:00Z", "2 overdue keys", "2 nodes: is away", "Young enough", "Nothing is planned",
		`<option value="3" selected>Tuesday`, `<option value="18" selected>`)
	page.hides(t, "hx-trigger", "Start now", ">Defer<", `name="from" required`, `name="until" required`)
	w = maintained(t, object{"dayOfWeek": 0}, nil)
	w.get(maintenancePage).shows(t, "there is no window", "Choose a day")
	w.as("GROUP_READ_ONLY")
	page = w.get(maintenancePage)
	page.shows(t, "takes the role Project Owner")
	page.hides(t, "data-busy")
}

func TestMaintenance_offersWhatMayBeDoneToThePlan(t *testing.T) {
	t.Parallel()
	plan := object{"maintenance": object{"start": "2026-05-05T04:00:00Z", "announced": true, "beganAt": nil}}
	begun := object{
		"maintenance": object{"start": "2026-05-01T04:00:00Z", "announced": true, "beganAt": "2026-05-01T04:00:00Z"},
		"rotation":    object{"state": "UNDER_WAY", "beganAt": "2026-05-01T04:00:00Z", "masterKeys": 6, "left": 2},
	}
	for name, c := range map[string]struct {
		window, more object
		shows, hides []string
	}{
		"announced":     {nil, plan, []string{"It was announced.", "1 of 2 times", ">Start now<", ">Defer<"}, nil},
		"deferred":      {object{"numberOfDeferrals": 2}, plan, []string{">Start now<"}, []string{">Defer<"}},
		"asked for now": {object{"startASAP": true}, plan, []string{"begins within minutes"}, []string{">Start now<", ">Defer<"}},
		"no window":     {object{"dayOfWeek": 0}, plan, []string{"Set a window to have it sooner"}, []string{">Start now<", ">Defer<"}},
		"under way":     {nil, begun, []string{"It goes on.", "4 of 6", `hx-trigger="every 10s"`, `max="6" value="4"`}, []string{">Start now<", ">Defer<"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			page := maintained(t, c.window, c.more).get(maintenancePage)
			page.shows(t, c.shows...)
			page.hides(t, c.hides...)
		})
	}
}

func TestMaintenance_savesTheWindow(t *testing.T) {
	t.Parallel()
	w := maintained(t, nil, nil)
	w.api.set("PATCH "+windowAPI, object{})
	w.post(maintenancePage, fields("day", "7", "hour", "0", "from", "8", "until", "18", "autoDefer", "on"))
	w.demands("PATCH "+windowAPI, object{"dayOfWeek": 7, "hourOfDay": 0, "autoDeferOnceEnabled": true, "protectedHours": object{"startHourOfDay": 8, "endHourOfDay": 18}})
	w.post(maintenancePage, fields("day", "7", "hour", "0", "from", "", "until", ""))
	w.demands("PATCH "+windowAPI, object{"dayOfWeek": 7, "hourOfDay": 0, "autoDeferOnceEnabled": false, "protectedHours": object{}})
	w.post(maintenancePage, fields("hour", "0", "from", "8")).shows(t, `id="f-day-error"`, `id="f-from-error"`)
	w.api.set("PATCH "+windowAPI, refused{400, "NON_COMPLIANT_ATLAS_MAINTENANCE_WINDOW", "It must be done by Monday.", ""})
	w.post(maintenancePage, fields("day", "6", "hour", "1")).shows(t, `id="f-day-error">It must be done by Monday.`, `<option value="6" selected>`)
}

func TestMaintenance_isHastenedDeferredAndResetAfterAQuestion(t *testing.T) {
	t.Parallel()
	w := maintained(t, nil, nil)
	for _, c := range []struct{ what, question, route, body string }{
		{"start", "Start the maintenance now?", "PATCH " + windowAPI, `{"startASAP":true}`},
		{"defer", "Put the maintenance off by a week?", "POST " + windowAPI + "/defer", ""},
		{"reset", "Remove the maintenance window?", "DELETE " + windowAPI, ""},
	} {
		w.get(maintenancePage+"/"+c.what).shows(t, c.question)
		w.api.set(c.route, refused{400, "ATLAS_MAINTENANCE_NOT_SCHEDULED", "There is no maintenance.", ""})
		w.post(maintenancePage+"/"+c.what, nil).shows(t, "ATLAS_MAINTENANCE_NOT_SCHEDULED", c.question)
		w.get(maintenancePage).hides(t, "banner good")
		w.api.set(c.route, object{})
		if a := w.post(maintenancePage+"/"+c.what, nil); a.Header.Get("Location") != maintenancePage || w.api.sent(c.route) != c.body {
			t.Errorf("%s leads to %s, and sent %s", c.what, a.Header.Get("Location"), w.api.sent(c.route))
		}
	}
	if a := w.get(maintenancePage + "/else"); a.StatusCode != http.StatusNotFound {
		t.Errorf("answer = %d", a.StatusCode)
	}
	if a := w.post(maintenancePage+"/else", nil); a.StatusCode != http.StatusNotFound {
		t.Errorf("answer = %d", a.StatusCode)
	}
}
