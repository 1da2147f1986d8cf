package endpointtest

import (
	"errors"
	"slices"
	"testing"

	"latchkey/shared/endpoint"
)

// Harness is a cloud under test and those who act on it. Fields without a comment are required.
type Harness struct {
	Cloud endpoint.Cloud
	// Handle names an endpoint that was not made yet, for an endpoint id.
	Handle func(id string) endpoint.Handle
	// Settle lets the provider finish what it is working on.
	Settle func(t testing.TB)
	// Approve and Reject are what the tenant does; nil where nobody has to approve.
	Approve, Reject func(t testing.TB, o endpoint.Observation)
	// Remove takes an endpoint away, as somebody would in the provider's console.
	Remove func(t testing.TB, o endpoint.Observation)
	// Break makes the provider give up on an endpoint that it is making.
	Break func(t testing.TB, o endpoint.Observation)
	// Count is how many endpoints the provider has.
	Count func(t testing.TB) int
	// Throttle, Outage and Deny make every call fail in that way until undone.
	Throttle, Outage, Deny func(t testing.TB) (undo func())
	// Exhaust uses up the operator's quota of endpoints.
	Exhaust func(t testing.TB)
	// Unknown names an endpoint in a region in which the operator has no network.
	Unknown func(id string) endpoint.Handle
}

// Two endpoints.
const (
	one = "650000000000000000000020"
	two = "650000000000000000000021"
)

