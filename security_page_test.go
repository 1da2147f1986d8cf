package latchkey_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var definedTest = regexp.MustCompile(`(?m)^func (Test[A-Za-z0-9_]+)\(`)

// Whoever reads that something is proved must find the proof, where it is said to be.
func TestSecurityPage_namesTestsThatExist(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	defined, named := testsByPackage(t), 0
	for row := range strings.Lines(string(page)) {
		cells := strings.Split(row, " | ")
		if len(cells) != 3 {
			continue
		}
		in := "."
		for _, word := range strings.FieldsFunc(cells[2], func(r rune) bool { return strings.ContainsRune(" ,;:|\n", r) }) {
			name := strings.Trim(word, "`")
			switch isQuoted := name != word; {
			case word == "root":
				in = "."
			case !isQuoted:
			case !strings.HasPrefix(name, "Test"):
				in = name
			default:
				named++
				if !defined[in][name] {
					t.Errorf("there is no %s in %s", name, in)
				}
			}
		}
	}
	if named < 30 {
		t.Errorf("only %d tests are named", named)
	}
}

// testsByPackage are the names of all tests, by the folder of their package.
func testsByPackage(t *testing.T) map[string]map[string]bool {
	t.Helper()
	defined := map[string]map[string]bool{}
	err := filepath.WalkDir(".", func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		folder := filepath.Dir(path)
		if defined[folder] == nil {
			defined[folder] = map[string]bool{}
		}
		for _, match := range definedTest.FindAllStringSubmatch(string(source), -1) {
			defined[folder][match[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return defined
}
