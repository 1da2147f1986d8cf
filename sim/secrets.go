package sim

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"latchkey/local/pocket/awscloud"
	"latchkey/local/stack"
	"latchkey/shared/seal"
	"latchkey/shared/store"
)

// secrets are what nobody may find where it does not belong. They come to be at any time, also just after they were
// written down, so what was searched last is kept to be searched again. It is safe for concurrent use: logs are
// written and answers read at nobody's turn.
type secrets struct {
	mu     sync.Mutex
	known  map[string]bool
	forms  map[uint64][]form // by their first bytes
	begins [1 << 16]bool     // whether any begins so, by a hash of the same
	recent []passage
	size   int // of all in recent
	found  []string
}

// form is one of the ways in which a secret may be written.
type form struct {
	of, how string
	bytes   []byte
}

// passage is something that was searched.
type passage struct {
	where   string
	content []byte
}

const (
	// window is how many bytes of a form are looked up at once; nothing shorter is a secret.
	window = 8
	// remembered is how much is searched again for a secret that was not known: what all of a world writes in a minute
	// or more. Every secret is learned in the step that makes it, or the next that names it.
	remembered = 1 << 18
)

func newSecrets() *secrets { return &secrets{known: map[string]bool{}, forms: map[uint64][]form{}} }

func begin(content []byte) (first uint64, hashed uint16) {
	first = binary.LittleEndian.Uint64(content)
	return first, uint16(first * 0x9E3779B97F4A7C15 >> 48)
}

// add has a secret be looked for from now on, and in what was written just before.
func (s *secrets) add(of string, secret []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known[string(secret)] {
		return
	}
	s.known[string(secret)] = true
	for how, text := range written(secret) {
		if len(text) < window {
			continue
		}
		added := form{of, how, []byte(text)}
		first, hashed := begin(added.bytes)
		s.begins[hashed] = true
		s.forms[first] = append(s.forms[first], added)
		for _, p := range s.recent {
			if bytes.Contains(p.content, added.bytes) {
				s.find(p.where + " holds " + added.of + ", " + added.how)
			}
		}
	}
}

// written is a secret in all forms in which programs write it by accident. Of base64 it is what does not depend on the
// text before and behind, so padding is none of it.
func written(secret []byte) map[string]string {
	quoted, _ := json.Marshal(string(secret)) //nolint:errchkjson // a string
	list := make([]string, len(secret))
	for i, b := range secret {
		list[i] = strconv.Itoa(int(b))
	}
	all := map[string]string{
		"raw": string(secret), "in JSON": strings.Trim(string(quoted), `"`), "in hex": hex.EncodeToString(secret),
		"in capital hex": strings.ToUpper(hex.EncodeToString(secret)), "by its bytes": strings.Join(list, " "), "by its bytes in JSON": strings.Join(list, ","),
	}
	for shift := range 3 {
		for name, encoding := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64 of URLs": base64.RawURLEncoding} {
			text := encoding.EncodeToString(append(make([]byte, shift), secret...))
			all["in "+name+" "+strconv.Itoa(shift)] = text[(shift*8+5)/6 : (shift+len(secret))*8/6]
		}
	}
	return all
}

// look searches what may hold no secret.
func (s *secrets) look(where string, content []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.search(where, content)
	s.recent = append(s.recent, passage{where, content})
	for s.size += len(content); s.size > remembered; s.recent = s.recent[1:] {
		s.size -= len(s.recent[0].content)
	}
}

func (s *secrets) search(where string, content []byte) {
	if traceOf(content) {
		s.find(where + " holds data in the clear")
	}
	for i := 0; i+window <= len(content); i++ {
		first, hashed := begin(content[i:])
		if !s.begins[hashed] {
			continue
		}
		for _, f := range s.forms[first] {
			if bytes.HasPrefix(content[i:], f.bytes) {
				s.find(where + " holds " + f.of + ", " + f.how)
			}
		}
	}
}

func (s *secrets) find(what string) {
	if !slices.Contains(s.found, what) {
		s.found = append(s.found, what)
	}
}

// told are all that were found where they may not be, since it was last asked.
func (s *secrets) told() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.found
	s.found = nil
	slices.Sort(all)
	return all
}

// ofClouds are the credentials of the deployment, and those of the tenants' account.
func (s *secrets) ofClouds(from *stack.Secrets) {
	keys := map[string]awscloud.Keys{"the tenants' root": from.TenantAWS, "the operator's role": from.OperatorAWS, "the operator's root": from.OperatorRoot}
	for name, key := range from.Functions {
		keys["function "+name] = key
	}
	for name, key := range keys {
		s.add("the access key of "+name, []byte(key.SecretAccessKey))
	}
	s.add("the clouds' administrator's token", []byte(from.Admin))
	s.ofGoogle("the deployment", from.GoogleKey)
}

