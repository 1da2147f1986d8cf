package audit_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/identity"
	"latchkey/shared/store"
	"latchkey/shared/store/bolt"
	"latchkey/shared/store/keys"
)

const (
	orgID   = "650000000000000000000001"
	groupID = "650000000000000000000002"
)

var (
	start  = time.Date(2030, 3, 4, 5, 6, 7, 123456000, time.UTC)
	caller = identity.Caller{Kind: identity.KindAPIKey, ID: "650000000000000000000003", Name: "public", OrgID: orgID, RemoteAddress: "192.0.2.1"}
	group  = keys.GroupScope(groupID)
	org    = keys.OrgScope(orgID)
)

// world is a journal over a table in a file, with a clock that the test sets.
type world struct {
	audit.Journal
	t     testing.TB
	now   time.Time
	bolt  *bolt.Table
	items int // read so far
}

func newWorld(t testing.TB) *world {
	t.Helper()
	table, err := bolt.Open(filepath.Join(t.TempDir(), "table.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := table.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	w := &world{t: t, now: start, bolt: table}
	w.Journal = audit.Journal{Table: counting{table, &w.items}, Now: func() time.Time { return w.now }}
	return w
}

// counting counts the items that queries return.
type counting struct {
	store.Table
	items *int
}

func (c counting) Query(ctx context.Context, q store.Query) (store.Page, error) {
	page, err := c.Table.Query(ctx, q)
	*c.items += len(page.Items)
	return page, err
}

// add appends an event of the group.
func (w *world) add(at time.Time, kind audit.Type, cluster string) audit.Event {
	w.t.Helper()
	e := audit.New(at, kind, audit.By(caller), orgID, groupID)
	e.ClusterName = cluster
	if err := w.Append(w.t.Context(), e); err != nil {
		w.t.Fatal(err)
	}
	return e
}

func (w *world) list(scope string, f audit.Filter) []audit.Event {
	w.t.Helper()
	events, total, err := w.List(w.t.Context(), scope, f, 0, 1000)
	if err != nil || total != len(events) {
		w.t.Fatalf("list = %d of %d events, %v", len(events), total, err)
	}
	return events
}

func ids(events []audit.Event) []string {
	all := make([]string, len(events))
	for i, e := range events {
		all[i] = e.ID
	}
	return all
}

func (w *world) want(what string, got []audit.Event, want ...audit.Event) {
	w.t.Helper()
	if diff := cmp.Diff(ids(want), ids(got)); diff != "" {
		w.t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestAppend_an_event_comes_back_as_it_was_written(t *testing.T) {
	w := newWorld(t)
	e := audit.New(start.Add(789*time.Nanosecond).In(time.FixedZone("", 3600)), "CLUSTER_CREATED", audit.By(caller), orgID, groupID).
		With("a", "1").With("b", []any{"2"}).With("a", "3")
	e.ClusterName = "one"
	if err := w.Append(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	want := audit.Event{
		ID: e.ID, Type: "CLUSTER_CREATED", Created: start, GroupID: groupID, OrgID: orgID, ClusterName: "one",
		Actor:  audit.Actor{Kind: identity.KindAPIKey, ID: caller.ID, Name: "public", RemoteAddress: "192.0.2.1"},
		Detail: map[string]any{"a": "3", "b": []any{"2"}},
	}
	if diff := cmp.Diff([]audit.Event{want}, w.list(group, audit.Filter{})); diff != "" {
		t.Errorf("feed (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, e); diff != "" {
		t.Errorf("the event in memory differs from the one read back (-want +got):\n%s", diff)
	}
	if err := w.Append(t.Context(), e); !errors.Is(err, store.ErrConflict) {
		t.Errorf("appending it again: %v, want a conflict", err)
	}
}

func TestWith_leaves_the_event_it_was_called_on_alone(t *testing.T) {
	base := audit.New(start, "X", audit.System(), orgID, "").With("a", 1)
	one, two := base.With("b", 1), base.With("b", 2)
	for got, want := range map[*audit.Event]map[string]any{&base: {"a": 1}, &one: {"a": 1, "b": 1}, &two: {"a": 1, "b": 2}} {
		if diff := cmp.Diff(want, got.Detail); diff != "" {
			t.Errorf("detail (-want +got):\n%s", diff)
		}
	}
}

func TestPut_an_event_exists_if_its_effect_does(t *testing.T) {
	w := newWorld(t)
	effect := store.Item{Key: keys.Encryption(groupID), Body: []byte(`{}`)}
	for i, wantErr := range []error{nil, store.ErrConflict} {
		op, err := w.Put(audit.New(w.now, "ENCRYPTION_AT_REST_CONFIGURATION_UPDATED", audit.By(caller), orgID, groupID))
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Table.Write(t.Context(), store.Put(effect), op); !errors.Is(err, wantErr) {
			t.Errorf("write %d: %v, want %v", i, err, wantErr)
		}
		if n := len(w.list(group, audit.Filter{})); n != 1 {
			t.Errorf("%d events after write %d, want 1", n, i)
		}
	}
}

func TestList_is_newest_first_in_pages_without_gaps(t *testing.T) {
	w := newWorld(t)
	var all []audit.Event
	for i := range 25 {
		// Times go up and down, and each occurs several times.
		all = append(all, w.add(start.Add(time.Duration(i*7%5)*time.Microsecond), "X", ""))
	}
	first := w.list(group, audit.Filter{})
	newestFirst := func(a, b audit.Event) int { return b.Created.Compare(a.Created) }
	if !slices.IsSortedFunc(first, newestFirst) {
		t.Errorf("the feed is not newest first: %v", first)
	}
	byID := func(a, b string) bool { return a < b }
	if diff := cmp.Diff(ids(all), ids(first), cmpopts.SortSlices(byID)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	for _, size := range []int{1, 4, 25, 26} {
		var listed, recent []audit.Event
		for offset := 0; ; offset += size {
			page, total, err := w.List(t.Context(), group, audit.Filter{}, offset, size)
			if err != nil || total != len(all) {
				t.Fatalf("list: total %d, %v; want %d", total, err, len(all))
			}
			short, more, err := w.Recent(t.Context(), group, audit.Filter{}, offset, size)
			if err != nil || more != (offset+size < len(all)) {
				t.Fatalf("recent from %d: more %t, %v", offset, more, err)
			}
			listed, recent = append(listed, page...), append(recent, short...)
			if len(page) == 0 {
				break
			}
		}
		w.want(fmt.Sprintf("pages of %d", size), listed, first...)
		w.want(fmt.Sprintf("recent pages of %d", size), recent, first...)
	}
}

func TestRecent_reads_no_further_than_it_must(t *testing.T) {
	w := newWorld(t)
	for i := range 200 {
		w.add(start.Add(time.Duration(i)*time.Second), "X", "")
	}
	w.items = 0
	if events, more, err := w.Recent(t.Context(), group, audit.Filter{}, 10, 5); err != nil || len(events) != 5 || !more {
		t.Fatalf("recent = %d events, more %t, %v", len(events), more, err)
	}
	if w.items != 16 {
		t.Errorf("it read %d events, want 16", w.items)
	}
}

func TestList_filters_select_any_of_what_they_name(t *testing.T) {
	w := newWorld(t)
	at := func(n int) time.Time { return start.Add(time.Duration(n) * time.Microsecond) }
	a := w.add(at(0), "CLUSTER_CREATED", "one")
	b := w.add(at(1), "CLUSTER_READY", "one")
	c := w.add(at(2), "CLUSTER_CREATED", "two")
	d := w.add(at(3), "CLOUD_PROVIDER_ACCESS_AWS_IAM_ROLE_ADDED", "")
	zone := time.FixedZone("", -3600)
	for name, f := range map[string]struct {
		filter audit.Filter
		want   []audit.Event
	}{
		"nothing":            {audit.Filter{}, []audit.Event{d, c, b, a}},
		"a type":             {audit.Filter{Types: []audit.Type{"CLUSTER_CREATED"}}, []audit.Event{c, a}},
		"two types":          {audit.Filter{Types: []audit.Type{"CLUSTER_CREATED", "CLUSTER_READY"}}, []audit.Event{c, b, a}},
		"an unknown type":    {audit.Filter{Types: []audit.Type{"cluster_created"}}, nil},
		"excluded":           {audit.Filter{Excluded: []audit.Type{"CLUSTER_CREATED"}}, []audit.Event{d, b}},
		"excluded wins":      {audit.Filter{Types: []audit.Type{"CLUSTER_READY"}, Excluded: []audit.Type{"CLUSTER_READY"}}, nil},
		"a cluster":          {audit.Filter{Clusters: []string{"one"}}, []audit.Event{b, a}},
		"two clusters":       {audit.Filter{Clusters: []string{"one", "two"}}, []audit.Event{c, b, a}},
		"cluster and type":   {audit.Filter{Clusters: []string{"one"}, Types: []audit.Type{"CLUSTER_CREATED"}}, []audit.Event{a}},
		"from":               {audit.Filter{From: at(1)}, []audit.Event{d, c, b}},
		"from in between":    {audit.Filter{From: at(1).Add(1)}, []audit.Event{d, c}},
		"until":              {audit.Filter{Until: at(1)}, []audit.Event{a}},
		"until in between":   {audit.Filter{Until: at(1).Add(1)}, []audit.Event{b, a}},
		"from and until":     {audit.Filter{From: at(1), Until: at(3)}, []audit.Event{c, b}},
		"in another zone":    {audit.Filter{From: at(1).In(zone), Until: at(3).In(zone)}, []audit.Event{c, b}},
		"an empty time":      {audit.Filter{From: at(2), Until: at(2)}, nil},
		"backwards":          {audit.Filter{From: at(3), Until: at(1)}, nil},
		"until after years":  {audit.Filter{Until: time.Date(9999, 12, 31, 23, 30, 0, 0, zone)}, []audit.Event{d, c, b, a}},
		"from after years":   {audit.Filter{From: time.Date(9999, 12, 31, 23, 30, 0, 0, zone)}, nil},
		"from before years":  {audit.Filter{From: time.Date(0, 1, 1, 0, 30, 0, 0, time.FixedZone("", 3600))}, []audit.Event{d, c, b, a}},
		"until before years": {audit.Filter{Until: time.Date(0, 1, 1, 0, 30, 0, 0, time.FixedZone("", 3600))}, nil},
	} {
		w.want(name, w.list(group, f.filter), f.want...)
		recent, more, err := w.Recent(t.Context(), group, f.filter, 0, 1000)
		if err != nil || more {
			t.Errorf("%s: recent: more %t, %v", name, more, err)
		}
		w.want(name+", recent", recent, f.want...)
	}
}

// Whatever the events, the filter and the window are, both readers return what a loop over
// all events would.
func TestList_does_what_a_loop_would_do(t *testing.T) {
	w := newWorld(t)
	feed := 0
	types, clusters := []audit.Type{"A", "B", "C"}, []string{"", "x", "y"}
	rapid.Check(t, func(rt *rapid.T) {
		feed++
		id := fmt.Sprintf("%024x", feed)
		instant := rapid.Custom(func(rt *rapid.T) time.Time { return start.Add(time.Duration(rapid.IntRange(0, 4000).Draw(rt, "ns"))) })
		bound := rapid.OneOf(rapid.Just(time.Time{}), instant)
		var all []audit.Event
		for range rapid.IntRange(0, 12).Draw(rt, "events") {
			e := audit.New(instant.Draw(rt, "created"), rapid.SampledFrom(types).Draw(rt, "type"), audit.System(), orgID, id)
			e.ClusterName = rapid.SampledFrom(clusters).Draw(rt, "cluster")
			if err := w.Append(t.Context(), e); err != nil {
				rt.Fatal(err)
			}
			all = append(all, e)
		}
		f := audit.Filter{
			Types: rapid.SliceOfN(rapid.SampledFrom(types), 0, 2).Draw(rt, "types"), Excluded: rapid.SliceOfN(rapid.SampledFrom(types), 0, 1).Draw(rt, "excluded"),
			Clusters: rapid.SliceOfN(rapid.SampledFrom(clusters), 0, 2).Draw(rt, "clusters"), From: bound.Draw(rt, "from"), Until: bound.Draw(rt, "until"),
		}
		want := loop(all, f)
		offset, limit := rapid.IntRange(0, 13).Draw(rt, "offset"), rapid.IntRange(0, 13).Draw(rt, "limit")
		from, to := min(offset, len(want)), min(offset+limit, len(want))
		events, total, err := w.List(t.Context(), keys.GroupScope(id), f, offset, limit)
		if err != nil || total != len(want) || !slices.Equal(ids(events), want[from:to]) {
			rt.Fatalf("list = %v of %d, %v; want %v of %d", ids(events), total, err, want[from:to], len(want))
		}
		events, more, err := w.Recent(t.Context(), keys.GroupScope(id), f, offset, limit)
		if err != nil || more != (offset+limit < len(want)) || !slices.Equal(ids(events), want[from:to]) {
			rt.Fatalf("recent = %v, more %t, %v; want %v of %d", ids(events), more, err, want[from:to], len(want))
		}
	})
}

// loop returns the ids of the events that match, newest first, and by id within a microsecond.
func loop(all []audit.Event, f audit.Filter) []string {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b audit.Event) int {
		if c := b.Created.Compare(a.Created); c != 0 {
			return c
		}
		return slices.Compare([]byte(b.ID), []byte(a.ID))
	})
	want := []string{}
	for _, e := range all {
		inTime := (f.From.IsZero() || !e.Created.Before(f.From)) && (f.Until.IsZero() || e.Created.Before(f.Until))
		named := (len(f.Types) == 0 || slices.Contains(f.Types, e.Type)) && !slices.Contains(f.Excluded, e.Type) &&
			(len(f.Clusters) == 0 || slices.Contains(f.Clusters, e.ClusterName))
		if inTime && named {
			want = append(want, e.ID)
		}
	}
	return want
}

func TestRetention_hides_what_is_past_and_lets_the_table_remove_it(t *testing.T) {
	w := newWorld(t)
	forever := w.add(start, "X", "")
	w.Retention = 24 * time.Hour
	old := w.add(start, "X", "")
	young := w.add(start.Add(time.Hour), "X", "")
	for _, step := range []struct {
		after time.Duration
		want  []audit.Event
	}{
		{0, []audit.Event{young, old, forever}},
		{24*time.Hour - time.Second, []audit.Event{young, old, forever}},
		{24 * time.Hour, []audit.Event{young, forever}},
		{1000 * time.Hour, []audit.Event{forever}},
	} {
		w.now = start.Add(step.after)
		got := w.list(group, audit.Filter{})
		less := func(a, b string) bool { return a < b }
		if diff := cmp.Diff(ids(step.want), ids(got), cmpopts.SortSlices(less)); diff != "" {
			t.Errorf("after %v (-want +got):\n%s", step.after, diff)
		}
		recent, _, err := w.Recent(t.Context(), group, audit.Filter{}, 0, len(step.want))
		if err != nil || len(recent) != len(step.want) {
			t.Errorf("after %v: recent = %d events, %v; want %d", step.after, len(recent), err, len(step.want))
		}
		_, err = w.Find(t.Context(), group, old.ID)
		if found := err == nil; found != (len(step.want) == 3) {
			t.Errorf("after %v: the old event was found: %t", step.after, found)
		}
	}
	if n, err := w.bolt.Expire(t.Context(), w.now); n != 2 || err != nil {
		t.Errorf("the table removed %d events, %v; want 2", n, err)
	}
}

func TestFind_looks_in_one_feed_for_one_id(t *testing.T) {
	w := newWorld(t)
	var all []audit.Event
	for i := range 30 {
		all = append(all, w.add(start.Truncate(time.Second).Add(time.Duration(i)*100*time.Millisecond), "X", ""))
	}
	for _, e := range all {
		got, err := w.Find(t.Context(), group, e.ID)
		if diff := cmp.Diff(e, got); diff != "" || err != nil {
			t.Errorf("find: %v (-want +got):\n%s", err, diff)
		}
	}
	for name, c := range map[string]struct{ scope, id string }{
		"another feed":   {org, all[0].ID},
		"another group":  {keys.GroupScope("650000000000000000000009"), all[0].ID},
		"another second": {group, atlas.NewID(start.Add(-time.Hour))},
		"another id":     {group, atlas.NewID(start)},
		"no id":          {group, ""},
		"a short id":     {group, all[0].ID[:8]},
		"a long id":      {group, all[0].ID + "00"},
		"capitals":       {group, "ABCDEF000000000000000000"},
		"a sort key":     {group, keys.EventTime(start) + "#" + all[0].ID},
		"the last id":    {group, "ffffffffffffffffffffffff"},
	} {
		if _, err := w.Find(t.Context(), c.scope, c.id); !errors.Is(err, audit.ErrNoEvent) {
			t.Errorf("find by %s: %v, want ErrNoEvent", name, err)
		}
	}
}

// finder knows one group of the caller's organisation, a closed one, and one of somebody else.
type finder struct{}

func (finder) FindGroup(_ context.Context, id string) (org string, closed, found bool, err error) {
	switch id {
	case groupID:
		return orgID, false, true, nil
	case "closed":
		return orgID, true, true, nil
	case "foreign":
		return "another organisation", false, true, nil
	}
	return "", false, false, nil
}

func TestRecordDenial_reaches_the_feed_of_who_may_know(t *testing.T) {
	ownGroup := identity.Attempt{Operation: "op", Rule: identity.OwnGroup}
	inGroup := func(id string) identity.Attempt { a := ownGroup; a.GroupID = id; return a }
	for name, c := range map[string]struct {
		attempt identity.Attempt
		code    atlas.Code
		feed    string
		target  any // the detail that names the group in the caller's own feed
	}{
		"a group of its own":       {inGroup(groupID), atlas.UserUnauthorized, group, nil},
		"a group of somebody else": {inGroup("foreign"), atlas.UserCannotAccessGroup, org, "foreign"},
		"no group at all":          {inGroup("never was"), atlas.UserCannotAccessGroup, org, "never was"},
		"a closed group":           {inGroup("closed"), atlas.GroupNotFound, org, "closed"},
		"its organisation":         {identity.Attempt{Operation: "op", Rule: identity.OwnOrg, OrgID: orgID}, atlas.UserUnauthorized, org, nil},
		"another organisation":     {identity.Attempt{Operation: "op", Rule: identity.OwnOrg, OrgID: "foreign"}, atlas.UserCannotAccessOrg, org, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			gate := identity.Gate{Groups: finder{}, Denials: w}
			if got := atlas.CodeOf(gate.Admit(t.Context(), caller, c.attempt)); got != c.code {
				t.Fatalf("the gate says %s, want %s", got, c.code)
			}
			for _, feed := range []string{group, org, keys.GroupScope("foreign"), keys.GroupScope("closed"), keys.GroupScope("never was"), keys.OrgScope("foreign")} {
				if got, want := len(w.list(feed, audit.Filter{})), map[bool]int{true: 1}[feed == c.feed]; got != want {
					t.Errorf("the feed %s has %d events, want %d", feed, got, want)
				}
			}
			e := w.list(c.feed, audit.Filter{})[0]
			if e.Type != audit.AccessDenied || e.Actor != audit.By(caller) || e.Detail["operation"] != "op" ||
				e.Detail["errorCode"] != string(c.code) || e.Detail["groupId"] != c.target || e.OrgID != orgID {
				t.Errorf("event = %+v", e)
			}
		})
	}
}

func TestJournal_reports_what_the_table_reports(t *testing.T) {
	w := newWorld(t)
	w.add(start, "X", "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, list := w.List(ctx, group, audit.Filter{}, 0, 1)
	_, _, recent := w.Recent(ctx, group, audit.Filter{}, 0, 1)
	_, find := w.Find(ctx, group, atlas.NewID(start))
	denial := w.RecordDenial(ctx, caller, identity.Attempt{}, atlas.UserUnauthorized)
	for name, err := range map[string]error{"list": list, "recent": recent, "find": find, "denial": denial} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v, want context.Canceled", name, err)
		}
	}
}
