package digest

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Target is the request as it arrived, which a signed URI must mean. Gateways change a URI's
// spelling on its way: API Gateway removes the stage from the path or leaves it, decodes the
// query, and hands its parameters over in no order.
type Target struct {
	// Paths are the paths under which the request may have been sent: with and without the
	// stage. Each may be percent-encoded or not.
	Paths []string
	// Query is the decoded query.
	Query url.Values
}

// TargetOf is the target of a request that reached an HTTP server unchanged.
func TargetOf(r *http.Request) Target {
	return Target{Paths: []string{r.URL.EscapedPath()}, Query: splitQuery(r.URL.RawQuery)}
}

// Signs reports whether the signed URI means the target: one of its paths, and exactly its
// query parameters as a multiset.
func (a Authorization) Signs(t Target) bool {
	path, query, ok := splitURI(a.URI)
	if !ok || !sameQuery(splitQuery(query), t.Query) {
		return false
	}
	return slices.ContainsFunc(t.Paths, func(p string) bool { return samePath(path, p) })
}

// splitURI separates path and query of an origin-form or absolute URI.
func splitURI(uri string) (path, query string, ok bool) {
	if strings.Contains(uri, "#") {
		return "", "", false // a fragment is never sent
	}
	path, query, _ = strings.Cut(uri, "?")
	if strings.HasPrefix(path, "/") {
		return path, query, true
	}
	_, afterScheme, found := strings.Cut(path, "://")
	if !found {
		return "", "", false
	}
	_, path, _ = strings.Cut(afterScheme, "/")
	return "/" + path, query, true
}

// samePath compares a signed path with a path that a gateway may have decoded already. One
// trailing slash makes no difference, as it makes none to the API.
func samePath(signed, arrived string) bool {
	signed, arrived = trimSlash(signed), trimSlash(arrived)
	if signed == arrived {
		return true
	}
	decoded, err := url.PathUnescape(signed)
	if err != nil {
		return false
	}
	if decoded == arrived {
		return true
	}
	again, err := url.PathUnescape(arrived)
	return err == nil && decoded == again
}

func trimSlash(path string) string {
	if len(path) > 1 {
		return strings.TrimSuffix(path, "/")
	}
	return path
}

// splitQuery decodes a query without ever failing: what cannot be decoded stands for itself.
func splitQuery(raw string) url.Values {
	values := url.Values{}
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		values.Add(unescape(name), unescape(value))
	}
	return values
}

func unescape(s string) string {
	if decoded, err := url.QueryUnescape(s); err == nil {
		return decoded
	}
	return s
}

// sameQuery compares queries as multisets. A plus counts as a space, because gateways differ
// in whether they decode it.
func sameQuery(a, b url.Values) bool { return slices.Equal(flatten(a), flatten(b)) }

func flatten(values url.Values) []string {
	var flat []string
	for name, all := range values {
		for _, value := range all {
			flat = append(flat, strings.ReplaceAll(name+"\x00"+value, "+", " "))
		}
	}
	slices.Sort(flat)
	return flat
}
