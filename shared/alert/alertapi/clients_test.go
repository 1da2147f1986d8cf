package alertapi_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"latchkey/shared/alert"
	"latchkey/shared/atlas"
	"latchkey/shared/identity"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// What Terraform sends for a resource whose optional members are not set (CLIENTS.md).
const terraformCreate = `{"enabled":true,"eventTypeName":"AWS_ENCRYPTION_KEY_NEEDS_ROTATION","matchers":[],"metricThreshold":{},` +
	`"notifications":[{"typeName":"EMAIL","emailAddress":"ops@acme.example","emailEnabled":false,"smsEnabled":false,"intervalMin":0,"delayMin":0,"roles":null}],` +
	`"threshold":{"metricName":"","operator":"GREATER_THAN","threshold":400.0,"units":"DAYS"}}`

func TestTerraformCreatesReadsAndReplaces(t *testing.T) {
	w := newWorld(t)
	id := w.create(terraformCreate)
	a := w.do(http.MethodGet, "/alertConfigs/"+id, "")
	if !strings.Contains(a.body, `"threshold":400,`) {
		t.Errorf("the threshold is no integer in %s", a.body)
	}
	if n := a.member(t, "notifications", 0); strings.Contains(a.body, `"roles"`) || n == nil {
		t.Errorf("roles appear although none were sent: %s", a.body)
	}
	echo := `{"id":"` + id + `","links":[{"href":"x","rel":"self"}],` + terraformCreate[1:]
	a = w.do(http.MethodPut, "/alertConfigs/"+id, strings.Replace(echo, `"enabled":true,`, "", 1))
	if a.status != http.StatusOK || a.member(t, "enabled") != false || a.member(t, "id") != id {
		t.Errorf("replacing answers %d %s", a.status, a.body)
	}
	list := w.do(http.MethodGet, "/alertConfigs?includeCount=false&itemsPerPage=100&pageNum=0", "")
	if list.status != http.StatusOK || strings.Contains(list.body, "totalCount") {
		t.Errorf("the list answers %d %s", list.status, list.body)
	}
}

func TestServicesThatRemindByThemselvesComeBackWithoutAnInterval(t *testing.T) {
	w := newWorld(t)
	for kind, members := range map[string]string{
		"PAGER_DUTY": `"serviceKey":"0123456789abcdef0123456789abcdef"`,
		"OPS_GENIE":  `"opsGenieApiKey":"01234567-89ab-cdef-0123-456789abcdef"`,
		"VICTOR_OPS": `"victorOpsApiKey":"01234567-89ab-cdef-0123-456789abcdef","victorOpsRoutingKey":"routing"`,
	} {
		for _, interval := range []string{`"intervalMin":0`, `"intervalMin":1`, `"intervalMin":null`} {
			id := w.create(`{"eventTypeName":"AWS_ENCRYPTION_KEY_INVALID","notifications":[{"typeName":"` + kind + `",` + interval + `,` + members + `}]}`)
			if a := w.do(http.MethodGet, "/alertConfigs/"+id, ""); strings.Contains(a.body, "intervalMin") {
				t.Errorf("%s: %s", kind, a.body)
			}
		}
	}
}

// everyKind is one notification of each kind, with its secrets.
func everyKind() (body string, secrets []string) {
	secrets = []string{
		"xoxb-slack-token-secret", "https://hooks.acme.example/services/very/secret", "webhook-signing-secret", "Authorization: Bearer header-secret",
		"pagerduty0123456789secret", "opsgenie0123456789secret", "datadog0123456789secret", "victorops0123456789secret", "routing-key-0123456789",
		"https://acme.webhook.office.example/webhookb2/secret",
	}
	return `{"eventTypeName":"AZURE_ENCRYPTION_KEY_INVALID","enabled":true,"notifications":[
		{"typeName":"GROUP","emailEnabled":true},
		{"typeName":"ORG","emailEnabled":true,"roles":["ORG_OWNER"]},
		{"typeName":"USER","smsEnabled":true,"username":"ann@acme.example"},
		{"typeName":"TEAM","emailEnabled":true,"teamId":"650000000000000000000044","teamName":"ops"},
		{"typeName":"EMAIL","emailAddress":"ops@acme.example"},
		{"typeName":"SMS","mobileNumber":"+44 20 7946 0000"},
		{"typeName":"SLACK","apiToken":"` + secrets[0] + `","channelName":"alerts"},
		{"typeName":"WEBHOOK","webhookUrl":"` + secrets[1] + `","webhookSecret":"` + secrets[2] + `","webhookBodyTemplate":"{}","webhookHeadersTemplate":"` + secrets[3] + `"},
		{"typeName":"PAGER_DUTY","serviceKey":"` + secrets[4] + `","region":"EU"},
		{"typeName":"OPS_GENIE","opsGenieApiKey":"` + secrets[5] + `"},
		{"typeName":"DATADOG","datadogApiKey":"` + secrets[6] + `","datadogRegion":"US5"},
		{"typeName":"VICTOR_OPS","victorOpsApiKey":"` + secrets[7] + `","victorOpsRoutingKey":"` + secrets[8] + `"},
		{"typeName":"MICROSOFT_TEAMS","microsoftTeamsWebhookUrl":"` + secrets[9] + `"}]}`, secrets
}

