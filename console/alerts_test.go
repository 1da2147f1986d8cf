package console_test

import (
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"latchkey/shared/verdict"
)

// Where the API and the pages of alerts are.
const (
	alertsPage     = overview + "/alerts"
	configsPage    = overview + "/alert-configurations"
	groupAPI       = "/api/atlas/v2/groups/" + groupID
	alertID        = "32b6e34b3d91647abb20e7a1"
	configID       = "32b6e34b3d91647abb20e7c1"
	notifierID     = "32b6e34b3d91647abb20e7d1"
	alertConfigAPI = groupAPI + "/alertConfigs/" + configID
	keyInvalid     = "AWS_ENCRYPTION_KEY_INVALID"
	evil           = `<script>alert("x")</script>`
)

// alertsWorld is a project with one alert and the configuration that raised it, seen by its owner.
func alertsWorld(t *testing.T) *world {
	t.Helper()
	w := open(t, "")
	w.signIn()
	w.as("GROUP_OWNER")
	w.api.set("GET /api/atlas/v2/eventTypes", listed(
		object{"eventType": "MAINTENANCE_STARTED", "description": "Maintenance has started", "alertable": true},
		object{"eventType": keyInvalid, "description": "The AWS KMS key cannot be used any more", "alertable": true},
		object{"eventType": "AWS_ENCRYPTION_KEY_NEEDS_ROTATION", "description": "The AWS KMS key is old", "alertable": true},
		object{"eventType": "ENCRYPTION_AT_REST_CONFIG_NO_LONGER_VALID", "description": "The configuration is no longer valid", "alertable": true},
		object{"eventType": "ENCRYPTION_AT_REST_KEY_EXPIRING", "description": "A key is going to expire", "alertable": true},
		object{"eventType": "CLUSTER_CREATED", "description": "A cluster was created", "alertable": false},
	))
	w.api.set("GET "+ownAPI+"/clusters", listed())
	w.keys()
	w.alert(nil)
	w.config(nil, webhook())
	w.api.set("GET "+groupAPI+"/events", listed(
		event(keyInvalid, "2026-05-01T11:59:58Z", object{"raw": object{"key": "arn:aws:kms:us-east-1:111122223333:key/1", "reason": "KEY_DISABLED"}}),
	))
	return w
}

func event(kind, created string, more object) object {
	e := object{"id": "32b6e34b3d91647abb20e7e1", "eventTypeName": kind, "created": created, "groupId": groupID, "orgId": orgID}
	maps.Copy(e, more)
	return e
}

// alert has the API show an alert that began two seconds after its event.
func (w *world) alert(more object) {
	a := object{"id": alertID, "alertConfigId": configID, "eventTypeName": keyInvalid, "status": "OPEN", "created": "2026-05-01T12:00:00Z"}
	maps.Copy(a, more)
	w.api.set("GET "+groupAPI+"/alerts", listed(a))
	w.api.set("GET "+groupAPI+"/alerts/"+alertID, a)
}

func webhook() object {
	return object{
		"typeName": "WEBHOOK", "notifierId": notifierID, "delayMin": 0, "intervalMin": 60,
		"webhookUrl": "https://hooks.example.com/****", "webhookSecret": "****", "webhookBodyTemplate": "{}",
	}
}

// config has the API show a configuration with notifications.
func (w *world) config(more object, notifications ...any) {
	c := object{
		"id": configID, "eventTypeName": keyInvalid, "enabled": true, "updated": "2026-05-01T10:00:00Z", "notifications": notifications,
		"matchers": []any{object{"fieldName": "CLUSTER_NAME", "operator": "EQUALS", "value": "c1"}},
	}
	maps.Copy(c, more)
	w.api.set("GET "+alertConfigAPI, c)
	w.api.set("GET "+groupAPI+"/alertConfigs", listed(c))
	w.api.set("GET "+groupAPI+"/alerts/"+alertID+"/alertConfigs", listed(c))
}

