package client

import (
	"net/http"
	"sync"

	"github.com/icholy/digest"
)

// Bearer is the token of a service account.
type Bearer string

// Sign implements Credentials.
func (b Bearer) Sign(r *http.Request) error {
	r.Header.Set("Authorization", "Bearer "+string(b))
	return nil
}

// Challenged implements Credentials: another signature would be the same.
func (Bearer) Challenged(*http.Request, http.Header) bool { return false }

// Nonces keeps the last challenge of the API, so that requests are signed before they are refused.
// A nonce of this API is nobody's in particular and may be used again for minutes, so one serves all
// callers. Its zero value is ready; it is safe for concurrent use.
type Nonces struct {
	mu   sync.Mutex
	last map[string]*known // by host
}

type known struct {
	challenge *digest.Challenge
	used      int
}

// next returns the challenge to sign for and how many times it has been used with this one; nil if
// there is none.
func (n *Nonces) next(host string) (*digest.Challenge, int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	k := n.last[host]
	if k == nil {
		return nil, 0
	}
	k.used++
	return k.challenge, k.used
}

func (n *Nonces) learn(host string, challenge *digest.Challenge) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.last == nil {
		n.last = map[string]*known{}
	}
	n.last[host] = &known{challenge: challenge}
}

// Digest is an API key.
type Digest struct {
	PublicKey, PrivateKey string
	Nonces                *Nonces
}

// Sign implements Credentials. Without a nonce the request goes out unsigned, to get one.
func (d Digest) Sign(r *http.Request) error {
	challenge, count := d.Nonces.next(r.URL.Host)
	if challenge == nil {
		return nil
	}
	signed, err := digest.Digest(challenge, digest.Options{
		Method: r.Method, URI: r.URL.RequestURI(), Count: count, Username: d.PublicKey, Password: d.PrivateKey,
	})
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", signed.String())
	return nil
}

// Challenged implements Credentials. A request that was signed for a nonce that the API gave out
// just now, and is refused, has the wrong key: the exchange repeats it once only.
func (d Digest) Challenged(r *http.Request, answer http.Header) bool {
	challenge, err := digest.FindChallenge(answer)
	if err != nil {
		return false
	}
	d.Nonces.learn(r.URL.Host, challenge)
	return true
}