func TestEveryKindOfNotificationIsKeptAndNoSecretIsShown(t *testing.T) {
	w := newWorld(t)
	body, secrets := everyKind()
	id := w.create(body)
	w.raiseAzure(t)
	shown := w.do(http.MethodGet, "/alertConfigs/"+id, "").body
	items, err := store.All(t.Context(), w.table, store.Query{PK: keys.Group(w.group).PK})
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range secrets {
		if strings.Contains(shown, secret) {
			t.Errorf("%q is shown", secret)
		}
		for _, item := range items {
			if strings.Contains(string(item.Body), secret) {
				t.Errorf("%q lies open in %s", secret, item.Key)
			}
		}
	}
	c, err := w.alerts.Config(t.Context(), w.group, id)
	if err != nil || len(c.Notifications) != len(alert.Kinds()) {
		t.Fatalf("%d notifications, %v", len(c.Notifications), err)
	}
	for _, n := range c.Notifications {
		for name, s := range n.Secrets {
			if _, err := w.sealer.Open(t.Context(), s.Sealed, alert.SecretContext(w.group, name)); err != nil {
				t.Errorf("%s %s: %v", n.Type, name, err)
			}
		}
	}
}

// raiseAzure makes the Azure key invalid, so that notifications are stored too.
func (w *world) raiseAzure(t *testing.T) {
	t.Helper()
	if err := w.alerts.Raise(t.Context(), w.group, alert.Condition{Type: alert.KeyInvalid(atlas.Azure), Subject: "AZURE"}); err != nil {
		t.Fatal(err)
	}
}

