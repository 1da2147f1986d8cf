package encryption_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/shared/access"
	"latchkey/shared/atlas"
	"latchkey/shared/encryption"
	"latchkey/shared/kms"
	"latchkey/shared/ledger"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
	"latchkey/shared/verdict"
)

const (
	mrkID     = "mrk-1234abcd12ab34cd56ef1234567890ab"
	mrkEast   = "arn:aws:kms:us-east-1:111122223333:key/" + mrkID
	mrkIn     = "arn:aws:kms:eu-west-1:111122223333:key/" + mrkID
	oldARN    = "arn:aws:kms:eu-west-1:111122223333:key/99999999-12ab-34cd-56ef-1234567890ab"
	vaultKey  = "https://KV-kms.vault.azure.net/keys/Atlas/"
	vaultName = "https://kv-kms.vault.azure.net/keys/atlas"
	version1  = "0123456789abcdef0123456789abcdef"
	version2  = "ffffffffffffffffffffffffffffffff"
	googleKey = "projects/p/locations/us-east4/keyRings/r/cryptoKeys/k"
	tenant    = "6f1b0000-0000-4000-8000-000000000009"
)

// stored is a world whose group has these settings, as if they had been validated.
func stored(t *testing.T, s encryption.Settings) *world {
	t.Helper()
	w := newWorld(t)
	w.role(role1)
	for id, role := range map[string]access.Role{
		"650000000000000000000021": {Provider: atlas.Azure, Azure: &access.AzureRole{TenantID: tenant, AppID: "app", ServicePrincipalID: "sp", AuthorizedAt: w.now}},
		"650000000000000000000022": {Provider: atlas.GCP, Google: &access.GoogleRole{Email: "sa@p.iam.gserviceaccount.com", Status: access.Complete}},
	} {
		role.ID, role.GroupID = id, groupID
		item, err := store.Encode(keys.Role(groupID, id), 0, role)
		if err != nil {
			t.Fatal(err)
		}
		w.write(store.Put(item))
	}
	s.GroupID, s.OrgID = groupID, orgID
	item, err := store.Encode(keys.Encryption(groupID), 1, s)
	if err != nil {
		t.Fatal(err)
	}
	w.write(store.Put(item))
	return w
}

func onAWS(keyID, region, version string) encryption.Settings {
	return encryption.Settings{AWS: &encryption.AWS{KeyID: keyID, Region: region, RoleID: role1, Key: encryption.KeyState{Version: version}}}
}

func inVault(identifier string) encryption.Settings {
	return encryption.Settings{Azure: &encryption.Azure{Environment: "AZURE", KeyIdentifier: identifier, RoleID: "650000000000000000000021"}}
}

func inGoogle(version string) encryption.Settings {
	return encryption.Settings{Google: &encryption.Google{KeyVersion: version, RoleID: "650000000000000000000022"}}
}

// opened runs open and returns the reference that it opened.
func (w *world) opened(open func() error) (ref kms.Reference, err error) {
	w.refuse = func(r kms.Reference) error {
		ref = r
		return verdict.Failed(verdict.KeyDisabled, "stop here")
	}
	err = open()
	return ref, err
}

func TestTheLedgerHasOneNameForAKeyHoweverItIsSpelt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		settings encryption.Settings
		provider atlas.Provider
		want     string
	}{
		"AWS, an ARN":             {onAWS(keyARN, "US_EAST_1", keyARN+"#m1"), atlas.AWS, keyARN},
		"AWS, a key id":           {onAWS("1234abcd-12ab-34cd-56ef-1234567890ab", "US_EAST_1", keyARN+"#m1"), atlas.AWS, keyARN},
		"AWS, an alias":           {onAWS("alias/db", "US_EAST_1", keyARN), atlas.AWS, keyARN},
		"AWS, never described":    {onAWS(keyARN, "US_EAST_1", ""), atlas.AWS, keyARN},
		"Azure, a pinned version": {inVault(vaultKey + version1), atlas.Azure, vaultName},
		"Azure, the newest":       {inVault(vaultName), atlas.Azure, vaultName},
		"Google":                  {inGoogle(googleKey + "/cryptoKeyVersions/3"), atlas.GCP, googleKey},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := stored(t, c.settings)
			var got ledger.CMK
			w.opened(func() (err error) { //nolint:errcheck // it is refused
				_, got, err = w.KeyFor(t.Context(), groupID, c.provider, false)
				return err
			})
			if want := (ledger.CMK{Provider: c.provider, Name: c.want}); got != want {
				t.Errorf("named %+v, want %+v", got, want)
			}
		})
	}
}

