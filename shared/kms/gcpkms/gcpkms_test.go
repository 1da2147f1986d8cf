package gcpkms_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"latchkey/local/pocket"
	"latchkey/shared/kms"
	"latchkey/shared/kms/gcpkms"
	"latchkey/shared/verdict"
)

func mustProbe(t testing.TB, k *kms.Key) kms.Probe {
	t.Helper()
	p, _, err := k.NewProbe(t.Context(), use.GroupID)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAHealthyCheckIsOneCall(t *testing.T) {
	w := newWorld(t)
	for name, openKey := range map[string]opener{"tenant": w.asTenant(t), "ours": w.asOurs(t)} {
		k := openKey(t, versionOne)
		p := mustProbe(t, k)
		before := w.requests.Load()
		for range 10 {
			if err := k.CheckProbe(t.Context(), use.GroupID, p); err != nil {
				t.Fatal(err)
			}
		}
		if got := w.requests.Load() - before; got != 10 {
			t.Errorf("%s: 10 checks made %d requests", name, got)
		}
	}
}

func TestEveryStateOfAVersionHasItsReason(t *testing.T) {
	w := newWorld(t)
	k := w.asTenant(t)(t, versionOne)
	p := mustProbe(t, k)
	for state, want := range map[string]verdict.Reason{
		"DISABLED": verdict.KeyDisabled, "PENDING_GENERATION": verdict.KeyNotReady, "PENDING_IMPORT": verdict.KeyPendingImport,
		"IMPORT_FAILED": verdict.KeyUnsuitable, "GENERATION_FAILED": verdict.KeyUnsuitable,
		"PENDING_EXTERNAL_DESTRUCTION": verdict.KeyPendingDeletion, "EXTERNAL_DESTRUCTION_FAILED": verdict.KeyDeleted,
	} {
		w.state(t, state)
		_, encrypt := k.Encrypt(t.Context(), []byte("x"), use)
		_, describe := k.Describe(t.Context())
		for what, err := range map[string]error{"encrypt": encrypt, "describe": describe, "decrypt": k.CheckProbe(t.Context(), use.GroupID, p)} {
			if f := failureOf(err); f.Reason != want {
				t.Errorf("%s: %s gives %v, want %s", state, what, err, want)
			}
		}
		w.state(t, "ENABLED")
	}
	if err := k.CheckProbe(t.Context(), use.GroupID, p); err != nil {
		t.Errorf("enabled again: %v", err)
	}
}

// bare strips the details off error answers of Cloud KMS, as older answers of Google came.
type bare struct{ http.RoundTripper }

func (b bare) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.RoundTripper.RoundTrip(r)
	if err != nil || resp.StatusCode != http.StatusBadRequest {
		return resp, err
	}
	resp.Body = io.NopCloser(strings.NewReader(`{"error":{"code":400,"message":"no","status":"FAILED_PRECONDITION"}}`))
	return resp, nil
}

func TestABareRefusalIsExplainedByTheVersionsState(t *testing.T) {
	w := newWorld(t)
	p := mustProbe(t, w.asTenant(t)(t, versionOne))
	w.state(t, "DISABLED")
	ring, err := gcpkms.New(t.Context(), gcpkms.Config{Kept: 100, Transport: bare{w}, Now: w.now})
	if err != nil {
		t.Fatal(err)
	}
	// Decrypting with another version configured, it is the state of the probe's version that counts.
	w.admin(t, "POST", kmsURL+keyName+"/cryptoKeyVersions", "{}")
	k := open(ring, kms.GoogleReference{ServiceAccountKey: w.accountKey})(t, keyName+"/cryptoKeyVersions/2")
	if err := k.CheckProbe(t.Context(), use.GroupID, p); failureOf(err).Reason != verdict.KeyDisabled {
		t.Errorf("decrypt gives %v", err)
	}
	w.grant(t, user) // nobody may read the state now: nothing is known, so nothing is held against the tenant
	if err := k.CheckProbe(t.Context(), use.GroupID, p); failureOf(err).Reason != verdict.Internal {
		t.Errorf("without the viewer role decrypt gives %v", err)
	}
}

