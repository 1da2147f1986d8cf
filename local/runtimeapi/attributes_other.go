//go:build !linux

package runtimeapi

import "syscall"

// attributes are none: a process whose Runtime API is gone ends by itself.
func attributes() *syscall.SysProcAttr { return nil }
