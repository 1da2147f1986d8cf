package googlecloud

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"hash/crc32"
	"strings"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// maxData bounds plaintexts and additional data.
const maxData = 64 << 10

// A ciphertext is a header (a tag, the id of its key, the number of its version), then what
// AES-256-GCM makes with a random nonce. The header is authenticated with the additional data.
const (
	ciphertextTag = 0x0a
	keyIDLength   = 16
	headerLength  = 1 + keyIDLength + 8
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(data []byte) *wrapperspb.Int64Value {
	return wrapperspb.Int64(int64(crc32.Checksum(data, castagnoli)))
}

// verify checks a checksum that the client sent, if it sent one.
func verify(field string, data []byte, sum *wrapperspb.Int64Value) error {
	if sum != nil && sum.GetValue() != checksum(data).GetValue() {
		return invalidArgument("The checksum in field " + field + "_crc32c did not match the data in field " + field + ".")
	}
	if len(data) > maxData {
		return invalidArgument("The field " + field + " must be no longer than 65536 bytes.")
	}
	return nil
}

func gcm(material []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(material)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

func header(keyID []byte, version int64) []byte {
	h := append([]byte{ciphertextTag}, keyID...)
	return binary.BigEndian.AppendUint64(h, uint64(version)) //nolint:gosec // versions are positive
}

// encrypt encrypts with the version that the path names, or with the key's primary version.
func (c *Cloud) encrypt(req *request) (any, error) {
	in := &kmspb.EncryptRequest{}
	if err := readMessage(req, in); err != nil {
		return nil, err
	}
	if err := verify("plaintext", in.GetPlaintext(), in.GetPlaintextCrc32C()); err != nil {
		return nil, err
	}
	aad := in.GetAdditionalAuthenticatedData()
	if err := verify("additional_authenticated_data", aad, in.GetAdditionalAuthenticatedDataCrc32C()); err != nil {
		return nil, err
	}
	k, n, err := c.encryptor(req)
	if err != nil {
		return nil, err
	}
	aead, err := gcm(k.Versions[n-1].Material)
	if err != nil {
		return nil, err
	}
	h := header(k.ID, n)
	out := aead.Seal(h, nil, in.GetPlaintext(), append(bytes.Clone(h), aad...)) //nolint:gosec // the nonce is random: see gcm
	return &kmspb.EncryptResponse{
		Name: k.versionName(n), Ciphertext: out, CiphertextCrc32C: checksum(out), ProtectionLevel: k.Protection,
		VerifiedPlaintextCrc32C:                   in.GetPlaintextCrc32C() != nil,
		VerifiedAdditionalAuthenticatedDataCrc32C: in.GetAdditionalAuthenticatedDataCrc32C() != nil,
	}, nil
}

// encryptor finds the version that encrypts.
func (c *Cloud) encryptor(req *request) (cryptoKey, int64, error) {
	k, err := c.key(req.resource, req.now)
	if err != nil {
		return k, 0, err
	}
	n := k.Primary
	if strings.Contains(req.path(), "/cryptoKeyVersions/") {
		if n, err = k.number(req.vars[4]); err != nil {
			return k, 0, err
		}
	}
	switch {
	case k.Purpose != kmspb.CryptoKey_ENCRYPT_DECRYPT:
		return k, 0, k.wrongPurpose()
	case n == 0:
		return k, 0, failedPrecondition(k.Name + " has no primary version.")
	case k.Versions[n-1].State != kmspb.CryptoKeyVersion_ENABLED:
		return k, 0, k.notEnabled(n)
	}
	return k, n, nil
}

// decrypt finds the version in the ciphertext.
func (c *Cloud) decrypt(req *request) (any, error) {
	in := &kmspb.DecryptRequest{}
	if err := readMessage(req, in); err != nil {
		return nil, err
	}
	sealed, aad := in.GetCiphertext(), in.GetAdditionalAuthenticatedData()
	if err := verify("ciphertext", sealed, in.GetCiphertextCrc32C()); err != nil {
		return nil, err
	}
	if err := verify("additional_authenticated_data", aad, in.GetAdditionalAuthenticatedDataCrc32C()); err != nil {
		return nil, err
	}
	k, err := c.key(req.resource, req.now)
	if err != nil {
		return nil, err
	}
	if k.Purpose != kmspb.CryptoKey_ENCRYPT_DECRYPT {
		return nil, k.wrongPurpose()
	}
	plaintext, n, err := k.open(sealed, aad)
	if err != nil {
		return nil, err
	}
	return &kmspb.DecryptResponse{
		Plaintext: plaintext, PlaintextCrc32C: checksum(plaintext), UsedPrimary: n == k.Primary, ProtectionLevel: k.Protection,
	}, nil
}

// open decrypts a ciphertext of this key and names the version that made it.
func (k *cryptoKey) open(sealed, aad []byte) ([]byte, int64, error) {
	damaged := invalidArgument("Decryption failed: the ciphertext is invalid.")
	if len(sealed) < headerLength || sealed[0] != ciphertextTag {
		return nil, 0, damaged
	}
	h := sealed[:headerLength]
	if !bytes.Equal(h[1:1+keyIDLength], k.ID) {
		return nil, 0, invalidArgument("Decryption failed: verify that 'name' refers to the correct CryptoKey.")
	}
	number := binary.BigEndian.Uint64(h[1+keyIDLength:])
	if number < 1 || number > uint64(len(k.Versions)) {
		return nil, 0, damaged
	}
	n := int64(number) //nolint:gosec // bounded by the number of versions
	if k.Versions[n-1].State != kmspb.CryptoKeyVersion_ENABLED {
		return nil, 0, k.notEnabled(n)
	}
	aead, err := gcm(k.Versions[n-1].Material)
	if err != nil {
		return nil, 0, err
	}
	plaintext, err := aead.Open(nil, nil, sealed[headerLength:], append(bytes.Clone(h), aad...))
	if err != nil {
		return nil, 0, damaged
	}
	return plaintext, n, nil
}
