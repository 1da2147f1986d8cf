package changeover_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"latchkey/local/pocket/pockettest"
	"latchkey/local/states/engine"
	"latchkey/local/states/journal"
	"latchkey/local/states/statestest"
	"latchkey/shared/access"
	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/changeover"
	"latchkey/shared/cluster"
	"latchkey/shared/encryption"
	"latchkey/shared/endpoint"
	"latchkey/shared/identity"
	"latchkey/shared/kms/keyring"
	"latchkey/shared/ledger"
	"latchkey/shared/node"
	"latchkey/shared/node/protocol"
	"latchkey/shared/seal"
	"latchkey/shared/seal/fileseal"
	"latchkey/shared/store"
	"latchkey/shared/store/bolt"
	"latchkey/shared/store/keys"
	"latchkey/shared/store/storetest"
	"latchkey/shared/suite"
	"latchkey/shared/suite/fleettasks"
	"latchkey/shared/suite/keytasks"
	"latchkey/shared/validity/sweep"
	"latchkey/shared/workflow"
)

const (
	orgID   = "650000000000000000000002"
	groupID = "650000000000000000000001"
	roleID  = "650000000000000000000020"

	iamRole    = "latchkey"
	roleARN    = "arn:aws:iam::" + pockettest.TenantAccount + ":role/" + iamRole
	externalID = "6f1b0000-0000-4000-8000-0000000000ee"
	useKeys    = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:*","Resource":"*"}]}`
	kmsEast    = "kms.us-east-1.amazonaws.com"
)

var owner = identity.Caller{Kind: identity.KindAPIKey, ID: "650000000000000000000060", Name: "abcdefgh", OrgID: orgID}

// world is a group with three clusters of three nodes in a bubble of testing/synctest: the API's use
// case and the functions of the workflows over a real table, a real seal and pocket clouds, the
// machines' files in an engine behind the official client, and nodes that hold wrapped keys.
type world struct {
	*pockettest.Clouds
	*statestest.Workflows

	t       *testing.T
	db      store.Table
	table   *storetest.Faulty // the functions'
	api     *encryption.Service
	nodes   *node.Service
	fleet   lambda.Handler
	fleetOf []*member
	at      atlas.Provider // whose key is changed, and wraps for nodes
	tenants map[atlas.Provider]*tenant
	user    *iam.CreateAccessKeyOutput
	sealer  encryption.Sealer
	log     *safeLog
}

// safeLog keeps what is logged.
type safeLog struct {
	mu sync.Mutex
	b  strings.Builder
}

func (s *safeLog) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeLog) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func inWorld(t *testing.T, fn func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		db, err := bolt.Open(filepath.Join(t.TempDir(), "table.db"))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close() //nolint:errcheck // the folder goes away
		w := &world{
			t: t, Clouds: pockettest.New(t, pockettest.Options{Now: time.Now}), db: db, table: &storetest.Faulty{Table: db}, log: &safeLog{},
			at: atlas.AWS, tenants: map[atlas.Provider]*tenant{},
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		w.assemble()
		ended := make(chan error, 1)
		go func() { ended <- w.Engine.Run(ctx) }()
		fn(w)
		time.Sleep(time.Minute) // SDKs finish what nobody waits for any more
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if secret := aws.ToString(w.user.AccessKey.SecretAccessKey); strings.Contains(w.log.String(), secret) {
			t.Error("a secret is in the log")
		}
		for _, tenant := range w.tenants {
			if strings.Contains(w.log.String(), tenant.secret) {
				t.Error("a secret is in the log")
			}
		}
	})
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("%v\n%s", err, w.log)
	}
}

func (w *world) assemble() {
	w.t.Helper()
	log := slog.New(slog.NewJSONHandler(w.log, nil))
	wrapper, err := fileseal.Open(filepath.Join(w.t.TempDir(), "keys", "seal"))
	w.must(err)
	w.sealer = seal.New(wrapper, time.Now)
	ring, err := keyring.New(w.t.Context(), w.Identities(w.Transport()))
	w.must(err)
	w.fleet = fleettasks.New(fleettasks.Deps{Table: w.table, Now: time.Now, Log: log, Start: w, Domain: "example.net"})
	w.boot(journal.Memory(), ring)
	w.api = suite.Encryption(suite.EncryptionDeps{
		Table: w.db, Journal: audit.Journal{Table: w.db, Now: time.Now}, Sealer: w.sealer, Keys: ring,
		Policy: encryption.Policy{AllowAWSUserKeys: true}, Now: time.Now, Log: log,
	})
	w.api.Start = w
	w.nodes = &node.Service{
		Table: w.db, Now: time.Now, Log: log, Nodes: &cluster.Service{Table: w.db, Now: time.Now}, Keys: w.api,
		Recipients: &node.Recipients{Table: w.db, Sealer: w.sealer, Now: time.Now},
	}
	op, err := encryption.Create(groupID, orgID)
	w.must(err)
	w.must(w.db.Write(w.t.Context(), op))
	w.signUp()
	w.api.Clusters = unused{}
}

