package atlas_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"latchkey/shared/atlas"
)

var versioned = regexp.MustCompile(`(?i)^[ \t]*application/vnd\.atlas\.(\d{4}-\d\d-\d\d)\+json[ \t]*$`)

// FuzzParseAccept reads anything. A header of plain media types is read as one would by hand: the first
// version with a real date. What comes out is always such a date, and written as a media type it is read again.
func FuzzParseAccept(f *testing.F) {
	for _, s := range []string{
		"application/vnd.atlas.2025-03-12+json", "application/vnd.atlas.2023-02-30+json, application/vnd.atlas.2023-01-01+json", "*/*",
		"APPLICATION/VND.ATLAS.2024-08-05+JSON;charset=utf-8;q=0.5", "application/vnd.atlas.2024-08-05+json;x=\",\"", "application/vnd.atlas.2024-8-5+json", ",,;=",
		"application/vnd.atlas.0000-01-01+json", "text/html, application/vnd.atlas.2024-08-05+csv",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		got, ok := atlas.ParseAccept(header)
		if ok {
			if _, err := time.Parse(time.DateOnly, string(got)); err != nil {
				t.Errorf("%q is read as %q", header, got)
			}
			if again, ok := atlas.ParseAccept(got.MediaType()); !ok || again != got {
				t.Errorf("%q is read as %q, and that as %q", header, got, again)
			}
		}
		if strings.ContainsAny(header, ";\"") || strings.ContainsFunc(header, func(r rune) bool { return r != '\t' && r < ' ' || r > '~' }) {
			return // parameters are more than this reads, and such a space is in no header of a client
		}
		want := atlas.Version("")
		for part := range strings.SplitSeq(header, ",") {
			if m := versioned.FindStringSubmatch(part); m != nil && want == "" {
				if _, err := time.Parse(time.DateOnly, m[1]); err == nil {
					want = atlas.Version(m[1])
				}
			}
		}
		if got != want {
			t.Errorf("%q is read as %q, want %q", header, got, want)
		}
	})
}

// FuzzResolve demands the newest version that is not later than the one asked for, whatever that is.
func FuzzResolve(f *testing.F) {
	f.Add("2024-11-13", uint16(0b101))
	f.Fuzz(func(t *testing.T, asked string, which uint16) {
		all := []atlas.Version{atlas.V20230101, atlas.V20230201, atlas.V20231115, atlas.V20240530, atlas.V20240805, atlas.V20241023, atlas.V20241113, atlas.V20250219, atlas.V20250312}
		var available []atlas.Version
		for i, v := range all {
			if which>>i&1 == 1 {
				available = append(available, v)
			}
		}
		got, ok := atlas.Resolve(atlas.Version(asked), available)
		for _, v := range available {
			if v <= atlas.Version(asked) && (!ok || v > got) {
				t.Errorf("of %q, %q gives %q", available, asked, got)
			}
		}
		if ok && got > atlas.Version(asked) {
			t.Errorf("%q gives the later %q", asked, got)
		}
	})
}
