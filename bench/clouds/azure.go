package clouds

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"strings"
)

// azureLogin signs an application in, and says where it does.
func (c *Clouds) azureLogin(r *http.Request) answer {
	tenant, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	base := "https://" + r.URL.Host + "/" + tenant
	if strings.HasSuffix(rest, ".well-known/openid-configuration") {
		return answer{op: Challenge, status: http.StatusOK, kind: "application/json", body: fmt.Appendf(nil,
			`{"token_endpoint":"%[1]s/oauth2/v2.0/token","authorization_endpoint":"%[1]s/oauth2/v2.0/authorize","issuer":"%[1]s/v2.0"}`, base)}
	}
	token, _ := c.issue()
	return answer{op: SignIn, status: http.StatusOK, kind: "application/json", body: fmt.Appendf(nil,
		`{"token_type":"Bearer","expires_in":%d,"access_token":%q}`, int(tokenLife.Seconds())-1, token)}
}

// azureVault knows how to encrypt and decrypt with a version of a key.
func (c *Clouds) azureVault(r *http.Request, body []byte) answer {
	if !c.isGood(bearer(r)) {
		a := jsonError(http.StatusUnauthorized, `{"error":{"code":"Unauthorized"}}`)
		a.op, a.header = Challenge, http.Header{"Www-Authenticate": {
			`Bearer authorization="https://login.microsoftonline.com/common", resource="https://vault.azure.net"`,
		}}
		return a
	}
	var in struct {
		Value string `json:"value"`
	}
	err := json.Unmarshal(body, &in)
	value, badValue := base64.RawURLEncoding.DecodeString(in.Value)
	if err != nil || badValue != nil {
		return azureError()
	}
	keyID, asked := path.Split(r.URL.Host + r.URL.Path)
	keyID = "https://" + strings.TrimSuffix(keyID, "/")
	op := Encrypt
	switch asked {
	case "encrypt":
		value = seal(keyID, "", value)
	case "decrypt":
		if value, err = open(keyID, "", value); err != nil {
			return azureError()
		}
		op = Decrypt
	default:
		return azureError()
	}
	return answer{op: op, key: keyID, status: http.StatusOK, kind: "application/json", body: encode(map[string]string{
		"kid": keyID, "value": base64.RawURLEncoding.EncodeToString(value),
	})}
}

func azureError() answer {
	return jsonError(http.StatusBadRequest, `{"error":{"code":"BadParameter"}}`)
}
