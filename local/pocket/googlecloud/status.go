package googlecloud

import (
	"encoding/json"
	"net/http"
	"strconv"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"latchkey/local/pocket"
)

// status is an error as Google's APIs send it: google.rpc.Status as JSON.
type status struct {
	Code    int    `json:"code"` // HTTP
	Message string `json:"message"`
	Status  string `json:"status"` // google.rpc.Code
	Details []any  `json:"details,omitempty"`
}

func (s *status) Error() string { return s.Status + ": " + s.Message }

func failure(code int, name, message string, details ...any) *status {
	return &status{Code: code, Message: message, Status: name, Details: details}
}

type errorInfo struct {
	Type     string            `json:"@type"`
	Reason   string            `json:"reason"`
	Domain   string            `json:"domain"`
	Metadata map[string]string `json:"metadata,omitempty"`
}

func info(reason, domain string, metadata map[string]string) errorInfo {
	return errorInfo{Type: "type.googleapis.com/google.rpc.ErrorInfo", Reason: reason, Domain: domain, Metadata: metadata}
}

type violation struct {
	Type        string `json:"type"`
	Subject     string `json:"subject,omitempty"`
	Description string `json:"description,omitempty"`
}

type preconditionFailure struct {
	Type       string      `json:"@type"`
	Violations []violation `json:"violations"`
}

func precondition(v violation) preconditionFailure {
	return preconditionFailure{Type: "type.googleapis.com/google.rpc.PreconditionFailure", Violations: []violation{v}}
}

type resourceInfo struct {
	Type string `json:"@type"`
	Name string `json:"resourceName"`
}

func invalidArgument(message string) *status {
	return failure(http.StatusBadRequest, "INVALID_ARGUMENT", message)
}

func failedPrecondition(message string, details ...any) *status {
	return failure(http.StatusBadRequest, "FAILED_PRECONDITION", message, details...)
}

func notFound(message string) *status { return failure(http.StatusNotFound, "NOT_FOUND", message) }

func alreadyExists(message string, details ...any) *status {
	return failure(http.StatusConflict, "ALREADY_EXISTS", message, details...)
}

// denied is the answer of IAM. It does not tell whether the resource exists.
func denied(permission, resource string) *status {
	message := "Permission '" + permission + "' denied on resource '" + resource + "' (or it may not exist)."
	return failure(http.StatusForbidden, "PERMISSION_DENIED", message,
		info("IAM_PERMISSION_DENIED", "iam.googleapis.com", map[string]string{"permission": permission, "resource": resource}))
}

func unauthenticated(reason string, req *request) *status {
	return failure(http.StatusUnauthorized, "UNAUTHENTICATED",
		"Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential. "+
			"See https://developers.google.com/identity/sign-in/web/devconsole-project.",
		info(reason, "googleapis.com", map[string]string{"service": req.Host, "method": req.operation}))
}

func quotaExceeded(host string) *status {
	return failure(http.StatusTooManyRequests, "RESOURCE_EXHAUSTED",
		"Quota exceeded for quota metric 'Requests' and limit 'Requests per minute' of service '"+host+"'.",
		info("RATE_LIMIT_EXCEEDED", "googleapis.com", map[string]string{"service": host}))
}

// perimeter is the answer of VPC Service Controls.
func perimeter(host, project string) *status {
	const uid = "pocketPerimeter0"
	return failure(http.StatusForbidden, "PERMISSION_DENIED",
		"Request is prohibited by organization's policy. vpcServiceControlsUniqueIdentifier: "+uid,
		precondition(violation{Type: "VPC_SERVICE_CONTROLS", Description: uid}),
		info("SECURITY_POLICY_VIOLATED", "googleapis.com",
			map[string]string{"uid": uid, "service": host, "consumer": "projects/" + projectNumber(project)}))
}

func writeError(w http.ResponseWriter, err error) {
	s, ok := err.(*status) //nolint:errorlint // handlers return it unwrapped
	if !ok {
		s = failure(http.StatusInternalServerError, "INTERNAL", "Internal error encountered.")
	}
	writeJSON(w, s.Code, map[string]*status{"error": s})
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		code, body = http.StatusInternalServerError, []byte("{}")
	}
	write(w, code, body)
}

func write(w http.ResponseWriter, code int, body []byte) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)+1))
	w.WriteHeader(code)
	w.Write(append(body, '\n')) //nolint:errcheck // the client is gone
}

// writeBody writes a message or a document. Google's clients ask for enums as numbers, people
// get names.
func writeBody(w http.ResponseWriter, call *pocket.Call, v any) {
	m, ok := v.(proto.Message)
	if !ok {
		writeJSON(w, http.StatusOK, v)
		return
	}
	numbers := call.URL.Query().Get("$alt") == "json;enum-encoding=int"
	body, err := protojson.MarshalOptions{UseEnumNumbers: numbers, Multiline: !numbers}.Marshal(m)
	if err != nil {
		writeError(w, err)
		return
	}
	write(w, http.StatusOK, body)
}

// readMessage decodes a body into a message; as with Google, an unknown member is an error.
func readMessage(req *request, m proto.Message) error {
	body := req.Body
	if len(body) == 0 {
		body = []byte("{}")
	}
	if err := protojson.Unmarshal(body, m); err != nil {
		return invalidArgument("Invalid JSON payload received. " + err.Error())
	}
	return nil
}

// readJSON decodes a body into a document; an empty body is an empty document.
func readJSON(req *request, v any) error {
	if len(req.Body) == 0 {
		return nil
	}
	if err := json.Unmarshal(req.Body, v); err != nil {
		return invalidArgument("Invalid JSON payload received. " + err.Error())
	}
	return nil
}
