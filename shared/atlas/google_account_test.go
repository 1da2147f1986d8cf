package atlas_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"latchkey/shared/atlas"
)

var testRSA = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func pkcs8(t testing.TB, key any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// keyFile is a key file as Google writes it, changed by edit.
func keyFile(t testing.TB, edit map[string]any) string {
	t.Helper()
	file := map[string]any{
		"type": "service_account", "project_id": "tenant-1", "private_key_id": "0123456789abcdef0123456789abcdef01234567",
		"private_key": pkcs8(t, testRSA()), "client_email": "cmk@tenant-1.iam.gserviceaccount.com", "client_id": "100000000000000000001",
		"auth_uri": "https://accounts.google.com/o/oauth2/auth", "token_uri": "https://oauth2.googleapis.com/token",
		"universe_domain": "googleapis.com",
	}
	for k, v := range edit {
		if v == nil {
			delete(file, k)
		} else {
			file[k] = v
		}
	}
	body, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestParseGoogleServiceAccountKey(t *testing.T) {
	pkcs1 := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(testRSA())}))
	for name, edit := range map[string]map[string]any{
		"as Google writes it":               {},
		"PKCS #1":                           {"private_key": pkcs1},
		"without a universe":                {"universe_domain": nil},
		"with hostile URLs, never followed": {"token_uri": "http://169.254.169.254/", "auth_uri": "file:///etc/passwd"},
	} {
		k, err := atlas.ParseGoogleServiceAccountKey(keyFile(t, edit))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if k.Email != "cmk@tenant-1.iam.gserviceaccount.com" || k.Project != "tenant-1" ||
			k.KeyID != "0123456789abcdef0123456789abcdef01234567" || !k.PrivateKey().Equal(testRSA()) {
			t.Errorf("%s: parsed as %v", name, k)
		}
	}
}

func TestParseGoogleServiceAccountKey_RefusesEverythingElse(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		edit map[string]any
		raw  string
		want error
	}{
		"an external account":      {edit: map[string]any{"type": "external_account", "credential_source": map[string]any{"file": "/etc/passwd"}}, want: atlas.ErrGoogleKeyType},
		"a user":                   {edit: map[string]any{"type": "authorized_user"}, want: atlas.ErrGoogleKeyType},
		"an impersonated account":  {edit: map[string]any{"type": "impersonated_service_account"}, want: atlas.ErrGoogleKeyType},
		"no type":                  {edit: map[string]any{"type": nil}, want: atlas.ErrGoogleKeyType},
		"another universe":         {edit: map[string]any{"universe_domain": "evil.example"}, want: atlas.ErrGoogleKeyUniverse},
		"an e-mail elsewhere":      {edit: map[string]any{"client_email": "cmk@evil.example"}, want: atlas.ErrGoogleKeyMember},
		"an e-mail with a slash":   {edit: map[string]any{"client_email": "a/b@tenant-1.iam.gserviceaccount.com"}, want: atlas.ErrGoogleKeyMember},
		"an e-mail with a newline": {edit: map[string]any{"client_email": "a@tenant-1.iam.gserviceaccount.com\n"}, want: atlas.ErrGoogleKeyMember},
		"no e-mail":                {edit: map[string]any{"client_email": nil}, want: atlas.ErrGoogleKeyMember},
		"no project":               {edit: map[string]any{"project_id": nil}, want: atlas.ErrGoogleKeyMember},
		"no key id":                {edit: map[string]any{"private_key_id": ""}, want: atlas.ErrGoogleKeyMember},
		"no private key":           {edit: map[string]any{"private_key": nil}, want: atlas.ErrGooglePrivateKey},
		"a short private key":      {edit: map[string]any{"private_key": pkcs8(t, small)}, want: atlas.ErrGooglePrivateKey},
		"an EC private key":        {edit: map[string]any{"private_key": pkcs8(t, ec)}, want: atlas.ErrGooglePrivateKey},
		"a truncated private key":  {edit: map[string]any{"private_key": pkcs8(t, testRSA())[:400]}, want: atlas.ErrGooglePrivateKey},
		"an array":                 {raw: "[]", want: atlas.ErrGoogleKeyFile},
		"a wrong JSON type":        {edit: map[string]any{"private_key": 5}, want: atlas.ErrGoogleKeyFile},
		"trailing data":            {raw: keyFile(t, nil) + "{}", want: atlas.ErrGoogleKeyFile},
		"too long":                 {raw: strings.Repeat(" ", 1<<20) + "{}", want: atlas.ErrGoogleKeyFile},
		"empty":                    {raw: " ", want: atlas.ErrGoogleKeyFile},
	} {
		s := tc.raw
		if s == "" {
			s = keyFile(t, tc.edit)
		}
		k, err := atlas.ParseGoogleServiceAccountKey(s)
		if !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, %v; want %v", name, k, err, tc.want)
		}
	}
}

func TestGoogleServiceAccountKey_IsNeverPrinted(t *testing.T) {
	k, err := atlas.ParseGoogleServiceAccountKey(keyFile(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x", "%q"} {
		fmt.Fprintf(&out, verb+"\n", k)
		fmt.Fprintf(&out, verb+"\n", &k)
	}
	slog.New(slog.NewJSONHandler(&out, nil)).Info("key", slog.Any("key", k))
	if err := json.NewEncoder(&out).Encode(struct{ Key atlas.GoogleServiceAccountKey }{k}); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{testRSA().D.String(), testRSA().D.Text(16), testRSA().Primes[0].String(), "PRIVATE"} {
		if strings.Contains(strings.ToLower(out.String()), strings.ToLower(secret)) {
			t.Errorf("the private key was printed:\n%s", out.String())
		}
	}
}

func FuzzParseGoogleServiceAccountKey(f *testing.F) {
	f.Add(keyFile(f, nil))
	f.Add(`{"type":"external_account"}`)
	f.Fuzz(func(t *testing.T, s string) {
		k, err := atlas.ParseGoogleServiceAccountKey(s)
		if err == nil && (k.PrivateKey() == nil || !strings.HasSuffix(k.Email, "gserviceaccount.com")) {
			t.Errorf("accepted %v", k)
		}
	})
}
