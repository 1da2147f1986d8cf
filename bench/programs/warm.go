package programs

import (
	"context"
	"fmt"
	"net/http"

	"latchkey/bench/ratio"
	"latchkey/local/runtimeapi"
)

// warm measures a request to a process that has served others, while the verdict on the key is fresh: calls within
// validity.Shared of a check share its conclusion, so no KMS is asked.
func (s *shared) warm() ratio.Contest {
	return ratio.Contest{
		Name: "request/encryptionAtRest", Unit: ratio.CPU, Budget: ratio.AtMost(warmGet),
		Floor:    "a function that answers the same event with the same bytes",
		Measures: "CPU time of the process for GET /api/atlas/v2/groups/{groupId}/encryptionAtRest with a fresh verdict",
		Open:     s.openWarm,
	}
}

// A turn is so many batches of so many requests, of which the median counts: one of them may find the verdict stale,
// or the garbage collector at work for all of them.
const (
	batches = 9
	batch   = 20
)

// turnsOfProject are the turns in which a project is asked. The function lets each project's callers ask as often as
// httpapi.LimitEncryption says, however fast the machine is; then it is the next one's turn.
const turnsOfProject = 10

func (s *shared) openWarm(ctx context.Context, lab *ratio.Lab) (subject, floor ratio.Turn, err error) {
	e, err := s.estate(ctx, lab)
	if err != nil {
		return nil, nil, err
	}
	tenant, err := e.settle(ctx)
	if err != nil {
		return nil, nil, err
	}
	event, answer, err := tenant.project(ctx, "bench")
	if err != nil {
		return nil, nil, err
	}
	config, err := hello(ctx, lab, answer, e.log)
	if err != nil {
		return nil, nil, err
	}
	same := runtimeapi.New(config)
	lab.Defer(func() { same.Close() }) //nolint:errcheck // it never fails
	return tenant.reads(event), requests(same, event), nil
}

// reads are turns of requests for projects' configurations. event is that of the first project.
func (t *tenant) reads(event []byte) ratio.Turn {
	turns := 0
	return func(ctx context.Context) (float64, error) {
		if turns > 0 && turns%turnsOfProject == 0 {
			var err error
			if event, _, err = t.project(ctx, fmt.Sprint("bench ", turns)); err != nil {
				return 0, err
			}
		}
		turns++
		return requests(t.encryption, event)(ctx)
	}
}

// requests is a turn of requests, one after the other.
func requests(f *runtimeapi.Function, event []byte) ratio.Turn {
	return func(ctx context.Context) (float64, error) {
		if err := f.Warm(ctx); err != nil {
			return 0, err
		}
		var costs []float64
		for range batches {
			before, err := spent(f)
			if err != nil {
				return 0, err
			}
			if err := repeat(ctx, f, event, batch); err != nil {
				return 0, err
			}
			after, err := spent(f)
			if err != nil {
				return 0, err
			}
			costs = append(costs, (after-before).Seconds()/batch)
		}
		return ratio.Median(costs), nil
	}
}

func repeat(ctx context.Context, f *runtimeapi.Function, event []byte, times int) error {
	for range times {
		answer, err := f.Invoke(ctx, event)
		if err != nil {
			return err
		}
		code, err := status(answer)
		if err != nil {
			return err
		}
		if code != http.StatusOK {
			return fmt.Errorf("the function answers %d", code)
		}
	}
	return nil
}
