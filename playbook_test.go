package latchkey_test

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey"
)

const playbook = "docs/playbook.md"

// sections reads the playbook: its sections by chapter, where a heading may name several, separated by
// commas, in either.
func sections(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(playbook)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	var chapters []string
	isCode := false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "```") {
			isCode = !isCode
		}
		if heading, ok := strings.CutPrefix(line, "## "); ok && !isCode {
			chapters = strings.Split(heading, ", ")
		}
		if heading, ok := strings.CutPrefix(line, "### "); ok && !isCode {
			for _, chapter := range chapters {
				all[chapter] = append(all[chapter], strings.Split(heading, ", ")...)
			}
		}
	}
	return all
}

// ends are the states of a definition that end an execution, with the cause of those that fail it.
func ends(t *testing.T, path string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var definition struct {
		States map[string]struct{ Type, Cause string }
	}
	if err := json.Unmarshal(text, &definition); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for name, state := range definition.States {
		if state.Type == "Succeed" || state.Type == "Fail" {
			all[name] = state.Cause
		}
	}
	return all
}

// Whoever sees how an execution ended finds what to do, and nothing is explained that does not happen.
func TestPlaybook_hasASectionForEveryEndOfAWorkflowAndTheReverse(t *testing.T) {
	written := sections(t)
	_, machines := stateMachines(t)
	// Machines that are alike share a chapter: what one of them may end as is explained once.
	shared := map[string]map[string]bool{}
	for _, m := range machines {
		for name, cause := range ends(t, m.DefinitionURI) {
			if !slices.Contains(written[m.Kind], name) {
				t.Errorf("%s has no section on %s: %s", playbook, m.Kind, name)
			}
			chapter := strings.Join(written[m.Kind], "\n")
			if shared[chapter] == nil {
				shared[chapter] = map[string]bool{}
			}
			shared[chapter][name] = true
			if want := playbook + ": " + m.Kind + ", " + name; cause != "" && !strings.HasSuffix(cause, want+".") {
				t.Errorf("%s: the cause of %s does not end with %q", m.DefinitionURI, name, want)
			}
		}
	}
	for _, m := range machines {
		for _, name := range written[m.Kind] {
			if !shared[strings.Join(written[m.Kind], "\n")][name] {
				t.Errorf("%s explains %s: %s, which is no end", playbook, m.Kind, name)
			}
		}
	}
}

func TestPlaybook_hasASectionForEveryAlarmAndTheReverse(t *testing.T) {
	tmpl, _, _ := load(t)
	var want []string
	for _, r := range tmpl.OfType("AWS::CloudWatch::Alarm") {
		want = append(want, r.ID)
	}
	got := slices.Clone(sections(t)["Alarms"])
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("alarms (-) and sections (+):\n%s", diff)
	}
}

var (
	named    = regexp.MustCompile(`\$\{AWS::StackName\}-([a-z-]+)`)
	commands = regexp.MustCompile(`\$STACK-([a-z-]+)|\blogs ([a-su-z][a-z]+)|machine ([a-z-]+)\)|execution ([a-z-]+) NAME\)|pause\(\) .*# pause (.*)`)
)

// What the playbook's commands name is in the template under that name.
func TestPlaybook_namesWhatIsThere(t *testing.T) {
	there := map[string]bool{}
	for _, match := range named.FindAllStringSubmatch(string(latchkey.Template()), -1) {
		there[match[1]] = true
	}
	text, err := os.ReadFile(playbook)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, match := range commands.FindAllStringSubmatch(string(text), -1) {
		for name := range strings.SplitSeq(strings.Join(match[1:], ""), " | ") {
			if found++; !there[name] {
				t.Errorf("%q names %s, which the template does not", match[0], name)
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d names were found", found)
	}
}
