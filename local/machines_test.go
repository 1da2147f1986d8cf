package main

import (
	"io"
	"testing"
)

func TestTheDataAPIIsServedOnLoopbackOnly(t *testing.T) {
	t.Parallel()
	for address, ok := range map[string]bool{
		"127.0.0.1:0": true, "[::1]:8084": true, "localhost:8084": true,
		"0.0.0.0:8084": false, ":8084": false, "192.0.2.1:8084": false, "8084": false,
	} {
		if _, err := parseFlags([]string{"-databases", address}, io.Discard); (err == nil) != ok {
			t.Errorf("%s: %v", address, err)
		}
	}
}