// boot has the machines' files in an engine that keeps its executions in a journal.
func (w *world) boot(kept journal.Journal, ring *keyring.Keyring) *engine.Engine {
	w.t.Helper()
	log := slog.New(slog.NewJSONHandler(w.log, nil))
	w.Workflows = statestest.Deployed(w.t, "../../statemachines", kept, map[string]statestest.Function{
		"FleetTasksFunctionArn": statestest.Handler(w.fleet),
		"KeyTasksFunctionArn": statestest.Handler(keytasks.New(keytasks.Deps{
			Table: w.table, Sealer: w.sealer, Now: time.Now, Log: log, Keys: ring,
		})),
	}, workflow.SwitchRole, workflow.RotateKey, workflow.ReconfigureRegion)
	return w.Engine
}

// unused lets a provider be disabled.
type unused struct{}

func (unused) UsedBy(context.Context, string, atlas.Provider) ([]string, store.Op, error) {
	return nil, store.Check(keys.Encryption("none"), 0), nil
}

// signUp makes a user and a role in the tenant's account, either of which may use its keys.
func (w *world) signUp() {
	w.t.Helper()
	ctx, client := w.t.Context(), w.IAM()
	_, err := client.CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("atlas")})
	w.must(err)
	_, err = client.PutUserPolicy(ctx, &iam.PutUserPolicyInput{
		UserName: aws.String("atlas"), PolicyName: aws.String("use"), PolicyDocument: aws.String(useKeys),
	})
	w.must(err)
	w.user, err = client.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: aws.String("atlas")})
	w.must(err)
	_, err = client.CreateRole(ctx, &iam.CreateRoleInput{
		RoleName: aws.String(iamRole), AssumeRolePolicyDocument: aws.String(
			`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + pockettest.PrincipalARN + `"},` +
				`"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"` + externalID + `"}}}]}`),
	})
	w.must(err)
	w.allowRole(useKeys)
	w.put(keys.Role(groupID, roleID), access.Role{
		ID: roleID, GroupID: groupID, Provider: atlas.AWS,
		AWS: &access.AWSRole{ExternalID: externalID, ARN: roleARN, AuthorizedAt: time.Now()},
	})
}

func (w *world) allowRole(policy string) {
	w.t.Helper()
	_, err := w.IAM().PutRolePolicy(w.t.Context(), &iam.PutRolePolicyInput{
		RoleName: aws.String(iamRole), PolicyName: aws.String("use"), PolicyDocument: &policy,
	})
	w.must(err)
}

func (w *world) put(key store.Key, value any) {
	w.t.Helper()
	item, err := store.Encode(key, 0, value)
	w.must(err)
	w.must(w.db.Write(w.t.Context(), store.Put(item)))
}

func (w *world) newKey(multiRegion bool) string {
	w.t.Helper()
	out, err := w.KMS("us-east-1").CreateKey(w.t.Context(), &kms.CreateKeyInput{MultiRegion: &multiRegion})
	w.must(err)
	return *out.KeyMetadata.Arn
}

func (w *world) patch(body string, values ...any) (encryption.Settings, error) {
	w.t.Helper()
	var u atlas.EncryptionAtRestUpdate
	w.must(json.Unmarshal(fmt.Appendf(nil, body, values...), &u))
	return w.api.Update(w.t.Context(), owner, groupID, u)
}

func (w *world) mustPatch(body string, values ...any) encryption.Settings {
	w.t.Helper()
	s, err := w.patch(body, values...)
	w.must(err)
	return s
}

// byUser enables a key with the user's keys, byRole with the role.
func (w *world) byUser(key string) {
	w.t.Helper()
	w.mustPatch(`{"awsKms":{"enabled":true,"accessKeyID":%q,"secretAccessKey":%q,"customerMasterKeyID":%q,"region":"US_EAST_1"}}`,
		*w.user.AccessKey.AccessKeyId, *w.user.AccessKey.SecretAccessKey, key)
}

