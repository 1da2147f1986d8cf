package console_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/shared/verdict"
)

// Where the API and the pages of keys are.
const (
	advanced    = overview + "/advanced"
	settingsAPI = "/api/atlas/v2/groups/" + groupID + "/encryptionAtRest"
	ownAPI      = "/api/latchkey/v1/groups/" + groupID
	rolesAPI    = "/api/atlas/v2/groups/" + groupID + "/cloudProviderAccess"
	multiRegion = "arn:aws:kms:us-east-1:111122223333:key/mrk-0f0e0d0c"
	awsRoleID   = "32b6e34b3d91647abb20e701"
	sharedCode  = "DisabledException"
)

// object is JSON.
type object = map[string]any

func listed(items ...any) object {
	if items == nil {
		items = []any{}
	}
	return object{"results": items, "totalCount": len(items), "links": []any{}}
}

// keysWorld is a project with nothing configured, seen by its owner.
func keysWorld(t *testing.T) *world {
	t.Helper()
	w := open(t, "")
	w.signIn()
	w.as("GROUP_OWNER")
	w.api.set("GET "+settingsAPI, configuration("", nil))
	w.api.set("GET "+rolesAPI, object{
		"awsIamRoles": []any{
			object{
				"roleId": awsRoleID, "iamAssumedRoleArn": "arn:aws:iam::111122223333:role/latchkey", "authorizedDate": "2026-01-01T00:00:00Z",
				"atlasAWSAccountArn": "arn:aws:iam::999999999999:root", "atlasAssumedRoleExternalId": "external-7", "providerName": "AWS",
			},
			object{"roleId": "32b6e34b3d91647abb20e702", "iamAssumedRoleArn": nil, "authorizedDate": nil, "providerName": "AWS"},
		},
		"azureServicePrincipals": []any{object{"_id": "32b6e34b3d91647abb20e703", "servicePrincipalId": principal, "tenantId": "6f1b0000-0000-4000-8000-0000000000aa", "providerName": "AZURE"}},
		"gcpServiceAccounts":     []any{object{"roleId": "32b6e34b3d91647abb20e704", "gcpServiceAccountForAtlas": "us@p.iam.gserviceaccount.com", "status": "COMPLETE", "providerName": "GCP"}},
	})
	w.api.set("GET "+ownAPI+"/encryptionAtRest/keys", listed())
	w.api.set("GET "+ownAPI+"/clusters", listed())
	return w
}

// as gives whoever is signed in a role.
func (w *world) as(role string) {
	w.api.set("GET /api/atlas/v2", object{"appName": "x", "apiKey": object{"roles": []any{object{"groupId": groupID, "roleName": role}}}})
}

// configuration is the answer of the API with one provider enabled.
func configuration(block string, members object) object {
	all := object{"awsKms": object{}, "azureKeyVault": object{}, "googleCloudKms": object{}, "enabledForSearchNodes": false}
	if block != "" {
		members["enabled"] = true
		all[block] = members
	}
	return all
}

func awsConfiguration(key string) object {
	return configuration("awsKms", object{"valid": true, "customerMasterKeyID": key, "region": "US_EAST_1", "roleId": awsRoleID})
}

// report is the state of a provider's key.
func report(provider string, class verdict.Class, reason verdict.Reason, more object) object {
	r := object{
		"cloudProvider": provider, "lastChange": nil, "formerKeys": []any{},
		"keyInUse": object{
			"key": multiRegion, "version": multiRegion + "#material-1", "since": "2026-01-01T00:00:00Z", "nodes": 3,
			"status": object{
				"valid": class == verdict.Valid, "class": class, "reason": reason, "since": "2026-05-01T11:00:00Z", "checkedAt": "2026-05-01T12:00:00Z",
				"providerCode": sharedCode, "providerRequestId": "request-1",
			},
			"privateNetworking": object{"required": false, "inForce": false},
		},
	}
	maps.Copy(r, more)
	return r
}

func (w *world) keys(reports ...any) {
	w.api.set("GET "+ownAPI+"/encryptionAtRest/keys", listed(reports...))
}

func (a answer) shows(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(a.body, text) {
			t.Errorf("the page does not show %q", text)
		}
	}
}

func (a answer) hides(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if strings.Contains(a.body, text) {
			t.Errorf("the page shows %q", text)
		}
	}
}

