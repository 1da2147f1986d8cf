package gcpkms_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/local/pocket"
	"latchkey/local/pocket/googlecloud"
	"latchkey/shared/access/googleaccount"
	"latchkey/shared/atlas"
	"latchkey/shared/kms"
	"latchkey/shared/kms/gcpkms"
	"latchkey/shared/verdict"
)

const (
	adminToken = "administrator"
	tenant     = "tenant-1"
	operator   = "p-0123456789abcdefghijklmn"
	kmsHost    = "cloudkms.googleapis.com"
	ring       = "projects/" + tenant + "/locations/us-east4/keyRings/kr"
	keyName    = ring + "/cryptoKeys/atlas"
	versionOne = keyName + "/cryptoKeyVersions/1"
	kmsURL     = "https://" + kmsHost + "/v1/"
	iamURL     = "https://iam.googleapis.com/v1/"

	user   = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
	viewer = "roles/cloudkms.viewer"
)

var use = kms.Binding{GroupID: "650000000000000000000001", Use: "test"}

// pool hands out a few RSA keys in turn, since making one takes a tenth of a second.
var pool = sync.OnceValue(func() []*rsa.PrivateKey {
	keys := make([]*rsa.PrivateKey, 4)
	for i := range keys {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		keys[i] = k
	}
	return keys
})

// world is a cloud in which a tenant has a key ring with two keys and a service account, and
// the operator has an identity of its own and a service account for the tenant's group. Both
// accounts may use and read the keys.
type world struct {
	faults    *pocket.Faults
	transport http.RoundTripper
	offset    atomic.Int64 // how far the clock is ahead
	hurried   atomic.Bool  // a service that hangs is given up at once
	requests  atomic.Int64

	account, accountKey string // the tenant's e-mail and key file
	ours                string // our account for the group
	ownAccount, ownKey  string // our own identity
}

// RoundTrip counts requests and can give up at once, as a transport with a time-out would.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	w.requests.Add(1)
	if w.hurried.Load() {
		return nil, timeout{}
	}
	return w.transport.RoundTrip(r)
}

type timeout struct{}

func (timeout) Error() string   { return "timeout awaiting response headers" }
func (timeout) Timeout() bool   { return true }
func (timeout) Temporary() bool { return true }

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{faults: &pocket.Faults{}}
	next := 0
	cloud := googlecloud.New(googlecloud.Config{
		State: pocket.Memory(), Now: w.now, AdminToken: adminToken,
		GenerateKey: func(int) (*rsa.PrivateKey, error) {
			next++
			return pool()[next%len(pool())], nil
		},
	})
	w.transport = pocket.Transport(pocket.New(w.faults, func(*http.Request) string { return "" }, cloud))
	w.admin(t, "POST", kmsURL+"projects/"+tenant+"/locations/us-east4/keyRings?keyRingId=kr", "")
	for _, id := range []string{"atlas", "other"} {
		w.admin(t, "POST", kmsURL+ring+"/cryptoKeys?cryptoKeyId="+id, `{"purpose":"ENCRYPT_DECRYPT"}`)
	}
	w.account, w.accountKey = w.newAccount(t, tenant, "cmk-user")
	w.ownAccount, w.ownKey = w.newAccount(t, operator, "latchkey")
	w.grantOperator(t)
	accounts, err := googleaccount.NewAccounts(w.own(t), operator, w)
	if err != nil {
		t.Fatal(err)
	}
	w.ours = accounts.NewEmail()
	if err := accounts.Create(t.Context(), w.ours); err != nil {
		t.Fatal(err)
	}
	w.grant(t, user, viewer)
	return w
}

func (w *world) now() time.Time { return time.Now().Add(time.Duration(w.offset.Load())) }

// admin performs a request as the cloud's administrator.
func (w *world) admin(t testing.TB, method, address, body string) map[string]any {
	t.Helper()
	return w.control(t, method, address, body, "")
}

