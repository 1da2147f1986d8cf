package atlas

import (
	"strings"
)

// AzureEnvironment is one of Azure's clouds, which share nothing: not their tenants, not
// their addresses.
type AzureEnvironment string

// The environments that have key vaults (CONTRACT 3.1).
const (
	AzurePublic       AzureEnvironment = "AZURE"
	AzureChina        AzureEnvironment = "AZURE_CHINA"
	AzureUSGovernment AzureEnvironment = "AZURE_US_GOVERNMENT"
)

// AzureEnvironments lists the environments.
func AzureEnvironments() []AzureEnvironment {
	return []AzureEnvironment{AzurePublic, AzureChina, AzureUSGovernment}
}

// azureHosts are the addresses of one environment.
type azureHosts struct {
	vaults     string // DNS suffix of vaults, without a leading dot
	login      string // authority that issues tokens
	management string // Azure Resource Manager
	graph      string // Microsoft Graph
}

var azureHostsOf = map[AzureEnvironment]azureHosts{
	AzurePublic:       {"vault.azure.net", "login.microsoftonline.com", "management.azure.com", "graph.microsoft.com"},
	AzureChina:        {"vault.azure.cn", "login.chinacloudapi.cn", "management.chinacloudapi.cn", "microsoftgraph.chinacloudapi.cn"},
	AzureUSGovernment: {"vault.usgovcloudapi.net", "login.microsoftonline.us", "management.usgovcloudapi.net", "graph.microsoft.us"},
}

// ParseAzureEnvironment reads the wire name of an environment.
func ParseAzureEnvironment(s string) (AzureEnvironment, error) {
	if _, ok := azureHostsOf[AzureEnvironment(s)]; ok {
		return AzureEnvironment(s), nil
	}
	return "", Fail(AzureEnvironmentNotSupported, s).Hinting("It must be AZURE, AZURE_CHINA or AZURE_US_GOVERNMENT.")
}

// VaultSuffix is the domain that vaults are subdomains of; it is also the audience of the
// tokens they take, behind "https://".
func (e AzureEnvironment) VaultSuffix() string { return azureHostsOf[e].vaults }

// LoginHost is the host of the authority that issues tokens.
func (e AzureEnvironment) LoginHost() string { return azureHostsOf[e].login }

// ManagementHost is the host of Azure Resource Manager.
func (e AzureEnvironment) ManagementHost() string { return azureHostsOf[e].management }

// GraphHost is the host of Microsoft Graph.
func (e AzureEnvironment) GraphHost() string { return azureHostsOf[e].graph }

// maxVaultName is the length of the longest vault name; the shortest has minVaultName.
const (
	minVaultName = 3
	maxVaultName = 24
)

// Vault names are case-insensitive and the documents' own example uses capitals.
var (
	azureVault      = pattern(`^[A-Za-z](-?[A-Za-z0-9])+$`) // no hyphen twice in a row or at the end
	azureKeyName    = pattern(`^[A-Za-z0-9-]{1,127}$`)
	azureKeyVersion = pattern(`^[0-9a-f]{32}$`)
	// Letters and digits of any script, and no period at the end.
	azureGroup = pattern(`^[\p{L}\p{N}_().-]{0,89}[\p{L}\p{N}_()-]$`)
	uuid       = pattern(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)
)

// ValidUUID reports whether s has the form of a UUID, as client, tenant and subscription ids
// do. Azure compares them without regard to case.
func ValidUUID(s string) bool { return uuid().MatchString(s) }

// ValidAzureVault reports whether s can be the name of a key vault: 3 to 24 letters, digits
// and single hyphens, the first a letter and the last not a hyphen.
func ValidAzureVault(s string) bool {
	return len(s) >= minVaultName && len(s) <= maxVaultName && azureVault().MatchString(s)
}

// ValidAzureResourceGroup reports whether s can be the name of a resource group. What is valid is
// one segment of a path that is no dot segment.
func ValidAzureResourceGroup(s string) bool { return azureGroup().MatchString(s) }

// ValidAzureKeyVersion reports whether s has the form of a key version.
func ValidAzureKeyVersion(s string) bool { return azureKeyVersion().MatchString(s) }

// AzureKeyID is the identifier of a key in Azure Key Vault. Make one with ParseAzureKeyID; the
// zero value names nothing.
type AzureKeyID struct {
	Environment AzureEnvironment
	Vault       string // as the tenant wrote it
	Name        string
	Version     string // "" for the version that is current when the key is used

	raw string
}

// ParseAzureKeyID reads https://<vault>.vault.azure.net/keys/<name>[/<version>], or the same
// in another environment's domain. What it accepts, String prints unchanged. The identifier
// is compared with a fixed form instead of being parsed as a URL: there is then no second
// spelling (user info, port, escapes, dot segments) of an address that we call.
func ParseAzureKeyID(s string) (AzureKeyID, error) {
	rest, isHTTPS := strings.CutPrefix(s, "https://")
	if !isHTTPS {
		return AzureKeyID{}, badAzureKeyID(s, "It must start with https://.")
	}
	parts := strings.Split(rest, "/")
	if len(parts) < 3 || len(parts) > 4 || parts[1] != "keys" {
		return AzureKeyID{}, badAzureKeyID(s, "It must have the form https://<vault>.vault.azure.net/keys/<name>/<version>.")
	}
	id := AzureKeyID{Name: parts[2], raw: s}
	vault, domain, _ := strings.Cut(parts[0], ".")
	for env, hosts := range azureHostsOf {
		if hosts.vaults == domain {
			id.Environment, id.Vault = env, vault
		}
	}
	switch {
	case id.Environment == "":
		return AzureKeyID{}, badAzureKeyID(s, "Its host is no key vault of a supported Azure environment.")
	case !ValidAzureVault(vault):
		return AzureKeyID{}, badAzureKeyID(s, "Vault names have 3 to 24 letters, digits and single hyphens and start with a letter.")
	case !azureKeyName().MatchString(id.Name):
		return AzureKeyID{}, badAzureKeyID(s, "Key names have 1 to 127 letters, digits and hyphens.")
	}
	if len(parts) == 4 {
		id.Version = parts[3]
		if !ValidAzureKeyVersion(id.Version) {
			return AzureKeyID{}, badAzureKeyID(s, "A key version has 32 lower-case hexadecimal digits.")
		}
	}
	return id, nil
}

// VaultURL is the address of the vault, in lower case.
func (id AzureKeyID) VaultURL() string {
	return "https://" + strings.ToLower(id.Vault) + "." + id.Environment.VaultSuffix()
}

// At is the identifier of the given version of the same key.
func (id AzureKeyID) At(version string) AzureKeyID {
	base := strings.TrimSuffix(id.raw, "/"+id.Version)
	id.Version, id.raw = version, base+"/"+version
	return id
}

// Same reports whether both name the same key, whatever their versions. Azure compares the
// names of vaults and keys without regard to case.
func (id AzureKeyID) Same(other AzureKeyID) bool {
	return id.Environment == other.Environment && strings.EqualFold(id.Vault, other.Vault) && strings.EqualFold(id.Name, other.Name)
}

// String is the identifier as it was parsed.
func (id AzureKeyID) String() string { return id.raw }

func badAzureKeyID(s, why string) *Error {
	const shown = 256 // enough to recognise it; an attacker's megabyte is not echoed
	if len(s) > shown {
		s = s[:shown]
	}
	return Fail(AzureKeyIdentifierInvalid, strings.ToValidUTF8(s, "")).Hinting("%s", why)
}
