package tenancy

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"latchkey/shared/access"
	"latchkey/shared/atlas"
	"latchkey/shared/encryption"
	"latchkey/shared/kms"
	"latchkey/shared/kms/keyring"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
	"latchkey/shared/verdict"
)

// AzureKeyName is the name of every key in a vault.
const AzureKeyName = "cmk"

// SettingsAt are those of a group with a key at any provider, as they are read from a table. The key's probe is
// made with it.
func (e Estate) SettingsAt(ctx context.Context, p atlas.Provider, group int, ring *keyring.Keyring) (encryption.Settings, error) {
	var settings encryption.Settings
	var err error
	switch p {
	case atlas.AWS:
		var stored Stored
		stored, err = e.Settings(group)
		settings = stored.Settings
	case atlas.Azure:
		settings, err = e.atAzure(ctx, group, ring)
	case atlas.GCP:
		settings, err = e.atGoogle(ctx, group, ring)
	}
	if err != nil {
		return settings, err
	}
	item, err := store.Encode(keys.Encryption(settings.GroupID), 0, settings)
	if err != nil {
		return settings, err
	}
	return encryption.Stored(item)
}

func (e Estate) atAzure(ctx context.Context, group int, ring *keyring.Keyring) (encryption.Settings, error) {
	settings := encryption.New(e.GroupID(group), e.orgID(group))
	vault := fmt.Sprintf("kv-%08x", group)
	id := "https://" + vault + ".vault.azure.net/keys/" + AzureKeyName + "/0123456789abcdef0123456789abcdef"
	role := access.AzureRole{
		TenantID: fmt.Sprintf("6f1b0000-0000-4000-8000-%012x", group), AppID: appID,
		ServicePrincipalID: fmt.Sprintf("6f1b0000-0000-4000-9000-%012x", group), AuthorizedAt: e.Now(),
	}
	state, err := e.state(ctx, settings.GroupID, ring, kms.Reference{Azure: &kms.AzureReference{
		Environment: string(atlas.AzurePublic), KeyIdentifier: id, TenantID: role.TenantID, AppID: role.AppID, ServicePrincipalID: role.ServicePrincipalID,
	}})
	settings.Azure = &encryption.Azure{
		Environment: string(atlas.AzurePublic), KeyIdentifier: id, VaultName: vault, ResourceGroup: "rg", SubscriptionID: role.TenantID,
		TenantID: role.TenantID, RoleID: e.roleID(group), Role: &role, Key: state,
	}
	return settings, err
}

func (e Estate) atGoogle(ctx context.Context, group int, ring *keyring.Keyring) (encryption.Settings, error) {
	settings := encryption.New(e.GroupID(group), e.orgID(group))
	version := fmt.Sprintf("projects/tenant-%d/locations/us-east1/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1", group)
	role := access.GoogleRole{Email: fmt.Sprintf("mongodb-atlas-%016d@p-0123456789abcdefghijklmn.iam.gserviceaccount.com", group), Status: access.Complete}
	state, err := e.state(ctx, settings.GroupID, ring, kms.Reference{Google: &kms.GoogleReference{KeyVersion: version, ServiceAccount: role.Email}})
	settings.Google = &encryption.Google{KeyVersion: version, RoleID: e.roleID(group), Role: &role, Key: state}
	return settings, err
}

// state is that of a key that was found valid.
func (e Estate) state(ctx context.Context, groupID string, ring *keyring.Keyring, ref kms.Reference) (encryption.KeyState, error) {
	ref.GroupID = groupID
	key, err := ring.Open(ref)
	if err != nil {
		return encryption.KeyState{}, err
	}
	secret := sha256.Sum256([]byte(groupID))
	sum := sha256.Sum256(secret[:])
	sealed, err := key.Encrypt(ctx, secret[:], kms.Binding{GroupID: groupID, Use: "probe"})
	return encryption.KeyState{
		Revision: 1, Valid: true, Version: sealed.Version, Probe: kms.Probe{Sealed: sealed, Digest: sum[:]},
		Verdict: verdict.Verdict{Reason: verdict.OK, Settings: 1, StartedAt: e.Now(), Since: e.Now()},
	}, err
}

// GoogleData is the additional data of a group's probe, for who decrypts it without the suite.
func GoogleData(groupID string) []byte {
	data := []byte("latchkey:1")
	for _, part := range []string{groupID, "probe"} {
		data = append(binary.BigEndian.AppendUint32(data, uint32(len(part))), part...) //nolint:gosec // G115: a few bytes
	}
	return data
}
