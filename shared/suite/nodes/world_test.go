package nodes_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"latchkey/local/pocket/pockettest"
	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/cluster"
	domain "latchkey/shared/encryption"
	"latchkey/shared/httpapi"
	"latchkey/shared/httpapi/functionurl"
	"latchkey/shared/identity"
	"latchkey/shared/identity/directory"
	"latchkey/shared/kms/keyring"
	"latchkey/shared/ledger"
	"latchkey/shared/node/protocol"
	"latchkey/shared/project"
	"latchkey/shared/seal"
	"latchkey/shared/seal/fileseal"
	"latchkey/shared/store"
	"latchkey/shared/store/bolt"
	"latchkey/shared/store/keys"
	common "latchkey/shared/suite"
	"latchkey/shared/suite/encryption"
	"latchkey/shared/suite/nodes"
	"latchkey/shared/suite/operator"
)

const (
	host   = "abc.lambda-url.us-east-1.on.aws"
	origin = "https://" + host
	kmsAPI = "kms.us-east-1.amazonaws.com"
)

// place is a node and where it belongs.
type place struct{ org, group, cluster, node string }

// Two nodes of one cluster, and one of another organisation's.
var (
	nodeA   = place{"650000000000000000000009", "650000000000000000000001", "650000000000000000000002", "65000000000000000000000a"}
	nodeB   = place{nodeA.org, nodeA.group, nodeA.cluster, "65000000000000000000000b"}
	foreign = place{"650000000000000000000019", "650000000000000000000011", "650000000000000000000012", "65000000000000000000001a"}
)

// world is the function behind its URL, over a real table, a real seal and a pocket cloud. It lives
// in a bubble of testing/synctest, where time costs nothing.
type world struct {
	*pockettest.Clouds

	t        *testing.T
	table    store.Table
	deps     nodes.Deps
	routes   []httpapi.Route
	url      http.Handler
	settings http.Handler
	operator *operator.Function
	clusters *cluster.Service
	log      *safeBuffer
	user     *iam.CreateAccessKeyOutput
	from     string // the address that requests come from
	hostile  bool   // what is sent need not be as it is described
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
func (s *safeBuffer) String() string { s.mu.Lock(); defer s.mu.Unlock(); return s.b.String() }

// inWorld runs a test in a new world.
func inWorld(t *testing.T, fn func(w *world)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		fn(w)
		time.Sleep(time.Minute) // SDKs finish what nobody waits for any more
	})
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, log: &safeBuffer{}, from: "192.0.2.7", Clouds: pockettest.New(t, pockettest.Options{Now: time.Now})}
	table, err := bolt.Open(filepath.Join(t.TempDir(), "table.db"))
	w.must(err)
	t.Cleanup(func() { table.Close() }) //nolint:errcheck // the folder goes away
	wrapper, err := fileseal.Open(filepath.Join(t.TempDir(), "keys", "seal"))
	w.must(err)
	ring, err := keyring.New(t.Context(), w.Identities(w.Transport()))
	w.must(err)
	sealer, log := seal.New(wrapper, time.Now), slog.New(slog.NewJSONHandler(w.log, nil))
	w.table, w.clusters = table, &cluster.Service{Table: table, Now: time.Now}
	w.operator = operator.New(operator.Deps{Table: table, Sealer: sealer, Now: time.Now})
	w.settings = encryption.New(encryption.Deps{Table: table, Sealer: sealer, Now: time.Now, Log: log, Keys: ring, AllowAWSUserKeys: true})
	w.deps = nodes.Deps{Table: table, Sealer: sealer, Now: time.Now, Log: log, Keys: ring}
	w.restart()
	w.signUp()
	for _, p := range []place{nodeA, foreign} {
		w.found(p)
		w.put(keys.Cluster(p.cluster), cluster.Cluster{ID: p.cluster, GroupID: p.group, Name: "c1"})
		w.configure(p, w.newCMK())
	}
	for _, p := range []place{nodeA, nodeB, foreign} {
		put, err := cluster.Node{ID: p.node, ClusterID: p.cluster, GroupID: p.group}.Told(cluster.Order{
			Command: cluster.StartCommand, State: cluster.Run, Provider: atlas.AWS,
		}).Put()
		w.must(err)
		w.must(table.Write(t.Context(), put))
	}
	return w
}