func TestAKeyOfAnotherPurposeIsUnsuitable(t *testing.T) {
	w := newWorld(t)
	w.admin(t, "POST", kmsURL+ring+"/cryptoKeys?cryptoKeyId=signer",
		`{"purpose":"ASYMMETRIC_SIGN","versionTemplate":{"algorithm":"EC_SIGN_P256_SHA256"}}`)
	k := w.asTenant(t)(t, ring+"/cryptoKeys/signer/cryptoKeyVersions/1")
	_, describe := k.Describe(t.Context())
	_, encrypt := k.Encrypt(t.Context(), []byte("x"), use)
	if failureOf(describe).Reason != verdict.KeyUnsuitable || failureOf(encrypt).Reason != verdict.KeyUnsuitable {
		t.Errorf("describe gives %v, encrypt gives %v", describe, encrypt)
	}
}

func TestAKeyThatMayBeUsedButNotReadIsGoodEnough(t *testing.T) {
	w := newWorld(t)
	k := w.asTenant(t)(t, versionOne)
	full, err := k.Describe(t.Context())
	if err != nil || full.Version != "1" || full.Created.IsZero() {
		t.Errorf("describe = %+v, %v", full, err)
	}
	w.grant(t, user)
	d, err := k.Describe(t.Context())
	if err != nil || d.Version != "1" || !d.Created.IsZero() {
		t.Errorf("without the viewer role describe = %+v, %v", d, err)
	}
	w.state(t, "DISABLED")
	if _, err := k.Describe(t.Context()); failureOf(err).Reason != verdict.KeyDisabled {
		t.Errorf("a disabled key gives %v", err)
	}
	w.state(t, "ENABLED")
	for _, half := range []string{"roles/cloudkms.cryptoKeyEncrypter", "roles/cloudkms.cryptoKeyDecrypter"} {
		w.grant(t, half)
		if _, err := k.Describe(t.Context()); failureOf(err).Reason != verdict.AccessDenied {
			t.Errorf("with %s alone describe gives %v", half, err)
		}
	}
}

func TestAnOlderVersionStillOpensWhatItSealed(t *testing.T) {
	w := newWorld(t)
	openKey := w.asOurs(t)
	p := mustProbe(t, openKey(t, versionOne))
	w.admin(t, "POST", kmsURL+keyName+"/cryptoKeyVersions", "{}")
	two := openKey(t, keyName+"/cryptoKeyVersions/2")
	if err := two.CheckProbe(t.Context(), use.GroupID, p); err != nil {
		t.Errorf("version 2 configured, version 1's probe: %v", err)
	}
	if s, err := two.Encrypt(t.Context(), []byte("x"), use); err != nil || s.Version != "2" {
		t.Errorf("encrypt = version %q, %v", s.Version, err)
	}
	w.state(t, "DISABLED")
	if err := two.CheckProbe(t.Context(), use.GroupID, p); failureOf(err).Reason != verdict.KeyDisabled {
		t.Errorf("after version 1 was disabled: %v", err)
	}
}

func TestRevokedCredentialsAreNoticedAtTheNextCall(t *testing.T) {
	w := newWorld(t)
	k := w.asTenant(t)(t, versionOne)
	p := mustProbe(t, k)
	w.admin(t, "POST", iamURL+"projects/-/serviceAccounts/"+w.account+":disable", "")
	if err := k.CheckProbe(t.Context(), use.GroupID, p); failureOf(err).Reason != verdict.CredentialsInvalid {
		t.Errorf("a disabled account gives %v", err)
	}
	w.admin(t, "POST", iamURL+"projects/-/serviceAccounts/"+w.account+":enable", "")
	if err := k.CheckProbe(t.Context(), use.GroupID, p); err != nil {
		t.Errorf("enabled again: %v", err)
	}
}

