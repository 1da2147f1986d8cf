package operator_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/identity"
	"latchkey/shared/identity/directory"
	"latchkey/shared/identity/identitytest"
	"latchkey/shared/identity/keyring"
	"latchkey/shared/project"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
	"latchkey/shared/suite/operator"
)

// crashTable stops writing after a number of writes, as a function does that is killed. Before the
// last of them it does what happens meanwhile.
type crashTable struct {
	store.Table
	left      int
	meanwhile func()
}

var errCrash = errors.New("crash")

func (t *crashTable) Write(ctx context.Context, ops ...store.Op) error {
	if t.left--; t.left < 0 {
		return errCrash
	}
	if does := t.meanwhile; does != nil && t.left == 0 {
		t.left, t.meanwhile = 1000, nil
		does()
	}
	return t.Table.Write(ctx, ops...)
}

type rig struct {
	*operator.Function
	table      *crashTable
	clock      *identitytest.Clock
	sealer     *identitytest.Sealer
	identities *directory.Directory
	projects   *project.Service
}

func newRig(t *testing.T) *rig {
	t.Helper()
	clock, sealer := identitytest.NewClock(), identitytest.NewSealer(t)
	r := &rig{table: &crashTable{Table: identitytest.Table(t), left: 1000}, clock: clock, sealer: sealer}
	journal := audit.Journal{Table: r.table, Now: clock.Now}
	r.identities = &directory.Directory{Table: r.table, Sealer: sealer, Journal: journal, Now: clock.Now}
	r.projects = &project.Service{Table: r.table, Journal: journal, Identities: r.identities, Now: clock.Now}
	r.Function = operator.New(operator.Deps{Table: r.table, Sealer: sealer, Now: clock.Now})
	return r
}

