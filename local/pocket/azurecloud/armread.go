package azurecloud

import (
	"encoding/json"
	"net/http"
	"strings"

	"latchkey/local/pocket"
	"latchkey/shared/atlas"
)

// serveApplication answers an application: it may read a vault, or manage a private endpoint, if a
// role assignment says so.
// Like the real service it looks at the token first, then whether the subscription exists,
// then at permissions, and only then at the group and the vault.
func (s armService) serveApplication(w http.ResponseWriter, c *pocket.Call) {
	who, err := s.applicationOf(c)
	if err != nil {
		w.Header().Set("WWW-Authenticate", `Bearer authorization_uri="https://login.microsoftonline.com/common", error="invalid_token"`)
		writeError(w, err)
		return
	}
	if !versioned(w, c) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if strings.Contains(strings.ToLower(c.URL.Path), endpointsMarker) {
		s.serveEndpoint(w, c, &who)
		return
	}
	v, err := s.readVault(c, who)
	answer(w, http.StatusOK, v.body(), err)
}

// applicationOf reads the token of a request.
func (s armService) applicationOf(c *pocket.Call) (claims, error) {
	env, _ := environmentOf(c.Host, atlas.AzureEnvironment.ManagementHost)
	token, ok := bearer(c.Request)
	if !ok {
		return claims{}, refuse(http.StatusUnauthorized, "AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing.")
	}
	cl, err := s.open(token)
	now := s.cfg.Now().Unix()
	switch {
	case err != nil:
		return claims{}, refuse(http.StatusUnauthorized, "InvalidAuthenticationToken", "The access token is invalid.")
	case cl.Audience != "https://"+env.ManagementHost() || cl.Issuer != issuer(env, cl.Tenant):
		return claims{}, refuse(http.StatusUnauthorized, "InvalidAuthenticationTokenAudience", "The access token has been obtained for wrong audience or resource '%s'.", cl.Audience)
	case now < cl.NotBefore || now >= cl.Expires:
		return claims{}, refuse(http.StatusUnauthorized, "ExpiredAuthenticationToken", "The access token expiry UTC time is earlier than current UTC time.")
	}
	return cl, nil
}

// readVault finds the vault that a path names for an application that may read it.
func (s armService) readVault(c *pocket.Call, who claims) (vault, error) {
	wanted, action, err := s.named(c, who.Tenant)
	if err != nil {
		return vault{}, err
	}
	tenantID, hasGroup, err := s.locate(wanted)
	if err != nil {
		return vault{}, err
	}
	if tenantID == "" {
		return vault{}, refuse(http.StatusNotFound, "SubscriptionNotFound", "The subscription '%s' could not be found.", wanted.Subscription)
	}
	if !strings.EqualFold(tenantID, who.Tenant) {
		return vault{}, refuse(http.StatusUnauthorized, "InvalidAuthenticationTokenTenant", "The access token is from the wrong issuer '%s'. It must match the tenant '%s' associated with this subscription.", who.Issuer, tenantID)
	}
	mayRead, err := s.grants(actions, who.ObjectID, readVaults, wanted.id())
	if err != nil {
		return vault{}, err
	}
	if !mayRead || c.Method != http.MethodGet || action != "" {
		return vault{}, refuse(http.StatusForbidden, "AuthorizationFailed", "The client '%s' with object id '%s' does not have authorization to perform action '%s' over scope '%s' or the scope is invalid. If access was recently granted, please refresh your credentials.",
			who.AppID, who.ObjectID, readVaults, wanted.id())
	}
	v, found, err := s.vault(wanted.Host)
	switch {
	case err != nil:
		return vault{}, err
	case !hasGroup:
		return vault{}, refuse(http.StatusNotFound, "ResourceGroupNotFound", "Resource group '%s' could not be found.", wanted.Group)
	case !found || !v.DeletedAt.IsZero() || !strings.EqualFold(v.id(), wanted.id()):
		return vault{}, noVault(wanted)
	}
	return v, nil
}

func noVault(v vault) error {
	return refuse(http.StatusNotFound, "ResourceNotFound", "The Resource 'Microsoft.KeyVault/vaults/%s' under resource group '%s' was not found.", v.Name, v.Group)
}

// locate finds out whether the subscription and the resource group of a vault exist: those
// exist that have a vault. tenantID is the subscription's, "" if there is no subscription.
func (c *Cloud) locate(wanted vault) (tenantID string, hasGroup bool, err error) {
	err = c.cfg.State.Each(kindVault, func(_ string, body []byte) error {
		var v vault
		if err := json.Unmarshal(body, &v); err != nil {
			return err
		}
		if v.Environment != wanted.Environment || !strings.EqualFold(v.Subscription, wanted.Subscription) {
			return nil
		}
		tenantID = v.Tenant
		hasGroup = hasGroup || strings.EqualFold(v.Group, wanted.Group)
		return nil
	})
	return tenantID, hasGroup, err
}
