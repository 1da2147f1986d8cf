package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Whoever changes a guard sees here that there is something to break elsewhere now.
func TestEveryGuardIsWhereItIsBroken(t *testing.T) {
	t.Parallel()
	for _, m := range append(mutations, crowdMutations...) {
		source, err := os.ReadFile(filepath.Join("..", "..", m.file))
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(source), m.old); n != 1 {
			t.Errorf("%s: %s has it %d times", m.name, m.file, n)
		}
	}
}
