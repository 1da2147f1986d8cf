package token_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"latchkey/shared/identity/identitytest"
	"latchkey/shared/identity/keyring"
	"latchkey/shared/identity/token"
)

const client = "mdb_sa_id_650000000000000000000070"

var now = identitytest.NewClock().Now()

func newRing(t testing.TB) keyring.Ring {
	t.Helper()
	k := &keyring.Keyring{Table: identitytest.Table(t), Sealer: identitytest.NewSealer(t), Now: func() time.Time { return now }}
	ring, err := k.Ring(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func issue(t *testing.T, ring keyring.Ring) string {
	t.Helper()
	signed, err := token.Issue(ring.Current(now), client, "650000000000000000000071", now)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func TestATokenSaysWhoItWasIssuedTo(t *testing.T) {
	t.Parallel()
	ring := newRing(t)
	got, err := token.Verify(ring, issue(t, ring), now)
	if err != nil {
		t.Fatal(err)
	}
	want := token.Token{
		ID: got.ID, ClientID: client, SecretID: "650000000000000000000071", Issued: now, Expires: now.Add(token.Life),
	}
	if diff := cmp.Diff(want, got); diff != "" || got.ID == "" {
		t.Errorf("token %q differs: %s", got.ID, diff)
	}
}

func TestTokensHaveIDsOfTheirOwn(t *testing.T) {
	t.Parallel()
	ring := newRing(t)
	if first, second := issue(t, ring), issue(t, ring); first == second {
		t.Error("two tokens are the same, so that one could not be revoked alone")
	}
}

func TestATokenIsValidForAnHour(t *testing.T) {
	t.Parallel()
	ring := newRing(t)
	signed := issue(t, ring)
	tests := map[string]struct {
		at    time.Time
		valid bool
	}{
		"at once":                      {now, true},
		"in its last second":           {now.Add(token.Life - time.Second), true},
		"at its end":                   {now.Add(token.Life), false},
		"seen by a clock behind":       {now.Add(-30 * time.Second), true},
		"seen by a clock hours behind": {now.Add(-time.Hour), false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := token.Verify(ring, signed, tc.at); (err == nil) != tc.valid {
				t.Errorf("Verify: %v, want valid=%v", err, tc.valid)
			}
		})
	}
}

// forge signs claims as an attacker would who has a key or knows the public one.
func forge(t testing.TB, alg jose.SignatureAlgorithm, key any, kid, typ string, claims map[string]any) string {
	t.Helper()
	options := (&jose.SignerOptions{}).WithType(jose.ContentType(typ)).WithHeader("kid", kid)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, options)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	compact, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

func goodClaims() map[string]any {
	return map[string]any{
		"iss": "latchkey", "aud": "atlas-admin-api", "sub": client, "jti": "1", "sid": "2", "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
	}
}

func TestWhatWeDidNotSignIsNoToken(t *testing.T) {
	t.Parallel()
	ring := newRing(t)
	key := ring.Current(now)
	good := forge(t, jose.EdDSA, key.Private(), key.ID, "at+jwt", goodClaims())
	if _, err := token.Verify(ring, good, now); err != nil {
		t.Fatalf("the forge itself is broken: %v", err)
	}
	other := ed25519.NewKeyFromSeed([]byte(strings.Repeat("x", ed25519.SeedSize)))
	parts := strings.Split(good, ".")
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"at+jwt","kid":"`+key.ID+`"}`)) + "." + parts[1] + "."
	tests := map[string]string{
		"nothing":                           "",
		"no JWT":                            "abc",
		"signed with another key":           forge(t, jose.EdDSA, other, key.ID, "at+jwt", goodClaims()),
		"HMAC with the public key":          forge(t, jose.HS256, []byte(key.Public()), key.ID, "at+jwt", goodClaims()),
		"HMAC with the nonce key":           forge(t, jose.HS256, key.Nonce, key.ID, "at+jwt", goodClaims()),
		"algorithm none":                    none,
		"algorithm none with the signature": none + parts[2],
		"an unknown key id":                 forge(t, jose.EdDSA, key.Private(), "unknown", "at+jwt", goodClaims()),
		"another kind of JWT":               forge(t, jose.EdDSA, key.Private(), key.ID, "JWT", goodClaims()),
		"another payload":                   parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{}`)) + "." + parts[2],
		"too long":                          good + strings.Repeat("A", 5000),
	}
	for name, signed := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, err := token.Verify(ring, signed, now); !errors.Is(err, token.ErrInvalid) {
				t.Errorf("accepted: %+v, %v", got, err)
			}
		})
	}
}

