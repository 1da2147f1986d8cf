package awscloud

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
)

// Limits of the cryptographic operations, in bytes.
const (
	maxPlaintext = 4096
	maxBlob      = 6144
	maxDataKey   = 1024
)

// symmetric is the one algorithm there is: AES-256-GCM.
const symmetric = "SYMMETRIC_DEFAULT"

// A ciphertext blob tells what is needed to open it again, as KMS's do: a magic number (which
// makes its base64 begin like KMS's), the id of the key material, the key, then the nonce and
// the ciphertext of AES-256-GCM. Everything before the nonce, and the encryption context, is
// authenticated. The key is named without its region, so that every replica of a multi-Region
// key can open it.
var blobMagic = []byte{1, 2, 2, 0, 0x78}

type blob struct {
	account  string
	keyID    string
	material string
	header   []byte
	sealed   []byte
}

func blobHeader(k *key, materialID string) ([]byte, error) {
	id, err := hex.DecodeString(materialID)
	if err != nil {
		return nil, err
	}
	name := k.Account + "/" + k.ID
	header := append(bytes.Clone(blobMagic), id...)
	header = append(header, byte(len(name))) //nolint:gosec // an account id and a key id: see maxSeedID
	return append(header, name...), nil
}

// parseBlob reads a blob's header. ok is false if the blob is not one of ours.
func parseBlob(b []byte) (blob, bool) {
	rest, ok := bytes.CutPrefix(b, blobMagic)
	if !ok || len(rest) < 33 || len(rest) < 33+int(rest[32]) {
		return blob{}, false
	}
	end := 33 + int(rest[32])
	account, keyID, _ := strings.Cut(string(rest[33:end]), "/")
	return blob{
		account: account, keyID: keyID, material: hex.EncodeToString(rest[:32]),
		header: b[:len(blobMagic)+end], sealed: rest[end:],
	}, true
}

// additionalData is what a ciphertext is bound to: its header and the encryption context, in
// an order and form that no other context has.
func additionalData(header []byte, context map[string]string) []byte {
	data := bytes.Clone(header)
	for _, name := range slices.Sorted(maps.Keys(context)) {
		for _, s := range []string{name, context[name]} {
			data = binary.BigEndian.AppendUint32(data, uint32(len(s))) //nolint:gosec // a request is at most 1 MiB
			data = append(data, s...)
		}
	}
	return data
}

// seal encrypts with the key's current material.
func (k *key) seal(plaintext []byte, context map[string]string) (sealed []byte, materialID string, err error) {
	m, _ := k.family.current()
	header, err := blobHeader(k, m.ID)
	if err != nil {
		return nil, "", err
	}
	gcm, err := newGCM(m.Secret)
	if err != nil {
		return nil, "", err
	}
	sealed = gcm.Seal(nil, nil, plaintext, additionalData(header, context)) //nolint:gosec // newGCM puts a random nonce
	return append(bytes.Clone(header), sealed...), m.ID, nil
}

func (k *key) open(b blob, context map[string]string) ([]byte, error) {
	m, ok := k.family.material(b.material)
	if !ok {
		return nil, invalidCiphertext()
	}
	gcm, err := newGCM(m.Secret)
	if err != nil {
		return nil, err
	}
	plaintext, err := gcm.Open(nil, nil, b.sealed, additionalData(b.header, context))
	if err != nil {
		return nil, invalidCiphertext()
	}
	return plaintext, nil
}

func invalidCiphertext() error { return fail("InvalidCiphertextException", "") }

// withContext sets the condition keys of an encryption context.
func (k *kmsCall) withContext(context map[string]string) {
	maps.DeleteFunc(k.context, func(name string, _ []string) bool { return strings.HasPrefix(name, "kms:encryptioncontext") })
	for name, value := range context {
		k.context["kms:encryptioncontext:"+strings.ToLower(name)] = []string{value}
	}
	k.context["kms:encryptioncontextkeys"] = slices.Sorted(maps.Keys(context))
}

// ready fails unless the key can encrypt and decrypt now.
func (k *kmsCall) ready(found *key, algorithm string) error {
	if err := found.mustBe(k.now, stateEnabled); err != nil {
		return err
	}
	if algorithm != "" && algorithm != symmetric {
		return fail("UnsupportedOperationException", "The algorithm %s is not supported.", algorithm)
	}
	if found.Usage != "ENCRYPT_DECRYPT" {
		return fail("InvalidKeyUsageException", "%s key usage is %s which is not valid for this operation.", found.arn(), found.Usage)
	}
	if found.Spec != symmetric {
		return fail("InvalidKeyUsageException", "Algorithm %s and key spec %s are not valid for this operation.", symmetric, found.Spec)
	}
	return nil
}

type encryptIn struct {
	keyIn
	Plaintext           []byte
	EncryptionContext   map[string]string
	EncryptionAlgorithm string
}

func (k *kmsCall) encrypt(in encryptIn) (any, error) {
	if len(in.Plaintext) == 0 || len(in.Plaintext) > maxPlaintext {
		return nil, invalidValue("Value at 'plaintext' failed to satisfy constraint: Member must have length between 1 and %d", maxPlaintext)
	}
	k.withContext(in.EncryptionContext)
	found, err := k.usableKey(in.KeyId, k.action)
	if err != nil {
		return nil, err
	}
	if err := k.ready(found, in.EncryptionAlgorithm); err != nil {
		return nil, err
	}
	sealed, _, err := found.seal(in.Plaintext, in.EncryptionContext)
	return map[string]any{"CiphertextBlob": sealed, "KeyId": found.arn(), "EncryptionAlgorithm": symmetric}, err
}

