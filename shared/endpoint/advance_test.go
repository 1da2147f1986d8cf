package endpoint_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"latchkey/shared/atlas"
	"latchkey/shared/encryption"
	"latchkey/shared/endpoint"
	"latchkey/shared/verdict"
)

func TestAWS_goesStraightToActive(t *testing.T) {
	w := newWorld(t)
	e := w.create(atlas.AWS, "US_EAST_1")
	if step := w.step(atlas.AWS, e.ID); step.Outcome != endpoint.Wait {
		t.Fatal(step)
	}
	w.is(atlas.AWS, e.ID, endpoint.Initiating)
	w.aws.Settle()
	if got := w.run(atlas.AWS, e.ID); got != endpoint.Settled {
		t.Fatal(got)
	}
	got := w.get(atlas.AWS, e.ID)
	if got.Status != endpoint.Active || got.Message != "" || got.Connection == "" || got.Address == "" || !got.Deadline.IsZero() {
		t.Errorf("got %+v", got)
	}
	if step := w.step(atlas.AWS, e.ID); step.Outcome != endpoint.Settled {
		t.Errorf("another step: %+v", step)
	}
}

func TestAzure_waitsForTheTenant(t *testing.T) {
	w := newWorld(t)
	e := w.create(atlas.Azure, "US_EAST_2")
	if got := w.run(atlas.Azure, e.ID); got != endpoint.Awaiting {
		t.Fatal(got)
	}
	w.is(atlas.Azure, e.ID, endpoint.PendingAcceptance)
	if w.get(atlas.Azure, e.ID).Connection == "" {
		t.Error("the tenant cannot know what to approve")
	}
	w.now = w.now.Add(90 * 24 * time.Hour) // as long as the tenant likes
	w.watch()
	before := len(w.started)
	w.azure.Set(e.ID, endpoint.Ready, "")
	w.watch()
	if len(w.started) != before+1 {
		t.Fatal("the approval was not noticed")
	}
	if got := w.run(atlas.Azure, e.ID); got != endpoint.Settled {
		t.Fatal(got)
	}
	want := []string{"CREATED by apiKey", "PENDING_ACCEPTANCE by system", "ACTIVE by system"}
	if diff := cmp.Diff(want, w.events()); diff != "" {
		t.Error(diff)
	}
}

func TestARejectedOrRemovedRequestHasFailed(t *testing.T) {
	for name, state := range map[string]endpoint.State{"rejected": endpoint.Rejected, "removed": endpoint.Missing} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			e := w.create(atlas.Azure, "US_EAST_2")
			w.run(atlas.Azure, e.ID)
			w.azure.Set(e.ID, state, "not ours")
			w.watch()
			if got := w.run(atlas.Azure, e.ID); got != endpoint.GaveUp {
				t.Fatal(got)
			}
			got := w.get(atlas.Azure, e.ID)
			if got.Status != endpoint.Failed || !strings.Contains(got.Message, name) || !got.Released || w.azure.Count() != 0 {
				t.Errorf("%d left, %+v", w.azure.Count(), got)
			}
			if !slices.Contains(w.events(), "FAILED by system") {
				t.Errorf("told %v", w.events())
			}
			w.delete(atlas.Azure, e.ID)
			if got := w.run(atlas.Azure, e.ID); got != endpoint.Gone {
				t.Fatal(got)
			}
		})
	}
}

func TestAnEndpointThatIsTakenAwayIsMadeAgain(t *testing.T) {
	for name, state := range map[string]endpoint.State{"rejected": endpoint.Rejected, "removed": endpoint.Missing, "being removed": endpoint.Removing} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			old := w.active(atlas.Azure, "US_EAST_2")
			w.azure.Set(old.ID, state, "")
			w.watch()
			w.run(atlas.Azure, old.ID)
			w.is(atlas.Azure, old.ID, endpoint.PendingRecreation)
			if !slices.Contains(w.events(), "PENDING_RECREATION by system") {
				t.Errorf("told %v", w.events())
			}
			all := w.list(atlas.Azure)
			if len(all) != 2 || all[1].Status != endpoint.Initiating || all[1].Region != old.Region {
				t.Fatalf("got %+v", all)
			}
			if ways, inForce := w.ways(atlas.Azure); len(ways) != 0 || !inForce {
				t.Error("traffic may go another way meanwhile")
			}
			if w.uses() != 2 {
				t.Errorf("%d uses", w.uses())
			}
			again := all[1]
			if got := w.run(atlas.Azure, again.ID); got != endpoint.Awaiting {
				t.Fatal(got)
			}
			w.azure.Set(again.ID, endpoint.Ready, "")
			if got := w.run(atlas.Azure, again.ID); got != endpoint.Settled {
				t.Fatal(got)
			}
			w.gone(atlas.Azure, old.ID)
			if w.azure.Count() != 1 || w.uses() != 1 {
				t.Errorf("%d resources, %d uses", w.azure.Count(), w.uses())
			}
		})
	}
}

