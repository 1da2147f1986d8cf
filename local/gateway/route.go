package gateway

import (
	"cmp"
	"strings"
)

// Match finds the route of a request. path is as the client sent it, still percent-encoded,
// but without the repeated slashes it may begin with.
//
// A route is a path with a method: a path that matches with another method does not hide a
// less specific path with this one. That is how REST APIs do it (docs/gateway.md).
func (s Spec) Match(method, path string) (Route, map[string]string, bool) {
	given := segments(path)
	for _, r := range s.Routes {
		if r.Method != "ANY" && r.Method != method {
			continue
		}
		if params, ok := match(segments(r.Path), given); ok {
			return r, params, true
		}
	}
	return Route{}, nil, false
}

// segments splits a path. A slash at its end does not count.
func segments(path string) []string {
	return strings.Split(strings.Trim(path, "/"), "/")
}

func match(pattern, given []string) (map[string]string, bool) {
	var params map[string]string
	set := func(name, value string) {
		if params == nil {
			params = map[string]string{}
		}
		params[name] = value
	}
	for i, p := range pattern {
		if i >= len(given) {
			return nil, false
		}
		switch kindOf(p) {
		case static:
			if p != given[i] {
				return nil, false
			}
		case variable:
			if given[i] == "" {
				return nil, false
			}
			set(p[1:len(p)-1], given[i])
		case greedy:
			rest := strings.Join(given[i:], "/")
			set(p[1:len(p)-2], rest)
			return params, rest != ""
		case missing: // not a kind that a segment has
		}
	}
	return params, len(given) == len(pattern)
}

// segmentKind is how specific a segment of a route's path is.
type segmentKind int

const (
	static   segmentKind = iota // "groups"
	variable                    // "{groupId}"
	greedy                      // "{proxy+}"
	missing                     // the path is shorter
)

func kindOf(segment string) segmentKind {
	switch {
	case strings.HasPrefix(segment, "{") && strings.HasSuffix(segment, "+}"):
		return greedy
	case strings.HasPrefix(segment, "{") && strings.HasSuffix(segment, "}"):
		return variable
	}
	return static
}

// moreSpecific orders routes so that the first that matches is the one to take: segment by
// segment a name comes before a variable and a variable before a greedy one; on the same path
// a method comes before ANY.
func moreSpecific(a, b Route) int {
	as, bs := segments(a.Path), segments(b.Path)
	for i := range max(len(as), len(bs)) {
		if c := cmp.Compare(kindAt(as, i), kindAt(bs, i)); c != 0 {
			return c
		}
	}
	return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(rank(a.Method), rank(b.Method)))
}

func kindAt(path []string, i int) segmentKind {
	if i >= len(path) {
		return missing
	}
	return kindOf(path[i])
}

func rank(method string) int {
	if method == "ANY" {
		return 1
	}
	return 0
}
