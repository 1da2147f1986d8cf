package project

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"latchkey/shared/atlas"
)

// What names of groups and organisations are made of, besides letters and digits of any script (CONTRACT
// 7.1). The published pattern leaves out the space, although the real service itself names projects
// "Project 0"; so spaces are accepted within a name.
const (
	nameSigns = "-_.(),:&@+' "
	maxName   = 64
)

// checkName returns INVALID_GROUP_NAME for a name that no group or organisation can have.
func checkName(name string) error {
	foreign := func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsNumber(r) && !strings.ContainsRune(nameSigns, r)
	}
	length := utf8.RuneCountInString(name)
	if length < 1 || length > maxName || strings.ContainsFunc(name, foreign) || strings.TrimSpace(name) != name {
		return atlas.Fail(atlas.InvalidGroupName, name).
			Hinting("A name is 1 to 64 letters, digits, spaces within, and any of -_.(),:&@+'.")
	}
	return nil
}

// Bounds of tags: the API's for their length, the real service's for their number.
const (
	maxTagLength = 255
	maxTags      = 50
)

func checkTags(tags []Tag) error {
	invalid := func(hint string, args ...any) error {
		return atlas.Fail(atlas.InvalidAttribute, "tags").Hinting(hint, args...)
	}
	if len(tags) > maxTags {
		return invalid("A project has at most %d tags.", maxTags)
	}
	seen := map[string]bool{}
	for _, t := range tags {
		for _, s := range []string{t.Key, t.Value} {
			if n := utf8.RuneCountInString(s); n < 1 || n > maxTagLength {
				return invalid("Keys and values have 1 to %d characters.", maxTagLength)
			}
		}
		if seen[t.Key] {
			return invalid("The key %q is there twice.", t.Key)
		}
		seen[t.Key] = true
	}
	return nil
}

// regionRestrictions are the values of regionUsageRestrictions.
var regionRestrictions = []string{"COMMERCIAL_FEDRAMP_REGIONS_ONLY", "GOV_REGIONS_ONLY"}

func checkRegionRestrictions(s string) error {
	if s == "" || slices.Contains(regionRestrictions, s) {
		return nil
	}
	return atlas.Fail(atlas.InvalidEnumValue, s).Hinting("It must be %s.", strings.Join(regionRestrictions, " or "))
}
