package keyuse

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"latchkey/bench/clouds"
	"latchkey/bench/ratio"
	"latchkey/shared/atlas"
	"latchkey/shared/encryption"
	"latchkey/shared/suite/validate"
	"latchkey/shared/validity/sweep"
	"latchkey/shared/verdict"
)

// The schedule has lanes: so many checks at once for a host. Two regions are two hosts, which is as much as two
// processors serve without being what is waited for.
const perHost = 32

var regions = []atlas.AWSRegion{"us-east-1", "eu-west-1"} //nolint:gochecknoglobals // never changed

// width is how many calls the schedule makes at once.
const width = 2 * perHost

// The sizes of estates.
const (
	many  = 100_000
	tenth = many / 10
)

// limit is the validate function's time-out, and what it may take of it.
const limit = 70 * time.Second

func sweeps() []ratio.Entry {
	large, small := &schedule{name: "sweep-large", groups: many}, &schedule{name: "sweep-small", groups: tenth}
	return []ratio.Entry{
		ratio.Contest{
			Name: "sweep/100000", Unit: "requests/s", Budget: ratio.AtLeast(0.8), Turns: encryption.SweepSlots,
			Measures: "15 runs, by which 100,000 groups are checked once, a quarter of them inspected, and every role is assumed",
			Floor:    "as many bare Decrypts, 64 at once",
			Open: func(ctx context.Context, lab *ratio.Lab) (subject, floor ratio.Turn, err error) {
				if err := large.open(ctx, lab); err != nil {
					return nil, nil, err
				}
				decrypt, err := large.bare()
				return large.rate, func(ctx context.Context) (float64, error) {
					return rate(ctx, large.requests(), width, decrypt.decrypt)
				}, err
			},
		},
		ratio.Contest{
			Name: "sweep/growth", Unit: ratio.Wall, Budget: ratio.AtMost(11), Turns: 5,
			Measures: "a run with 100,000 groups", Floor: "a run with 10,000",
			Open: func(ctx context.Context, lab *ratio.Lab) (subject, floor ratio.Turn, err error) {
				if err := large.open(ctx, lab); err != nil {
					return nil, nil, err
				}
				return large.time, small.time, small.open(ctx, lab)
			},
		},
		ratio.Fact{
			Name: "sweep/memory", Unit: ratio.Bytes, Budget: ratio.AtMost(256 << 20),
			Measures: "the most memory that was resident in runs over 100,000 groups, all of whose sessions are kept, without the table's file",
			Measure: func(ctx context.Context, lab *ratio.Lab) (float64, error) {
				return large.memory(ctx, lab)
			},
		},
	}
}

// schedule is the function that checks all keys.
type schedule struct {
	*world

	name     string
	groups   int
	large    int // of the first groups are one tenant's
	function validate.Collecting
	checked  int // by all runs so far
	peak     uint64
	opened   sync.Once
	err      error
}

// open opens the schedule's world, once. Its schedule has run before there were any tenants, so that none of
// their turns is late.
func (s *schedule) open(ctx context.Context, lab *ratio.Lab) error {
	s.opened.Do(func() {
		if s.world, s.err = open(ctx, lab, s.name, regions...); s.err != nil {
			return
		}
		s.estate.Large = s.large
		s.function = validate.Collecting{Handler: validate.New(validate.Deps{
			Table: s.estate.Table, Now: s.clock.now, Log: slog.New(slog.DiscardHandler), Keys: s.ring,
		})}
		if _, s.err = s.function.Invoke(ctx, []byte("{}")); s.err == nil {
			s.err = s.estate.Fill(ctx, s.groups)
		}
		debug.FreeOSMemory() // what it took to fill the table is not the function's
		s.clouds.Delay(latency)
	})
	return s.err
}

// run invokes the function a minute after the last time, and has garbage collected as its program does.
func (s *schedule) run(ctx context.Context) (sweep.Result, error) {
	defer debug.SetGCPercent(debug.SetGCPercent(100)) // which the function changes
	s.clock.advance(time.Minute)
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	stop := watchMemory(&s.peak)
	defer stop()
	out, err := s.function.Invoke(ctx, []byte("{}"))
	if err != nil {
		return sweep.Result{}, err
	}
	var result sweep.Result
	if err := json.Unmarshal(out, &result); err != nil {
		return result, err
	}
	s.checked += result.Verdicts[verdict.Valid]
	if result.Failed > 0 || result.Verdicts[verdict.Valid] == 0 {
		err = fmt.Errorf("a run ended with %s", out)
	}
	return result, err
}

// rate is a run, in requests per second. What it has no time for, the next one does first.
func (s *schedule) rate(ctx context.Context) (float64, error) {
	before := s.clouds.Total()
	seconds, err := s.healthy(ctx, nil)
	return float64(s.clouds.Total()-before) / seconds, err
}

// time is a run that leaves nothing, in seconds.
func (s *schedule) time(ctx context.Context) (float64, error) {
	return s.healthy(ctx, func(r sweep.Result) bool { return r.Left == 0 })
}

// healthy is a run that finds nothing but keys that are VALID, and is as it should be.
func (s *schedule) healthy(ctx context.Context, isFit func(sweep.Result) bool) (seconds float64, err error) {
	return ratio.WallOf(func() error {
		result, err := s.run(ctx)
		if err == nil && (len(result.Verdicts) > 1 || isFit != nil && !isFit(result)) {
			err = fmt.Errorf("a run ended with %+v: has the machine other things to do?", result)
		}
		return err
	})
}

// requests is how many a run makes, about.
func (s *schedule) requests() int {
	const each = 3.3 // a session, a check, and five for each that is inspected, a quarter of all
	return int(each * float64(s.groups) / encryption.SweepSlots)
}

// memory is the most that was resident. Unless all groups were checked already, they are.
func (s *schedule) memory(ctx context.Context, lab *ratio.Lab) (float64, error) {
	if err := s.open(ctx, lab); err != nil {
		return 0, err
	}
	if err := s.checkAll(ctx); err != nil {
		return 0, err
	}
	if sessions := s.clouds.Count(clouds.SignIn); int(sessions) != s.groups {
		return 0, fmt.Errorf("%d roles were assumed %d times", s.groups, sessions)
	}
	return float64(s.peak), nil
}

// checkAll has runs until all groups were checked by one of them.
func (s *schedule) checkAll(ctx context.Context) error {
	for s.checked < s.groups {
		if _, err := s.run(ctx); err != nil {
			return err
		}
	}
	return nil
}
