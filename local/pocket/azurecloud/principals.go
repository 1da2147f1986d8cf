package azurecloud

import (
	"encoding/json"
	"net/http"
	"strings"

	"latchkey/local/pocket"
)

type principalBody struct {
	ID             string `json:"id"`
	AppID          string `json:"appId"`
	DisplayName    string `json:"displayName"`
	AccountEnabled bool   `json:"accountEnabled"`
	Type           string `json:"servicePrincipalType"`
}

func (p principal) body() principalBody {
	return principalBody{
		ID: p.ObjectID, AppID: p.AppID, DisplayName: p.Name, AccountEnabled: p.Presence.Now.Enabled, Type: "Application",
	}
}

func (s graphService) servicePrincipals(w http.ResponseWriter, c *pocket.Call, tenantID, rest string) {
	if rest == "" {
		switch c.Method {
		case http.MethodPost:
			v, err := s.createPrincipal(c, tenantID)
			answer(w, http.StatusCreated, v, err)
		case http.MethodGet:
			s.listPrincipals(w, c, tenantID)
		default:
			writeError(w, notAllowed(c))
		}
		return
	}
	p, err := s.findPrincipal(tenantID, rest)
	if err != nil {
		writeError(w, err)
		return
	}
	switch c.Method {
	case http.MethodGet:
		writeJSON(w, http.StatusOK, p.body())
	case http.MethodPatch:
		answer(w, http.StatusNoContent, nil, s.patchPrincipal(c, p))
	case http.MethodDelete:
		p.Presence.set(state{}, s.cfg.Now(), s.cfg.Lag)
		answer(w, http.StatusNoContent, nil, s.cfg.State.Put(kindPrincipal, p.ObjectID, p))
	default:
		writeError(w, notAllowed(c))
	}
}

// createPrincipal admits an application to a tenant: one of the tenant's own or a
// multi-tenant one of another.
func (s graphService) createPrincipal(c *pocket.Call, tenantID string) (principalBody, error) {
	var in principalBody
	if err := decode(c.Body, &in); err != nil {
		return principalBody{}, err
	}
	app, found, err := s.app(in.AppID)
	if err != nil {
		return principalBody{}, err
	}
	if !found || (app.Tenant != tenantID && app.Audience != multiTenant) {
		return principalBody{}, refuse(http.StatusBadRequest, "Request_BadRequest",
			"The appId '%s' of the service principal does not reference a valid application object.", in.AppID)
	}
	if _, exists, err := s.principalOf(tenantID, app.AppID, present); err != nil || exists {
		if err == nil {
			err = refuse(http.StatusConflict, "Request_MultipleObjectsWithSameKeyValue",
				"The service principal cannot be created, updated, or restored because the service principal name %s is already in use.", app.AppID)
		}
		return principalBody{}, err
	}
	id, err := s.addPrincipal(app, tenantID, s.cfg.Now())
	if err != nil {
		return principalBody{}, err
	}
	p, err := s.findPrincipal(tenantID, id)
	return p.body(), err
}

// listPrincipals knows the one filter that people use: appId eq '…'.
func (s graphService) listPrincipals(w http.ResponseWriter, c *pocket.Call, tenantID string) {
	filter := c.URL.Query().Get("$filter")
	appID, isByApp := strings.CutPrefix(filter, "appId eq '")
	if filter != "" && !isByApp {
		writeError(w, refuse(http.StatusBadRequest, "Request_UnsupportedQuery", "Only the filter appId eq '…' is supported."))
		return
	}
	s.list(w, kindPrincipal, func(body []byte) (any, bool) {
		var p principal
		err := json.Unmarshal(body, &p)
		wanted := !isByApp || strings.EqualFold(p.AppID, strings.TrimSuffix(appID, "'"))
		return p.body(), err == nil && wanted && p.Tenant == tenantID && present(p)
	})
}

// findPrincipal finds a service principal by object id or, as "appId=…", by application id.
func (s graphService) findPrincipal(tenantID, id string) (principal, error) {
	var found principal
	err := s.eachPrincipal(func(p principal) {
		if p.Tenant == tenantID && present(p) && (p.ObjectID == id || "appId="+p.AppID == id) {
			found = p
		}
	})
	if err == nil && found.ObjectID == "" {
		err = noResource(id)
	}
	return found, err
}

func (s graphService) patchPrincipal(c *pocket.Call, p principal) error {
	var in struct {
		AccountEnabled *bool `json:"accountEnabled"`
	}
	if err := decode(c.Body, &in); err != nil {
		return err
	}
	if in.AccountEnabled == nil {
		return refuse(http.StatusBadRequest, "Request_BadRequest", "Only accountEnabled can be changed.")
	}
	p.Presence.set(state{Present: true, Enabled: *in.AccountEnabled}, s.cfg.Now(), s.cfg.Lag)
	return s.cfg.State.Put(kindPrincipal, p.ObjectID, p)
}
