package snapshot

import (
	"slices"
	"time"

	"latchkey/shared/atlas"
)

// Frequency is how often snapshots of a policy item are taken.
type Frequency string

// The frequencies, from the most to the least frequent. OnDemand is no schedule's.
const (
	Hourly   Frequency = "hourly"
	Daily    Frequency = "daily"
	Weekly   Frequency = "weekly"
	Monthly  Frequency = "monthly"
	Yearly   Frequency = "yearly"
	OnDemand Frequency = "ondemand" // as the real service spells it (CONTRACT 6.6)
)

var frequencies = []Frequency{Hourly, Daily, Weekly, Monthly, Yearly}

// Retention is how long snapshots are kept.
type Retention struct {
	Unit  string `json:"unit"` // days, weeks, months, years
	Value int    `json:"value"`
}

// Units of retention.
const (
	Days   = "days"
	Weeks  = "weeks"
	Months = "months"
	Years  = "years"
)

// maxRetention keeps times within what the API can show; nobody means a longer time.
const maxRetention = 100 * 366

// valid reports whether a retention makes sense.
func (r Retention) valid() bool {
	return slices.Contains([]string{Days, Weeks, Months, Years}, r.Unit) && r.Value >= 1 && r.Value <= maxRetention && r.days() <= maxRetention
}

// days is roughly how many days a retention has, to compare retentions by.
func (r Retention) days() int {
	return r.Value * map[string]int{Days: 1, Weeks: 7, Months: 30, Years: 365}[r.Unit]
}

// From is the end of the retention of a snapshot that was taken at t. A month after the last day
// of one that is longer ends with the shorter month.
func (r Retention) From(t time.Time) time.Time {
	t = t.UTC()
	switch r.Unit {
	case Days:
		return t.AddDate(0, 0, r.Value)
	case Weeks:
		return t.AddDate(0, 0, 7*r.Value)
	case Years:
		return addMonths(t, 12*r.Value)
	}
	return addMonths(t, r.Value)
}

func addMonths(t time.Time, n int) time.Time {
	sum := t.AddDate(0, n, 0)
	if sum.Day() != t.Day() {
		return sum.AddDate(0, 0, -sum.Day()) // the month has no such day: its last one
	}
	return sum
}

// Item is one rule of a schedule: when snapshots are taken and how long they are kept.
type Item struct {
	ID        string    `json:"id"`
	Frequency Frequency `json:"frequency"`
	// Interval is every how many hours; the weekday from 1, Monday; the day of the month, or
	// lastDay; the month whose first day it is. It is 1 for a daily item.
	Interval  int       `json:"interval"`
	Retention Retention `json:"retention"`
}

// lastDay is the Interval of the last day of a month, however many days it has.
const lastDay = 40

// intervals are what an Interval may be, by frequency.
var intervals = map[Frequency]func(int) bool{
	Hourly:  func(n int) bool { return slices.Contains([]int{1, 2, 4, 6, 8, 12}, n) },
	Daily:   func(n int) bool { return n == 1 },
	Weekly:  func(n int) bool { return n >= 1 && n <= 7 },
	Monthly: func(n int) bool { return n >= 1 && n <= 28 || n == lastDay },
	Yearly:  func(n int) bool { return n >= 1 && n <= 12 },
}

// Schedule is when a cluster's snapshots are taken. All times are UTC, so that no hour comes
// twice and none is missing.
type Schedule struct {
	PolicyID string `json:"policyId"`
	Items    []Item `json:"items"`
	// Hour and Minute are the time of day from which everything counts.
	Hour   int `json:"hour"`
	Minute int `json:"minute"`
	// RestoreWindowDays is of continuous backups, which are not offered. It is kept for clients.
	RestoreWindowDays int `json:"restoreWindowDays"`
}

// DefaultSchedule is what a cluster has whose tenant chose nothing (CONTRACT 6.6). Its time of
// day is that of the cluster's creation, which spreads the clusters over the day.
func DefaultSchedule(created time.Time, mint func() string) Schedule {
	item := func(f Frequency, interval int, unit string, value int) Item {
		return Item{ID: mint(), Frequency: f, Interval: interval, Retention: Retention{Unit: unit, Value: value}}
	}
	return Schedule{
		PolicyID: mint(), Hour: created.UTC().Hour(), Minute: created.UTC().Minute(), RestoreWindowDays: 7,
		Items: []Item{
			item(Hourly, 6, Days, 7), item(Daily, 1, Days, 7), item(Weekly, 6, Weeks, 4), item(Monthly, lastDay, Months, 12),
			item(Yearly, 12, Years, 1),
		},
	}
}

// maxItems bounds a schedule: every weekday, every day of the month, every month, and two more.
const maxItems = 7 + 29 + 12 + 2

