package awscloud_test

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"latchkey/local/pocket"
	"latchkey/local/pocket/awscloud"
)

const day = 24 * time.Hour

func encrypt(w *world, c *kms.Client, key string) ([]byte, error) {
	out, err := c.Encrypt(w.ctx(), &kms.EncryptInput{KeyId: &key, Plaintext: []byte("secret"), EncryptionContext: map[string]string{"a": "1"}})
	if err != nil {
		return nil, err
	}
	return out.CiphertextBlob, nil
}

func decrypt(w *world, c *kms.Client, key string, blob []byte) error {
	in := &kms.DecryptInput{CiphertextBlob: blob, EncryptionContext: map[string]string{"a": "1"}}
	if key != "" {
		in.KeyId = &key
	}
	out, err := c.Decrypt(w.ctx(), in)
	if err == nil && string(out.Plaintext) != "secret" {
		w.t.Errorf("decrypted to %q", out.Plaintext)
	}
	return err
}

func TestKMS_encrypts_and_decrypts_under_an_encryption_context(t *testing.T) {
	w := newWorld(t)
	c, key := w.kms(tenantRoot), w.newKey()
	blob := must(encrypt(w, c, key))(t)
	if bytes.Contains(blob, []byte("secret")) {
		t.Error("the ciphertext contains the plaintext")
	}
	wantCode(t, "decrypt with the key", decrypt(w, c, key, blob), "")
	wantCode(t, "decrypt without naming the key", decrypt(w, c, "", blob), "")
	_, err := c.Decrypt(w.ctx(), &kms.DecryptInput{CiphertextBlob: blob, EncryptionContext: map[string]string{"a": "2"}})
	wantCode(t, "decrypt under another context", err, "InvalidCiphertextException")
	wantCode(t, "decrypt with another key", decrypt(w, c, w.newKey(), blob), "IncorrectKeyException")
	for i := range blob {
		tampered := bytes.Clone(blob)
		tampered[i] ^= 1
		if err := decrypt(w, c, key, tampered); err == nil {
			t.Fatalf("decrypted with byte %d changed", i)
		}
	}
	wantCode(t, "decrypt of garbage", decrypt(w, c, key, []byte("garbage")), "InvalidCiphertextException")
}

func TestKMS_data_keys_and_reencryption(t *testing.T) {
	w := newWorld(t)
	c, key, other := w.kms(tenantRoot), w.newKey(), w.newKey()
	made := must(c.GenerateDataKey(w.ctx(), &kms.GenerateDataKeyInput{KeyId: &key, KeySpec: types.DataKeySpecAes256}))(t)
	moved := must(c.ReEncrypt(w.ctx(), &kms.ReEncryptInput{
		CiphertextBlob: made.CiphertextBlob, DestinationKeyId: &other, DestinationEncryptionContext: map[string]string{"b": "2"},
	}))(t)
	out := must(c.Decrypt(w.ctx(), &kms.DecryptInput{CiphertextBlob: moved.CiphertextBlob, EncryptionContext: map[string]string{"b": "2"}}))(t)
	if !bytes.Equal(out.Plaintext, made.Plaintext) || len(made.Plaintext) != 32 || *out.KeyId != other {
		t.Errorf("the data key %x came back as %x under %s", made.Plaintext, out.Plaintext, *out.KeyId)
	}
	if *out.KeyMaterialId != *moved.DestinationKeyMaterialId || *made.KeyMaterialId != *moved.SourceKeyMaterialId {
		t.Error("the ids of the key material do not agree")
	}
	blind := must(c.GenerateDataKeyWithoutPlaintext(w.ctx(), &kms.GenerateDataKeyWithoutPlaintextInput{KeyId: &key, NumberOfBytes: aws.Int32(5)}))(t)
	if out := must(c.Decrypt(w.ctx(), &kms.DecryptInput{CiphertextBlob: blind.CiphertextBlob}))(t); len(out.Plaintext) != 5 {
		t.Errorf("a data key of 5 bytes has %d", len(out.Plaintext))
	}
	_, err := c.GenerateDataKey(w.ctx(), &kms.GenerateDataKeyInput{KeyId: &key})
	wantCode(t, "a data key of no size", err, "ValidationException")
}

