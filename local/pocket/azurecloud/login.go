package azurecloud

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"latchkey/local/pocket"
	"latchkey/shared/atlas"
)

// loginService is Entra ID's authority: discovery documents and tokens for applications.
type loginService struct{ *Cloud }

// loginHosts are further names of the authorities of the environments.
var loginHosts = map[string]atlas.AzureEnvironment{
	"login.windows.net":                atlas.AzurePublic,
	"login.microsoft.com":              atlas.AzurePublic,
	"login.partner.microsoftonline.cn": atlas.AzureChina,
}

func loginEnvironment(host string) (atlas.AzureEnvironment, bool) {
	if env, ok := loginHosts[host]; ok {
		return env, true
	}
	return environmentOf(host, atlas.AzureEnvironment.LoginHost)
}

// Serves reports whether host is an authority.
func (s loginService) Serves(host string) bool {
	_, ok := loginEnvironment(host)
	return ok
}

// Operation is "Token", "OpenIDConfiguration" or "InstanceDiscovery".
func (s loginService) Operation(c *pocket.Call) string {
	switch path := c.URL.Path; {
	case strings.HasSuffix(path, "/token"):
		return "Token"
	case strings.HasSuffix(path, "/openid-configuration"):
		return "OpenIDConfiguration"
	case strings.HasSuffix(path, "/discovery/instance"):
		return "InstanceDiscovery"
	}
	return ""
}

// Refuse answers as Entra does when the tenant disabled the application, when a conditional
// access policy refuses its address, when it is too busy, and when it fails.
func (s loginService) Refuse(w http.ResponseWriter, c *pocket.Call, kind pocket.FaultKind) {
	begin(w)
	appID := formOf(c).Get("client_id")
	switch kind {
	case pocket.Deny:
		s.fail(w, appDisabled(appID))
	case pocket.Firewall:
		s.fail(w, aadsts{
			http.StatusBadRequest, "access_denied", 53003,
			"Access has been blocked by Conditional Access policies. The access policy does not allow token issuance.",
		})
	case pocket.Throttle:
		w.Header().Set("Retry-After", "10")
		s.fail(w, aadsts{http.StatusTooManyRequests, "temporarily_unavailable", 90055, "The request was throttled because there were too many requests."})
	default:
		s.fail(w, aadsts{http.StatusServiceUnavailable, "temporarily_unavailable", 90033, "A transient error has occurred. Please try again."})
	}
}

// Serve answers a discovery or token request.
func (s loginService) Serve(w http.ResponseWriter, c *pocket.Call) {
	begin(w)
	tenantID, path, _ := strings.Cut(strings.TrimPrefix(c.URL.Path, "/"), "/")
	switch {
	case c.Method == http.MethodGet && path == "discovery/instance":
		s.instance(w, c)
	case c.Method == http.MethodGet && strings.HasSuffix(path, ".well-known/openid-configuration"):
		s.configuration(w, c, tenantID)
	case c.Method == http.MethodPost && (path == "oauth2/v2.0/token" || path == "oauth2/token"):
		s.token(w, c, tenantID)
	default:
		http.NotFound(w, c.Request)
	}
}

func (s loginService) instance(w http.ResponseWriter, c *pocket.Call) {
	tenantID := "common"
	if u, err := url.Parse(c.URL.Query().Get("authorization_endpoint")); err == nil {
		if first, _, ok := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/"); ok {
			tenantID = first
		}
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"tenant_discovery_endpoint": "https://" + c.Host + "/" + tenantID + "/v2.0/.well-known/openid-configuration",
		"api-version":               "1.1",
		"metadata": []map[string]any{{
			"preferred_network": c.Host, "preferred_cache": c.Host, "aliases": []string{c.Host},
		}},
	})
}

func (s loginService) configuration(w http.ResponseWriter, c *pocket.Call, tenantID string) {
	known, err := s.tenantExists(tenantID)
	switch {
	case err != nil:
		writeError(w, err)
		return
	case !known:
		s.fail(w, noTenant(tenantID))
		return
	}
	base := "https://" + c.Host + "/" + tenantID
	writeJSON(w, http.StatusOK, map[string]any{
		"token_endpoint":                        base + "/oauth2/v2.0/token",
		"token_endpoint_auth_methods_supported": []string{"client_secret_post"},
		"authorization_endpoint":                base + "/oauth2/v2.0/authorize",
		"jwks_uri":                              base + "/discovery/v2.0/keys",
		"issuer":                                base + "/v2.0",
		"response_types_supported":              []string{"code"},
		"subject_types_supported":               []string{"pairwise"},
		"id_token_signing_alg_values_supported": []string{"EdDSA"},
	})
}

func formOf(c *pocket.Call) url.Values {
	form, err := url.ParseQuery(string(c.Body))
	if err != nil {
		return url.Values{}
	}
	return form
}

func (s loginService) token(w http.ResponseWriter, c *pocket.Call, tenantID string) {
	env, _ := loginEnvironment(c.Host)
	token, err := s.grant(env, strings.ToLower(tenantID), formOf(c))
	if err != nil {
		if refused, ok := errors.AsType[aadsts](err); ok {
			s.fail(w, refused)
			return
		}
		writeError(w, err)
		return
	}
	seconds := int(tokenLife.Seconds()) - 1 // as Entra counts
	w.Header().Set("Cache-Control", "no-store, no-cache")
	writeJSON(w, http.StatusOK, map[string]any{
		"token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds, "access_token": token,
	})
}

