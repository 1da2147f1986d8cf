package validate_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"latchkey/local/pocket/pockettest"
	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/encryption"
	"latchkey/shared/httpapi"
	"latchkey/shared/identity"
	"latchkey/shared/identity/directory"
	"latchkey/shared/kms/keyring"
	"latchkey/shared/project"
	"latchkey/shared/seal"
	"latchkey/shared/seal/fileseal"
	"latchkey/shared/store"
	"latchkey/shared/store/bolt"
	"latchkey/shared/store/keys"
	"latchkey/shared/suite"
	"latchkey/shared/suite/adminapi"
	encryptionsuite "latchkey/shared/suite/encryption"
	"latchkey/shared/suite/validate"
	"latchkey/shared/validity/sweep"
	"latchkey/shared/workflow"
)

// world is the functions that know of keys, over one table and the pocket clouds, in a bubble of
// testing/synctest.
type world struct {
	*pockettest.Clouds
	t       *testing.T
	table   *countingTable
	wire    *wire
	log     *safeBuffer
	started *starter

	validate   *validate.Function
	encryption http.Handler
	admin      http.Handler
	settings   *encryption.Service // reads
	tenants    []*tenant
}

// tenant is a group with a key at AWS that it reaches through a role.
type tenant struct{ org, group, key, region string }

// inWorld runs a test in a world of n tenants, each an organisation of its own.
func inWorld(t *testing.T, n int, fn func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, log: &safeBuffer{}, started: &starter{}, Clouds: pockettest.New(t, pockettest.Options{Now: time.Now})}
		w.wire = &wire{base: w.Transport(), calls: map[string]int{}}
		table, err := bolt.Open(filepath.Join(t.TempDir(), "table.db"))
		w.must(err)
		defer table.Close() //nolint:errcheck // the folder goes away
		w.table = &countingTable{Table: table}
		w.restart()
		for i := range n {
			org, group := w.found(i)
			w.add(org, group, "us-east-1")
		}
		time.Sleep(time.Hour)
		w.run()
		w.forget()
		fn(w)
		time.Sleep(time.Minute) // SDKs finish what nobody waits for any more
	})
}

// restart starts the functions anew, with nothing in their memory.
func (w *world) restart() {
	w.t.Helper()
	wrapper, err := fileseal.Open(filepath.Join(w.t.TempDir(), "keys", "seal"))
	w.must(err)
	sealer := seal.New(wrapper, time.Now)
	log := slog.New(slog.NewJSONHandler(w.log, nil))
	w.validate = validate.New(validate.Deps{Table: w.table, Sealer: sealer, Now: time.Now, Log: log, Keys: w.ring(), Start: w.started})
	w.encryption = encryptionsuite.New(encryptionsuite.Deps{
		Table: w.table, Sealer: sealer, Now: time.Now, Log: log, Keys: w.ring(), AWSPrincipalARN: pockettest.PrincipalARN, Start: w.started,
	})
	w.admin = adminapi.New(adminapi.Deps{Table: w.table, Sealer: sealer, Now: time.Now, Log: log, Start: w.started, Domain: "example.net"})
	w.settings = &encryption.Service{Table: w.table}
}

func (w *world) ring() *keyring.Keyring {
	w.t.Helper()
	ring, err := keyring.New(w.t.Context(), w.Identities(w.wire))
	w.must(err)
	return ring
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) projects() *project.Service {
	journal := audit.Journal{Table: w.table.Table, Now: time.Now}
	people := &directory.Directory{Table: w.table.Table, Journal: journal, Now: time.Now}
	return suite.Projects(w.table.Table, journal, people, time.Now)
}

// found makes the n-th organisation and its first group.
func (w *world) found(n int) (org, group string) {
	w.t.Helper()
	org, group = fmt.Sprintf("66%022x", n), fmt.Sprintf("65%022x", n)
	_, err := w.projects().Found(w.t.Context(), project.Founding{
		Name: fmt.Sprintf("Acme %d", n), OwnerEmail: "owner@acme.example", OrgID: org, GroupID: group,
	})
	w.must(err)
	return org, group
}