func (w *world) control(t testing.TB, method, address, body, control string) map[string]any {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+adminToken)
	if control != "" {
		r.Header.Set(googlecloud.ControlHeader, control)
	}
	resp, err := w.transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %d %s %v", method, address, resp.StatusCode, answer, err)
	}
	out := map[string]any{}
	if err := json.Unmarshal(answer, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// newAccount makes a service account and a key for it.
func (w *world) newAccount(t testing.TB, project, id string) (email, key string) {
	t.Helper()
	w.admin(t, "POST", iamURL+"projects/"+project+"/serviceAccounts", `{"accountId":"`+id+`"}`)
	email = id + "@" + project + ".iam.gserviceaccount.com"
	return email, w.newKey(t, project, email)
}

func (w *world) newKey(t testing.TB, project, email string) string {
	t.Helper()
	made := w.admin(t, "POST", iamURL+"projects/"+project+"/serviceAccounts/"+email+"/keys", "")
	file, err := base64.StdEncoding.DecodeString(fmt.Sprint(made["privateKeyData"]))
	if err != nil {
		t.Fatal(err)
	}
	return string(file)
}

// grantOperator lets our own identity make accounts and act as them.
func (w *world) grantOperator(t testing.TB, but ...string) {
	t.Helper()
	all := []string{"roles/iam.serviceAccountAdmin", "roles/iam.serviceAccountTokenCreator"}
	if but != nil {
		all = but
	}
	w.setPolicy(t, "https://cloudresourcemanager.googleapis.com/v1/projects/"+operator, []string{w.ownAccount}, all...)
}

// grant gives both accounts exactly these roles on the key ring.
func (w *world) grant(t testing.TB, roles ...string) {
	t.Helper()
	w.setPolicy(t, kmsURL+ring, []string{w.account, w.ours}, roles...)
}

func (w *world) setPolicy(t testing.TB, resource string, emails []string, roles ...string) {
	t.Helper()
	members := `"serviceAccount:` + strings.Join(emails, `","serviceAccount:`) + `"`
	var bindings []string
	for _, r := range roles {
		bindings = append(bindings, `{"role":"`+r+`","members":[`+members+`]}`)
	}
	w.admin(t, "POST", resource+":setIamPolicy", `{"policy":{"bindings":[`+strings.Join(bindings, ",")+`]}}`)
}

func (w *world) state(t testing.TB, state string) {
	t.Helper()
	w.control(t, "PATCH", kmsURL+versionOne+"?updateMask=state", `{"state":"`+state+`"}`, "state")
}

// own is a fresh identity of ours.
func (w *world) own(t testing.TB) *googleaccount.Identity {
	t.Helper()
	key, err := atlas.ParseGoogleServiceAccountKey(w.ownKey)
	if err != nil {
		t.Fatal(err)
	}
	return googleaccount.OwnKey(key, googleaccount.Options{Transport: w, Now: w.now, Scope: googleaccount.ScopePlatform})
}

func (w *world) keyring(t testing.TB) *gcpkms.Keyring {
	t.Helper()
	k, err := gcpkms.New(t.Context(), gcpkms.Config{Kept: 100, Transport: w, Now: w.now, Own: w.own(t)})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// opener opens a key version with one kind of credential.
type opener func(t testing.TB, version string) *kms.Key

// asTenant uses the tenant's service account key, asOurs the account that we impersonate.
func (w *world) asTenant(t testing.TB) opener {
	t.Helper()
	return open(w.keyring(t), kms.GoogleReference{ServiceAccountKey: w.accountKey})
}

func (w *world) asOurs(t testing.TB) opener {
	t.Helper()
	return open(w.keyring(t), kms.GoogleReference{ServiceAccount: w.ours})
}

func open(ring *gcpkms.Keyring, ref kms.GoogleReference) opener {
	return func(t testing.TB, version string) *kms.Key {
		t.Helper()
		ref.KeyVersion = version
		k, err := ring.Open(ref)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
}

func failureOf(err error) *verdict.Failure {
	if f, ok := errors.AsType[*verdict.Failure](err); ok {
		return f
	}
	return &verdict.Failure{Err: err}
}
