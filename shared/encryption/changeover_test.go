package encryption_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/shared/atlas"
	"latchkey/shared/encryption"
	"latchkey/shared/kms"
	"latchkey/shared/ledger"
	"latchkey/shared/verdict"
	"latchkey/shared/workflow"
)

// starter remembers which changes were to be carried out, as they are stored by then.
type starter struct {
	w    *world
	all  []encryption.Changeover
	fail error
}

func (s *starter) Start(ctx context.Context, x workflow.Execution) error {
	c, err := s.w.Changeover(ctx, x.GroupID, atlas.Provider(x.Subject))
	if diff := cmp.Diff(x, c.Execution()); err != nil || diff != "" {
		s.w.t.Errorf("%v, started (-) and stored (+):\n%s", err, diff)
	}
	s.all = append(s.all, c)
	return s.fail
}

const (
	userKeys = `{"awsKms":{"enabled":true,"accessKeyID":"AKIAIOSFODNN7EXAMPLE","secretAccessKey":"s","customerMasterKeyID":"` + keyARN + `","region":"US_EAST_1"}}`
	toRole   = `{"awsKms":{"roleId":"` + role1 + `"}}`
)

// changing is a world in which changes are carried out, with a key that is reached with a user's keys.
func changing(t *testing.T) (*world, *starter) {
	t.Helper()
	w := newWorld(t)
	s := &starter{w: w}
	w.Start = s
	w.role(role1)
	w.key(keyARN)
	w.mustPatch(userKeys)
	return w, s
}

// Terraform sends whole blocks, secrets included, whatever it is that changes.
func TestASecretThatIsSentAgainIsNoChange(t *testing.T) {
	t.Parallel()
	w, s := changing(t)
	before := w.table.writes
	w.mustPatch(userKeys)
	if len(s.all) > 0 || w.table.writes != before {
		t.Errorf("the same block again begins %+v and writes %d times", s.all, w.table.writes-before)
	}
	for _, digit := range []string{"2", "3"} { // the second comes before the first is finished
		key := strings.Replace(keyARN, "1234abcd", strings.Repeat(digit, 8), 1)
		w.key(key)
		w.mustPatch(strings.Replace(userKeys, keyARN, key, 1))
	}
	if len(s.all) != 2 || s.all[0].Kind != workflow.RotateKey || s.all[1].Kind != workflow.RotateKey {
		t.Errorf("two other keys begin %+v", s.all)
	}
	w.mustPatch(strings.Replace(strings.Replace(userKeys, keyARN, strings.Replace(keyARN, "1234abcd", "33333333", 1), 1), `"s"`, `"t"`, 1))
	if len(s.all) != 3 {
		t.Errorf("another secret begins nothing: %+v", s.all)
	}
}

