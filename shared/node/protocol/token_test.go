package protocol_test

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"pgregory.net/rapid"

	"latchkey/shared/atlas"
	"latchkey/shared/node/protocol"
)

var (
	now = time.Date(2026, 11, 22, 1, 2, 3, 0, time.UTC)
	who = protocol.Identity{NodeID: "650000000000000000000001", ClusterID: "650000000000000000000002"}
)

func privateKey(b byte) ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	seed[0] = b
	return ed25519.NewKeyFromSeed(seed)
}

func public(k ed25519.PrivateKey) ed25519.PublicKey {
	return k.Public().(ed25519.PublicKey)
}

func keyOf(k ed25519.PrivateKey) protocol.KeyOf {
	return func(asked protocol.Identity) (ed25519.PublicKey, error) {
		if asked != who {
			return nil, protocol.ErrToken
		}
		return public(k), nil
	}
}

func TestATokenIsValidForAMinuteOfTheServersClock(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		age := time.Duration(rapid.IntRange(-200, 200).Draw(t, "age")) * time.Second
		signed, err := protocol.SignToken(privateKey(1), who, now)
		if err != nil {
			t.Fatal(err)
		}
		got, err := protocol.VerifyToken(signed, now.Add(age), keyOf(privateKey(1)))
		want := age >= -protocol.Leeway && age < protocol.TokenLife+protocol.Leeway
		if (err == nil) != want {
			t.Fatalf("aged %v: %v", age, err)
		}
		if want && (got.Identity != who || got.ID == "" || !got.Expires.Equal(now.Add(time.Minute))) {
			t.Fatalf("token %+v", got)
		}
	})
}

func TestNoTwoTokensAreTheSame(t *testing.T) {
	t.Parallel()
	a, _ := protocol.SignToken(privateKey(1), who, now)
	b, _ := protocol.SignToken(privateKey(1), who, now)
	if a == b {
		t.Error("two tokens of the same second are the same")
	}
}

// forge signs whatever it is told to.
func forge(t testing.TB, alg jose.SignatureAlgorithm, key any, typ string, c map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, (&jose.SignerOptions{}).WithType(jose.ContentType(typ)))
	if err != nil {
		t.Fatal(err)
	}
	signed, err := jwt.Signed(signer).Claims(c).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func TestForgedTokensAreRefused(t *testing.T) {
	t.Parallel()
	const typ = "latchkey-node+jwt"
	claims := func(change map[string]any) map[string]any {
		c := map[string]any{
			"aud": "latchkey-nodes", "sub": who.NodeID, "clusterId": who.ClusterID, "jti": "1",
			"iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
		}
		for name, value := range change {
			if c[name] = value; value == nil {
				delete(c, name)
			}
		}
		return c
	}
	key := privateKey(1)
	if _, err := protocol.VerifyToken(forge(t, jose.EdDSA, key, typ, claims(nil)), now, keyOf(key)); err != nil {
		t.Fatalf("the template itself is refused: %v", err)
	}
	for name, signed := range map[string]string{
		"another key":              forge(t, jose.EdDSA, privateKey(2), typ, claims(nil)),
		"the public key as secret": forge(t, jose.HS256, []byte(public(key)), typ, claims(nil)),
		"another type":             forge(t, jose.EdDSA, key, "at+jwt", claims(nil)),
		"another audience":         forge(t, jose.EdDSA, key, typ, claims(map[string]any{"aud": "atlas-admin-api"})),
		"two audiences":            forge(t, jose.EdDSA, key, typ, claims(map[string]any{"aud": []string{"latchkey-nodes", "x"}})),
		"another node":             forge(t, jose.EdDSA, key, typ, claims(map[string]any{"sub": "650000000000000000000009"})),
		"another cluster":          forge(t, jose.EdDSA, key, typ, claims(map[string]any{"clusterId": "650000000000000000000009"})),
		"a long life":              forge(t, jose.EdDSA, key, typ, claims(map[string]any{"exp": now.Add(2 * time.Minute).Unix()})),
		"a life backwards":         forge(t, jose.EdDSA, key, typ, claims(map[string]any{"iat": now.Unix() + 5, "exp": now.Unix() + 4})),
		"no expiry":                forge(t, jose.EdDSA, key, typ, claims(map[string]any{"exp": nil})),
		"no time":                  forge(t, jose.EdDSA, key, typ, claims(map[string]any{"iat": nil})),
		"no id":                    forge(t, jose.EdDSA, key, typ, claims(map[string]any{"jti": nil})),
		"no subject":               forge(t, jose.EdDSA, key, typ, claims(map[string]any{"sub": nil})),
		"a long id":                forge(t, jose.EdDSA, key, typ, claims(map[string]any{"jti": strings.Repeat("x", 65)})),
		"no signature":             "eyJhbGciOiJub25lIn0.e30.",
		"nothing":                  "",
		"too much":                 strings.Repeat("x", 1<<20),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := protocol.VerifyToken(signed, now, keyOf(key)); !errors.Is(err, protocol.ErrToken) {
				t.Errorf("VerifyToken = %v", err)
			}
		})
	}
}