func TestKMS_answers_by_the_state_of_the_key(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c, key := w.kms(tenantRoot), w.newKey()
		blob := must(encrypt(w, c, key))(t)
		state := func(want types.KeyState) {
			t.Helper()
			if got := must(c.DescribeKey(w.ctx(), &kms.DescribeKeyInput{KeyId: &key}))(t).KeyMetadata.KeyState; got != want {
				t.Errorf("the key is %s, want %s", got, want)
			}
		}
		must(c.DisableKey(w.ctx(), &kms.DisableKeyInput{KeyId: &key}))(t)
		state(types.KeyStateDisabled)
		wantCode(t, "decrypt with a disabled key", decrypt(w, c, key, blob), "DisabledException")
		_, err := encrypt(w, c, key)
		wantCode(t, "encrypt with a disabled key", err, "DisabledException")
		must(c.EnableKey(w.ctx(), &kms.EnableKeyInput{KeyId: &key}))(t)
		wantCode(t, "decrypt with the key enabled again", decrypt(w, c, key, blob), "")

		_, err = c.CancelKeyDeletion(w.ctx(), &kms.CancelKeyDeletionInput{KeyId: &key})
		wantCode(t, "cancelling no deletion", err, "KMSInvalidStateException")
		for _, days := range []int32{6, 31} {
			_, err = c.ScheduleKeyDeletion(w.ctx(), &kms.ScheduleKeyDeletionInput{KeyId: &key, PendingWindowInDays: &days})
			wantCode(t, "a waiting period out of bounds", err, "ValidationException")
		}
		out := must(c.ScheduleKeyDeletion(w.ctx(), &kms.ScheduleKeyDeletionInput{KeyId: &key, PendingWindowInDays: aws.Int32(7)}))(t)
		if want := time.Now().AddDate(0, 0, 7); !out.DeletionDate.Equal(want) {
			t.Errorf("deletion is on %s, want %s", out.DeletionDate, want)
		}
		state(types.KeyStatePendingDeletion)
		wantCode(t, "decrypt with a key pending deletion", decrypt(w, c, key, blob), "KMSInvalidStateException")
		_, err = c.EnableKey(w.ctx(), &kms.EnableKeyInput{KeyId: &key})
		wantCode(t, "enabling a key pending deletion", err, "KMSInvalidStateException")
		must(c.CancelKeyDeletion(w.ctx(), &kms.CancelKeyDeletionInput{KeyId: &key}))(t)
		state(types.KeyStateDisabled)
	})
}

func TestKMS_deletes_a_key_when_its_waiting_period_is_over(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c, key := w.kms(tenantRoot), w.newKey()
		blob := must(encrypt(w, c, key))(t)
		must(c.CreateAlias(w.ctx(), &kms.CreateAliasInput{AliasName: aws.String("alias/gone"), TargetKeyId: &key}))(t)
		must(c.ScheduleKeyDeletion(w.ctx(), &kms.ScheduleKeyDeletionInput{KeyId: &key, PendingWindowInDays: aws.Int32(7)}))(t)
		time.Sleep(7*day - time.Second)
		wantCode(t, "decrypt a second before", decrypt(w, c, key, blob), "KMSInvalidStateException")
		time.Sleep(time.Second)
		wantCode(t, "decrypt with the deleted key", decrypt(w, c, key, blob), "NotFoundException")
		wantCode(t, "decrypt with its alias", decrypt(w, c, "alias/gone", blob), "NotFoundException")
		wantCode(t, "decrypt without naming it", decrypt(w, c, "", blob), "AccessDeniedException")
		if out := must(c.ListKeys(w.ctx(), &kms.ListKeysInput{}))(t); len(out.Keys) != 0 {
			t.Errorf("the keys are %v", out.Keys)
		}
		if out := must(c.ListAliases(w.ctx(), &kms.ListAliasesInput{}))(t); len(out.Aliases) != 0 {
			t.Errorf("the aliases are %v", out.Aliases)
		}
	})
}

