package validate_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/shared/atlas"
	"latchkey/shared/encryption"
	"latchkey/shared/verdict"
	"latchkey/shared/workflow"
)

func TestAHealthyHourCostsOneCallPerCheckAndNoWrite(t *testing.T) {
	inWorld(t, 4, func(w *world) {
		w.minutes(60)
		// Each key is checked four times by one call, of which once more thoroughly, with its dates. Sessions
		// live for an hour.
		calls := w.wire.took()
		delete(calls, "sts")
		if diff := cmp.Diff(map[string]int{"Decrypt": 4*4 + 4, "Encrypt": 4, "DescribeKey": 2 * 4, "ListKeyRotations": 4}, calls); diff != "" {
			w.t.Error(diff)
		}
		c := w.table.took()
		// A run reads its progress, one slot and the urgent keys; a check reads its access role.
		if c.Writes != 0 || c.Progress != 60 || c.Queries != 60*2 {
			w.t.Errorf("%+v", c)
		}
		if took := w.started.took(); len(took) > 0 {
			w.t.Errorf("started %v", took)
		}
		if n := strings.Count(w.log.String(), `"msg":"sweep done"`); n != 60 {
			w.t.Errorf("%d lines tell of 60 runs", n)
		}
		// Counting the calls costs a line for each kind of call in a run, of which a check is one.
		if n := strings.Count(w.log.String(), `"KeyServiceCalls":`); n > 60*4 || !strings.Contains(w.log.String(), `"Operation":"DECRYPT"`) {
			w.t.Errorf("%d lines count calls in 60 runs", n)
		}
	})
}

func TestARevocationIsConfirmedAndEnforced(t *testing.T) {
	inWorld(t, 2, func(w *world) {
		tn := w.tenants[0]
		w.encrypt(tn)
		w.minutes(1)
		w.forget()
		w.enable(tn, false)
		w.minutes(encryption.SweepSlots)
		if s := w.state(tn); s.Valid || s.Verdict.Reason != verdict.KeyDisabled {
			w.t.Fatalf("stored %+v", s.Verdict)
		}
		if !w.state(w.tenants[1]).Valid {
			w.t.Error("another tenant's key is not valid")
		}
		if sessions := w.wire.took()["sts"]; sessions < 1 {
			w.t.Error("the verdict was not confirmed with fresh credentials")
		}
		kinds := w.started.took()
		if len(kinds) == 0 || kinds[0] != workflow.EnforceValidity {
			w.t.Errorf("started %v", kinds)
		}
	})
}

func TestAKeyOfNoClusterStartsNoWorkflow(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		w.enable(w.tenants[0], false)
		w.minutes(encryption.SweepSlots + 2)
		if s := w.state(w.tenants[0]); s.Valid {
			w.t.Errorf("stored %+v", s.Verdict)
		}
		if took := w.started.took(); len(took) > 0 {
			w.t.Errorf("started %v", took)
		}
	})
}

func TestAnOutageOfTheKMSStopsNothing(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		tn := w.tenants[0]
		w.encrypt(tn)
		w.minutes(1)
		w.forget()
		w.wire.meddle(func(string, *http.Request) error { return errors.New("connection refused") }, nil)
		w.minutes(2 * encryption.SweepSlots)
		if s := w.state(tn); !s.Valid || s.Verdict.Class() != verdict.Unreachable {
			w.t.Errorf("stored %+v", s.Verdict)
		}
		w.wire.meddle(nil, nil)
		w.minutes(1)
		if s := w.state(tn); !s.Valid || s.Verdict.Class() != verdict.Valid {
			w.t.Errorf("stored %+v", s.Verdict)
		}
		if took := w.started.took(); len(took) > 0 {
			w.t.Errorf("started %v", took)
		}
	})
}

func TestAMassFailureIsHeldUntilTheOperatorKnowsBetter(t *testing.T) {
	inWorld(t, 20, func(w *world) {
		for _, tn := range w.tenants {
			w.enable(tn, false)
		}
		w.encrypt(w.tenants[0])
		time.Sleep(encryption.SweepSlots * time.Minute) // all are due in one run
		if r := w.run(); r.Held != 20 {
			w.t.Fatalf("%+v", r)
		}
		w.call(w.tenants[0], http.MethodPost, "/encryptionAtRest/validate", "")
		if s := w.state(w.tenants[0]); !s.Valid || s.Verdict.Reason != verdict.Implausible {
			w.t.Errorf("stored %+v", s.Verdict)
		}
		if took := w.started.took(); len(took) > 0 {
			w.t.Errorf("started %v", took)
		}
		time.Sleep(10 * time.Second) // in the same minute
		r := w.invoke(w.t.Context(), `{"acceptedCauses":[{"provider":"AWS","reason":"KEY_DISABLED"}]}`)
		if r.Held != 0 || r.Verdicts[verdict.Invalid] != 20 {
			w.t.Errorf("%+v", r)
		}
		for _, tn := range w.tenants {
			if s := w.state(tn); s.Valid || s.Verdict.Reason != verdict.KeyDisabled {
				w.t.Errorf("stored %+v", s.Verdict)
			}
		}
		if took := w.started.took(); len(took) != 1 {
			w.t.Errorf("started %v", took)
		}
	})
}