func TestANodeWhoseKeyIsUnreadableIsRefused(t *testing.T) {
	t.Parallel()
	signed, _ := protocol.SignToken(privateKey(1), who, now)
	short := func(protocol.Identity) (ed25519.PublicKey, error) { return ed25519.PublicKey("short"), nil }
	if _, err := protocol.VerifyToken(signed, now, short); !errors.Is(err, protocol.ErrToken) {
		t.Errorf("VerifyToken = %v", err)
	}
	broken := errors.New("the table is down")
	if _, err := protocol.VerifyToken(signed, now, func(protocol.Identity) (ed25519.PublicKey, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Errorf("an outage of the table became %v", err)
	}
}

func TestARefusalCarriesTheServersTime(t *testing.T) {
	t.Parallel()
	wire, err := json.Marshal(protocol.Refuse(now).Body())
	if err != nil {
		t.Fatal(err)
	}
	var body atlas.ErrorBody
	if err := json.Unmarshal(wire, &body); err != nil {
		t.Fatal(err)
	}
	if at, ok := protocol.ServerTime(body); !ok || !at.Equal(now) || body.Error != 401 {
		t.Errorf("ServerTime = %v, %t of %s", at, ok, wire)
	}
	for _, other := range []atlas.ErrorBody{
		{},
		atlas.Fail(atlas.NodeNotFound, "2026-11-22T01:02:03Z").Body(),
		{ErrorCode: atlas.NodeTokenRefused, Parameters: []any{7.0}},
		{ErrorCode: atlas.NodeTokenRefused, Parameters: []any{"noon"}},
	} {
		if at, ok := protocol.ServerTime(other); ok {
			t.Errorf("ServerTime(%+v) = %v", other, at)
		}
	}
}

// FuzzVerifyToken reads anything, and what somebody makes of a good token. It speaks for whoever signed it, or for nobody.
func FuzzVerifyToken(f *testing.F) {
	good, err := protocol.SignToken(privateKey(1), who, now)
	if err != nil {
		f.Fatal(err)
	}
	want, err := protocol.VerifyToken(good, now, keyOf(privateKey(1)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good, uint16(0), byte('f'))
	f.Add("a.b.c", uint16(len(good)-1), byte('A'))
	f.Fuzz(func(t *testing.T, token string, at uint16, c byte) {
		tampered := []byte(good)
		tampered[int(at)%len(tampered)] = c
		for i, token := range []string{token, string(tampered)} {
			got, err := protocol.VerifyToken(token, now, keyOf(privateKey(1)))
			other := got != want && (i == 1 || got.Identity != who) // another process may have signed a good one too
			if err == nil && other || err != nil && !errors.Is(err, protocol.ErrToken) {
				t.Errorf("VerifyToken(%q) = %+v, %v", token, got, err)
			}
			if _, err := protocol.VerifyToken(token, now, keyOf(privateKey(2))); err == nil {
				t.Errorf("%q speaks for another node", token)
			}
		}
	})
}

// FuzzClaims signs any claims with the node's own key. What is accepted says who it is, and is good for a minute at most.
func FuzzClaims(f *testing.F) {
	at := strconv.FormatInt(now.Unix(), 10)
	f.Add(`{"aud":"latchkey-nodes","sub":"` + who.NodeID + `","clusterId":"` + who.ClusterID + `","jti":"1","iat":` + at + `,"exp":` + strconv.FormatInt(now.Unix()+60, 10) + `}`)
	f.Add(`{"aud":["latchkey-nodes"],"sub":"` + who.NodeID + `","clusterId":"` + who.ClusterID + `","jti":"1","iat":9223372036854775807,"exp":9e18}`)
	f.Fuzz(func(t *testing.T, text string) {
		var c map[string]any
		if json.Unmarshal([]byte(text), &c) != nil || c == nil {
			return
		}
		got, err := protocol.VerifyToken(forge(t, jose.EdDSA, privateKey(1), "latchkey-node+jwt", c), now, keyOf(privateKey(1)))
		if err != nil {
			return
		}
		issued, _ := c["iat"].(float64)
		expires, _ := c["exp"].(float64)
		good := got.Identity == who && c["sub"] == who.NodeID && c["clusterId"] == who.ClusterID && c["jti"] == got.ID && got.ID != ""
		if !good || expires-issued > protocol.TokenLife.Seconds()+1 || expires+protocol.Leeway.Seconds() < float64(now.Unix()) || issued > float64(now.Unix())+protocol.Leeway.Seconds()+1 {
			t.Errorf("%s is accepted as %+v", text, got)
		}
	})
}
