package atlas_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"latchkey/shared/atlas"
)

const googleVersion = "projects/p1/locations/us-east4/keyRings/kr/cryptoKeys/k/cryptoKeyVersions/1"

func TestParseGoogleKeyVersion(t *testing.T) {
	for s, want := range map[string]atlas.GoogleKeyVersion{
		googleVersion: {Project: "p1", Location: "us-east4", Ring: "kr", Key: "k", Version: 1},
		"projects/example.com:my-proj/locations/global/keyRings/Ring_1/cryptoKeys/Key-2/cryptoKeyVersions/12": {
			Project: "example.com:my-proj", Location: "global", Ring: "Ring_1", Key: "Key-2", Version: 12,
		},
		"projects/a-b/locations/eur4/keyRings/-/cryptoKeys/_/cryptoKeyVersions/999999999999999999": {
			Project: "a-b", Location: "eur4", Ring: "-", Key: "_", Version: 999999999999999999,
		},
	} {
		got, err := atlas.ParseGoogleKeyVersion(s)
		if err != nil {
			t.Errorf("%s: %v", s, err)
			continue
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", s, d)
		}
		if got.String() != s {
			t.Errorf("%s is written as %s", s, got)
		}
	}
	v, err := atlas.ParseGoogleKeyVersion(googleVersion)
	if err != nil || v.CryptoKey() != "projects/p1/locations/us-east4/keyRings/kr/cryptoKeys/k" {
		t.Errorf("the crypto key is %q, %v", v.CryptoKey(), err)
	}
}

func TestParseGoogleKeyVersion_RefusesEverythingElse(t *testing.T) {
	const head = "projects/p1/locations/us-east4/keyRings/"
	for name, s := range map[string]string{
		"empty":              "",
		"a crypto key":       "projects/p1/locations/us-east4/keyRings/kr/cryptoKeys/k",
		"a leading slash":    "/" + googleVersion,
		"a trailing slash":   googleVersion + "/",
		"a trailing newline": googleVersion + "\n",
		"a leading newline":  "\n" + googleVersion,
		"an extra segment":   googleVersion + "/x",
		"a custom verb":      googleVersion + ":destroy",
		"a query":            googleVersion + "?x=1",
		"a full name":        "//cloudkms.googleapis.com/" + googleVersion,
		"a URL":              "https://cloudkms.googleapis.com/v1/" + googleVersion,
		"a dot segment":      head + "../cryptoKeys/k/cryptoKeyVersions/1",
		"an escaped slash":   head + "a%2Fb/cryptoKeys/k/cryptoKeyVersions/1",
		"unicode":            head + "ké/cryptoKeys/k/cryptoKeyVersions/1",
		"full-width digits":  head + "kr/cryptoKeys/k/cryptoKeyVersions/１",
		"version 0":          head + "kr/cryptoKeys/k/cryptoKeyVersions/0",
		"a leading zero":     head + "kr/cryptoKeys/k/cryptoKeyVersions/01",
		"a sign":             head + "kr/cryptoKeys/k/cryptoKeyVersions/+1",
		"a huge version":     head + "kr/cryptoKeys/k/cryptoKeyVersions/9999999999999999999",
		"the wildcard":       head + "kr/cryptoKeys/*/cryptoKeyVersions/1",
		"upper-case project": "projects/P1/locations/us/keyRings/kr/cryptoKeys/k/cryptoKeyVersions/1",
		"a project number":   "projects/1234/locations/us/keyRings/kr/cryptoKeys/k/cryptoKeyVersions/1",
		"a dotted location":  "projects/p1/locations/us.east/keyRings/kr/cryptoKeys/k/cryptoKeyVersions/1",
		"an empty ring":      head + "/cryptoKeys/k/cryptoKeyVersions/1",
		"a NUL":              head + "k\x00r/cryptoKeys/k/cryptoKeyVersions/1",
	} {
		if v, err := atlas.ParseGoogleKeyVersion(s); !errors.Is(err, atlas.ErrGoogleKeyVersion) {
			t.Errorf("%s: %q is accepted as %+v, %v", name, s, v, err)
		}
	}
}

func TestGoogleKeyVersion_ParsingReversesFormatting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := atlas.GoogleKeyVersion{
			Project:  rapid.StringMatching(`([a-z]{1,9}\.[a-z]{2,3}:)?[a-z][a-z0-9-]{0,27}[a-z0-9]`).Draw(t, "project"),
			Location: rapid.StringMatching(`[a-z]{2,12}([0-9]|-[a-z]{4,9}[0-9]{0,2})?`).Draw(t, "location"),
			Ring:     rapid.StringMatching(`[a-zA-Z0-9_-]{1,63}`).Draw(t, "ring"),
			Key:      rapid.StringMatching(`[a-zA-Z0-9_-]{1,63}`).Draw(t, "key"),
			Version:  rapid.Int64Range(1, 1e18-1).Draw(t, "version"),
		}
		got, err := atlas.ParseGoogleKeyVersion(want.String())
		if err != nil || got != want {
			t.Fatalf("%s parses to %+v, %v", want, got, err)
		}
	})
}

func FuzzParseGoogleKeyVersion(f *testing.F) {
	f.Add(googleVersion)
	f.Add("projects/example.com:p/locations/global/keyRings/r/cryptoKeys/k/cryptoKeyVersions/2")
	f.Fuzz(func(t *testing.T, s string) {
		v, err := atlas.ParseGoogleKeyVersion(s)
		if err == nil && v.String() != s {
			t.Errorf("%q parses to something that is written %q", s, v)
		}
		if err == nil && (v.Version < 1 || !atlas.ValidGoogleProject(v.Project)) {
			t.Errorf("%q parses to %+v", s, v)
		}
	})
}
