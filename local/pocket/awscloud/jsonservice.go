package awscloud

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"latchkey/local/pocket"
	"latchkey/local/pocket/awscloud/policy"
	"latchkey/shared/atlas"
)

// JSONService describes a service of this AWS that speaks AWS JSON and whose resources have no
// policies of their own. This package proves who calls; Perform does the rest.
type JSONService struct {
	// Name is the service in host names and actions: "dynamodb".
	Name string
	// Prefix is what actions begin with; "" is Name.
	Prefix string
	// Route names the operation of a request to a REST API, "" if there is none. nil: X-Amz-Target does.
	Route func(method, path string) string
	// Target is what X-Amz-Target has before the operation: "DynamoDB_20120810".
	Target string
	// ContentType is of the protocol's version: "application/x-amz-json-1.0".
	ContentType string
	// Namespace precedes the codes of failures, as in "com.amazonaws.dynamodb.v20120810#"; "" is none.
	Namespace string
	// Checksum puts the CRC-32 of the body into every answer.
	Checksum bool
	// Throttled and Broken are how the service says "slow down" and "my own fault".
	Throttled, Broken Failure
	// Perform performs an operation for a caller who proved who it is; it must ask
	// Request.Allow. A *Failure is what the caller is told, any other error becomes Broken.
	Perform func(*Request) (any, error)
}

// Failure is an error that a JSONService answers with.
type Failure struct {
	Code    string // with a namespace of its own before a "#", or without
	Message string
	Status  int            // 0 is 400
	Members map[string]any // further members of the answer
}

// Error is the code and the message.
func (f *Failure) Error() string { return f.Code + ": " + f.Message }

// Request is one authenticated request to a JSONService or a QueryService.
type Request struct {
	Context   context.Context // ends when the caller has gone
	Operation string
	Body      []byte
	Form      url.Values // of a QueryService
	Account   string
	Partition atlas.AWSPartition
	Region    string
	Now       time.Time

	service string
	who     caller
	context map[string][]string
}

// ARN is the ARN of a resource of the caller's account in the request's region.
func (r *Request) ARN(resource string) string {
	return fmt.Sprintf("arn:%s:%s:%s:%s:%s", r.Partition, r.service, r.Region, r.Account, resource)
}

// Allow checks that the caller may perform an action of the service, such as "GetItem", on a
// resource. keys are the condition keys that the service adds, in lower case.
func (r *Request) Allow(action, resource string, keys map[string][]string) error {
	context := maps.Clone(r.context)
	maps.Copy(context, keys)
	action = r.service + ":" + action
	why := r.who.judgeIdentity(policy.Request{Caller: r.who.name, Action: action, Resource: resource, Context: context})
	if why == "" {
		return nil
	}
	return &Failure{Code: commonNamespace + "AccessDeniedException", Message: r.who.unauthorized(action, resource, why)}
}

// Decode reads the request's body into v, strictly: a member that v does not have is one that
// the pocket service could only ignore.
func (r *Request) Decode(v any) error {
	dec := json.NewDecoder(bytes.NewReader(r.Body))
	dec.DisallowUnknownFields()
	err := dec.Decode(v)
	if err == nil {
		if _, more := dec.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("there is something after the request")
		}
	}
	if err != nil {
		return &Failure{Code: "ValidationException", Message: "The pocket AWS does not understand the request: " + err.Error()}
	}
	return nil
}

// commonNamespace is of the failures that all services have.
const commonNamespace = "com.amazon.coral.service#"

// Serve makes a service of the description, for pocket.New.
func (c *Cloud) Serve(s JSONService) pocket.Service { return jsonService{c, s} }

type jsonService struct {
	cloud *Cloud
	JSONService
}

// Serves reports whether host is the service's.
func (s jsonService) Serves(host string) bool { return serves(host, s.Name) }

// Operation is what X-Amz-Target names, or the path.
func (s jsonService) Operation(c *pocket.Call) string {
	if s.Route != nil {
		return s.Route(c.Method, c.URL.Path)
	}
	operation, _ := strings.CutPrefix(c.Header.Get("X-Amz-Target"), s.Target+".")
	return operation
}

// Serve answers the request.
func (s jsonService) Serve(w http.ResponseWriter, c *pocket.Call) {
	var result any
	r, err := s.authenticate(c)
	if err == nil {
		result, err = s.Perform(r)
	}
	if err != nil {
		s.fail(w, err)
		return
	}
	s.write(w, http.StatusOK, result)
}

func (s jsonService) authenticate(call *pocket.Call) (*Request, error) {
	r, refused, err := s.cloud.request(call, cmp.Or(s.Prefix, s.Name))
	if err != nil {
		return nil, err
	}
	if refused != nil {
		return nil, &Failure{Code: commonNamespace + refused.json.code, Message: refused.json.message}
	}
	r.Operation = s.Operation(call)
	return r, nil
}

// request makes the request of a call to a service whose actions begin with prefix. Only here the
// cloud is locked: the caller's policies are read now and decide later.
func (c *Cloud) request(call *pocket.Call, prefix string) (*Request, *authFailure, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, _ := parseHost(call.Host)
	who, refused, err := c.authenticate(call, e)
	if err != nil || refused != nil {
		return nil, refused, err
	}
	return &Request{
		Context: call.Context(), Body: call.Body, Account: who.name.Account, Partition: who.partition, Region: string(e.region),
		Now: c.cfg.Now(), service: prefix, who: who, context: c.requestContext(call, e, who),
	}, nil, nil
}

// Refuse answers as the service does when it denies, throttles or fails.
func (s jsonService) Refuse(w http.ResponseWriter, c *pocket.Call, kind pocket.FaultKind) {
	switch kind {
	case pocket.Throttle:
		s.fail(w, &s.Throttled)
	case pocket.ServerError:
		s.fail(w, &s.Broken)
	default:
		s.fail(w, &Failure{
			Code: commonNamespace + "AccessDeniedException", Message: s.cloud.faultMessage(c, kind, cmp.Or(s.Prefix, s.Name)+":"+s.Operation(c)),
		})
	}
}

func (s jsonService) fail(w http.ResponseWriter, err error) {
	f, ok := errors.AsType[*Failure](err)
	if !ok {
		broken := s.Broken
		broken.Message = err.Error()
		f = &broken
	}
	body := map[string]any{"message": f.Message}
	maps.Copy(body, f.Members)
	body["__type"] = f.Code
	if _, name, namespaced := strings.Cut(f.Code, "#"); s.Namespace == "" && namespaced {
		body["__type"] = name
	} else if !namespaced {
		body["__type"] = s.Namespace + f.Code
	}
	status := f.Status
	if status == 0 {
		status = http.StatusBadRequest
	}
	s.write(w, status, body)
}

func (s jsonService) write(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		panic(err) // answers are made of what always marshals
	}
	w.Header().Set("Content-Type", s.ContentType)
	w.Header().Set("X-Amzn-Requestid", newUUID())
	if s.Checksum {
		w.Header().Set("X-Amz-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE(text)), 10))
	}
	w.WriteHeader(status)
	w.Write(text) //nolint:errcheck // the client is gone
}
