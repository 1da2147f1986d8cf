package project_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/shared/atlas"
	"latchkey/shared/project"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

func TestService_TuningTellsWhatWasChanged(t *testing.T) {
	tests := map[string]struct {
		change func(*project.Preferences)
		want   []string
	}{
		"nothing":               {func(*project.Preferences) {}, nil},
		"the same again":        {func(p *project.Preferences) { p.Settings.SchemaAdvisor = true }, nil},
		"the data explorer off": {func(p *project.Preferences) { p.Settings.DataExplorer = false }, []string{"DATA_EXPLORER_DISABLED"}},
		"extended storage":      {func(p *project.Preferences) { p.Settings.ExtendedStorageSizes = true }, []string{"PROJECT_ENABLE_EXTENDED_STORAGE_SIZES_UPDATED"}},
		"another setting":       {func(p *project.Preferences) { p.Settings.SchemaAdvisor = false }, []string{"GROUP_SETTINGS_UPDATED"}},
		"managed slow ms":       {func(p *project.Preferences) { p.ManagedSlowMs = false }, []string{"GROUP_SETTINGS_UPDATED"}},
		"a limit":               {func(p *project.Preferences) { p.Limits = map[string]int64{"x": 1} }, []string{"PROJECT_LIMIT_UPDATED"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			g := r.org.GroupID
			r.clock.Advance(time.Second)
			_, err := r.Tune(t.Context(), r.caller, g, func(p *project.Preferences) error { tt.change(p); return nil })
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, r.types(t, keys.GroupScope(g))[1:], equateEmpty); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
			read, err := r.Preferences(t.Context(), g)
			if err != nil {
				t.Fatal(err)
			}
			want := read
			tt.change(&want)
			if diff := cmp.Diff(want, read); diff != "" {
				t.Errorf("the change was not kept (-want +got):\n%s", diff)
			}
		})
	}
}

func TestService_EveryChangeOfAGroupIsTold(t *testing.T) {
	r := newRig(t)
	g := r.create(t, "group")
	yes, no := true, false
	for _, ch := range []project.Change{
		{Tags: &[]project.Tag{{Key: "team", Value: "data"}}}, {WithDefaultAlerts: &no}, {WithDefaultAlerts: &yes}, {WithDefaultAlerts: &yes},
	} {
		r.clock.Advance(time.Second)
		if _, err := r.Update(t.Context(), r.caller, g.ID, ch); err != nil {
			t.Fatal(err)
		}
	}
	for _, on := range []bool{false, true} {
		r.clock.Advance(time.Second)
		if _, err := r.Tune(t.Context(), r.caller, g.ID, func(p *project.Preferences) error { p.Settings.DataExplorer = on; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	told := map[string]int{}
	for _, e := range r.types(t, keys.GroupScope(g.ID)) {
		told[e]++
	}
	for e, n := range map[string]int{
		"GROUP_TAGS_MODIFIED": 1, "GROUP_DEFAULT_ALERTS_SETTINGS_CHANGED": told["GROUP_DEFAULT_ALERTS_SETTINGS_CHANGED"],
		"DATA_EXPLORER_DISABLED": 1, "DATA_EXPLORER_ENABLED": 1,
	} {
		if told[e] != n || n == 0 {
			t.Errorf("%d events %s, want %d", told[e], e, n)
		}
	}
}

var equateEmpty = cmp.FilterValues(func(a, b []string) bool { return len(a) == 0 && len(b) == 0 }, cmp.Ignore())

func TestService_LimitsMoveWithinTheirBoundsAndComeBack(t *testing.T) {
	r := newRig(t)
	g := r.org.GroupID
	const clusters, mask, bytes = "atlas.project.deployment.clusters", "atlas.project.deployment.privateServiceConnectionsSubnetMask", "dataFederation.bytesProcessed.daily"
	for _, tt := range []struct {
		name  string
		value int64
		code  atlas.Code
	}{
		{clusters, 100, ""},
		{clusters, 0, ""},
		{clusters, 101, atlas.InvalidAttribute},
		{clusters, -1, atlas.InvalidAttribute},
		{mask, 20, ""},
		{mask, 19, atlas.InvalidAttribute},
		{mask, 28, atlas.InvalidAttribute},
		{bytes, 1 << 50, ""},
		{bytes, -1, atlas.InvalidAttribute},
		{"atlas.project.nonsense", 1, atlas.InvalidEnumValue},
	} {
		l, err := r.SetLimit(t.Context(), r.caller, g, tt.name, tt.value)
		if got := atlas.CodeOf(err); got != tt.code || (err == nil && l.Value != tt.value) {
			t.Errorf("%s to %d: %+v, %v", tt.name, tt.value, l, err)
		}
	}
	limits, err := r.Limits(t.Context(), g)
	if err != nil || len(limits) != 10 {
		t.Errorf("%d limits, %v; want the nine with defaults and the one that was set", len(limits), err)
	}
	for range 2 { // resetting is idempotent
		for _, name := range []string{clusters, mask, bytes} {
			if err := r.ResetLimit(t.Context(), r.caller, g, name); err != nil {
				t.Fatal(err)
			}
		}
	}
	l, err := r.Limit(t.Context(), g, clusters)
	if err != nil || l.Value != 25 || *l.Default != 25 || *l.Maximum != 100 {
		t.Errorf("%+v, %v", l, err)
	}
	_, err = r.Limit(t.Context(), g, bytes)
	wantCode(t, err, atlas.ResourceNotFound)
	wantCode(t, r.ResetLimit(t.Context(), r.caller, g, "nonsense"), atlas.InvalidEnumValue)
}

func TestService_ALimitShowsItsUsage(t *testing.T) {
	r := newRig(t)
	op, err := r.Occupy(t.Context(), r.org.GroupID, project.Clusters, 3)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.table.Write(t.Context(), op); err != nil {
		t.Fatal(err)
	}
	l, err := r.Limit(t.Context(), r.org.GroupID, "atlas.project.deployment.clusters")
	if err != nil || l.CurrentUsage != 3 {
		t.Errorf("%+v, %v", l, err)
	}
}

func TestService_AGroupThatClosesMeanwhileIsNotTuned(t *testing.T) {
	r := newRig(t)
	g := r.create(t, "closing")
	r.table.trip(func([]store.Op) error { // between the look and the write
		r.table.trip(nil)
		return r.Close(t.Context(), r.caller, g.ID)
	})
	_, err := r.SetLimit(t.Context(), r.caller, g.ID, "atlas.project.deployment.clusters", 7)
	wantCode(t, err, atlas.GroupNotFound)
	if left := r.partition(t, g.ID); len(left) != 1 {
		t.Errorf("the closed group got %v", left)
	}
}