func TestAlerts_showOpenOnesFirstWithWhatHappened(t *testing.T) {
	t.Parallel()
	w := alertsWorld(t)
	page := w.get(alertsPage)
	page.shows(t, "The AWS KMS key cannot be used any more", "the key is disabled", advanced+"#key-AWS", "Open", "2026-05-01T12:00:00Z",
		`hx-trigger="every 30s"`, overview+"/fragments/alerts")
	if q := w.api.query("GET " + groupAPI + "/alerts"); !strings.Contains(q, "status=OPEN") {
		t.Errorf("it asks for %s", q)
	}
	if part := w.get(overview + "/fragments/alerts?status=OPEN"); !strings.HasPrefix(strings.TrimSpace(part.body), `<div id="alerts"`) {
		t.Errorf("the part that is read again is %.60q", part.body)
	}
	w.get(alertsPage+"?status=%22%3E").shows(t, "The AWS KMS key")
	w.alert(object{"status": "CLOSED", "resolved": "2026-05-01T12:30:00Z", "clusterName": "c 1"})
	page = w.get(alertsPage + "?status=CLOSED")
	page.shows(t, "Closed", "2026-05-01T12:30:00Z", `href="`+overview+`/clusters/c%201"`)
	page.hides(t, "hx-trigger")
	w.api.set("GET "+groupAPI+"/alerts", listed())
	w.get(alertsPage).shows(t, "No open alerts")
}

// Two keys failed within minutes of an alert that does not say which: better no word than a wrong one.
func TestAlerts_tellNothingWhereTwoKeysCouldBeMeant(t *testing.T) {
	t.Parallel()
	w := alertsWorld(t)
	const kind = "ENCRYPTION_AT_REST_CONFIG_NO_LONGER_VALID"
	w.alert(object{"eventTypeName": kind})
	of := func(key string) object {
		return event(kind, "2026-05-01T11:59:58Z", object{"raw": object{"key": key, "reason": "KEY_DISABLED"}})
	}
	w.api.set("GET "+groupAPI+"/events", listed(of("projects/p/x"), of("https://v.vault.azure.net/keys/k/1")))
	page := w.get(alertsPage)
	page.shows(t, "The configuration is no longer valid", `<a href="`+advanced+`">Encryption keys</a>`)
	page.hides(t, "the key is disabled", "#key-")
	w.api.set("GET "+groupAPI+"/events", listed(of("projects/p/x")))
	w.get(alertsPage).shows(t, "the key is disabled", "#key-GCP")
	w.api.set("GET "+groupAPI+"/events", listed(event(kind, "2026-05-01T09:00:00Z", object{"alertId": alertID, "raw": object{"summary": "It ends soon."}})))
	w.get(alertsPage).shows(t, "It ends soon.")
}