func (w *world) byRole(key string) {
	w.t.Helper()
	w.mustPatch(`{"awsKms":{"enabled":true,"roleId":%q,"customerMasterKeyID":%q,"region":"US_EAST_1"}}`, roleID, key)
}

// settings are what is stored, and text is how it looks.
func (w *world) settings() (s encryption.Settings, text string) {
	w.t.Helper()
	item, err := w.db.Get(w.t.Context(), keys.Encryption(groupID))
	w.must(err)
	s, err = encryption.Stored(item)
	w.must(err)
	return s, string(item.Body)
}

func (w *world) change() encryption.Changeover {
	w.t.Helper()
	c, err := w.api.Changeover(w.t.Context(), groupID, w.at)
	w.must(err)
	return c
}

// events are the types of the group's events, newest first.
func (w *world) events() []string {
	w.t.Helper()
	events, _, err := w.api.Journal.List(w.t.Context(), keys.GroupScope(groupID), audit.Filter{}, 0, 500)
	w.must(err)
	var types []string
	for _, e := range events {
		types = append(types, string(e.Type))
	}
	return types
}

// until lets time go by until something is so: nodes call, and what has ended too early is resumed.
func (w *world) until(most time.Duration, is func() bool) {
	w.t.Helper()
	step := max(5*time.Second, most/500)
	for end := time.Now().Add(most); !is(); {
		if time.Now().After(end) {
			w.t.Fatalf("not in %s: %+v\n%s", most, w.change(), w.log)
		}
		before := time.Now()
		time.Sleep(step)
		for _, m := range w.fleetOf {
			m.call()
		}
		if !before.Truncate(5 * time.Minute).Equal(time.Now().Truncate(5 * time.Minute)) {
			_, _ = w.fleet.Invoke(w.t.Context(), []byte(`{"task":"resumeChanges"}`)) // what fails now is done in five minutes
		}
	}
}

// pass lets time go by.
func (w *world) pass(d time.Duration) {
	w.t.Helper()
	end := time.Now().Add(d)
	w.until(d+time.Hour, func() bool { return !time.Now().Before(end) })
}

// report is what the tenant is told.
func (w *world) report() changeover.Report {
	w.t.Helper()
	all, err := (&changeover.Reporter{
		Table: w.db, Settings: w.api, Nodes: &cluster.Service{Table: w.db}, Networks: endpoint.Network{Table: w.db},
		Checks: sweep.Turns{Table: w.db, Now: time.Now}, Now: time.Now,
	}).Report(w.t.Context(), groupID)
	w.must(err)
	i := slices.IndexFunc(all, func(r changeover.Report) bool { return r.Provider == w.at })
	if i < 0 {
		w.t.Fatalf("the reports are %+v", all)
	}
	return all[i]
}

// over waits until the change in progress has ended.
func (w *world) over(most time.Duration) encryption.Changeover {
	w.t.Helper()
	w.until(most, func() bool { return w.change().State != encryption.UnderWay })
	return w.change()
}

// member is a node: what its agent has on its disk.
type member struct {
	w         *world
	clusterID string
	id        string
	wrapped   protocol.WrappedKey
	secret    []byte
	acked     int64
	isDown    bool
	rewraps   int
}

const keyID = "mk-1"

// populate makes clusters of three nodes, which run. It is called once for each provider.
func (w *world) populate(clusters int) {
	w.t.Helper()
	use := map[string]string{}
	first := len(w.fleetOf) / 3
	for c := first; c < first+clusters; c++ {
		id := fmt.Sprintf("65000000000000000000010%x", c)
		use[id] = fmt.Sprintf("c%d", c)
		w.put(keys.Cluster(id), cluster.Cluster{ID: id, GroupID: groupID, Name: use[id]})
		w.put(keys.ClusterName(groupID, use[id]), map[string]string{"clusterId": id})
		for n := range 3 {
			m := &member{w: w, clusterID: id, id: fmt.Sprintf("6500000000000000000a0%x0%x0", c, n)}
			record := cluster.Node{ID: m.id, ClusterID: id, GroupID: groupID, PublicKey: []byte("key")}
			op, err := record.Told(cluster.Order{Command: cluster.StartCommand, State: cluster.Run, Provider: w.at}).Put()
			w.must(err)
			w.must(w.db.Write(w.t.Context(), op))
			w.fleetOf = append(w.fleetOf, m)
			m.first()
		}
	}
	w.put(keys.EncryptionUse(groupID, string(w.at)), map[string]any{"clusters": use})
}

