package googlecloud

import (
	"slices"
	"strings"
)

// roles are the predefined roles that are here, each with the permissions that matter here. A
// trailing "*" matches every permission that begins so.
var roles = map[string][]string{
	"roles/owner": {"*"},
	"roles/cloudkms.admin": {
		"cloudkms.keyRings.*", "cloudkms.cryptoKeys.*", "cloudkms.cryptoKeyVersions.create", "cloudkms.cryptoKeyVersions.destroy",
		"cloudkms.cryptoKeyVersions.get", "cloudkms.cryptoKeyVersions.list", "cloudkms.cryptoKeyVersions.restore",
		"cloudkms.cryptoKeyVersions.update",
	},
	"roles/cloudkms.cryptoKeyEncrypterDecrypter": {"cloudkms.cryptoKeyVersions.useToEncrypt", "cloudkms.cryptoKeyVersions.useToDecrypt"},
	"roles/cloudkms.cryptoKeyEncrypter":          {"cloudkms.cryptoKeyVersions.useToEncrypt"},
	"roles/cloudkms.cryptoKeyDecrypter":          {"cloudkms.cryptoKeyVersions.useToDecrypt"},
	"roles/cloudkms.viewer": {
		"cloudkms.keyRings.get", "cloudkms.keyRings.list", "cloudkms.cryptoKeys.get", "cloudkms.cryptoKeys.list",
		"cloudkms.cryptoKeyVersions.get", "cloudkms.cryptoKeyVersions.list",
	},
	"roles/cloudkms.publicKeyViewer": {"cloudkms.cryptoKeyVersions.viewPublicKey"},
	"roles/iam.serviceAccountTokenCreator": {
		"iam.serviceAccounts.getAccessToken", "iam.serviceAccounts.get", "iam.serviceAccounts.list",
	},
	"roles/iam.serviceAccountCreator":  {"iam.serviceAccounts.create", "iam.serviceAccounts.get", "iam.serviceAccounts.list"},
	"roles/iam.serviceAccountDeleter":  {"iam.serviceAccounts.delete", "iam.serviceAccounts.get", "iam.serviceAccounts.list"},
	"roles/iam.serviceAccountKeyAdmin": {"iam.serviceAccountKeys.*", "iam.serviceAccounts.get", "iam.serviceAccounts.list"},
	"roles/iam.serviceAccountAdmin": {
		"iam.serviceAccounts.create", "iam.serviceAccounts.delete", "iam.serviceAccounts.disable", "iam.serviceAccounts.enable",
		"iam.serviceAccounts.get", "iam.serviceAccounts.list", "iam.serviceAccounts.getIamPolicy", "iam.serviceAccounts.setIamPolicy",
	},
}

// grants reports whether a role holds a permission.
func grants(role, permission string) bool {
	return slices.ContainsFunc(roles[role], func(p string) bool {
		prefix, wild := strings.CutSuffix(p, "*")
		return p == permission || wild && strings.HasPrefix(permission, prefix)
	})
}
