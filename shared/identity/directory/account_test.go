package directory_test

import (
	"bytes"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/identity"
	"latchkey/shared/identity/directory"
	"latchkey/shared/identity/token"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

func (b bench) account(t *testing.T, g directory.Grants) (directory.ServiceAccount, string) {
	t.Helper()
	a, secret, err := b.CreateServiceAccount(t.Context(), audit.System(), directory.NewServiceAccount{
		OrgID: org, Name: "ci", Description: "for the pipeline", Grants: g, SecretLife: 8 * time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	return a, secret
}

func (b bench) token(a directory.ServiceAccount, id string) token.Token {
	return token.Token{
		ID: id, ClientID: a.ClientID, SecretID: a.Secrets[0].ID, Issued: b.clock.Now(), Expires: b.clock.Now().Add(token.Life),
	}
}

func TestAServiceAccountLooksAsInTheRealService(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	a, secret := b.account(t, directory.Grants{})
	for got, pattern := range map[string]string{
		a.ClientID:          `^mdb_sa_id_[a-fA-F\d]{24}$`,
		secret:              `^mdb_sa_sk_[A-Za-z0-9_-]{40}$`,
		a.Secrets[0].Masked: `^mdb_sa_sk_\.\.\.` + regexp.QuoteMeta(secret[len(secret)-4:]) + `$`,
	} {
		if !regexp.MustCompile(pattern).MatchString(got) {
			t.Errorf("%q does not match %s", got, pattern)
		}
	}
	found, ok, err := b.FindByClientID(t.Context(), a.ClientID)
	if diff := cmp.Diff(a, found, ignoring()); diff != "" || !ok || err != nil {
		t.Errorf("found by client id it differs: %s, %v", diff, err)
	}
	listed, err := b.ServiceAccounts(t.Context(), org)
	if err != nil || len(listed) != 1 || listed[0].Secrets[0].Hash != nil {
		t.Errorf("listed as %+v, %v", listed, err)
	}
}

func TestNothingStoredShowsASecret(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	a, secret := b.account(t, directory.Grants{})
	for _, pk := range []string{keys.ServiceAccount(a.ClientID).PK, keys.Org(org).PK, keys.EventPartition(keys.OrgScope(org))} {
		items, err := store.All(t.Context(), b.table, store.Query{PK: pk})
		if err != nil || len(items) == 0 {
			t.Fatalf("%s: %d items, %v", pk, len(items), err)
		}
		for _, item := range items {
			if bytes.Contains(item.Body, []byte(secret[10:40])) {
				t.Errorf("%s holds the secret", item.Key)
			}
		}
	}
}

func TestASecretProvesItselfUntilItExpires(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	a, secret := b.account(t, directory.Grants{})
	now := b.clock.Now()
	if got, ok := a.Prove(secret, now); !ok || got.ID != a.Secrets[0].ID {
		t.Error("the secret was refused")
	}
	for name, value := range map[string]string{"wrong": secret + "x", "empty": "", "masked": a.Secrets[0].Masked} {
		if _, ok := a.Prove(value, now); ok {
			t.Errorf("a %s secret was accepted", name)
		}
	}
	if _, ok := a.Prove(secret, now.Add(8*time.Hour)); ok {
		t.Error("an expired secret was accepted")
	}
}

func TestAnAccountHasTwoSecretsAndExpiredOnesMakeRoom(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	a, _ := b.account(t, directory.Grants{})
	now := b.clock.Now()
	add := func(at time.Time) error {
		s, _ := directory.NewSecret(at, 24*time.Hour)
		next, err := a.WithSecret(s, at)
		a = next
		return err
	}
	if err := add(now); err != nil {
		t.Fatal(err)
	}
	wantCode(t, add(now), atlas.MaxSecretsReached)
	if err := add(now.Add(9 * time.Hour)); err != nil || len(a.Secrets) != 2 {
		t.Errorf("%d secrets, %v", len(a.Secrets), err)
	}
	_, err := a.WithoutSecret("650000000000000000000999")
	wantCode(t, err, atlas.ServiceAccountSecretNotFound)
}

func TestATokenEndsWithItsSecretItsRevocationAndItsAccount(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	a, _ := b.account(t, directory.Grants{})
	mine, other := b.token(a, "1"), b.token(a, "2")
	if !a.Accepts(mine) || a.Accepts(token.Token{ID: "1", ClientID: "somebody", SecretID: mine.SecretID}) {
		t.Fatal("tokens are not told apart")
	}
	if err := b.Revoke(t.Context(), mine); err != nil {
		t.Fatal(err)
	}
	a, _, err := b.FindByClientID(t.Context(), a.ClientID)
	if err != nil || a.Accepts(mine) || !a.Accepts(other) {
		t.Errorf("revoked %v, other %v, %v", !a.Accepts(mine), a.Accepts(other), err)
	}
	without, err := a.WithoutSecret(other.SecretID)
	if err != nil || without.Accepts(other) {
		t.Errorf("the token outlives its secret, %v", err)
	}
	if err := b.DeleteServiceAccount(t.Context(), audit.System(), org, a.ClientID); err != nil {
		t.Fatal(err)
	}
	if _, found, err := b.FindByClientID(t.Context(), a.ClientID); found || err != nil {
		t.Errorf("found after deletion, %v", err)
	}
	if err := b.Revoke(t.Context(), other); err != nil {
		t.Errorf("revoking a token of a deleted account: %v", err)
	}
}

// However many tokens are revoked in whatever order, none of them is ever accepted again while
// it lives, and the list stays short.
func TestNoRevocationIsLost(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	fresh, _ := b.account(t, directory.Grants{})
	rapid.Check(t, func(rt *rapid.T) {
		a, now := fresh, b.clock.Now()
		pause := time.Duration(rapid.IntRange(0, 20).Draw(rt, "seconds")) * time.Second
		var revoked []token.Token
		for i := range rapid.IntRange(1, 700).Draw(rt, "revocations") {
			tok := token.Token{
				ID: strconv.Itoa(i), ClientID: a.ClientID, SecretID: a.Secrets[0].ID, Issued: now.Truncate(time.Second), Expires: now.Add(token.Life),
			}
			a, _ = a.WithRevoked(tok, now)
			revoked = append(revoked, tok)
			now = now.Add(pause)
		}
		for _, tok := range revoked {
			if now.Before(tok.Expires) && a.Accepts(tok) {
				rt.Fatalf("token %s is accepted again", tok.ID)
			}
		}
		if len(a.Revoked) > 500 {
			rt.Fatalf("%d entries", len(a.Revoked))
		}
	})
}

func TestTheLastUseOfASecretIsNotedOnceInAnHour(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	a, _ := b.account(t, directory.Grants{})
	_, before := b.table.Counts()
	for range 61 {
		current, _, err := b.FindByClientID(t.Context(), a.ClientID)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.NoteUse(t.Context(), current, a.Secrets[0].ID); err != nil {
			t.Fatal(err)
		}
		b.clock.Advance(time.Minute)
	}
	if _, writes := b.table.Counts(); writes != before+2 {
		t.Errorf("%d writes in 61 minutes, want 2", writes-before)
	}
	listed, err := b.ServiceAccounts(t.Context(), org)
	if err != nil || listed[0].Secrets[0].LastUsed == nil {
		t.Errorf("not shown in the list, %v", err)
	}
	if err := b.NoteUse(t.Context(), listed[0], "unknown"); err != nil {
		t.Errorf("an unknown secret: %v", err)
	}
}

func TestEveryChangeOfAnAccountIsTold(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.key(t, grants(identity.OrgOwner))
	b.clock.Advance(time.Second)
	a, _ := b.account(t, grants(identity.OrgMember))
	change := func(fn func(directory.ServiceAccount) (directory.ServiceAccount, error)) {
		t.Helper()
		b.clock.Advance(time.Second)
		var err error
		if a, err = b.ChangeServiceAccount(t.Context(), audit.System(), org, a.ClientID, fn); err != nil {
			t.Fatal(err)
		}
	}
	change(func(a directory.ServiceAccount) (directory.ServiceAccount, error) { a.Name = "cd"; return a, nil })
	change(func(a directory.ServiceAccount) (directory.ServiceAccount, error) {
		a.Grants = a.InOrg([]identity.Role{identity.OrgOwner})
		return a, nil
	})
	change(func(a directory.ServiceAccount) (directory.ServiceAccount, error) {
		a.Grants = a.InGroup(group, []identity.Role{identity.GroupOwner})
		return a, nil
	})
	change(func(a directory.ServiceAccount) (directory.ServiceAccount, error) {
		a.Grants = a.InGroup(group, nil)
		return a, nil
	})
	change(func(a directory.ServiceAccount) (directory.ServiceAccount, error) {
		s, _ := directory.NewSecret(b.clock.Now(), 8*time.Hour)
		return a.WithSecret(s, b.clock.Now())
	})
	change(func(a directory.ServiceAccount) (directory.ServiceAccount, error) {
		return a.WithoutSecret(a.Secrets[0].ID)
	})
	b.clock.Advance(time.Second)
	if err := b.DeleteServiceAccount(t.Context(), audit.System(), org, a.ClientID); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"API_KEY_CREATED", "SERVICE_ACCOUNT_CREATED", "SERVICE_ACCOUNT_DETAILS_CHANGED", "SERVICE_ACCOUNT_ROLES_CHANGED",
		"SERVICE_ACCOUNT_SECRET_ADDED", "SERVICE_ACCOUNT_SECRET_DELETED", "SERVICE_ACCOUNT_DELETED",
	}
	if diff := cmp.Diff(want, b.feed(t, keys.OrgScope(org))); diff != "" {
		t.Error(diff)
	}
	want = []string{"SERVICE_ACCOUNT_ADDED_TO_GROUP", "SERVICE_ACCOUNT_REMOVED_FROM_GROUP"}
	if diff := cmp.Diff(want, b.feed(t, keys.GroupScope(group))); diff != "" {
		t.Error(diff)
	}
}

func TestAServiceAccountMayOwnTheOrganisationAlone(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	k := b.key(t, grants(identity.OrgOwner))
	a, _ := b.account(t, grants(identity.OrgOwner))
	if err := b.DeleteAPIKey(t.Context(), audit.System(), org, k.ID); err != nil {
		t.Fatal(err)
	}
	wantCode(t, b.DeleteServiceAccount(t.Context(), audit.System(), org, a.ClientID), atlas.CannotDeleteLastAdmin)
}

func TestOnlyInGroupMeansThatNothingElseIsReached(t *testing.T) {
	t.Parallel()
	member := grants(identity.OrgMember)
	owner := []identity.Role{identity.GroupOwner}
	tests := map[string]struct {
		grants directory.Grants
		want   bool
	}{
		"a member in the group":      {member.InGroup(group, owner), true},
		"in another group too":       {member.InGroup(group, owner).InGroup(group2, owner), false},
		"in another group only":      {member.InGroup(group2, owner), false},
		"in no group":                {member, false},
		"an owner of the org":        {grants(identity.OrgOwner).InGroup(group, owner), false},
		"a reader of the org":        {grants(identity.OrgMember, identity.OrgReadOnly).InGroup(group, owner), false},
		"removed from another group": {member.InGroup(group, owner).InGroup(group2, owner).InGroup(group2, nil), true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := tc.grants.OnlyInGroup(group); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}
