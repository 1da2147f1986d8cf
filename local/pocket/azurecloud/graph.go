package azurecloud

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"latchkey/local/pocket"
	"latchkey/shared/atlas"
)

// graphService is the part of Microsoft Graph v1.0 that manages applications and service
// principals. Only the administrator may use it.
type graphService struct{ *Cloud }

// Serves reports whether host is Microsoft Graph.
func (s graphService) Serves(host string) bool {
	_, ok := environmentOf(host, atlas.AzureEnvironment.GraphHost)
	return ok
}

// Operation is the method and the collection: "POST applications".
func (s graphService) Operation(c *pocket.Call) string {
	collection, _, _ := strings.Cut(strings.TrimPrefix(c.URL.Path, "/v1.0/"), "/")
	collection, _, _ = strings.Cut(collection, "(")
	return c.Method + " " + collection
}

// Refuse answers as Graph does.
func (s graphService) Refuse(w http.ResponseWriter, _ *pocket.Call, kind pocket.FaultKind) {
	begin(w)
	writeError(w, refusal(w, kind, "Authorization_RequestDenied", "Insufficient privileges to complete the operation."))
}

// refusal is how Graph and Resource Manager refuse.
func refusal(w http.ResponseWriter, kind pocket.FaultKind, denied, message string) *apiError {
	switch kind {
	case pocket.Deny, pocket.Firewall:
		return refuse(http.StatusForbidden, denied, "%s", message)
	case pocket.Throttle:
		w.Header().Set("Retry-After", "10")
		return refuse(http.StatusTooManyRequests, "TooManyRequests", "Too many requests. Please retry later.")
	default:
		return refuse(http.StatusServiceUnavailable, "ServiceUnavailable", "The service is unavailable.")
	}
}

// Serve answers a request of the administrator.
func (s graphService) Serve(w http.ResponseWriter, c *pocket.Call) {
	begin(w)
	if !s.isAdmin(c.Request) {
		writeError(w, refuse(http.StatusUnauthorized, "InvalidAuthenticationToken", "Access token validation failure."))
		return
	}
	tenantID, err := s.adminTenant(c.Request)
	if err != nil {
		writeError(w, refuse(http.StatusBadRequest, "Request_BadRequest", "%v", err))
		return
	}
	path, ok := strings.CutPrefix(c.URL.Path, "/v1.0/")
	collection, rest, _ := strings.Cut(path, "/")
	collection, alternate, isAlternate := strings.Cut(collection, "(appId='")
	if isAlternate { // applications(appId='…') instead of applications/{id}
		rest = strings.Trim("appId="+strings.TrimSuffix(alternate, "')")+"/"+rest, "/")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case ok && collection == "applications":
		s.applications(w, c, tenantID, rest)
	case ok && collection == "servicePrincipals":
		s.servicePrincipals(w, c, tenantID, rest)
	default:
		writeError(w, refuse(http.StatusBadRequest, "BadRequest", "Resource not found for the segment '%s'.", collection))
	}
}

type appBody struct {
	ID          string           `json:"id"`
	AppID       string           `json:"appId"`
	DisplayName string           `json:"displayName"`
	Audience    string           `json:"signInAudience"`
	Passwords   []passwordOutput `json:"passwordCredentials"`
}

type passwordOutput struct {
	KeyID       string    `json:"keyId"`
	DisplayName string    `json:"displayName"`
	Hint        string    `json:"hint"`
	Start       time.Time `json:"startDateTime"`
	End         time.Time `json:"endDateTime"`
	SecretText  *string   `json:"secretText"`
}

func (a application) body() appBody {
	b := appBody{ID: a.ObjectID, AppID: a.AppID, DisplayName: a.Name, Audience: a.Audience, Passwords: []passwordOutput{}}
	for _, s := range a.Secrets {
		b.Passwords = append(b.Passwords, s.body())
	}
	return b
}

func (s secret) body() passwordOutput {
	return passwordOutput{KeyID: s.KeyID, DisplayName: s.Name, Hint: s.Hint, Start: s.Start, End: s.End}
}

func (s graphService) applications(w http.ResponseWriter, c *pocket.Call, tenantID, rest string) {
	id, action, _ := strings.Cut(rest, "/")
	if id == "" {
		switch c.Method {
		case http.MethodPost:
			v, err := s.createApp(c, tenantID)
			answer(w, http.StatusCreated, v, err)
		case http.MethodGet:
			s.list(w, kindApp, func(body []byte) (any, bool) {
				var a application
				err := json.Unmarshal(body, &a)
				return a.body(), err == nil && a.Tenant == tenantID
			})
		default:
			writeError(w, notAllowed(c))
		}
		return
	}
	app, err := s.findApp(tenantID, id)
	if err != nil {
		writeError(w, err)
		return
	}
	switch c.Method + " " + action {
	case "GET ":
		writeJSON(w, http.StatusOK, app.body())
	case "DELETE ":
		answer(w, http.StatusNoContent, nil, s.deleteApp(app))
	case "POST addPassword":
		v, err := s.addPassword(c, app)
		answer(w, http.StatusOK, v, err)
	case "POST removePassword":
		answer(w, http.StatusNoContent, nil, s.removePassword(c, app))
	default:
		writeError(w, notAllowed(c))
	}
}

