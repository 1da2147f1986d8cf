package keyuse_test

import (
	"io"
	"regexp"
	"testing"

	"latchkey/bench/keyuse"
	"latchkey/bench/ratio"
)

func TestAHealthyCheckIsOneCallAndTouchesNoTable(t *testing.T) {
	lab, err := ratio.NewLab()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lab.Close() }) //nolint:errcheck // a temporary folder
	only := regexp.MustCompile("^check/(calls|sessions|reads|writes)$")
	if err := ratio.Run(t.Context(), io.Discard, lab, []ratio.Section{keyuse.Section()}, ratio.Options{Only: only}); err != nil {
		t.Error(err)
	}
}
