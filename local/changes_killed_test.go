package main

import (
	"errors"
	"sync"

	"latchkey/local/states/journal"
)

var errKilled = errors.New("killed")

// killer ends the world at a transition of a workflow.
type killer struct {
	journal.Journal

	mu sync.Mutex
}
