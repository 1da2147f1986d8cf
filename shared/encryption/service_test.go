package encryption_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/shared/access"
	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/encryption"
	"latchkey/shared/identity"
	"latchkey/shared/kms"
	"latchkey/shared/kms/kmstest"
	"latchkey/shared/seal"
	"latchkey/shared/seal/fileseal"
	"latchkey/shared/store"
	"latchkey/shared/store/bolt"
	"latchkey/shared/store/keys"
	"latchkey/shared/validity"
	"latchkey/shared/verdict"
)

const (
	groupID = "650000000000000000000001"
	orgID   = "650000000000000000000002"
)

var owner = identity.Caller{Kind: identity.KindAPIKey, ID: "650000000000000000000060", Name: "abcdefgh", OrgID: orgID, RemoteAddress: "198.51.100.7"}

// world is the use case over a real table and a real seal, with memory keys by name.
type world struct {
	*encryption.Service
	t     *testing.T
	table *countingTable
	keys  map[string]*kmstest.Memory
	now   time.Time
	// clusters rely on every key.
	clusters []string
	// refuse, if set, is asked before a key is opened.
	refuse func(ref kms.Reference) error

	enforced     []string
	enforceFails error
}

// countingTable counts writes and can run something before one.
type countingTable struct {
	store.Table
	writes int
	before func()
}

func (c *countingTable) Write(ctx context.Context, ops ...store.Op) error {
	c.writes++
	if hook := c.before; hook != nil {
		c.before = nil
		hook()
	}
	return c.Table.Write(ctx, ops...)
}

