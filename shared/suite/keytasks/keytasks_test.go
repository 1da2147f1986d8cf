package keytasks_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/shared/access"
	"latchkey/shared/atlas"
	"latchkey/shared/encryption"
	"latchkey/shared/identity/identitytest"
	"latchkey/shared/kms"
	"latchkey/shared/kms/kmstest"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
	"latchkey/shared/suite/keytasks"
	"latchkey/shared/task"
	"latchkey/shared/verdict"
)

const (
	group  = "650000000000000000000001"
	keyARN = "arn:aws:kms:us-east-1:111122223333:key/11111111-1111-4111-8111-111111111111"
	roleID = "650000000000000000000099"
)

// ring opens one key; stale, if set, is what cached credentials reach.
type ring struct{ fresh, stale *kmstest.Memory }

func (r ring) Open(ref kms.Reference) (*kms.Key, error) {
	if r.stale != nil {
		return r.stale.Key(ref.AWS.KeyName), nil
	}
	return r.Renew(ref)
}

func (r ring) Renew(ref kms.Reference) (*kms.Key, error) { return r.fresh.Key(ref.AWS.KeyName), nil }

func (ring) CheckVault(context.Context, kms.Reference) error { return nil }

// readOnly is a table that may not be written.
type readOnly struct{ store.Table }

func (readOnly) Write(context.Context, ...store.Op) error { return errors.New("written") }

// table is one with a group whose key is enabled.
func table(t *testing.T) store.Table {
	t.Helper()
	table := identitytest.Table(t)
	settings := encryption.New(group, "650000000000000000000002")
	settings.AWS = &encryption.AWS{KeyID: keyARN, Region: "US_EAST_1", RoleID: roleID}
	item, err := store.Encode(keys.Encryption(group), 0, settings)
	if err != nil {
		t.Fatal(err)
	}
	role, err := store.Encode(keys.Role(group, roleID), 0, access.Role{
		ID: roleID, GroupID: group, Provider: atlas.AWS,
		AWS: &access.AWSRole{ExternalID: "x", ARN: "arn:aws:iam::111122223333:role/r", AuthorizedAt: time.Unix(1, 0)},
	})
	if err == nil {
		err = table.Write(t.Context(), store.Put(item), store.Put(role))
	}
	if err != nil {
		t.Fatal(err)
	}
	return readOnly{table}
}

func check(t *testing.T, r ring, payload string) (answer, log string, err error) {
	t.Helper()
	var lines bytes.Buffer
	h := keytasks.New(keytasks.Deps{
		Table: table(t), Sealer: identitytest.NewSealer(t), Now: time.Now, Log: slog.New(slog.NewJSONHandler(&lines, nil)), Keys: r,
	})
	out, err := h.Invoke(t.Context(), []byte(payload))
	return string(out), lines.String(), err
}

const payload = `{"task":"checkKey","groupId":"` + group + `","provider":"AWS"}`

func TestCheckKey_answers_why_a_key_cannot_be_used(t *testing.T) {
	for _, reason := range verdict.Reasons() {
		if reason == verdict.KeyExpired { // goes on sealing and opening; the schedule of checks knows
			continue
		}
		key := kmstest.NewMemory()
		key.Break(reason)
		answer, log, err := check(t, ring{fresh: key}, payload)
		if err != nil || answer != `{"reason":"`+string(reason)+`"}` {
			t.Errorf("%s gives %s, %v", reason, answer, err)
		}
		if isOurs := reason.Class() == verdict.Inconclusive; strings.Contains(log, "KeyChecksInconclusive") != isOurs {
			t.Errorf("%s: the operator reads %s", reason, log)
		}
	}
}

func TestCheckKey_seals_and_opens(t *testing.T) {
	key := kmstest.NewMemory()
	if answer, _, err := check(t, ring{fresh: key}, payload); err != nil || answer != `{"reason":"OK"}` {
		t.Errorf("got %s, %v", answer, err)
	}
	if key.Calls("Encrypt") != 1 || key.Calls("Decrypt") != 1 || key.Calls("Describe") != 0 {
		t.Errorf("%d, %d and %d calls", key.Calls("Encrypt"), key.Calls("Decrypt"), key.Calls("Describe"))
	}
}

func TestCheckKey_takes_no_old_credentials_word_for_it(t *testing.T) {
	stale := kmstest.NewMemory()
	stale.Break(verdict.CredentialsExpired)
	if answer, _, err := check(t, ring{fresh: kmstest.NewMemory(), stale: stale}, payload); err != nil || answer != `{"reason":"OK"}` {
		t.Errorf("got %s, %v", answer, err)
	}
	stale.Break(verdict.TimedOut)
	if answer, _, err := check(t, ring{fresh: kmstest.NewMemory(), stale: stale}, payload); err != nil || answer != `{"reason":"TIMED_OUT"}` {
		t.Errorf("got %s, %v", answer, err)
	}
}

func TestCheckKey_waits_for_no_provider_for_long(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := kmstest.NewMemory()
		key.OnCall(func(string) { time.Sleep(20 * time.Second) })
		if answer, _, err := check(t, ring{fresh: key}, payload); err != nil || answer != `{"reason":"TIMED_OUT"}` {
			t.Errorf("got %s, %v", answer, err)
		}
	})
}

func TestCheckKey_of_what_is_not_there_says_nothing_of_the_tenant(t *testing.T) {
	for _, p := range []string{
		`{"task":"checkKey","groupId":"` + group + `","provider":"GCP"}`, `{"task":"checkKey","groupId":"650000000000000000000009","provider":"AWS"}`,
	} {
		if answer, _, err := check(t, ring{fresh: kmstest.NewMemory()}, p); err != nil || answer != `{"reason":"INTERNAL"}` {
			t.Errorf("%s gives %s, %v", p, answer, err)
		}
	}
}

func TestAnotherPayloadIsRefused(t *testing.T) {
	for _, p := range []string{`{}`, `{"task":"advancePlan"}`, `{"task":"checkKey","groupId":"g","provider":"AWS","secret":"x"}`} {
		if _, _, err := check(t, ring{fresh: kmstest.NewMemory()}, p); err == nil || !strings.Contains(err.Error(), "Payload") {
			t.Errorf("%s gives %v, want %s", p, err, task.InvalidInput)
		}
	}
}
