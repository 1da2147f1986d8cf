package awscloud

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
)

// failure is an error that a service answers with.
type failure struct {
	code    string
	message string
	status  int
}

// Error is the code and the message.
func (f *failure) Error() string { return f.code + ": " + f.message }

// fail is a failure that the caller can mend, with status 400.
func fail(code, format string, args ...any) *failure {
	return &failure{code: code, message: fmt.Sprintf(format, args...), status: http.StatusBadRequest}
}

// failWith is a failure with another status.
func failWith(status int, code, format string, args ...any) *failure {
	f := fail(code, format, args...)
	f.status = status
	return f
}

// asFailure finds the failure in err; anything else is the cloud's own fault.
func asFailure(err error, internal string) *failure {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	return failWith(http.StatusInternalServerError, internal, "%v", err)
}

// authFailure is a failure to prove who calls. Services name it differently.
type authFailure struct {
	json, query *failure
}

func badSignature(message string) *authFailure {
	return &authFailure{
		json:  fail("InvalidSignatureException", "%s", message),
		query: failWith(http.StatusForbidden, "SignatureDoesNotMatch", "%s", message),
	}
}

func missingToken() *authFailure {
	return &authFailure{
		json:  fail("MissingAuthenticationTokenException", "Missing Authentication Token"),
		query: failWith(http.StatusForbidden, "MissingAuthenticationToken", "Request is missing Authentication Token"),
	}
}

func incompleteSignature() *authFailure {
	const message = "Authorization header requires 'Credential', 'SignedHeaders' and 'Signature' parameters of AWS4-HMAC-SHA256."
	return &authFailure{json: fail("IncompleteSignatureException", message), query: fail("IncompleteSignature", message)}
}

func unknownKey() *authFailure {
	const message = "The security token included in the request is invalid."
	return &authFailure{
		json:  fail("UnrecognizedClientException", message),
		query: failWith(http.StatusForbidden, "InvalidClientTokenId", message),
	}
}

func expiredToken() *authFailure {
	const message = "The security token included in the request is expired"
	return &authFailure{
		json:  fail("ExpiredTokenException", message),
		query: failWith(http.StatusForbidden, "ExpiredToken", message),
	}
}

// writeJSON answers in the protocol AWS JSON 1.1, which KMS speaks.
func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.Header().Set("X-Amzn-Requestid", newUUID())
	w.WriteHeader(status)
	if body != nil {
		json.NewEncoder(w).Encode(body) //nolint:errcheck // the client is gone
	}
}

func writeJSONFailure(w http.ResponseWriter, f *failure) {
	writeJSON(w, f.status, map[string]string{"__type": f.code, "message": f.message})
}

// writeQuery answers in the protocol AWS Query, which IAM and STS speak. result may be nil.
func writeQuery(w http.ResponseWriter, namespace, action string, result any) {
	element := func(name string) xml.StartElement { return xml.StartElement{Name: xml.Name{Local: name}} }
	writeXML(w, http.StatusOK, func(enc *xml.Encoder, requestID string) error {
		response := element(action + "Response")
		response.Attr = []xml.Attr{{Name: xml.Name{Local: "xmlns"}, Value: namespace}}
		if err := enc.EncodeToken(response); err != nil {
			return err
		}
		if result != nil {
			if err := enc.EncodeElement(result, element(action+"Result")); err != nil {
				return err
			}
		}
		metadata := struct{ RequestId string }{requestID} //nolint:revive // AWS's spelling
		if err := enc.EncodeElement(metadata, element("ResponseMetadata")); err != nil {
			return err
		}
		return enc.EncodeToken(response.End())
	})
}

func writeQueryFailure(w http.ResponseWriter, namespace string, f *failure) {
	type body struct {
		XMLName   xml.Name `xml:"ErrorResponse"`
		Namespace string   `xml:"xmlns,attr"`
		Type      string   `xml:"Error>Type"`
		Code      string   `xml:"Error>Code"`
		Message   string   `xml:"Error>Message"`
		RequestID string   `xml:"RequestId"`
	}
	who := "Sender"
	if f.status >= http.StatusInternalServerError {
		who = "Receiver"
	}
	writeXML(w, f.status, func(enc *xml.Encoder, requestID string) error {
		return enc.Encode(body{Namespace: namespace, Type: who, Code: f.code, Message: f.message, RequestID: requestID})
	})
}

func writeXML(w http.ResponseWriter, status int, encode func(enc *xml.Encoder, requestID string) error) {
	requestID := newUUID()
	w.Header().Set("Content-Type", "text/xml")
	w.Header().Set("X-Amzn-Requestid", requestID)
	w.WriteHeader(status)
	enc := xml.NewEncoder(w)
	if encode(enc, requestID) == nil {
		enc.Flush() //nolint:errcheck // the client is gone
	}
}
