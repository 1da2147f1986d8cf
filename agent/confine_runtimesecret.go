//go:build goexperiment.runtimesecret

package agent

import "runtime/secret"

// confine runs f, which handles secrets, and has the registers, stack and garbage that it used
// erased.
func confine(f func()) { secret.Do(f) }
