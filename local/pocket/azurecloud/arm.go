package azurecloud

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"latchkey/local/pocket"
	"latchkey/shared/atlas"
)

// armService is the part of Azure Resource Manager that manages key vaults, private endpoints to
// them, and role assignments. The administrator may do everything, applications what a role
// assignment lets them do: read vaults, and manage private endpoints. Names in paths are case-insensitive.
type armService struct{ *Cloud }

// Serves reports whether host is Azure Resource Manager.
func (s armService) Serves(host string) bool {
	_, ok := environmentOf(host, atlas.AzureEnvironment.ManagementHost)
	return ok
}

// The markers in the paths of the resources that are served.
const (
	vaultsMarker      = "/providers/microsoft.keyvault/vaults/"
	assignmentsMarker = "/providers/microsoft.authorization/roleassignments/"
	locationsMarker   = "/providers/microsoft.keyvault/locations/"
)

// Operation is the method and the kind of resource: "PUT vaults", "DELETE roleAssignments".
func (s armService) Operation(c *pocket.Call) string {
	path := strings.ToLower(c.URL.Path)
	switch {
	case strings.Contains(path, endpointsMarker):
		return c.Method + " privateEndpoints"
	case strings.Contains(path, "/"+connectionsAction):
		return c.Method + " privateEndpointConnections"
	case strings.Contains(path, assignmentsMarker):
		return c.Method + " roleAssignments"
	case strings.Contains(path, "/accesspolicies/"):
		return c.Method + " accessPolicies"
	case strings.Contains(path, "/deletedvaults/"):
		return c.Method + " deletedVaults"
	}
	return c.Method + " vaults"
}

// Refuse answers as Resource Manager does.
func (s armService) Refuse(w http.ResponseWriter, c *pocket.Call, kind pocket.FaultKind) {
	begin(w)
	writeError(w, refusal(w, kind, "AuthorizationFailed", "The client does not have authorization to perform action over scope '"+c.URL.Path+"' or the scope is invalid."))
}

// Serve answers a request: who asks, then what about.
func (s armService) Serve(w http.ResponseWriter, c *pocket.Call) {
	begin(w)
	if !s.isAdmin(c.Request) {
		s.serveApplication(w, c)
		return
	}
	tenantID, err := s.adminTenant(c.Request)
	if err != nil {
		writeError(w, refuse(http.StatusBadRequest, "BadRequest", "%v", err))
		return
	}
	if !versioned(w, c) {
		return
	}
	path := strings.ToLower(c.URL.Path)
	if len(path) != len(c.URL.Path) { // positions in one must be positions in the other
		writeError(w, refuse(http.StatusBadRequest, "InvalidRequestUri", "Names of resources are ASCII."))
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case strings.Contains(path, endpointsMarker) && !strings.Contains(path, "roleassignments"):
		s.serveEndpoint(w, c, nil)
	case strings.Contains(path, assignmentsMarker):
		s.assignments(w, c)
	case strings.Contains(path, locationsMarker) && strings.HasSuffix(path, "/purge") && c.Method == http.MethodPost:
		s.purgeVault(w, c)
	case strings.Contains(path, vaultsMarker):
		s.vaults(w, c, tenantID)
	default:
		writeError(w, refuse(http.StatusNotFound, "InvalidResourceType", "The resource type could not be found here."))
	}
}

// versioned refuses requests without an API version.
func versioned(w http.ResponseWriter, c *pocket.Call) bool {
	if c.URL.Query().Get("api-version") != "" {
		return true
	}
	writeError(w, refuse(http.StatusBadRequest, "MissingApiVersionParameter", "The api-version query parameter (?api-version=) is required for all requests."))
	return false
}

// named is the vault that a path names, as it would be if it were new, and what follows it.
func (s armService) named(c *pocket.Call, tenantID string) (v vault, action string, err error) {
	path := strings.Split(strings.Trim(c.URL.Path, "/"), "/")
	if len(path) < 8 || !strings.EqualFold(path[0], "subscriptions") || !strings.EqualFold(path[2], "resourceGroups") ||
		!atlas.ValidUUID(path[1]) {
		return vault{}, "", refuse(http.StatusBadRequest, "InvalidRequestUri",
			"The path must be /subscriptions/{uuid}/resourceGroups/{group}/providers/Microsoft.KeyVault/vaults/{name}.")
	}
	name := path[7]
	if !atlas.ValidAzureVault(name) {
		return vault{}, "", refuse(http.StatusBadRequest, "VaultNameNotValid", "The vault name '%s' is invalid. A vault's name must be between 3-24 alphanumeric characters. The name must begin with a letter, end with a letter or digit, and not contain consecutive hyphens.", name)
	}
	env, _ := environmentOf(c.Host, atlas.AzureEnvironment.ManagementHost)
	return vault{
		Host: strings.ToLower(name) + "." + env.VaultSuffix(), Environment: env, Subscription: path[1], Group: path[3], Name: name,
		Tenant: tenantID, PublicAccess: "Enabled", RetentionDays: defaultRetention,
		ACLs: networkACLs{Bypass: "AzureServices", DefaultAction: "Allow"},
	}, strings.ToLower(strings.Join(path[8:], "/")), nil
}

