// Package client calls the public API over HTTP on behalf of whoever is signed in to the console.
//
// Its invariant: it reaches one API, the one that it was made for, asks it for what was meant however
// that is named, follows no redirect away from it, and has every failure as an *Error with the API's code and sentence.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"latchkey/shared/atlas"
)

const (
	// Patience is how long a call may take. The slowest operation takes 25 s, and the gateway in front
	// of the console gives up after 29.
	Patience = 26 * time.Second

	maxAnswer = 8 << 20 // an answer of a function has 6 MB at most
	userAgent = "latchkey-console"
)

// Credentials sign requests.
type Credentials interface {
	// Sign puts an Authorization header on a request; it may say that there is nothing to sign with yet.
	Sign(r *http.Request) error
	// Challenged is told of an answer 401, and reports whether the request is worth signing anew.
	Challenged(r *http.Request, answer http.Header) bool
}

// Client calls one API as one caller.
type Client struct {
	base string
	http *http.Client
	as   Credentials
}

// New returns a Client of the API at base, the URL of its root. A nil transport is the network.
func New(base string, transport http.RoundTripper, as Credentials) *Client {
	return &Client{base: strings.TrimSuffix(base, "/"), as: as, http: &http.Client{
		Transport: transport, Timeout: Patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Path joins the segments of a path, escaped: Path("/api/atlas/v2/groups", id, "clusters").
func Path(root string, segments ...string) string {
	var path strings.Builder
	path.WriteString(root)
	for _, s := range segments {
		path.WriteString("/" + url.PathEscape(s))
	}
	return path.String()
}

// Get reads a resource into the value that into points to.
func (c *Client) Get(ctx context.Context, path string, query url.Values, into any) error {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return c.Do(ctx, http.MethodGet, path, nil, into)
}

// Do calls an operation. A nil body sends none; a nil into drops the answer.
func (c *Client) Do(ctx context.Context, method, path string, body, into any) error {
	if !isOperation(path) {
		return &Error{
			Status: http.StatusNotFound, Code: atlas.ResourceNotFound, Detail: "There is nothing of that name.",
			cause: fmt.Errorf("%q is no path of the API", path),
		}
	}
	var content []byte
	if body != nil {
		var err error
		if content, err = json.Marshal(body); err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
	}
	status, header, answer, err := c.exchange(ctx, method, path, content)
	if err != nil {
		return unreachable(err)
	}
	if status < 200 || status > 299 {
		return failure(status, header, answer)
	}
	if into == nil || len(answer) == 0 {
		return nil
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return unreachable(fmt.Errorf("decode answer: %w", err))
	}
	return nil
}

// isOperation reports whether a path is one of the API's, however gateways may read it. Path escapes
// slashes, but dots are the same escaped: a cluster named ".." would be the project that it is in.
func isOperation(path string) bool {
	at, ok := strings.CutPrefix(path, "/api/")
	at, _, _ = strings.Cut(at, "?")
	for segment := range strings.SplitSeq(at, "/") {
		name, err := url.PathUnescape(segment)
		ok = ok && err == nil && name != "" && name != "." && name != ".." && !strings.Contains(segment, "#")
	}
	return ok
}

// exchange sends a request, and once more if the API asks for another signature.
func (c *Client) exchange(ctx context.Context, method, path string, body []byte) (int, http.Header, []byte, error) {
	for again := true; ; again = false {
		resp, err := c.send(ctx, method, path, body) //nolint:bodyclose // read closes it
		if err != nil {
			return 0, nil, nil, err
		}
		answer, err := read(resp.Body)
		if err != nil {
			return 0, nil, nil, err
		}
		if resp.StatusCode == http.StatusUnauthorized && again && c.as.Challenged(resp.Request, resp.Header) {
			continue
		}
		return resp.StatusCode, resp.Header, answer, nil
	}
}

func read(body io.ReadCloser) ([]byte, error) {
	content, err := io.ReadAll(io.LimitReader(body, maxAnswer+1))
	if err = errors.Join(err, body.Close()); err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	if len(content) > maxAnswer {
		return nil, errors.New("read answer: it is too large")
	}
	return content, nil
}

func (c *Client) send(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", mediaType(path))
	r.Header.Set("User-Agent", userAgent)
	if len(body) > 0 {
		r.Header.Set("Content-Type", mediaType(path))
	}
	if err := c.as.Sign(r); err != nil {
		return nil, err
	}
	return c.http.Do(r)
}

// mediaType is the newest that there is: the API resolves it to the operation's own version.
func mediaType(path string) string {
	if strings.HasPrefix(path, "/api/atlas/") {
		return newest.MediaType()
	}
	return "application/json"
}

const newest = atlas.V20250312