func (m *member) record() cluster.Node {
	m.w.t.Helper()
	n, err := (&cluster.Service{Table: m.w.db, Now: time.Now}).Node(m.w.t.Context(), m.clusterID, m.id)
	m.w.must(err)
	return n
}

// first makes the node's master key and starts it.
func (m *member) first() {
	w := m.w
	w.t.Helper()
	ctx := w.t.Context()
	m.secret = slices.Repeat([]byte{byte(len(w.fleetOf))}, protocol.MasterKeySize)
	public, err := w.nodes.Recipients.Public(ctx)
	w.must(err)
	sealed, err := protocol.SealKey(public, protocol.ToControlPlane, m.id, keyID, m.secret)
	w.must(err)
	answer, err := w.nodes.Wrap(ctx, m.record(), protocol.WrapRequest{KeyID: keyID, SealedKey: sealed})
	w.must(err)
	m.wrapped = answer.Wrapped
	m.call()
	m.call()
}

// again makes another master key, which the node does not use yet.
func (m *member) again() {
	w := m.w
	w.t.Helper()
	public, err := w.nodes.Recipients.Public(w.t.Context())
	w.must(err)
	sealed, err := protocol.SealKey(public, protocol.ToControlPlane, m.id, "mk-2", m.secret)
	w.must(err)
	_, err = w.nodes.Wrap(w.t.Context(), m.record(), protocol.WrapRequest{KeyID: "mk-2", SealedKey: sealed})
	w.must(err)
}

// starts reports whether the node gets the very key that it made, as it needs to start.
func (m *member) starts() bool {
	m.w.t.Helper()
	recipient, err := protocol.NewRecipient()
	m.w.must(err)
	answer, err := m.w.nodes.Release(m.w.t.Context(), m.record(), protocol.ReleaseRequest{
		KeyID: keyID, Wrapped: m.wrapped, Recipient: recipient.Public(),
	})
	if err != nil {
		return false
	}
	opened, err := recipient.Open(protocol.ToNode, m.id, keyID, answer.Sealed)
	m.w.must(err)
	return slices.Equal(opened, m.secret)
}

// call is what the agent does at a heartbeat: it says how it is, hears what to do, and does it.
func (m *member) call() {
	w := m.w
	w.t.Helper()
	if m.isDown {
		return
	}
	ctx := w.t.Context()
	n := m.record()
	heard, err := w.nodes.Heartbeat(ctx, n, protocol.Report{State: protocol.StateRunning, KeyID: keyID, CommandAcked: m.acked})
	w.must(err)
	if heard.Command.Number <= m.acked {
		return
	}
	if heard.Command.Kind == protocol.KindRewrap {
		answer, err := w.nodes.Rewrap(ctx, n, protocol.RewrapRequest{KeyID: keyID, Wrapped: m.wrapped})
		if err != nil {
			return // tries again
		}
		m.wrapped = answer.Wrapped
		m.rewraps++
		if !m.starts() {
			w.t.Errorf("the new copy of node %s does not open", m.id)
		}
	}
	err = w.nodes.Ack(ctx, m.record(), protocol.AckRequest{
		Command: heard.Command.Number, Outcome: protocol.Done, KeyID: keyID,
		Wrapped: protocol.WrappedKey{Provider: m.wrapped.Provider, CMK: m.wrapped.CMK, Version: m.wrapped.Version},
	})
	w.must(err)
	m.acked = heard.Command.Number
}

// allStart demands that every node gets its key.
func (w *world) allStart() {
	w.t.Helper()
	for _, m := range w.fleetOf {
		if !m.starts() {
			w.t.Errorf("node %s does not get its key", m.id)
		}
	}
}

// snapshot has a snapshot keep a node's key until a time.
func (w *world) snapshot(m *member, id string, until time.Time) {
	w.t.Helper()
	entries, err := ledger.OfNode(w.t.Context(), w.db, m.clusterID, m.id)
	w.must(err)
	op, err := entries[0].Kept(id, until).Put()
	w.must(err)
	w.must(w.db.Write(w.t.Context(), op))
}
