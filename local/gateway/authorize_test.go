package gateway_test

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"latchkey/local/gateway"
)

func TestWildcardsMeanWhatIAMSays(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringMatching(`[ab/*?]{0,8}`).Draw(t, "pattern")
		value := rapid.StringMatching(`[ab/]{0,10}`).Draw(t, "value")
		expr := strings.NewReplacer("*", ".*", "?", ".").Replace(pattern)
		want := regexp.MustCompile(`\A(?:` + expr + `)\z`).MatchString(value)
		if got := gateway.Matches(pattern, value); got != want {
			t.Errorf("%q matches %q: %v, want %v", pattern, value, got, want)
		}
	})
}