func TestAdvanced_offersEachProviderWhereNothingIsOn(t *testing.T) {
	t.Parallel()
	w := keysWorld(t)
	page := w.get(advanced)
	page.shows(t, "Encryption at Rest using your Key Management", "AWS KMS is off", "Azure Key Vault is off", "Google Cloud KMS is off",
		`href="`+advanced+`/AWS"`, `href="`+advanced+`/AZURE"`, `href="`+advanced+`/GCP"`)
	page.hides(t, "hx-trigger", "Try again", "Search nodes")
}

func TestAdvanced_tellsHowAKeyIs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reason verdict.Reason
		shows  []string
		every  string
	}{
		{verdict.OK, []string{"Valid", "The key encrypts and decrypts.", "Use another key", "Change the Region"}, ""},
		{verdict.KeyDisabled, []string{"Not valid", "the key is disabled. Clusters that use it are stopped", "Enable the key at its provider", sharedCode, "request-1", "2026-05-01T11:00:00Z", "2026-05-01T12:00:00Z"}, "30s"},
		{verdict.TimedOut, []string{"Out of reach", "Clusters keep running", "A multi-Region key can be moved"}, "30s"},
		{verdict.RateLimited, []string{"Slowed down", "Raise the quota"}, "30s"},
		{verdict.OurCredentials, []string{"Not known", "By the one before, it was not valid", "the service&#39;s own problem"}, "30s"},
		{verdict.Unconfirmed, []string{"Being checked", "checked again within a minute"}, "5s"},
	} {
		t.Run(string(c.reason), func(t *testing.T) {
			t.Parallel()
			w := keysWorld(t)
			w.api.set("GET "+settingsAPI, awsConfiguration(multiRegion))
			w.keys(report("AWS", c.reason.Class(), c.reason, nil))
			page := w.get(advanced)
			page.shows(t, append(c.shows, "arn:aws:iam::111122223333:role/latchkey", ">material-1<")...)
			page.hides(t, "Switch to role-based access")
			trigger := `hx-trigger="every ` + c.every + `"`
			if c.every == "" {
				page.hides(t, "hx-trigger")
			} else {
				page.shows(t, trigger, advanced+"/state")
			}
			if part := w.get(advanced + "/state"); !strings.HasPrefix(strings.TrimSpace(part.body), `<div id="keys"`) {
				t.Errorf("the part that is read again is %.60q", part.body)
			}
		})
	}
}

// Nobody is left with a reason that says nothing, or without a word of what to do.
func TestAdvanced_hasWordsForEveryReason(t *testing.T) {
	t.Parallel()
	w := keysWorld(t)
	w.api.set("GET "+settingsAPI, awsConfiguration(multiRegion))
	for _, reason := range verdict.Reasons() {
		w.keys(report("AWS", reason.Class(), reason, nil))
		page := w.get(advanced)
		if reason != verdict.OK {
			page.shows(t, "What to do:</strong> ")
			page.hides(t, strings.ToLower(strings.ReplaceAll(string(reason), "_", " "))) // a code is no sentence
			page.hides(t, "What to do:</strong> </p>", "What to do:</strong>  A multi")
		}
	}
}