func TestAKeyOfTheLedgerIsOpenedWithTheAccessOfNow(t *testing.T) {
	t.Parallel()
	const roleARN = "arn:aws:iam::111122223333:role/r"
	aws := func(name, region string) kms.Reference {
		return kms.Reference{GroupID: groupID, AWS: &kms.AWSReference{KeyName: name, Region: region, RoleARN: roleARN, ExternalID: "x"}}
	}
	azure := func(id string) kms.Reference {
		return kms.Reference{GroupID: groupID, Azure: &kms.AzureReference{
			Environment: "AZURE", KeyIdentifier: id, TenantID: tenant, AppID: "app", ServicePrincipalID: "sp",
		}}
	}
	for name, c := range map[string]struct {
		settings encryption.Settings
		cmk      ledger.CMK
		want     kms.Reference
	}{
		"AWS, the current key": {
			onAWS(keyARN, "US_EAST_1", keyARN), ledger.CMK{Provider: atlas.AWS, Name: keyARN, Version: keyARN}, aws(keyARN, "us-east-1"),
		},
		"AWS, a former key in another region": {
			onAWS(keyARN, "US_EAST_1", keyARN), ledger.CMK{Provider: atlas.AWS, Name: oldARN, Version: oldARN}, aws(oldARN, "eu-west-1"),
		},
		"AWS, the same multi-Region key after a move": {
			onAWS(mrkID, "EU_WEST_1", mrkIn), ledger.CMK{Provider: atlas.AWS, Name: mrkEast, Version: mrkEast}, aws(mrkIn, "eu-west-1"),
		},
		"AWS, another multi-Region key": {
			onAWS(keyARN, "US_EAST_1", keyARN), ledger.CMK{Provider: atlas.AWS, Name: mrkIn, Version: mrkIn}, aws(mrkIn, "eu-west-1"),
		},
		"Azure, a former version": {
			inVault(vaultKey + version2), ledger.CMK{Provider: atlas.Azure, Name: vaultName, Version: version1}, azure(vaultName + "/" + version1),
		},
		"Google, a former version": {
			inGoogle(googleKey + "/cryptoKeyVersions/3"),
			ledger.CMK{Provider: atlas.GCP, Name: googleKey, Version: "2"},
			kms.Reference{GroupID: groupID, Google: &kms.GoogleReference{KeyVersion: googleKey + "/cryptoKeyVersions/2", ServiceAccount: "sa@p.iam.gserviceaccount.com"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := stored(t, c.settings)
			got, _ := w.opened(func() error {
				_, err := w.KeyOf(t.Context(), groupID, c.cmk, true)
				return err
			})
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWhereAProviderIsNotEnabledNoKeyIsOpened(t *testing.T) {
	t.Parallel()
	w := stored(t, onAWS(keyARN, "US_EAST_1", keyARN))
	if _, _, err := w.KeyFor(t.Context(), groupID, atlas.GCP, false); atlas.CodeOf(err) != atlas.EARNotEnabled {
		t.Errorf("KeyFor = %v", err)
	}
	for _, p := range []atlas.Provider{atlas.Azure, "", "NONE"} {
		if _, err := w.KeyOf(t.Context(), groupID, ledger.CMK{Provider: p, Name: vaultName, Version: version1}, false); atlas.CodeOf(err) != atlas.EARNotEnabled {
			t.Errorf("KeyOf %q = %v", p, err)
		}
	}
	for _, name := range []string{"", "arn:aws:s3:::bucket", "arn:aws:kms:us-east-1:111122223333:key/../x"} {
		if _, err := w.KeyOf(t.Context(), groupID, ledger.CMK{Provider: atlas.AWS, Name: name}, false); err == nil {
			t.Errorf("the ledger's key %q was opened", name)
		}
	}
}
