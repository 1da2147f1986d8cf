package clouds

import (
	"encoding/json"
	"hash/crc32"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// googleToken lets our own identity act as a service account.
func (c *Clouds) googleToken(r *http.Request) answer {
	if !c.isGood(bearer(r)) {
		return googleError(http.StatusUnauthorized, "UNAUTHENTICATED")
	}
	token, expires := c.issue()
	return answer{op: SignIn, status: http.StatusOK, kind: "application/json", body: encode(map[string]string{
		"accessToken": token, "expireTime": expires.Format(time.RFC3339),
	})}
}

func googleError(status int, name string) answer {
	return jsonError(status, `{"error":{"code":%d,"status":%q,"message":""}}`, status, name)
}

// googleKMS knows how to encrypt with a version, and to decrypt with its crypto key.
func (c *Clouds) googleKMS(r *http.Request, body []byte) answer {
	if !c.isGood(bearer(r)) {
		return googleError(http.StatusUnauthorized, "UNAUTHENTICATED")
	}
	var in struct {
		Plaintext      []byte `json:"plaintext"`
		Ciphertext     []byte `json:"ciphertext"`
		AdditionalData []byte `json:"additionalAuthenticatedData"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return googleError(http.StatusBadRequest, "INVALID_ARGUMENT")
	}
	name, asked, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v1/"), ":")
	key, _, _ := strings.Cut(name, "/cryptoKeyVersions/")
	switch asked {
	case "encrypt":
		sealed := seal(key, string(in.AdditionalData), in.Plaintext)
		return answer{op: Encrypt, key: key, status: http.StatusOK, kind: "application/json", body: encode(googleCiphertext{
			name, sealed, checksum(sealed), true, true,
		})}
	case "decrypt":
		plaintext, err := open(key, string(in.AdditionalData), in.Ciphertext)
		if err != nil {
			break
		}
		return answer{op: Decrypt, key: key, status: http.StatusOK, kind: "application/json", body: encode(googlePlaintext{
			plaintext, checksum(plaintext), true,
		})}
	}
	return googleError(http.StatusBadRequest, "INVALID_ARGUMENT")
}

type googleCiphertext struct {
	Name              string `json:"name"`
	Ciphertext        []byte `json:"ciphertext"`
	Checksum          string `json:"ciphertextCrc32c"`
	VerifiedPlaintext bool   `json:"verifiedPlaintextCrc32c"`
	VerifiedData      bool   `json:"verifiedAdditionalAuthenticatedDataCrc32c"`
}

type googlePlaintext struct {
	Plaintext   []byte `json:"plaintext"`
	Checksum    string `json:"plaintextCrc32c"`
	UsedPrimary bool   `json:"usedPrimary"`
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(data []byte) string {
	return strconv.FormatUint(uint64(crc32.Checksum(data, castagnoli)), 10)
}