func TestKMS_names_keys_by_id_alias_and_ARN(t *testing.T) {
	w := newWorld(t)
	c, arn := w.kms(tenantRoot), w.newKey()
	id := *must(c.DescribeKey(w.ctx(), &kms.DescribeKeyInput{KeyId: &arn}))(t).KeyMetadata.KeyId
	must(c.CreateAlias(w.ctx(), &kms.CreateAliasInput{AliasName: aws.String("alias/x"), TargetKeyId: &id}))(t)
	for name, want := range map[string]string{
		id: "", arn: "", "alias/x": "", "arn:aws:kms:us-east-1:111122223333:alias/x": "",
		"1234abcd-12ab-34cd-56ef-1234567890ab": "NotFoundException", "alias/y": "NotFoundException", "not a key": "NotFoundException",
		"arn:aws:kms:eu-west-1:111122223333:key/" + id: "NotFoundException", "arn:aws:kms:us-east-1:111122223333:key": "InvalidArnException",
		"arn:aws:kms:us-east-1:999900001111:key/" + id: "AccessDeniedException",
	} {
		out, err := c.DescribeKey(w.ctx(), &kms.DescribeKeyInput{KeyId: &name})
		wantCode(t, "describe "+name, err, want)
		if err == nil && *out.KeyMetadata.Arn != arn {
			t.Errorf("%s is %s", name, *out.KeyMetadata.Arn)
		}
	}
	other := w.kms(operatorRoot)
	for _, name := range []string{id, "alias/x"} {
		_, err := other.DescribeKey(w.ctx(), &kms.DescribeKeyInput{KeyId: &name})
		wantCode(t, name+" in another account", err, "NotFoundException")
	}
	_, err := c.DisableKey(w.ctx(), &kms.DisableKeyInput{KeyId: aws.String("alias/x")})
	wantCode(t, "disabling by alias", err, "NotFoundException")
	must(c.UpdateAlias(w.ctx(), &kms.UpdateAliasInput{AliasName: aws.String("alias/x"), TargetKeyId: aws.String(w.newKey())}))(t)
	must(c.DeleteAlias(w.ctx(), &kms.DeleteAliasInput{AliasName: aws.String("alias/x")}))(t)
	_, err = c.CreateAlias(w.ctx(), &kms.CreateAliasInput{AliasName: aws.String("alias/aws/x"), TargetKeyId: &id})
	wantCode(t, "an alias of AWS", err, "InvalidAliasNameException")
}

func TestKMS_a_replica_decrypts_what_its_primary_encrypted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		key := w.newKey(func(in *kms.CreateKeyInput) { in.MultiRegion = aws.Bool(true) })
		c, there := w.kms(tenantRoot), w.kmsIn("eu-west-1", tenantRoot)
		blob := must(encrypt(w, c, key))(t)
		made := must(c.ReplicateKey(w.ctx(), &kms.ReplicateKeyInput{KeyId: &key, ReplicaRegion: aws.String("eu-west-1")}))(t)
		replica := *made.ReplicaKeyMetadata.Arn
		wantCode(t, "decrypt with the replica", decrypt(w, there, replica, blob), "")
		wantCode(t, "decrypt in a region without one", decrypt(w, w.kmsIn("eu-west-2", tenantRoot), "", blob), "AccessDeniedException")
		_, err := c.ReplicateKey(w.ctx(), &kms.ReplicateKeyInput{KeyId: &key, ReplicaRegion: aws.String("eu-west-1")})
		wantCode(t, "a second replica", err, "AlreadyExistsException")
		_, err = c.ReplicateKey(w.ctx(), &kms.ReplicateKeyInput{KeyId: aws.String(w.newKey()), ReplicaRegion: aws.String("eu-west-1")})
		wantCode(t, "a replica of a single-Region key", err, "UnsupportedOperationException")
		_, err = there.RotateKeyOnDemand(w.ctx(), &kms.RotateKeyOnDemandInput{KeyId: &replica})
		wantCode(t, "rotating a replica", err, "UnsupportedOperationException")

		must(c.RotateKeyOnDemand(w.ctx(), &kms.RotateKeyOnDemandInput{KeyId: &key}))(t)
		wantCode(t, "decrypt here what the replica encrypted after rotation", decrypt(w, c, key, must(encrypt(w, there, replica))(t)), "")

		out := must(c.ScheduleKeyDeletion(w.ctx(), &kms.ScheduleKeyDeletionInput{KeyId: &key, PendingWindowInDays: aws.Int32(7)}))(t)
		if out.KeyState != types.KeyStatePendingReplicaDeletion || out.DeletionDate != nil {
			t.Errorf("a primary with a replica is %s, to be deleted on %v", out.KeyState, out.DeletionDate)
		}
		wantCode(t, "decrypt with the replica still", decrypt(w, there, replica, blob), "")
		must(there.ScheduleKeyDeletion(w.ctx(), &kms.ScheduleKeyDeletionInput{KeyId: &replica, PendingWindowInDays: aws.Int32(8)}))(t)
		time.Sleep(8 * day)
		d := must(c.DescribeKey(w.ctx(), &kms.DescribeKeyInput{KeyId: &key}))(t).KeyMetadata
		if want := time.Now().Add(7 * day); d.KeyState != types.KeyStatePendingDeletion || !d.DeletionDate.Equal(want) {
			t.Errorf("the primary is %s, to be deleted on %v, want %v", d.KeyState, d.DeletionDate, want)
		}
		time.Sleep(7 * day)
		wantCode(t, "decrypt with the primary", decrypt(w, c, key, blob), "NotFoundException")
	})
}

