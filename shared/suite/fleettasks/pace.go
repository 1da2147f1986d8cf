package fleettasks

import (
	"math"
	"time"
)

// An execution may have 25,000 events in its history. A step costs at most 21 when all goes well
// (two calls of this function, one of keytasks, a wait), and three more for each retry, of which a
// call has six at most. The least maximum of a machine is tested in statemachines/.
const maxSteps = 600

// leastPause is what a node that is quick is waited for.
const leastPause = 2 * time.Second

// growth makes pauses a thirtieth of the time that went by so far: what an execution waits for
// is noticed late by no more than that part of the time it took.
const growth = 31.0 / 30.0

// pause is how long to wait after a step, in seconds, and at most.
func pause(step int, most time.Duration) int {
	seconds := leastPause.Seconds() * math.Pow(growth, float64(step))
	return int(math.Ceil(min(seconds, most.Seconds())))
}