func (r *rig) must(t *testing.T, req operator.Request) operator.Result {
	t.Helper()
	result, err := r.Do(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func create() operator.Request {
	return operator.Request{Operation: operator.CreateOrganization, Name: "Acme", OwnerEmail: "owner@acme.example"}
}

const private = "11111111-2222-3333-4444-555555555555"

func chosen() operator.Request {
	req := create()
	req.OrgID, req.GroupID = "650000000000000000000077", "650000000000000000000078"
	req.PublicKey, req.PrivateKey = "ownerkey", private
	return req
}

func TestCreateOrganization_MakesAllThatAnOwnerNeeds(t *testing.T) {
	r := newRig(t)
	done := r.must(t, create())
	if !done.Created || done.PrivateKey == "" {
		t.Fatalf("%+v", done)
	}
	key, found, err := r.identities.FindByPublicKey(t.Context(), done.PublicKey)
	if err != nil || !found {
		t.Fatal(found, err)
	}
	want := directory.Grants{
		OrgRoles: []identity.Role{identity.OrgOwner}, GroupRoles: map[string][]identity.Role{done.GroupID: {identity.GroupOwner}},
	}
	if diff := cmp.Diff(want, key.Grants); diff != "" {
		t.Errorf("grants (-want +got):\n%s", diff)
	}
	if got, err := r.identities.PrivateKey(t.Context(), key); err != nil || got != done.PrivateKey {
		t.Errorf("the key does not open to what was returned: %v", err)
	}
	owners, err := r.projects.Owners(t.Context(), done.GroupID)
	if err != nil || len(owners) != 1 || owners[0].PersonID != done.OwnerID || owners[0].Username != "owner@acme.example" {
		t.Errorf("owners %+v, %v", owners, err)
	}
}

func TestCreateOrganization_TheSecondTimeReturnsTheSameWithoutTheKey(t *testing.T) {
	for name, req := range map[string]operator.Request{"generated": create(), "chosen": chosen()} {
		r := newRig(t)
		first := r.must(t, req)
		second := r.must(t, req)
		first.Created, first.PrivateKey = false, ""
		if diff := cmp.Diff(first, second); diff != "" {
			t.Errorf("%s (-first +second):\n%s", name, diff)
		}
	}
}

// An invocation may be repeated while the first is still at it.
func TestCreateOrganization_TwiceAtOnceIsOnce(t *testing.T) {
	for before := 1; ; before++ {
		r := newRig(t)
		var other operator.Result
		r.table.left, r.table.meanwhile = before, func() { other = r.must(t, chosen()) }
		one := r.must(t, chosen())
		if r.table.meanwhile != nil {
			if before < 3 {
				t.Errorf("an organization and its key need %d writes", before-1)
			}
			return
		}
		if (one.PrivateKey == "") == (other.PrivateKey == "") {
			t.Errorf("write %d: the key was not made by one of the two", before)
		}
		one.Created, one.PrivateKey, other.Created, other.PrivateKey = false, "", false, ""
		if diff := cmp.Diff(one, other); diff != "" {
			t.Errorf("write %d: they made different things: %s", before, diff)
		}
	}
}

func TestCreateOrganization_SkipsDefaultAlertsIfAsked(t *testing.T) {
	for _, skip := range []bool{false, true} {
		r := newRig(t)
		req := create()
		req.SkipDefaultAlerts = skip
		done := r.must(t, req)
		configs, err := store.All(t.Context(), r.table, store.Query{PK: keys.Group(done.GroupID).PK, Prefix: keys.AlertConfigPrefix})
		if err != nil || (len(configs) == 0) != skip {
			t.Errorf("skipping: %t; the first project has %d alert configurations, %v", skip, len(configs), err)
		}
	}
}

func TestCreateOrganization_UsesWhatWasChosen(t *testing.T) {
	r := newRig(t)
	req := chosen()
	done := r.must(t, req)
	got := operator.Request{
		Operation: req.Operation, Name: req.Name, OwnerEmail: req.OwnerEmail, OrgID: done.OrgID, GroupID: done.GroupID,
		PublicKey: done.PublicKey, PrivateKey: done.PrivateKey,
	}
	if diff := cmp.Diff(req, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestCreateOrganization_CutShortAnywhereIsFinishedByTheNextCall(t *testing.T) {
	for writes := range 3 {
		for name, req := range map[string]operator.Request{"generated": create(), "chosen": chosen()} {
			r := newRig(t)
			r.table.left = writes
			_, err := r.Do(t.Context(), req)
			if crashed := errors.Is(err, errCrash); crashed != (writes < 2) {
				t.Fatalf("%s, %d writes: %v", name, writes, err)
			}
			r.table.left = 1000
			done := r.must(t, req)
			if done.PublicKey == "" || (done.PrivateKey == "") != (writes == 2) {
				t.Errorf("%s, %d writes: %+v", name, writes, done)
			}
			all, err := r.identities.APIKeys(t.Context(), done.OrgID)
			if err != nil || len(all) != 1 {
				t.Errorf("%s, %d writes: %d keys, %v", name, writes, len(all), err)
			}
		}
	}
}

func TestCreateOrganization_RefusesKeysThatCannotBe(t *testing.T) {
	r := newRig(t)
	r.must(t, chosen())
	other := func(change func(*operator.Request)) operator.Request {
		req := chosen()
		change(&req)
		return req
	}
	for name, req := range map[string]operator.Request{
		"a public key alone":        other(func(r *operator.Request) { r.PrivateKey = "" }),
		"a private key alone":       other(func(r *operator.Request) { r.PublicKey = "" }),
		"a public key with a colon": other(func(r *operator.Request) { r.PublicKey = "a:b" }),
		"a short private key":       other(func(r *operator.Request) { r.PrivateKey = "hunter2" }),
		"another private key":       other(func(r *operator.Request) { r.PrivateKey = strings.Repeat("x", 36) }),
		"another organisation's": other(func(r *operator.Request) {
			r.Name, r.OrgID, r.GroupID = "Other", "650000000000000000000087", "650000000000000000000088"
		}),
	} {
		if _, err := r.Do(t.Context(), req); atlas.CodeOf(err) != atlas.InvalidAttribute || strings.Contains(err.Error(), req.PrivateKey) && req.PrivateKey != "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCreateOwnerKey_GivesALockedOutOwnerANewKey(t *testing.T) {
	r := newRig(t)
	first := r.must(t, create())
	req := operator.Request{Operation: operator.CreateOwnerKey, OrgID: first.OrgID, GroupID: first.GroupID}
	second := r.must(t, req)
	if !second.Created || second.PublicKey == first.PublicKey || second.PrivateKey == "" {
		t.Errorf("%+v", second)
	}
	req.PublicKey, req.PrivateKey = "mychoice", private
	if third := r.must(t, req); third.PrivateKey != private || !third.Created {
		t.Errorf("%+v", third)
	}
	if again := r.must(t, req); again.PrivateKey != "" || again.Created || again.PublicKey != "mychoice" {
		t.Errorf("%+v", again)
	}
	other := create()
	other.Name = "Other"
	elsewhere := r.must(t, other)
	for name, tt := range map[string]struct {
		change func(*operator.Request)
		code   atlas.Code
	}{
		"no organisation":        {func(r *operator.Request) { r.OrgID = "" }, atlas.OrgNotFound},
		"an unknown one":         {func(r *operator.Request) { r.OrgID = "650000000000000000000099" }, atlas.OrgNotFound},
		"somebody else's group":  {func(r *operator.Request) { r.GroupID = elsewhere.GroupID }, atlas.GroupNotFound},
		"an unknown group":       {func(r *operator.Request) { r.GroupID = "650000000000000000000099" }, atlas.GroupNotFound},
		"somebody else's key id": {func(r *operator.Request) { r.OrgID, r.GroupID = elsewhere.OrgID, "" }, atlas.InvalidAttribute},
	} {
		wrong := req
		tt.change(&wrong)
		if _, err := r.Do(t.Context(), wrong); atlas.CodeOf(err) != tt.code {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCreateOwnerKey_DoesNotRaiseAnExistingKey(t *testing.T) {
	r := newRig(t)
	org := r.must(t, create()).OrgID
	_, _, err := r.identities.CreateAPIKey(t.Context(), audit.System(), directory.NewAPIKey{OrgID: org, Desc: "member", PublicKey: "memberkey", PrivateKey: private})
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.Do(t.Context(), operator.Request{Operation: operator.CreateOwnerKey, OrgID: org, PublicKey: "memberkey", PrivateKey: private})
	if atlas.CodeOf(err) != atlas.InvalidAttribute {
		t.Errorf("%v", err)
	}
}

func TestPurgeClosedProjects_FinishesWhatAClosedProjectLeft(t *testing.T) {
	r := newRig(t)
	done := r.must(t, create())
	r.table.left = 1 // the close, but not the purge
	caller := identity.Caller{Kind: identity.KindSystem, ID: "x", OrgID: done.OrgID}
	if err := r.projects.Close(t.Context(), caller, done.GroupID); err != nil {
		t.Fatal(err)
	}
	r.table.left = 1000
	for _, want := range []int{1, 0} {
		if result := r.must(t, operator.Request{Operation: operator.PurgeClosedProjects}); result.Purged != want {
			t.Errorf("purged %d, want %d", result.Purged, want)
		}
	}
	if _, err := r.table.Get(t.Context(), keys.Group(done.GroupID)); err != nil {
		t.Errorf("the tombstone is gone: %v", err)
	}
}

func TestRotateSigningKeys_ReplacesThemOnceTheyAreOld(t *testing.T) {
	r := newRig(t)
	current := func() string {
		ring, err := (&keyring.Keyring{Table: r.table, Sealer: r.sealer, Now: r.clock.Now}).Ring(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return ring.Current(r.clock.Now()).ID
	}
	rotate := func(want bool) {
		t.Helper()
		if result := r.must(t, operator.Request{Operation: operator.RotateSigningKeys}); result.Rotated != want {
			t.Errorf("rotated is %t, want %t", result.Rotated, want)
		}
	}
	rotate(false) // there are none yet
	first := current()
	rotate(false)
	r.clock.Advance(30 * 24 * time.Hour)
	rotate(true)
	rotate(false)
	r.clock.Advance(time.Hour)
	if current() == first {
		t.Error("the old key still signs")
	}
}

func TestInvoke_SpeaksJSONAndNamesItsOperations(t *testing.T) {
	r := newRig(t)
	out, err := r.Invoke(t.Context(), []byte(`{"operation":"createOrganization","name":"Acme","ownerEmail":"owner@acme.example"}`))
	if err != nil {
		t.Fatal(err)
	}
	var result operator.Result
	if err := json.Unmarshal(out, &result); err != nil || !result.Created {
		t.Errorf("%s, %v", out, err)
	}
	_, err = r.Invoke(t.Context(), []byte(`{"operation":"dropEverything"}`))
	if atlas.CodeOf(err) != atlas.InvalidEnumValue || !strings.Contains(err.Error(), operator.CreateOrganization) {
		t.Errorf("%v", err)
	}
	if _, err = r.Invoke(t.Context(), []byte(`{`)); atlas.CodeOf(err) != atlas.MalformedJSON {
		t.Errorf("%v", err)
	}
}