// grant checks a client credentials request in the order in which Entra does: the request, the
// tenant, the application, its secret, its presence in the tenant, the resource.
func (s loginService) grant(env atlas.AzureEnvironment, tenantID string, form url.Values) (string, error) {
	if form.Get("grant_type") != "client_credentials" {
		return "", aadsts{http.StatusBadRequest, "unsupported_grant_type", 70003, "The app requested an unsupported grant type '" + form.Get("grant_type") + "'."}
	}
	known, err := s.tenantExists(tenantID)
	if err != nil {
		return "", err
	}
	if !known {
		return "", noTenant(tenantID)
	}
	app, found, err := s.app(form.Get("client_id"))
	if err != nil {
		return "", err
	}
	if !found || (app.Tenant != tenantID && app.Audience != multiTenant) {
		return "", noApp(form.Get("client_id"), tenantID)
	}
	if err := s.authenticate(app, form); err != nil {
		return "", err
	}
	p, found, err := s.principalOf(tenantID, app.AppID, s.effective)
	switch {
	case err != nil:
		return "", err
	case !found:
		return "", aadsts{http.StatusUnauthorized, "invalid_client", 7000229, fmt.Sprintf(
			"The client application %s is missing service principal in the tenant %s. See instructions here: https://go.microsoft.com/fwlink/?linkid=2225119", app.AppID, tenantID)}
	case !p.Presence.seen(s.cfg.Now(), s.cfg.Lag).Enabled:
		return "", appDisabled(app.AppID)
	}
	audience, err := audienceOf(env, form)
	if err != nil {
		return "", err
	}
	return s.mint(env, p, audience), nil
}

func (s loginService) authenticate(app application, form url.Values) error {
	presented := form.Get("client_secret")
	if presented == "" {
		return aadsts{http.StatusUnauthorized, "invalid_client", 7000218, "The request body must contain the following parameter: 'client_assertion' or 'client_secret'."}
	}
	switch err := app.check(presented, s.cfg.Now()); {
	case errors.Is(err, errExpiredSecret):
		return aadsts{http.StatusUnauthorized, "invalid_client", 7000222, fmt.Sprintf(
			"The provided client secret keys for app '%s' are expired. Visit the Azure portal to create new keys for your app: https://aka.ms/NewClientSecret, or consider using certificate credentials for added security: https://aka.ms/certCreds.", app.AppID)}
	case err != nil:
		return aadsts{http.StatusUnauthorized, "invalid_client", 7000215, fmt.Sprintf(
			"Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '%s'.", app.AppID)}
	}
	return nil
}

// audienceOf is the resource that a token is asked for: v2.0 requests name it in a scope,
// v1 requests as it is.
func audienceOf(env atlas.AzureEnvironment, form url.Values) (string, error) {
	wanted := form.Get("resource")
	for scope := range strings.FieldsSeq(form.Get("scope")) {
		if r, ok := strings.CutSuffix(scope, "/.default"); ok {
			wanted = r
		}
	}
	wanted = strings.TrimSuffix(wanted, "/")
	for _, host := range []string{env.VaultSuffix(), env.ManagementHost(), env.GraphHost()} {
		if wanted == "https://"+host {
			return wanted, nil
		}
	}
	return "", aadsts{http.StatusBadRequest, "invalid_resource", 500011, fmt.Sprintf(
		"The resource principal named %s was not found in the tenant. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant.", wanted)}
}

// aadsts is a refusal in Entra's form.
type aadsts struct {
	status  int
	kind    string // OAuth error
	code    int
	message string
}

// Error makes an aadsts an error, so that helpers can return it.
func (e aadsts) Error() string { return "AADSTS" + strconv.Itoa(e.code) + ": " + e.message }

func noTenant(id string) aadsts {
	return aadsts{http.StatusBadRequest, "invalid_tenant", 90002, fmt.Sprintf(
		"Tenant '%s' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud. Check with your subscription administrator, this may happen if there are no active subscriptions for the tenant.", id)}
}

func noApp(appID, tenantID string) aadsts {
	return aadsts{http.StatusBadRequest, "unauthorized_client", 700016, fmt.Sprintf(
		"Application with identifier '%s' was not found in the directory '%s'. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You may have sent your authentication request to the wrong tenant.", appID, tenantID)}
}

func appDisabled(appID string) aadsts {
	return aadsts{http.StatusBadRequest, "unauthorized_client", 7000112, fmt.Sprintf("Application '%s' is disabled.", appID)}
}

// fail writes a refusal with the trace lines that Entra appends.
func (s loginService) fail(w http.ResponseWriter, e aadsts) {
	trace, correlation := newUUID(), newUUID()
	now := s.cfg.Now().UTC().Format("2006-01-02 15:04:05Z")
	w.Header().Set("X-Ms-Request-Id", trace)
	writeJSON(w, e.status, map[string]any{
		"error": e.kind,
		"error_description": e.Error() + " Trace ID: " + trace + " Correlation ID: " + correlation +
			" Timestamp: " + now,
		"error_codes": []int{e.code}, "timestamp": now, "trace_id": trace, "correlation_id": correlation,
		"error_uri": "https://login.microsoftonline.com/error?code=" + strconv.Itoa(e.code),
	})
}
