// Package maintenance keeps when a project wants its clusters to be maintained, and plans what
// has to be done there into that time (CONTRACT 7.6).
//
// When something is done is a pure function of the window, the plan and the time. Its invariants: a
// plan that was announced keeps its time, unless it is deferred; nothing is deferred more than twice;
// nothing begins in protected hours, or without its 72 hours' notice, unless the tenant asks for it.
package maintenance

import (
	"time"
	_ "time/tzdata" // a function has no time zones of its own

	"latchkey/shared/atlas"
)

// Bounds of windows.
const (
	// MaxDeferrals is how often one maintenance may be deferred (CONTRACT 7.6).
	MaxDeferrals = 2
	// Notice is how long before its start a maintenance is announced (CONTRACT 5.4).
	Notice = 72 * time.Hour

	daysPerWeek = 7
	lastHour    = 23
)

// Window is when a project wants to be maintained. The zero value is a project without a wish.
type Window struct {
	GroupID string `json:"groupId"`
	OrgID   string `json:"orgId"`
	// Day is the day of the week, Sunday is 1; 0 if no window is set. Hour is when it begins.
	Day  int `json:"day,omitempty"`
	Hour int `json:"hour,omitempty"`
	// Protected are hours in which nothing begins; nil if there are none.
	Protected *Hours `json:"protected,omitempty"`
	// AutoDefer defers every maintenance by a week once.
	AutoDefer bool `json:"autoDefer,omitempty"`
	// TimeZone is the IANA name of the zone that days and hours are in; "" is UTC.
	TimeZone string `json:"timeZone,omitempty"`
	// Plan is the maintenance that is to come; nil if there is none.
	Plan *Plan `json:"plan,omitempty"`

	version int64
}

// Hours are the hours of a day from Start up to End, which may lie on the next day.
type Hours struct {
	Start int `json:"start"`
	End   int `json:"end"`
}

// holds reports whether an hour of the day is among them.
func (h Hours) holds(hour int) bool {
	if h.Start <= h.End {
		return h.Start <= hour && hour < h.End
	}
	return hour >= h.Start || hour < h.End
}

// Defined reports whether the project has set a window.
func (w Window) Defined() bool { return w.Day != 0 }

// Location is the zone that days and hours are in.
func (w Window) Location() *time.Location {
	if zone, err := time.LoadLocation(w.TimeZone); err == nil {
		return zone
	}
	return time.UTC
}

// Next is when maintenance may begin next, at or after a time: when the window begins, or at any
// time if there is none, but never in protected hours.
func (w Window) Next(from time.Time) time.Time {
	from = from.In(w.Location())
	if !w.Defined() {
		return w.unprotected(from).UTC()
	}
	ahead := (w.Day - 1 - int(from.Weekday()) + daysPerWeek) % daysPerWeek
	start := w.unprotected(w.startOn(from, ahead-daysPerWeek)) // protected hours may reach into this day
	for week := 0; start.Before(from); week++ {
		start = w.unprotected(w.startOn(from, ahead+week*daysPerWeek))
	}
	return start.UTC()
}

// startOn is when the window begins on a day that lies a number of days ahead. An hour that
// the clocks skip begins when they have.
func (w Window) startOn(from time.Time, ahead int) time.Time {
	year, month, day := from.Date()
	return time.Date(year, month, day+ahead, w.Hour, 0, 0, 0, from.Location())
}

// unprotected is the first time at or after another that lies in no protected hour.
func (w Window) unprotected(t time.Time) time.Time {
	if w.Protected == nil {
		return t
	}
	const most = 26 // hours of the longest day, and the one that has begun
	for range most {
		if !w.Protected.holds(t.Hour()) {
			return t
		}
		t = t.Add(time.Hour - time.Duration(t.Minute())*time.Minute - time.Duration(t.Second())*time.Second - time.Duration(t.Nanosecond()))
	}
	return t
}

// Settings are what a client wants of a window; nil leaves a member as it is.
type Settings struct {
	Day, Hour  *int
	StartASAP  *bool
	AutoDefer  *bool
	Protected  *Hours
	Unprotects bool // no hours are to be protected any more
}

// Apply returns the window as a client wants it. It fails if the wish makes no sense, or comes
// too late for the maintenance that is to come.
func (w Window) Apply(s Settings, now time.Time) (Window, error) {
	if err := s.validate(); err != nil {
		return w, err
	}
	after := w
	if s.Day != nil {
		after.Day = *s.Day
	}
	if !after.Defined() {
		if s.asks() {
			return w, atlas.Fail(atlas.MaintenanceWindowNotDefined)
		}
		return w, atlas.Fail(atlas.MissingAttribute, "dayOfWeek")
	}
	if s.Hour != nil {
		after.Hour = *s.Hour
	}
	if s.Protected != nil {
		after.Protected = s.Protected
	}
	if s.Unprotects {
		after.Protected = nil
	}
	if s.AutoDefer != nil {
		after.AutoDefer = *s.AutoDefer
	}
	after, err := after.replan(w, now)
	if err != nil {
		return w, err
	}
	return after.hasten(s.StartASAP, now)
}

// asks reports whether the settings ask for something that needs a window.
func (s Settings) asks() bool {
	return s.Day == nil && s.Hour == nil && (s.StartASAP != nil && *s.StartASAP || s.AutoDefer != nil)
}

func (s Settings) validate() error {
	if s.Day != nil && (*s.Day < 1 || *s.Day > daysPerWeek) {
		return atlas.Fail(atlas.MaintenanceDayInvalid)
	}
	hours := []*int{s.Hour}
	if p := s.Protected; p != nil {
		hours = append(hours, &p.Start, &p.End)
	}
	for _, h := range hours {
		if h != nil && (*h < 0 || *h > lastHour) {
			return atlas.Fail(atlas.MaintenanceHourInvalid)
		}
	}
	if p := s.Protected; p != nil && p.Start == p.End {
		return atlas.Fail(atlas.InvalidAttribute, "protectedHours").Hinting("They must begin and end at different hours.")
	}
	return nil
}

// moved reports whether maintenance begins at other times than it did.
func (w Window) moved(before Window) bool {
	same := w.Protected == before.Protected || w.Protected != nil && before.Protected != nil && *w.Protected == *before.Protected
	return w.Day != before.Day || w.Hour != before.Hour || w.TimeZone != before.TimeZone || !same
}

// Reset returns the project without a window.
func (w Window) Reset(now time.Time) (Window, error) {
	after := w
	after.Day, after.Hour, after.Protected, after.AutoDefer = 0, 0, nil, false
	return after.replan(w, now)
}