func TestAdvanced_showsAChangeUnderWayAndWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	remaining := object{"waitsFor": "NODES", "nodes": 6, "wrappedKeys": 9, "awaitedNodes": []any{
		object{"clusterId": "1", "clusterName": "c1", "nodeId": "node-1", "silent": true, "failed": false},
		object{"clusterId": "1", "clusterName": "c1", "nodeId": "node-2", "silent": false, "failed": true},
	}}
	change := func(kind, state string, more object) object {
		c := object{
			"kind": kind, "state": state, "beganAt": "2026-05-01T10:00:00Z", "endedAt": nil, "wrappedKeysProved": 4, "wrappedKeysLost": 0,
			"nodesLeft": 3, "blockedSince": nil, "reason": nil, "remaining": nil,
		}
		maps.Copy(c, more)
		return c
	}
	key := object{"waitsFor": "KEY", "nodes": 6, "wrappedKeys": 9, "awaitedNodes": []any{}}
	for name, c := range map[string]struct {
		change object
		shows  []string
		every  string
	}{
		"a rotation": {
			change("rotate-key", "UNDER_WAY", object{"remaining": remaining}),
			[]string{"Use of another key", "Under way", `<progress value="3" max="6"`, "node-1", "nothing was heard of it lately", "it could not do it", "and 1 more node", overview + "/clusters/c1"},
			"5s",
		},
		"a switch": {change("switch-role", "UNDER_WAY", object{"remaining": remaining}), []string{`<progress value="4" max="9"`, "4 of 9 wrapped keys"}, "5s"},
		"a move":   {change("reconfigure-region", "UNDER_WAY", object{"wrappedKeysProved": 9, "remaining": remaining}), []string{`<progress value="3" max="6"`, "opens in the new Region"}, "5s"},
		"a rotation whose nodes are done": {
			change("rotate-key", "UNDER_WAY", object{"nodesLeft": 0, "remaining": object{"waitsFor": nil, "nodes": 6, "wrappedKeys": 9, "awaitedNodes": []any{}}}),
			[]string{`<progress value="6" max="6"`, "All is done; a last look"},
			"5s",
		},
		"a key that is away": {
			change("switch-role", "UNDER_WAY", object{"remaining": key, "blockedSince": "2026-05-01T10:00:00Z", "reason": "ACCESS_DENIED"}),
			[]string{"Waiting for the key", "once the key can be used: the key refuses access"},
			"30s",
		},
		"one that is over": {change("rotate-key", "FINISHED", object{"endedAt": "2026-05-01T11:00:00Z"}), []string{"Finished", "2026-05-01T11:00:00Z"}, ""},
		"one taken back": {
			change("switch-role", "RESTORED", object{"endedAt": "2026-05-01T11:00:00Z", "reason": "ACCESS_DENIED", "wrappedKeysLost": 2}),
			[]string{"Taken back", "in use again: the key refuses access", "2 wrapped keys cannot be opened by anybody"},
			"",
		},
		"one of a provider that is gone": {change("rotate-key", "ABANDONED", object{"endedAt": "2026-05-01T11:00:00Z"}), []string{"Ended early"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := keysWorld(t)
			w.api.set("GET "+settingsAPI, awsConfiguration(multiRegion))
			w.keys(report("AWS", verdict.Valid, verdict.OK, object{"lastChange": c.change}))
			page := w.get(advanced)
			page.shows(t, c.shows...)
			if polls := strings.Contains(page.body, `hx-trigger="every`); polls != (c.every != "") || !strings.Contains(page.body, c.every) {
				t.Errorf("it is read again: %t, want every %q", polls, c.every)
			}
		})
	}
}

func TestAdvanced_listsWhatStillNeedsAFormerKey(t *testing.T) {
	t.Parallel()
	w := keysWorld(t)
	w.api.set("GET "+settingsAPI, awsConfiguration(multiRegion))
	w.api.set("GET "+ownAPI+"/masterKeys", object{"masterKeys": []any{object{"nodeId": "node-1", "clusterName": "c1"}}})
	former := object{"key": "arn:of:the:former", "version": "v1", "nodeIds": []any{"node-1", "node-2"}, "snapshotIds": []any{"snapshot-1"}, "lastSnapshotExpiresAt": "2026-08-01T00:00:00Z"}
	w.keys(report("AWS", verdict.Valid, verdict.OK, object{"formerKeys": []any{former}}))
	w.get(advanced).shows(t, "Former keys that must be kept", "arn:of:the:former", "node-1", `clusters/c1">c1</a>`, "node-2", "snapshot-1", "2026-08-01T00:00:00Z")

	// Of a provider that is off too.
	w.api.set("GET "+settingsAPI, configuration("", nil))
	w.keys(object{"cloudProvider": "AWS", "keyInUse": nil, "lastChange": nil, "formerKeys": []any{former}})
	w.get(advanced).shows(t, "AWS KMS is off", "arn:of:the:former")
}

func TestAdvanced_listsTheClustersUnderAProvider(t *testing.T) {
	t.Parallel()
	w := keysWorld(t)
	w.api.set("GET "+settingsAPI, awsConfiguration(multiRegion))
	w.keys(report("AWS", verdict.Invalid, verdict.KeyDisabled, nil))
	w.api.set("GET "+ownAPI+"/clusters", listed(
		object{"name": "stopped", "encryptionAtRestProvider": "AWS", "disabled": object{"cloudProvider": "AWS"}},
		object{"name": "leaving", "encryptionAtRestProvider": "NONE", "plan": object{"fromProvider": "AWS", "toProvider": "NONE"}},
		object{"name": "foreign", "encryptionAtRestProvider": "GCP"},
	))
	page := w.get(advanced)
	page.shows(t, `clusters/stopped">stopped</a> <span class="badge bad">Disabled`, `clusters/leaving">leaving</a></li>`)
	page.hides(t, "foreign")
}