// ofGoogle takes the key of a service account apart: files are written in other ways than what is in them.
func (s *secrets) ofGoogle(owner, file string) {
	var parsed struct {
		Key string `json:"private_key"`
	}
	if json.Unmarshal([]byte(file), &parsed) != nil {
		return
	}
	for i, line := range strings.Split(parsed.Key, "\n") {
		if i > 0 && len(line) == 64 { // of PEM, in which all keys begin alike
			s.add("the key of a service account of "+owner, []byte(line))
		}
	}
}

// wrapper is the operator's key, whose data keys are secrets.
type wrapper struct {
	seal.Wrapper

	secrets *secrets
}

// GenerateDataKey implements seal.Wrapper.
func (w wrapper) GenerateDataKey(ctx context.Context, c seal.Context) (plain, wrapped []byte, err error) {
	plain, wrapped, err = w.Wrapper.GenerateDataKey(ctx, c)
	if err == nil {
		w.secrets.add("the data key of "+c.Field, plain)
	}
	return plain, wrapped, err
}

// unsealed learns the keys that nodes seal their master keys to, as they are stored.
func (w *World) unsealed(ctx context.Context, item store.Item) {
	var content struct {
		Keys []struct {
			Private []byte `json:"private"`
		}
	}
	rec, err := store.Decode[struct {
		Sealed seal.Sealed `json:"sealed"`
	}](item)
	if err != nil {
		w.fail(err)
		return
	}
	plain, err := w.auditor.Open(ctx, rec.Sealed, seal.Context{Scope: "system", Field: "recipientKeys"})
	if err != nil {
		w.fail(err)
		return
	}
	if err := json.Unmarshal(plain, &content); err != nil || len(content.Keys) == 0 {
		w.failf("the recipient keys are none: %w", err)
	}
	for _, k := range content.Keys {
		w.secrets.add("a key that master keys are sealed to", k.Private)
	}
}

// identified learns the private key of an agent from what it stores; what else it stores may hold no secret.
func (w *World) identified(h *host, name string, content []byte) {
	if !strings.HasPrefix(name, "identity.json") {
		w.secrets.look("the disk of "+h.name()+", in "+name+",", content)
		return
	}
	var identity struct {
		PrivateKey []byte `json:"privateKey"`
	}
	_, text, _ := bytes.Cut(content, []byte("\n")) // the first line is a checksum
	if err := json.Unmarshal(text, &identity); err != nil || len(identity.PrivateKey) == 0 {
		w.failf("%s stores no private key: %w", h.name(), err)
		return
	}
	w.secrets.add("the private key of "+h.name(), identity.PrivateKey)
}

// plaintexts are what the KMS of the clouds are given to wrap and give back unwrapped: master keys, whose nodes may not have
// them yet, or never will.
var plaintexts = regexp.MustCompile(`"(?:[Pp]laintext|value)": *"([A-Za-z0-9+/_-]{43})=?"`)

// overhearer learns master keys on their way to a KMS and back.
type overhearer struct {
	http.RoundTripper

	secrets *secrets
}

// RoundTrip implements http.RoundTripper.
func (o *overhearer) RoundTrip(r *http.Request) (*http.Response, error) {
	asked, err := take(r)
	if err != nil {
		return nil, err
	}
	resp, err := asked.to(o.RoundTripper, r.Context())
	if err != nil {
		return nil, err
	}
	answered, err := take(&http.Request{Body: resp.Body})
	if err != nil {
		return nil, err
	}
	resp.Body = answered.again()
	for _, body := range [][]byte{asked.body, answered.body} {
		for _, m := range plaintexts.FindAllSubmatch(body, -1) {
			if key, err := base64.RawURLEncoding.DecodeString(toURL.Replace(string(m[1]))); err == nil {
				o.secrets.add("a master key that "+r.URL.Host+" knows", key)
			}
		}
	}
	return resp, nil
}

// toURL spells base64 as URLs do.
var toURL = strings.NewReplacer("+", "-", "/", "_")

// listener looks for secrets in what is answered.
type listener struct {
	http.RoundTripper

	secrets *secrets
}

// RoundTrip implements http.RoundTripper.
func (l *listener) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := l.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	s, err := take(&http.Request{Body: resp.Body})
	if err != nil {
		return nil, err
	}
	var header bytes.Buffer
	if err := resp.Header.Write(&header); err != nil {
		return nil, err
	}
	where := "an answer to " + r.Method + " " + r.URL.Path
	l.secrets.look(where, header.Bytes())
	l.secrets.look(where, s.body)
	resp.Body = s.again()
	return resp, nil
}
