package latchkey_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"

	"latchkey/local/pocket"
	"latchkey/shared/alert"
	"latchkey/shared/atlas"
	"latchkey/shared/kms/keyring"
	"latchkey/shared/node/protocol"
	"latchkey/shared/notification"
	"latchkey/shared/notification/outbound"
	"latchkey/shared/seal"
	"latchkey/shared/seal/leaktest"
	"latchkey/shared/store/dynamo"
	"latchkey/shared/store/keys"
	"latchkey/shared/suite"
	"latchkey/shared/suite/nodes"
	"latchkey/shared/suite/notify"
	"latchkey/shared/suite/operator"
)

// Every kind of secret is put to its use, changed, and has things go wrong with it; then everything that
// was answered, logged, stored and sent is searched for all of them.

// lookout knows every secret of a town and looks for them.
type lookout struct {
	t  *testing.T
	mu sync.Mutex
	d  leaktest.Detector
	// logged is what was logged, at debug level.
	logged bytes.Buffer
}

// Write implements io.Writer for the log.
func (l *lookout) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.logged.Write(p)
}

func (l *lookout) add(name, secret string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.d.Add(name, secret)
}

// search looks through what left the program.
func (l *lookout) search(where string, text []byte) {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, found := range l.d.In(text) {
		l.t.Errorf("%s holds %s", where, found)
	}
}

// watched is a sealer that tells the lookout whatever is sealed: nothing that was worth being sealed may be
// anywhere else.
type watched struct {
	sealer
	lookout *lookout
}

// Seal implements sealer.
func (w watched) Seal(ctx context.Context, plaintext []byte, c seal.Context) (seal.Sealed, error) {
	w.lookout.add("what is sealed as "+c.Field, string(plaintext))
	// Rings of keys are documents: each key is a secret.
	var ring []map[string]any
	if json.Unmarshal(plaintext, &ring) == nil {
		for _, key := range ring {
			for member, value := range key {
				if text, isText := value.(string); isText && member != "id" && member != "activeFrom" {
					raw, err := base64.StdEncoding.DecodeString(text)
					if err == nil {
						w.lookout.add("the "+member+" of "+c.Field, string(raw))
					}
					w.lookout.add("the "+member+" of "+c.Field, text)
				}
			}
		}
	}
	return w.sealer.Seal(ctx, plaintext, c)
}

// canary is a text that is nowhere else.
func canary(kind string) string { return "canary-" + kind + "-" + rand.Text() }

// guarded is a town with a lookout.
type guarded struct {
	*town

	*lookout
	t *testing.T
}

func newGuarded(t *testing.T) *guarded {
	t.Helper()
	l := &lookout{t: t}
	w := newTown(t, l, func(s sealer) sealer { return watched{s, l} })
	for i, secret := range w.clouds.OwnSecrets() {
		l.add(fmt.Sprint("the deployment's own secret ", i), secret)
	}
	g := &guarded{town: w, lookout: l, t: t}
	for name, c := range map[string]credentials{"the first tenant's": w.acme.credentials, "the second tenant's": w.rival.credentials} {
		l.add(name+" private key", c.privateKey)
	}
	return g
}

// ask sends a request as the owner; but what is named as shown, no answer may hold a secret.
func (g *guarded) ask(method, path, body string, shows bool) map[string]any {
	g.t.Helper()
	answer := g.send(g.acme.credentials, method, fill(path, g.acme.own), "application/vnd.atlas.2025-03-12+json", body)
	if !shows {
		g.search("the answer to "+method+" "+path, answer.Body.Bytes())
		g.search("the headers of the answer to "+method+" "+path, fmt.Appendf(nil, "%v", answer.Header()))
	}
	out := map[string]any{}
	if bytes.HasPrefix(bytes.TrimSpace(answer.Body.Bytes()), []byte("{")) && answer.Code < http.StatusBadRequest {
		g.must(json.Unmarshal(answer.Body.Bytes(), &out))
	}
	out["status"] = answer.Code
	return out
}