func TestAdvanced_offersAReaderNothingToChange(t *testing.T) {
	t.Parallel()
	w := keysWorld(t)
	w.as("GROUP_READ_ONLY")
	w.api.set("GET "+settingsAPI, awsConfiguration(multiRegion))
	w.keys(report("AWS", verdict.Valid, verdict.OK, nil))
	page := w.get(advanced)
	page.shows(t, "Valid", "that takes the role Project Owner")
	page.hides(t, "Try again", "Edit", `id="setup-`, `<form class="actions"`, "toggle")
	for _, path := range []string{"/AWS", "/AZURE", "/AWS/key", "/AWS/region", "/AWS/role", "/GCP/off"} {
		form := w.get(advanced + path)
		form.shows(t, "Only Project Owners")
		form.hides(t, "<form class=\"card\"", "<form class=\"confirm\"")
	}
}

func TestTryAgain_checksNow(t *testing.T) {
	t.Parallel()
	w := keysWorld(t)
	w.api.set("GET "+settingsAPI, awsConfiguration(multiRegion))
	w.keys(report("AWS", verdict.Invalid, verdict.KeyDisabled, nil))
	const below = " What was found, and what to do, is below."
	for _, c := range []struct {
		classes []verdict.Class // of AWS and Azure
		tone    string
		says    string
	}{
		{nil, "neutral", "There is no key to check: no provider is on."},
		{[]verdict.Class{verdict.Valid}, "good", "Checked just now. AWS KMS: valid."},
		{[]verdict.Class{verdict.Invalid}, "bad", "Checked just now. AWS KMS: not valid." + below},
		{[]verdict.Class{verdict.Unreachable}, "warning", "Checked just now. AWS KMS: out of reach." + below},
		{[]verdict.Class{verdict.Invalid, verdict.Throttled}, "bad", "AWS KMS: not valid. Azure Key Vault: slowed down." + below},
		{[]verdict.Class{verdict.Valid, verdict.Inconclusive}, "warning", "AWS KMS: valid. Azure Key Vault: not known." + below},
	} {
		found := []any{}
		for i, class := range c.classes {
			found = append(found, object{"provider": []string{"AWS", "AZURE"}[i], "class": class, "reason": "KEY_DISABLED"})
		}
		w.api.set("POST "+ownAPI+"/encryptionAtRest/validate", object{"providers": found})
		if a := w.post(advanced+"/try-again", nil); a.Header.Get("Location") != advanced {
			t.Errorf("answer = %d", a.StatusCode)
		}
		w.get(advanced).shows(t, c.says, `aria-live="polite"><div class="banner `+c.tone+`">`)
	}
	w.api.set("POST "+ownAPI+"/encryptionAtRest/validate", refused{429, "RATE_LIMITED_TOKEN_BUCKET", "Slow down.", "7"})
	w.post(advanced+"/try-again", nil).shows(t, "RATE_LIMITED_TOKEN_BUCKET", "Try again in 7 seconds.")
}

func TestSearchNodes_areSwitched(t *testing.T) {
	t.Parallel()
	w := keysWorld(t)
	w.api.set("PATCH "+settingsAPI, object{})
	for _, on := range []bool{true, false} {
		form := url.Values{}
		if on {
			form.Set("enabledForSearchNodes", "on")
		}
		w.post(advanced+"/search-nodes", form)
		if want := fmt.Sprintf(`{"enabledForSearchNodes":%t}`, on); w.api.sent("PATCH "+settingsAPI) != want {
			t.Errorf("sent %s, want %s", w.api.sent("PATCH "+settingsAPI), want)
		}
	}
}

