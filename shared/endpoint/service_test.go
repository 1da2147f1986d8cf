package endpoint_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/shared/atlas"
	"latchkey/shared/encryption"
	"latchkey/shared/endpoint"
	"latchkey/shared/kms"
	"latchkey/shared/store"
)

func TestCreate_beginsAndKeepsTheGroupOpen(t *testing.T) {
	w := newWorld(t)
	e := w.create(atlas.AWS, "us_east_1")
	if e.Status != endpoint.Initiating || e.Region != "us_east_1" || !atlas.ValidID(e.ID) {
		t.Errorf("created %+v", e)
	}
	if len(w.started) != 1 || w.started[0].Subject != e.ID {
		t.Errorf("started %+v", w.started)
	}
	if w.uses() != 1 {
		t.Errorf("%d uses", w.uses())
	}
	if diff := cmp.Diff([]string{"CREATED by apiKey"}, w.events()); diff != "" {
		t.Error(diff)
	}
	w.is(atlas.AWS, e.ID, endpoint.Initiating)
	if len(w.list(atlas.Azure)) != 0 {
		t.Error("it is listed at Azure too")
	}
}

func TestCreate_refusesWhatTheDocumentsForbid(t *testing.T) {
	w := newWorld(t)
	w.refuse(atlas.AWS, "", atlas.MissingAttribute)
	w.refuse(atlas.AWS, "US_EAST_2 ", atlas.InvalidRegion)
	w.refuse(atlas.AWS, "EUROPE_NORTH", atlas.InvalidRegion)
	w.refuse(atlas.AWS, "SA_EAST_1", atlas.InvalidRegion) // no network of the operator's
	w.refuse(atlas.AWS, "GLOBAL", atlas.AWSRegionNotSupported)
	w.refuse(atlas.Azure, "EU_WEST_1", atlas.InvalidRegion)
	w.refuse(atlas.GCP, "CENTRAL_US", atlas.EARProviderNotSupported)
	w.refuse(atlas.AWS, "EU_WEST_1", atlas.PrivateNetworkingNotSupported) // the key is in one region alone

	w.create(atlas.AWS, "US_EAST_1")
	w.refuse(atlas.AWS, "us_east_1", atlas.EndpointExists)

	w.clusters = []endpoint.Location{{Provider: atlas.AWS, Region: "US_EAST_1"}, {Provider: atlas.GCP, Region: "CENTRAL_US"}}
	w.refuse(atlas.Azure, "US_EAST_2", atlas.PrivateNetworkingNotSupported)
	w.clusters = nil

	w.configure(func(s *encryption.Settings) { s.Azure.PrivateNetworking = false })
	w.refuse(atlas.Azure, "US_EAST_2", atlas.PrivateNetworkingNotRequired)
	w.configure(func(s *encryption.Settings) { s.Azure = nil })
	w.refuse(atlas.Azure, "US_EAST_2", atlas.EARNotEnabled)
	if w.uses() != 1 {
		t.Errorf("refusals count as uses: %d", w.uses())
	}
}

func TestCreate_takesMultiRegionKeysToOtherRegions(t *testing.T) {
	w := newWorld(t)
	w.configure(func(s *encryption.Settings) { s.AWS.KeyID = mrkARN })
	w.create(atlas.AWS, "EU_WEST_1")
	w.configure(func(s *encryption.Settings) { s.AWS.KeyID, s.AWS.Key.Version = "alias/a", mrkARN+"#material" })
	w.create(atlas.AWS, "US_EAST_1")
}

func TestCreate_conflictsWithChangesOfTheSettings(t *testing.T) {
	w := newWorld(t)
	w.table.before = func() {
		w.configure(func(s *encryption.Settings) { s.AWS.PrivateNetworking = false })
	}
	w.refuse(atlas.AWS, "US_EAST_1", atlas.PrivateNetworkingNotRequired)
	if len(w.list(atlas.AWS)) != 0 {
		t.Error("an endpoint came to be beside the change")
	}
}

func TestCreate_makesAChangeThatNeedsNoneConflict(t *testing.T) {
	w := newWorld(t)
	regions, unchanged, err := endpoint.Network{Table: w.table}.Present(t.Context(), w.groupID, atlas.AWS)
	if err != nil || len(regions) != 0 {
		t.Fatal(regions, err)
	}
	w.create(atlas.AWS, "us_east_1")
	if err := w.table.Write(t.Context(), unchanged); err == nil {
		t.Error("a change that relies on there being none is written")
	}
	regions, unchanged, err = endpoint.Network{Table: w.table}.Present(t.Context(), w.groupID, atlas.AWS)
	if err != nil || len(regions) != 1 || regions[0] != "US_EAST_1" {
		t.Fatal(regions, err)
	}
	w.must(w.table.Write(t.Context(), unchanged))
}