func TestDeletingTheReplacementEndsWhatItReplaces(t *testing.T) {
	w := newWorld(t)
	old := w.active(atlas.Azure, "US_EAST_2")
	w.azure.Set(old.ID, endpoint.Rejected, "")
	w.watch()
	w.run(atlas.Azure, old.ID)
	again := w.list(atlas.Azure)[1]
	w.run(atlas.Azure, again.ID)
	w.delete(atlas.Azure, again.ID)
	w.is(atlas.Azure, old.ID, endpoint.Deleting)
	if _, inForce := w.ways(atlas.Azure); inForce {
		t.Error("still in force")
	}
	w.run(atlas.Azure, old.ID)
	w.run(atlas.Azure, again.ID)
	if len(w.list(atlas.Azure)) != 0 || w.uses() != 0 || w.azure.Count() != 0 {
		t.Errorf("left: %+v", w.list(atlas.Azure))
	}
}

func TestWhatTheCloudCannotMakeHasFailed(t *testing.T) {
	w := newWorld(t)
	e := w.create(atlas.AWS, "US_EAST_1")
	w.aws.Fail(&endpoint.Failure{Kind: endpoint.Refused, Message: "No more endpoints can be made in US_EAST_1.", Err: errCrash})
	w.step(atlas.AWS, e.ID)
	w.aws.Fail(nil)
	got := w.get(atlas.AWS, e.ID)
	if got.Status != endpoint.Failed || got.Message != "No more endpoints can be made in US_EAST_1." {
		t.Errorf("got %+v", got)
	}
	if got := w.run(atlas.AWS, e.ID); got != endpoint.GaveUp {
		t.Error(got)
	}
}

func TestTheCloudMayGiveUp(t *testing.T) {
	w := newWorld(t)
	e := w.create(atlas.AWS, "US_EAST_1")
	w.step(atlas.AWS, e.ID)
	w.aws.Set(e.ID, endpoint.Broken, "no addresses left")
	if got := w.run(atlas.AWS, e.ID); got != endpoint.GaveUp {
		t.Fatal(got)
	}
	if got := w.get(atlas.AWS, e.ID); !strings.Contains(got.Message, "no addresses left") || w.aws.Count() != 0 {
		t.Errorf("got %+v", got)
	}
}

func TestAnOutageIsSatOutAndThenFails(t *testing.T) {
	w := newWorld(t)
	e := w.create(atlas.AWS, "US_EAST_1")
	w.aws.Fail(unavailable)
	started := w.now
	for w.get(atlas.AWS, e.ID).Status == endpoint.Initiating {
		step := w.step(atlas.AWS, e.ID)
		w.now = w.now.Add(time.Duration(step.WaitSeconds) * time.Second)
	}
	if age := w.now.Sub(started); age < time.Hour || age > time.Hour+5*time.Minute {
		t.Errorf("it failed after %s", age)
	}
	w.is(atlas.AWS, e.ID, endpoint.Failed)
	w.step(atlas.AWS, e.ID) // the outage goes on
	w.aws.Fail(nil)
	if got := w.run(atlas.AWS, e.ID); got != endpoint.GaveUp {
		t.Error(got)
	}
}