// The tenant takes its key away, gives it back and asks for a validation, all while a run of the
// schedule has seen that it was away and not yet stored that.
func TestWhatTheTenantAskedForLaterCounts(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		tn := w.tenants[0]
		w.encrypt(tn)
		w.enable(tn, false)
		time.Sleep(encryption.SweepSlots * time.Minute)
		w.forget()
		seen := 0
		w.wire.meddle(nil, func(operation string) {
			if seen++; seen != 2 { // the second confirms the first
				return
			}
			w.enable(tn, true)
			time.Sleep(time.Second)
			findings, _ := w.call(tn, http.MethodPost, "/encryptionAtRest/validate", "")["providers"].([]any)
			if f, _ := findings[0].(map[string]any); f["class"] != "VALID" {
				w.t.Errorf("%s: %v", operation, f)
			}
		})
		if r := w.run(); r.Verdicts[verdict.Invalid] != 1 {
			w.t.Fatalf("%+v", r)
		}
		if s := w.state(tn); !s.Valid || s.Verdict.Reason != verdict.OK {
			w.t.Errorf("stored %+v", s.Verdict)
		}
		if took := w.started.took(); len(took) > 0 {
			w.t.Errorf("started %v", took)
		}
	})
}

func TestATenantNeedNotWaitForTheSchedule(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		tn := w.tenants[0]
		w.encrypt(tn)
		w.enable(tn, false)
		w.forget()
		w.call(tn, http.MethodPost, "/encryptionAtRest/validate", "")
		if took := w.started.took(); len(took) != 1 || w.state(tn).Valid {
			w.t.Errorf("started %v, stored %+v", took, w.state(tn).Verdict)
		}
	})
}

func TestOneSlowTenantDelaysNoOther(t *testing.T) {
	inWorld(t, 6, func(w *world) {
		slow := w.tenants[0]
		for i := range 20 { // more than the lanes have room for
			w.add(slow.org, w.more(slow.org, fmt.Sprintf("group %d", i)), "eu-west-1")
		}
		time.Sleep(encryption.SweepSlots * time.Minute)
		begun := time.Now()
		var mu sync.Mutex
		var latest time.Duration
		concurrent, most := 0, 0
		w.wire.meddle(func(operation string, r *http.Request) error {
			if strings.Contains(r.URL.Host, "eu-west-1") {
				mu.Lock()
				concurrent++
				most = max(most, concurrent)
				mu.Unlock()
				<-r.Context().Done()
				mu.Lock()
				concurrent--
				mu.Unlock()
				return r.Context().Err()
			}
			mu.Lock()
			defer mu.Unlock()
			latest = max(latest, time.Since(begun))
			return nil
		}, nil)
		r := w.run()
		if latest > time.Second {
			w.t.Errorf("the other tenants waited for %s", latest)
		}
		if most > 8 {
			w.t.Errorf("%d checks of one tenant at once", most)
		}
		if r.Verdicts[verdict.Valid] != 6 {
			w.t.Errorf("%+v", r)
		}
	})
}

func TestARunThatIsShortOfTimeLeavesTheRestToTheNext(t *testing.T) {
	inWorld(t, 3, func(w *world) {
		time.Sleep(encryption.SweepSlots * time.Minute)
		ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second) // less than a check may need
		defer cancel()
		w.invoke(ctx, `{}`)
		if calls := w.wire.took(); len(calls) > 0 {
			w.t.Errorf("it called %v", calls)
		}
		time.Sleep(time.Minute)
		if r := w.run(); r.Verdicts[verdict.Valid] != 3 || r.Left != 0 {
			w.t.Errorf("%+v", r)
		}
	})
}

func TestOnlyWhatCanBeAcceptedIs(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		for payload, want := range map[string]atlas.Code{
			`{"version":"0","source":"aws.scheduler","detail":{}}`: "",
			``:                         atlas.MalformedJSON,
			`{"acceptedCauses":"all"}`: atlas.MalformedJSON,
			`{"acceptedCauses":[{"provider":"ORACLE","reason":"KEY_DISABLED"}]}`:     atlas.InvalidEnumValue,
			`{"acceptedCauses":[{"provider":"AWS","reason":"TIMED_OUT"}]}`:           atlas.InvalidEnumValue,
			`{"acceptedCauses":[{"provider":"AWS","reason":"whatever"}]}`:            atlas.InvalidEnumValue,
			`{"acceptedCauses":[{"provider":"AWS","reason":"CREDENTIALS_INVALID"}]}`: "",
		} {
			_, err := w.validate.Invoke(w.t.Context(), []byte(payload))
			if (err == nil) != (want == "") || err != nil && atlas.CodeOf(err) != want {
				w.t.Errorf("%s: %v", payload, err)
			}
		}
	})
}