// more makes one more group of an organisation.
func (w *world) more(org, name string) (group string) {
	w.t.Helper()
	g, err := w.projects().Create(w.t.Context(), identity.Caller{Kind: identity.KindSystem, ID: "x", OrgID: org}, project.Draft{OrgID: org, Name: name})
	w.must(err)
	return g.ID
}

// add gives a group a key, which it configures through the API.
func (w *world) add(org, group, region string) *tenant {
	w.t.Helper()
	made, err := w.KMS(region).CreateKey(w.t.Context(), &kms.CreateKeyInput{})
	w.must(err)
	tn := &tenant{org: org, group: group, key: *made.KeyMetadata.Arn, region: region}
	role := w.call(tn, http.MethodPost, "/cloudProviderAccess", `{"providerName":"AWS"}`)
	id, externalID := role["roleId"].(string), role["atlasAssumedRoleExternalId"].(string)
	w.makeIAMRole("role-"+group, externalID)
	arn := "arn:aws:iam::" + pockettest.TenantAccount + ":role/role-" + group
	w.call(tn, http.MethodPatch, "/cloudProviderAccess/"+id, `{"providerName":"AWS","iamAssumedRoleArn":"`+arn+`"}`)
	w.call(tn, http.MethodPatch, "/encryptionAtRest", `{"awsKms":{"enabled":true,"roleId":"`+id+`","customerMasterKeyID":"`+tn.key+
		`","region":"`+strings.ToUpper(strings.ReplaceAll(region, "-", "_"))+`"}}`)
	w.tenants = append(w.tenants, tn)
	return tn
}

