package measure

import (
	"net/http"
	"runtime"
	"sync/atomic"
	"time"

	"latchkey/bench/ratio"
)

// aside counts the CPU time that the clouds and the table take here to answer, which is none of the suite's.
type aside struct{ took atomic.Int64 }

// around serves what a handler serves, on a thread of its own so that its time can be told.
func (a *aside) around(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		began := usedByThread()
		defer func() { a.took.Add(int64(usedByThread() - began)) }()
		next.ServeHTTP(w, r)
	})
}

// least is the least CPU time that the suite takes to do something, of several times: whatever else runs on the
// machine, and what is done for the first time, only adds.
func (a *aside) least(times int, do func() error) (time.Duration, error) {
	var least time.Duration
	for n := range times {
		before := a.took.Load()
		seconds, err := ratio.CPUOf(do)
		if err != nil {
			return 0, err
		}
		took := time.Duration(seconds*float64(time.Second)) - time.Duration(a.took.Load()-before)
		if n == 0 || took < least {
			least = took
		}
	}
	return least, nil
}
