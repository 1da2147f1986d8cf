// Package openapitest holds what is served against what the description of the API, docs/openapi.yaml,
// says of it.
//
// Its invariant: nothing passes that is not described. An answer has a described status, media type and
// headers, no member that its schema does not have, and an error code that is told of; a request that
// succeeds is as described, down to its query.
package openapitest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/go-chi/chi/v5"

	"latchkey/shared/atlas"
)

// codeHeader carries the error code of whatever is not refused by a gateway.
const codeHeader = "X-Error-Code"

// rolesKey is the extension that lists the roles of which an operation needs one.
const rolesKey = "x-roles"

// Description is the description of the API, and a record of what was held against it. It may be used
// by many at a time.
type Description struct {
	doc   *openapi3.T
	paths *chi.Mux

	mu   sync.Mutex
	seen map[string]bool
}

// Load reads a description.
func Load(file string) (*Description, error) {
	doc, err := openapi3.NewLoader().LoadFromFile(file)
	if err != nil {
		return nil, err
	}
	d := &Description{doc: doc, paths: chi.NewMux(), seen: map[string]bool{}}
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			d.paths.Method(method, path, http.NotFoundHandler())
		}
	}
	return d, nil
}

// Exchange is a request with its answer.
type Exchange struct {
	Request *http.Request // its body is not read
	Sent    []byte
	Status  int
	Header  http.Header
	Answer  []byte
	// Hostile is a request that was made to be wrong: it may succeed though it is not as described.
	Hostile bool
}

type hostileKey struct{}

// Hostile marks the requests that are made with a context as made to be wrong.
func Hostile(ctx context.Context) context.Context { return context.WithValue(ctx, hostileKey{}, true) }

// Around serves what next serves, and reports each exchange that is not as described.
func (d *Description) Around(next http.Handler, report func(error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent, err := io.ReadAll(r.Body)
		if err != nil {
			report(err)
		}
		r.Body = io.NopCloser(bytes.NewReader(sent))
		asked := r.Clone(context.WithoutCancel(r.Context()))
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, r)
		hostile, _ := r.Context().Value(hostileKey{}).(bool)
		x := Exchange{
			Request: asked, Sent: sent, Status: answer.Code, Header: answer.Header().Clone(), Answer: bytes.Clone(answer.Body.Bytes()), Hostile: hostile,
		}
		if err := d.Check(x); err != nil {
			report(err)
		}
		maps.Copy(w.Header(), answer.Header())
		w.WriteHeader(answer.Code)
		w.Write(x.Answer) //nolint:errcheck // the client is gone; there is nobody to tell
	})
}

// Check reports everything in which an exchange is not as described.
func (d *Description) Check(x Exchange) error {
	route, params := d.find(x.Request)
	if route == nil {
		if slices.Contains([]int{http.StatusUnauthorized, http.StatusNotFound, http.StatusMethodNotAllowed}, x.Status) {
			return nil
		}
		return fmt.Errorf("%s %s is not described, and is answered %d", x.Request.Method, x.Request.URL.Path, x.Status)
	}
	c := check{Exchange: x, route: route, version: version(route.Operation, x)}
	c.in = &openapi3filter.RequestValidationInput{
		Request: c.request(), Route: route, PathParams: params,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, MultiError: true},
	}
	var found []error
	if x.Status < http.StatusBadRequest && !x.Hostile {
		found = append(found, c.asked(), c.queried())
	}
	found = append(found, c.answered(), c.told(d.doc))
	d.note(c)
	if err := errors.Join(found...); err != nil {
		return fmt.Errorf("%s %s at %q is answered %d: %w\n%s", x.Request.Method, x.Request.URL, c.version, x.Status, err, x.Answer)
	}
	return nil
}

// find is the operation that a request is for, nil if none is described.
func (d *Description) find(r *http.Request) (route *routers.Route, params map[string]string) {
	at := chi.NewRouteContext()
	path := r.URL.Path
	if len(path) > 1 {
		path = strings.TrimSuffix(path, "/")
	}
	if !d.paths.Match(at, r.Method, path) {
		return nil, nil
	}
	params = map[string]string{}
	for i, name := range at.URLParams.Keys {
		params[name] = at.URLParams.Values[i]
	}
	item := d.doc.Paths.Find(at.RoutePattern())
	return &routers.Route{
		Spec: d.doc, Path: at.RoutePattern(), PathItem: item, Method: r.Method, Operation: item.GetOperation(r.Method),
	}, params
}

// check is the comparison of one exchange with its operation.
type check struct {
	Exchange

	route   *routers.Route
	in      *openapi3filter.RequestValidationInput
	version atlas.Version // "" if the operation has none
}

// versions are those that an operation has.
func versions(op *openapi3.Operation) []atlas.Version {
	list, _ := op.Extensions["x-versions"].([]any)
	all := make([]atlas.Version, len(list))
	for i, item := range list {
		text, _ := item.(string)
		all[i] = atlas.Version(text)
	}
	return all
}

// version is the one at which an exchange is held, "" if that is none.
func version(op *openapi3.Operation, x Exchange) atlas.Version {
	asked, _ := atlas.ParseAccept(x.Request.Header.Get("Accept"))
	v, _ := atlas.Resolve(asked, versions(op))
	return v
}

