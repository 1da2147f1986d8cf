package latchkey_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"latchkey/shared/audit"
	"latchkey/shared/identity"
	"latchkey/shared/identity/digest"
	"latchkey/shared/identity/directory"
	signing "latchkey/shared/identity/keyring"
	"latchkey/shared/identity/token"
	"latchkey/shared/store/keys"
)

// impostor makes what proves nothing: a header for a request.
type impostor func(method, path string) string

func always(header string) impostor { return func(string, string) string { return header } }

// impostors are all ways to come without credentials that count: with none, with what is no more, with what
// is for something else, and with what somebody made themselves.
func (w *town) impostors() map[string]impostor {
	all := map[string]impostor{
		"nothing":              always(""),
		"a scheme alone":       always("Bearer"),
		"another scheme":       always("Basic " + base64.StdEncoding.EncodeToString([]byte(w.acme.credentials.publicKey+":"+w.acme.credentials.privateKey))),
		"a token of nobody's":  always("Bearer x.y.z"),
		"two schemes in a row": always("Bearer Digest " + w.acme.credentials.publicKey),
	}
	maps.Copy(all, w.digestImpostors())
	maps.Copy(all, w.tokenImpostors())
	for name, forged := range w.forgedTokens() {
		all["a token "+name] = always("Bearer " + forged)
	}
	return all
}

// digestImpostors sign with API keys, wrongly.
func (w *town) digestImpostors() map[string]impostor {
	owner, now := w.acme.credentials, w.now()
	current := w.signing.Current(now)
	fresh := func() string { return digest.NewNonce(current.Nonce, now) }
	deleted := w.key(w.acme.id, directory.Grants{OrgRoles: []identity.Role{identity.OrgOwner}})
	k, _, err := w.people.FindByPublicKey(w.tb.Context(), deleted.publicKey)
	w.must(err)
	w.must(w.people.DeleteAPIKey(w.tb.Context(), audit.System(), w.acme.id, k.ID))
	sign := func(by credentials, nonce string) impostor {
		return func(method, path string) string { return signDigest(by, method, path, nonce) }
	}
	edited := func(old, text string) impostor {
		return func(method, path string) string {
			return strings.Replace(signDigest(owner, method, path, fresh()), old, text, 1)
		}
	}
	return map[string]impostor{
		"a deleted key":                        sign(deleted, fresh()),
		"a key that never was":                 sign(credentials{publicKey: "nobodysk", privateKey: owner.privateKey}, fresh()),
		"a wrong private key":                  sign(credentials{publicKey: owner.publicKey, privateKey: "00000000-0000-4000-8000-000000000000"}, fresh()),
		"another key's private key":            sign(credentials{publicKey: owner.publicKey, privateKey: w.rival.credentials.privateKey}, fresh()),
		"a private key that is empty":          sign(credentials{publicKey: owner.publicKey}, fresh()),
		"a nonce of six minutes ago":           sign(owner, digest.NewNonce(current.Nonce, now.Add(-6*time.Minute))),
		"a nonce from the future":              sign(owner, digest.NewNonce(current.Nonce, now.Add(2*time.Minute))),
		"a nonce of another deployment":        sign(owner, digest.NewNonce([]byte(strings.Repeat("k", 32)), now)),
		"a nonce of the client's own":          sign(owner, strings.Repeat("n", 32)),
		"a nonce that was changed":             sign(owner, "AAAA"+fresh()[4:]),
		"a nonce of the key that signs tokens": sign(owner, digest.NewNonce(current.Seed, now)),
		"no nonce":                             sign(owner, ""),
		"another request's signature": func(method, path string) string {
			return signDigest(owner, method, path+"?pretty=true", fresh())
		},
		"another method's signature": func(method, path string) string {
			other := map[bool]string{true: http.MethodPost, false: http.MethodGet}[method == http.MethodGet]
			return signDigest(owner, other, path, fresh())
		},
		"a signature for another address in this one's name": func(method, path string) string {
			return strings.Replace(signDigest(owner, method, "/api/atlas/v2", fresh()), `uri="/api/atlas/v2"`, `uri="`+path+`"`, 1)
		},
		"another realm":                    edited(digest.Realm, "another realm"),
		"another user's name":              edited(owner.publicKey, w.rival.credentials.publicKey),
		"another count":                    edited("nc=00000001", "nc=00000002"),
		"a count of nothing":               edited("nc=00000001", "nc=00000000"),
		"a session's algorithm":            edited(`algorithm="MD5"`, `algorithm="MD5-sess"`),
		"a longer algorithm":               edited(`algorithm="MD5"`, `algorithm="SHA-256"`),
		"an algorithm that there isn't":    edited(`algorithm="MD5"`, `algorithm="NONE"`),
		"no quality of protection":         edited("qop=auth, ", ""),
		"protection of the body":           edited("qop=auth", "qop=auth-int"),
		"the user twice":                   edited("Digest ", `Digest username="`+owner.publicKey+`", `),
		"the response twice":               edited("Digest ", `Digest response="`+strings.Repeat("0", 32)+`", `),
		"a hashed user":                    edited("Digest ", "Digest userhash=true, "),
		"the user of a table's other item": edited(owner.publicKey, owner.publicKey+"#APIKEY"),
	}
}

