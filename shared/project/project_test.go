package project_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/identity"
	"latchkey/shared/identity/directory"
	"latchkey/shared/identity/identitytest"
	"latchkey/shared/project"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// rig is a service over a real table and real identities, with one organisation in it.
type rig struct {
	*project.Service
	table  *tripTable
	clock  *identitytest.Clock
	org    project.Founded
	caller identity.Caller // an API key of the organisation's owner
}

// tripTable fails the writes that it is told to: before they happen, or after.
type tripTable struct {
	store.Table
	mu     sync.Mutex
	before func(ops []store.Op) error
}

func (t *tripTable) Write(ctx context.Context, ops ...store.Op) error {
	t.mu.Lock()
	before := t.before
	t.mu.Unlock()
	if before != nil {
		if err := before(ops); err != nil {
			return err
		}
	}
	return t.Table.Write(ctx, ops...)
}

func (t *tripTable) trip(before func(ops []store.Op) error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.before = before
}

func newRig(t *testing.T) *rig {
	t.Helper()
	clock := identitytest.NewClock()
	table := &tripTable{Table: identitytest.Table(t)}
	journal := audit.Journal{Table: table, Now: clock.Now}
	people := &directory.Directory{Table: table, Sealer: identitytest.NewSealer(t), Journal: journal, Now: clock.Now}
	r := &rig{table: table, clock: clock, Service: &project.Service{
		Table: table, Journal: journal, Identities: people, Now: clock.Now,
	}}
	r.org = r.found(t, "Acme")
	key, _, err := people.CreateAPIKey(t.Context(), audit.System(), directory.NewAPIKey{
		OrgID: r.org.Org.ID, Desc: "owner", Grants: directory.Grants{OrgRoles: []identity.Role{identity.OrgOwner}},
	})
	if err != nil {
		t.Fatal(err)
	}
	r.caller = key.Caller()
	return r
}