func (w *world) secret(t *testing.T, id string, i int, name string) string {
	t.Helper()
	c, err := w.alerts.Config(t.Context(), w.group, id)
	if err != nil {
		t.Fatal(err)
	}
	s, ok := c.Notifications[i].Secrets[name]
	if !ok {
		return ""
	}
	plain, err := w.sealer.Open(t.Context(), s.Sealed, alert.SecretContext(w.group, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(plain)
}

func TestAClientThatNamesTheNotifierKeepsItsSecret(t *testing.T) {
	const head = `{"eventTypeName":"AWS_ENCRYPTION_KEY_INVALID","notifications":[`
	const token = "xoxb-0123456789abcdef"
	for name, c := range map[string]struct{ notification, token, code string }{
		"names it and sends no token":       {`{"typeName":"SLACK","notifierId":"NOTIFIER","channelName":"other"}`, token, ""},
		"sends back what it was shown":      {`{"typeName":"SLACK","apiToken":"SHOWN","channelName":"alerts"}`, token, ""},
		"names it and sends another token":  {`{"typeName":"SLACK","notifierId":"NOTIFIER","apiToken":"xoxb-new","channelName":"other"}`, "xoxb-new", ""},
		"names another":                     {`{"typeName":"SLACK","notifierId":"65000000000000000000ffff","channelName":"alerts"}`, "", "MISSING_ATTRIBUTE"},
		"names it as one of another kind":   {`{"typeName":"PAGER_DUTY","notifierId":"NOTIFIER"}`, "", "MISSING_ATTRIBUTE"},
		"names nothing and sends no token":  {`{"typeName":"SLACK","channelName":"alerts"}`, "", "MISSING_ATTRIBUTE"},
		"names it but takes out everything": {`{"typeName":"SLACK","notifierId":"NOTIFIER"}`, "", "MISSING_ATTRIBUTE"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			id := w.create(head + `{"typeName":"SLACK","apiToken":"` + token + `","channelName":"alerts"}]}`)
			a := w.do(http.MethodGet, "/alertConfigs/"+id, "")
			notifier, _ := a.member(t, "notifications", 0, "notifierId").(string)
			shown, _ := a.member(t, "notifications", 0, "apiToken").(string)
			if !strings.HasSuffix(shown, "*cdef") {
				t.Errorf("the token is shown as %q", shown)
			}
			a = w.do(http.MethodPut, "/alertConfigs/"+id, head+strings.NewReplacer("NOTIFIER", notifier, "SHOWN", shown).Replace(c.notification)+`]}`)
			if string(a.code()) != c.code {
				t.Fatalf("answers %d %s", a.status, a.body)
			}
			if c.code != "" {
				return
			}
			if got := w.secret(t, id, 0, "apiToken"); got != c.token {
				t.Errorf("the token is now %q", got)
			}
			kept := a.member(t, "notifications", 0, "notifierId") == notifier
			if named := strings.Contains(c.notification, "NOTIFIER"); kept != named {
				t.Errorf("the notifier's id is kept: %t", kept)
			}
		})
	}
}

func TestAWebhookThatMovesToAnotherHostLosesItsSecrets(t *testing.T) {
	const head, tail = `{"eventTypeName":"AWS_ENCRYPTION_KEY_INVALID","notifications":[{"typeName":"WEBHOOK",`, `}]}`
	w := newWorld(t)
	id := w.create(head + `"webhookUrl":"https://good.example/a","webhookSecret":"sign-with-this","webhookHeadersTemplate":"Authorization: x"` + tail)
	notifier := func() string {
		s, _ := w.do(http.MethodGet, "/alertConfigs/"+id, "").member(t, "notifications", 0, "notifierId").(string)
		return `"notifierId":"` + s + `",`
	}
	w.do(http.MethodPut, "/alertConfigs/"+id, head+notifier()+`"webhookUrl":"https://good.example/b"`+tail)
	if w.secret(t, id, 0, "webhookSecret") != "sign-with-this" {
		t.Error("another path of the host loses the secret")
	}
	a := w.do(http.MethodPut, "/alertConfigs/"+id, head+notifier()+`"webhookUrl":"https://evil.example/b"`+tail)
	if a.status != http.StatusOK || w.secret(t, id, 0, "webhookSecret") != "" || w.secret(t, id, 0, "webhookHeadersTemplate") != "" {
		t.Errorf("another host gets the secrets: %s", a.body)
	}
}

func TestASealThatIsAwayIsSaidSo(t *testing.T) {
	w := newWorld(t)
	w.sealer.Break(true)
	body, _ := everyKind()
	if a := w.do(http.MethodPost, "/alertConfigs", body); a.status < 500 || strings.Contains(a.body, "xoxb") {
		t.Errorf("answers %d %s", a.status, a.body)
	}
}

func TestEveryErrorOfConfigurations(t *testing.T) {
	group := `{"typeName":"GROUP","emailEnabled":true}`
	config := func(members, notifications string) string {
		return `{"eventTypeName":"AWS_ENCRYPTION_KEY_INVALID",` + members + `"notifications":[` + notifications + `]}`
	}
	with := func(notification string) string { return config("", notification) }
	typed := func(eventType, members string) string {
		return `{"eventTypeName":"` + eventType + `",` + members + `"notifications":[` + group + `]}`
	}
	rotation := func(threshold string) string { return typed("GCP_ENCRYPTION_KEY_NEEDS_ROTATION", threshold) }
	for name, c := range map[string]struct {
		body string
		code atlas.Code
	}{
		"no JSON":                              {`{`, atlas.MalformedJSON},
		"no object":                            {`[]`, atlas.InvalidJSON},
		"no event type":                        {`{"notifications":[` + group + `]}`, atlas.MissingAttribute},
		"an event type that raises nothing":    {typed("AWS_ENCRYPTION_KEY_VALID", ""), atlas.InvalidEventTypeForAlert},
		"an event type that is none":           {typed("no such type", ""), atlas.InvalidEnumValue},
		"no notifications":                     {config("", ""), atlas.MissingNotifications},
		"notifications null":                   {`{"eventTypeName":"AWS_ENCRYPTION_KEY_INVALID","notifications":null}`, atlas.MissingNotifications},
		"26 notifications":                     {with(strings.Repeat(`{"typeName":"EMAIL","emailAddress":"a@b.example"},`, 25) + group), atlas.MaxNotificationsExceeded},
		"two group notifications":              {with(group + "," + group), atlas.TooManyGroupNotifications},
		"a null notification":                  {with("null"), atlas.MissingAttribute},
		"an unknown kind":                      {with(`{"typeName":"PIGEON"}`), atlas.UnsupportedNotification},
		"a kind that has ended":                {with(`{"typeName":"HIP_CHAT","notificationToken":"x","roomName":"y"}`), atlas.UnsupportedNotification},
		"a group without a way":                {with(`{"typeName":"GROUP","emailEnabled":false}`), atlas.GroupNotificationNeedsWay},
		"an organisation without a way":        {with(`{"typeName":"ORG"}`), atlas.GroupNotificationNeedsWay},
		"a user without a way":                 {with(`{"typeName":"USER","username":"a@b.example"}`), atlas.UserNotificationNeedsWay},
		"a user without a name":                {with(`{"typeName":"USER","emailEnabled":true}`), atlas.MissingAttribute},
		"a group with no roles":                {with(`{"typeName":"GROUP","emailEnabled":true,"roles":[]}`), atlas.GroupNotificationNeedsRole},
		"a group with a role of organisations": {with(`{"typeName":"GROUP","emailEnabled":true,"roles":["ORG_OWNER"]}`), atlas.InvalidEnumValue},
		"an interval of 4 minutes":             {with(`{"typeName":"GROUP","emailEnabled":true,"intervalMin":4}`), atlas.NotificationInterval},
		"an interval of 10^15 minutes":         {with(`{"typeName":"GROUP","emailEnabled":true,"intervalMin":1e15}`), atlas.NotificationInterval},
		"an interval of 5.5 minutes":           {with(`{"typeName":"GROUP","emailEnabled":true,"intervalMin":5.5}`), atlas.InvalidJSONAttribute},
		"an interval of no number":             {with(`{"typeName":"GROUP","emailEnabled":true,"intervalMin":true}`), atlas.InvalidJSONAttribute},
		"a negative delay":                     {with(`{"typeName":"GROUP","emailEnabled":true,"delayMin":-1}`), atlas.AttributeNegative},
		"an endless delay":                     {with(`{"typeName":"GROUP","emailEnabled":true,"delayMin":9000000000000000}`), atlas.InvalidAttribute},
		"no e-mail address":                    {with(`{"typeName":"EMAIL"}`), atlas.MissingAttribute},
		"an e-mail address that is none":       {with(`{"typeName":"EMAIL","emailAddress":"Ann <a@b.example>\r\nBcc: x@y.example"}`), atlas.InvalidAttribute},
		"an e-mail address of no string":       {with(`{"typeName":"EMAIL","emailAddress":7}`), atlas.InvalidJSONAttribute},
		"a number that is none":                {with(`{"typeName":"SMS","mobileNumber":"call me"}`), atlas.InvalidAttribute},
		"a team that is no id":                 {with(`{"typeName":"TEAM","emailEnabled":true,"teamId":"ops"}`), atlas.InvalidAttribute},
		"no token":                             {with(`{"typeName":"SLACK","channelName":"x"}`), atlas.MissingAttribute},
		"a token of 600 bytes":                 {with(`{"typeName":"SLACK","channelName":"x","apiToken":"` + strings.Repeat("x", 600) + `"}`), atlas.InvalidAttribute},
		"a webhook that reads files":           {with(`{"typeName":"WEBHOOK","webhookUrl":"file:///etc/passwd"}`), atlas.InvalidAttribute},
		"a webhook with a password":            {with(`{"typeName":"WEBHOOK","webhookUrl":"https://u:p@acme.example/"}`), atlas.InvalidAttribute},
		"a region that is none":                {with(`{"typeName":"DATADOG","datadogApiKey":"0123456789abcdef","datadogRegion":"MARS"}`), atlas.InvalidEnumValue},
		"an integration that is no id":         {with(`{"typeName":"SLACK","integrationId":"x","apiToken":"x","channelName":"y"}`), atlas.InvalidAttribute},
		"no threshold":                         {rotation(""), atlas.MissingThreshold},
		"a threshold without a number":         {rotation(`"threshold":{"operator":"GREATER_THAN"},`), atlas.MissingAttribute},
		"a threshold below":                    {rotation(`"threshold":{"operator":"LESS_THAN","threshold":9},`), atlas.InvalidOperatorForType},
		"an operator that is none":             {rotation(`"threshold":{"operator":"ABOUT","threshold":9},`), atlas.InvalidEnumValue},
		"hours":                                {rotation(`"threshold":{"threshold":9,"units":"HOURS"},`), atlas.UnitsMismatch},
		"a negative threshold":                 {rotation(`"threshold":{"threshold":-1},`), atlas.AttributeNegative},
		"a threshold of a million days":        {rotation(`"threshold":{"threshold":1000000},`), atlas.InvalidAttribute},
		"half a day":                           {rotation(`"threshold":{"threshold":0.5},`), atlas.InvalidJSONAttribute},
		"a threshold of no number":             {rotation(`"threshold":{"threshold":"many"},`), atlas.InvalidJSONAttribute},
		"a threshold where there is none":      {typed("ENCRYPTION_AT_REST_KMS_NETWORK_ACCESS_DENIED", `"threshold":{"threshold":1},`), atlas.ThresholdPresent},
		"a metric threshold":                   {config(`"metricThreshold":{"metricName":"X"},`, group), atlas.MetricThresholdPresent},
		"a severity that is none":              {config(`"severityOverride":"LOUD",`, group), atlas.InvalidEnumValue},
		"a matcher without a field":            {config(`"matchers":[{}],`, group), atlas.MissingAttribute},
		"a matcher of an unknown field":        {config(`"matchers":[{"fieldName":"COLOUR","operator":"EQUALS","value":"red"}],`, group), atlas.InvalidEnumValue},
		"a matcher with an unknown operator":   {config(`"matchers":[{"fieldName":"PORT","operator":"ABOVE","value":"1"}],`, group), atlas.InvalidEnumValue},
		"a pattern that is none":               {config(`"matchers":[{"fieldName":"PORT","operator":"REGEX","value":"("}],`, group), atlas.InvalidAttribute},
		"a pattern that leaves its place":      {config(`"matchers":[{"fieldName":"PORT","operator":"REGEX","value":"a)|(?:b"}],`, group), atlas.InvalidAttribute},
		"matchers of no list":                  {config(`"matchers":7,`, group), atlas.InvalidJSONAttribute},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			before := len(w.configs(t))
			a := w.do(http.MethodPost, "/alertConfigs", c.body)
			if a.code() != c.code {
				t.Errorf("POST answers %d %s, want %s", a.status, a.body, c.code)
			}
			if after := len(w.configs(t)); after != before {
				t.Errorf("%d configurations after %d", after, before)
			}
			id := w.create(invalidConfig)
			if a := w.do(http.MethodPut, "/alertConfigs/"+id, c.body); a.code() != c.code {
				t.Errorf("PUT answers %d %s, want %s", a.status, a.body, c.code)
			}
			if a := w.do(http.MethodGet, "/alertConfigs/"+id, ""); a.member(t, "enabled") != true {
				t.Errorf("a refused replacement was stored: %s", a.body)
			}
		})
	}
}

