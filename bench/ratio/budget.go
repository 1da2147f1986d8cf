package ratio

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// Budget bounds a ratio or a fact.
type Budget struct {
	relation string
	bound    float64
}

// AtMost is the budget of what should be small.
func AtMost(bound float64) Budget { return Budget{relation: "≤", bound: bound} }

// AtLeast is the budget of what should be large.
func AtLeast(bound float64) Budget { return Budget{relation: "≥", bound: bound} }

// Exactly is the budget of a count.
func Exactly(count float64) Budget { return Budget{relation: "=", bound: count} }

// String writes a budget as in the table; the zero Budget is "".
func (b Budget) String() string {
	if b.relation == "" {
		return ""
	}
	return b.relation + " " + strconv.FormatFloat(b.bound, 'g', -1, 64)
}

// exact is how far apart two counts may lie: they are sums and quotients of floating point numbers.
const exact = 1e-9

func (b Budget) judge(value float64) Verdict {
	var kept bool
	switch b.relation {
	case "":
		return Reported
	case "≤":
		kept = value <= b.bound
	case "≥":
		kept = value >= b.bound
	case "=":
		kept = math.Abs(value-b.bound) <= exact
	}
	if kept {
		return Kept
	}
	return Broken
}

// Unit is what a number counts. CPU, Wall and Bytes are written as such; of all others the number is
// followed by the unit.
type Unit string

// The units that have a way of their own to be written.
const (
	CPU   Unit = "s CPU"  // seconds that processors worked, in and for a process
	Wall  Unit = "s wall" // seconds that passed
	Bytes Unit = "bytes"
)

// format writes a number with three digits or more.
func (u Unit) format(value float64) string {
	switch u {
	case CPU:
		return duration(value) + " CPU"
	case Wall:
		return duration(value)
	case Bytes:
		return fmt.Sprintf("%.2f MB", value/1e6)
	default:
		return number(value) + " " + string(u)
	}
}

func duration(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	for unit := time.Nanosecond; unit <= time.Second; unit *= 10 {
		if d < 1000*unit {
			return d.Round(unit).String()
		}
	}
	return d.Round(time.Second).String()
}

func number(value float64) string {
	if value == math.Trunc(value) || math.Abs(value) >= 1000 {
		return strconv.FormatFloat(value, 'f', 0, 64)
	}
	return strconv.FormatFloat(value, 'g', 3, 64)
}
