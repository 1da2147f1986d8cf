package agent

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/node/protocol"
)

const (
	// requestTimeout bounds one request. The slowest answer is a release: the control plane
	// calls a KMS in another cloud and gives up before this.
	requestTimeout = 30 * time.Second
	maxAnswer      = 1 << 20
	// skewTolerance is how far the offset may be off before it is corrected: the server tells
	// whole seconds, and the answer was under way.
	skewTolerance = 2 * time.Second
)

// APIError is the control plane's refusal.
type APIError struct {
	Status     int
	Code       atlas.Code
	Detail     string
	RetryAfter time.Duration // 0 where the control plane does not say
}

// Error names the code, and what the control plane said.
func (e *APIError) Error() string {
	return fmt.Sprintf("control plane: %d %s: %s", e.Status, e.Code, e.Detail)
}

// errUnreachable wraps every failure to get an answer at all.
var errUnreachable = errors.New("agent: the control plane cannot be reached")

// ErrPlaintext is returned for a control plane at an http URL that is not on this machine.
var ErrPlaintext = errors.New("agent: the control plane must be reached over https")

// Client speaks the agents' protocol. It is safe for concurrent use.
type Client struct {
	base *url.URL
	http *http.Client
	now  func() time.Time

	mu     sync.Mutex
	key    ed25519.PrivateKey
	who    protocol.Identity
	offset time.Duration // the server's time minus ours
}

// NewClient returns a client for the control plane at base. http may come with any transport;
// its redirects are not followed, since a token is for one server.
func NewClient(base string, transport http.RoundTripper, now func() time.Time) (*Client, error) {
	u, err := url.Parse(strings.TrimSuffix(base, "/"))
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("agent: %q is not the URL of a control plane", base)
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())) {
		return nil, ErrPlaintext
	}
	return &Client{base: u, now: now, http: &http.Client{
		Transport: transport, Timeout: requestTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// identify makes later calls speak for a node.
func (c *Client) identify(key ed25519.PrivateKey, who protocol.Identity) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.key, c.who = key, who
}

// serverTime is the control plane's time as far as the client knows.
func (c *Client) serverTime() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now().Add(c.offset)
}

// enrol is the only call without a token.
func (c *Client) enrol(ctx context.Context, body protocol.EnrolRequest) (protocol.EnrolResponse, error) {
	return post[protocol.EnrolResponse](ctx, c, protocol.EnrolPath, body)
}

func (c *Client) heartbeat(ctx context.Context, report protocol.Report) (protocol.HeartbeatResponse, error) {
	return post[protocol.HeartbeatResponse](ctx, c, protocol.HeartbeatPath, protocol.HeartbeatRequest{Report: report})
}

func (c *Client) wrap(ctx context.Context, body protocol.WrapRequest) (protocol.WrappedKey, error) {
	answer, err := post[protocol.WrapResponse](ctx, c, protocol.WrapPath, body)
	return answer.Wrapped, err
}

func (c *Client) release(ctx context.Context, body protocol.ReleaseRequest) ([]byte, error) {
	answer, err := post[protocol.ReleaseResponse](ctx, c, protocol.ReleasePath, body)
	return answer.Sealed, err
}

func (c *Client) rewrap(ctx context.Context, body protocol.RewrapRequest) (protocol.WrappedKey, error) {
	answer, err := post[protocol.RewrapResponse](ctx, c, protocol.RewrapPath, body)
	return answer.Wrapped, err
}

func (c *Client) keep(ctx context.Context, body protocol.KeepRequest) error {
	_, err := post[struct{}](ctx, c, protocol.KeepPath, body)
	return err
}

func (c *Client) adopt(ctx context.Context, body protocol.AdoptRequest) (protocol.AdoptResponse, error) {
	return post[protocol.AdoptResponse](ctx, c, protocol.AdoptPath, body)
}

func (c *Client) ack(ctx context.Context, body protocol.AckRequest) error {
	_, err := post[struct{}](ctx, c, protocol.AckPath, body)
	return err
}

// post sends a request, and sends it once more where the control plane says that our clock is
// wrong.
func post[A any](ctx context.Context, c *Client, path string, body any) (A, error) {
	var answer A
	content, err := json.Marshal(body)
	if err != nil {
		return answer, fmt.Errorf("agent: encode a request: %w", err)
	}
	status, got, header, err := c.send(ctx, path, content)
	if err == nil && status == http.StatusUnauthorized && c.learnTime(got) {
		status, got, header, err = c.send(ctx, path, content)
	}
	if err != nil {
		return answer, err
	}
	if status >= http.StatusMultipleChoices {
		return answer, refusal(status, got, header)
	}
	if len(got) == 0 {
		return answer, nil
	}
	if err := json.Unmarshal(got, &answer); err != nil {
		return answer, fmt.Errorf("%w: the answer is not JSON", errUnreachable)
	}
	return answer, nil
}

func (c *Client) send(ctx context.Context, path string, content []byte) (int, []byte, http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base.String()+path, bytes.NewReader(content))
	if err != nil {
		return 0, nil, nil, fmt.Errorf("agent: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	if path != protocol.EnrolPath {
		if err := c.authorize(req); err != nil {
			return 0, nil, nil, err
		}
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, nil, nil, unanswered(ctx, err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	got, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return 0, nil, nil, unanswered(ctx, err)
	}
	return resp.StatusCode, got, resp.Header, nil
}

// unanswered tells being told to give up from getting no answer.
func unanswered(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return fmt.Errorf("%w: %w", errUnreachable, err)
}

func (c *Client) authorize(req *http.Request) error {
	at := c.serverTime()
	c.mu.Lock()
	key, who := c.key, c.who
	c.mu.Unlock()
	token, err := protocol.SignToken(key, who, at)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	return nil
}

// learnTime takes the control plane's time from a refusal and reports whether it is news.
func (c *Client) learnTime(answer []byte) bool {
	var body atlas.ErrorBody
	if json.Unmarshal(answer, &body) != nil {
		return false
	}
	at, ok := protocol.ServerTime(body)
	if !ok {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	offset := at.Sub(c.now())
	if change := offset - c.offset; change.Abs() <= skewTolerance {
		return false
	}
	c.offset = offset
	return true
}

// refusal reads an error envelope; what is none (a proxy's page) has only its status.
func refusal(status int, answer []byte, header http.Header) *APIError {
	var body atlas.ErrorBody
	if json.Unmarshal(answer, &body) != nil {
		body = atlas.ErrorBody{}
	}
	e := &APIError{Status: status, Code: body.ErrorCode, Detail: bounded(body.Detail)}
	if e.Code == "" {
		e.Code = atlas.UnexpectedError
	}
	if seconds, err := strconv.Atoi(header.Get("Retry-After")); err == nil && seconds > 0 {
		e.RetryAfter = min(time.Duration(min(seconds, int(protocol.MaxInterval/time.Second)))*time.Second, protocol.MaxInterval)
	}
	return e
}

// bounded keeps a hostile or broken server from filling the log.
func bounded(s string) string { return strings.ToValidUTF8(s[:min(len(s), 300)], "") }
