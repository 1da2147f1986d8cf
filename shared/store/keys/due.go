package keys

import (
	"strings"
	"time"
)

// DueTime is the time under which an item stands in a part of the index where sort keys begin with
// AlertDuePrefix; ok is false for other keys.
func DueTime(sk string) (at time.Time, ok bool) {
	rest, ok := strings.CutPrefix(sk, AlertDuePrefix+EventPrefix)
	if !ok {
		return time.Time{}, false
	}
	instant, _, _ := strings.Cut(rest, "#")
	at, err := time.Parse(time.RFC3339Nano, instant)
	return at, err == nil
}