func TestTurningOff_asksFirstAndSaysWhichClustersAreInTheWay(t *testing.T) {
	t.Parallel()
	w := keysWorld(t)
	w.api.set("GET "+settingsAPI, awsConfiguration(multiRegion))
	w.keys(report("AWS", verdict.Valid, verdict.OK, nil))
	w.get(advanced).shows(t, `hx-get="`+advanced+`/AWS/off"`, `hx-target="#dialog"`)
	question := w.get(advanced + "/AWS/off")
	question.shows(t, "Turn off AWS KMS", "are destroyed", `class="button danger"`)
	question.hides(t, "Private endpoints", "The key is not valid")
	taken := report("AWS", verdict.Invalid, verdict.KeyDisabled, nil)
	taken["keyInUse"].(object)["privateNetworking"] = object{"required": true}
	w.keys(taken)
	w.get(advanced+"/AWS/off").shows(t, "Private endpoints are removed before", advanced+"/AWS/endpoints")
	w.get(advanced+"/AWS/key").shows(t, "Restore it first")

	w.api.set("PATCH "+settingsAPI, refused{409, "CANNOT_DISABLE_ENCRYPTION_AT_REST", "It is still enabled on one or more clusters.", ""})
	w.api.set("GET "+ownAPI+"/clusters", listed(object{"name": "c1", "encryptionAtRestProvider": "AWS"}))
	page := w.post(advanced+"/AWS/off", nil)
	page.shows(t, "CANNOT_DISABLE_ENCRYPTION_AT_REST", "Decrypt these clusters first", `clusters/c1">c1</a>`)
	page.hides(t, `class="button danger"`)

	w.api.set("PATCH "+settingsAPI, object{})
	if a := w.post(advanced+"/AWS/off", nil); a.Header.Get("Location") != advanced {
		t.Errorf("answer = %d", a.StatusCode)
	}
	if sent := w.api.sent("PATCH " + settingsAPI); sent != `{"awsKms":{"enabled":false}}` {
		t.Errorf("sent %s", sent)
	}
	w.get(advanced).shows(t, "AWS KMS is off. Its configuration was removed.")
}

// What a tenant named, and what a provider said, is text.
func TestAdvanced_showsHostileNamesAsText(t *testing.T) {
	t.Parallel()
	const hostile = `"><script>alert(1)</script>`
	w := keysWorld(t)
	w.api.set("GET "+settingsAPI, awsConfiguration(hostile))
	hostileReport := report("AWS", verdict.Invalid, verdict.Reason(hostile), object{"formerKeys": []any{
		object{"key": hostile, "version": hostile, "nodeIds": []any{hostile}, "snapshotIds": []any{hostile}},
	}})
	hostileReport["keyInUse"].(object)["status"].(object)["providerCode"] = hostile
	w.keys(hostileReport)
	w.api.set("GET "+ownAPI+"/masterKeys", object{"masterKeys": []any{object{"nodeId": hostile, "clusterName": hostile}}})
	w.api.set("GET "+ownAPI+"/clusters", listed(object{"name": hostile, "encryptionAtRestProvider": "AWS"}))
	for _, path := range []string{"", "/AWS", "/AWS/key", "/AWS/off", "/state"} {
		w.get(advanced+path).hides(t, "<script>alert")
	}
	w.post(advanced+"/AWS/documents", url.Values{"customerMasterKeyID": {hostile}, "roleId": {hostile}}).hides(t, "<script>alert")
	w.post(advanced+"/AWS/check/customerMasterKeyID", url.Values{"customerMasterKeyID": {hostile}}).hides(t, "<script>alert")
}

// sentJSON is the last body of a route.
func (w *world) sentJSON(route string) object {
	w.t.Helper()
	var got object
	if err := json.Unmarshal([]byte(w.api.sent(route)), &got); err != nil {
		w.t.Fatalf("%s was sent %q: %v", route, w.api.sent(route), err)
	}
	return got
}

func equal(t *testing.T, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestProviders_thatDoNotExistHaveNoPage(t *testing.T) {
	t.Parallel()
	w := keysWorld(t)
	for _, path := range []string{"/aws", "/ORACLE", "/ORACLE/key", "/ORACLE/off", "/ORACLE/documents"} {
		if a := w.get(advanced + path); a.StatusCode != 404 {
			t.Errorf("%s is answered %d", path, a.StatusCode)
		}
	}
	if asked := w.api.asked(); slices.ContainsFunc(asked, func(r string) bool { return strings.HasPrefix(r, "PATCH") }) {
		t.Errorf("asked %v", asked)
	}
}