func (w *world) configs(t *testing.T) []alert.Config {
	t.Helper()
	all, err := w.alerts.Configs(t.Context(), w.group)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestEveryErrorOfPathsAndQueries(t *testing.T) {
	w := newWorld(t)
	config := w.create(invalidConfig)
	w.raise()
	a := w.one()
	const unknown = "65000000000000000000ffff"
	for name, c := range map[string]struct {
		method, path, body string
		code               atlas.Code
	}{
		"an unknown configuration":           {"GET", "/alertConfigs/" + unknown, "", atlas.AlertConfigNotFound},
		"replacing an unknown one":           {"PUT", "/alertConfigs/" + unknown, invalidConfig, atlas.AlertConfigNotFound},
		"toggling an unknown one":            {"PATCH", "/alertConfigs/" + unknown, `{"enabled":true}`, atlas.AlertConfigNotFound},
		"deleting an unknown one":            {"DELETE", "/alertConfigs/" + unknown, "", atlas.AlertConfigNotFound},
		"alerts of an unknown one":           {"GET", "/alertConfigs/" + unknown + "/alerts", "", atlas.AlertConfigNotFound},
		"an id of a configuration that none": {"GET", "/alertConfigs/x%23y", "", atlas.InvalidAlertConfigID},
		"toggling without a word":            {"PATCH", "/alertConfigs/" + config, `{"enabled":null}`, atlas.MissingAttribute},
		"toggling with a word":               {"PATCH", "/alertConfigs/" + config, `{"enabled":"on"}`, atlas.InvalidJSONAttribute},
		"an unknown alert":                   {"GET", "/alerts/" + unknown, "", atlas.AlertNotFound},
		"acknowledging an unknown alert":     {"PATCH", "/alerts/" + unknown, `{"acknowledgedUntil":"2099-01-01T00:00:00Z"}`, atlas.AlertNotFound},
		"configurations of an unknown alert": {"GET", "/alerts/" + unknown + "/alertConfigs", "", atlas.AlertNotFound},
		"an id of an alert that is none":     {"GET", "/alerts/ALERT", "", atlas.InvalidAlertID},
		"a status that is none":              {"GET", "/alerts?status=LOST", "", atlas.InvalidAlertStatus},
		"a date that is none":                {"PATCH", "/alerts/" + a.ID, `{"acknowledgedUntil":"tomorrow"}`, atlas.InvalidAttribute},
		"a date that has passed":             {"PATCH", "/alerts/" + a.ID, `{"acknowledgedUntil":"2001-01-01T00:00:00Z"}`, atlas.InvalidAttribute},
		"a date of no string":                {"PATCH", "/alerts/" + a.ID, `{"acknowledgedUntil":7}`, atlas.InvalidJSONAttribute},
		"a comment that is too long":         {"PATCH", "/alerts/" + a.ID, `{"acknowledgedUntil":"2099-01-01T00:00:00Z","acknowledgementComment":"` + strings.Repeat("ä", 201) + `"}`, atlas.InvalidAttribute},
	} {
		t.Run(name, func(t *testing.T) {
			if got := w.do(c.method, c.path, c.body); got.code() != c.code {
				t.Errorf("answers %d %s, want %s", got.status, got.body, c.code)
			}
		})
	}
	if got := w.one(); got.Acknowledgement != nil || got.Status != alert.Open {
		t.Errorf("the alert is now %+v", got)
	}
}

func TestThereIsALimitOfConfigurations(t *testing.T) {
	w := newWorld(t)
	for range alert.MaxConfigs - len(w.configs(t)) {
		w.create(invalidConfig)
	}
	a := w.do(http.MethodPost, "/alertConfigs", invalidConfig)
	if a.code() != atlas.MaxAlertConfigsExceeded || !strings.Contains(a.body, strconv.Itoa(alert.MaxConfigs)) {
		t.Errorf("answers %d %s", a.status, a.body)
	}
	w.do(http.MethodDelete, "/alertConfigs/"+w.configs(t)[0].ID, "")
	w.create(invalidConfig)
}

func TestReadersReadAndStrangersLearnNothing(t *testing.T) {
	w := newWorld(t)
	id := w.create(invalidConfig)
	w.caller.GroupRoles = map[string][]identity.Role{w.group: {identity.GroupReadOnly}}
	if a := w.do(http.MethodGet, "/alertConfigs/"+id, ""); a.status != http.StatusOK {
		t.Errorf("a reader gets %d %s", a.status, a.body)
	}
	for _, c := range [][3]string{
		{"POST", "/alertConfigs", invalidConfig},
		{"PUT", "/alertConfigs/" + id, invalidConfig},
		{"PATCH", "/alertConfigs/" + id, `{"enabled":false}`},
		{"DELETE", "/alertConfigs/" + id, ""},
		{"PATCH", "/alerts/" + id, `{}`},
	} {
		if a := w.do(c[0], c[1], c[2]); a.code() != atlas.UserUnauthorized {
			t.Errorf("%s %s by a reader: %d %s", c[0], c[1], a.status, a.body)
		}
	}
	w.caller.OrgID, w.caller.GroupRoles = "650000000000000000000099", nil
	if a := w.do(http.MethodGet, "/alertConfigs/"+id, ""); a.code() != atlas.UserCannotAccessGroup {
		t.Errorf("a stranger gets %d %s", a.status, a.body)
	}
	if a := w.at("2023-01-01", http.MethodGet, "/alertConfigs/matchers/fieldNames", ""); !strings.HasPrefix(a.body, `["ATLAS_NODE_TYPE",`) {
		t.Errorf("anyone may ask for field names: %d %s", a.status, a.body)
	}
}