// tokenImpostors hold tokens that were good, or are good for something else.
func (w *town) tokenImpostors() map[string]impostor {
	ctx, now := w.tb.Context(), w.now()
	make := func() directory.ServiceAccount {
		a, _, err := w.people.CreateServiceAccount(ctx, audit.System(), directory.NewServiceAccount{
			OrgID: w.acme.id, Name: "a", Description: "d", Grants: directory.Grants{OrgRoles: []identity.Role{identity.OrgOwner}}, SecretLife: 24 * time.Hour,
		})
		w.must(err)
		return a
	}
	issue := func(clientID, secretID string, at time.Time) impostor {
		signed, err := token.Issue(w.signing.Current(now), clientID, secretID, at)
		w.must(err)
		return always("Bearer " + signed)
	}
	living, other, deleted := make(), make(), make()
	ofDeleted := issue(deleted.ClientID, deleted.Secrets[0].ID, now)
	w.must(w.people.DeleteServiceAccount(ctx, audit.System(), w.acme.id, deleted.ClientID))
	revoked := w.token(living)
	verified, err := token.Verify(w.signing, revoked, now)
	w.must(err)
	w.must(w.people.Revoke(ctx, verified))
	return map[string]impostor{
		"a token that has expired":                issue(living.ClientID, living.Secrets[0].ID, now.Add(-token.Life)),
		"a token from the future":                 issue(living.ClientID, living.Secrets[0].ID, now.Add(2*time.Minute)),
		"a token that was revoked":                always("Bearer " + revoked),
		"a token of a deleted account":            ofDeleted,
		"a token of a deleted secret":             issue(living.ClientID, "650000000000000000000099", now),
		"a token of another account's secret":     issue(living.ClientID, other.Secrets[0].ID, now),
		"a token of an account that never was":    issue("mdb_sa_id_650000000000000000000099", living.Secrets[0].ID, now),
		"a token of an API key":                   issue(w.acme.credentials.publicKey, living.Secrets[0].ID, now),
		"a good token and something after it":     always("Bearer " + w.token(living) + "x"),
		"a good token in the place of a password": always("Digest " + w.token(living)),
	}
}

