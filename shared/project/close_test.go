package project_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/shared/atlas"
	"latchkey/shared/identity"
	"latchkey/shared/project"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

func TestService_AClosedGroupIsATombstone(t *testing.T) {
	r := newRig(t)
	g := r.create(t, "doomed")
	if _, err := r.SetLimit(t.Context(), r.caller, g.ID, "atlas.project.deployment.clusters", 7); err != nil {
		t.Fatal(err)
	}
	r.clock.Advance(time.Second)
	if err := r.Close(t.Context(), r.caller, g.ID); err != nil {
		t.Fatal(err)
	}
	orgID, closed, found, err := r.FindGroup(t.Context(), g.ID)
	if orgID != r.caller.OrgID || !closed || !found || err != nil {
		t.Errorf("FindGroup: %s closed=%t found=%t %v", orgID, closed, found, err)
	}
	_, err = r.Open(t.Context(), g.ID)
	wantCode(t, err, atlas.GroupNotFound)
	wantCode(t, r.Close(t.Context(), r.caller, g.ID), atlas.GroupNotFound)
	_, err = r.Occupy(t.Context(), g.ID, project.Clusters, 1)
	wantCode(t, err, atlas.GroupNotFound)
	_, err = r.Preferences(t.Context(), g.ID)
	wantCode(t, err, atlas.GroupNotFound)
	visible, err := r.Visible(t.Context(), r.caller)
	if err != nil || len(visible) != 1 {
		t.Errorf("visible: %+v, %v; want the first group alone", visible, err)
	}
	if left := r.partition(t, g.ID); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
	if got := r.types(t, keys.OrgScope(r.caller.OrgID)); got[len(got)-1] != "GROUP_DELETED" {
		t.Errorf("the organisation's feed ends with %v", got)
	}
}

// partition lists the sort keys of a group's partition.
func (r *rig) partition(t *testing.T, groupID string) []string {
	t.Helper()
	items, err := store.All(t.Context(), r.table, store.Query{PK: keys.Group(groupID).PK})
	if err != nil {
		t.Fatal(err)
	}
	var sks []string
	for _, item := range items {
		sks = append(sks, item.SK)
	}
	return sks
}

func TestService_AGroupInUseStaysOpen(t *testing.T) {
	for use, code := range map[project.Use]atlas.Code{
		project.Clusters: atlas.CannotCloseGroupClusters, project.PrivateEndpoints: atlas.CannotCloseGroupEndpoints,
	} {
		r := newRig(t)
		g := r.create(t, "busy")
		occupy := func(n int) {
			t.Helper()
			op, err := r.Occupy(t.Context(), g.ID, use, n)
			if err != nil {
				t.Fatal(err)
			}
			if err := r.table.Write(t.Context(), op); err != nil {
				t.Fatal(err)
			}
		}
		occupy(2)
		wantCode(t, r.Close(t.Context(), r.caller, g.ID), code)
		occupy(-1)
		wantCode(t, r.Close(t.Context(), r.caller, g.ID), code)
		occupy(-1)
		if err := r.Close(t.Context(), r.caller, g.ID); err != nil {
			t.Errorf("%s: %v", use, err)
		}
	}
}

func TestService_NothingIsAddedToAGroupWhileItCloses(t *testing.T) {
	r := newRig(t)
	g := r.create(t, "contested")
	cluster, err := r.Occupy(t.Context(), g.ID, project.Clusters, 1)
	if err != nil {
		t.Fatal(err)
	}
	guard, err := r.Open(t.Context(), g.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(t.Context(), r.caller, g.ID); err != nil {
		t.Fatal(err)
	}
	for name, op := range map[string]store.Op{"the cluster": cluster, "the guard": guard.Guard()} {
		if err := r.table.Write(t.Context(), op); !errors.Is(err, store.ErrConflict) {
			t.Errorf("%s: %v, want a conflict", name, err)
		}
	}
}

func TestService_AClusterThatCameFirstStopsTheClose(t *testing.T) {
	r := newRig(t)
	g := r.create(t, "contested")
	op, err := r.Occupy(t.Context(), g.ID, project.Clusters, 1)
	if err != nil {
		t.Fatal(err)
	}
	once := sync.OnceFunc(func() {
		if err := r.table.Table.Write(t.Context(), op); err != nil {
			t.Error(err)
		}
	})
	r.table.trip(func([]store.Op) error { once(); return nil }) // between the look and the close
	wantCode(t, r.Close(t.Context(), r.caller, g.ID), atlas.CannotCloseGroupClusters)
}

func TestService_APurgeThatWasCutShortIsFinishedLater(t *testing.T) {
	r := newRig(t)
	g := r.create(t, "secretive")
	for i := range 250 { // more than one transaction removes
		item := store.Item{Key: keys.Role(g.ID, fmt.Sprintf("%024x", i)), Body: []byte(`{"secret":"sealed"}`)}
		if err := r.table.Write(t.Context(), store.Put(item)); err != nil {
			t.Fatal(err)
		}
	}
	writes := 0
	r.table.trip(func([]store.Op) error { // the close, one batch, then the crash
		if writes++; writes > 2 {
			return errors.New("crash")
		}
		return nil
	})
	if err := r.Close(t.Context(), r.caller, g.ID); err != nil {
		t.Fatalf("the group is closed, but the client hears %v", err)
	}
	if n, err := r.PurgeClosed(t.Context()); n != 0 || err == nil {
		t.Errorf("purged %d, %v while the table fails", n, err)
	}
	r.table.trip(nil)
	if left := r.partition(t, g.ID); len(left) < 100 {
		t.Fatalf("only %d items are left; the test proves nothing", len(left))
	}
	if n, err := r.PurgeClosed(t.Context()); n != 1 || err != nil {
		t.Errorf("purged %d, %v", n, err)
	}
	if left := r.partition(t, g.ID); len(left) != 1 || left[0] != "GROUP" {
		t.Errorf("left behind: %v", left)
	}
	if n, err := r.PurgeClosed(t.Context()); n != 0 || err != nil {
		t.Errorf("a second time purged %d, %v", n, err)
	}
}

// A pipeline that makes and closes projects with one key must not fill that key's record up.
func TestService_NobodyKeepsRolesInAClosedGroup(t *testing.T) {
	r := newRig(t)
	kept := r.create(t, "kept")
	if err := r.Close(t.Context(), r.caller, r.create(t, "closed").ID); err != nil {
		t.Fatal(err)
	}
	roles, err := r.Identities.GroupRoles(t.Context(), r.caller)
	if diff := cmp.Diff(map[string][]identity.Role{kept.ID: {identity.GroupOwner}}, roles); diff != "" || err != nil {
		t.Errorf("roles (-want +got):\n%s%v", diff, err)
	}
}

func TestService_AnOpenGroupIsNeverPurged(t *testing.T) {
	r := newRig(t)
	if err := r.Purge(t.Context(), r.create(t, "alive").ID); err == nil {
		t.Error("no error")
	}
}

func TestService_MembershipsInClosedGroupsAreNotListed(t *testing.T) {
	r := newRig(t)
	g := r.create(t, "closing")
	writes := 0
	r.table.trip(func([]store.Op) error { // close, but leave everything behind
		if writes++; writes > 1 {
			return errors.New("crash")
		}
		return nil
	})
	if err := r.Close(t.Context(), r.caller, g.ID); err != nil {
		t.Fatal(err)
	}
	members, err := r.Memberships(t.Context(), r.caller.OrgID)
	if err != nil || len(members) != 1 || members[0].GroupID != r.org.GroupID {
		t.Errorf("%+v, %v", members, err)
	}
}