func (s armService) vaults(w http.ResponseWriter, c *pocket.Call, tenantID string) {
	fresh, action, err := s.named(c, tenantID)
	if err != nil {
		writeError(w, err)
		return
	}
	old, found, err := s.vault(fresh.Host)
	if err != nil {
		writeError(w, err)
		return
	}
	if c.Method == http.MethodPut && action == "" {
		s.putVault(w, c, fresh, old, found)
		return
	}
	if !found || !old.DeletedAt.IsZero() || !strings.EqualFold(old.id(), fresh.id()) {
		writeError(w, noVault(fresh))
		return
	}
	kind, isPolicies := strings.CutPrefix(action, "accesspolicies/")
	connection, isConnections := strings.CutPrefix(action, connectionsAction)
	switch {
	case isConnections:
		s.connections(w, c, old, strings.TrimPrefix(connection, "/"))
	case isPolicies && c.Method == http.MethodPut:
		s.putPolicies(w, c, old, kind)
	case action != "":
		writeError(w, refuse(http.StatusNotFound, "InvalidResourceType", "The resource type %s could not be found here.", action))
	case c.Method == http.MethodGet:
		body, err := s.shown(old)
		answer(w, http.StatusOK, body, err)
	case c.Method == http.MethodPatch:
		s.saveVault(w, c, old, http.StatusOK)
	case c.Method == http.MethodDelete:
		old.DeletedAt = s.cfg.Now()
		answer(w, http.StatusOK, nil, s.cfg.State.Put(kindVault, old.Host, old))
	default:
		writeError(w, notAllowed(c))
	}
}

// putVault creates a vault, replaces its settings, or recovers a deleted one.
func (s armService) putVault(w http.ResponseWriter, c *pocket.Call, fresh, old vault, found bool) {
	var in vaultInput
	if err := decode(c.Body, &in); err != nil {
		writeError(w, err)
		return
	}
	deleted := found && !old.DeletedAt.IsZero()
	recovers := strings.EqualFold(in.Properties.CreateMode, "recover")
	status := http.StatusOK
	switch {
	case found && !strings.EqualFold(old.id(), fresh.id()):
		writeError(w, refuse(http.StatusConflict, "VaultAlreadyExists", "The vault name '%s' is already in use. Vault names are globally unique.", fresh.Name))
		return
	case deleted && !recovers:
		writeError(w, refuse(http.StatusConflict, "ConflictError", "A vault with the same name already exists in deleted state. You need to either recover or purge existing key vault."))
		return
	case deleted:
		fresh = old
		fresh.DeletedAt = time.Time{}
	case found:
		fresh.Policies, fresh.PurgeProtection, fresh.Tenant = old.Policies, old.PurgeProtection, old.Tenant
		fresh.Location, fresh.NoSoftDelete, fresh.RetentionDays = old.Location, old.NoSoftDelete, old.RetentionDays
	default:
		status = http.StatusCreated
		if in.Location == "" {
			writeError(w, refuse(http.StatusBadRequest, "LocationRequired", "The location property is required for this definition."))
			return
		}
	}
	s.saveVault(w, c, fresh, status)
}

func (s armService) saveVault(w http.ResponseWriter, c *pocket.Call, v vault, status int) {
	var in vaultInput
	if err := decode(c.Body, &in); err != nil {
		writeError(w, err)
		return
	}
	if err := in.apply(&v, s.cfg.Now(), s.cfg.Lag); err != nil {
		writeError(w, err)
		return
	}
	if err := s.ensureTenant(v.Tenant); err != nil {
		writeError(w, err)
		return
	}
	answer(w, status, v.body(), s.cfg.State.Put(kindVault, v.Host, v))
}

// putPolicies adds, replaces or removes access policies.
func (s armService) putPolicies(w http.ResponseWriter, c *pocket.Call, v vault, kind string) {
	var in vaultInput
	if err := decode(c.Body, &in); err != nil {
		writeError(w, err)
		return
	}
	if in.Properties.Policies == nil {
		writeError(w, refuse(http.StatusBadRequest, "BadRequest", "properties.accessPolicies is required."))
		return
	}
	named := *in.Properties.Policies
	kept := slices.DeleteFunc(slices.Clone(v.Policies.Now), func(p accessPolicy) bool {
		return slices.ContainsFunc(named, func(n accessPolicy) bool { return strings.EqualFold(n.ObjectID, p.ObjectID) })
	})
	switch kind {
	case "add", "replace":
		kept = append(kept, named...)
	case "remove":
	default:
		writeError(w, refuse(http.StatusBadRequest, "BadRequest", "The operation must be add, replace or remove."))
		return
	}
	v.Policies.set(kept, s.cfg.Now(), s.cfg.Lag)
	answer(w, http.StatusOK, v.body(), s.cfg.State.Put(kindVault, v.Host, v))
}

// purgeVault removes a deleted vault for good, with all its keys.
func (s armService) purgeVault(w http.ResponseWriter, c *pocket.Call) {
	path := strings.Split(strings.Trim(c.URL.Path, "/"), "/")
	env, _ := environmentOf(c.Host, atlas.AzureEnvironment.ManagementHost)
	name := path[len(path)-2]
	host := strings.ToLower(name) + "." + env.VaultSuffix()
	v, found, err := s.vault(host)
	switch {
	case err != nil:
	case !found || v.DeletedAt.IsZero():
		err = refuse(http.StatusNotFound, "DeletedVaultNotFound", "The specified deleted vault '%s' does not exist.", name)
	case v.PurgeProtection:
		err = refuse(http.StatusConflict, "MethodNotAllowed", "Operation 'DeletedVaultPurge' is not allowed because purge protection is enabled for this vault.")
	default:
		err = s.removeVault(v)
	}
	answer(w, http.StatusOK, nil, err)
}

func (s armService) removeVault(v vault) error {
	var ids []string
	err := s.cfg.State.Each(kindKey, func(id string, _ []byte) error {
		if strings.HasPrefix(id, v.Host+"/") {
			ids = append(ids, id)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := s.cfg.State.Delete(kindKey, id); err != nil {
			return err
		}
	}
	return s.cfg.State.Delete(kindVault, v.Host)
}