func TestDelete_isRefusedWhileProvisioning(t *testing.T) {
	w := newWorld(t)
	e := w.create(atlas.AWS, "US_EAST_1")
	err := w.Delete(t.Context(), owner, w.groupID, atlas.AWS, e.ID)
	if atlas.CodeOf(err) != atlas.EndpointDeleteBlocked {
		t.Fatal(err)
	}
	want := "Failed to delete Encryption at Rest Private endpoint with id [" + e.ID + "] during IN_PROGRESS state. Please try again later."
	if got := atlas.AsError(err).Detail(); got != want {
		t.Errorf("got %q", got)
	}
	if err := w.Delete(t.Context(), owner, w.groupID, atlas.AWS, "650000000000000000000099"); atlas.CodeOf(err) != atlas.ResourceNotFound {
		t.Error(err)
	}
	if err := w.Delete(t.Context(), owner, w.groupID, atlas.Azure, e.ID); atlas.CodeOf(err) != atlas.ResourceNotFound {
		t.Error(err)
	}
}

func TestDelete_isSeenAtOnceAndMayBeRepeated(t *testing.T) {
	w := newWorld(t)
	e := w.active(atlas.AWS, "US_EAST_1")
	w.delete(atlas.AWS, e.ID)
	w.is(atlas.AWS, e.ID, endpoint.Deleting)
	if ways, inForce := w.ways(atlas.AWS); len(ways) != 0 || inForce {
		t.Error("an endpoint that is being deleted carries traffic")
	}
	before := len(w.started)
	w.delete(atlas.AWS, e.ID)
	if len(w.started) != before {
		t.Error("asking again started another execution")
	}
	w.refuse(atlas.AWS, "US_EAST_1", atlas.EndpointExists)
	if got := w.run(atlas.AWS, e.ID); got != endpoint.Gone {
		t.Fatal(got)
	}
	w.gone(atlas.AWS, e.ID)
	if w.uses() != 0 || w.aws.Count() != 0 {
		t.Errorf("%d uses, %d resources", w.uses(), w.aws.Count())
	}
	want := []string{"CREATED by apiKey", "ACTIVE by system", "DELETED by apiKey"}
	if diff := cmp.Diff(want, w.events()); diff != "" {
		t.Error(diff)
	}
	w.create(atlas.AWS, "US_EAST_1")
}

func TestNetwork_saysHowKeysAreReached(t *testing.T) {
	w := newWorld(t)
	if ways, inForce := w.ways(atlas.Azure); len(ways) != 0 || inForce {
		t.Error("in force without an endpoint")
	}
	e := w.create(atlas.Azure, "US_EAST_2")
	if _, inForce := w.ways(atlas.Azure); inForce {
		t.Error("in force before there is a way")
	}
	w.run(atlas.Azure, e.ID)
	w.azure.Set(e.ID, endpoint.Ready, "")
	w.run(atlas.Azure, e.ID)
	ways, inForce := w.ways(atlas.Azure)
	want := []kms.PrivateEndpoint{{Region: "US_EAST_2", Host: vault, Address: w.get(atlas.Azure, e.ID).Address}}
	if diff := cmp.Diff(want, ways); diff != "" || !inForce {
		t.Errorf("in force %t\n%s", inForce, diff)
	}
	if diff := cmp.Diff(want, w.proved); diff != "" {
		t.Errorf("proved:\n%s", diff)
	}
}

// Whoever shows many clusters asks once for all of them.
func TestNetwork_saysInOneReadWhereItIsInForce(t *testing.T) {
	w := newWorld(t)
	is := func(want ...atlas.Provider) {
		t.Helper()
		reads := &counted{Table: w.table}
		got, err := endpoint.Network{Table: reads}.InForce(t.Context(), w.groupID)
		if diff := cmp.Diff(want, got); diff != "" || err != nil || reads.n != 1 {
			t.Errorf("%d reads, %v (-want +got):\n%s", reads.n, err, diff)
		}
	}
	is()
	e := w.create(atlas.AWS, "US_EAST_1")
	is()
	w.run(atlas.AWS, e.ID)
	is(atlas.AWS)
	w.active(atlas.Azure, "US_EAST_2")
	is(atlas.AWS, atlas.Azure)
	w.aws.Set(e.ID, endpoint.Missing, "") // the tenant takes it away, and another one is being made
	w.watch()
	w.step(atlas.AWS, e.ID)
	is(atlas.AWS, atlas.Azure)
	for _, left := range w.list(atlas.AWS) {
		if left.Status != endpoint.Active {
			w.run(atlas.AWS, left.ID)
		}
	}
	for _, left := range w.list(atlas.AWS) {
		w.delete(atlas.AWS, left.ID)
	}
	is(atlas.Azure)

	other, err := endpoint.Network{Table: w.table}.InForce(t.Context(), "650000000000000000000099")
	if err != nil || len(other) != 0 {
		t.Errorf("another group: %v, %v", other, err)
	}
}

