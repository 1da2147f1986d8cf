package asl

import (
	"math"
	"slices"
	"strings"
	"time"
)

// Retrier is one of a state's Retry entries.
type Retrier struct {
	Errors      []string
	Interval    time.Duration
	BackoffRate float64
	// MaxAttempts is how often the state is retried; 0 is never.
	MaxAttempts int
	// MaxDelay bounds a single delay; 0 does not.
	MaxDelay time.Duration
	// FullJitter draws each delay from between nothing and what it would be.
	FullJitter bool
}

// Catcher is one of a state's Catch entries.
type Catcher struct {
	Errors     []string
	Next       string
	ResultPath Target
}

// Defaults of the language.
const (
	defaultInterval    = 1
	defaultMaxAttempts = 3
	defaultBackoffRate = 2.0
)

// maxSeconds bounds every number of seconds in a definition; the language's own limit.
const maxSeconds = 99_999_999

// maxDelaySeconds bounds MaxDelaySeconds, which is less than a year of 366 days.
const maxDelaySeconds = 31_622_399

// longest is the longest delay there is, whatever the back-off says.
const longest = maxSeconds * time.Second

// Delay is how long to wait before retry number attempt, which counts from 0. random draws
// from [0, 1).
func (r Retrier) Delay(attempt int, random func() float64) time.Duration {
	delay := float64(r.Interval) * math.Pow(r.BackoffRate, float64(attempt))
	most := longest
	if r.MaxDelay > 0 {
		most = r.MaxDelay
	}
	if !(delay < float64(most)) { // also when it is infinite
		delay = float64(most)
	}
	if r.FullJitter {
		delay *= random()
	}
	return time.Duration(delay)
}

func (p *parser) retriers(f *fields) []Retrier {
	entries := f.list("Retry")
	var all []Retrier
	for i, entry := range entries {
		e := p.open("a Retry entry", entry)
		all = append(all, Retrier{
			Errors:      p.errorEquals(e, i == len(entries)-1),
			Interval:    time.Duration(e.integer("IntervalSeconds", defaultInterval, 1, maxSeconds)) * time.Second,
			MaxAttempts: int(e.integer("MaxAttempts", defaultMaxAttempts, 0, maxSeconds)),
			BackoffRate: e.float("BackoffRate", defaultBackoffRate, 1),
			MaxDelay:    time.Duration(e.integer("MaxDelaySeconds", 0, 1, maxDelaySeconds)) * time.Second,
			FullJitter:  e.oneOf("JitterStrategy", "NONE", "FULL") == "FULL",
		})
		e.optionalText("Comment")
		e.close()
	}
	return all
}

func (p *parser) catchers(f *fields) []Catcher {
	entries := f.list("Catch")
	var all []Catcher
	for i, entry := range entries {
		e := p.open("a Catch entry", entry)
		all = append(all, Catcher{
			Errors:     p.errorEquals(e, i == len(entries)-1),
			Next:       e.requiredText("Next"),
			ResultPath: e.target("ResultPath"),
		})
		e.optionalText("Comment")
		e.close()
	}
	return all
}

// errorEquals reads the errors that an entry is for. States.ALL stands alone and last.
func (p *parser) errorEquals(f *fields, isLast bool) []string {
	var names []string
	for _, v := range f.list("ErrorEquals") {
		name, ok := v.(string)
		if !ok || name == "" {
			p.fail("ErrorEquals holds what is no error name")
		}
		if strings.HasPrefix(name, "States.") && !errorNames[name] {
			p.fail("ErrorEquals holds %q, which is no error of the language", name)
		}
		if name == ErrRuntime {
			p.fail("ErrorEquals holds %q, which can be neither retried nor caught", name)
		}
		names = append(names, name)
	}
	switch {
	case len(names) == 0:
		p.fail("ErrorEquals is empty")
	case slices.Contains(names, ErrAll) && (len(names) > 1 || !isLast):
		p.fail("States.ALL does not stand alone in the last entry")
	}
	return names
}