func TestEveryClaimIsRequiredAndChecked(t *testing.T) {
	t.Parallel()
	ring := newRing(t)
	key := ring.Current(now)
	wrong := map[string]any{
		"iss": "somebody", "aud": "something", "sub": "", "jti": "", "sid": "", "iat": now.Add(time.Hour).Unix(), "exp": now.Add(-time.Minute).Unix(),
	}
	for name, value := range wrong {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			claims := goodClaims()
			claims[name] = value
			if _, err := token.Verify(ring, forge(t, jose.EdDSA, key.Private(), key.ID, "at+jwt", claims), now); err == nil {
				t.Errorf("accepted with %s=%v", name, value)
			}
			delete(claims, name)
			if _, err := token.Verify(ring, forge(t, jose.EdDSA, key.Private(), key.ID, "at+jwt", claims), now); err == nil {
				t.Errorf("accepted without %s", name)
			}
		})
	}
}

// FuzzVerify reads anything, and what somebody makes of a good token. Only what was signed is accepted, as it was signed.
func FuzzVerify(f *testing.F) {
	ring := newRing(f)
	key := ring.Current(now)
	good := forge(f, jose.EdDSA, key.Private(), key.ID, "at+jwt", goodClaims())
	want, err := token.Verify(ring, good, now)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("a.b.c", uint16(0), byte(0))
	f.Add(good, uint16(3), byte('A'))
	f.Add(good[:len(good)-1], uint16(len(good)-1), byte('B'))
	f.Fuzz(func(t *testing.T, signed string, at uint16, c byte) {
		tampered := []byte(good)
		tampered[int(at)%len(tampered)] = c
		for _, signed := range []string{signed, string(tampered)} {
			if got, err := token.Verify(ring, signed, now); err == nil && !cmp.Equal(got, want) || err != nil && !errors.Is(err, token.ErrInvalid) {
				t.Errorf("%q is read as %+v, %v", signed, got, err)
			}
		}
		if _, err := token.Verify(keyring.Ring{}, signed, now); err == nil {
			t.Errorf("accepted %q without any key", signed)
		}
	})
}

// FuzzClaims signs any claims with the right key. What is accepted has every claim, is for this API and is valid now.
func FuzzClaims(f *testing.F) {
	ring := newRing(f)
	key := ring.Current(now)
	good, err := json.Marshal(goodClaims())
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{string(good), `{}`, `{"ISS":"latchkey"}`, `{"iss":"latchkey","aud":["x","atlas-admin-api"],"sub":"c","jti":"1","sid":"2","iat":-1e18,"exp":9e18}`, `{"iss":"latchkey","aud":"atlas-admin-api","sub":"c","jti":"1","sid":"2","iat":"0","exp":1e30}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var claims map[string]any
		if json.Unmarshal([]byte(text), &claims) != nil || claims == nil || len(text) > 2000 {
			return
		}
		got, err := token.Verify(ring, forge(t, jose.EdDSA, key.Private(), key.ID, "at+jwt", claims), now)
		if err != nil {
			return
		}
		is := func(name, want string) bool { s, _ := claims[name].(string); return s == want && s != "" }
		audience := is("aud", "atlas-admin-api")
		if list, ok := claims["aud"].([]any); ok {
			audience = slices.Contains(list, any("atlas-admin-api"))
		}
		issued, _ := claims["iat"].(float64)
		expires, _ := claims["exp"].(float64)
		if !is("iss", "latchkey") || !audience || !is("sub", got.ClientID) || !is("jti", got.ID) || !is("sid", got.SecretID) ||
			expires <= float64(now.Unix()) || issued > float64(now.Add(time.Minute).Unix())+1 {
			t.Errorf("%s is accepted as %+v", text, got)
		}
	})
}