func (w *world) makeIAMRole(name, externalID string) {
	w.t.Helper()
	trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + pockettest.PrincipalARN + `"},` +
		`"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"` + externalID + `"}}}]}`
	const use = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["kms:Decrypt","kms:Encrypt","kms:DescribeKey"],"Resource":"*"}]}`
	_, err := w.IAM().CreateRole(w.t.Context(), &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: &trust})
	w.must(err)
	_, err = w.IAM().PutRolePolicy(w.t.Context(), &iam.PutRolePolicyInput{RoleName: &name, PolicyName: aws.String("use"), PolicyDocument: aws.String(use)})
	w.must(err)
}

// call is a request of the owner of a tenant's group, which must succeed.
func (w *world) call(tn *tenant, method, path, body string) map[string]any {
	w.t.Helper()
	handler, base := w.encryption, "/api/atlas/v2/groups/"
	if strings.HasPrefix(path, "/clusters") {
		handler = w.admin
	}
	if strings.HasSuffix(path, "/validate") {
		base = "/api/latchkey/v1/groups/"
	}
	r := httptest.NewRequestWithContext(w.t.Context(), method, base+tn.group+path, strings.NewReader(body))
	r.Header.Set("Accept", "application/vnd.atlas.2024-11-13+json")
	owner := identity.Caller{
		Kind: identity.KindAPIKey, ID: "650000000000000000000060", Name: "abcdefgh", OrgID: tn.org,
		GroupRoles: map[string][]identity.Role{tn.group: {identity.GroupOwner}},
	}
	rec := httptest.NewRecorder()
	handler.ServeHTTP(rec, r.WithContext(httpapi.WithCaller(r.Context(), owner)))
	answer := map[string]any{}
	if rec.Body.Len() > 0 {
		w.must(json.Unmarshal(rec.Body.Bytes(), &answer))
	}
	if rec.Code >= http.StatusMultipleChoices {
		w.t.Fatalf("%s %s answers %d %s\n%s", method, path, rec.Code, rec.Body, w.log.String())
	}
	return answer
}

// run invokes the function as the schedule does.
func (w *world) run() sweep.Result { w.t.Helper(); return w.invoke(w.t.Context(), `{}`) }

func (w *world) invoke(ctx context.Context, payload string) sweep.Result {
	w.t.Helper()
	out, err := w.validate.Invoke(ctx, []byte(payload))
	w.must(err)
	var r sweep.Result
	w.must(json.Unmarshal(out, &r))
	return r
}

// minutes runs the schedule for n minutes.
func (w *world) minutes(n int) {
	w.t.Helper()
	for range n {
		time.Sleep(time.Until(time.Now().Truncate(time.Minute).Add(time.Minute)))
		w.run()
	}
}

func (w *world) enable(tn *tenant, enabled bool) {
	w.t.Helper()
	var err error
	if enabled {
		_, err = w.KMS(tn.region).EnableKey(w.t.Context(), &kms.EnableKeyInput{KeyId: &tn.key})
	} else {
		_, err = w.KMS(tn.region).DisableKey(w.t.Context(), &kms.DisableKeyInput{KeyId: &tn.key})
	}
	w.must(err)
}

func (w *world) state(tn *tenant) *encryption.KeyState {
	w.t.Helper()
	settings, err := w.settings.Load(w.t.Context(), tn.group)
	w.must(err)
	return settings.Key(atlas.AWS)
}

// encrypt makes a cluster that the tenant's key encrypts.
func (w *world) encrypt(tn *tenant) {
	w.t.Helper()
	w.call(tn, http.MethodPost, "/clusters", `{"name":"c1","clusterType":"REPLICASET","encryptionAtRestProvider":"AWS","replicationSpecs":[{"regionConfigs":`+
		`[{"providerName":"AWS","regionName":"US_EAST_1","priority":7,"electableSpecs":{"instanceSize":"M10","nodeCount":3}}]}]}`)
	w.started.took()
}

func (w *world) forget() {
	w.table.took()
	w.wire.took()
	w.started.took()
	w.log.reset()
}

// starter remembers the kinds of the workflows that it was to start.
type starter struct {
	mu    sync.Mutex
	kinds []workflow.Kind
}

func (s *starter) Start(_ context.Context, x workflow.Execution) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kinds = append(s.kinds, x.Kind)
	return nil
}

func (s *starter) took() []workflow.Kind {
	s.mu.Lock()
	defer s.mu.Unlock()
	kinds := s.kinds
	s.kinds = nil
	return kinds
}

// countingTable counts what is asked of the table. The record of the schedule's progress counts
// for itself.
type countingTable struct {
	store.Table
	mu sync.Mutex
	calls
}

type calls struct{ Gets, Queries, Writes, Progress int }

func (c *countingTable) count(fn func(*calls)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fn(&c.calls)
}

func (c *countingTable) Get(ctx context.Context, key store.Key) (store.Item, error) {
	c.count(func(n *calls) { n.Gets++ })
	return c.Table.Get(ctx, key)
}

func (c *countingTable) Query(ctx context.Context, q store.Query) (store.Page, error) {
	c.count(func(n *calls) { n.Queries++ })
	return c.Table.Query(ctx, q)
}

func (c *countingTable) Write(ctx context.Context, ops ...store.Op) error {
	c.count(func(n *calls) {
		if ops[0].Item.Key == keys.SweepProgress() {
			n.Progress++
		} else {
			n.Writes++
		}
	})
	return c.Table.Write(ctx, ops...)
}

func (c *countingTable) took() calls {
	c.mu.Lock()
	defer c.mu.Unlock()
	taken := c.calls
	c.calls = calls{}
	return taken
}

// wire is the functions' way to the clouds. It counts calls by operation, and can fail or meddle.
type wire struct {
	base http.RoundTripper

	mu    sync.Mutex
	calls map[string]int
	// before is asked ahead of each call to KMS, and may fail it; after comes with its answer.
	before func(operation string, r *http.Request) error
	after  func(operation string)
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	if !strings.HasPrefix(r.URL.Host, "kms.") {
		w.note(strings.SplitN(r.URL.Host, ".", 2)[0])
		return w.base.RoundTrip(r)
	}
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	w.note(operation)
	w.mu.Lock()
	before, after := w.before, w.after
	w.mu.Unlock()
	if before != nil {
		if err := before(operation, r); err != nil {
			return nil, err
		}
	}
	resp, err := w.base.RoundTrip(r)
	if after != nil {
		after(operation)
	}
	return resp, err
}

func (w *wire) note(operation string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls[operation]++
}

func (w *wire) meddle(before func(string, *http.Request) error, after func(string)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.before, w.after = before, after
}

func (w *wire) took() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	taken := w.calls
	w.calls = map[string]int{}
	return taken
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func (s *safeBuffer) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.b.Reset()
}
