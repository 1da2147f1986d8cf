// Package ratio measures what something costs against a floor: the least that anything which does the
// same could cost on this machine. Both take turns, so that a machine which others use too slows both
// of them alike.
//
// Its invariant: a budget is a ratio, or a count, and no time, but for what people wait for. What is fast on one
// machine is slow on another; how many times as much as its floor something costs is nearly the same on both.
package ratio

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Turn does the work once, or often enough to be measured, and returns what it cost in the contest's
// unit: the CPU seconds of one request, the requests of one second.
type Turn func(ctx context.Context) (float64, error)

// Contest lets a subject and its floor take turns.
type Contest struct {
	// Name is what -only chooses by: "cold start/nodes".
	Name string
	// Measures says in a sentence what is measured, and Floor what it is compared with.
	Measures, Floor string
	// Unit is what turns return.
	Unit Unit
	// Budget bounds the ratio of subject to floor; the zero Budget only reports it.
	Budget Budget
	// Turns is how many each takes, after one that doesn't count; 0 is 11.
	Turns int
	// Open prepares both. What it needs to undo it leaves to the lab.
	Open func(ctx context.Context, lab *Lab) (subject, floor Turn, err error)
}

// Fact is a number that has no floor: the size of a program, how many calls something takes.
type Fact struct {
	// Name is what -only chooses by.
	Name string
	// Measures says in a sentence what the number is.
	Measures string
	// Unit is the number's.
	Unit Unit
	// Budget bounds the number; the zero Budget only reports it.
	Budget Budget
	// Measure returns the number.
	Measure func(ctx context.Context, lab *Lab) (float64, error)
}

// Entry is a Contest or a Fact.
type Entry interface {
	title() string
	run(ctx context.Context, lab *Lab, turns int) Result
}

// Section is what a package measures, under a title.
type Section struct {
	Title   string
	Entries []Entry
}

// Result is what became of an entry.
type Result struct {
	Name     string  `json:"name"`
	Measures string  `json:"measures"`
	Floor    string  `json:"floor,omitempty"`
	Unit     Unit    `json:"unit"`
	Subject  float64 `json:"subject"` // the median of its turns, or the fact
	FloorIs  float64 `json:"floorIs,omitempty"`
	// Ratio is the median of the ratios of the turns that followed each other; a quarter of them is
	// below Low, and a quarter above High.
	Ratio   float64 `json:"ratio,omitempty"`
	Low     float64 `json:"low,omitempty"`
	High    float64 `json:"high,omitempty"`
	Budget  string  `json:"budget,omitempty"`
	Verdict Verdict `json:"verdict"`
	Error   string  `json:"error,omitempty"`
}

// Verdict says whether a budget was kept.
type Verdict string

// The verdicts.
const (
	Reported Verdict = "reported" // there is no budget
	Kept     Verdict = "kept"
	Broken   Verdict = "BROKEN"
	Failed   Verdict = "FAILED" // it could not be measured
)

// defaultTurns are odd, for the median to be one that was measured.
const defaultTurns = 11

func (c Contest) title() string { return c.Name }

// run takes the turns. Who goes first alternates, since the first finds other caches than the second.
func (c Contest) run(ctx context.Context, lab *Lab, turns int) Result {
	r := Result{Name: c.Name, Measures: c.Measures, Floor: c.Floor, Unit: c.Unit, Budget: c.Budget.String()}
	if turns == 0 {
		turns = c.Turns
	}
	if turns == 0 {
		turns = defaultTurns
	}
	subject, floor, err := c.Open(ctx, lab)
	if err != nil {
		return r.failed(err)
	}
	var subjects, floors, ratios []float64
	for i := range turns + 1 {
		s, f, err := both(ctx, subject, floor, i%2 == 0)
		if err != nil {
			return r.failed(err)
		}
		if i == 0 {
			continue // it finds nothing in any cache
		}
		subjects, floors, ratios = append(subjects, s), append(floors, f), append(ratios, s/f)
	}
	r.Subject, r.FloorIs = quantile(subjects, 0.5), quantile(floors, 0.5)
	r.Ratio, r.Low, r.High = quantile(ratios, 0.5), quantile(ratios, 0.25), quantile(ratios, 0.75)
	r.Verdict = c.Budget.judge(r.Ratio)
	return r
}

// both lets both take a turn.
func both(ctx context.Context, subject, floor Turn, subjectFirst bool) (s, f float64, err error) {
	if subjectFirst {
		s, err = take(ctx, "subject", subject)
	}
	if err == nil {
		f, err = take(ctx, "floor", floor)
	}
	if err == nil && !subjectFirst {
		s, err = take(ctx, "subject", subject)
	}
	return s, f, err
}

func take(ctx context.Context, name string, turn Turn) (float64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	cost, err := turn(ctx)
	if err == nil && cost <= 0 {
		err = errNothing
	}
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	return cost, nil
}

// errNothing is about turns that are too short for the clock.
var errNothing = errors.New("a turn cost nothing that can be measured")

func (f Fact) title() string { return f.Name }

func (f Fact) run(ctx context.Context, lab *Lab, _ int) Result {
	r := Result{Name: f.Name, Measures: f.Measures, Unit: f.Unit, Budget: f.Budget.String()}
	value, err := f.Measure(ctx, lab)
	if err != nil {
		return r.failed(err)
	}
	r.Subject, r.Verdict = value, f.Budget.judge(value)
	return r
}

func (r Result) failed(err error) Result {
	r.Verdict, r.Error = Failed, err.Error()
	return r
}

// Median is the middle one of values, or halfway between the two in the middle.
func Median(values []float64) float64 { return quantile(values, 0.5) }

// quantile returns the value below which the share q of all values lies.
func quantile(values []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	at := q * float64(len(sorted)-1)
	i := int(at)
	if i+1 == len(sorted) {
		return sorted[i]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}