// part is a part of a token.
func part(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// forgedTokens are tokens that claim to be an owner's, in all the ways in which a verifier can be made to
// believe what it must not: the algorithm, the key, the header's own keys.
func (w *town) forgedTokens() map[string]string {
	key := w.signing.Current(w.now())
	a, _, err := w.people.CreateServiceAccount(w.tb.Context(), audit.System(), directory.NewServiceAccount{
		OrgID: w.acme.id, Name: "forged", Description: "d", Grants: directory.Grants{OrgRoles: []identity.Role{identity.OrgOwner}}, SecretLife: time.Hour,
	})
	w.must(err)
	claims := part(map[string]any{
		"iss": "latchkey", "aud": "atlas-admin-api", "sub": a.ClientID, "sid": a.Secrets[0].ID, "jti": "1", "iat": w.now().Unix(), "exp": w.now().Add(time.Minute).Unix(),
	})
	header := func(alg string, more map[string]any) string {
		h := map[string]any{"alg": alg, "typ": "at+jwt", "kid": key.ID}
		maps.Copy(h, more)
		return part(h)
	}
	ours := func(h, c string) string {
		return h + "." + c + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(key.Private(), []byte(h+"."+c)))
	}
	// The helpers of this test must be able to make a token that counts.
	if _, err := token.Verify(w.signing, ours(header("EdDSA", nil), claims), w.now()); err != nil {
		w.tb.Fatalf("the forge is broken: %v", err)
	}
	own := ed25519.NewKeyFromSeed([]byte(strings.Repeat("x", ed25519.SeedSize)))
	theirs := func(h string) string {
		return h + "." + claims + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(own, []byte(h+"."+claims)))
	}
	jwk := map[string]any{"kty": "OKP", "crv": "Ed25519", "x": base64.RawURLEncoding.EncodeToString(own[32:]), "kid": key.ID}
	good := ours(header("EdDSA", nil), claims)
	forged := map[string]string{
		"that names no algorithm":                       header("none", nil) + "." + claims + ".",
		"that names no algorithm in another case":       header("nOnE", nil) + "." + claims + ".",
		"without a signature":                           header("EdDSA", nil) + "." + claims + ".",
		"signed with another key":                       theirs(header("EdDSA", nil)),
		"that brings its key":                           theirs(header("EdDSA", map[string]any{"jwk": jwk})),
		"that tells where its key is":                   theirs(header("EdDSA", map[string]any{"jku": "https://evil.example/keys"})),
		"that brings its certificate":                   theirs(header("EdDSA", map[string]any{"x5c": []string{base64.StdEncoding.EncodeToString(own[32:])}, "x5u": "https://evil.example/c"})),
		"under a key id of a path":                      theirs(header("EdDSA", map[string]any{"kid": "../../../../dev/null"})),
		"under no key id":                               ours(header("EdDSA", map[string]any{"kid": ""}), claims),
		"under a key id that is no text":                ours(header("EdDSA", map[string]any{"kid": 7}), claims),
		"with a header that must be understood":         ours(header("EdDSA", map[string]any{"crit": []string{"x"}, "x": 1}), claims),
		"with a payload that is not encoded":            ours(header("EdDSA", map[string]any{"crit": []string{"b64"}, "b64": false}), claims),
		"of another type":                               ours(header("EdDSA", map[string]any{"typ": "JWT"}), claims),
		"of an agent's type":                            ours(header("EdDSA", map[string]any{"typ": "latchkey-node+jwt"}), claims),
		"whose signature is another's":                  header("EdDSA", nil) + "." + part(map[string]any{"sub": "x"}) + good[strings.LastIndex(good, "."):],
		"as a document":                                 `{"payload":"` + claims + `","protected":"` + header("EdDSA", nil) + `","signature":"` + good[strings.LastIndex(good, ".")+1:] + `"}`,
		"as an encrypted one":                           part(map[string]any{"alg": "dir", "enc": "A256GCM"}) + "...." + claims,
		"with claims twice, the later ones somebody's":  ours(header("EdDSA", nil), base64.RawURLEncoding.EncodeToString([]byte(duplicate(claims, `"aud":"x"`)))),
		"with a time that is no number":                 ours(header("EdDSA", nil), part(map[string]any{"iss": "latchkey", "aud": "atlas-admin-api", "sub": a.ClientID, "sid": a.Secrets[0].ID, "jti": "1", "iat": "0", "exp": "never"})),
		"with a space in it":                            strings.Replace(good, ".", " .", 1),
		"padded":                                        strings.Replace(good, ".", "==.", 1),
		"made by an HMAC with nothing":                  hs256(header("HS256", nil), claims, nil),
		"made by an HMAC with the public key":           hs256(header("HS256", nil), claims, key.Public()),
		"made by an HMAC with the public key's text":    hs256(header("HS256", nil), claims, []byte(base64.StdEncoding.EncodeToString(key.Public()))),
		"made by an HMAC with the key of nonces":        hs256(header("HS256", nil), claims, key.Nonce),
		"made by an HMAC that names our algorithm":      hs256(header("EdDSA", nil), claims, key.Public()),
		"signed for an agent":                           ours(part(map[string]any{"alg": "EdDSA", "typ": "latchkey-node+jwt"}), claims),
		"signed by a ring of another deployment's key":  foreignToken(a),
		"with an algorithm twice":                       ours(base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"EdDSA","alg":"none","typ":"at+jwt","kid":"`+key.ID+`"}`)), claims),
		"that is one of several":                        good + "," + good,
		"whose signature has a bit more":                good + "A",
		"whose signature is the same point differently": malleable(good),
	}
	maps.Copy(forged, otherAlgorithms(header, claims))
	return forged
}

// duplicate puts another claim of a name that is there behind the others.
func duplicate(claims, more string) string {
	text, err := base64.RawURLEncoding.DecodeString(claims)
	if err != nil {
		panic(err)
	}
	return strings.TrimSuffix(string(text), "}") + "," + more + "}"
}

func hs256(header, claims string, key []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(header + "." + claims))
	return header + "." + claims + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func foreignToken(a directory.ServiceAccount) string {
	seed := sha256.Sum256([]byte("another deployment"))
	signed, err := token.Issue(signing.Key{ID: "0011223344556677", Seed: seed[:], Nonce: seed[:]}, a.ClientID, a.Secrets[0].ID, time.Now())
	if err != nil {
		panic(err)
	}
	return signed
}

// malleable adds the order of the group to the scalar of an Ed25519 signature (RFC 8032, 8.4).
func malleable(signed string) string {
	i := strings.LastIndex(signed, ".") + 1
	sig, err := base64.RawURLEncoding.DecodeString(signed[i:])
	if err != nil {
		panic(err)
	}
	order := []byte{
		0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
	}
	carry := 0
	for i, b := range order {
		sum := int(sig[32+i]) + int(b) + carry
		sig[32+i], carry = byte(sum), sum>>8
	}
	return signed[:i] + base64.RawURLEncoding.EncodeToString(sig)
}

// otherAlgorithms are tokens with good signatures of their makers' own, by other algorithms.
func otherAlgorithms(header func(string, map[string]any) string, claims string) map[string]string {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	made := map[string]string{}
	for alg, by := range map[string]crypto.Signer{"RS256": rsaKey, "PS256": rsaKey, "ES256": ecKey} {
		input := header(alg, nil) + "." + claims
		sum := sha256.Sum256([]byte(input))
		options := crypto.SignerOpts(crypto.SHA256)
		if alg == "PS256" {
			options = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
		}
		signature, err := by.Sign(rand.Reader, sum[:], options)
		if err != nil {
			panic(err)
		}
		made["signed by "+alg] = input + "." + base64.RawURLEncoding.EncodeToString(signature)
	}
	return made
}

// Nobody gets anywhere with what proves nothing: the same refusal from every operation, with nothing
// written, whatever is named in the path.
func TestCredentials_thatProveNothingOpenNothing(t *testing.T) {
	t.Parallel()
	w := inTown(t)
	all := w.impostors()
	w.base = w.table.fork()
	operations := operations(t)
	for name, impostor := range all {
		for i, op := range operations {
			// Every impostor tries some operations, every operation some impostors; who comes with nothing tries all.
			if op.public || name != "nothing" && (i+len(name))%11 != 0 && op.id != "updateGroupEncryptionAtRest" {
				continue
			}
			w.table.returnTo(w.base)
			path := fill(op.path, w.acme.own)
			answer := w.sendWith(impostor(op.method, path), op.method, path, op.accept, fill(op.body, w.acme.own))
			w.mustRefuse(answer, name+", "+op.id)
		}
	}
}

// mustRefuse demands the answer to whoever is nobody.
func (w *town) mustRefuse(answer *httptest.ResponseRecorder, what string) {
	w.tb.Helper()
	var body struct {
		Detail, ErrorCode string
		Error             int
	}
	err := json.Unmarshal(answer.Body.Bytes(), &body)
	challenge := answer.Header().Get("WWW-Authenticate")
	isChallenge := strings.HasPrefix(challenge, "Digest realm=") || strings.HasPrefix(challenge, "Bearer realm=")
	if err != nil || answer.Code != http.StatusUnauthorized || body.ErrorCode != "UNEXPECTED_ERROR" || !isChallenge ||
		body.Detail != "You are not authorized for this resource." {
		w.tb.Errorf("%s is answered %d %s, challenge %q", what, answer.Code, answer.Body, challenge)
	}
	if changes := w.table.changes(); len(changes) > 0 {
		w.tb.Errorf("%s wrote %v", what, changes)
	}
}

// A secret that was put into another record of the table opens nothing there: what is sealed is bound to
// where it belongs.
func TestCredentials_areBoundToTheirRecords(t *testing.T) {
	t.Parallel()
	w := inTown(t)
	mine, theirs := w.acme.credentials, w.rival.credentials
	item, err := w.table.Get(t.Context(), keys.APIKey(theirs.publicKey))
	w.must(err)
	var record map[string]any
	w.must(json.Unmarshal(item.Body, &record))
	moved := false
	w.edit(keys.APIKey(mine.publicKey), func(own map[string]any) {
		for name, value := range own {
			if text, isText := value.(string); isText && strings.Contains(strings.ToLower(name), "sealed") {
				own[name], moved = record[name], text != record[name]
			}
		}
	})
	if !moved {
		t.Fatalf("no sealed member in %s", item.Body)
	}
	for _, by := range []credentials{mine, {publicKey: mine.publicKey, privateKey: theirs.privateKey}} {
		if answer := w.send(by, http.MethodGet, "/api/atlas/v2/orgs/"+w.acme.id, "application/vnd.atlas.2023-01-01+json", ""); answer.Code < http.StatusUnauthorized {
			t.Errorf("a private key that was moved opens: %d %s", answer.Code, answer.Body)
		}
	}
	if answer := w.send(theirs, http.MethodGet, "/api/atlas/v2/orgs/"+w.rival.id, "application/vnd.atlas.2023-01-01+json", ""); answer.Code != http.StatusOK {
		t.Errorf("where it belongs it opens no more: %d %s", answer.Code, answer.Body)
	}
}

// A signature is good for its own request for some minutes, and for no other: the same header, sent
// with everything else, opens nothing.
func TestCredentials_ofOneRequestOpenNoOther(t *testing.T) {
	t.Parallel()
	w := inTown(t)
	path := fill(inGroup+"/encryptionAtRest", w.acme.own)
	header := w.authorization(w.acme.credentials, http.MethodGet, path)
	const accept = "application/vnd.atlas.2023-01-01+json"
	if answer := w.sendWith(header, http.MethodGet, path, accept, ""); answer.Code != http.StatusOK {
		t.Fatalf("%d %s", answer.Code, answer.Body)
	}
	w.base = w.table.fork()
	w.table.returnTo(w.base)
	for _, op := range operations(t) {
		other := fill(op.path, w.acme.own)
		if op.public || op.method == http.MethodGet && other == path {
			continue
		}
		w.table.written = nil
		w.mustRefuse(w.sendWith(header, op.method, other, op.accept, fill(op.body, w.acme.own)), fmt.Sprint(op.id, " with a signature for reading settings"))
	}
}