func newWorld(t *testing.T) *world {
	t.Helper()
	db, err := bolt.Open(filepath.Join(t.TempDir(), "table.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() }) //nolint:errcheck // the folder goes away
	wrapper, err := fileseal.Open(filepath.Join(t.TempDir(), "keys", "seal"))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, table: &countingTable{Table: db}, keys: map[string]*kmstest.Memory{}, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	clock := func() time.Time { return w.now }
	w.Service = &encryption.Service{
		Table: w.table, Journal: audit.Journal{Table: w.table, Now: clock}, Sealer: seal.New(wrapper, clock), Keys: w,
		Checker: validity.New(w, clock), Policy: encryption.Policy{AllowAWSUserKeys: true}, Now: clock,
		Log: slog.New(slog.DiscardHandler), Clusters: w, Enforcer: w,
	}
	op, err := encryption.Create(groupID, orgID)
	if err != nil {
		t.Fatal(err)
	}
	w.write(op)
	return w
}

// UsedBy is the use of keys by clusters: by those in w.clusters.
func (w *world) UsedBy(ctx context.Context, groupID string, p atlas.Provider) ([]string, store.Op, error) {
	key := keys.EncryptionUse(groupID, string(p))
	item, err := w.table.Get(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		item, err = store.Item{Key: key, Body: []byte(`{}`)}, nil
	}
	return w.clusters, store.Put(item), err
}

func (w *world) Open(ref kms.Reference) (*kms.Key, error) { return w.Renew(ref) }

func (w *world) Renew(ref kms.Reference) (*kms.Key, error) {
	if w.refuse != nil {
		if err := w.refuse(ref); err != nil {
			return nil, err
		}
	}
	name := ""
	switch {
	case ref.AWS != nil:
		name = ref.AWS.KeyName
	case ref.Azure != nil:
		name = ref.Azure.KeyIdentifier
	case ref.Google != nil:
		name = ref.Google.KeyVersion
	}
	if w.keys[name] == nil {
		return nil, verdict.Failed(verdict.KeyNotFound, "no key %s", name)
	}
	return w.keys[name].Key(name), nil
}

// Enforce remembers what is enforced.
func (w *world) Enforce(_ context.Context, groupID string, p atlas.Provider, revision int64, valid bool) error {
	w.enforced = append(w.enforced, fmt.Sprintf("%s %s %d %t", groupID, p, revision, valid))
	return w.enforceFails
}

// took is what was enforced since it was asked for last.
func (w *world) took() []string {
	all := w.enforced
	w.enforced = nil
	return all
}

// validate validates after the window in which calls share a check.
func (w *world) validate() []encryption.Finding {
	w.t.Helper()
	w.now = w.now.Add(validity.Shared)
	findings, err := w.Validate(w.t.Context(), groupID)
	if err != nil {
		w.t.Fatal(err)
	}
	return findings
}

// stored is what is stored of the key at AWS.
func (w *world) stored() encryption.KeyState {
	w.t.Helper()
	settings, err := w.Load(w.t.Context(), groupID)
	if err != nil {
		w.t.Fatal(err)
	}
	return *settings.Key(atlas.AWS)
}

func (w *world) write(ops ...store.Op) {
	w.t.Helper()
	if err := w.table.Table.Write(w.t.Context(), ops...); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) key(name string) *kmstest.Memory {
	w.keys[name] = kmstest.NewMemory()
	return w.keys[name]
}

// role stores an authorized AWS role.
func (w *world) role(id string) {
	w.t.Helper()
	item, err := store.Encode(keys.Role(groupID, id), 0, access.Role{
		ID: id, GroupID: groupID, Provider: atlas.AWS,
		AWS: &access.AWSRole{ExternalID: "x", ARN: "arn:aws:iam::111122223333:role/r", AuthorizedAt: w.now},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.write(store.Put(item))
}

func (w *world) patch(body string) (encryption.Settings, error) {
	w.t.Helper()
	return w.Update(w.t.Context(), owner, groupID, update(w.t, body))
}

func (w *world) mustPatch(body string) encryption.Settings {
	w.t.Helper()
	s, err := w.patch(body)
	if err != nil {
		w.t.Fatalf("PATCH %s: %v", body, err)
	}
	return s
}

// get validates after the window in which calls share a check.
func (w *world) get() encryption.Settings {
	w.t.Helper()
	w.now = w.now.Add(validity.Shared)
	s, err := w.Get(w.t.Context(), groupID)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// events are the types of the group's events, oldest first.
func (w *world) events() []string {
	w.t.Helper()
	events, _, err := w.Journal.List(w.t.Context(), keys.GroupScope(groupID), audit.Filter{}, 0, 100)
	if err != nil {
		w.t.Fatal(err)
	}
	types := []string{}
	for _, e := range slices.Backward(events) {
		types = append(types, string(e.Type))
	}
	return types
}

const enableRole = `{"awsKms":{"enabled":true,"roleId":"` + role1 + `","customerMasterKeyID":"` + keyARN + `","region":"US_EAST_1"}}`

func enabledWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.role(role1)
	w.key(keyARN)
	w.mustPatch(enableRole)
	w.now = w.now.Add(time.Minute)
	return w
}

func TestUpdateStoresWhatItProved(t *testing.T) {
	w := newWorld(t)
	w.role(role1)
	w.key(keyARN)
	got := w.mustPatch(enableRole)
	if !got.AWS.Key.Valid || got.AWS.Key.Version == "" || got.Revision != 1 {
		t.Errorf("settings %+v", got.AWS)
	}
	stored, err := w.Load(t.Context(), groupID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got.Wire(), stored.Wire()); diff != "" {
		t.Errorf("answered (-) and stored (+) differ:\n%s", diff)
	}
	want := []string{"ENCRYPTION_AT_REST_CONFIGURATION_UPDATED", "ENCRYPTION_AT_REST_CONFIGURATION_VALIDATION_SUCCEEDED"}
	events := w.events()
	slices.Sort(events)
	if diff := cmp.Diff(want, events); diff != "" {
		t.Error(diff)
	}
}

func TestARefusedUpdateChangesNothing(t *testing.T) {
	for reason, code := range map[verdict.Reason]atlas.Code{
		verdict.KeyDisabled: atlas.AWSKeyNotEnabled, verdict.KeyPendingDeletion: atlas.AWSKeyPendingDeletion,
		verdict.KeyPendingImport: atlas.AWSKeyPendingImport, verdict.KeyNotFound: atlas.AWSKeyNotFound,
		verdict.AccessDenied: atlas.NoPermission, verdict.RoleDenied: atlas.CannotAssumeRole,
		verdict.CredentialsInvalid: atlas.InvalidAWSCredentials, verdict.TimedOut: atlas.KMSUnreachable,
		verdict.NetworkRefused: atlas.KMSUnreachable, verdict.RateLimited: atlas.KMSUnreachable,
		verdict.OurCredentials: atlas.UnexpectedError, verdict.KeyUnsuitable: atlas.AWSKeyUnsuitable,
	} {
		t.Run(string(reason), func(t *testing.T) {
			w := newWorld(t)
			w.role(role1)
			w.key(keyARN).Break(reason)
			_, err := w.patch(enableRole)
			if got := atlas.CodeOf(err); got != code {
				t.Errorf("%s gives %v, want %s", reason, err, code)
			}
			stored, err := w.Load(t.Context(), groupID)
			if err != nil || stored.AWS != nil || stored.Revision != 0 {
				t.Errorf("stored %+v, %v", stored, err)
			}
			if diff := cmp.Diff([]string{"ENCRYPTION_AT_REST_CONFIGURATION_VALIDATION_FAILED"}, w.events()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestUpdateRefusesRolesThatMayNotBeUsed(t *testing.T) {
	w := newWorld(t)
	w.key(keyARN)
	if _, err := w.patch(enableRole); atlas.CodeOf(err) != atlas.RoleNotFound {
		t.Errorf("an unknown role gives %v", err)
	}
	item, err := store.Encode(keys.Role(groupID, role1), 0, access.Role{ID: role1, GroupID: groupID, Provider: atlas.AWS, AWS: &access.AWSRole{}})
	if err != nil {
		t.Fatal(err)
	}
	w.write(store.Put(item))
	if _, err := w.patch(enableRole); atlas.CodeOf(err) != atlas.RoleNotAuthorized {
		t.Errorf("a role that is not authorized gives %v", err)
	}
}

func TestARoleThatIsRemovedMeanwhileIsAConflict(t *testing.T) {
	w := newWorld(t)
	w.role(role1)
	w.key(keyARN)
	w.table.before = func() { w.write(store.Delete(keys.Role(groupID, role1), 1)) }
	if _, err := w.patch(enableRole); !errors.Is(err, store.ErrConflict) {
		t.Errorf("got %v", err)
	}
}

func TestOfTwoUpdatesAtOnceOneWins(t *testing.T) {
	w := enabledWorld(t)
	var mu sync.Mutex
	var once sync.Once
	w.key(keyID)
	w.keys[keyID].OnCall(func(string) {
		once.Do(func() {
			mu.Lock()
			defer mu.Unlock()
			w.mustPatch(`{"awsKms":{"requirePrivateNetworking":true}}`)
		})
	})
	_, err := w.patch(`{"awsKms":{"customerMasterKeyID":"` + keyID + `"}}`)
	if !errors.Is(err, store.ErrConflict) {
		t.Errorf("the later of two updates gives %v", err)
	}
	stored, err := w.Load(t.Context(), groupID)
	if err != nil || stored.AWS.KeyID != keyARN || !stored.AWS.PrivateNetworking {
		t.Errorf("stored a mix: %+v, %v", stored.AWS, err)
	}
}

func TestAVerdictStoredMeanwhileIsNoConflict(t *testing.T) {
	w := enabledWorld(t)
	w.table.before = func() {
		s, err := w.Load(t.Context(), groupID)
		if err != nil {
			t.Fatal(err)
		}
		v := verdict.Verdict{Reason: verdict.TimedOut, Settings: s.AWS.Key.Revision, StartedAt: w.now}
		if err := w.Record(t.Context(), &s, atlas.AWS, v); err != nil {
			t.Fatal(err)
		}
	}
	w.mustPatch(`{"awsKms":{"requirePrivateNetworking":true}}`)
	stored, err := w.Load(t.Context(), groupID)
	if err != nil || !stored.AWS.PrivateNetworking || stored.AWS.Key.Verdict.Reason != verdict.TimedOut {
		t.Errorf("stored %+v, %v", stored.AWS, err)
	}
}

func TestValidationFollowsTheKey(t *testing.T) {
	w := enabledWorld(t)
	key := w.keys[keyARN]
	for _, step := range []struct {
		reason verdict.Reason
		valid  bool
	}{
		{verdict.OK, true},
		{verdict.KeyDisabled, false},
		{verdict.OK, true},
		{verdict.TimedOut, true}, // an outage says nothing about the key
		{verdict.RateLimited, true},
		{verdict.AccessDenied, false},
		{verdict.ConnectFailed, false},
		{verdict.OK, true},
		{verdict.OurCredentials, true},
	} {
		key.Break(step.reason)
		if f := w.validate()[0]; f.Valid != step.valid || f.Verdict.Reason != step.reason {
			t.Errorf("after %s: %+v", step.reason, f)
		}
		if stored := w.stored(); stored.Valid != step.valid || stored.Verdict.Reason != step.reason {
			t.Errorf("after %s: stored %+v", step.reason, stored)
		}
	}
	want := []string{
		"AWS_ENCRYPTION_KEY_INVALID", "ENCRYPTION_AT_REST_CONFIG_NO_LONGER_VALID",
		"AWS_ENCRYPTION_KEY_VALID", "ENCRYPTION_AT_REST_CONFIG_IS_VALID",
		"ENCRYPTION_AT_REST_KMS_NETWORK_ACCESS_DENIED", "ENCRYPTION_AT_REST_KMS_NETWORK_ACCESS_RESTORED",
		"AWS_ENCRYPTION_KEY_INVALID", "ENCRYPTION_AT_REST_CONFIG_NO_LONGER_VALID",
		"ENCRYPTION_AT_REST_KMS_NETWORK_ACCESS_DENIED",
		"ENCRYPTION_AT_REST_KMS_NETWORK_ACCESS_RESTORED", "AWS_ENCRYPTION_KEY_VALID", "ENCRYPTION_AT_REST_CONFIG_IS_VALID",
	}
	got := w.events()[2:] // after those of the update
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestGetWritesNothingWhenNothingChanged(t *testing.T) {
	w := enabledWorld(t)
	before := w.table.writes
	for range 5 {
		w.get()
	}
	if n := w.table.writes - before; n != 0 {
		t.Errorf("%d writes", n)
	}
	w.keys[keyARN].Break(verdict.KeyDisabled)
	for range 5 {
		w.get()
	}
	if n := w.table.writes - before; n != 1 {
		t.Errorf("%d writes for one change", n)
	}
}

func TestAnOldVerdictNeverOverwritesANewerOne(t *testing.T) {
	w := enabledWorld(t)
	s, err := w.Load(t.Context(), groupID)
	if err != nil {
		t.Fatal(err)
	}
	revision := s.AWS.Key.Revision
	newer := verdict.Verdict{Reason: verdict.KeyDisabled, Settings: revision, StartedAt: w.now.Add(time.Minute)}
	older := verdict.Verdict{Reason: verdict.OK, Settings: revision, StartedAt: w.now}
	foreign := verdict.Verdict{Reason: verdict.AccessDenied, Settings: revision + 1, StartedAt: w.now.Add(time.Hour)}
	for _, v := range []verdict.Verdict{newer, older, foreign} {
		if err := w.Record(t.Context(), &s, atlas.AWS, v); err != nil {
			t.Fatal(err)
		}
	}
	if stored, err := w.Load(t.Context(), groupID); err != nil || stored.AWS.Key.Verdict.Reason != verdict.KeyDisabled {
		t.Errorf("stored %+v, %v", stored.AWS.Key.Verdict, err)
	}
}

func TestAKeyThatIsTakenAwayCanNotBeChangedOrDisabled(t *testing.T) {
	w := enabledWorld(t)
	w.key(keyID)
	for _, body := range []string{`{"awsKms":{"enabled":false}}`, `{"awsKms":{"customerMasterKeyID":"` + keyID + `"}}`} {
		w.keys[keyARN].Break(verdict.KeyDisabled)
		if _, err := w.patch(body); atlas.CodeOf(err) != atlas.EARSettingsInvalid {
			t.Errorf("%s with the key disabled gives %v", body, err)
		}
		w.keys[keyARN].Break(verdict.TimedOut)
		if _, err := w.patch(body); atlas.CodeOf(err) != atlas.KMSUnreachable {
			t.Errorf("%s with the key unreachable gives %v", body, err)
		}
	}
	w.keys[keyARN].Break(verdict.OK)
	w.mustPatch(`{"awsKms":{"customerMasterKeyID":"` + keyID + `"}}`)
	w.mustPatch(`{"awsKms":{"enabled":false}}`)
}

func TestAccessMayBeMendedWhileTheKeyIsInaccessible(t *testing.T) {
	w := enabledWorld(t)
	w.role(role2)
	w.refuse = func(ref kms.Reference) error {
		if ref.AWS.RoleARN == "" {
			return verdict.Failed(verdict.CredentialsInvalid, "the old way is gone")
		}
		return nil
	}
	w.mustPatch(`{"awsKms":{"roleId":"` + role2 + `"}}`)
}

func TestAnotherWayToReachTheSameKeyMustOpenWhatItSealed(t *testing.T) {
	w := enabledWorld(t)
	w.role(role2)
	w.key(keyARN) // another key answers under the same name
	if _, err := w.patch(`{"awsKms":{"roleId":"` + role2 + `"}}`); err == nil {
		t.Error("settings were stored that can't open the old probe")
	}
}

func TestRotationKeepsWhenTheKeyBeganToBeUsed(t *testing.T) {
	w := enabledWorld(t)
	w.role(role2)
	since := w.get().AWS.Key.Since
	if got := w.mustPatch(`{"awsKms":{"roleId":"` + role2 + `"}}`).AWS.Key.Since; !got.Equal(since) {
		t.Errorf("another role changed the age of the key: %s", got)
	}
	c, err := w.Changeover(t.Context(), groupID, atlas.AWS)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Finish(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	w.key(keyID)
	if got := w.mustPatch(`{"awsKms":{"customerMasterKeyID":"` + keyID + `"}}`).AWS.Key.Since; !got.Equal(w.now) {
		t.Errorf("another key is as old as the old one: %s", got)
	}
	if !slices.Contains(w.events(), "AWS_ENCRYPTION_KEY_ROTATED") {
		t.Errorf("events %v", w.events())
	}
}

func TestAnExpiringAzureKeyIsRefused(t *testing.T) {
	const body = `{"azureKeyVault":{"enabled":true,` + azureRest + `,"clientID":"6f1b0000-0000-4000-8000-000000000001","tenantID":"6f1b0000-0000-4000-8000-000000000002","secret":"s3cret"}}`
	w := newWorld(t)
	key := w.key(azureKey)
	key.ExpireAt(w.now.Add(47 * time.Hour))
	if _, err := w.patch(body); atlas.CodeOf(err) != atlas.AzureKeyExpiring {
		t.Errorf("got %v", err)
	}
	key.ExpireAt(w.now.Add(49 * time.Hour))
	w.mustPatch(body)
}

func TestSecretsAreSealedAndNeverShown(t *testing.T) {
	const canary = "c4n4ry-s3cret-0123456789"
	w := newWorld(t)
	w.key(keyID)
	seen := ""
	w.refuse = func(ref kms.Reference) error { seen = ref.AWS.SecretAccessKey; return nil }
	s := w.mustPatch(`{"awsKms":{"enabled":true,"accessKeyID":"AKIAIOSFODNN7EXAMPLE","secretAccessKey":"` + canary + `","customerMasterKeyID":"` + keyID + `","region":"US_EAST_1"}}`)
	item, err := w.table.Get(t.Context(), keys.Encryption(groupID))
	if err != nil {
		t.Fatal(err)
	}
	wire, err := json.Marshal(s.Wire())
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string][]byte{
		"the table": item.Body, "the response": wire, "a printed reference": fmt.Appendf(nil, "%v %+v %#v", s.Wire(), kms.Reference{AWS: &kms.AWSReference{SecretAccessKey: canary}}, kms.Reference{AWS: &kms.AWSReference{SecretAccessKey: canary}}),
	} {
		if bytes.Contains(text, []byte(canary)) {
			t.Errorf("%s holds the secret", what)
		}
	}
	seen = ""
	w.get()
	if seen != canary {
		t.Errorf("the check used the secret %q", seen)
	}
}

func TestAnUnknownGroupIsNotFound(t *testing.T) {
	w := newWorld(t)
	if _, err := w.Get(t.Context(), "65000000000000000000ffff"); atlas.CodeOf(err) != atlas.GroupNotFound {
		t.Errorf("got %v", err)
	}
}

func TestAProviderThatClustersUseCanNotBeDisabled(t *testing.T) {
	w := enabledWorld(t)
	w.clusters = []string{"c1", "c2"}
	_, err := w.patch(`{"awsKms":{"enabled":false}}`)
	if atlas.CodeOf(err) != atlas.CannotDisableEAR || !strings.Contains(atlas.AsError(err).Detail(), "c1, c2") {
		t.Errorf("got %v", err)
	}
	w.mustPatch(`{"awsKms":{"requirePrivateNetworking":true}}`)
	w.clusters = nil
	w.mustPatch(`{"awsKms":{"enabled":false}}`)
	w.clusters = []string{"c1"} // of another provider's key, or stale: nothing is left to disable
	w.mustPatch(`{"awsKms":{"enabled":false}}`)
}

func TestAClusterThatBeginsToUseAKeyMeanwhileIsAConflict(t *testing.T) {
	w := enabledWorld(t)
	w.table.before = func() {
		item, err := store.Encode(keys.EncryptionUse(groupID, "AWS"), 0, map[string]string{"c": "1"})
		if err != nil {
			t.Fatal(err)
		}
		w.write(store.Put(item))
	}
	if _, err := w.patch(`{"awsKms":{"enabled":false}}`); !errors.Is(err, store.ErrConflict) {
		t.Errorf("got %v", err)
	}
}