func TestKMS_the_primary_region_can_move(t *testing.T) {
	w := newWorld(t)
	key := w.newKey(func(in *kms.CreateKeyInput) { in.MultiRegion = aws.Bool(true) })
	c := w.kms(tenantRoot)
	must(c.ReplicateKey(w.ctx(), &kms.ReplicateKeyInput{KeyId: &key, ReplicaRegion: aws.String("eu-west-1")}))(t)
	must(c.UpdatePrimaryRegion(w.ctx(), &kms.UpdatePrimaryRegionInput{KeyId: &key, PrimaryRegion: aws.String("eu-west-1")}))(t)
	regions := must(c.DescribeKey(w.ctx(), &kms.DescribeKeyInput{KeyId: &key}))(t).KeyMetadata.MultiRegionConfiguration
	if regions.MultiRegionKeyType != types.MultiRegionKeyTypeReplica || *regions.PrimaryKey.Region != "eu-west-1" || *regions.ReplicaKeys[0].Region != home {
		t.Errorf("the regions are %+v", regions)
	}
}

func TestKMS_rotation_keeps_what_was_encrypted_before(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c, key := w.kms(tenantRoot), w.newKey()
		material := func() string {
			return *must(c.DescribeKey(w.ctx(), &kms.DescribeKeyInput{KeyId: &key}))(t).KeyMetadata.CurrentKeyMaterialId
		}
		first, blob := material(), must(encrypt(w, c, key))(t)
		must(c.RotateKeyOnDemand(w.ctx(), &kms.RotateKeyOnDemandInput{KeyId: &key}))(t)
		second := material()
		must(c.EnableKeyRotation(w.ctx(), &kms.EnableKeyRotationInput{KeyId: &key, RotationPeriodInDays: aws.Int32(90)}))(t)
		status := must(c.GetKeyRotationStatus(w.ctx(), &kms.GetKeyRotationStatusInput{KeyId: &key}))(t)
		if want := time.Now().Add(90 * day); !status.KeyRotationEnabled || !status.NextRotationDate.Equal(want) {
			t.Errorf("rotation is %+v, want the next on %s", status, want)
		}
		time.Sleep(181 * day)
		wantCode(t, "decrypt what the first material encrypted", decrypt(w, c, key, blob), "")
		if first == second || second == material() {
			t.Error("the key material did not change")
		}
		rotations := must(c.ListKeyRotations(w.ctx(), &kms.ListKeyRotationsInput{KeyId: &key}))(t).Rotations
		if len(rotations) != 3 || rotations[0].RotationType != types.RotationTypeOnDemand || rotations[2].RotationType != types.RotationTypeAutomatic ||
			rotations[2].KeyMaterialState != types.KeyMaterialStateCurrent {
			t.Errorf("the rotations are %+v", rotations)
		}
		all := must(c.ListKeyRotations(w.ctx(), &kms.ListKeyRotationsInput{KeyId: &key, IncludeKeyMaterial: types.IncludeKeyMaterialAllKeyMaterial}))(t).Rotations
		if len(all) != 4 || *all[0].KeyMaterialId != first || all[0].RotationDate != nil {
			t.Errorf("all key material is %+v", all)
		}
		for range 24 {
			must(c.RotateKeyOnDemand(w.ctx(), &kms.RotateKeyOnDemandInput{KeyId: &key}))(t)
		}
		_, err := c.RotateKeyOnDemand(w.ctx(), &kms.RotateKeyOnDemandInput{KeyId: &key})
		wantCode(t, "the 26th rotation on demand", err, "LimitExceededException")
	})
}