// everywhere searches all that there is in the end.
func (g *guarded) everywhere() {
	g.t.Helper()
	var all bytes.Buffer
	for _, item := range g.table.all() {
		record, err := json.Marshal(dynamo.ImageOf(item))
		g.must(err)
		fmt.Fprintf(&all, "%s %s %s\n%s\n", item, item.Index, item.Body, record)
	}
	g.search("the table or its stream", all.Bytes())
	for _, op := range operations(g.t) {
		if op.method == http.MethodGet && !op.public {
			g.ask(op.method, op.path+"?itemsPerPage=500&includeRaw=true", "", false)
		}
	}
	g.search("the log", g.logged.Bytes())
}

func TestCanaries_ofIdentitiesAreShownOnce(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	text := func(v any) string { s, _ := v.(string); return s }
	key := g.ask("POST", inOrg+"/apiKeys", `{"desc":"k","roles":["ORG_OWNER"]}`, true)
	g.add("an API key's private key", text(key["privateKey"]))
	inProject := g.ask("POST", inGroup+"/apiKeys", `{"desc":"k","roles":["GROUP_OWNER"]}`, true)
	g.add("a project key's private key", text(inProject["privateKey"]))
	account := g.ask("POST", inOrg+"/serviceAccounts", `{"name":"ci","description":"d","roles":["ORG_OWNER"],"secretExpiresAfterHours":8}`, true)
	secrets, _ := account["secrets"].([]any)
	first, _ := secrets[0].(map[string]any)
	g.add("a client's secret", text(first["secret"]))
	client := text(account["clientId"])
	second := g.ask("POST", inOrg+"/serviceAccounts/"+client+"/secrets", `{"secretExpiresAfterHours":9}`, true)
	g.add("a client's second secret", text(second["secret"]))

	token := g.oauth("token", client, text(second["secret"]), url.Values{"grant_type": {"client_credentials"}}, true)
	g.add("an access token", text(token["access_token"]))
	by := credentials{bearer: text(token["access_token"])}
	answer := g.send(by, http.MethodGet, "/api/atlas/v2/orgs", "application/vnd.atlas.2023-01-01+json", "")
	g.search("an answer to a service account", answer.Body.Bytes())
	// What is wrong is not repeated either.
	g.oauth("token", client, text(second["secret"])+"x", url.Values{"grant_type": {"client_credentials"}}, false)
	g.oauth("token", client, text(second["secret"]), url.Values{"grant_type": {text(second["secret"])}}, false)
	g.oauth("revoke", client, text(second["secret"]), url.Values{"token": {by.bearer}}, false)
	for _, header := range []string{
		"Bearer " + by.bearer, "Bearer " + by.bearer[:len(by.bearer)-2], "Digest " + text(key["privateKey"]), text(key["privateKey"]),
		"Basic " + base64.StdEncoding.EncodeToString([]byte(client+":"+text(second["secret"]))),
	} {
		answer := g.sendWith(header, http.MethodGet, "/api/atlas/v2/orgs", "application/vnd.atlas.2023-01-01+json", "")
		g.search("the refusal of a credential in the wrong place", append(answer.Body.Bytes(), fmt.Sprint(answer.Header())...))
	}
	g.ask("PATCH", inOrg+"/apiKeys/"+text(key["id"]), `{"desc":"l"}`, false)
	g.ask("DELETE", inOrg+"/serviceAccounts/"+client+"/secrets/"+text(first["id"]), "", false)
	g.everywhere()
}