// Run demands of a cloud what endpoint.Cloud says. open makes a fresh one each time.
func Run(t *testing.T, open func(t *testing.T) *Harness) {
	t.Helper()
	for name, test := range map[string]func(t *testing.T, h *Harness){
		"an endpoint that was never made is missing":          neverMade,
		"an endpoint comes to be and carries traffic":         comesToBe,
		"asking twice makes one":                              askedTwice,
		"endpoints are told apart":                            toldApart,
		"an endpoint is found without its resource id":        foundByName,
		"deleting what is not there is no error":              deletedTwice,
		"a deleted endpoint is gone for good":                 goneForGood,
		"a deleted endpoint that is being made is gone":       deletedEarly,
		"an approved endpoint that is removed is noticed":     removed,
		"a rejected endpoint says so":                         rejected,
		"what a tenant has rejected later says so":            rejectedLater,
		"an endpoint that cannot be made says why":            broken,
		"a cloud that is busy is unavailable":                 busy,
		"a cloud that is down is unavailable":                 down,
		"a missing permission is the operator's":              denied,
		"a quota that is used up is refused, and says so":     exhausted,
		"a region without a network is refused, and says so":  noNetwork,
		"an endpoint that failed can be deleted like another": failedDeleted,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func (h *Harness) create(t testing.TB, id string) endpoint.Observation {
	t.Helper()
	o, err := h.Cloud.Create(t.Context(), h.Handle(id))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func (h *Harness) find(t testing.TB, id string) endpoint.Observation {
	t.Helper()
	o, err := h.Cloud.Find(t.Context(), h.Handle(id))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// delete removes the first endpoint.
func (h *Harness) delete(t testing.TB) {
	t.Helper()
	if err := h.Cloud.Delete(t.Context(), h.Handle(one)); err != nil {
		t.Fatal(err)
	}
}

// ready makes an endpoint that carries traffic.
func (h *Harness) ready(t testing.TB, id string) endpoint.Observation {
	t.Helper()
	h.create(t, id)
	h.Settle(t)
	o := h.find(t, id)
	if h.Approve != nil {
		want(t, o, endpoint.AwaitingApproval)
		h.Approve(t, o)
		h.Settle(t)
		o = h.find(t, id)
	}
	want(t, o, endpoint.Ready)
	return o
}

func want(t testing.TB, o endpoint.Observation, states ...endpoint.State) {
	t.Helper()
	if !slices.Contains(states, o.State) {
		t.Fatalf("got %+v, want one of %v", o, states)
	}
}

func (h *Harness) counts(t testing.TB, n int) {
	t.Helper()
	if got := h.Count(t); got != n {
		t.Errorf("the provider has %d endpoints, want %d", got, n)
	}
}

func neverMade(t *testing.T, h *Harness) { want(t, h.find(t, one), endpoint.Missing) }

func comesToBe(t *testing.T, h *Harness) {
	want(t, h.create(t, one), endpoint.Provisioning)
	want(t, h.find(t, one), endpoint.Provisioning)
	h.Settle(t)
	if h.Approve != nil {
		o := h.find(t, one)
		want(t, o, endpoint.AwaitingApproval)
		if o.Connection == "" {
			t.Error("the tenant cannot know what to approve")
		}
		h.Approve(t, o)
		h.Settle(t)
	}
	o := h.find(t, one)
	want(t, o, endpoint.Ready)
	if o.Address == "" || o.ResourceID == "" || o.Connection == "" {
		t.Errorf("what is ready lacks something: %+v", o)
	}
	h.counts(t, 1)
}

func askedTwice(t *testing.T, h *Harness) {
	first := h.create(t, one)
	if second := h.create(t, one); second.ResourceID != first.ResourceID {
		t.Errorf("%q and %q", first.ResourceID, second.ResourceID)
	}
	h.Settle(t)
	h.create(t, one)
	h.Settle(t)
	h.counts(t, 1)
}

func toldApart(t *testing.T, h *Harness) {
	first, second := h.ready(t, one), h.ready(t, two)
	if first.ResourceID == second.ResourceID || first.Address == second.Address {
		t.Errorf("%+v and %+v are the same", first, second)
	}
	h.delete(t)
	h.Settle(t)
	want(t, h.find(t, one), endpoint.Missing)
	want(t, h.find(t, two), endpoint.Ready)
	h.counts(t, 1)
}

func foundByName(t *testing.T, h *Harness) {
	made := h.ready(t, one)
	named := h.Handle(one)
	named.ResourceID = made.ResourceID
	o, err := h.Cloud.Find(t.Context(), named)
	if err != nil {
		t.Fatal(err)
	}
	if o != made {
		t.Errorf("by its resource id %+v, by its name %+v", o, made)
	}
}

func deletedTwice(t *testing.T, h *Harness) {
	h.delete(t)
	h.ready(t, one)
	h.delete(t)
	h.delete(t)
	h.Settle(t)
	h.delete(t)
	h.counts(t, 0)
}

func goneForGood(t *testing.T, h *Harness) {
	made := h.ready(t, one)
	h.delete(t)
	want(t, h.find(t, one), endpoint.Removing, endpoint.Missing)
	h.Settle(t)
	want(t, h.find(t, one), endpoint.Missing)
	named := h.Handle(one)
	named.ResourceID = made.ResourceID
	o, err := h.Cloud.Find(t.Context(), named)
	if err != nil {
		t.Fatal(err)
	}
	want(t, o, endpoint.Missing)
	h.counts(t, 0)
}

func deletedEarly(t *testing.T, h *Harness) {
	h.create(t, one)
	h.delete(t)
	h.Settle(t)
	h.delete(t) // a provider may refuse while it is busy
	h.Settle(t)
	want(t, h.find(t, one), endpoint.Missing)
	h.counts(t, 0)
}

func removed(t *testing.T, h *Harness) {
	h.Remove(t, h.ready(t, one))
	h.Settle(t)
	want(t, h.find(t, one), endpoint.Missing, endpoint.Rejected)
}

func rejected(t *testing.T, h *Harness) {
	if h.Reject == nil {
		t.Skip("nobody has to approve")
	}
	h.create(t, one)
	h.Settle(t)
	h.Reject(t, h.find(t, one))
	h.Settle(t)
	want(t, h.find(t, one), endpoint.Rejected)
}

func rejectedLater(t *testing.T, h *Harness) {
	if h.Reject == nil {
		t.Skip("nobody has to approve")
	}
	h.Reject(t, h.ready(t, one))
	h.Settle(t)
	want(t, h.find(t, one), endpoint.Rejected)
}

func broken(t *testing.T, h *Harness) {
	h.Break(t, h.create(t, one))
	h.Settle(t)
	want(t, h.find(t, one), endpoint.Broken)
}

func failedDeleted(t *testing.T, h *Harness) {
	h.Break(t, h.create(t, one))
	h.Settle(t)
	h.delete(t)
	h.Settle(t)
	want(t, h.find(t, one), endpoint.Missing)
	h.counts(t, 0)
}

// fails demands that all calls fail in one way.
func (h *Harness) fails(t *testing.T, kind endpoint.FailureKind) {
	t.Helper()
	_, createErr := h.Cloud.Create(t.Context(), h.Handle(one))
	_, findErr := h.Cloud.Find(t.Context(), h.Handle(one))
	deleteErr := h.Cloud.Delete(t.Context(), h.Handle(one))
	for name, err := range map[string]error{"create": createErr, "find": findErr, "delete": deleteErr} {
		f, ok := errors.AsType[*endpoint.Failure](err)
		if !ok || f.Kind != kind {
			t.Errorf("%s fails with %v, want %s", name, err, kind)
		}
	}
}

func busy(t *testing.T, h *Harness) {
	undo := h.Throttle(t)
	h.fails(t, endpoint.Unavailable)
	undo()
	h.ready(t, one)
}

func down(t *testing.T, h *Harness) {
	undo := h.Outage(t)
	h.fails(t, endpoint.Unavailable)
	undo()
	h.ready(t, one)
}

func denied(t *testing.T, h *Harness) {
	undo := h.Deny(t)
	h.fails(t, endpoint.Denied)
	undo()
	h.ready(t, one)
}

func (h *Harness) refused(t *testing.T, handle endpoint.Handle) {
	t.Helper()
	_, err := h.Cloud.Create(t.Context(), handle)
	f, ok := errors.AsType[*endpoint.Failure](err)
	if !ok || f.Kind != endpoint.Refused || f.Message == "" {
		t.Errorf("got %v, want a refusal that says why", err)
	}
}

func exhausted(t *testing.T, h *Harness) {
	h.Exhaust(t)
	h.refused(t, h.Handle(one))
}

func noNetwork(t *testing.T, h *Harness) { h.refused(t, h.Unknown(one)) }
