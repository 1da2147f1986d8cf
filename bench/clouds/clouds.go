// Package clouds are the key services of three clouds, as thin as they can be behind an
// http.RoundTripper, so that what is measured over them is the client.
//
// Its invariant: they encrypt. What was made with another key, or for another use, does not open, and
// nobody opens anything without a token that was issued here. Beyond that they check nothing: what
// the pocket clouds check would cost as much as what is measured.
package clouds

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Operation is what a request asks for.
type Operation int

// The operations.
const (
	Refused Operation = iota // whatever it asked for
	Decrypt
	Encrypt   // a new probe, or a master key
	Describe  // a key's state and dates
	Rotations // the dates of a key's rotations
	SignIn    // a session or a token
	Challenge // a vault's answer to who comes without a token
	operations
)

// Silence is for how long a key that was silenced does not answer.
const Silence = 30 * time.Second

// Clouds answer requests after a while. The zero value is not ready; make them with New.
type Clouds struct {
	now     func() time.Time
	latency atomic.Int64
	silent  atomic.Pointer[string]
	last    atomic.Int64
	counts  [operations]atomic.Int64
}

// New are clouds that answer at once. Tokens end by the clock now.
func New(now func() time.Time) *Clouds { return &Clouds{now: now} }

// Delay has every request answered after d.
func (c *Clouds) Delay(d time.Duration) { c.latency.Store(int64(d)) }

// Hush has the keys in whose names this occurs answer after Silence; "" has all answer.
func (c *Clouds) Hush(part string) { c.silent.Store(&part) }

// Last is when a request was answered last, but for those about keys that were hushed.
func (c *Clouds) Last() time.Time { return time.Unix(0, c.last.Load()) }

// Count is how many requests for an operation were answered.
func (c *Clouds) Count(op Operation) int64 { return c.counts[op].Load() }

// Total is how many requests were answered.
func (c *Clouds) Total() int64 {
	var sum int64
	for op := range operations {
		sum += c.Count(op)
	}
	return sum
}

// answer is what a cloud makes of a request.
type answer struct {
	op     Operation
	key    string // that was asked for, "" for none
	status int
	header http.Header // beside the type of the content
	kind   string
	body   []byte
}

// RoundTrip answers a request.
func (c *Clouds) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := read(r.Body)
	if err != nil {
		return nil, err
	}
	a := c.serve(r, body)
	if err := c.wait(r.Context(), a.key); err != nil {
		return nil, err
	}
	c.counts[a.op].Add(1)
	if a.header == nil {
		a.header = http.Header{}
	}
	a.header.Set("Content-Type", a.kind)
	return &http.Response{
		Status: strconv.Itoa(a.status) + " " + http.StatusText(a.status), StatusCode: a.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: a.header, Body: io.NopCloser(bytes.NewReader(a.body)), ContentLength: int64(len(a.body)), Request: r,
	}, nil
}

func read(body io.ReadCloser) ([]byte, error) {
	if body == nil {
		return nil, nil
	}
	content, err := io.ReadAll(body)
	return content, errors.Join(err, body.Close())
}

func (c *Clouds) serve(r *http.Request, body []byte) answer {
	switch host := r.URL.Host; {
	case strings.HasPrefix(host, "kms.") && strings.HasSuffix(host, ".amazonaws.com"):
		return c.awsKMS(r, body)
	case strings.HasPrefix(host, "sts."):
		return c.awsSTS(body)
	case host == "login.microsoftonline.com":
		return c.azureLogin(r)
	case strings.HasSuffix(host, ".vault.azure.net"):
		return c.azureVault(r, body)
	case host == "iamcredentials.googleapis.com":
		return c.googleToken(r)
	case host == "cloudkms.googleapis.com":
		return c.googleKMS(r, body)
	}
	return answer{status: http.StatusNotFound, kind: "text/plain"}
}

// isHushed reports whether a key answers after Silence.
func (c *Clouds) isHushed(key string) bool {
	part := c.silent.Load()
	return part != nil && *part != "" && strings.Contains(key, *part)
}

// wait lets the time pass that an answer takes.
func (c *Clouds) wait(ctx context.Context, key string) error {
	d, isHushed := time.Duration(c.latency.Load()), c.isHushed(key)
	if isHushed {
		d = Silence
	} else {
		defer func() { c.last.Store(c.now().UnixNano()) }()
	}
	if d == 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// seal encrypts with the key of that name, for a use.
func seal(key, use string, plaintext []byte) []byte {
	return aead(key).Seal(nil, nil, plaintext, []byte(use)) //nolint:gosec // G407: the nonce is random, see aead
}

// open decrypts what seal made.
func open(key, use string, sealed []byte) ([]byte, error) {
	return aead(key).Open(nil, nil, sealed, []byte(use))
}

// aead is a key's cipher. Keys follow from their names: a hundred thousand of them take no memory.
func aead(key string) cipher.AEAD {
	material := sha256.Sum256([]byte("the key " + key))
	block, err := aes.NewCipher(material[:])
	if err != nil {
		panic(err) // 32 bytes are a key
	}
	made, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // AES has blocks of 16 bytes
	}
	return made
}

// tokenLife is how long sessions and tokens last.
const tokenLife = time.Hour

// tokenPadding makes tokens as long as those of the clouds are: about a kilobyte.
var tokenPadding = strings.Repeat("latchkey", 100)

// issue makes a token, and says until when it is good.
func (c *Clouds) issue() (token string, expires time.Time) {
	expires = c.now().Add(tokenLife).UTC().Truncate(time.Second)
	claim := strconv.FormatInt(expires.Unix(), 10)
	return claim + "." + sign(claim) + "." + tokenPadding, expires
}

// isGood reports whether a token was issued here and has not ended.
func (c *Clouds) isGood(token string) bool {
	claim, rest, _ := strings.Cut(token, ".")
	signature, _, _ := strings.Cut(rest, ".")
	expires, err := strconv.ParseInt(claim, 10, 64)
	return err == nil && hmac.Equal([]byte(signature), []byte(sign(claim))) && c.now().Before(time.Unix(expires, 0))
}

func sign(claim string) string {
	mac := hmac.New(sha256.New, []byte("the clouds"))
	mac.Write([]byte(claim))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// Token is a token for whoever measures a bare client.
func (c *Clouds) Token() (token string, expires time.Time) { return c.issue() }

func bearer(r *http.Request) string {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return token
}

func jsonError(status int, format string, args ...any) answer {
	return answer{status: status, kind: "application/json", body: fmt.Appendf(nil, format, args...)}
}
