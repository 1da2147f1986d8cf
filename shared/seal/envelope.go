package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// The envelope, version 1:
//
//	1 byte   version
//	2 bytes  length of the wrapped key, big endian
//	n bytes  the data key, wrapped by the operator's key
//	rest     nonce (12), ciphertext, tag (16): AES-256-GCM under the data key
//
// The additional data is everything before the nonce and then the context, so no part of an
// envelope can be changed or moved to another one.
const (
	envelopeVersion = 1
	headerSize      = 3
	maxWrapped      = 6144 // the most that AWS KMS returns
	gcmOverhead     = 12 + 16
)

type envelope struct {
	header  []byte // up to and with the wrapped key
	wrapped []byte
	box     []byte
}

func newHeader(wrapped []byte) []byte {
	h := make([]byte, 0, headerSize+len(wrapped))
	h = append(h, envelopeVersion)
	h = binary.BigEndian.AppendUint16(h, uint16(len(wrapped))) //nolint:gosec // bounded by maxWrapped
	return append(h, wrapped...)
}

// parse checks every length before it believes it.
func parse(s Sealed) (envelope, error) {
	if len(s) < headerSize || s[0] != envelopeVersion {
		return envelope{}, fmt.Errorf("%w: %d bytes that are no envelope", ErrUnopenable, len(s))
	}
	n := int(binary.BigEndian.Uint16(s[1:]))
	if n == 0 || n > maxWrapped || len(s) < headerSize+n+gcmOverhead {
		return envelope{}, fmt.Errorf("%w: an envelope of %d bytes with a key of %d", ErrUnopenable, len(s), n)
	}
	return envelope{header: s[:headerSize+n], wrapped: s[headerSize : headerSize+n], box: s[headerSize+n:]}, nil
}

// canonical writes a context so that no two contexts look alike.
func (c Context) canonical(b []byte) []byte {
	for _, s := range []string{c.Scope, c.Field} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	return b
}

func additionalData(header []byte, c Context) []byte {
	return c.canonical(append([]byte(nil), header...))
}

// keyID names an opened data key in the cache. The context is in it: what was opened for one
// context is not found from another, where the wrapper would have refused.
type keyID [sha256.Size]byte

func identify(wrapped []byte, c Context) keyID {
	return sha256.Sum256(append(c.canonical(nil), wrapped...))
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}
