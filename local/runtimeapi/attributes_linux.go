package runtimeapi

import "syscall"

// attributes put a process into a group of its own, so that Ctrl-C in a terminal reaches it
// only through its function, and have the kernel end it if this program ends in whatever way.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