// restart is a new instance of the function, with nothing in its memory.
func (w *world) restart() {
	api := nodes.New(w.deps)
	w.routes, w.url = api.Routes(), gateway{w, functionurl.New(api)}
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("%v\n%s", err, w.log)
	}
}

// found makes an organisation with its group.
func (w *world) found(p place) {
	w.t.Helper()
	journal := audit.Journal{Table: w.table, Now: time.Now}
	people := &directory.Directory{Table: w.table, Journal: journal, Now: time.Now}
	_, err := common.Projects(w.table, journal, people, time.Now).Found(w.t.Context(), project.Founding{
		Name: "org of " + p.group, OwnerEmail: "owner@acme.example", OrgID: p.org, GroupID: p.group,
	})
	w.must(err)
}

// signUp makes the user with whose keys Latchkey reaches the tenants' KMS.
func (w *world) signUp() {
	w.t.Helper()
	const name, use = "atlas", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:*","Resource":"*"}]}`
	ctx, client := w.t.Context(), w.IAM()
	_, err := client.CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String(name)})
	w.must(err)
	_, err = client.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: aws.String(name), PolicyName: aws.String("use"), PolicyDocument: aws.String(use)})
	w.must(err)
	w.user, err = client.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: aws.String(name)})
	w.must(err)
}

func (w *world) newCMK() string {
	w.t.Helper()
	out, err := w.KMS("us-east-1").CreateKey(w.t.Context(), &kms.CreateKeyInput{})
	w.must(err)
	return *out.KeyMetadata.Arn
}

// ask sends a request to the Administration API.
func (w *world) ask(caller identity.Caller, method, path string, body []byte) *httptest.ResponseRecorder {
	w.t.Helper()
	r := httptest.NewRequestWithContext(httpapi.WithCaller(w.t.Context(), caller), method, path, bytes.NewReader(body))
	r.Header.Set("Accept", "application/vnd.atlas.2023-01-01+json")
	rec := httptest.NewRecorder()
	w.settings.ServeHTTP(rec, r)
	return rec
}

// owner is a Project Owner.
func owner(p place) identity.Caller {
	return identity.Caller{
		Kind: identity.KindAPIKey, ID: "650000000000000000000060", OrgID: p.org, GroupRoles: map[string][]identity.Role{p.group: {identity.GroupOwner}},
	}
}

// configure makes a group use a key.
func (w *world) configure(p place, cmk string) {
	w.t.Helper()
	body, err := json.Marshal(map[string]any{"awsKms": map[string]any{
		"enabled": true, "accessKeyID": w.user.AccessKey.AccessKeyId, "secretAccessKey": w.user.AccessKey.SecretAccessKey,
		"customerMasterKeyID": cmk, "region": "US_EAST_1",
	}})
	w.must(err)
	if rec := w.ask(owner(p), http.MethodPatch, "/api/atlas/v2/groups/"+p.group+"/encryptionAtRest", body); rec.Code != http.StatusOK {
		w.t.Fatalf("%d %s", rec.Code, rec.Body)
	}
}

// cmk is the key that a group uses.
func (w *world) cmk(p place) string {
	w.t.Helper()
	s, _, err := store.Load[domain.Settings](w.t.Context(), w.table, keys.Encryption(p.group))
	w.must(err)
	return s.AWS.KeyID
}

func (w *world) enableCMK(p place, enabled bool) {
	w.t.Helper()
	id, ctx := aws.String(w.cmk(p)), w.t.Context()
	if enabled {
		_, err := w.KMS("us-east-1").EnableKey(ctx, &kms.EnableKeyInput{KeyId: id})
		w.must(err)
		return
	}
	_, err := w.KMS("us-east-1").DisableKey(ctx, &kms.DisableKeyInput{KeyId: id})
	w.must(err)
}

