package azurecloud

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"latchkey/local/pocket"
	"latchkey/shared/atlas"
)

// Role definition ids of the built-in roles that concern keys.
const (
	RoleAdministrator         = "00482a5a-887f-4fb3-b363-3b7fe8e74483" // Key Vault Administrator
	RoleCryptoOfficer         = "14b46e9e-c2b7-41b4-b07b-48a6ebf60603" // Key Vault Crypto Officer
	RoleCryptoUser            = "12338af0-0e69-4776-bea7-57ae8d297424" // Key Vault Crypto User
	RoleServiceEncryptionUser = "e147488a-f6f5-4113-8e2d-b22465e65bf6" // Key Vault Crypto Service Encryption User
	RoleReader                = "21090545-7ca7-4776-b22c-e363652d74d2" // Key Vault Reader
)

// Role definition ids of the built-in roles that concern vaults as resources.
const (
	RoleOwner            = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635" // Owner
	RoleContributor      = "b24988ac-6180-42a0-ab88-20f7382dd24c" // Contributor
	RoleGeneralReader    = "acdd72a7-3385-48ef-bd42-f606fba820ae" // Reader
	RoleVaultContributor = "f25e0fa2-a7cd-4377-a976-54943a77a395" // Key Vault Contributor
	// RoleNetworkContributor is the role of who manages networks.
	RoleNetworkContributor = "4d97b98b-1d4f-4787-a291-c67834d212e7" // Network Contributor
)

// The management actions that an application can be allowed here.
const (
	readVaults      = "Microsoft.KeyVault/vaults/read"
	readEndpoints   = "Microsoft.Network/privateEndpoints/read"
	writeEndpoints  = "Microsoft.Network/privateEndpoints/write"
	deleteEndpoints = "Microsoft.Network/privateEndpoints/delete"
)

// actions are what the roles allow at Resource Manager.
var actions = map[string][]string{
	RoleOwner: {"*"}, RoleContributor: {"*"}, RoleGeneralReader: {readVaults, readEndpoints}, RoleVaultContributor: {readVaults},
	RoleNetworkContributor: {readEndpoints, writeEndpoints, deleteEndpoints},
}

// dataActions are what the roles allow, behind "Microsoft.KeyVault/vaults/keys/"; "*" is all.
var dataActions = map[string][]string{
	RoleAdministrator: {"*"},
	RoleCryptoOfficer: {"*"},
	RoleCryptoUser: {
		"read", "update/action", "backup/action", "encrypt/action", "decrypt/action", "wrap/action", "unwrap/action",
		"sign/action", "verify/action",
	},
	RoleServiceEncryptionUser: {"read", "wrap/action", "unwrap/action"},
	RoleReader:                {"read"},
}

// assignment gives a principal a role in a scope. Removed ones stay as tombstones, so that a
// removal can take effect late too.
type assignment struct {
	ID        string         `json:"id"`
	Name      string         `json:"name"`
	Scope     string         `json:"scope"`
	Role      string         `json:"role"` // the definition's UUID
	Principal string         `json:"principal"`
	Granted   settling[bool] `json:"granted"`
}

func (a assignment) body() map[string]any {
	return map[string]any{
		"id": a.ID, "name": a.Name, "type": "Microsoft.Authorization/roleAssignments",
		"properties": map[string]any{
			"roleDefinitionId": "/providers/Microsoft.Authorization/roleDefinitions/" + a.Role,
			"principalId":      a.Principal, "principalType": "ServicePrincipal", "scope": a.Scope,
		},
	}
}

// covers reports whether a scope is a resource or one of those above it.
func covers(scope, resource string) bool {
	scope, resource = strings.ToLower(strings.TrimSuffix(scope, "/")), strings.ToLower(resource)
	return scope == resource || strings.HasPrefix(resource, scope+"/")
}

func (s armService) assignments(w http.ResponseWriter, c *pocket.Call) {
	marker := strings.Index(strings.ToLower(c.URL.Path), assignmentsMarker)
	scope, name := c.URL.Path[:marker], c.URL.Path[marker+len(assignmentsMarker):]
	if !atlas.ValidUUID(name) {
		writeError(w, refuse(http.StatusBadRequest, "InvalidRoleAssignmentId", "The role assignment ID '%s' is not valid. The role assignment ID must be a GUID.", name))
		return
	}
	id := strings.ToLower(c.URL.Path)
	var a assignment
	_, err := s.cfg.State.Get(kindAssignment, id, &a)
	exists := a.Granted.Now
	switch {
	case err != nil:
	case c.Method == http.MethodPut:
		s.assign(w, c, assignment{ID: c.URL.Path, Name: name, Scope: scope, Granted: a.Granted})
		return
	case !exists && c.Method == http.MethodDelete:
		w.WriteHeader(http.StatusNoContent)
		return
	case !exists:
		err = refuse(http.StatusNotFound, "RoleAssignmentNotFound", "The role assignment '%s' is not found.", name)
	case c.Method == http.MethodDelete:
		a.Granted.set(false, s.cfg.Now(), s.cfg.Lag)
		err = s.cfg.State.Put(kindAssignment, id, a)
	case c.Method != http.MethodGet:
		err = notAllowed(c)
	}
	answer(w, http.StatusOK, a.body(), err)
}

func (s armService) assign(w http.ResponseWriter, c *pocket.Call, a assignment) {
	var in struct {
		Properties struct {
			Role      string `json:"roleDefinitionId"`
			Principal string `json:"principalId"`
		} `json:"properties"`
	}
	if err := decode(c.Body, &in); err != nil {
		writeError(w, err)
		return
	}
	if a.Granted.Now {
		writeError(w, refuse(http.StatusConflict, "RoleAssignmentExists", "The role assignment already exists."))
		return
	}
	_, a.Role, _ = cutLast(strings.ToLower(in.Properties.Role), "/")
	a.Principal = strings.ToLower(in.Properties.Principal)
	if !atlas.ValidUUID(a.Role) || !atlas.ValidUUID(a.Principal) {
		writeError(w, refuse(http.StatusBadRequest, "BadRequestFormat", "properties.roleDefinitionId must end in a role's id and properties.principalId must be an object id."))
		return
	}
	a.Granted.set(true, s.cfg.Now(), s.cfg.Lag)
	answer(w, http.StatusCreated, a.body(), s.cfg.State.Put(kindAssignment, strings.ToLower(a.ID), a))
}

// grants reports whether a role assignment allows a principal an action on a resource; roles
// says what each role allows.
func (c *Cloud) grants(roles map[string][]string, principalID, action, resource string) (bool, error) {
	granted := false
	err := c.cfg.State.Each(kindAssignment, func(_ string, body []byte) error {
		var a assignment
		if err := json.Unmarshal(body, &a); err != nil {
			return err
		}
		allowed := roles[a.Role]
		if a.Principal == strings.ToLower(principalID) && covers(a.Scope, resource) && a.Granted.seen(c.cfg.Now(), c.cfg.Lag) &&
			(slices.Contains(allowed, action) || slices.Contains(allowed, "*")) {
			granted = true
		}
		return nil
	})
	return granted, err
}
