package project_test

import (
	"context"
	"errors"
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
	"latchkey/shared/project"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

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

func TestService_ThereAreNeverFewerThanNoneOfAUse(t *testing.T) {
	r := newRig(t)
	if _, err := r.Occupy(t.Context(), r.create(t, "p").ID, project.Clusters, -1); err == nil {
		t.Error("no error")
	}
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