func (r *rig) found(t *testing.T, name string) project.Founded {
	t.Helper()
	f, err := r.Found(t.Context(), project.Founding{Name: name, OwnerEmail: "owner@" + strings.ToLower(name) + ".example"})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (r *rig) create(t *testing.T, name string) project.Group {
	t.Helper()
	g, err := r.Create(t.Context(), r.caller, project.Draft{OrgID: r.caller.OrgID, Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func wantCode(t *testing.T, err error, code atlas.Code) {
	t.Helper()
	if got := atlas.CodeOf(err); got != code {
		t.Errorf("got %v, want %s", err, code)
	}
}

// types lists the events of a feed, oldest first.
func (r *rig) types(t *testing.T, scope string) []string {
	t.Helper()
	events, _, err := r.Journal.List(t.Context(), scope, audit.Filter{}, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	var types []string
	for _, e := range events {
		types = append([]string{string(e.Type)}, types...)
	}
	return types
}

func TestService_CreatingAGroupMakesItsCreatorAndTheOldestOwnerProjectOwners(t *testing.T) {
	r := newRig(t)
	g := r.create(t, "p1")
	roles, err := r.Identities.GroupRoles(t.Context(), r.caller)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]identity.Role{identity.GroupOwner}, roles[g.ID]); diff != "" {
		t.Errorf("the creating key's roles (-want +got):\n%s", diff)
	}
	owners, err := r.Owners(t.Context(), g.ID)
	if err != nil || len(owners) != 1 || owners[0].Username != "owner@acme.example" {
		t.Errorf("owners are %+v (%v)", owners, err)
	}
}

func TestService_AnOwnerWhoIsNamedOverridesTheOldest(t *testing.T) {
	r := newRig(t)
	for name, tt := range map[string]struct{ ownerID, want string }{
		"the owner by id":       {r.org.Owner.ID, r.org.Owner.ID},
		"somebody unknown":      {"650000000000000000000099", r.org.Owner.ID},
		"an id that is none":    {"<script>", r.org.Owner.ID},
		"somebody of elsewhere": {r.found(t, "Other").Owner.ID, r.org.Owner.ID},
	} {
		g, err := r.Create(t.Context(), r.caller, project.Draft{OrgID: r.caller.OrgID, Name: name, OwnerID: tt.ownerID})
		if err != nil {
			t.Fatal(err)
		}
		owners, err := r.Owners(t.Context(), g.ID)
		if err != nil || len(owners) != 1 || owners[0].PersonID != tt.want {
			t.Errorf("%s: owners are %+v (%v)", name, owners, err)
		}
	}
}

func TestService_ANameIsTakenOncePerOrganisation(t *testing.T) {
	r := newRig(t)
	g := r.create(t, "shared")
	_, err := r.Create(t.Context(), r.caller, project.Draft{OrgID: r.caller.OrgID, Name: "shared"})
	wantCode(t, err, atlas.GroupAlreadyExists)

	other := r.create(t, "other")
	name := "shared"
	_, err = r.Update(t.Context(), r.caller, other.ID, project.Change{Name: &name})
	wantCode(t, err, atlas.GroupAlreadyExists)

	elsewhere := r.found(t, "Elsewhere")
	if _, err := r.Found(t.Context(), project.Founding{Name: "Third", GroupName: "shared", OwnerEmail: "a@b.example"}); err != nil {
		t.Errorf("another organisation cannot use the name: %v (%s)", err, elsewhere.Org.ID)
	}
	if err := r.Close(t.Context(), r.caller, g.ID); err != nil {
		t.Fatal(err)
	}
	r.create(t, "shared") // free again
}

func TestService_OfManyWhoWantOneNameOneGetsIt(t *testing.T) {
	r := newRig(t)
	var wg sync.WaitGroup
	results := make([]error, 8)
	for i := range results {
		wg.Go(func() {
			_, results[i] = r.Create(t.Context(), r.caller, project.Draft{OrgID: r.caller.OrgID, Name: "wanted"})
		})
	}
	wg.Wait()
	won := 0
	for _, err := range results {
		switch {
		case err == nil:
			won++
		case atlas.CodeOf(err) != atlas.GroupAlreadyExists:
			t.Errorf("got %v", err)
		}
	}
	if won != 1 {
		t.Errorf("%d got the name", won)
	}
}

func TestService_RenamingMovesTheReservation(t *testing.T) {
	r := newRig(t)
	g := r.create(t, "before")
	for _, name := range []string{"after", "after", "before", "été 日本"} {
		r.clock.Advance(time.Second)
		updated, err := r.Update(t.Context(), r.caller, g.ID, project.Change{Name: &name})
		if err != nil || updated.Name != name {
			t.Fatalf("rename to %s: %+v %v", name, updated, err)
		}
	}
	found, err := r.FindByName(t.Context(), r.caller, "été 日本")
	if err != nil || found.ID != g.ID {
		t.Errorf("found %+v, %v", found, err)
	}
	_, err = r.FindByName(t.Context(), r.caller, "before")
	wantCode(t, err, atlas.GroupNameNotFound)
	want := []string{"GROUP_CREATED", "GROUP_NAME_CHANGED", "GROUP_NAME_CHANGED", "GROUP_NAME_CHANGED"}
	got := r.types(t, keys.GroupScope(g.ID))
	if diff := cmp.Diff(want, withoutKeys(got)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// withoutKeys leaves out the events that tell of the creating key's roles.
func withoutKeys(types []string) []string {
	var kept []string
	for _, s := range types {
		if !strings.HasPrefix(s, "API_KEY_") {
			kept = append(kept, s)
		}
	}
	return kept
}

func TestService_NamesAndTagsThatBreakTheRulesAreRefused(t *testing.T) {
	r := newRig(t)
	draft := func(change func(*project.Draft)) project.Draft {
		d := project.Draft{OrgID: r.caller.OrgID, Name: "ok"}
		change(&d)
		return d
	}
	name := func(s string) project.Draft { return draft(func(d *project.Draft) { d.Name = s }) }
	tags := func(tags ...project.Tag) project.Draft { return draft(func(d *project.Draft) { d.Tags = tags }) }
	many := make([]project.Tag, 51)
	for i := range many {
		many[i] = project.Tag{Key: strconv.Itoa(i), Value: "v"}
	}
	tests := map[string]struct {
		draft project.Draft
		code  atlas.Code
	}{
		"no name":             {name(""), atlas.InvalidGroupName},
		"65 characters":       {name(strings.Repeat("é", 65)), atlas.InvalidGroupName},
		"64 characters":       {name(strings.Repeat("é", 64)), ""},
		"all punctuation":     {name("-_.(),:&@+'x"), ""},
		"a space within":      {name("two words"), ""},
		"a space in front":    {name(" x"), atlas.InvalidGroupName},
		"a space behind":      {name("x "), atlas.InvalidGroupName},
		"only a space":        {name(" "), atlas.InvalidGroupName},
		"a slash":             {name("a/b"), atlas.InvalidGroupName},
		"a separator of keys": {name("a#b"), atlas.InvalidGroupName},
		"a line break":        {name("a\nb"), atlas.InvalidGroupName},
		"a script":            {name("<b>"), atlas.InvalidGroupName},
		"broken UTF-8":        {name("a\xff"), atlas.InvalidGroupName},
		"an emoji":            {name("🔑"), atlas.InvalidGroupName},
		"a good tag":          {tags(project.Tag{Key: "k", Value: strings.Repeat("v", 255)}), ""},
		"a tag without value": {tags(project.Tag{Key: "k"}), atlas.InvalidAttribute},
		"a tag without key":   {tags(project.Tag{Value: "v"}), atlas.InvalidAttribute},
		"a tag too long":      {tags(project.Tag{Key: "k", Value: strings.Repeat("v", 256)}), atlas.InvalidAttribute},
		"a tag twice":         {tags(project.Tag{Key: "k", Value: "1"}, project.Tag{Key: "k", Value: "2"}), atlas.InvalidAttribute},
		"too many tags":       {tags(many...), atlas.InvalidAttribute},
		"as many as allowed":  {draft(func(d *project.Draft) { d.Name, d.Tags = "fifty", many[:50] }), ""},
		"a known region rule": {draft(func(d *project.Draft) { d.Name, d.RegionUsageRestrictions = "gov", "GOV_REGIONS_ONLY" }), ""},
		"an unknown one":      {draft(func(d *project.Draft) { d.RegionUsageRestrictions = "MOON" }), atlas.InvalidEnumValue},
		"another org":         {draft(func(d *project.Draft) { d.OrgID = "650000000000000000000099" }), atlas.UserCannotAccessOrg},
	}
	for title, tt := range tests {
		t.Run(title, func(t *testing.T) {
			_, err := r.Create(t.Context(), r.caller, tt.draft)
			wantCode(t, err, tt.code)
		})
	}
}

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

func TestService_ThereAreNeverFewerThanNoneOfAUse(t *testing.T) {
	r := newRig(t)
	if _, err := r.Occupy(t.Context(), r.create(t, "p").ID, project.Clusters, -1); err == nil {
		t.Error("no error")
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

func TestService_HooksShareTheTransaction(t *testing.T) {
	r := newRig(t)
	marker := func(groupID string) store.Key { return store.Key{PK: "MARKER#" + groupID, SK: "MARKER"} }
	r.OnCreate = []project.CreateHook{func(_ project.Org, g project.Group) ([]store.Op, error) {
		return []store.Op{store.Put(store.Item{Key: marker(g.ID), Body: []byte("{}")})}, nil
	}}
	r.OnClose = []project.CloseHook{func(_ context.Context, g project.Group) ([]store.Op, error) {
		return []store.Op{store.Delete(marker(g.ID), 1)}, nil
	}}
	g := r.create(t, "hooked")
	if _, err := r.table.Get(t.Context(), marker(g.ID)); err != nil {
		t.Errorf("after the creation: %v", err)
	}
	if err := r.Close(t.Context(), r.caller, g.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := r.table.Get(t.Context(), marker(g.ID)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("after the close: %v", err)
	}
	broken := errors.New("broken hook")
	r.OnCreate = []project.CreateHook{func(project.Org, project.Group) ([]store.Op, error) { return nil, broken }}
	if _, err := r.Create(t.Context(), r.caller, project.Draft{OrgID: r.caller.OrgID, Name: "x"}); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	_, err := r.FindByName(t.Context(), r.caller, "x")
	wantCode(t, err, atlas.GroupNameNotFound)
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

func TestService_CallersSeeTheGroupsTheyMayRead(t *testing.T) {
	r := newRig(t)
	mine := r.create(t, "mine")
	r.create(t, "theirs")
	people, ok := r.Identities.(*directory.Directory)
	if !ok {
		t.Fatal("identities are no directory")
	}
	key := func(orgRole identity.Role, groups map[string][]identity.Role) identity.Caller {
		k, _, err := people.CreateAPIKey(t.Context(), audit.System(), directory.NewAPIKey{
			OrgID: r.caller.OrgID, Desc: "k", Grants: directory.Grants{OrgRoles: []identity.Role{orgRole}, GroupRoles: groups},
		})
		if err != nil {
			t.Fatal(err)
		}
		return k.Caller().ForGroup("") // as the authorizer hands it over
	}
	for name, tt := range map[string]struct {
		caller identity.Caller
		want   []string
	}{
		"an owner sees all":              {r.caller.ForGroup(""), []string{"Project 0", "mine", "theirs"}},
		"an overseer sees all":           {key(identity.OrgReadOnly, nil), []string{"Project 0", "mine", "theirs"}},
		"a member sees none":             {key(identity.OrgMember, nil), nil},
		"a group's reader sees that one": {key(identity.OrgMember, map[string][]identity.Role{mine.ID: {identity.GroupReadOnly}}), []string{"mine"}},
	} {
		visible, err := r.Visible(t.Context(), tt.caller)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, g := range visible {
			names = append(names, g.Name)
		}
		if diff := cmp.Diff(tt.want, names); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		for _, g := range []string{"mine", "theirs"} {
			_, err := r.FindByName(t.Context(), tt.caller, g)
			if seen := err == nil; seen != strings.Contains(strings.Join(tt.want, " "), g) {
				t.Errorf("%s: finding %s by name: %v", name, g, err)
			}
		}
	}
}

// TestService_NamesAndCountsAgreeWithAModel runs random changes against a plain map.
func TestService_NamesAndCountsAgreeWithAModel(t *testing.T) {
	r := newRig(t)
	rapid.Check(t, func(rt *rapid.T) {
		open := map[string]string{} // name by id, of this run
		suffix := atlas.NewID(r.clock.Now())
		name := func() string { return rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "name") + suffix }
		taken := func(n string) bool {
			for _, other := range open {
				if other == n {
					return true
				}
			}
			return false
		}
		id := func() string {
			ids := []string{"650000000000000000000099"}
			for id := range open {
				ids = append(ids, id)
			}
			return rapid.SampledFrom(ids).Draw(rt, "id")
		}
		rt.Repeat(map[string]func(*rapid.T){
			"create": func(rt *rapid.T) {
				n := name()
				g, err := r.Create(t.Context(), r.caller, project.Draft{OrgID: r.caller.OrgID, Name: n})
				if (err == nil) == taken(n) {
					rt.Fatalf("create %s: %v", n, err)
				}
				if err == nil {
					open[g.ID] = n
				}
			},
			"rename": func(rt *rapid.T) {
				g, n := id(), name()
				_, err := r.Update(t.Context(), r.caller, g, project.Change{Name: &n})
				_, exists := open[g]
				if want := exists && (!taken(n) || open[g] == n); (err == nil) != want {
					rt.Fatalf("rename %s to %s: %v", open[g], n, err)
				}
				if err == nil {
					open[g] = n
				}
			},
			"close": func(rt *rapid.T) {
				g := id()
				_, exists := open[g]
				if err := r.Close(t.Context(), r.caller, g); (err == nil) != exists {
					rt.Fatalf("close %s: %v", open[g], err)
				}
				delete(open, g)
			},
			"": func(rt *rapid.T) {
				for id, n := range open {
					g, err := r.FindByName(t.Context(), r.caller, n)
					if err != nil || g.ID != id {
						rt.Fatalf("by name %s: %s, %v; want %s", n, g.ID, err, id)
					}
				}
			},
		})
	})
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
