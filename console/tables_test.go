package console_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"latchkey/console"
)

var update = flag.Bool("update", false, "write what is stored in testdata anew")

var variable = regexp.MustCompile(`\{[a-zA-Z]+\}`)

// An action that is refused shows the page of its form again: it must be in the table, and be about what
// the action is about.
func TestActions_haveAFormThatIsAPage(t *testing.T) {
	t.Parallel()
	for _, a := range console.Actions() {
		if !slices.ContainsFunc(console.Pages(), func(p console.Page) bool { return p.Path == a.Form }) {
			t.Errorf("%s has the form %q, which is no page", a.Path, a.Form)
		}
		for _, name := range variable.FindAllString(a.Form, -1) {
			if !strings.Contains(a.Path, name) {
				t.Errorf("%s does not have the variable %s of its form", a.Path, name)
			}
		}
		if a.Do == nil {
			t.Errorf("%s does nothing", a.Path)
		}
	}
}

// testdata/routes.txt tells those who go through all pages in a browser which there are: -update writes it.
func TestRoutes_areListed(t *testing.T) {
	t.Parallel()
	var list strings.Builder
	for _, p := range console.Pages() {
		fmt.Fprintln(&list, "page", p.Path)
	}
	for _, a := range console.Actions() {
		fmt.Fprintln(&list, "action", a.Path, "of", a.Form)
	}
	const name = "testdata/routes.txt"
	if *update {
		if err := os.WriteFile(name, []byte(list.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	stored, err := os.ReadFile(name)
	if err != nil || string(stored) != list.String() {
		t.Errorf("%s is another list (%v): go test ./console -run TestRoutes -update", name, err)
	}
}

func TestPages_haveTheirTemplates(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	for _, p := range console.Pages() {
		if !w.handler.Defines(p.Template, "content") || p.Load == nil {
			t.Errorf("%s: templates/%s.html has no content, or nothing is loaded", p.Path, p.Template)
		}
		if in := strings.HasPrefix(p.Path, "/console/groups/{groupId}"); in != (p.Nav != "") {
			t.Errorf("%s is below the item %q of the navigation", p.Path, p.Nav)
		}
	}
	for _, f := range console.Fragments() {
		if !w.handler.Defines(f.Template, f.Block) || f.Load == nil {
			t.Errorf("%s: templates/%s.html has no block %q, or nothing is loaded", f.Path, f.Template, f.Block)
		}
	}
	if w.handler.Defines("overview", "nothing") || w.handler.Defines("nothing", "content") {
		t.Error("what is not there is found")
	}
}

// Templates are parsed when they are first shown, so one that is wrong must be found here.
func TestTemplates_canBeParsed(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	files, err := filepath.Glob("templates/*.html")
	if err != nil || len(files) == 0 {
		t.Fatal("there are no templates", err)
	}
	for _, file := range files {
		if !w.handler.Defines(strings.TrimSuffix(filepath.Base(file), ".html"), "layout") {
			t.Errorf("%s cannot be shown in the layout", file)
		}
	}
}

// Without a session every page and every action leads to the sign-in, and nothing is asked of the API.
func TestPagesAndActions_needASession(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	fill := strings.NewReplacer("{groupId}", groupID, "{provider}", "AWS")
	for _, p := range console.Pages() {
		if a := w.get(variable.ReplaceAllString(fill.Replace(p.Path), "x")); a.StatusCode != 303 || !strings.HasPrefix(a.Header.Get("Location"), "/console/sign-in?return=") {
			t.Errorf("GET %s is answered %d %s", p.Path, a.StatusCode, a.Header.Get("Location"))
		}
	}
	for _, action := range console.Actions() {
		if a := w.post(variable.ReplaceAllString(fill.Replace(action.Path), "x"), nil); a.StatusCode != 303 || a.Header.Get("Location") != "/console/sign-in" {
			t.Errorf("POST %s is answered %d %s", action.Path, a.StatusCode, a.Header.Get("Location"))
		}
	}
	for _, f := range console.Fragments() {
		if a := w.get(variable.ReplaceAllString(fill.Replace(f.Path), "x")); a.StatusCode != 200 || !strings.Contains(a.body, "Sign in again") {
			t.Errorf("GET %s is answered %d", f.Path, a.StatusCode)
		}
	}
	if asked := w.api.asked(); len(asked) > 0 {
		t.Errorf("asked %v", asked)
	}
}