// put stores a record, whatever is there.
func (w *world) put(key store.Key, value any) {
	w.t.Helper()
	version := int64(0)
	if item, err := w.table.Get(w.t.Context(), key); err == nil {
		version = item.Version
	}
	item, err := store.Encode(key, version, value)
	w.must(err)
	w.must(w.table.Write(w.t.Context(), store.Put(item)))
}

// disable disables a cluster, or enables it where there is no reason to.
func (w *world) disable(p place, reason string) {
	w.t.Helper()
	c := cluster.Cluster{ID: p.cluster, GroupID: p.group, Name: "c1"}
	if reason != "" {
		c.Disabled = &cluster.Disabled{Provider: atlas.AWS, Reason: reason, Since: time.Now()}
	}
	w.put(keys.Cluster(p.cluster), c)
}

func (w *world) node(p place) cluster.Node {
	w.t.Helper()
	n, err := w.clusters.Node(w.t.Context(), p.cluster, p.node)
	w.must(err)
	return n
}

// tell gives a node an order.
func (w *world) tell(p place, c cluster.Command) {
	w.t.Helper()
	for {
		state, n := cluster.Run, w.node(p)
		if c == cluster.StopCommand || c == cluster.DeleteCommand {
			state = cluster.Stop
		}
		put, err := n.Told(cluster.Order{Command: c, State: state, Provider: atlas.AWS}).Put()
		w.must(err)
		if w.table.Write(w.t.Context(), put) == nil { // the agent may be reporting
			return
		}
	}
}

func (w *world) copies(p place) []ledger.Entry {
	w.t.Helper()
	entries, err := ledger.OfNode(w.t.Context(), w.table, p.cluster, p.node)
	w.must(err)
	return entries
}

func (w *world) token(p place) string {
	w.t.Helper()
	result, err := w.operator.Do(w.t.Context(), operator.Request{Operation: operator.IssueNodeToken, ClusterID: p.cluster, NodeID: p.node})
	w.must(err)
	return result.Token
}

// gateway is what a function URL does.
type gateway struct {
	w    *world
	next lambda.Handler
}

func (g gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	e := events.LambdaFunctionURLRequest{
		Version: "2.0", RawPath: r.URL.EscapedPath(), RawQueryString: r.URL.RawQuery, Headers: map[string]string{}, Body: string(body),
		RequestContext: events.LambdaFunctionURLRequestContext{
			RequestID: strconv.FormatInt(time.Now().UnixNano(), 10), DomainName: host,
			HTTP: events.LambdaFunctionURLRequestContextHTTPDescription{Method: r.Method, Path: r.URL.Path, SourceIP: g.w.from},
		},
	}
	for name, values := range r.Header {
		e.Headers[strings.ToLower(name)] = strings.Join(values, ",")
	}
	if !utf8.Valid(body) {
		w.WriteHeader(http.StatusNotImplemented) // nothing here is binary
		return
	}
	payload, err := json.Marshal(e)
	g.w.must(err)
	out, err := g.next.Invoke(r.Context(), payload)
	g.w.must(err)
	var answer events.LambdaFunctionURLResponse
	g.w.must(json.Unmarshal(out, &answer))
	for name, value := range answer.Headers {
		w.Header().Set(name, value)
	}
	w.WriteHeader(answer.StatusCode)
	io.WriteString(w, answer.Body) //nolint:errcheck // to memory
	g.w.conforms(r, body, answer.StatusCode, w.Header(), answer.Body)
}

// answer is what the function answered.
type answer struct {
	status  int
	header  http.Header
	body    []byte
	refusal atlas.ErrorBody
}

// post sends a request as whoever the token says.
func (w *world) post(path, token string, body any) answer {
	w.t.Helper()
	content, err := json.Marshal(body)
	w.must(err)
	r := httptest.NewRequestWithContext(w.t.Context(), http.MethodPost, origin+path, bytes.NewReader(content))
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	rec := httptest.NewRecorder()
	w.url.ServeHTTP(rec, r)
	a := answer{status: rec.Code, header: rec.Header(), body: rec.Body.Bytes()}
	if rec.Code >= http.StatusBadRequest {
		w.must(json.Unmarshal(a.body, &a.refusal))
	}
	return a
}

