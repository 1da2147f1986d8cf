package schedule

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/cronexpr"
)

// Expression is when a schedule is due: cron(…) or rate(…) of EventBridge Scheduler, in UTC.
type Expression struct {
	cron  *cronexpr.Expression
	every time.Duration // if cron is nil
}

// Parse reads an expression, and refuses what EventBridge Scheduler would refuse too.
func Parse(text string) (Expression, error) {
	kind, rest, _ := strings.Cut(text, "(")
	inner, closed := strings.CutSuffix(rest, ")")
	switch {
	case closed && kind == "cron":
		return parseCron(inner)
	case closed && kind == "rate":
		return parseRate(inner)
	}
	return Expression{}, fmt.Errorf("%q is neither cron(…) nor rate(…)", text)
}

// rate is a count without leading zeros and a unit in the number that goes with it.
var rate = regexp.MustCompile(`^(?:(1) (minute|hour|day)|([1-9][0-9]{0,4}) (minute|hour|day)s)$`)

func parseRate(inner string) (Expression, error) {
	m := rate.FindStringSubmatch(inner)
	if m == nil || m[3] == "1" {
		return Expression{}, fmt.Errorf("rate(%s) has not the form rate(1 day) or rate(5 minutes)", inner)
	}
	count, err := strconv.Atoi(m[1] + m[3])
	if err != nil {
		return Expression{}, fmt.Errorf("rate(%s): %w", inner, err)
	}
	unit := map[string]time.Duration{"minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour}[m[2]+m[4]]
	return Expression{every: time.Duration(count) * unit}, nil
}

// cronField is what a field may be written with: the library reads more than AWS does.
var cronField = regexp.MustCompile(`^[0-9A-Z*?,/#-]+$`)

// parseCron reads the six fields of AWS: minutes, hours, day of month, month, day of week, year.
func parseCron(inner string) (Expression, error) {
	fail := func(why error) (Expression, error) { return Expression{}, fmt.Errorf("cron(%s): %w", inner, why) }
	fields := strings.Fields(inner)
	if len(fields) != 6 {
		return fail(fmt.Errorf("%d fields, not six", len(fields)))
	}
	for i, f := range fields {
		if !cronField.MatchString(f) || strings.Contains(f, "?") && (f != "?" || i != 2 && i != 4) {
			return fail(fmt.Errorf("the field %q", f))
		}
	}
	if (fields[2] == "?") == (fields[4] == "?") {
		return fail(errors.New("either the day of month or the day of week is ?"))
	}
	// AWS counts days of the week from SUN = 1, cron from SUN = 0. Names mean the same to both.
	days, _, _ := strings.Cut(fields[4], "#")
	if strings.ContainsAny(days, "0123456789") {
		return fail(errors.New("name the days of the week: SUN, MON-FRI, MON#1"))
	}
	cron, err := cronexpr.Parse(inner)
	if err != nil {
		return fail(err)
	}
	return Expression{cron: cron}, nil
}

// Next is when the schedule is due for the first time after an instant; the zero time if never
// again. Rates count from the anchor, which is not due itself.
func (e Expression) Next(after, anchor time.Time) time.Time {
	if e.cron != nil {
		return e.cron.Next(after.UTC())
	}
	if after.Before(anchor) {
		after = anchor
	}
	sinceLast := after.Sub(anchor) % e.every
	return after.Add(e.every - sinceLast)
}