func (s graphService) createApp(c *pocket.Call, tenantID string) (appBody, error) {
	in := appBody{Audience: singleTenant}
	if err := decode(c.Body, &in); err != nil {
		return appBody{}, err
	}
	if in.DisplayName == "" || (in.Audience != singleTenant && in.Audience != multiTenant) {
		return appBody{}, refuse(http.StatusBadRequest, "Request_BadRequest",
			"displayName is required and signInAudience must be %s or %s.", singleTenant, multiTenant)
	}
	app := application{ObjectID: newUUID(), AppID: newUUID(), Tenant: tenantID, Name: in.DisplayName, Audience: in.Audience}
	return app.body(), s.cfg.State.Put(kindApp, app.AppID, app)
}

// deleteApp deletes an application and its service principal at home. Those in other tenants
// stay, without use.
func (s graphService) deleteApp(app application) error {
	p, found, err := s.principalOf(app.Tenant, app.AppID, present)
	if err != nil {
		return err
	}
	if found {
		p.Presence.set(state{}, s.cfg.Now(), s.cfg.Lag)
		if err := s.cfg.State.Put(kindPrincipal, p.ObjectID, p); err != nil {
			return err
		}
	}
	return s.cfg.State.Delete(kindApp, app.AppID)
}

// findApp finds an application of a tenant by object id or, as "appId=…", by application id.
func (s graphService) findApp(tenantID, id string) (application, error) {
	var found application
	err := s.cfg.State.Each(kindApp, func(_ string, body []byte) error {
		var a application
		if err := json.Unmarshal(body, &a); err != nil {
			return err
		}
		if a.Tenant == tenantID && (a.ObjectID == id || "appId="+a.AppID == id) {
			found = a
		}
		return nil
	})
	if err == nil && found.AppID == "" {
		err = noResource(id)
	}
	return found, err
}

func noResource(id string) *apiError {
	return refuse(http.StatusNotFound, "Request_ResourceNotFound",
		"Resource '%s' does not exist or one of its queried reference-property objects are not present.", id)
}

func notAllowed(c *pocket.Call) *apiError {
	return refuse(http.StatusMethodNotAllowed, "Request_BadRequest", "Specified HTTP method %s is not allowed for the request target.", c.Method)
}

func (s graphService) addPassword(c *pocket.Call, app application) (passwordOutput, error) {
	var in struct {
		Credential struct {
			DisplayName string    `json:"displayName"`
			Start       time.Time `json:"startDateTime"`
			End         time.Time `json:"endDateTime"`
		} `json:"passwordCredential"`
	}
	if err := decode(c.Body, &in); err != nil {
		return passwordOutput{}, err
	}
	start, end := in.Credential.Start, in.Credential.End
	if start.IsZero() {
		start = s.cfg.Now()
	}
	if end.IsZero() {
		end = start.Add(secretLife)
	}
	text := newSecretText()
	added := newSecret(in.Credential.DisplayName, text, start, end)
	app.Secrets = append(app.Secrets, added)
	out := added.body()
	out.SecretText = &text
	return out, s.cfg.State.Put(kindApp, app.AppID, app)
}

func (s graphService) removePassword(c *pocket.Call, app application) error {
	var in struct {
		KeyID string `json:"keyId"`
	}
	if err := decode(c.Body, &in); err != nil {
		return err
	}
	kept := slices.DeleteFunc(slices.Clone(app.Secrets), func(s secret) bool { return s.KeyID == in.KeyID })
	if len(kept) == len(app.Secrets) {
		return refuse(http.StatusBadRequest, "Request_BadRequest", "No password credential found with keyId.")
	}
	app.Secrets = kept
	return s.cfg.State.Put(kindApp, app.AppID, app)
}

// list answers with every document that pick takes.
func (s graphService) list(w http.ResponseWriter, kind string, pick func([]byte) (any, bool)) {
	values := []any{}
	err := s.cfg.State.Each(kind, func(_ string, body []byte) error {
		if v, ok := pick(body); ok {
			values = append(values, v)
		}
		return nil
	})
	answer(w, http.StatusOK, map[string]any{"value": values}, err)
}
