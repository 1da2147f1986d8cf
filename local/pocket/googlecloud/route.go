package googlecloud

import (
	"net/http"
	"strings"
	"time"

	"latchkey/local/pocket"
)

// request is one authenticated call.
type request struct {
	*pocket.Call
	vars      []string // what the wildcards of the route's pattern matched
	resource  string   // what the permission is checked on
	operation string
	caller    principal
	now       time.Time
}

// path is the resource path without the version prefix and without a custom verb.
func (r *request) path() string {
	path, _ := splitVerb(r.URL.Path)
	return strings.TrimPrefix(path, "/v1/")
}

// project is the project that the path names, "" if it names none.
func (r *request) project() string {
	if len(r.vars) > 0 && r.vars[0] != "-" {
		return r.vars[0]
	}
	return ""
}

// route is one method of one API.
type route struct {
	method     string
	pattern    string // after "/v1/"; "*" matches one segment
	verb       string // custom verb after the last colon
	operation  string
	permission string                                     // "" needs none beyond a valid caller
	resource   func(*Cloud, *request) (string, error)     // on which the permission is checked
	serve      func(*Cloud, *request) (body any, e error) // nil marks the zero route
}

// match finds the route of a call. The zero route means that there is none.
func match(call *pocket.Call) (route, []string) {
	path, verb := splitVerb(call.URL.Path)
	rest, ok := strings.CutPrefix(path, "/v1/")
	if !ok {
		return route{}, nil
	}
	segments := strings.Split(rest, "/")
	for _, r := range routes[call.Host] {
		if r.method != call.Method || r.verb != verb {
			continue
		}
		if vars, ok := matchPattern(r.pattern, segments); ok {
			return r, vars
		}
	}
	return route{}, nil
}

// splitVerb splits a custom verb off the last segment: "keys/k:encrypt" is "keys/k" and
// "encrypt". A colon elsewhere belongs to a domain-scoped project.
func splitVerb(path string) (rest, verb string) {
	colon := strings.LastIndexByte(path, ':')
	if colon < 0 || strings.IndexByte(path[colon:], '/') >= 0 {
		return path, ""
	}
	return path[:colon], path[colon+1:]
}

func matchPattern(pattern string, segments []string) (vars []string, ok bool) {
	want := strings.Split(pattern, "/")
	if len(want) != len(segments) {
		return nil, false
	}
	for i, w := range want {
		switch {
		case w == "*" && segments[i] != "":
			vars = append(vars, segments[i])
		case w != segments[i]:
			return nil, false
		}
	}
	return vars, true
}

// byPath checks the permission on what the path names.
func byPath(_ *Cloud, r *request) (string, error) { return r.path(), nil }

// byParent checks it on the resource that holds the collection: "…/keyRings/r/cryptoKeys" is
// checked on the key ring.
func byParent(_ *Cloud, r *request) (string, error) { return parent(r.path()), nil }

// byGrandparent checks it on the resource that holds the named one: versions have no policy
// of their own, and Google names the key.
func byGrandparent(_ *Cloud, r *request) (string, error) { return parent(parent(r.path())), nil }

func parent(name string) string {
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		return name[:i]
	}
	return ""
}

const (
	ringPattern    = "projects/*/locations/*/keyRings/*"
	keyPattern     = ringPattern + "/cryptoKeys/*"
	versionPattern = keyPattern + "/cryptoKeyVersions/*"
	accountPattern = "projects/*/serviceAccounts/*"
)

// routes are the methods of each host.
var routes = map[string][]route{
	kmsHost:         kmsRoutes,
	iamHost:         iamRoutes,
	credentialsHost: {{http.MethodPost, accountPattern, "generateAccessToken", "GenerateAccessToken", "iam.serviceAccounts.getAccessToken", byAccount, (*Cloud).generateAccessToken}},
	projectsHost:    policyRoutes("projects/*", "resourcemanager.projects", byPath),
	servicesHost: {
		{http.MethodPost, "projects/*/services/*", "enable", "EnableService", "serviceusage.services.enable", byProject, (*Cloud).enableService},
		{http.MethodPost, "projects/*/services/*", "disable", "DisableService", "serviceusage.services.disable", byProject, (*Cloud).disableService},
	},
	billingHost: {
		{http.MethodPut, "projects/*/billingInfo", "", "UpdateProjectBillingInfo", "resourcemanager.projects.createBillingAssignment", byProject, (*Cloud).updateBilling},
	},
}

// policyRoutes are the IAM methods of one kind of resource. Cloud KMS reads a policy with
// GET, the other services with POST; both are taken everywhere.
func policyRoutes(pattern, kind string, resource func(*Cloud, *request) (string, error)) []route {
	return []route{
		{http.MethodGet, pattern, "getIamPolicy", "GetIamPolicy", kind + ".getIamPolicy", resource, (*Cloud).getPolicy},
		{http.MethodPost, pattern, "getIamPolicy", "GetIamPolicy", kind + ".getIamPolicy", resource, (*Cloud).getPolicy},
		{http.MethodPost, pattern, "setIamPolicy", "SetIamPolicy", kind + ".setIamPolicy", resource, (*Cloud).setPolicy},
		{http.MethodPost, pattern, "testIamPermissions", "TestIamPermissions", "", resource, (*Cloud).testPermissions},
	}
}