// The API's alerts do not say what to do, and often no event can be found that does: how keys stand now says it.
func TestAlert_saysWhatToDo(t *testing.T) {
	t.Parallel()
	const what = "What to do:</strong> "
	const invalid, away = "ENCRYPTION_AT_REST_CONFIG_NO_LONGER_VALID", "ENCRYPTION_AT_REST_KMS_NETWORK_ACCESS_DENIED"
	disabled := report("AWS", verdict.Invalid, verdict.KeyDisabled, nil)
	denied := report("AZURE", verdict.Invalid, verdict.AccessDenied, nil)
	outage := report("AWS", verdict.Unreachable, verdict.ProviderError, nil)
	noReports := refused{503, "SERVICE_UNAVAILABLE", "Later.", ""}
	for name, tt := range map[string]struct {
		kind, status string
		reports      any
		shows, hides []string
	}{
		"the key of its type":         {keyInvalid, "OPEN", listed(disabled, denied), []string{what + "AWS KMS: Enable the key"}, []string{"Azure Key Vault:"}},
		"which may be of several":     {invalid, "TRACKING", listed(disabled, denied), []string{what + "AWS KMS: Enable the key", what + "Azure Key Vault: Give the role"}, nil},
		"a key that is out of reach":  {away, "OPEN", listed(outage, denied), []string{what + "AWS KMS: See whether", "Change the Region."}, []string{"Azure Key Vault:"}},
		"a key that is valid again":   {invalid, "OPEN", listed(report("AWS", verdict.Valid, verdict.OK, nil)), nil, []string{what}},
		"a key that is off":           {keyInvalid, "OPEN", listed(object{"cloudProvider": "AWS", "keyInUse": nil}), nil, []string{what}},
		"of age":                      {"GCP_ENCRYPTION_KEY_NEEDS_ROTATION", "OPEN", listed(), []string{what + "Make another key"}, nil},
		"of an end":                   {"ENCRYPTION_AT_REST_KEY_EXPIRING", "OPEN", listed(), []string{what + "Set a later end"}, nil},
		"of a secret's end":           {"ENCRYPTION_AT_REST_CREDENTIALS_EXPIRING", "OPEN", listed(), []string{what + "Make a new client secret"}, nil},
		"of a vault":                  {"ENCRYPTION_AT_REST_KEY_UNPROTECTED", "OPEN", listed(), []string{what + "Turn on soft delete"}, nil},
		"nothing of what is no fault": {"MAINTENANCE_STARTED", "OPEN", listed(disabled), nil, []string{what}},
		"nothing of what is over":     {keyInvalid, "CLOSED", listed(disabled), nil, []string{what}},
		"less if keys cannot be read": {keyInvalid, "OPEN", noReports, []string{"Open"}, []string{what}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := alertsWorld(t)
			w.api.set("GET "+groupAPI+"/events", listed())
			w.api.set("GET "+ownAPI+"/encryptionAtRest/keys", tt.reports)
			w.alert(object{"eventTypeName": tt.kind, "status": tt.status})
			a := w.get(alertsPage + "/" + alertID)
			if a.StatusCode != http.StatusOK {
				t.Errorf("answer = %d", a.StatusCode)
			}
			a.shows(t, tt.shows...)
			a.hides(t, tt.hides...)
			if leads := strings.Contains(a.body, `id="to-advanced" href="`+advanced+`"`); leads != strings.Contains(a.body, what) {
				t.Errorf("it leads to where that is done: %t", leads)
			}
		})
	}
}

func TestAlert_isAcknowledgedForAsLongAsOneSays(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ chosen, until string }{
		{"1h", "2026-05-01T13:00:00Z"}, {"8h", "2026-05-01T20:00:00Z"}, {"24h", "2026-05-02T12:00:00Z"}, {"ever", "2126-04-07T12:00:00Z"},
	} {
		w := alertsWorld(t)
		w.api.set("PATCH "+groupAPI+"/alerts/"+alertID, object{})
		a := w.post(alertsPage+"/"+alertID+"/acknowledge", url.Values{"until": {c.chosen}, "comment": {"on it"}})
		if a.StatusCode != http.StatusSeeOther {
			t.Fatalf("%s is answered %d", c.chosen, a.StatusCode)
		}
		w.demands("PATCH "+groupAPI+"/alerts/"+alertID, object{"acknowledgedUntil": c.until, "acknowledgementComment": "on it"})
	}
	w := alertsWorld(t)
	for _, chosen := range []string{"", "-1h", "tomorrow"} {
		if a := w.post(alertsPage+"/"+alertID+"/acknowledge", url.Values{"until": {chosen}}); a.StatusCode != http.StatusUnprocessableEntity {
			t.Errorf("%q is answered %d", chosen, a.StatusCode)
		}
	}
}

func TestAlert_showsItsAcknowledgementAndTakesItBack(t *testing.T) {
	t.Parallel()
	w := alertsWorld(t)
	w.alert(object{"acknowledgedUntil": "2026-05-01T20:00:00Z", "acknowledgementComment": evil, "acknowledgingUsername": "abcdefgh"})
	page := w.get(alertsPage + "/" + alertID)
	page.shows(t, "<code>abcdefgh</code>, until", "2026-05-01T20:00:00Z", "Take the acknowledgement back", "Webhook: https://hooks.example.com/", "What to do:</strong> ")
	page.hides(t, "<script>alert")
	w.api.set("PATCH "+groupAPI+"/alerts/"+alertID, object{})
	w.post(alertsPage+"/"+alertID+"/unacknowledge", nil)
	w.demands("PATCH "+groupAPI+"/alerts/"+alertID, object{"unacknowledgeAlert": true})
	w.alert(object{"acknowledgedUntil": "2126-05-01T20:00:00Z"})
	w.get(alertsPage+"/"+alertID).shows(t, "as long as it is open")
	w.alert(object{"acknowledgedUntil": "2026-05-01T11:00:00Z"})
	w.get(alertsPage+"/"+alertID).shows(t, "It was, until")
}

