package googleaccount

import (
	"encoding/json"
	"net/http"

	"latchkey/shared/verdict"
)

// Status is what an error answer of a Google API says (google.rpc.Status with its details).
type Status struct {
	HTTP      int
	Name      string // canonical code: "PERMISSION_DENIED"; "" if the answer is not of this form
	Message   string
	Reason    string // of ErrorInfo: "IAM_PERMISSION_DENIED"
	Consumer  string // of ErrorInfo: the project whose quota is used: "projects/123"
	Violation string // type of the first violated precondition: "KEY_DISABLED", "VPC_SERVICE_CONTROLS"
	RequestID string // what Google's support can find the request by, rarely present
}

// ParseStatus reads an error answer. What it can't read stays empty.
func ParseStatus(code int, body []byte) Status {
	var reply struct {
		Error struct {
			Status  string `json:"status"`
			Message string `json:"message"`
			Details []struct {
				Reason    string `json:"reason"`
				RequestID string `json:"requestId"`
				Metadata  struct {
					Consumer string `json:"consumer"`
					UID      string `json:"uid"`
				} `json:"metadata"`
				Violations []struct {
					Type string `json:"type"`
				} `json:"violations"`
			} `json:"details"`
		} `json:"error"`
	}
	s := Status{HTTP: code}
	if json.Unmarshal(body, &reply) != nil {
		return s
	}
	s.Name, s.Message = reply.Error.Status, reply.Error.Message
	for _, d := range reply.Error.Details {
		s.Reason = first(s.Reason, d.Reason)
		s.Consumer = first(s.Consumer, d.Metadata.Consumer)
		s.RequestID = first(s.RequestID, d.RequestID, d.Metadata.UID)
		for _, v := range d.Violations {
			s.Violation = first(s.Violation, v.Type)
		}
	}
	return s
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// Code is how a failure names the status: "PERMISSION_DENIED/IAM_PERMISSION_DENIED".
func (s Status) Code() string {
	code := first(s.Name, http.StatusText(s.HTTP))
	if detail := first(s.Reason, s.Violation); detail != "" {
		code += "/" + detail
	}
	return code
}

// Trouble is the reason of a status that says nothing about credentials, permissions or keys:
// throttling and the provider's own faults. "" means that the status says something else.
func (s Status) Trouble() verdict.Reason {
	switch {
	case s.HTTP == http.StatusTooManyRequests || s.Name == "RESOURCE_EXHAUSTED":
		return verdict.RateLimited
	case s.Name == "DEADLINE_EXCEEDED" || s.HTTP == http.StatusGatewayTimeout:
		return verdict.TimedOut
	case s.HTTP >= 500, s.HTTP < 400, s.Name == "ABORTED":
		return verdict.ProviderError // a redirect is an answer that makes no sense
	}
	return ""
}

// ownFailure explains a refusal in the operator's own project: nothing there is a tenant's act.
func ownFailure(s Status) *verdict.Failure {
	f := &verdict.Failure{Reason: s.Trouble(), ProviderCode: s.Code(), RequestID: s.RequestID, Err: statusError(s)}
	if f.Reason != "" {
		return f
	}
	switch s.Name {
	case "PERMISSION_DENIED", "UNAUTHENTICATED", "NOT_FOUND", "FAILED_PRECONDITION":
		f.Reason = verdict.OurCredentials
	default:
		f.Reason = verdict.Internal
	}
	return f
}

// statusError is a status as an error for logs.
type statusError Status

// Error is Google's message.
func (e statusError) Error() string { return "google: " + first(e.Message, http.StatusText(e.HTTP)) }