// request is the request with the media type of its version, for which application/json may stand.
func (c *check) request() *http.Request {
	r := c.Request.Clone(c.Request.Context())
	r.Body = io.NopCloser(bytes.NewReader(c.Sent))
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if c.version != "" && (media == "" || media == "application/json") {
		r.Header.Set("Content-Type", c.version.MediaType())
	}
	return r
}

func (c *check) asked() error {
	if err := openapi3filter.ValidateRequest(c.Request.Context(), c.in); err != nil {
		return fmt.Errorf("the request is not as described: %w\n%s", err, c.Sent)
	}
	return nil
}

// queried reports parameters of the query that are not described.
func (c *check) queried() error {
	known := []string{"pretty", "envelope"} // every operation has them
	for _, p := range slices.Concat(c.route.PathItem.Parameters, c.route.Operation.Parameters) {
		if p.Value.In == openapi3.ParameterInQuery {
			known = append(known, p.Value.Name)
		}
	}
	var unknown []error
	for name := range c.Request.URL.Query() {
		if !slices.Contains(known, name) {
			unknown = append(unknown, fmt.Errorf("the parameter %s is not described", name))
		}
	}
	return errors.Join(unknown...)
}

// answered compares the answer with its schema.
func (c *check) answered() error {
	response := c.route.Operation.Responses.Status(c.Status)
	switch {
	case response == nil && c.Status < http.StatusInternalServerError:
		return errors.New("the status is not described")
	case response == nil:
		response = c.route.Operation.Responses.Default()
	}
	body := c.Answer
	refusedBefore := c.Status >= http.StatusBadRequest && c.Header.Get(codeHeader) == "" // by the gateway, which knows of no envelopes
	if c.Request.URL.Query().Get("envelope") == "true" && !refusedBefore {
		var err error
		if body, err = opened(body); err != nil {
			return err
		}
	}
	if len(response.Value.Content) == 0 && len(body) > 0 {
		return errors.New("a body is not described")
	}
	out := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: c.in, Status: c.Status, Header: c.Header, Options: &openapi3filter.Options{MultiError: true},
	}
	return openapi3filter.ValidateResponse(c.Request.Context(), out.SetBodyBytes(body))
}

// opened takes an answer out of its envelope.
func opened(body []byte) ([]byte, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil || members["status"] == nil {
		return nil, errors.New("the answer has no envelope")
	}
	if content, has := members["content"]; has {
		return content, nil
	}
	delete(members, "status")
	return json.Marshal(members)
}

// told demands that an error code is told of with its status, there or in what every operation
// answers to a request that can't be read.
func (c *check) told(doc *openapi3.T) error {
	code := c.Header.Get(codeHeader)
	if code == "" || c.Status >= http.StatusInternalServerError {
		return nil
	}
	var texts []string
	if response := c.route.Operation.Responses.Status(c.Status); response != nil {
		texts = append(texts, *response.Value.Description)
	}
	if c.Status == http.StatusBadRequest {
		for _, name := range []string{"BadRequest", "Invalid"} {
			texts = append(texts, *doc.Components.Responses[name].Value.Description)
		}
	}
	if !strings.Contains(strings.Join(texts, ""), "`"+code+"`") {
		return fmt.Errorf("the code %s is not described", code)
	}
	return nil
}

// note records what was exercised.
func (d *Description) note(c check) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch told := c.Header.Get(codeHeader) != "" || c.route.Operation.Extensions[rolesKey] == nil; {
	case c.Status < http.StatusBadRequest:
		d.seen[succeeded(c.route.Operation, c.version)] = true
	case told: // by the operation, not by the gateway before it
		d.seen[refused(c.route.Operation)] = true
	}
}

func succeeded(op *openapi3.Operation, v atlas.Version) string {
	return strings.TrimSpace(op.OperationID + " " + string(v))
}

func refused(op *openapi3.Operation) string { return op.OperationID + " refused" }

// Operation is one of the description's.
type Operation struct {
	Method, Path string
	Versions     []atlas.Version
	HasBody      bool
}

// Operations lists all.
func (d *Description) Operations() []Operation {
	var all []Operation
	for path, item := range d.doc.Paths.Map() {
		for method, op := range item.Operations() {
			all = append(all, Operation{Method: method, Path: path, Versions: versions(op), HasBody: op.RequestBody != nil})
		}
	}
	slices.SortFunc(all, func(a, b Operation) int { return strings.Compare(a.Path+a.Method, b.Path+b.Method) })
	return all
}

// Missing lists what was never exercised: the success of an operation, at each of its versions, and
// its refusal, unless nothing is described that could refuse it or let it succeed.
func (d *Description) Missing() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var missing []string
	demand := func(what string) {
		if !d.seen[what] {
			missing = append(missing, what)
		}
	}
	for _, item := range d.doc.Paths.Map() {
		for _, op := range item.Operations() {
			if succeeds(op) {
				for _, v := range orNone(versions(op)) {
					demand(succeeded(op, v))
				}
			}
			if op.Security == nil || len(*op.Security) > 0 {
				demand(refused(op))
			}
		}
	}
	slices.Sort(missing)
	return missing
}

func orNone(all []atlas.Version) []atlas.Version {
	if len(all) == 0 {
		return []atlas.Version{""}
	}
	return all
}

func succeeds(op *openapi3.Operation) bool {
	for status := range op.Responses.Map() {
		if strings.HasPrefix(status, "2") {
			return true
		}
	}
	return false
}