func TestRenewLearnsWhatACachedTokenHides(t *testing.T) {
	w := newWorld(t)
	ring := w.keyring(t)
	ref := kms.GoogleReference{KeyVersion: versionOne, ServiceAccountKey: w.accountKey}
	cached, err := ring.Open(ref)
	if err != nil {
		t.Fatal(err)
	}
	p := mustProbe(t, cached)
	keys := iamURL + "projects/-/serviceAccounts/" + w.account + "/keys"
	for _, k := range w.admin(t, "GET", keys, "")["keys"].([]any) {
		name := k.(map[string]any)["name"].(string)
		w.admin(t, "DELETE", iamURL+name, "")
	}
	if err := cached.CheckProbe(t.Context(), use.GroupID, p); err != nil {
		t.Errorf("a token outlives its key, as it does at Google: %v", err)
	}
	renewed, err := ring.Renew(ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := renewed.CheckProbe(t.Context(), use.GroupID, p); failureOf(err).Reason != verdict.CredentialsInvalid {
		t.Errorf("renewed credentials give %v", err)
	}
	again, err := ring.Open(ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.CheckProbe(t.Context(), use.GroupID, p); failureOf(err).Reason != verdict.CredentialsInvalid {
		t.Errorf("opened after that: %v", err)
	}
}

func TestAReferenceThatCannotBeOpened(t *testing.T) {
	w := newWorld(t)
	without, err := gcpkms.New(t.Context(), gcpkms.Config{Kept: 100, Transport: w, Now: w.now})
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		ref  kms.GoogleReference
		want verdict.Reason
	}{
		"no key":             {kms.GoogleReference{ServiceAccountKey: w.accountKey}, verdict.RequestInvalid},
		"a key, no version":  {kms.GoogleReference{KeyVersion: keyName, ServiceAccountKey: w.accountKey}, verdict.RequestInvalid},
		"no credentials":     {kms.GoogleReference{KeyVersion: versionOne}, verdict.RequestInvalid},
		"another type":       {kms.GoogleReference{KeyVersion: versionOne, ServiceAccountKey: `{"type":"external_account"}`}, verdict.RequestInvalid},
		"no identity of our": {kms.GoogleReference{KeyVersion: versionOne, ServiceAccount: w.ours}, verdict.OurCredentials},
	} {
		if _, err := without.Open(tc.ref); failureOf(err).Reason != tc.want {
			t.Errorf("%s gives %v, want %s", name, err, tc.want)
		}
	}
}

func TestAHungServiceTimesOutWithinTheCallersDeadline(t *testing.T) {
	for _, host := range []string{"oauth2.googleapis.com", "iamcredentials.googleapis.com", kmsHost} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			k := w.asOurs(t)(t, versionOne)
			w.faults.Set(pocket.Fault{Host: host, Kind: pocket.Timeout})
			ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
			defer cancel()
			start := time.Now()
			_, err := k.Describe(ctx)
			if took := time.Since(start); failureOf(err).Reason != verdict.TimedOut || took != 8*time.Second {
				t.Errorf("%s: %v after %s", host, err, took)
			}
			time.Sleep(2 * time.Minute) // the service gives up, too
		})
	}
}

func TestAPassingFaultIsRetriedAndAnOutageIsReportedSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		k := w.asTenant(t)(t, versionOne)
		p := mustProbe(t, k)
		w.faults.Set(pocket.Fault{Host: kmsHost, Kind: pocket.ServerError, Count: 2})
		if err := k.CheckProbe(t.Context(), use.GroupID, p); err != nil {
			t.Errorf("two passing faults: %v", err)
		}
		w.faults.Set(pocket.Fault{Host: kmsHost, Kind: pocket.ServerError})
		start, before := time.Now(), w.requests.Load()
		err := k.CheckProbe(t.Context(), use.GroupID, p)
		f := failureOf(err)
		if took := time.Since(start); f.Reason != verdict.ProviderError || f.ProviderCode != "UNAVAILABLE" || took > time.Second {
			t.Errorf("an outage: %v after %s", err, took)
		}
		if got := w.requests.Load() - before; got != 3 {
			t.Errorf("%d requests were made", got)
		}
	})
}

