//go:build !goexperiment.runtimesecret

package agent

// confine runs f, which handles secrets.
func confine(f func()) { f() }
