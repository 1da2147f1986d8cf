package atlas

import (
	"regexp"
	"sync"
)

// pattern is a regular expression that is compiled when it is first needed. A function that compiled all of
// them at its start would spend more on that than on everything else before its first event, and most requests need
// none.
func pattern(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}