func TestAlerts_offerNothingToWhoMayOnlyRead(t *testing.T) {
	t.Parallel()
	w := alertsWorld(t)
	w.as("GROUP_READ_ONLY")
	for _, path := range []string{alertsPage, alertsPage + "/" + alertID, configsPage, configsPage + "/" + configID, overview + "/new-alert-configuration", configsPage + "/" + configID + "/notifications/" + notifierID} {
		page := w.get(path)
		page.shows(t, "Project Owner")
		page.hides(t, `data-busy`, "Turn off", ">Edit<", "New configuration")
	}
}

func TestConfigurations_sayWhatNobodyIsWarnedOf(t *testing.T) {
	t.Parallel()
	w := alertsWorld(t)
	page := w.get(configsPage) // AWS is on
	page.shows(t, "new-alert-configuration?type=AWS_ENCRYPTION_KEY_NEEDS_ROTATION", "new-alert-configuration?type=ENCRYPTION_AT_REST_KEY_EXPIRING")
	page.hides(t, "type="+keyInvalid)
	w.config(object{"enabled": false}, webhook())
	w.get(configsPage).shows(t, "type="+keyInvalid, "Turn on", "Off")
	w.api.set("GET "+settingsAPI, configuration("", nil))
	w.get(configsPage).hides(t, "Nobody is warned of some")
}

func TestConfiguration_isMadeWithItsFirstNotification(t *testing.T) {
	t.Parallel()
	w := alertsWorld(t)
	page := w.get(overview + "/new-alert-configuration")
	if keys, other := strings.Index(page.body, keyInvalid), strings.Index(page.body, "MAINTENANCE_STARTED"); keys < 0 || other < keys {
		t.Error("the types of encryption do not come first")
	}
	page.hides(t, "CLUSTER_CREATED", `value="TEAM"`)
	// A browser does not send a form with a choice that is required and has no value.
	w.get(overview+"/new-alert-configuration?type="+keyInvalid+"&kind=EMAIL").hides(t, `name="severity" required`)
	w.api.set("POST "+groupAPI+"/alertConfigs", object{})
	for name, c := range map[string]struct{ form, want object }{
		"roles": {
			object{"type": keyInvalid, "kind": "GROUP", "delayMin": "5", "intervalMin": "15", "role.GROUP_OWNER": "on", "days": "2", "severity": "ERROR"},
			object{
				"eventTypeName": keyInvalid, "enabled": true, "severityOverride": "ERROR", "threshold": object{"operator": "GREATER_THAN", "threshold": 2, "units": "DAYS"},
				"notifications": []any{object{"typeName": "GROUP", "emailEnabled": true, "roles": []any{"GROUP_OWNER"}, "delayMin": 5, "intervalMin": 15}},
			},
		},
		"everybody": {
			object{"type": keyInvalid, "kind": "ORG", "delayMin": "0", "intervalMin": "60"},
			object{"eventTypeName": keyInvalid, "enabled": true, "notifications": []any{object{"typeName": "ORG", "emailEnabled": true, "delayMin": 0, "intervalMin": 60}}},
		},
		"a service that reminds by itself": {
			object{"type": "MAINTENANCE_STARTED", "kind": "PAGER_DUTY", "delayMin": "0", "serviceKey": "key-1", "region": "EU", "days": "9"},
			object{"eventTypeName": "MAINTENANCE_STARTED", "enabled": true, "notifications": []any{object{"typeName": "PAGER_DUTY", "delayMin": 0, "serviceKey": "key-1", "region": "EU"}}},
		},
	} {
		form := url.Values{}
		for field, value := range c.form {
			form.Set(field, value.(string))
		}
		if a := w.post(overview+"/new-alert-configuration", form); a.StatusCode != http.StatusSeeOther {
			t.Errorf("%s is answered %d", name, a.StatusCode)
		}
		w.demands("POST "+groupAPI+"/alertConfigs", c.want)
	}
}

