//go:build !unix

package statedir

import "os"

// lock relies on the operator where files cannot be locked without further libraries. Agents
// are deployed on Unix; elsewhere they run in tests and in the suite on one machine.
func lock(*os.File) error { return nil }
