package clouds

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// awsCreated is when all keys were made.
var awsCreated = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// AWSCreated is when the keys in AWS KMS were made.
func AWSCreated() time.Time { return awsCreated }

// SealAWS encrypts as AWS KMS does for the administrator of a key, at once.
func SealAWS(keyARN string, context map[string]string, plaintext []byte) []byte {
	return seal(keyARN, awsUse(context), plaintext)
}

// awsUse is an encryption context as text: encoding/json sorts the names.
func awsUse(context map[string]string) string {
	text, err := json.Marshal(context)
	if err != nil {
		panic(err) // strings always marshal
	}
	return string(text)
}

const awsJSON = "application/x-amz-json-1.1"

func awsError(code, message string) answer {
	a := jsonError(http.StatusBadRequest, `{"__type":%q,"message":%q}`, code, message)
	a.kind = awsJSON
	return a
}

func (c *Clouds) awsKMS(r *http.Request, body []byte) answer {
	var in struct {
		KeyID      string `json:"KeyId"`
		Plaintext  []byte
		Ciphertext []byte            `json:"CiphertextBlob"`
		Context    map[string]string `json:"EncryptionContext"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return awsError("SerializationException", "no JSON")
	}
	if !c.isGood(r.Header.Get("X-Amz-Security-Token")) {
		return awsError("UnrecognizedClientException", "The security token included in the request is invalid.")
	}
	var out any
	var op Operation
	switch target := r.Header.Get("X-Amz-Target"); target {
	case "TrentService.Decrypt":
		plaintext, err := open(in.KeyID, awsUse(in.Context), in.Ciphertext)
		if err != nil {
			return awsError("InvalidCiphertextException", "")
		}
		op, out = Decrypt, awsPlaintext{in.KeyID, plaintext, "SYMMETRIC_DEFAULT"}
	case "TrentService.Encrypt":
		op, out = Encrypt, awsCiphertext{in.KeyID, seal(in.KeyID, awsUse(in.Context), in.Plaintext), "SYMMETRIC_DEFAULT"}
	case "TrentService.DescribeKey":
		op, out = Describe, map[string]any{"KeyMetadata": map[string]any{
			"Arn": in.KeyID, "KeyId": in.KeyID[strings.LastIndexByte(in.KeyID, '/')+1:], "CreationDate": awsCreated.Unix(), "Enabled": true,
			"KeyState": "Enabled", "KeyUsage": "ENCRYPT_DECRYPT", "KeySpec": "SYMMETRIC_DEFAULT", "KeyManager": "CUSTOMER", "MultiRegion": false,
		}}
	case "TrentService.ListKeyRotations":
		op, out = Rotations, map[string]any{"Rotations": []any{}, "Truncated": false}
	default:
		return awsError("UnknownOperationException", target)
	}
	return answer{op: op, key: in.KeyID, status: http.StatusOK, kind: awsJSON, body: encode(out)}
}

type awsPlaintext struct {
	KeyID     string `json:"KeyId"`
	Plaintext []byte
	Algorithm string `json:"EncryptionAlgorithm"`
}

type awsCiphertext struct {
	KeyID      string `json:"KeyId"`
	Ciphertext []byte `json:"CiphertextBlob"`
	Algorithm  string `json:"EncryptionAlgorithm"`
}

func encode(v any) []byte {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // only what marshals is answered
	}
	return body
}

// awsSTS knows AssumeRole.
func (c *Clouds) awsSTS(body []byte) answer {
	form, err := url.ParseQuery(string(body))
	if err != nil || form.Get("Action") != "AssumeRole" {
		return answer{status: http.StatusBadRequest, kind: "text/xml", body: []byte(
			`<ErrorResponse><Error><Type>Sender</Type><Code>InvalidAction</Code></Error></ErrorResponse>`)}
	}
	token, expires := c.issue()
	return answer{op: SignIn, key: form.Get("RoleArn"), status: http.StatusOK, kind: "text/xml", body: fmt.Appendf(nil,
		`<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>`+
			`<AccessKeyId>ASIA0123456789ABCDEF</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>`+
			`<SessionToken>%s</SessionToken><Expiration>%s</Expiration></Credentials>`+
			`<AssumedRoleUser><AssumedRoleId>AROA0123456789ABCDEF:%s</AssumedRoleId><Arn>%s</Arn></AssumedRoleUser>`+
			`</AssumeRoleResult></AssumeRoleResponse>`, token, expires.Format(time.RFC3339), form.Get("RoleSessionName"), form.Get("RoleArn"))}
}