type decryptIn struct {
	keyIn
	CiphertextBlob      []byte
	EncryptionContext   map[string]string
	EncryptionAlgorithm string
}

func (k *kmsCall) decrypt(in decryptIn) (any, error) {
	found, b, err := k.opener(in, k.action)
	if err != nil {
		return nil, err
	}
	plaintext, err := found.open(b, in.EncryptionContext)
	return map[string]any{
		"Plaintext": plaintext, "KeyId": found.arn(), "EncryptionAlgorithm": symmetric, "KeyMaterialId": b.material,
	}, err
}

// opener is the key that opens a ciphertext, ready to do so: the one that made it, which must
// be the one named, if any is.
func (k *kmsCall) opener(in decryptIn, action string) (*key, blob, error) {
	if len(in.CiphertextBlob) == 0 || len(in.CiphertextBlob) > maxBlob {
		return nil, blob{}, invalidValue("Value at 'ciphertextBlob' failed to satisfy constraint: Member must have length between 1 and %d", maxBlob)
	}
	k.withContext(in.EncryptionContext)
	b, ok := parseBlob(in.CiphertextBlob)
	if !ok {
		return nil, b, invalidCiphertext()
	}
	found, err := k.namedOpener(in.KeyId, b)
	if err != nil {
		return nil, b, err
	}
	if err := k.allowKey(found, action); err != nil {
		return nil, b, err
	}
	if found.Account != b.account || found.ID != b.keyID {
		return nil, b, fail("IncorrectKeyException", "The key ID in the request does not identify a CMK that can perform this operation.")
	}
	return found, b, k.ready(found, in.EncryptionAlgorithm)
}

func (k *kmsCall) namedOpener(name string, b blob) (*key, error) {
	if name != "" {
		return k.findKey(name)
	}
	found, err := k.loadKey(b.account, k.region, b.keyID)
	if err == nil && found == nil {
		err = fail("AccessDeniedException", "The ciphertext refers to a customer master key that does not exist, "+
			"does not exist in this region, or you are not allowed to access.")
	}
	return found, err
}

type reEncryptIn struct {
	CiphertextBlob                 []byte
	SourceEncryptionContext        map[string]string
	SourceKeyId                    string //nolint:revive // AWS's spelling
	SourceEncryptionAlgorithm      string
	DestinationKeyId               string //nolint:revive // AWS's spelling
	DestinationEncryptionContext   map[string]string
	DestinationEncryptionAlgorithm string
}

func (k *kmsCall) reEncrypt(in reEncryptIn) (any, error) {
	source, b, err := k.opener(decryptIn{
		keyIn: keyIn{in.SourceKeyId}, CiphertextBlob: in.CiphertextBlob, EncryptionContext: in.SourceEncryptionContext,
		EncryptionAlgorithm: in.SourceEncryptionAlgorithm,
	}, "kms:ReEncryptFrom")
	if err != nil {
		return nil, err
	}
	k.withContext(in.DestinationEncryptionContext)
	destination, err := k.usableKey(in.DestinationKeyId, "kms:ReEncryptTo")
	if err != nil {
		return nil, err
	}
	if err := k.ready(destination, in.DestinationEncryptionAlgorithm); err != nil {
		return nil, err
	}
	plaintext, err := source.open(b, in.SourceEncryptionContext)
	if err != nil {
		return nil, err
	}
	sealed, materialID, err := destination.seal(plaintext, in.DestinationEncryptionContext)
	return map[string]any{
		"CiphertextBlob": sealed, "KeyId": destination.arn(), "SourceKeyId": source.arn(),
		"SourceEncryptionAlgorithm": symmetric, "DestinationEncryptionAlgorithm": symmetric,
		"SourceKeyMaterialId": b.material, "DestinationKeyMaterialId": materialID,
	}, err
}

type dataKeyIn struct {
	keyIn
	EncryptionContext map[string]string
	KeySpec           string
	NumberOfBytes     *int
}

// size is the length of the data key that is asked for.
func (in dataKeyIn) size() (int, error) {
	switch {
	case in.KeySpec == "AES_256" && in.NumberOfBytes == nil:
		return 32, nil
	case in.KeySpec == "AES_128" && in.NumberOfBytes == nil:
		return 16, nil
	case in.KeySpec == "" && in.NumberOfBytes != nil && *in.NumberOfBytes >= 1 && *in.NumberOfBytes <= maxDataKey:
		return *in.NumberOfBytes, nil
	}
	return 0, fail("ValidationException", "Please specify either number of bytes, from 1 to %d, or key spec.", maxDataKey)
}

func (k *kmsCall) generateDataKey(in dataKeyIn) (any, error) {
	n, err := in.size()
	if err != nil {
		return nil, err
	}
	k.withContext(in.EncryptionContext)
	found, err := k.usableKey(in.KeyId, k.action)
	if err != nil {
		return nil, err
	}
	if err := k.ready(found, ""); err != nil {
		return nil, err
	}
	plaintext := random(n)
	sealed, materialID, err := found.seal(plaintext, in.EncryptionContext)
	return map[string]any{"CiphertextBlob": sealed, "Plaintext": plaintext, "KeyId": found.arn(), "KeyMaterialId": materialID}, err
}

func (k *kmsCall) generateDataKeyWithoutPlaintext(in dataKeyIn) (any, error) {
	out, err := k.generateDataKey(in)
	if made, ok := out.(map[string]any); ok {
		delete(made, "Plaintext")
	}
	return out, err
}
