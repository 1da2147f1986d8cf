package latchkey_test

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"

	"latchkey"
	"latchkey/console"
	"latchkey/local/gateway"
	"latchkey/local/lambdasvc"
	"latchkey/local/pocket/pockettest"
	"latchkey/local/template"
	"latchkey/shared/alert"
	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/cluster"
	"latchkey/shared/endpoint"
	"latchkey/shared/httpapi/apigw"
	"latchkey/shared/identity"
	"latchkey/shared/identity/authn"
	"latchkey/shared/identity/digest"
	"latchkey/shared/identity/directory"
	signing "latchkey/shared/identity/keyring"
	"latchkey/shared/identity/token"
	kmsring "latchkey/shared/kms/keyring"
	"latchkey/shared/project"
	"latchkey/shared/seal"
	"latchkey/shared/seal/fileseal"
	"latchkey/shared/snapshot"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
	"latchkey/shared/suite"
	"latchkey/shared/suite/adminapi"
	"latchkey/shared/suite/authorizer"
	"latchkey/shared/suite/encryption"
	"latchkey/shared/workflow"
)

// town is a deployment with two tenants, who own one of everything: the real functions behind the real
// gateway and authorizer, over a table that can go back to what it was. Only the workflows stand still.
type town struct {
	tb     testing.TB
	table  *ramTable
	base   *ramTable // what the table held when everything was there
	sealer sealer
	clouds *pockettest.Clouds
	log    io.Writer
	now    func() time.Time
	front  http.Handler

	people        *directory.Directory
	journal       audit.Journal
	acme, rival   organization
	signing       signing.Ring
	nobodysObject map[string]string // ids that nobody has, by the names of parameters
}

// sealer is the deployment's, or one that looks on.
type sealer interface {
	Seal(ctx context.Context, plaintext []byte, c seal.Context) (seal.Sealed, error)
	Open(ctx context.Context, s seal.Sealed, c seal.Context) ([]byte, error)
}

// organization is a tenant: its open groups and one that is closed.
type organization struct {
	id          string
	owner       project.Person
	own, other  map[string]string // what is in a group, by the names of paths' parameters
	closed      map[string]string
	credentials credentials // of its most powerful caller
}

// credentials are a way to be let in: an API key by HTTP Digest or a service account by a token.
type credentials struct {
	publicKey, privateKey string
	bearer                string
}

// idle starts no workflow.
type idle struct{}

// Start implements suite.Starter.
func (idle) Start(context.Context, workflow.Execution) error { return nil }

// newTown founds two tenants. It takes a second, so tests fork it.
func newTown(tb testing.TB, log io.Writer, look ...func(sealer) sealer) *town {
	tb.Helper()
	w := &town{tb: tb, table: newRAMTable(), clouds: pockettest.New(tb, pockettest.Options{Now: time.Now}), now: time.Now, log: log}
	wrapper, err := fileseal.Open(filepath.Join(tb.TempDir(), "seal.key"))
	w.must(err)
	w.sealer = seal.New(wrapper, time.Now)
	for _, on := range look {
		w.sealer = on(w.sealer)
	}
	w.open()
	w.signing, err = (&signing.Keyring{Table: w.table, Sealer: w.sealer, Now: w.now}).Ring(tb.Context())
	w.must(err)
	w.acme, w.rival = w.settle("Acme"), w.settle("Rival")
	w.nobodysObject = map[string]string{}
	for name := range w.acme.own {
		w.nobodysObject[name] = "650000000000000000000099"
	}
	w.nobodysObject["clientId"] = "mdb_sa_id_650000000000000000000099"
	w.nobodysObject["clusterName"], w.nobodysObject["name"], w.nobodysObject["groupName"] = "nobodys", "nobodys", "nobodys"
	w.nobodysObject["processId"] = "nobodys.example.net:27017"
	w.base = w.table.fork()
	return w
}

var (
	founded   sync.Mutex
	firstTown *town
)

// inTown is the town as it was founded, with a table and functions of the test's own.
func inTown(t *testing.T) *town {
	t.Helper()
	founded.Lock()
	if firstTown == nil {
		firstTown = newTown(lasting{t}, io.Discard)
	}
	w := *firstTown
	founded.Unlock()
	w.tb, w.table = t, w.base.fork()
	w.open()
	return &w
}

// lasting is a test whose context and folders outlive it. What is shared is founded in it.
type lasting struct{ *testing.T }

// Context implements testing.TB.
func (lasting) Context() context.Context { return context.Background() }