func TestNoSecretGetsIntoErrorsOrLogs(t *testing.T) {
	t.Setenv("GOOGLE_SDK_GO_LOGGING_LEVEL", "debug")
	var log bytes.Buffer
	old := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	defer slog.SetDefault(old)
	w := newWorld(t)
	k := w.asTenant(t)(t, versionOne)
	mustProbe(t, k)
	w.grant(t)
	_, denied := k.Encrypt(t.Context(), []byte("plaintext-secret"), use)
	w.faults.Set(pocket.Fault{Host: "oauth2.googleapis.com", Kind: pocket.Deny})
	_, refused := w.asTenant(t)(t, versionOne).Encrypt(t.Context(), []byte("plaintext-secret"), use)
	text := errors.Join(denied, refused).Error() + log.String()
	for _, secret := range []string{"plaintext-secret", "cGxhaW50ZXh0LXNlY3JldA", "PRIVATE KEY", "ya29.", "eyJ"} {
		if strings.Contains(text, secret) {
			t.Errorf("%q is in %s", secret, text)
		}
	}
}

func TestCallersGiveUpWhileATokenIsFetched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.faults.Set(pocket.Fault{Host: "oauth2.googleapis.com", Kind: pocket.Timeout})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, err := w.asTenant(t)(t, versionOne).Describe(ctx); failureOf(err).Reason != verdict.Cancelled {
			t.Errorf("describe gives %v", err)
		}
		time.Sleep(2 * time.Minute)
	})
}

func TestACiphertextOpensUnderItsOwnBindingOnly(t *testing.T) {
	k := newWorld(t).asTenant(t)(t, versionOne)
	rapid.Check(t, func(r *rapid.T) {
		text := rapid.StringMatching(`[a-b/\x00]{0,4}`) // short and alike, so that joined members collide
		sealed := kms.Binding{GroupID: text.Draw(r, "group"), Use: text.Draw(r, "use")}
		opened := kms.Binding{GroupID: text.Draw(r, "other group"), Use: text.Draw(r, "other use")}
		s, err := k.Encrypt(t.Context(), []byte("x"), sealed)
		if err != nil {
			r.Fatal(err)
		}
		_, err = k.Decrypt(t.Context(), s, opened)
		if got := failureOf(err).Reason; sealed == opened && err != nil || sealed != opened && got != verdict.KeyMismatch {
			r.Fatalf("sealed for %+v, opened for %+v: %v", sealed, opened, err)
		}
	})
}

func TestDatesTellTheScheduleOfRotationsToWhomMaySeeIt(t *testing.T) {
	w := newWorld(t)
	next := time.Now().Add(30 * 24 * time.Hour).UTC().Truncate(time.Second)
	w.admin(t, "PATCH", kmsURL+keyName+"?updateMask=rotationPeriod,nextRotationTime",
		`{"rotationPeriod":"7776000s","nextRotationTime":"`+next.Format(time.RFC3339)+`"}`)
	k := w.asTenant(t)(t, versionOne)
	d, err := k.Dates(t.Context())
	if err != nil || d.RotationPeriod != 90*24*time.Hour || !d.NextRotation.Equal(next) || d.Created.IsZero() {
		t.Errorf("%+v, %v", d, err)
	}
	w.grant(t, user) // which does not let the key be read
	if d, err := k.Dates(t.Context()); err != nil || d != (kms.Dates{}) {
		t.Errorf("without the role to view it: %+v, %v", d, err)
	}
}