// member is an agent that is driven by hand.
type member struct {
	place

	w      *world
	key    ed25519.PrivateKey
	sealTo []byte
	secret map[string][]byte // its master keys by id
}

func (w *world) enrol(p place) *member {
	w.t.Helper()
	public, key, err := ed25519.GenerateKey(rand.Reader)
	w.must(err)
	m := &member{place: p, w: w, key: key, secret: map[string][]byte{}}
	var enrolled protocol.EnrolResponse
	a := w.post(protocol.EnrolPath, "", protocol.EnrolRequest{Token: w.token(p), PublicKey: public})
	if w.must(json.Unmarshal(a.body, &enrolled)); a.status != http.StatusOK || enrolled.NodeID != p.node {
		w.t.Fatalf("%d %s", a.status, a.body)
	}
	m.sealTo = enrolled.ControlPlaneKey
	return m
}

// bearer is a token that the member signs, which speaks for whoever.
func (m *member) bearer(p place) string {
	m.w.t.Helper()
	token, err := protocol.SignToken(m.key, protocol.Identity{NodeID: p.node, ClusterID: p.cluster}, time.Now())
	m.w.must(err)
	return token
}

// post sends a request as the member itself.
func (m *member) post(path string, body any) answer {
	m.w.t.Helper()
	return m.w.post(path, m.bearer(m.place), body)
}

// newKey makes a master key and seals it to the control plane.
func (m *member) newKey(keyID string) protocol.WrapRequest {
	m.w.t.Helper()
	secret := make([]byte, protocol.MasterKeySize)
	rand.Read(secret) // never fails
	m.secret[keyID] = secret
	sealed, err := protocol.SealKey(m.sealTo, protocol.ToControlPlane, m.node, keyID, secret)
	m.w.must(err)
	return protocol.WrapRequest{KeyID: keyID, SealedKey: sealed}
}

// wrap makes a master key and has it wrapped.
func (m *member) wrap(keyID string) protocol.WrappedKey {
	m.w.t.Helper()
	var wrapped protocol.WrapResponse
	a := m.post(protocol.WrapPath, m.newKey(keyID))
	if m.w.must(json.Unmarshal(a.body, &wrapped)); a.status != http.StatusOK {
		m.w.t.Fatalf("%d %s", a.status, a.body)
	}
	return wrapped.Wrapped
}

// release asks with a token for a key; secret is nil if that is refused.
func (w *world) release(token string, of place, keyID string, wrapped protocol.WrappedKey) (a answer, secret []byte) {
	w.t.Helper()
	recipient, err := protocol.NewRecipient()
	w.must(err)
	a = w.post(protocol.ReleasePath, token, protocol.ReleaseRequest{KeyID: keyID, Wrapped: wrapped, Recipient: recipient.Public()})
	if a.status != http.StatusOK {
		return a, nil
	}
	var released protocol.ReleaseResponse
	w.must(json.Unmarshal(a.body, &released))
	if secret, err = recipient.Open(protocol.ToNode, of.node, keyID, released.Sealed); err != nil {
		return a, nil
	}
	return a, secret
}

// ledgerIsTrue demands that every copy in the ledger opens, now, with the keys that it names.
func (w *world) ledgerIsTrue(places ...place) {
	w.t.Helper()
	settings := &domain.Service{Table: w.table, Sealer: w.deps.Sealer, Keys: w.deps.Keys, Now: time.Now, Log: w.deps.Log}
	for _, p := range places {
		for _, e := range w.copies(p) {
			if err := opens(w.t.Context(), settings, e); err != nil {
				w.t.Errorf("the ledger's copy of %s's key %s does not open: %v", p.node, e.KeyID, err)
			}
		}
	}
}

func opens(ctx context.Context, settings *domain.Service, e ledger.Entry) error {
	key, err := settings.KeyOf(ctx, e.GroupID, e.CMK, false)
	if err != nil {
		return err
	}
	_, err = key.Decrypt(ctx, sealedOf(e), bindingOf(e))
	return err
}
