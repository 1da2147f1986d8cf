package directory_test

import (
	"bytes"
	"context"
	"errors"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/identity"
	"latchkey/shared/identity/directory"
	"latchkey/shared/identity/identitytest"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

const (
	org    = "650000000000000000000002"
	group  = "650000000000000000000001"
	group2 = "650000000000000000000003"
)

// bench is a directory over a real table.
type bench struct {
	*directory.Directory

	table  *identitytest.FlakyTable
	sealer *identitytest.Sealer
	clock  *identitytest.Clock
}

func newBench(t *testing.T) bench {
	t.Helper()
	b := bench{
		table:  &identitytest.FlakyTable{Table: identitytest.Table(t)},
		sealer: identitytest.NewSealer(t), clock: identitytest.NewClock(),
	}
	b.Directory = &directory.Directory{
		Table: b.table, Sealer: b.sealer, Now: b.clock.Now, Journal: audit.Journal{Table: b.table, Now: b.clock.Now},
	}
	return b
}

func grants(roles ...identity.Role) directory.Grants {
	return directory.Grants{OrgRoles: roles}
}

func (b bench) key(t *testing.T, g directory.Grants) directory.APIKey {
	t.Helper()
	k, _, err := b.CreateAPIKey(t.Context(), audit.System(), directory.NewAPIKey{OrgID: org, Desc: "ci", Grants: g})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// feed lists the types of a scope's events, oldest first.
func (b bench) feed(t *testing.T, scope string) []string {
	t.Helper()
	events, _, err := b.Journal.List(t.Context(), scope, audit.Filter{}, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	var types []string
	for _, e := range events {
		types = append([]string{string(e.Type)}, types...)
	}
	return types
}

func wantCode(t *testing.T, err error, want atlas.Code) {
	t.Helper()
	if got := atlas.CodeOf(err); got != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// ignoring drops what only the directory itself can see.
func ignoring() cmp.Option {
	return cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".at" }, cmp.Ignore())
}

func TestAnAPIKeyLooksAndIsFoundAsInTheRealService(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	spec := directory.NewAPIKey{OrgID: org, Desc: "ci", Grants: directory.Grants{}.InGroup(group, []identity.Role{identity.GroupOwner})}
	k, private, err := b.CreateAPIKey(t.Context(), audit.System(), spec)
	if err != nil {
		t.Fatal(err)
	}
	for got, pattern := range map[string]string{
		k.PublicKey: `^[a-z]{8}$`, k.ID: `^[0-9a-f]{24}$`,
		private:    `^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`,
		k.Redacted: `^\*{8}-\*{4}-\*{4}-` + private[24:] + `$`,
	} {
		if !regexp.MustCompile(pattern).MatchString(got) {
			t.Errorf("%q does not match %s", got, pattern)
		}
	}
	if diff := cmp.Diff([]identity.Role{identity.OrgMember}, k.OrgRoles); diff != "" {
		t.Errorf("a key made in a project must be a member of its organisation: %s", diff)
	}
	found, ok, err := b.FindByPublicKey(t.Context(), k.PublicKey)
	if err != nil || !ok {
		t.Fatalf("not found: %v", err)
	}
	if diff := cmp.Diff(k, found, ignoring()); diff != "" {
		t.Errorf("found by public key it differs: %s", diff)
	}
	if opened, err := b.PrivateKey(t.Context(), found); err != nil || opened != private {
		t.Errorf("the private key opens as %q, %v", opened, err)
	}
}

func TestTheAuthorizerNeedsOneRead(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	k := b.key(t, grants(identity.OrgOwner))
	before, _ := b.table.Counts()
	if _, _, err := b.FindByPublicKey(t.Context(), k.PublicKey); err != nil {
		t.Fatal(err)
	}
	if after, _ := b.table.Counts(); after != before+1 {
		t.Errorf("%d reads, want 1", after-before)
	}
	if _, found, _ := b.FindByPublicKey(t.Context(), "no/such#key"); found {
		t.Error("found a key by what cannot be one")
	}
	if after, _ := b.table.Counts(); after != before+1 {
		t.Error("the table was asked for what cannot be a public key")
	}
}

func TestNothingStoredShowsAPrivateKey(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	k, private, err := b.CreateAPIKey(t.Context(), audit.System(), directory.NewAPIKey{OrgID: org, Desc: "ci"})
	if err != nil {
		t.Fatal(err)
	}
	secret := []byte(private[:24])
	for _, q := range []store.Query{{PK: keys.APIKey(k.PublicKey).PK}, {PK: keys.Org(org).PK}, {PK: keys.EventPartition(keys.OrgScope(org))}} {
		items, err := store.All(t.Context(), b.table, q)
		if err != nil || len(items) == 0 {
			t.Fatalf("%s: %d items, %v", q.PK, len(items), err)
		}
		for _, item := range items {
			if bytes.Contains(item.Body, secret) {
				t.Errorf("%s holds the private key", item.Key)
			}
		}
	}
	listed, err := b.APIKeys(t.Context(), org)
	if err != nil || len(listed) != 1 || listed[0].Sealed != nil {
		t.Errorf("a list holds the sealed private key: %v", err)
	}
}

func TestASealedPrivateKeyIsNoUseInAnotherKeysRecord(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	mine, other := b.key(t, grants()), b.key(t, grants())
	other.Sealed = mine.Sealed
	if opened, err := b.PrivateKey(t.Context(), other); err == nil {
		t.Errorf("opened as %q", opened)
	}
}

func TestEveryChangeOfAKeyIsToldInTheFeedItBelongsIn(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.key(t, grants(identity.OrgOwner))
	k := b.key(t, grants(identity.OrgReadOnly).InGroup(group, []identity.Role{identity.GroupReadOnly}))
	steps := []func(directory.APIKey) directory.APIKey{
		func(k directory.APIKey) directory.APIKey { return k }, // no change, no event
		func(k directory.APIKey) directory.APIKey { k.Desc = "renamed"; return k },
		func(k directory.APIKey) directory.APIKey {
			k.Grants = k.InOrg([]identity.Role{identity.OrgGroupCreator})
			return k
		},
		func(k directory.APIKey) directory.APIKey {
			k.Grants = k.InGroup(group, []identity.Role{identity.GroupOwner}).InGroup(group2, []identity.Role{identity.GroupReadOnly})
			return k
		},
		func(k directory.APIKey) directory.APIKey { k.Grants = k.InGroup(group2, nil); return k },
	}
	for _, step := range steps {
		b.clock.Advance(1e9)
		_, err := b.ChangeAPIKey(t.Context(), audit.System(), org, k.ID, func(k directory.APIKey) (directory.APIKey, error) { return step(k), nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	b.clock.Advance(1e9)
	if err := b.DeleteAPIKey(t.Context(), audit.System(), org, k.ID); err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{
		keys.OrgScope(org): {
			"API_KEY_CREATED", "API_KEY_CREATED", "API_KEY_DESCRIPTION_CHANGED", "API_KEY_ROLES_CHANGED", "API_KEY_DELETED",
		},
		keys.GroupScope(group):  {"API_KEY_ADDED_TO_GROUP", "API_KEY_ROLES_CHANGED"},
		keys.GroupScope(group2): {"API_KEY_ADDED_TO_GROUP", "API_KEY_REMOVED_FROM_GROUP"},
	}
	for scope, types := range want {
		if diff := cmp.Diff(types, b.feed(t, scope)); diff != "" {
			t.Errorf("%s: %s", scope, diff)
		}
	}
}

func TestADeletedKeyIsGone(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	k := b.key(t, grants())
	if err := b.DeleteAPIKey(t.Context(), audit.System(), org, k.ID); err != nil {
		t.Fatal(err)
	}
	if _, found, err := b.FindByPublicKey(t.Context(), k.PublicKey); found || err != nil {
		t.Errorf("still found, %v", err)
	}
	wantCode(t, b.DeleteAPIKey(t.Context(), audit.System(), org, k.ID), atlas.APIKeyNotFound)
	if listed, err := b.APIKeys(t.Context(), org); len(listed) != 0 || err != nil {
		t.Errorf("still listed: %v, %v", listed, err)
	}
}

func TestAKeyOfAnotherOrganisationDoesNotExist(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	k := b.key(t, grants())
	const stranger = "650000000000000000000009"
	_, err := b.APIKey(t.Context(), stranger, k.ID)
	wantCode(t, err, atlas.APIKeyNotFound)
	wantCode(t, b.DeleteAPIKey(t.Context(), audit.System(), stranger, k.ID), atlas.APIKeyNotFound)
}

func demote(k directory.APIKey) (directory.APIKey, error) {
	k.Grants = k.InOrg([]identity.Role{identity.OrgMember})
	return k, nil
}

func TestAnOrganisationKeepsAnOwner(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	first, member := b.key(t, grants(identity.OrgOwner)), b.key(t, grants())
	if err := b.DeleteAPIKey(t.Context(), audit.System(), org, member.ID); err != nil {
		t.Errorf("a member cannot be deleted: %v", err)
	}
	_, err := b.ChangeAPIKey(t.Context(), audit.System(), org, first.ID, demote)
	wantCode(t, err, atlas.CannotDemoteLastOrgOwner)
	wantCode(t, b.DeleteAPIKey(t.Context(), audit.System(), org, first.ID), atlas.CannotDeleteLastAdmin)
	second := b.key(t, grants(identity.OrgOwner))
	if _, err := b.ChangeAPIKey(t.Context(), audit.System(), org, first.ID, demote); err != nil {
		t.Errorf("one of two owners cannot be demoted: %v", err)
	}
	wantCode(t, b.DeleteAPIKey(t.Context(), audit.System(), org, second.ID), atlas.CannotDeleteLastAdmin)
}

func TestTwoOwnersCannotRemoveEachOther(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for range 8 {
		owners := []directory.APIKey{b.key(t, grants(identity.OrgOwner)), b.key(t, grants(identity.OrgOwner))}
		var wg sync.WaitGroup
		for _, k := range owners {
			wg.Go(func() {
				err := b.DeleteAPIKey(t.Context(), audit.System(), org, k.ID)
				if err != nil && atlas.CodeOf(err) != atlas.CannotDeleteLastAdmin {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		left, err := b.APIKeys(t.Context(), org)
		if err != nil || len(left) == 0 {
			t.Fatalf("the organisation has no owner left, %v", err)
		}
	}
}

// conflicting makes the first writes fail, as if somebody else wrote at the same time.
type conflicting struct {
	store.Table

	left int
}

func (c *conflicting) Write(ctx context.Context, ops ...store.Op) error {
	if c.left--; c.left >= 0 {
		return &store.ConflictError{Key: ops[0].Item.Key}
	}
	return c.Table.Write(ctx, ops...)
}

func TestAChangeIsMadeAgainAfterAConflict(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	k := b.key(t, grants())
	for conflicts, want := range map[int]error{3: nil, 100: store.ErrConflict} {
		d := *b.Directory
		d.Table = &conflicting{Table: b.table, left: conflicts}
		_, err := d.ChangeAPIKey(t.Context(), audit.System(), org, k.ID, func(k directory.APIKey) (directory.APIKey, error) {
			k.Desc += "x"
			return k, nil
		})
		if !errors.Is(err, want) {
			t.Errorf("after %d conflicts: %v, want %v", conflicts, err, want)
		}
	}
	if k, err := b.APIKey(t.Context(), org, k.ID); err != nil || k.Desc != "cix" {
		t.Errorf("described as %q, %v; want the change once", k.Desc, err)
	}
}

func TestARefusedChangeLeavesEverythingAsItWas(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	k := b.key(t, grants())
	_, err := b.ChangeAPIKey(t.Context(), audit.System(), org, k.ID, func(k directory.APIKey) (directory.APIKey, error) {
		k.Desc = "other"
		return k, atlas.Fail(atlas.UserUnauthorized)
	})
	wantCode(t, err, atlas.UserUnauthorized)
	if after, err := b.APIKey(t.Context(), org, k.ID); err != nil || after.Desc != k.Desc {
		t.Errorf("described as %q, %v", after.Desc, err)
	}
}

func TestAKeyIsNotMadeWithoutTheSeal(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sealer.Break(true)
	_, _, err := b.CreateAPIKey(t.Context(), audit.System(), directory.NewAPIKey{OrgID: org, Desc: "ci"})
	if !errors.Is(err, identitytest.ErrSealer) {
		t.Errorf("got %v", err)
	}
}

func TestChosenKeysAreKeptAndShortOnesNotShown(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	k, private, err := b.CreateAPIKey(t.Context(), audit.System(), directory.NewAPIKey{
		OrgID: org, Desc: "owner", PublicKey: "operator-1", PrivateKey: "a short one",
	})
	if err != nil || k.PublicKey != "operator-1" || private != "a short one" {
		t.Fatalf("%q, %q, %v", k.PublicKey, private, err)
	}
	if strings.Contains(k.Redacted, "one") {
		t.Errorf("shown as %q", k.Redacted)
	}
	_, _, err = b.CreateAPIKey(t.Context(), audit.System(), directory.NewAPIKey{OrgID: org, PublicKey: "operator-1", PrivateKey: "another"})
	if !errors.Is(err, store.ErrConflict) {
		t.Errorf("the same public key twice: %v", err)
	}
}

func TestACallerIsGrantedRolesInTheGroupItCreates(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	k := b.key(t, grants(identity.OrgGroupCreator))
	a, _, err := b.CreateServiceAccount(t.Context(), audit.System(), directory.NewServiceAccount{OrgID: org, Name: "ci", SecretLife: 8 * 3600e9})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []identity.Caller{k.Caller(), a.Caller()} {
		ops, err := b.Grant(t.Context(), c, group2, []identity.Role{identity.GroupOwner})
		if err != nil {
			t.Fatal(err)
		}
		if roles, err := b.GroupRoles(t.Context(), c); len(roles) != 0 || err != nil {
			t.Errorf("granted before the transaction: %v, %v", roles, err)
		}
		if err := b.table.Write(t.Context(), ops...); err != nil {
			t.Fatal(err)
		}
		roles, err := b.GroupRoles(t.Context(), c)
		if diff := cmp.Diff(map[string][]identity.Role{group2: {identity.GroupOwner}}, roles); diff != "" || err != nil {
			t.Errorf("%s: %s, %v", c.Kind, diff, err)
		}
	}
	if got := b.feed(t, keys.GroupScope(group2)); len(got) != 2 {
		t.Errorf("events %v, want one for each", got)
	}
	ghost := identity.Caller{Kind: identity.KindAPIKey, ID: group, OrgID: org}
	_, err = b.Grant(t.Context(), ghost, group2, nil)
	wantCode(t, err, atlas.UserUnauthorized)
	if ops, err := b.Grant(t.Context(), identity.Caller{Kind: identity.KindSystem}, group2, nil); ops != nil || err != nil {
		t.Errorf("the system needs no roles: %v, %v", ops, err)
	}
}

func TestRolesInAClosedGroupAreWithdrawnFromEverybody(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	both := grants(identity.OrgMember).InGroup(group, []identity.Role{identity.GroupOwner}).
		InGroup(group2, []identity.Role{identity.GroupReadOnly})
	k := b.key(t, both)
	untouched := b.key(t, grants(identity.OrgMember).InGroup(group2, []identity.Role{identity.GroupOwner}))
	a, _, err := b.CreateServiceAccount(t.Context(), audit.System(), directory.NewServiceAccount{
		OrgID: org, Name: "ci", Grants: both, SecretLife: 8 * 3600e9,
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // it may be repeated
		if err := b.Withdraw(t.Context(), org, group); err != nil {
			t.Fatal(err)
		}
	}
	for c, want := range map[*identity.Caller]identity.Role{
		new(k.Caller()): identity.GroupReadOnly, new(a.Caller()): identity.GroupReadOnly, new(untouched.Caller()): identity.GroupOwner,
	} {
		roles, err := b.GroupRoles(t.Context(), *c)
		if diff := cmp.Diff(map[string][]identity.Role{group2: {want}}, roles); diff != "" || err != nil {
			t.Errorf("%s: %s, %v", c.Name, diff, err)
		}
	}
}