func TestNotifications_standBesideTheirRefusalsAndKeepNoSecret(t *testing.T) {
	t.Parallel()
	w := alertsWorld(t)
	for _, c := range []struct{ code, detail, field string }{
		{"INVALID_ATTRIBUTE", "Invalid attribute notifications.emailAddress specified.", "emailAddress"},
		{"NOTIFICATION_INTERVAL_OUT_OF_RANGE", "At least 5 minutes.", "intervalMin"},
		{"ATTRIBUTE_NEGATIVE", "The attribute threshold.threshold cannot be negative.", "days"},
	} {
		w.api.set("POST "+groupAPI+"/alertConfigs", refused{400, c.code, c.detail, ""})
		a := w.post(overview+"/new-alert-configuration", fields("type", keyInvalid, "kind", "EMAIL", "delayMin", "0", "intervalMin", "2", "emailAddress", "me<", "days", "1"))
		a.shows(t, c.code, `id="f-`+c.field+`-error">`+c.detail, `value="me&lt;"`)
	}
	a := w.post(overview+"/new-alert-configuration", fields("type", keyInvalid, "kind", "SLACK", "delayMin", "x", "intervalMin", "60", "apiToken", "xoxb-secret"))
	a.shows(t, `id="f-channelName-error"`, `id="f-delayMin-error"`)
	a.hides(t, "xoxb-secret")
}

func TestNotification_keepsTheSecretsThatAreNotTyped(t *testing.T) {
	t.Parallel()
	w := alertsWorld(t)
	pager := object{"typeName": "PAGER_DUTY", "notifierId": "other", "delayMin": 1, "serviceKey": "****1234", "region": "US"}
	w.config(nil, pager, webhook())
	path := configsPage + "/" + configID + "/notifications/" + notifierID
	page := w.get(path)
	page.shows(t, "Stored: https://hooks.example.com/…. Leave it empty to keep it", `type="password"`)
	page.hides(t, `value="****"`, `value="https://hooks`, `class="mono" required`)
	form := page.applied()
	for name, value := range map[string]string{"delayMin": "7", "intervalMin": "30", "webhookBodyTemplate": "{\"a\":1}"} {
		form.Set(name, value)
	}
	w.api.set("PUT "+alertConfigAPI, object{})
	if a := w.post(path, form); a.StatusCode != http.StatusSeeOther {
		t.Fatalf("answer = %d", a.StatusCode)
	}
	sent := w.sentJSON("PUT " + alertConfigAPI)
	equal(t, []any{pagerSent(), object{"typeName": "WEBHOOK", "notifierId": notifierID, "delayMin": 7.0, "intervalMin": 30.0, "webhookBodyTemplate": `{"a":1}`}}, sent["notifications"].([]any))
	equal(t, []any{object{"fieldName": "CLUSTER_NAME", "operator": "EQUALS", "value": "c1"}}, sent["matchers"].([]any))
}

// pagerSent is the other notification, sent back as it was shown.
func pagerSent() object {
	return object{"typeName": "PAGER_DUTY", "notifierId": "other", "delayMin": 1.0, "serviceKey": "****1234", "region": "US"}
}

func TestConfiguration_isNotChangedOverSomebodyElsesChange(t *testing.T) {
	t.Parallel()
	w := alertsWorld(t)
	path := configsPage + "/" + configID
	form := w.get(path).applied()
	form.Set("days", "4")
	w.config(object{"updated": "2026-05-01T11:11:11Z"}, webhook())
	a := w.post(path, form)
	a.shows(t, "Somebody changed this configuration", `value="4"`)
	if w.api.sent("PUT "+alertConfigAPI) != "" {
		t.Error("it was stored")
	}
	form = a.applied()
	form.Set("days", "4")
	w.api.set("PUT "+alertConfigAPI, object{})
	if a := w.post(path, form); a.StatusCode != http.StatusSeeOther {
		t.Errorf("the second time, it is answered %d", a.StatusCode)
	}
}

