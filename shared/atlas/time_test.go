package atlas_test

import (
	"encoding/json"
	"testing"
	"time"

	"latchkey/shared/atlas"
)

// What is accepted can be stored and shown, and is the same instant when it is read again.
func FuzzParseTime(f *testing.F) {
	for _, s := range []string{
		"2026-05-01T12:00:00Z", "2026-05-01T12:00:00.5+02:00", "9999-12-31T23:59:59-23:59", "0000-01-01T00:00:00+23:59", "2026-02-30T00:00:00Z",
		"2026-05-01T24:00:00Z", "2026-05-01T12:00:60Z", "2026-05-01t12:00:00z", "2026-05-01T12:00:00+24:00",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		at, err := atlas.ParseTime(s)
		if err != nil {
			return
		}
		stored, err := json.Marshal(at)
		if err != nil || at.Location() != time.UTC {
			t.Fatalf("%q can't be stored: %v", s, err)
		}
		var loaded time.Time
		if err := json.Unmarshal(stored, &loaded); err != nil || !loaded.Equal(at) {
			t.Errorf("%q is stored as %s and read as %s, %v", s, stored, loaded, err)
		}
		shown, err := atlas.ParseTime(atlas.Time(at))
		if err != nil || !shown.Equal(at.Truncate(time.Second)) {
			t.Errorf("%q is shown as %s: %v", s, atlas.Time(at), err)
		}
	})
}

func TestParseTime_RefusesWhatNothingCanShow(t *testing.T) {
	for _, s := range []string{"9999-12-31T23:59:59-00:01", "0000-01-01T00:00:00+00:01", "", "2026-05-01"} {
		if at, err := atlas.ParseTime(s); err == nil {
			t.Errorf("%q is %s", s, at)
		}
	}
	if at, err := atlas.ParseTime("2026-05-01", time.RFC3339, time.DateOnly); err != nil || atlas.Time(at) != "2026-05-01T00:00:00Z" {
		t.Errorf("%s, %v", at, err)
	}
}
