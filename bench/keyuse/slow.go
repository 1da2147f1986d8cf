package keyuse

import (
	"context"
	"fmt"
	"time"

	"latchkey/bench/clouds"
	"latchkey/bench/ratio"
	"latchkey/shared/encryption"
	"latchkey/shared/verdict"
)

// hanging is how many groups the slow tenant has: as many as the schedule checks of one tenant at once, at both
// hosts.
const hanging = 16

func slow() []ratio.Entry {
	return []ratio.Entry{ratio.Contest{
		Name: "sweep/slow-tenant", Unit: ratio.Wall, Budget: ratio.AtMost(1.05), Turns: 3,
		Measures: fmt.Sprintf("a run over 10,000 groups, up to the last answer to the others, while a tenant's %d keys answer after %s", hanging, clouds.Silence),
		Floor:    "the same while all answer",
		Open: func(ctx context.Context, lab *ratio.Lab) (subject, floor ratio.Turn, err error) {
			s := &schedule{name: "sweep-slow", groups: tenth, large: hanging}
			if err := s.open(ctx, lab); err != nil {
				return nil, nil, err
			}
			s.clouds.Delay(0)
			if err := s.checkAll(ctx); err != nil { // so that all sessions are there
				return nil, nil, err
			}
			s.clouds.Delay(latency)
			silent := fmt.Sprintf(":%s:key/", s.estate.Account(0))
			return s.untilOthers(silent, hanging), s.untilOthers("", 0), nil
		},
	}}
}

// untilOthers is a run over all groups, none of which had its turn for 15 minutes, up to the last answer to those that
// are not silent.
func (s *schedule) untilOthers(silent string, unreachable int) ratio.Turn {
	return func(ctx context.Context) (float64, error) {
		s.clouds.Hush(silent)
		defer s.clouds.Hush("")
		s.clock.advance((encryption.SweepSlots - 1) * time.Minute)
		began := wallClock()
		result, err := s.run(ctx)
		// Those that are valid again may be found twice in a run: where they were, and where they are now.
		if err == nil && (result.Verdicts[verdict.Valid] < s.groups-unreachable || result.Verdicts[verdict.Unreachable] != unreachable) {
			err = fmt.Errorf("%d of %d keys hang, and a run ended with %v", unreachable, s.groups, result.Verdicts)
		}
		return s.clouds.Last().Sub(began).Seconds(), err
	}
}