// oauth asks for a token, or revokes one.
func (g *guarded) oauth(what, client, secret string, form url.Values, shows bool) map[string]any {
	g.t.Helper()
	r := httptest.NewRequestWithContext(g.t.Context(), http.MethodPost, "/api/oauth/"+what, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(client, secret)
	answer := httptest.NewRecorder()
	g.front.ServeHTTP(answer, r)
	if !shows {
		g.search("the answer of "+what, append(answer.Body.Bytes(), fmt.Sprint(answer.Header())...))
	}
	out := map[string]any{}
	if answer.Body.Len() > 0 {
		g.must(json.Unmarshal(answer.Body.Bytes(), &out))
	}
	return out
}

// Credentials at the three clouds are configured, replaced, refused and withdrawn.
func TestCanaries_ofCloudsStaySealed(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	group := g.ask("POST", "/api/atlas/v2/groups", `{"name":"static","orgId":"`+g.acme.id+`"}`, false)
	g.acme.own = map[string]string{"orgId": g.acme.id, "groupId": fmt.Sprint(group["id"])}
	const settings = inGroup + "/encryptionAtRest"
	for _, secret := range []string{canary("aws-secret"), canary("aws-secret") + `"\<>&` + "ä"} {
		g.add("a wrong secret access key", secret)
		body, err := json.Marshal(map[string]any{"awsKms": map[string]any{
			"enabled": true, "accessKeyID": "AKIA0123456789ABCDEF", "secretAccessKey": secret, "customerMasterKeyID": "1234abcd-12ab-34cd-56ef-1234567890ab", "region": "US_EAST_1",
		}})
		g.must(err)
		g.ask("PATCH", settings, string(body), false)
	}
	id, secret, arn := g.awsUser()
	g.add("a secret access key", secret)
	good := `{"awsKms":{"enabled":true,"accessKeyID":"` + id + `","secretAccessKey":"` + secret + `","customerMasterKeyID":"` + arn + `","region":"US_EAST_1"}}`
	if made := g.ask("PATCH", settings, good, false); made["status"] != http.StatusOK {
		t.Fatalf("the settings are refused: %v\n%s", made, g.logged.String())
	}
	for _, kind := range []pocket.FaultKind{pocket.Deny, pocket.Throttle, pocket.ServerError, pocket.Down} {
		g.clouds.Faults.Set(pocket.Fault{Host: "*", Kind: kind})
		g.ask("PATCH", settings, good, false)
		g.ask("POST", "/api/latchkey/v1/groups/{groupId}/encryptionAtRest/validate", "", false)
		g.ask("GET", settings, "", false)
	}
	g.clouds.Faults.Clear()
	azure := canary("azure-client-secret")
	g.add("an Azure client secret", azure)
	g.ask("PATCH", settings, `{"azureKeyVault":{"enabled":true,"azureEnvironment":"AZURE","clientID":"6f1b0000-0000-4000-8000-000000000001","tenantID":"6f1b0000-0000-4000-8000-000000000002",`+
		`"subscriptionID":"6f1b0000-0000-4000-8000-000000000003","resourceGroupName":"rg-kms","keyVaultName":"kv-kms",`+
		`"keyIdentifier":"https://kv-kms.vault.azure.net/keys/atlas/0123456789abcdef0123456789abcdef","secret":"`+azure+`"}}`, false)
	for _, hostile := range []string{
		`{"awsKms":{"secretAccessKey":["` + azure + `"]}}`, `{"azureKeyVault":{"secret":{"x":"` + azure + `"}}}`, `{"googleCloudKms":{"serviceAccountKey":7,"` + azure + `":1}}`,
		`{"awsKms":{"secretAccessKey":"` + azure + `"`, azure, `{"azureKeyVault":{"clientID":"` + azure + `"}}`,
	} {
		answer := g.ask("PATCH", settings, hostile, strings.Contains(hostile, "clientID")) // what is no secret may be repeated
		if answer["status"] == http.StatusOK {
			t.Errorf("%s is accepted", hostile)
		}
	}
	g.google(settings)
	g.ask("PATCH", settings, `{"awsKms":{"enabled":false},"googleCloudKms":{"enabled":false}}`, false)
	g.everywhere()
}

// awsUser makes a user of the tenant's with an access key that may use a new key.
func (g *guarded) awsUser() (id, secret, arn string) {
	g.t.Helper()
	ctx := g.t.Context()
	key, err := g.clouds.KMS("us-east-1").CreateKey(ctx, &awskms.CreateKeyInput{})
	g.must(err)
	_, err = g.clouds.IAM().CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("atlas")})
	g.must(err)
	_, err = g.clouds.IAM().PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: aws.String("atlas"), PolicyName: aws.String("use"), PolicyDocument: aws.String(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["kms:Decrypt","kms:Encrypt","kms:DescribeKey"],"Resource":"*"}]}`)})
	g.must(err)
	made, err := g.clouds.IAM().CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: aws.String("atlas")})
	g.must(err)
	return *made.AccessKey.AccessKeyId, *made.AccessKey.SecretAccessKey, *key.KeyMetadata.Arn
}

// google tries a service account's key file, whole and damaged.
func (g *guarded) google(settings string) {
	g.t.Helper()
	_, file := g.clouds.ServiceAccount("tenant-1", "atlas-cmk")
	var key map[string]any
	g.must(json.Unmarshal([]byte(file), &key))
	private, _ := key["private_key"].(string)
	g.add("a Google key file", file)
	g.add("a Google private key", private)
	for line := range strings.SplitSeq(private, "\n") {
		if !strings.Contains(line, "PRIVATE KEY") {
			g.add("a line of a Google private key", line)
		}
	}
	for _, text := range []string{file, strings.Replace(file, "googleapis.com", "evil.example", 1), strings.Replace(file, "BEGIN", "END", 1), file[:len(file)/2]} {
		body, err := json.Marshal(map[string]any{"googleCloudKms": map[string]any{
			"enabled": true, "serviceAccountKey": text, "keyVersionResourceID": "projects/tenant-1/locations/us-east4/keyRings/kr/cryptoKeys/k/cryptoKeyVersions/1",
		}})
		g.must(err)
		g.ask("PATCH", settings, string(body), false)
	}
}

// notified are the kinds of notifications with all that is secret of them.
func notified() map[alert.Kind]map[string]string {
	return map[alert.Kind]map[string]string{
		alert.Slack:     {"apiToken": canary("slack"), "channelName": "#keys"},
		alert.Webhook:   {"webhookUrl": "https://hooks.example.com/" + canary("webhook-path") + "?token=" + canary("webhook-query"), "webhookSecret": canary("webhook-secret"), "webhookHeadersTemplate": `{"Authorization":"Bearer ` + canary("webhook-header") + `"}`},
		alert.PagerDuty: {"serviceKey": canary("pagerduty")},
		alert.OpsGenie:  {"opsGenieApiKey": canary("opsgenie")},
		alert.Datadog:   {"datadogApiKey": canary("datadog")},
		alert.VictorOps: {"victorOpsApiKey": canary("victorops"), "victorOpsRoutingKey": canary("victorops-routing")},
		alert.Teams:     {"microsoftTeamsWebhookUrl": "https://teams.example.com/webhookb2/" + canary("teams")},
		alert.Email:     {"emailAddress": "somebody@acme.example"},
	}
}

// echo is the web that tenants choose: every receiver refuses, and repeats all that it was told.
type echo struct {
	mu     sync.Mutex
	status int
	told   map[string]string // what the receivers' hosts were told
}

// RoundTrip implements http.RoundTripper.
func (e *echo) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	said := fmt.Sprint(r.URL, " ", r.Header, " ", string(body))
	e.told[r.URL.Host] += said
	if e.status == 0 {
		return nil, fmt.Errorf("could not reach %s", said)
	}
	return &http.Response{
		StatusCode: e.status, Status: said, Body: io.NopCloser(strings.NewReader(said)), Request: r,
		Header: http.Header{"Location": {r.URL.String()}, "Retry-After": {said}, "X-Echo": {said}},
	}, nil
}

// mailbox is where people's messages go.
type mailbox struct {
	mu   sync.Mutex
	told bytes.Buffer
}

// Send implements notification.Channel.
func (m *mailbox) Send(_ context.Context, message notification.Message, to notification.Target) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	fmt.Fprintf(&m.told, "%+v %+v\n", message, to)
	return nil
}

// Secrets of notifications reach the service that they belong to, and nothing else.
func TestCanaries_ofNotificationsReachTheirServicesAlone(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	web, mail := &echo{told: map[string]string{}}, &mailbox{}
	kinds := notified()
	for kind, members := range kinds {
		for name, value := range members {
			if strings.Contains(value, "canary-") {
				g.add(string(kind)+"'s "+name, value)
				for _, word := range strings.FieldsFunc(value, func(r rune) bool { return strings.ContainsRune(`/?="{}: `, r) }) {
					if strings.HasPrefix(word, "canary-") {
						g.add("a part of "+string(kind)+"'s "+name, word)
					}
				}
			}
		}
		made := g.ask("POST", inGroup+"/alertConfigs", configOf(kind, members, nil), false)
		if made["status"] != http.StatusCreated {
			t.Fatalf("%s: %v", kind, made)
		}
		g.acme.own["alertConfigId"] = fmt.Sprint(made["id"])
		g.ask("GET", inGroup+"/alertConfigs/{alertConfigId}", "", false)
		g.ask("PUT", inGroup+"/alertConfigs/{alertConfigId}", configOf(kind, members, nil), false)
		g.ask("PUT", inGroup+"/alertConfigs/{alertConfigId}", configOf(kind, members, map[string]any{"typeName": "NOBODY"}), false)
		g.ask("PUT", inGroup+"/alertConfigs/{alertConfigId}", configOf(kind, members, map[string]any{"intervalMin": "x"}), false)
	}
	alerts := suite.Alerts(suite.AlertDeps{Table: g.table, Journal: g.journal, Sealer: g.sealer, Now: g.now})
	g.must(alerts.Raise(t.Context(), g.acme.own["groupId"], alert.Condition{Type: alert.KeyInvalid(atlas.AWS), Subject: "another"}))
	function := notify.New(notify.Deps{
		Table: g.table, Opener: g.sealer, API: "https://api.example/v", Now: g.now, Jitter: func() float64 { return 0 },
		Log:      slog.New(slog.NewJSONHandler(g.lookout, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Channels: notify.Channels(outbound.New(outbound.Options{Transport: web, Now: g.now}), mail, mail),
	})
	for _, status := range []int{0, 500, 429, 302, 400, 403, 200} {
		web.status = status
		answer, err := function.Invoke(t.Context(), g.notices())
		g.search("the answer of the function", fmt.Appendf(answer, "%v", err))
		g.must(err)
	}
	if len(web.told) < 7 {
		t.Errorf("only %d services were told", len(web.told))
	}
	g.search("a message to people", mail.told.Bytes())
	for host, said := range web.told {
		for kind, members := range kinds {
			if !owns(kind, host) {
				for name, value := range members {
					if strings.Contains(value, "canary-") && strings.Contains(said, value) {
						t.Errorf("%s was told %s's %s", host, kind, name)
					}
				}
			}
		}
	}
	g.everywhere()
}

// configOf is a configuration with one notification.
func configOf(kind alert.Kind, members map[string]string, more map[string]any) string {
	n := map[string]any{"typeName": kind}
	for name, value := range members {
		n[name] = value
	}
	maps.Copy(n, more)
	text, err := json.Marshal(map[string]any{"eventTypeName": "AWS_ENCRYPTION_KEY_INVALID", "enabled": true, "notifications": []any{n}})
	if err != nil {
		panic(err)
	}
	return string(text)
}

// owns reports whether a kind of notification goes to a host.
func owns(kind alert.Kind, host string) bool {
	name := map[alert.Kind]string{
		alert.Slack: "slack", alert.Webhook: "hooks", alert.PagerDuty: "pagerduty", alert.OpsGenie: "opsgenie", alert.Datadog: "datadog",
		alert.VictorOps: "victorops", alert.Teams: "teams",
	}[kind]
	return name != "" && strings.Contains(host, name)
}

// notices are the notifications of a project, as the stream tells of them.
func (g *guarded) notices() []byte {
	g.t.Helper()
	var e events.DynamoDBEvent
	for _, item := range g.table.all() {
		if item.PK != keys.Group(g.acme.own["groupId"]).PK || !strings.HasPrefix(item.SK, keys.AlertNoticePrefix) {
			continue
		}
		image, err := json.Marshal(dynamo.ImageOf(item))
		g.must(err)
		g.search("a record of the stream", image)
		r := events.DynamoDBEventRecord{EventName: "INSERT", EventSource: "aws:dynamodb", Change: events.DynamoDBStreamRecord{SequenceNumber: strconv.Itoa(len(e.Records))}}
		g.must(json.Unmarshal(image, &r.Change.NewImage))
		e.Records = append(e.Records, r)
	}
	payload, err := json.Marshal(e)
	g.must(err)
	return payload
}

// The token with which an agent enrols, the keys that it seals to and the master keys that it makes are
// with whom they belong.
func TestCanaries_ofNodesStayWithThem(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	log := slog.New(slog.NewJSONHandler(g.lookout, &slog.HandlerOptions{Level: slog.LevelDebug}))
	function := operator.New(operator.Deps{Table: g.table, Sealer: g.sealer, Now: g.now})
	out, err := function.Invoke(t.Context(), fmt.Appendf(nil, `{"operation":"issueNodeToken","clusterId":%q,"nodeId":%q}`, g.acme.own["clusterId"], g.acme.own["nodeId"]))
	g.must(err)
	var issued struct{ Token string }
	g.must(json.Unmarshal(out, &issued))
	g.add("an enrolment token", issued.Token)
	ring, err := keyring.New(t.Context(), g.clouds.Identities(g.clouds.Transport()))
	g.must(err)
	api := nodes.New(nodes.Deps{Table: g.table, Sealer: g.sealer, Now: g.now, Log: log, Keys: ring})
	public, private, err := ed25519.GenerateKey(rand.Reader)
	g.must(err)
	g.add("an agent's private key", string(private.Seed()))
	who := protocol.Identity{NodeID: g.acme.own["nodeId"], ClusterID: g.acme.own["clusterId"]}
	bearer, err := protocol.SignToken(private, who, g.now())
	g.must(err)
	g.add("an agent's token", bearer)
	post := func(path, token string, body any, want int) {
		t.Helper()
		text, err := json.Marshal(body)
		g.must(err)
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, bytes.NewReader(text))
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		answer := httptest.NewRecorder()
		api.ServeHTTP(answer, r)
		if answer.Code != want {
			t.Errorf("%s is answered %d %s", path, answer.Code, answer.Body)
		}
		g.search("the answer to "+path, append(answer.Body.Bytes(), fmt.Sprint(answer.Header())...))
	}
	enrol := func(token string, key []byte) map[string]any { return map[string]any{"token": token, "publicKey": key} }
	post(protocol.EnrolPath, "", enrol(issued.Token, public), http.StatusOK)
	post(protocol.EnrolPath, "", enrol(issued.Token, public), http.StatusOK)                             // its answer was lost
	post(protocol.EnrolPath, "", enrol(issued.Token, bytes.Repeat([]byte{1}, 32)), http.StatusForbidden) // somebody else
	post(protocol.EnrolPath, "", enrol(issued.Token+"x", public), http.StatusForbidden)
	post(protocol.EnrolPath, "", map[string]any{"token": []string{issued.Token}}, http.StatusBadRequest)
	post(protocol.HeartbeatPath, bearer, protocol.HeartbeatRequest{Report: protocol.Report{State: protocol.StateStopped}}, http.StatusOK)
	post(protocol.WrapPath, bearer, map[string]any{"keyId": "k1", "sealed": []byte("no sealed key")}, http.StatusConflict)
	post(protocol.ReleasePath, bearer+"x", map[string]any{"keyId": "k1"}, http.StatusUnauthorized)
	post(protocol.HeartbeatPath, issued.Token, map[string]any{}, http.StatusUnauthorized)
	_, err = function.Invoke(t.Context(), []byte(`{"operation":"rotateNodeKeys"}`))
	g.must(err)
	_, err = function.Invoke(t.Context(), []byte(`{"operation":"rotateSigningKeys"}`))
	g.must(err)
	g.everywhere()
}