func (w *town) must(err error) {
	w.tb.Helper()
	if err != nil {
		w.tb.Fatal(err)
	}
}

var readTemplate = sync.OnceValues(func() (*template.Template, error) {
	return template.Parse(latchkey.Template(), template.Options{})
})

// open starts the functions anew, as after a deployment: with nothing in their memory.
func (w *town) open() {
	w.tb.Helper()
	tmpl, err := readTemplate()
	w.must(err)
	specs, err := tmpl.Functions()
	w.must(err)
	log := slog.New(slog.NewJSONHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.journal = audit.Journal{Table: w.table, Now: w.now}
	w.people = &directory.Directory{Table: w.table, Sealer: w.sealer, Journal: w.journal, Now: w.now}
	keyring, err := kmsring.New(w.tb.Context(), w.clouds.Identities(w.clouds.Transport()))
	w.must(err)
	handlers := map[string]lambdasvc.Invoker{
		"authorizer": authorizer.New(authorizer.Config{
			Authenticator: &authn.Authenticator{
				Directory: w.people, Keyring: &signing.Keyring{Table: w.table, Sealer: w.sealer, Now: w.now}, Now: w.now,
			},
			Log: log, Refused: func(context.Context, authn.Reason) {},
		}),
		"adminapi": apigw.New(adminapi.New(adminapi.Deps{
			Table: w.table, Sealer: w.sealer, Now: w.now, Log: log, Start: idle{}, Domain: "example.net",
		})),
		"console": apigw.New(console.New(console.Deps{Sealer: w.sealer, Now: w.now, Log: log})),
		"encryption": apigw.New(encryption.New(encryption.Deps{
			Table: w.table, Sealer: w.sealer, Now: w.now, Log: log, Keys: keyring, Start: idle{}, AllowAWSUserKeys: true,
			AWSPrincipalARN: pockettest.PrincipalARN, AzureAppID: pockettest.AppID, Google: w.clouds.Accounts(w.clouds.Transport()),
			PrivateEndpointRegions: map[atlas.Provider][]string{atlas.AWS: {"US_EAST_1", "US_EAST_2"}},
		})),
	}
	functions := map[string]lambdasvc.Invoker{}
	for _, f := range specs {
		functions[f.ID] = handlers[f.Name]
	}
	w.front, err = gateway.New(gateway.Config{Template: tmpl, Functions: functions, Now: w.now, Log: slog.New(slog.DiscardHandler)})
	w.must(err)
}

// settle founds a tenant with two open groups, in which it owns one of everything, and a closed one.
func (w *town) settle(name string) organization {
	w.tb.Helper()
	projects := suite.Projects(w.table, w.journal, w.people, w.now)
	made, err := projects.Found(w.tb.Context(), project.Founding{Name: name, GroupName: name + "-project", OwnerEmail: "owner@" + strings.ToLower(name) + ".example"})
	w.must(err)
	o := organization{id: made.Org.ID, owner: made.Owner}
	system := identity.Caller{Kind: identity.KindSystem, ID: "founder", OrgID: o.id}
	groups := []string{made.GroupID}
	for _, n := range []string{"other", "closed"} {
		g, err := projects.Create(w.tb.Context(), system, project.Draft{OrgID: o.id, Name: name + "-project-" + n})
		w.must(err)
		groups = append(groups, g.ID)
	}
	everything := directory.Grants{OrgRoles: []identity.Role{identity.OrgOwner}, GroupRoles: map[string][]identity.Role{}}
	for _, id := range groups {
		everything.GroupRoles[id] = []identity.Role{identity.GroupOwner}
	}
	o.credentials = w.key(o.id, everything)
	o.own, o.other = w.furnish(o, groups[0], name+"-own"), w.furnish(o, groups[1], name+"-other")
	o.closed = w.has(o, groups[2], name+"-closed")
	w.bringRole(o, o.closed)
	w.watch(o, o.closed)
	w.invite(o, o.closed)
	for name, value := range o.own { // what it never had has the ids of others
		if o.closed[name] == "" {
			o.closed[name] = value
		}
	}
	// The machine dies right after, so what belonged to the group is still there.
	dying := suite.Projects(&lastWrite{ramTable: w.table}, w.journal, w.people, w.now)
	w.must(dying.Close(w.tb.Context(), system, groups[2]))
	return o
}

// lastWrite is a table that is lost after one more write.
type lastWrite struct {
	*ramTable
	writes int
}

// Write implements store.Table.
func (t *lastWrite) Write(ctx context.Context, ops ...store.Op) error {
	if t.writes++; t.writes > 1 {
		return errors.New("the machine is gone")
	}
	return t.ramTable.Write(ctx, ops...)
}

// edit changes members of a record behind everybody's back.
func (w *town) edit(key store.Key, change func(map[string]any)) {
	w.tb.Helper()
	item, err := w.table.Get(w.tb.Context(), key)
	w.must(err)
	record := map[string]any{}
	w.must(json.Unmarshal(item.Body, &record))
	change(record)
	item.Body, err = json.Marshal(record)
	w.must(err)
	w.must(w.table.Write(w.tb.Context(), store.Put(item)))
}

// put stores a new record behind everybody's back.
func (w *town) put(key store.Key, record any) {
	w.tb.Helper()
	item, err := store.Encode(key, 0, record)
	w.must(err)
	w.must(w.table.Write(w.tb.Context(), store.Put(item)))
}

// key makes an API key.
func (w *town) key(orgID string, g directory.Grants) credentials {
	w.tb.Helper()
	k, private, err := w.people.CreateAPIKey(w.tb.Context(), audit.System(), directory.NewAPIKey{OrgID: orgID, Desc: "k", Grants: g})
	w.must(err)
	return credentials{publicKey: k.PublicKey, privateKey: private}
}

// account makes a service account with a token.
func (w *town) account(orgID string, g directory.Grants) credentials {
	w.tb.Helper()
	a, _, err := w.people.CreateServiceAccount(w.tb.Context(), audit.System(), directory.NewServiceAccount{
		OrgID: orgID, Name: "a", Description: "d", Grants: g, SecretLife: 24 * time.Hour,
	})
	w.must(err)
	return credentials{bearer: w.token(a)}
}

func (w *town) token(a directory.ServiceAccount) string {
	w.tb.Helper()
	signed, err := token.Issue(w.signing.Current(w.now()), a.ClientID, a.Secrets[0].ID, w.now())
	w.must(err)
	return signed
}

// has is what a group has that nobody makes.
func (w *town) has(o organization, groupID, name string) map[string]string {
	w.tb.Helper()
	g, err := (&project.Service{Table: w.table}).Find(w.tb.Context(), groupID)
	w.must(err)
	return map[string]string{
		"orgId": o.id, "groupId": groupID, "groupName": g.Name, "clusterName": name, "name": name, "cloudProvider": "AWS",
		"limitName": "dataFederation.bytesProcessed.query", "endpointSetId": "clusters",
	}
}

// furnish puts one of everything into a group, as its owner would.
func (w *town) furnish(o organization, groupID, name string) map[string]string {
	w.tb.Helper()
	has := w.has(o, groupID, name)
	w.bringRole(o, has)
	w.bringKey(o, has)
	w.buildCluster(o, has)
	w.watch(o, has)
	w.invite(o, has)
	w.succeed(o, has, "PATCH", inGroup+"/maintenanceWindow", `{"dayOfWeek":1,"hourOfDay":4}`)
	w.succeed(o, has, "PATCH", inGroup+"/limits/{limitName}", `{"value":5}`)
	return has
}

// succeed sends what must succeed as the owner, and returns the answer.
func (w *town) succeed(o organization, has map[string]string, method, path, body string) map[string]any {
	w.tb.Helper()
	answer := w.send(o.credentials, method, fill(path, has), "application/vnd.atlas.2025-03-12+json", fill(body, has))
	if answer.Code >= http.StatusMultipleChoices {
		w.tb.Fatalf("%s %s: %d %s", method, path, answer.Code, answer.Body)
	}
	out := map[string]any{}
	if answer.Body.Len() > 0 {
		w.must(json.Unmarshal(answer.Body.Bytes(), &out))
	}
	return out
}

// watch has an alert raised, and remembers an event of the group's and one of the organisation's.
func (w *town) watch(o organization, has map[string]string) {
	w.tb.Helper()
	ctx, groupID := w.tb.Context(), has["groupId"]
	has["alertConfigId"] = fmt.Sprint(w.succeed(o, has, "POST", inGroup+"/alertConfigs", webhookAlarm)["id"])
	alerts := suite.Alerts(suite.AlertDeps{Table: w.table, Journal: w.journal, Sealer: w.sealer, Now: w.now})
	w.must(alerts.Raise(ctx, groupID, alert.Condition{Type: alert.KeyInvalid(atlas.AWS), Subject: "AWS"}))
	raised, err := alerts.AlertsOf(ctx, groupID, has["alertConfigId"])
	w.must(err)
	has["alertId"] = raised[0].ID
	for place, scope := range map[string]string{"eventId": keys.GroupScope(groupID), "orgEventId": keys.OrgScope(o.id)} {
		page, err := w.table.Query(ctx, store.Query{PK: keys.EventPartition(scope), Limit: 1})
		w.must(err)
		event, err := store.Decode[audit.Event](page.Items[0])
		w.must(err)
		has[place] = event.ID
	}
}

// invite lets an API key and a service account into a group.
func (w *town) invite(o organization, has map[string]string) {
	w.tb.Helper()
	has["apiUserId"] = fmt.Sprint(w.succeed(o, has, "POST", inGroup+"/apiKeys", `{"desc":"{name}","roles":["GROUP_READ_ONLY"]}`)["id"])
	account := w.succeed(o, has, "POST", inGroup+"/serviceAccounts",
		`{"name":"{name}","description":"d","roles":["GROUP_READ_ONLY"],"secretExpiresAfterHours":8}`)
	has["clientId"] = fmt.Sprint(account["clientId"])
	secrets, _ := account["secrets"].([]any)
	secret, _ := secrets[0].(map[string]any)
	has["secretId"] = fmt.Sprint(secret["id"])
}

// bringRole lets the deployment into the tenant's account by a role, and makes a key there.
func (w *town) bringRole(o organization, has map[string]string) {
	w.tb.Helper()
	ctx, name := w.tb.Context(), has["name"]
	role := w.succeed(o, has, "POST", inGroup+"/cloudProviderAccess", `{"providerName":"AWS"}`)
	has["roleId"], has["externalId"] = fmt.Sprint(role["roleId"]), fmt.Sprint(role["atlasAssumedRoleExternalId"])
	has["roleArn"] = "arn:aws:iam::" + pockettest.TenantAccount + ":role/" + name
	trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + pockettest.PrincipalARN + `"},` +
		`"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"` + has["externalId"] + `"}}}]}`
	_, err := w.clouds.IAM().CreateRole(ctx, &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: &trust})
	w.must(err)
	key, err := w.clouds.KMS("us-east-1").CreateKey(ctx, &awskms.CreateKeyInput{})
	w.must(err)
	has["keyArn"] = *key.KeyMetadata.Arn
	_, err = w.clouds.IAM().PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: &name, PolicyName: aws.String("use"), PolicyDocument: aws.String(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["kms:Decrypt","kms:Encrypt","kms:DescribeKey"],"Resource":"` + has["keyArn"] + `"}]}`)})
	w.must(err)
	w.succeed(o, has, "PATCH", inGroup+"/cloudProviderAccess/{roleId}", `{"providerName":"AWS","iamAssumedRoleArn":"{roleArn}"}`)
}

// bringKey configures encryption at rest with the key, reached by a private endpoint.
func (w *town) bringKey(o organization, has map[string]string) {
	w.tb.Helper()
	w.succeed(o, has, "PATCH", inGroup+"/encryptionAtRest",
		`{"awsKms":{"enabled":true,"roleId":"{roleId}","customerMasterKeyID":"{keyArn}","region":"US_EAST_1","requirePrivateNetworking":true}}`)
	made := w.succeed(o, has, "POST", inGroup+"/encryptionAtRest/AWS/privateEndpoints", `{"regionName":"US_EAST_1"}`)
	has["endpointId"] = fmt.Sprint(made["id"])
	w.edit(keys.PrivateEndpoints(has["groupId"], "AWS"), func(record map[string]any) {
		record["endpoints"].([]any)[0].(map[string]any)["status"] = endpoint.Active
	})
}

// buildCluster makes a cluster whose nodes run, with a snapshot and a restore of it.
func (w *town) buildCluster(o organization, has map[string]string) {
	w.tb.Helper()
	ctx := w.tb.Context()
	w.succeed(o, has, "POST", inGroup+"/clusters", `{"name":"{clusterName}","clusterType":"REPLICASET","backupEnabled":true,`+oneReplica+`}`)
	clusters := suite.Clusters(suite.ClusterDeps{
		Table: w.table, Journal: w.journal, Projects: &project.Service{Table: w.table}, Start: idle{}, Now: w.now, Log: slog.New(slog.DiscardHandler),
	})
	d, err := clusters.Get(ctx, has["groupId"], has["clusterName"])
	w.must(err)
	for _, n := range d.Nodes {
		_, err := clusters.ReportNode(ctx, d.ID, n.ID, cluster.Reported{State: cluster.Run, Provider: n.Desired.Provider, Acked: n.Desired.Number})
		w.must(err)
	}
	if done, err := clusters.MarkReady(ctx, d.ID, d.Plan.Spec.Revision); err != nil || !done {
		w.tb.Fatalf("the cluster is not ready: %v", err)
	}
	now := w.now().UTC()
	has["clusterId"], has["nodeId"], has["processId"] = d.ID, d.Nodes[0].ID, fmt.Sprint(d.Nodes[0].Alias, ":", d.Nodes[0].Port)
	containers := w.succeed(o, has, "GET", inGroup+"/containers/all", "")["results"].([]any)
	has["containerId"] = fmt.Sprint(containers[0].(map[string]any)["id"])
	has["snapshotId"], has["restoreJobId"] = atlas.NewID(now), atlas.NewID(now)
	w.put(keys.Snapshot(d.ID, has["snapshotId"]), snapshot.Snapshot{
		ID: has["snapshotId"], ClusterID: d.ID, ClusterName: d.Name, GroupID: d.GroupID, OrgID: o.id, Status: snapshot.Completed, Frequency: snapshot.OnDemand,
		Version: "8.0.4", Provider: cluster.None, Requested: now, Created: now, Finished: now, Expires: now.Add(96 * time.Hour),
		Retention: snapshot.Retention{Unit: snapshot.Days, Value: 4},
		Parts: []snapshot.Part{{
			ID: atlas.NewID(now), ShardID: d.Spec.Shards[0].ID, NodeID: d.Nodes[0].ID, CloudProvider: atlas.AWS, Announced: true, Done: true, Bytes: 7,
		}},
	})
	w.put(keys.RestoreJob(d.ID, has["restoreJobId"]), snapshot.Job{
		ID: has["restoreJobId"], ClusterID: d.ID, ClusterName: d.Name, GroupID: d.GroupID, OrgID: o.id, SnapshotID: has["snapshotId"], TakenAt: now,
		Target: snapshot.Target{ClusterID: d.ID, ClusterName: d.Name, GroupID: d.GroupID}, State: snapshot.JobFinished, Created: now, Finished: now,
	})
}

// send sends a request through the gateway.
func (w *town) send(by credentials, method, path, accept, body string) *httptest.ResponseRecorder {
	w.tb.Helper()
	return w.sendWith(w.authorization(by, method, path), method, path, accept, body)
}

func (w *town) sendWith(authorization, method, path, accept, body string) *httptest.ResponseRecorder {
	w.tb.Helper()
	r := httptest.NewRequestWithContext(w.tb.Context(), method, "http://api.example.com"+path, strings.NewReader(body))
	r.RequestURI = path
	r.Header.Set("Accept", accept)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	answer := httptest.NewRecorder()
	w.front.ServeHTTP(answer, r)
	return answer
}

// authorization is the header of a request by somebody, who has just been challenged.
func (w *town) authorization(by credentials, method, path string) string {
	switch {
	case by.bearer != "":
		return "Bearer " + by.bearer
	case by.publicKey != "":
		now := w.now()
		return signDigest(by, method, path, digest.NewNonce(w.signing.Current(now).Nonce, now))
	}
	return ""
}

// signDigest is what a client answers to a challenge.
func signDigest(by credentials, method, uri, nonce string) string {
	hash := func(parts ...string) string {
		sum := md5.Sum([]byte(strings.Join(parts, ":")))
		return hex.EncodeToString(sum[:])
	}
	const nc, cnonce = "00000001", "0123456789abcdef"
	response := hash(hash(by.publicKey, digest.Realm, by.privateKey), nonce, nc, cnonce, "auth", hash(method, uri))
	return fmt.Sprintf(`Digest username="%s", realm="%s", nonce="%s", uri="%s", response="%s", algorithm="MD5", qop=auth, nc=%s, cnonce="%s"`,
		by.publicKey, digest.Realm, nonce, uri, response, nc, cnonce)
}

// errorCode is the code of an answer, "" of one that is no error.
func errorCode(answer *httptest.ResponseRecorder) string {
	var body struct{ ErrorCode string }
	if json.Unmarshal(answer.Body.Bytes(), &body) != nil {
		return ""
	}
	return body.ErrorCode
}

// identifiers are the texts by which a tenant would be recognized in an answer.
func (o organization) identifiers() []string {
	known := []string{o.id, o.owner.Username}
	for _, has := range []map[string]string{o.own, o.other, o.closed} {
		for parameter, value := range has {
			if parameter != "cloudProvider" && parameter != "limitName" && parameter != "endpointSetId" && !slices.Contains(known, value) {
				known = append(known, value)
			}
		}
	}
	return known
}