var kmsRoutes = append([]route{
	{http.MethodPost, "projects/*/locations/*/keyRings", "", "CreateKeyRing", "cloudkms.keyRings.create", byParent, (*Cloud).createKeyRing},
	{http.MethodGet, "projects/*/locations/*/keyRings", "", "ListKeyRings", "cloudkms.keyRings.list", byParent, (*Cloud).listKeyRings},
	{http.MethodGet, ringPattern, "", "GetKeyRing", "cloudkms.keyRings.get", byPath, (*Cloud).getKeyRing},
	{http.MethodPost, ringPattern + "/cryptoKeys", "", "CreateCryptoKey", "cloudkms.cryptoKeys.create", byParent, (*Cloud).createKey},
	{http.MethodGet, ringPattern + "/cryptoKeys", "", "ListCryptoKeys", "cloudkms.cryptoKeys.list", byParent, (*Cloud).listKeys},
	{http.MethodGet, keyPattern, "", "GetCryptoKey", "cloudkms.cryptoKeys.get", byPath, (*Cloud).getKey},
	{http.MethodPatch, keyPattern, "", "UpdateCryptoKey", "cloudkms.cryptoKeys.update", byPath, (*Cloud).updateKey},
	{http.MethodPost, keyPattern, "updatePrimaryVersion", "UpdateCryptoKeyPrimaryVersion", "cloudkms.cryptoKeys.update", byPath, (*Cloud).updatePrimary},
	{http.MethodPost, keyPattern, "encrypt", "Encrypt", "cloudkms.cryptoKeyVersions.useToEncrypt", byPath, (*Cloud).encrypt},
	{http.MethodPost, versionPattern, "encrypt", "Encrypt", "cloudkms.cryptoKeyVersions.useToEncrypt", byGrandparent, (*Cloud).encrypt},
	{http.MethodPost, keyPattern, "decrypt", "Decrypt", "cloudkms.cryptoKeyVersions.useToDecrypt", byPath, (*Cloud).decrypt},
	{http.MethodPost, keyPattern + "/cryptoKeyVersions", "", "CreateCryptoKeyVersion", "cloudkms.cryptoKeyVersions.create", byParent, (*Cloud).createVersion},
	{http.MethodGet, keyPattern + "/cryptoKeyVersions", "", "ListCryptoKeyVersions", "cloudkms.cryptoKeyVersions.list", byParent, (*Cloud).listVersions},
	{http.MethodGet, versionPattern, "", "GetCryptoKeyVersion", "cloudkms.cryptoKeyVersions.get", byGrandparent, (*Cloud).getVersion},
	{http.MethodPatch, versionPattern, "", "UpdateCryptoKeyVersion", "cloudkms.cryptoKeyVersions.update", byGrandparent, (*Cloud).updateVersion},
	{http.MethodPost, versionPattern, "destroy", "DestroyCryptoKeyVersion", "cloudkms.cryptoKeyVersions.destroy", byGrandparent, (*Cloud).destroyVersion},
	{http.MethodPost, versionPattern, "restore", "RestoreCryptoKeyVersion", "cloudkms.cryptoKeyVersions.restore", byGrandparent, (*Cloud).restoreVersion},
}, append(policyRoutes(ringPattern, "cloudkms.keyRings", byPath), policyRoutes(keyPattern, "cloudkms.cryptoKeys", byPath)...)...)

var iamRoutes = append([]route{
	{http.MethodPost, "projects/*/serviceAccounts", "", "CreateServiceAccount", "iam.serviceAccounts.create", byProject, (*Cloud).createAccount},
	{http.MethodGet, "projects/*/serviceAccounts", "", "ListServiceAccounts", "iam.serviceAccounts.list", byProject, (*Cloud).listAccounts},
	{http.MethodGet, accountPattern, "", "GetServiceAccount", "iam.serviceAccounts.get", byAccount, (*Cloud).getAccount},
	{http.MethodDelete, accountPattern, "", "DeleteServiceAccount", "iam.serviceAccounts.delete", byAccount, (*Cloud).deleteAccount},
	{http.MethodPost, accountPattern, "disable", "DisableServiceAccount", "iam.serviceAccounts.disable", byAccount, (*Cloud).disableAccount},
	{http.MethodPost, accountPattern, "enable", "EnableServiceAccount", "iam.serviceAccounts.enable", byAccount, (*Cloud).enableAccount},
	{http.MethodPost, accountPattern + "/keys", "", "CreateServiceAccountKey", "iam.serviceAccountKeys.create", byAccount, (*Cloud).createAccountKey},
	{http.MethodGet, accountPattern + "/keys", "", "ListServiceAccountKeys", "iam.serviceAccountKeys.list", byAccount, (*Cloud).listAccountKeys},
	{http.MethodGet, accountPattern + "/keys/*", "", "GetServiceAccountKey", "iam.serviceAccountKeys.get", byAccount, (*Cloud).getAccountKey},
	{http.MethodDelete, accountPattern + "/keys/*", "", "DeleteServiceAccountKey", "iam.serviceAccountKeys.delete", byAccount, (*Cloud).deleteAccountKey},
	{http.MethodPost, accountPattern + "/keys/*", "disable", "DisableServiceAccountKey", "iam.serviceAccountKeys.disable", byAccount, (*Cloud).disableAccountKey},
	{http.MethodPost, accountPattern + "/keys/*", "enable", "EnableServiceAccountKey", "iam.serviceAccountKeys.enable", byAccount, (*Cloud).enableAccountKey},
}, policyRoutes(accountPattern, "iam.serviceAccounts", byAccount)...)

// byProject checks the permission on the project that the path names.
func byProject(_ *Cloud, r *request) (string, error) { return "projects/" + r.vars[0], nil }
