package azurecloud

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"latchkey/local/pocket"
	"latchkey/shared/atlas"
)

// vaultService is the data plane of every key vault: its keys.
type vaultService struct{ *Cloud }

// vaultEnvironment finds the environment of a vault's host.
func vaultEnvironment(host string) (atlas.AzureEnvironment, bool) {
	name, domain, _ := strings.Cut(host, ".")
	env, ok := environmentOf(domain, atlas.AzureEnvironment.VaultSuffix)
	return env, ok && name != ""
}

// Serves reports whether host can be a key vault.
func (s vaultService) Serves(host string) bool {
	_, ok := vaultEnvironment(host)
	return ok
}

// operation is one thing that can be done with keys.
type operation struct {
	name       string // as faults name it
	permission string // in access policies
	action     string // in roles, behind "Microsoft.KeyVault/vaults/keys/"
	key        string
	version    string
}

// keyActions are the operations that are named by the last segment of the path.
var keyActions = map[string]operation{
	"POST create":    {name: "CreateKey", permission: "create", action: "create/action"},
	"POST rotate":    {name: "RotateKey", permission: "rotate", action: "rotate/action"},
	"GET versions":   {name: "ListKeyVersions", permission: "list", action: "read"},
	"POST encrypt":   {name: "Encrypt", permission: "encrypt", action: "encrypt/action"},
	"POST decrypt":   {name: "Decrypt", permission: "decrypt", action: "decrypt/action"},
	"POST wrapkey":   {name: "WrapKey", permission: "wrapKey", action: "wrap/action"},
	"POST unwrapkey": {name: "UnwrapKey", permission: "unwrapKey", action: "unwrap/action"},
	"POST recover":   {name: "RecoverDeletedKey", permission: "recover", action: "recover/action"},
}

// keyMethods are the operations on a key or a version itself.
var keyMethods = map[string]operation{
	"GET keys":           {name: "GetKey", permission: "get", action: "read"},
	"PATCH keys":         {name: "UpdateKey", permission: "update", action: "update/action"},
	"DELETE keys":        {name: "DeleteKey", permission: "delete", action: "delete"},
	"GET deletedkeys":    {name: "GetDeletedKey", permission: "get", action: "read"},
	"DELETE deletedkeys": {name: "PurgeDeletedKey", permission: "purge", action: "purge/action"},
}

// readOnly operations read one document and change nothing, so they need not wait for those
// that make keys.
var readOnly = map[string]bool{
	"ListKeys": true, "GetKey": true, "ListKeyVersions": true, "GetDeletedKey": true,
	"Encrypt": true, "Decrypt": true, "WrapKey": true, "UnwrapKey": true,
}

// route finds what a request does. The SDK writes "keys/{name}//encrypt" for the current version.
func route(r *http.Request) (operation, bool) {
	path := strings.Split(strings.TrimPrefix(strings.TrimSuffix(r.URL.Path, "/"), "/"), "/")
	collection, rest := path[0], path[1:]
	if len(rest) == 0 {
		op := operation{name: "ListKeys", permission: "list", action: "read"}
		return op, r.Method == http.MethodGet && collection == "keys"
	}
	op, ok := keyActions[r.Method+" "+strings.ToLower(rest[len(rest)-1])]
	inDeleted := collection == "deletedkeys"
	if ok && len(rest) > 1 {
		op.key = rest[0]
		if len(rest) == 3 {
			op.version = rest[1]
		}
		return op, len(rest) <= 3 && inDeleted == (op.name == "RecoverDeletedKey")
	}
	op, ok = keyMethods[r.Method+" "+collection]
	op.key = rest[0]
	if len(rest) == 2 {
		op.version = rest[1]
	}
	return op, ok && (len(rest) == 1 || len(rest) == 2 && !inDeleted && r.Method != http.MethodDelete)
}

// Operation is the operation's name: "Decrypt", "GetKey".
func (s vaultService) Operation(c *pocket.Call) string {
	op, _ := route(c.Request)
	return op.name
}

// Refuse answers as Key Vault does.
func (s vaultService) Refuse(w http.ResponseWriter, c *pocket.Call, kind pocket.FaultKind) {
	begin(w)
	v, _, err := s.vault(c.Host)
	if err != nil {
		writeError(w, err)
		return
	}
	op, _ := route(c.Request)
	switch kind {
	case pocket.Deny:
		writeError(w, s.denied(v, caller{}, op))
	case pocket.Firewall:
		writeError(w, vault{Name: v.Name, Location: v.Location, ACLs: networkACLs{DefaultAction: "Deny"}}.admits(clientAddress(c)))
	case pocket.Throttle:
		w.Header().Set("Retry-After", "10")
		writeError(w, refuse(http.StatusTooManyRequests, "Throttled", "Request was not processed because too many requests were received. Reason: VaultRequestTypeLimitReached"))
	default:
		writeError(w, refuse(http.StatusServiceUnavailable, "ServiceUnavailable", "The service is unavailable. Please try again."))
	}
}