// counted counts the reads of a table.
type counted struct {
	store.Table
	n int
}

func (c *counted) Get(ctx context.Context, key store.Key) (store.Item, error) {
	c.n++
	return c.Table.Get(ctx, key)
}

func (c *counted) Query(ctx context.Context, q store.Query) (store.Page, error) {
	c.n++
	return c.Table.Query(ctx, q)
}

func TestNetwork_letsNodesOnlyWhereThereIsAnEndpoint(t *testing.T) {
	w := newWorld(t)
	n := endpoint.Network{Table: w.table}
	check := func(want bool, locations ...endpoint.Location) {
		t.Helper()
		err := n.CheckLocations(t.Context(), w.groupID, locations)
		if (err == nil) != want || err != nil && atlas.CodeOf(err) != atlas.PrivateNetworkingNotSupported {
			t.Errorf("%v: %v", locations, err)
		}
	}
	here, there := endpoint.Location{Provider: atlas.AWS, Region: "US_EAST_1"}, endpoint.Location{Provider: atlas.AWS, Region: "EU_WEST_1"}
	abroad := endpoint.Location{Provider: atlas.Azure, Region: "US_EAST_2"}
	check(true, here, there, abroad)
	e := w.create(atlas.AWS, "US_EAST_1")
	check(true, here, there)
	check(false, here, abroad)
	w.run(atlas.AWS, e.ID)
	w.aws.Set(e.ID, endpoint.Ready, "")
	w.run(atlas.AWS, e.ID)
	check(true, here)
	check(false, here, there)
	check(false, endpoint.Location{Provider: atlas.GCP, Region: "CENTRAL_US"})
}

func TestCreate_survivesThatTheWorkflowDoesNotStart(t *testing.T) {
	w := newWorld(t)
	w.startFail = errCrash
	e := w.create(atlas.AWS, "US_EAST_1")
	if len(w.started) != 0 {
		t.Fatal("it started")
	}
	w.startFail = nil
	w.watch()
	if len(w.started) != 1 || w.started[0].Subject != e.ID || w.started[0].Version[0] != 1 {
		t.Errorf("started %+v", w.started)
	}
}

// lost is a table whose answers are lost: everything is written.
type lost struct{ store.Table }

func (l lost) Write(ctx context.Context, ops ...store.Op) error {
	if err := l.Table.Write(ctx, ops...); err != nil {
		return err
	}
	return errCrash
}

func TestAdvance_mayBeCutShortAtAnyWrite(t *testing.T) {
	w := newWorld(t)
	e := w.create(atlas.AWS, "US_EAST_1")
	w.Table = lost{w.table}
	for range 50 {
		step, err := w.Advance(t.Context(), w.ref(atlas.AWS, e.ID), w.now)
		if err == nil && step.Outcome == endpoint.Prove {
			_, err = w.Prove(t.Context(), w.ref(atlas.AWS, e.ID), w.now)
		}
		if err != nil && err.Error() != errCrash.Error() {
			t.Fatal(err)
		}
		w.aws.Settle()
		w.now = w.now.Add(time.Second)
		if found, _ := w.Get(t.Context(), w.groupID, atlas.AWS, e.ID); found.Status == endpoint.Active {
			break
		}
	}
	w.is(atlas.AWS, e.ID, endpoint.Active)
	if w.aws.Made() != 1 {
		t.Errorf("%d were made", w.aws.Made())
	}
}

func TestOffered_areTheRegionsWithANetwork(t *testing.T) {
	w := newWorld(t)
	for p, want := range map[atlas.Provider][]string{atlas.AWS: {"US_EAST_1", "EU_WEST_1"}, atlas.Azure: {"US_EAST_2"}, atlas.GCP: nil} {
		got, err := w.Offered(t.Context(), w.groupID, p)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", p, err, diff)
		}
	}
	if _, err := w.Offered(t.Context(), "650000000000000000000099", atlas.AWS); err == nil {
		t.Error("a project that is not there has regions")
	}
}