func TestKMS_refuses_keys_that_cannot_encrypt(t *testing.T) {
	w := newWorld(t)
	c := w.kms(tenantRoot)
	external := w.newKey(func(in *kms.CreateKeyInput) { in.Origin = types.OriginTypeExternal })
	_, err := encrypt(w, c, external)
	wantCode(t, "encrypt without key material", err, "KMSInvalidStateException")
	if d := must(c.DescribeKey(w.ctx(), &kms.DescribeKeyInput{KeyId: &external}))(t); d.KeyMetadata.KeyState != types.KeyStatePendingImport {
		t.Errorf("the key is %s", d.KeyMetadata.KeyState)
	}
	signing := w.newKey(func(in *kms.CreateKeyInput) {
		in.KeySpec, in.KeyUsage = types.KeySpecEccNistP256, types.KeyUsageTypeSignVerify
	})
	_, err = encrypt(w, c, signing)
	wantCode(t, "encrypt with a signing key", err, "InvalidKeyUsageException")
	_, err = c.CreateKey(w.ctx(), &kms.CreateKeyInput{KeySpec: types.KeySpecHmac256})
	wantCode(t, "a key without a usage", err, "ValidationException")
}

func TestKMS_lists_page_by_page(t *testing.T) {
	w := newWorld(t)
	for range 5 {
		w.newKey()
	}
	pages, seen := 0, map[string]bool{}
	p := kms.NewListKeysPaginator(w.kms(tenantRoot), &kms.ListKeysInput{Limit: aws.Int32(2)})
	for p.HasMorePages() {
		pages++
		for _, k := range must(p.NextPage(w.ctx()))(t).Keys {
			seen[*k.KeyArn] = true
		}
	}
	if pages != 3 || len(seen) != 5 {
		t.Errorf("%d pages with %d keys, want 3 with 5", pages, len(seen))
	}
}

func TestKMS_faults_look_like_the_provider(t *testing.T) {
	w := newWorld(t)
	key := w.newKey()
	c := w.kms(tenantRoot, func(o *kms.Options) { o.RetryMaxAttempts = 1 })
	for kind, want := range map[pocket.FaultKind]string{
		pocket.Deny: "AccessDeniedException", pocket.Firewall: "AccessDeniedException", pocket.Throttle: "ThrottlingException",
		pocket.ServerError: "KMSInternalException",
	} {
		w.faults.Set(pocket.Fault{Host: "kms.us-east-1.amazonaws.com", Kind: kind, Operation: "Encrypt", Count: 1})
		_, err := encrypt(w, c, key)
		wantCode(t, string(kind), err, want)
	}
	if _, err := encrypt(w, c, key); err != nil {
		t.Errorf("after the faults: %v", err)
	}
}

func TestKMS_keeps_everything_across_a_restart(t *testing.T) {
	w := newWorld(t)
	key := w.newKey()
	blob := must(encrypt(w, w.kms(tenantRoot), key))(t)
	must(w.kms(tenantRoot).DisableKey(w.ctx(), &kms.DisableKeyInput{KeyId: &key}))(t)
	w.restart()
	wantCode(t, "decrypt after the restart", decrypt(w, w.kms(tenantRoot), key, blob), "DisabledException")
	must(w.kms(tenantRoot).EnableKey(w.ctx(), &kms.EnableKeyInput{KeyId: &key}))(t)
	wantCode(t, "decrypt after enabling", decrypt(w, w.kms(tenantRoot), key, blob), "")
}

func TestKMS_keys_of_the_configuration_exist_once(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const id = "mrk-00000000000000000000000000000001"
		w := newWorld(t, func(cfg *awscloud.Config) {
			cfg.Accounts[0].Keys = []awscloud.KMSKey{{ID: id, Region: home, Alias: "alias/demo"}, {ID: id, Region: "eu-west-1"}}
		})
		c := w.kms(tenantRoot)
		blob := must(encrypt(w, c, "alias/demo"))(t)
		w.restart()
		wantCode(t, "decrypt with the replica after a restart", decrypt(w, w.kmsIn("eu-west-1", tenantRoot), id, blob), "")
		replica := w.kmsIn("eu-west-1", tenantRoot)
		must(replica.ScheduleKeyDeletion(w.ctx(), &kms.ScheduleKeyDeletionInput{KeyId: aws.String(id), PendingWindowInDays: aws.Int32(7)}))(t)
		time.Sleep(7 * day)
		w.restart()
		wantCode(t, "the replica that its owner deleted", decrypt(w, w.kmsIn("eu-west-1", tenantRoot), id, blob), "NotFoundException")
		wantCode(t, "the primary", decrypt(w, w.kms(tenantRoot), id, blob), "")
	})
}
