// Package clitest is for tests that start programs made elsewhere, such as the AWS CLI.
//
// Its invariant: such a test runs only when it is asked for, because each start takes a second,
// and then it never passes for lack of the program.
package clitest

import (
	"os"
	"os/exec"
	"testing"
)

// Variable asks for these tests if it is set in the environment. integration/cli.sh sets it.
const Variable = "LATCHKEY_CLI_TESTS"

// Program returns where a program is, or skips the test if nobody asked for it.
func Program(t *testing.T, name string) string {
	t.Helper()
	if os.Getenv(Variable) == "" {
		t.Skipf("it starts %s, which is slow: set %s=1, or run make integration", name, Variable)
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is set, and %s is not installed: %v", Variable, name, err)
	}
	return path
}