func TestWhichChangesLeaveAWayBack(t *testing.T) {
	t.Parallel()
	other := strings.Replace(keyARN, "1234abcd", "2222abcd", 1)
	for name, c := range map[string]struct {
		body string
		kind workflow.Kind
	}{
		"to a role":             {toRole, workflow.SwitchRole},
		"another secret":        {`{"awsKms":{"secretAccessKey":"t"}}`, workflow.SwitchRole},
		"another key":           {`{"awsKms":{"customerMasterKeyID":"` + other + `"}}`, workflow.RotateKey},
		"another key by a role": {`{"awsKms":{"roleId":"` + role1 + `","customerMasterKeyID":"` + other + `"}}`, workflow.RotateKey},
		"private networking":    {`{"awsKms":{"requirePrivateNetworking":true}}`, ""},
		"search nodes":          {`{"enabledForSearchNodes":true}`, ""},
		"the end":               {`{"awsKms":{"enabled":false}}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, s := changing(t)
			w.key(other)
			if len(s.all) > 0 {
				t.Errorf("enabling is carried out as %+v", s.all)
			}
			stored := w.mustPatch(c.body)
			if c.kind == "" {
				if len(s.all)+len(stored.Fallbacks) > 0 {
					t.Errorf("%+v is carried out, the ways back are %+v", s.all, stored.Fallbacks)
				}
				return
			}
			f, ok := stored.Fallback(atlas.AWS)
			if len(s.all) != 1 || s.all[0].Kind != c.kind || s.all[0].Revision != stored.Revision || !ok || f.Revision != stored.Revision {
				t.Fatalf("%+v is carried out, the way back is %+v", s.all, f)
			}
			if f.AWS.AccessKeyID == "" || f.AWS.Secret == nil || f.AWS.KeyID != keyARN || len(stored.RoleOnly) > 0 {
				t.Errorf("the way back is %+v, role-only %v", f.AWS, stored.RoleOnly)
			}
		})
	}
}

// What is updated besides, or at another provider, does not make a switch final that may still be taken back.
func TestASwitchIsFinalOnlyOnceItIsFinished(t *testing.T) {
	t.Parallel()
	w, s := changing(t)
	w.mustPatch(toRole)
	for _, body := range []string{`{"enabledForSearchNodes":true}`, `{"awsKms":{"requirePrivateNetworking":true}}`} {
		if got := w.mustPatch(body); len(got.RoleOnly) > 0 {
			t.Errorf("after %s static credentials are refused for ever at %v", body, got.RoleOnly)
		}
	}
	c := s.all[0]
	if err := w.Restore(t.Context(), c, verdict.AccessDenied); err != nil {
		t.Fatal(err)
	}
	w.mustPatch(`{"awsKms":{"secretAccessKey":"t"}}`)
}

func TestAChangeThatCannotBeStartedIsStoredAllTheSame(t *testing.T) {
	t.Parallel()
	w, s := changing(t)
	s.fail = errors.New("no workflows today")
	w.mustPatch(toRole)
	c, err := w.Changeover(t.Context(), groupID, atlas.AWS)
	if err != nil || c.State != encryption.UnderWay || c.Attempt != 1 {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestAChangeEndsOnce(t *testing.T) {
	t.Parallel()
	w, s := changing(t)
	w.mustPatch(toRole)
	c := s.all[0]
	stale := c
	stale.Attempt++
	if err := w.Restore(t.Context(), stale, verdict.AccessDenied); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := w.Finish(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Restore(t.Context(), c, verdict.AccessDenied); err != nil {
		t.Error(err)
	}
	got, err := w.Load(t.Context(), groupID)
	if err != nil || got.AWS.RoleID != role1 || len(got.RoleOnly) != 1 || len(got.Fallbacks) > 0 {
		t.Errorf("%+v, %v", got, err)
	}
	finished := 0
	for _, e := range w.events() {
		if e == string(encryption.EventChangeFinished) {
			finished++
		}
		if e == "ENCRYPTION_AT_REST_CONFIGURATION_VALIDATION_FAILED" {
			t.Error("it was restored")
		}
	}
	if finished != 1 {
		t.Errorf("%d events", finished)
	}
}

// An update that has read the way back does not bring it back once it was destroyed.
func TestAnUpdateThatMeetsTheEndOfAChangeConflicts(t *testing.T) {
	t.Parallel()
	w, s := changing(t)
	w.mustPatch(toRole)
	w.table.before = func() {
		if err := w.Finish(t.Context(), s.all[0]); err != nil {
			t.Error(err)
		}
	}
	if _, err := w.patch(`{"awsKms":{"requirePrivateNetworking":true}}`); err == nil {
		t.Error("the update succeeds")
	}
	if got, _ := w.Load(t.Context(), groupID); len(got.Fallbacks) > 0 {
		t.Error("the way back is there again")
	}
}

// What a workflow notes of a change just when the next one is stored is no reason to refuse that one.
func TestAnUpdateThatMeetsAStepOfAChangeSucceeds(t *testing.T) {
	t.Parallel()
	w, s := changing(t)
	w.mustPatch(toRole)
	w.table.before = func() {
		c, err := w.Changeover(t.Context(), groupID, atlas.AWS)
		c.Proved++
		if _, noteErr := w.Note(t.Context(), c); err != nil || noteErr != nil {
			t.Error(err, noteErr)
		}
	}
	w.role(role2)
	w.mustPatch(strings.Replace(toRole, role1, role2, 1))
	c, err := w.Changeover(t.Context(), groupID, atlas.AWS)
	if err != nil || len(s.all) != 2 || c.Revision != s.all[1].Revision || c.Proved != 0 {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestVerdictsAreStoredWhileAChangeEnds(t *testing.T) {
	t.Parallel()
	w, s := changing(t)
	w.mustPatch(toRole)
	w.table.before = func() { w.validate() }
	if err := w.Finish(t.Context(), s.all[0]); err != nil {
		t.Error(err)
	}
	if got, _ := w.Load(t.Context(), groupID); len(got.Fallbacks) > 0 {
		t.Error("the way back is still there")
	}
}

// Where the new way is refused, the former one counts while it is there, and no node stops.
func TestAKeyIsValidInEitherWayWhileAChangeIsUnderWay(t *testing.T) {
	t.Parallel()
	w, s := changing(t)
	w.mustPatch(toRole)
	w.refuse = func(ref kms.Reference) error {
		if ref.AWS.RoleARN != "" {
			return verdict.Failed(verdict.RoleDenied, "not today")
		}
		return nil
	}
	if got := w.get(); !got.AWS.Key.Valid {
		t.Error("the key is shown as invalid")
	}
	if err := w.Finish(t.Context(), s.all[0]); err != nil {
		t.Fatal(err)
	}
	if got := w.get(); got.AWS.Key.Valid {
		t.Error("the key is shown as valid when there is no other way")
	}
}

func TestWhatProvingAWrappedKeyShows(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		role, user verdict.Reason
		want       encryption.EntryProof
	}{
		"both open it":              {verdict.OK, verdict.OK, encryption.EntryProof{Reason: verdict.OK}},
		"the new one alone":         {verdict.OK, verdict.AccessDenied, encryption.EntryProof{Reason: verdict.OK}},
		"the former one alone":      {verdict.AccessDenied, verdict.OK, encryption.EntryProof{Reason: verdict.AccessDenied, OpensBefore: true}},
		"neither, for now":          {verdict.KeyDisabled, verdict.KeyDisabled, encryption.EntryProof{Reason: verdict.KeyDisabled}},
		"neither, for ever":         {verdict.KeyNotFound, verdict.KeyDeleted, encryption.EntryProof{Reason: verdict.KeyNotFound, Gone: true}},
		"the new one is away":       {verdict.TimedOut, verdict.OK, encryption.EntryProof{Reason: verdict.TimedOut}},
		"refused, and the other is": {verdict.AccessDenied, verdict.ConnectFailed, encryption.EntryProof{Reason: verdict.AccessDenied}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := changing(t)
			e := ledger.Entry{
				GroupID: groupID, ClusterID: "c", NodeID: "n", KeyID: "k",
				CMK: ledger.CMK{Provider: atlas.AWS, Name: keyARN, Version: keyARN},
			}
			sealed, err := w.keys[keyARN].Key(keyARN).Encrypt(t.Context(), []byte("secret"), e.Binding())
			if err != nil {
				t.Fatal(err)
			}
			e.Blob = sealed.Blob
			settings := w.mustPatch(toRole)
			w.refuse = func(ref kms.Reference) error {
				reason := c.user
				if ref.AWS.RoleARN != "" {
					reason = c.role
				}
				if reason == verdict.OK {
					return nil
				}
				return &verdict.Failure{Reason: reason}
			}
			if got, err := w.ProveEntry(t.Context(), settings, e); err != nil || got != c.want {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestWhichEntriesCountAsWrappedByTheKeyOfNow(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	azure, google := inVault(vaultKey+version2), inGoogle(googleKey+"/cryptoKeyVersions/3")
	azure.Azure.Key.Version, google.Google.Key.Version = version2, "3"
	for name, c := range map[string]struct {
		settings encryption.Settings
		cmk      ledger.CMK
		after    time.Duration
		want     bool
	}{
		"AWS, the key":                          {onAWS(keyARN, "US_EAST_1", keyARN), ledger.CMK{Provider: atlas.AWS, Name: keyARN}, 0, true},
		"AWS, another key":                      {onAWS(keyARN, "US_EAST_1", keyARN), ledger.CMK{Provider: atlas.AWS, Name: oldARN}, time.Hour, false},
		"AWS, a replica":                        {onAWS(mrkEast, "EU_WEST_1", mrkIn), ledger.CMK{Provider: atlas.AWS, Name: mrkEast}, 0, true},
		"AWS, what an alias names":              {onAWS("alias/a", "US_EAST_1", keyARN+"#m"), ledger.CMK{Provider: atlas.AWS, Name: keyARN}, 0, true},
		"Azure, the version":                    {azure, ledger.CMK{Provider: atlas.Azure, Name: vaultName, Version: version2}, -time.Hour, true},
		"Azure, the version before":             {azure, ledger.CMK{Provider: atlas.Azure, Name: vaultName, Version: version1}, -time.Hour, false},
		"Azure, a later version":                {azure, ledger.CMK{Provider: atlas.Azure, Name: vaultName, Version: version1}, time.Hour, true},
		"Azure, by who had read the one before": {azure, ledger.CMK{Provider: atlas.Azure, Name: vaultName, Version: version1}, time.Second, false},
		"Google, the version before":            {google, ledger.CMK{Provider: atlas.GCP, Name: googleKey, Version: "2"}, -time.Hour, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := ledger.Entry{CMK: c.cmk, Wrapped: now.Add(c.after)}
			if got, err := c.settings.Wraps(e, now); err != nil || got != c.want {
				t.Errorf("got %t, %v", got, err)
			}
		})
	}
}