func TestAnEndpointCarriesNoTrafficBeforeTheKeyOpensThroughIt(t *testing.T) {
	w := newWorld(t)
	w.unproved = &verdict.Failure{Reason: verdict.AccessDenied, ProviderCode: "AccessDeniedException"}
	e := w.create(atlas.AWS, "US_EAST_1")
	w.step(atlas.AWS, e.ID)
	w.aws.Settle()
	if step := w.step(atlas.AWS, e.ID); step.Outcome != endpoint.Prove {
		t.Fatal(step)
	}
	if _, err := w.Prove(t.Context(), w.ref(atlas.AWS, e.ID), w.now); err != nil {
		t.Fatal(err)
	}
	got := w.get(atlas.AWS, e.ID)
	if got.Status != endpoint.Initiating || !strings.Contains(got.Message, "ACCESS_DENIED") {
		t.Errorf("got %+v", got)
	}
	if ways, inForce := w.ways(atlas.AWS); len(ways) > 0 || inForce {
		t.Error("it carries traffic")
	}
	if got := w.run(atlas.AWS, e.ID); got != endpoint.Wait && got != endpoint.GaveUp {
		t.Fatal(got)
	}
	w.aws.Settle()
	w.run(atlas.AWS, e.ID)
	if got := w.get(atlas.AWS, e.ID); got.Status != endpoint.Failed || !strings.Contains(got.Message, "ACCESS_DENIED") {
		t.Errorf("got %+v", got)
	}
}

func TestAnApprovedEndpointThatDoesNotWorkWaitsAndThenFails(t *testing.T) {
	w := newWorld(t)
	e := w.create(atlas.Azure, "US_EAST_2")
	w.run(atlas.Azure, e.ID)
	w.now = w.now.Add(48 * time.Hour)
	w.azure.Set(e.ID, endpoint.Ready, "")
	w.unproved = unreachable
	w.step(atlas.Azure, e.ID)
	w.is(atlas.Azure, e.ID, endpoint.PendingAcceptance)
	w.run(atlas.Azure, e.ID)
	w.is(atlas.Azure, e.ID, endpoint.Failed)
}

func TestWatch_startsWhatHasEnded(t *testing.T) {
	w := newWorld(t)
	e := w.create(atlas.AWS, "US_EAST_1")
	w.ended = false
	w.watch()
	if len(w.started) != 1 {
		t.Fatal("an execution that goes on was started again")
	}
	w.ended = true
	w.watch()
	if len(w.started) != 2 || w.started[1].Version[0] != 2 || w.get(atlas.AWS, e.ID).Attempt != 2 {
		t.Errorf("started %+v", w.started)
	}
	w.run(atlas.AWS, e.ID)
	w.watch()
	if len(w.started) != 2 {
		t.Error("an active endpoint was started again")
	}
}

// What is being made or removed has an age; what waits for the tenant, and what is active, has none.
func TestWatch_tellsHowOldTheOldestWorkIs(t *testing.T) {
	w := newWorld(t)
	w.active(atlas.AWS, "US_EAST_1")
	e := w.create(atlas.Azure, "US_EAST_2")
	w.now = w.now.Add(50 * time.Minute)
	if got := w.watch(); got != (endpoint.Watched{InProgress: 1, Oldest: 50 * time.Minute}) {
		t.Errorf("while one is made: %+v", got)
	}
	w.run(atlas.Azure, e.ID)
	w.is(atlas.Azure, e.ID, endpoint.PendingAcceptance)
	w.now = w.now.Add(100 * time.Hour)
	if got := w.watch(); got != (endpoint.Watched{}) {
		t.Errorf("while the tenant is waited for: %+v", got)
	}
	w.delete(atlas.Azure, e.ID)
	w.now = w.now.Add(7 * time.Hour)
	if got := w.watch(); got.InProgress != 1 || got.Oldest != 7*time.Hour {
		t.Errorf("while one is removed: %+v", got)
	}
}

func TestWatch_goesOnWhenOneFails(t *testing.T) {
	w := newWorld(t)
	a, b := w.active(atlas.AWS, "US_EAST_1"), w.active(atlas.Azure, "US_EAST_2")
	w.aws.Fail(unavailable)
	w.azure.Set(b.ID, endpoint.Rejected, "")
	before := len(w.started)
	_, err := w.Watch(t.Context(), w)
	if err == nil || !strings.Contains(err.Error(), a.ID) {
		t.Errorf("got %v", err)
	}
	if len(w.started) != before+1 || w.started[before].Subject != b.ID {
		t.Errorf("started %+v", w.started[before:])
	}
	w.is(atlas.AWS, a.ID, endpoint.Active)
}

