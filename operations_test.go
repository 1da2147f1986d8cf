package latchkey_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// operationsRow is a row of the table of metrics: name, dimensions, unit.
var operationsRow = regexp.MustCompile("(?m)^\\| `([A-Za-z]+)` \\| ([A-Za-z, –]*) \\| ([A-Za-z]+) \\|")

func TestOperations_explainsEveryMetricAndTheReverse(t *testing.T) {
	text, err := os.ReadFile("docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]metric{}
	for _, match := range operationsRow.FindAllStringSubmatch(string(text), -1) {
		m := metric{Unit: match[3]}
		if match[2] != "–" {
			m.Dimensions = strings.Split(match[2], ", ")
		}
		got[match[1]] = m
	}
	if diff := cmp.Diff(counted(t), got); diff != "" {
		t.Errorf("counted (-) and explained (+):\n%s", diff)
	}
}
