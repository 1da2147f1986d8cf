package googlecloud_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/local/pocket"
	"latchkey/local/pocket/googlecloud"
)

const (
	adminToken = "administrator"
	kms        = "http://cloudkms.googleapis.com/v1/"
	iam        = "http://iam.googleapis.com/v1/"
	projects   = "http://cloudresourcemanager.googleapis.com/v1/"
	ring       = "projects/tenant-1/locations/us-east4/keyRings/kr"
	key        = ring + "/cryptoKeys/atlas"
	version    = key + "/cryptoKeyVersions/1"
)

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

// world is a cloud with a clock of its own.
type world struct {
	now       time.Time
	faults    pocket.Faults
	handler   http.Handler
	transport http.RoundTripper
}

func newWorld(t testing.TB, state pocket.State, lag time.Duration) *world {
	t.Helper()
	w := &world{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	next := 0
	cloud := googlecloud.New(googlecloud.Config{
		State: state, Now: func() time.Time { return w.now }, AdminToken: adminToken, Lag: lag,
		GenerateKey: func(int) (*rsa.PrivateKey, error) {
			next++
			return pool()[next%len(pool())], nil
		},
	})
	w.handler = pocket.New(&w.faults, func(*http.Request) string { return "" }, cloud)
	w.transport = pocket.Transport(w.handler)
	return w
}

// withKey is a world with one key.
func withKey(t testing.TB, lag time.Duration) *world {
	t.Helper()
	w := newWorld(t, pocket.Memory(), lag)
	w.must(t, "POST", kms+"projects/tenant-1/locations/us-east4/keyRings?keyRingId=kr", "")
	w.must(t, "POST", kms+ring+"/cryptoKeys?cryptoKeyId=atlas", `{"purpose":"ENCRYPT_DECRYPT"}`)
	return w
}

type answer struct {
	code int
	body map[string]any
	raw  string
}

// status is the canonical code of an error answer and the first reason or violation type in
// its details.
func (a answer) status() string {
	e, _ := a.body["error"].(map[string]any)
	parts := []string{fmt.Sprint(e["status"])}
	details, _ := e["details"].([]any)
	for _, d := range details {
		detail, _ := d.(map[string]any)
		if reason, ok := detail["reason"]; ok {
			parts = append(parts, fmt.Sprint(reason))
		}
		violations, _ := detail["violations"].([]any)
		for _, v := range violations {
			violation, _ := v.(map[string]any)
			parts = append(parts, fmt.Sprint(violation["type"]))
		}
	}
	return strings.Join(parts, "/")
}

// as performs a request with a bearer token and headers given as pairs.
func (w *world) as(t testing.TB, token, method, address, body string, headers ...string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := w.transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answer{code: resp.StatusCode, raw: string(raw)}
	_ = json.Unmarshal(raw, &a.body)
	return a
}

func (w *world) must(t testing.TB, method, address, body string, headers ...string) map[string]any {
	t.Helper()
	a := w.as(t, adminToken, method, address, body, headers...)
	if a.code != http.StatusOK {
		t.Fatalf("%s %s: %d %s", method, address, a.code, a.raw)
	}
	return a.body
}

// newAccount makes a service account in tenant-1 and returns its e-mail and key file.
func (w *world) newAccount(t testing.TB, id string) (email string, file []byte) {
	t.Helper()
	w.must(t, "POST", iam+"projects/tenant-1/serviceAccounts", `{"accountId":"`+id+`"}`)
	email = id + "@tenant-1.iam.gserviceaccount.com"
	made := w.must(t, "POST", iam+"projects/tenant-1/serviceAccounts/"+email+"/keys", `{}`)
	file, err := base64.StdEncoding.DecodeString(fmt.Sprint(made["privateKeyData"]))
	if err != nil {
		t.Fatal(err)
	}
	return email, file
}

// grant sets a policy of one role for one member.
func (w *world) grant(t testing.TB, resource, member string, roles ...string) {
	t.Helper()
	var bindings []string
	for _, r := range roles {
		bindings = append(bindings, `{"role":"`+r+`","members":["`+member+`"]}`)
	}
	w.must(t, "POST", resource+":setIamPolicy", `{"policy":{"bindings":[`+strings.Join(bindings, ",")+`]}}`)
}

// token is an access token made by impersonation, which needs no signature.
func (w *world) token(t testing.TB, email string) string {
	t.Helper()
	made := w.must(t, "POST", "http://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/"+email+":generateAccessToken",
		`{"scope":["https://www.googleapis.com/auth/cloud-platform"]}`)
	return fmt.Sprint(made["accessToken"])
}

const (
	encryptHello = `{"plaintext":"aGVsbG8=","additionalAuthenticatedData":"YWFk"}`
	stateMask    = "?updateMask=state"
)

// encrypted is a ciphertext of "hello" made with a name.
func (w *world) encrypted(t testing.TB, name string) string {
	t.Helper()
	return fmt.Sprint(w.must(t, "POST", kms+name+":encrypt", encryptHello)["ciphertext"])
}

func decryptHello(ciphertext string) string {
	return `{"ciphertext":"` + ciphertext + `","additionalAuthenticatedData":"YWFk"}`
}
