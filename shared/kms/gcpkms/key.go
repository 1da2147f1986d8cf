package gcpkms

import (
	"context"
	"encoding/binary"
	"hash/crc32"
	"strconv"
	"strings"
	"time"

	kmsapi "cloud.google.com/go/kms/apiv1"
	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"latchkey/shared/access/googleaccount"
	"latchkey/shared/atlas"
	"latchkey/shared/kms/driver"
	"latchkey/shared/verdict"
)

// key is one key version reached as one identity. It implements driver.Key.
type key struct {
	client   *kmsapi.KeyManagementClient
	identity *googleaccount.Identity
	version  atlas.GoogleKeyVersion
	cfg      *Config
}

var (
	_ driver.Key   = (*key)(nil)
	_ driver.Dated = (*key)(nil)
)

// Capabilities: the binding is additional authenticated data.
func (k *key) Capabilities() driver.Capabilities { return driver.Capabilities{BindsContext: true} }

// Encrypt encrypts with the configured version.
func (k *key) Encrypt(ctx context.Context, plaintext []byte, b driver.Binding) (driver.Sealed, error) {
	ctx = as(ctx, k.identity)
	aad := additionalData(b)
	resp, err := k.client.Encrypt(ctx, &kmspb.EncryptRequest{
		Name: k.version.String(), Plaintext: plaintext, PlaintextCrc32C: checksum(plaintext),
		AdditionalAuthenticatedData: aad, AdditionalAuthenticatedDataCrc32C: checksum(aad),
	})
	if err != nil {
		return driver.Sealed{}, k.explain(ctx, encrypting, err, k.version)
	}
	if !resp.GetVerifiedPlaintextCrc32C() || !resp.GetVerifiedAdditionalAuthenticatedDataCrc32C() {
		return driver.Sealed{}, verdict.Failed(verdict.ProviderError, "gcpkms: the plaintext was damaged on its way to Cloud KMS")
	}
	if !intact(resp.GetCiphertext(), resp.GetCiphertextCrc32C()) {
		return driver.Sealed{}, verdict.Failed(verdict.ProviderError, "gcpkms: the ciphertext was damaged on its way from Cloud KMS")
	}
	used, err := atlas.ParseGoogleKeyVersion(k.version.CryptoKey() + "/cryptoKeyVersions/" + lastSegment(resp.GetName()))
	if err != nil {
		return driver.Sealed{}, verdict.Failed(verdict.ProviderError, "gcpkms: Cloud KMS names no key version as the one that encrypted")
	}
	return driver.Sealed{Blob: resp.GetCiphertext(), Version: number(used)}, nil
}

// Decrypt decrypts with whichever version of the crypto key made the ciphertext.
func (k *key) Decrypt(ctx context.Context, s driver.Sealed, b driver.Binding) ([]byte, error) {
	ctx = as(ctx, k.identity)
	aad := additionalData(b)
	resp, err := k.client.Decrypt(ctx, &kmspb.DecryptRequest{
		Name: k.version.CryptoKey(), Ciphertext: s.Blob, CiphertextCrc32C: checksum(s.Blob),
		AdditionalAuthenticatedData: aad, AdditionalAuthenticatedDataCrc32C: checksum(aad),
	})
	if err != nil {
		return nil, k.explain(ctx, decrypting, err, k.maker(s))
	}
	if !intact(resp.GetPlaintext(), resp.GetPlaintextCrc32C()) {
		clear(resp.GetPlaintext())
		return nil, verdict.Failed(verdict.ProviderError, "gcpkms: the plaintext was damaged on its way from Cloud KMS")
	}
	return resp.GetPlaintext(), nil
}

// Describe reads the configured version. An identity that may use the key but not read it is
// good enough: then a round trip proves the key, and the time of its creation stays unknown.
func (k *key) Describe(ctx context.Context) (driver.Description, error) {
	ctx = as(ctx, k.identity)
	v, err := k.client.GetCryptoKeyVersion(ctx, &kmspb.GetCryptoKeyVersionRequest{Name: k.version.String()})
	if err == nil {
		return k.describe(v)
	}
	if k.Classify(err).Reason != verdict.AccessDenied {
		return driver.Description{}, err
	}
	s, err := k.Encrypt(ctx, []byte("probe"), driver.Binding{Use: "describe"})
	if err != nil {
		return driver.Description{}, err
	}
	if _, err := k.Decrypt(ctx, s, driver.Binding{Use: "describe"}); err != nil {
		return driver.Description{}, err
	}
	return driver.Description{Version: s.Version}, nil
}

func (k *key) describe(v *kmspb.CryptoKeyVersion) (driver.Description, error) {
	if err := usable(v); err != nil {
		return driver.Description{}, err
	}
	return driver.Description{Version: number(k.version), Created: instant(v.GetCreateTime())}, nil
}

// Dates implements driver.Dated. It takes the permission to read the version, and for the schedule of
// rotations the one to read the key; roles/cloudkms.viewer has both.
func (k *key) Dates(ctx context.Context) (driver.Dates, error) {
	ctx = as(ctx, k.identity)
	v, err := k.client.GetCryptoKeyVersion(ctx, &kmspb.GetCryptoKeyVersionRequest{Name: k.version.String()})
	if err != nil {
		return driver.Dates{}, k.unlessDenied(err)
	}
	d := driver.Dates{Created: instant(v.GetCreateTime())}
	if v.GetState() == kmspb.CryptoKeyVersion_DESTROY_SCHEDULED {
		d.Deletes = instant(v.GetDestroyTime())
	}
	parent, err := k.client.GetCryptoKey(ctx, &kmspb.GetCryptoKeyRequest{Name: k.version.CryptoKey()})
	if err != nil {
		return d, k.unlessDenied(err)
	}
	d.NextRotation = instant(parent.GetNextRotationTime())
	if parent.GetRotationPeriod() != nil {
		d.RotationPeriod = parent.GetRotationPeriod().AsDuration()
	}
	return d, nil
}

// unlessDenied drops the error that an identity may not read the key.
func (k *key) unlessDenied(err error) error {
	if k.Classify(err).Reason == verdict.AccessDenied {
		return nil
	}
	return err
}

func instant(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}

// maker is the version that made a ciphertext, as far as is known.
func (k *key) maker(s driver.Sealed) atlas.GoogleKeyVersion {
	v, err := atlas.ParseGoogleKeyVersion(k.version.CryptoKey() + "/cryptoKeyVersions/" + s.Version)
	if err != nil {
		return k.version
	}
	return v
}

// number is how a version is named in a Sealed and in a Description.
func number(v atlas.GoogleKeyVersion) string { return strconv.FormatInt(v.Version, 10) }

func lastSegment(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

// additionalData is the binding in a form that no other binding has: each member with its
// length before it.
func additionalData(b driver.Binding) []byte {
	data := []byte("latchkey:1")
	for _, s := range []string{b.GroupID, b.Use} {
		data = binary.BigEndian.AppendUint32(data, uint32(len(s))) //nolint:gosec // a few bytes
		data = append(data, s...)
	}
	return data
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(data []byte) *wrapperspb.Int64Value {
	return wrapperspb.Int64(int64(crc32.Checksum(data, castagnoli)))
}

// intact reports whether data that came from Google is what Google sent.
func intact(data []byte, sum *wrapperspb.Int64Value) bool {
	return sum != nil && sum.GetValue() == checksum(data).GetValue()
}