func TestNotifications_areAddedAndRemoved(t *testing.T) {
	t.Parallel()
	w := alertsWorld(t)
	w.api.set("PUT "+alertConfigAPI, object{})
	path := configsPage + "/" + configID
	w.get(path).shows(t, "The last one cannot be removed")
	form := w.get(path + "/new-notification?kind=EMAIL").applied()
	for name, value := range map[string]string{"emailAddress": "a@b.example", "delayMin": "0", "intervalMin": "60"} {
		form.Set(name, value)
	}
	w.post(path+"/new-notification", form)
	if sent := w.sentJSON("PUT " + alertConfigAPI); len(sent["notifications"].([]any)) != 2 {
		t.Errorf("sent %v", sent)
	}
	w.config(nil, webhook(), pagerSent())
	page := w.get(path + "/notifications/" + notifierID + "/remove")
	page.shows(t, "this cannot be undone", "Webhook")
	w.post(path+"/notifications/"+notifierID+"/remove", page.applied())
	equal(t, []any{pagerSent()}, w.sentJSON("PUT " + alertConfigAPI)["notifications"].([]any))
	for _, gone := range []string{"/notifications/none", "/notifications/none/remove", "/new-notification?kind=TEAM", "/new-notification?kind=HIP_CHAT"} {
		if a := w.get(path + gone); a.StatusCode != http.StatusNotFound {
			t.Errorf("%s is answered %d", gone, a.StatusCode)
		}
	}
}

func TestConfiguration_isTurnedOffAndDeletedAfterAQuestion(t *testing.T) {
	t.Parallel()
	w := alertsWorld(t)
	path := configsPage + "/" + configID
	w.get(path+"/toggle").shows(t, "Turn this configuration off?", "open alerts end")
	w.api.set("PATCH "+alertConfigAPI, object{})
	w.post(path+"/toggle", w.get(path+"/toggle").applied())
	w.demands("PATCH "+alertConfigAPI, object{"enabled": false})
	w.config(object{"enabled": false}, webhook())
	w.post(path+"/toggle", w.get(path+"/toggle").applied())
	w.demands("PATCH "+alertConfigAPI, object{"enabled": true})
	w.get(path+"/delete").shows(t, "cannot be undone")
	w.api.set("DELETE "+alertConfigAPI, refused{409, "CANNOT", "Not now.", ""})
	w.post(path+"/delete", nil).shows(t, "Not now.")
	w.api.set("DELETE "+alertConfigAPI, object{})
	if a := w.post(path+"/delete", nil); a.Header.Get("Location") != configsPage {
		t.Errorf("it leads to %s", a.Header.Get("Location"))
	}
}

func TestAlerts_escapeWhatOthersWrote(t *testing.T) {
	t.Parallel()
	w := alertsWorld(t)
	w.alert(object{"eventTypeName": evil, "clusterName": evil, "status": evil})
	bad := webhook()
	bad["webhookUrl"], bad["typeName"], bad["webhookBodyTemplate"] = evil, "SLACK", evil
	bad["channelName"], bad["apiToken"] = evil, evil
	w.config(object{"eventTypeName": evil, "severityOverride": evil, "matchers": []any{object{"fieldName": evil, "operator": evil, "value": evil}}}, bad)
	for _, path := range []string{alertsPage, alertsPage + "/" + alertID, configsPage, configsPage + "/" + configID, configsPage + "/" + configID + "/notifications/" + notifierID} {
		if page := w.get(path); page.StatusCode != http.StatusOK {
			t.Errorf("%s is answered %d", path, page.StatusCode)
		} else {
			page.hides(t, "<script>alert")
		}
	}
}