// Serve answers a request. Like the real service it asks for a token first, then looks at the
// caller's address, then at its permissions, then at the key.
func (s vaultService) Serve(w http.ResponseWriter, c *pocket.Call) {
	v, found, err := s.vault(c.Host)
	if err == nil && (!found || !v.DeletedAt.IsZero()) {
		unresolvable(w, c)
		return
	}
	if err == nil {
		if leads, lookErr := s.leadsTo(v, c); lookErr != nil || !leads {
			panic(http.ErrAbortHandler) // nothing answers at that address
		}
	}
	begin(w)
	w.Header().Set("X-Ms-Keyvault-Region", v.Location)
	if err != nil {
		writeError(w, err)
		return
	}
	who, err := s.authenticate(v, c.Request)
	if err != nil {
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer authorization="https://%s/%s", resource="https://%s"`,
			v.Environment.LoginHost(), v.Tenant, v.Environment.VaultSuffix()))
		writeError(w, err)
		return
	}
	op, err := s.authorize(v, who, c)
	if err != nil {
		writeError(w, err)
		return
	}
	if !readOnly[op.name] {
		s.mu.Lock()
		defer s.mu.Unlock()
	}
	s.perform(w, c, v, op)
}

// unresolvable answers for a vault that does not exist: its name does not resolve, so a
// client never connects. A client that uses this address as a proxy gets what proxies say.
func unresolvable(w http.ResponseWriter, c *pocket.Call) {
	if strings.HasPrefix(c.RequestURI, "http://") {
		http.Error(w, "could not resolve host: "+c.Host+" (no such vault)", http.StatusBadGateway)
		return
	}
	panic(http.ErrAbortHandler)
}

// caller is who makes a request.
type caller struct {
	admin bool
	claims
}

// String is the caller as error messages name it.
func (c caller) String() string {
	return fmt.Sprintf("appid=%s;oid=%s;iss=%s", c.AppID, c.ObjectID, c.Issuer)
}

func (s vaultService) authenticate(v vault, r *http.Request) (caller, error) {
	token, ok := bearer(r)
	if !ok {
		return caller{}, refuse(http.StatusUnauthorized, "Unauthorized", "AKV10000: Request is missing a Bearer or PoP token.")
	}
	if s.isAdmin(r) {
		return caller{admin: true}, nil
	}
	cl, err := s.open(token)
	now, audience, want := s.cfg.Now().Unix(), "https://"+v.Environment.VaultSuffix(), issuer(v.Environment, v.Tenant)
	switch {
	case err != nil:
		return caller{}, refuse(http.StatusUnauthorized, "Unauthorized", "Error validating token: IDX10511")
	case cl.Audience != audience:
		return caller{}, refuse(http.StatusUnauthorized, "Unauthorized", "AKV10022: Invalid audience. Expected %s, found: %s.", audience, cl.Audience)
	case cl.Issuer != want:
		return caller{}, refuse(http.StatusUnauthorized, "Unauthorized", "AKV10032: Invalid issuer. Expected one of %s, found %s.", want, cl.Issuer)
	case now < cl.NotBefore || now >= cl.Expires:
		return caller{}, refuse(http.StatusUnauthorized, "Unauthorized", "[TokenExpired] Error validating token: 'S2S12086'.")
	}
	return caller{claims: cl}, nil
}

func (s vaultService) authorize(v vault, who caller, c *pocket.Call) (operation, error) {
	if _, isPrivate := privateAddress(c); !isPrivate {
		if err := v.admits(clientAddress(c)); err != nil {
			return operation{}, err
		}
	}
	op, ok := route(c.Request)
	if !ok {
		return op, refuse(http.StatusNotFound, "NotFound", "The request path is not served: %s %s", c.Method, c.URL.Path)
	}
	if c.URL.Query().Get("api-version") == "" {
		return op, refuse(http.StatusBadRequest, "BadParameter", "api-version must be specified")
	}
	if who.admin {
		return op, nil
	}
	if v.RBAC {
		granted, err := s.grants(dataActions, who.ObjectID, op.action, v.id()+"/keys/"+op.key)
		if err == nil && !granted {
			err = s.denied(v, who, op)
		}
		return op, err
	}
	for _, p := range v.Policies.seen(s.cfg.Now(), s.cfg.Lag) {
		if strings.EqualFold(p.ObjectID, who.ObjectID) && p.allows(op.permission) {
			return op, nil
		}
	}
	return op, s.denied(v, who, op)
}

func (p accessPolicy) allows(permission string) bool {
	for _, k := range p.Permissions.Keys {
		if strings.EqualFold(k, permission) || strings.EqualFold(k, "all") {
			return true
		}
	}
	return false
}

// denied is the refusal of a caller without permission, in the words of the vault's
// permission model.
func (s vaultService) denied(v vault, who caller, op operation) error {
	if !v.RBAC {
		return refuse(http.StatusForbidden, "Forbidden",
			"The user, group or application '%s' does not have keys %s permission on key vault '%s;location=%s'. For help resolving this issue, please see https://go.microsoft.com/fwlink/?linkid=2125287",
			who, op.permission, v.Name, v.Location).because("ForbiddenByPolicy")
	}
	return refuse(http.StatusForbidden, "Forbidden",
		"Caller is not authorized to perform action on resource.\r\nIf role assignments, deny assignments or role definitions were changed recently, please observe propagation time.\r\nCaller: %s\r\nAction: 'Microsoft.KeyVault/vaults/keys/%s'\r\nResource: '%s/keys/%s'\r\nAssignment: (not found)\r\nDenyAssignmentId: null\r\nDecisionReason: null\r\nVault: %s;location=%s",
		who, op.action, strings.ToLower(v.id()), op.key, v.Name, v.Location).because("ForbiddenByRbac")
}

// clientAddress is where a request comes from; within the process, from this machine.
func clientAddress(c *pocket.Call) netip.Addr {
	host, _, err := net.SplitHostPort(c.RemoteAddr)
	if err != nil {
		host = c.RemoteAddr
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return addr.Unmap()
}