// Check says what is wrong with a schedule.
func (s Schedule) Check() error {
	switch {
	case s.Hour < 0 || s.Hour > 23:
		return atlas.Fail(atlas.InvalidReferenceHour)
	case s.Minute < 0 || s.Minute > 59:
		return atlas.Fail(atlas.InvalidReferenceMinute)
	case s.RestoreWindowDays < 1:
		return atlas.Fail(atlas.InvalidRestoreWindow)
	case len(s.Items) > maxItems:
		return atlas.Fail(atlas.InvalidBackupPolicy, "too many policy items")
	}
	type kind struct {
		Frequency
		interval int
	}
	seen := map[kind]bool{}
	for _, item := range s.Items {
		allowed, known := intervals[item.Frequency]
		k := kind{item.Frequency, item.Interval}
		if item.Frequency == Hourly {
			k.interval = 0 // one hourly item is enough
		}
		switch {
		case !known:
			return atlas.Fail(atlas.InvalidEnumValue, string(item.Frequency))
		case !allowed(item.Interval):
			return atlas.Fail(atlas.InvalidBackupPolicy, "frequencyInterval of the "+string(item.Frequency)+" policy item")
		case !item.Retention.valid():
			return atlas.Fail(atlas.InvalidBackupPolicy, "retention of the "+string(item.Frequency)+" policy item")
		case seen[k]:
			return atlas.Fail(atlas.InvalidBackupPolicy, "two "+string(item.Frequency)+" policy items for the same time")
		}
		seen[k] = true
	}
	return s.checkOrder()
}

// checkOrder demands that what is taken less often is kept no shorter.
func (s Schedule) checkOrder() error {
	longest := 0
	for _, f := range frequencies {
		here := longest
		for _, item := range s.Items {
			if item.Frequency != f {
				continue
			}
			if item.Retention.days() < longest {
				return atlas.Fail(atlas.InvalidBackupPolicy, "the "+string(f)+" policy item is kept shorter than a more frequent one")
			}
			here = max(here, item.Retention.days())
		}
		longest = here
	}
	return nil
}

// takes reports whether an item takes a snapshot at t, which is at the schedule's minute.
func (s Schedule) takes(item Item, t time.Time) bool {
	if item.Frequency == Hourly {
		return (t.Hour()-s.Hour+24)%item.Interval == 0
	}
	if t.Hour() != s.Hour {
		return false
	}
	switch item.Frequency {
	case Weekly:
		return (int(t.Weekday())+6)%7+1 == item.Interval
	case Monthly:
		if item.Interval == lastDay {
			return t.AddDate(0, 0, 1).Day() == 1
		}
		return t.Day() == item.Interval
	case Yearly:
		return t.Day() == 1 && int(t.Month()) == item.Interval
	case Hourly, Daily, OnDemand:
	}
	return true
}

// itemsAt are the items that take a snapshot at t.
func (s Schedule) itemsAt(t time.Time) []Item {
	var items []Item
	for _, item := range s.Items {
		if s.takes(item, t) {
			items = append(items, item)
		}
	}
	return items
}

// tick is the first time after t at the schedule's minute; every moment of the schedule is one.
func (s Schedule) tick(t time.Time) time.Time {
	tick := t.UTC().Truncate(time.Hour).Add(time.Duration(s.Minute) * time.Minute)
	if !tick.After(t) {
		tick = tick.Add(time.Hour)
	}
	return tick
}

// horizon is beyond the next moment of every schedule that has one: a yearly item's.
const horizon = 367 * 24 * time.Hour

// Next is the first moment after t at which a snapshot is taken; zero if there is none.
func (s Schedule) Next(t time.Time) time.Time {
	if len(s.Items) == 0 {
		return time.Time{}
	}
	for tick := s.tick(t); tick.Sub(t) < horizon; tick = tick.Add(time.Hour) {
		if len(s.itemsAt(tick)) > 0 {
			return tick
		}
	}
	return time.Time{}
}

// maxMissed is how far back missed moments are made up for. Items that were due before then are
// due again soon, but for the rarest, which an outage of a week has other worries than.
const maxMissed = 7 * 24 * time.Hour

// Due are the items with a moment after from and not after until. However many moments were
// missed, one snapshot makes up for all of them.
func (s Schedule) Due(from, until time.Time) []Item {
	if earliest := until.Add(-maxMissed); from.Before(earliest) {
		from = earliest
	}
	due := map[string]bool{}
	for tick := s.tick(from); !tick.After(until); tick = tick.Add(time.Hour) {
		for _, item := range s.itemsAt(tick) {
			due[item.ID] = true
		}
	}
	var items []Item
	for _, item := range s.Items {
		if due[item.ID] {
			items = append(items, item)
		}
	}
	return items
}

// longest is the item whose snapshots are kept longest, of the rarest frequency where several are.
func longest(items []Item) Item {
	return slices.MaxFunc(items, func(a, b Item) int {
		if d := a.Retention.days() - b.Retention.days(); d != 0 {
			return d
		}
		return slices.Index(frequencies, a.Frequency) - slices.Index(frequencies, b.Frequency)
	})
}
