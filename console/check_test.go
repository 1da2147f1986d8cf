package console_test

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// elements are those of a page, in their order.
func elements(t *testing.T, page string) []*html.Node {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	var all []*html.Node
	for n := range root.Descendants() {
		if n.Type == html.ElementNode {
			all = append(all, n)
		}
	}
	return all
}

func attribute(n *html.Node, name string) (string, bool) {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val, true
		}
	}
	return "", false
}

// What is asked while somebody types says what it sends, and no secret is among it: htmx would send the
// whole form.
func TestChecks_sendWhatTheyNeedAlone(t *testing.T) {
	t.Parallel()
	w := keysWorld(t)
	checks := 0
	for _, path := range []string{"/AWS?access=secret", "/AWS", "/AZURE?access=secret", "/GCP?access=secret"} {
		a := w.get(overview + "/advanced" + path)
		var secrets []string
		for _, n := range elements(t, a.body) {
			if kind, _ := attribute(n, "type"); kind == "password" || n.Data == "textarea" {
				name, _ := attribute(n, "name")
				secrets = append(secrets, name)
			}
		}
		for _, n := range elements(t, a.body) {
			if _, posts := attribute(n, "hx-post"); !posts {
				continue
			}
			checks++
			params, has := attribute(n, "hx-params")
			sent := strings.Split(params, ",")
			if name, is := attribute(n, "name"); is && !slices.Contains(sent, name) {
				t.Errorf("%s: the check of %s does not send it: %q", path, name, params)
			}
			if !has || strings.HasPrefix(params, "not ") || params == "*" || slices.ContainsFunc(secrets, func(s string) bool { return slices.Contains(sent, s) }) {
				t.Errorf("%s: a %s sends %q; the secrets are %v", path, n.Data, params, secrets)
			}
		}
	}
	if checks < 6 {
		t.Errorf("there are %d checks", checks)
	}
}
