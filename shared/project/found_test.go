package project_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/shared/atlas"
	"latchkey/shared/identity"
	"latchkey/shared/project"
	"latchkey/shared/store/keys"
)

func TestService_FoundingIsIdempotentByName(t *testing.T) {
	r := newRig(t)
	again, err := r.Found(t.Context(), project.Founding{Name: "Acme", OwnerEmail: "somebody@else.example", OrgID: "650000000000000000000077"})
	if err != nil {
		t.Fatal(err)
	}
	if again.New || !r.org.New {
		t.Errorf("new: first %t, second %t", r.org.New, again.New)
	}
	again.New = true
	if diff := cmp.Diff(r.org, again); diff != "" {
		t.Errorf("founded again (-first +second):\n%s", diff)
	}
}

func TestService_FoundingUsesTheIDsItIsGiven(t *testing.T) {
	r := newRig(t)
	f := project.Founding{
		Name: "Chosen", GroupName: "first", OwnerEmail: "o@c.example",
		OrgID: "650000000000000000000077", GroupID: "650000000000000000000078",
	}
	done, err := r.Found(t.Context(), f)
	if err != nil || done.Org.ID != f.OrgID || done.GroupID != f.GroupID {
		t.Fatalf("%+v, %v", done, err)
	}
	g, err := r.Open(t.Context(), f.GroupID)
	if err != nil || g.Name != "first" || g.OrgID != f.OrgID || !g.WithDefaultAlerts {
		t.Errorf("%+v, %v", g, err)
	}
	owners, err := r.Owners(t.Context(), f.GroupID)
	if err != nil || len(owners) != 1 || owners[0].Username != "o@c.example" {
		t.Errorf("owners %+v, %v", owners, err)
	}
	if diff := cmp.Diff([]string{"GROUP_CREATED", "ORG_CREATED"}, slices.Sorted(slices.Values(r.types(t, keys.OrgScope(f.OrgID))))); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	f.Name = "Thief"
	_, err = r.Found(t.Context(), f)
	wantCode(t, err, atlas.InvalidAttribute)
}

func TestService_FoundingRefusesWhatNobodyCouldUse(t *testing.T) {
	r := newRig(t)
	good := project.Founding{Name: "New", OwnerEmail: "o@n.example"}
	for name, tt := range map[string]struct {
		change func(*project.Founding)
		code   atlas.Code
	}{
		"no name":              {func(f *project.Founding) { f.Name = "" }, atlas.InvalidAttribute},
		"no e-mail":            {func(f *project.Founding) { f.OwnerEmail = "" }, atlas.InvalidAttribute},
		"no address":           {func(f *project.Founding) { f.OwnerEmail = "owner" }, atlas.InvalidAttribute},
		"a name with address":  {func(f *project.Founding) { f.OwnerEmail = "O <o@n.example>" }, atlas.InvalidAttribute},
		"a second recipient":   {func(f *project.Founding) { f.OwnerEmail = "o@n.example, p@n.example" }, atlas.InvalidAttribute},
		"a header smuggled in": {func(f *project.Founding) { f.OwnerEmail = "o@n.example\r\nBcc: x@y.example" }, atlas.InvalidAttribute},
		"an endless address":   {func(f *project.Founding) { f.OwnerEmail = strings.Repeat("o", 300) + "@n.example" }, atlas.InvalidAttribute},
		"a bad group name":     {func(f *project.Founding) { f.GroupName = "a/b" }, atlas.InvalidGroupName},
		"a bad org id":         {func(f *project.Founding) { f.OrgID = "x" }, atlas.InvalidOrgID},
		"a bad group id":       {func(f *project.Founding) { f.GroupID = "x" }, atlas.InvalidGroupID},
	} {
		f := good
		tt.change(&f)
		_, err := r.Found(t.Context(), f)
		if got := atlas.CodeOf(err); got != tt.code {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestService_AnOwnerOwnsTheOrganisation(t *testing.T) {
	r := newRig(t)
	people, err := r.People(t.Context(), r.org.Org.ID)
	if err != nil || len(people) != 1 || people[0].OrgRoles[0] != identity.OrgOwner {
		t.Errorf("people %+v, %v", people, err)
	}
}