func TestAnExecutionDoesNotGoOnForEver(t *testing.T) {
	w := newWorld(t)
	e := w.active(atlas.AWS, "US_EAST_1")
	w.delete(atlas.AWS, e.ID)
	started := w.now
	w.aws.Fail(unavailable)
	if got := w.run(atlas.AWS, e.ID); got != endpoint.Suspended {
		t.Fatal(got)
	}
	if age := w.now.Sub(started); age < 24*time.Hour || age > 25*time.Hour {
		t.Errorf("it ended after %s", age)
	}
	w.watch()
	w.aws.Fail(nil)
	if got := w.run(atlas.AWS, e.ID); got != endpoint.Gone {
		t.Fatal(got)
	}
}

func TestAStepThatTookTooLongLeavesNothingBehind(t *testing.T) {
	w := newWorld(t)
	e := w.create(atlas.AWS, "US_EAST_1")
	w.aws.OnCreate(func() { // meanwhile another step gives up, and the tenant removes the endpoint
		w.aws.Fail(&endpoint.Failure{Kind: endpoint.Refused, Message: "no"})
		w.step(atlas.AWS, e.ID)
		w.aws.Fail(nil)
		w.run(atlas.AWS, e.ID)
		w.delete(atlas.AWS, e.ID)
		w.run(atlas.AWS, e.ID)
	})
	w.step(atlas.AWS, e.ID)
	w.aws.Settle()
	if w.aws.Count() != 0 {
		t.Errorf("%d left", w.aws.Count())
	}
}

// TestNothingIsLeftBehind plays tenants, clouds and crashes at random, and then deletes all.
func TestNothingIsLeftBehind(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		w := newWorld(t)
		w.configure(func(s *encryption.Settings) { s.AWS.KeyID = mrkARN })
		p := rapid.SampledFrom([]atlas.Provider{atlas.AWS, atlas.Azure}).Draw(r, "provider")
		cloud := w.aws
		if p == atlas.Azure {
			cloud = w.azure
		}
		pick := func() (string, bool) {
			all := w.list(p)
			if len(all) == 0 {
				return "", false
			}
			return rapid.SampledFrom(all).Draw(r, "endpoint").ID, true
		}
		for range rapid.IntRange(1, 40).Draw(r, "steps") {
			w.now = w.now.Add(time.Duration(rapid.IntRange(1, 1200).Draw(r, "seconds")) * time.Second)
			id, ok := pick()
			switch rapid.IntRange(0, 8).Draw(r, "act") {
			case 0:
				region := rapid.SampledFrom(w.Regions[p]).Draw(r, "region")
				_, _ = w.Create(t.Context(), owner, w.groupID, p, region)
			case 1:
				if ok {
					_ = w.Delete(t.Context(), owner, w.groupID, p, id)
				}
			case 2:
				cloud.Settle()
			case 3:
				cloud.Set(id, rapid.SampledFrom([]endpoint.State{
					endpoint.Ready, endpoint.Rejected, endpoint.Missing, endpoint.Broken, endpoint.Removing,
				}).Draw(r, "state"), "")
			case 4:
				cloud.Fail(rapid.SampledFrom([]error{nil, unavailable}).Draw(r, "trouble"))
			case 5:
				w.unproved = rapid.SampledFrom([]error{nil, unreachable}).Draw(r, "proof")
			case 6:
				_, _ = w.Watch(t.Context(), w)
			default:
				if !ok {
					continue
				}
				step, err := w.Advance(t.Context(), w.ref(p, id), w.now)
				if err == nil && step.Outcome == endpoint.Prove {
					_, err = w.Prove(t.Context(), w.ref(p, id), w.now)
				}
				if err != nil {
					r.Fatal(err)
				}
			}
			if len(w.list(p)) != w.uses() {
				r.Fatalf("%d endpoints, %d uses", len(w.list(p)), w.uses())
			}
		}
		cloud.Fail(nil)
		for range 10 {
			for _, e := range w.list(p) {
				w.now = w.now.Add(2 * time.Hour) // what is being made fails
				_ = w.Delete(t.Context(), owner, w.groupID, p, e.ID)
				if _, err := w.Advance(t.Context(), w.ref(p, e.ID), w.now); err != nil {
					r.Fatal(err)
				}
				cloud.Settle()
			}
		}
		if len(w.list(p)) != 0 || w.uses() != 0 || cloud.Count() != 0 {
			r.Fatalf("left: %d resources, %d uses, %+v", cloud.Count(), w.uses(), w.list(p))
		}
	})
}
