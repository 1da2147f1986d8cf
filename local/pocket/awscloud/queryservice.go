package awscloud

import (
	"cmp"
	"errors"
	"net/http"

	"latchkey/local/pocket"
)

// QueryService describes a service of this AWS that speaks AWS Query and whose resources have no
// policies of their own.
type QueryService struct {
	// Name is the service in host names and actions: "sns".
	Name string
	// Namespace is of its XML: "http://sns.amazonaws.com/doc/2010-03-31/".
	Namespace string
	// Perform performs an operation for a caller who proved who it is; it must ask Request.Allow.
	// A *Failure is what the caller is told, any other error is the service's own fault.
	Perform func(*Request) (any, error)
}

// ServeQuery makes a service of the description, for pocket.New.
func (c *Cloud) ServeQuery(s QueryService) pocket.Service { return queryService{c, s} }

type queryService struct {
	cloud *Cloud
	QueryService
}

// Serves reports whether host is the service's.
func (s queryService) Serves(host string) bool { return serves(host, s.Name) }

// Operation is the Action parameter.
func (s queryService) Operation(c *pocket.Call) string { return formOf(c).Get("Action") }

// Serve answers the request.
func (s queryService) Serve(w http.ResponseWriter, c *pocket.Call) {
	r, refused, err := s.cloud.request(c, s.Name)
	if refused != nil {
		err = refused.query
	}
	var result any
	if err == nil {
		r.Form = formOf(c)
		r.Operation = r.Form.Get("Action")
		result, err = s.Perform(r)
	}
	if f, ok := errors.AsType[*Failure](err); ok {
		err = f.query()
	}
	if err != nil {
		writeQueryFailure(w, s.Namespace, asFailure(err, "InternalError"))
		return
	}
	writeQuery(w, s.Namespace, r.Operation, result)
}

// Refuse answers as the service does when it denies, throttles or fails.
func (s queryService) Refuse(w http.ResponseWriter, c *pocket.Call, kind pocket.FaultKind) {
	broken := failWith(http.StatusInternalServerError, "InternalError", "An internal error has occurred.")
	s.cloud.refuseQuery(w, c, kind, s.Namespace, s.Name, broken)
}

// query is the failure as AWS Query has it: what is denied goes by another name and status there.
func (f *Failure) query() *failure {
	if f.Code == commonNamespace+"AccessDeniedException" {
		return failWith(http.StatusForbidden, "AuthorizationError", "%s", f.Message)
	}
	return failWith(cmp.Or(f.Status, http.StatusBadRequest), f.Code, "%s", f.Message)
}
