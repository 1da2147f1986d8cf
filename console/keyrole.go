package console

import (
	"slices"

	"latchkey/shared/atlas"
)

// keyRole is an access role, as far as keys are concerned with it.
type keyRole struct {
	id       string
	name     string // ARN, object id or e-mail address
	ready    bool   // it was authorised
	account  string // AWS: Latchkey's account, for the trust policy
	external string // AWS: the project's external id
	tenant   string // Azure: the directory
}

// rolesOf are the access roles of one provider.
func rolesOf(all atlas.CloudProviderAccess, p atlas.Provider) []keyRole {
	var roles []keyRole
	switch p {
	case atlas.AWS:
		for _, r := range all.AWSIAMRoles {
			roles = append(roles, keyRole{
				id: r.RoleID, name: text(r.IAMAssumedRoleARN), ready: r.AuthorizedDate != nil && text(r.IAMAssumedRoleARN) != "",
				account: r.AtlasAWSAccountARN, external: r.AtlasAssumedRoleExternalID,
			})
		}
	case atlas.Azure:
		for _, r := range all.AzureServicePrincipals {
			roles = append(roles, keyRole{id: r.ID, name: r.ServicePrincipalID, ready: true, tenant: r.TenantID})
		}
	case atlas.GCP:
		for _, r := range all.GCPServiceAccounts {
			roles = append(roles, keyRole{id: r.RoleID, name: r.GCPServiceAccountForApp, ready: r.GCPServiceAccountForApp != ""})
		}
	}
	return roles
}

// roleOf is the role with an id, the zero one if there is none.
func roleOf(all atlas.CloudProviderAccess, p atlas.Provider, id string) keyRole {
	for _, r := range rolesOf(all, p) {
		if r.id == id {
			return r
		}
	}
	return keyRole{}
}

// roleOptions are the choices of a form. Roles that are not authorised yet are named, so that nobody
// looks for them.
func roleOptions(roles []keyRole, p atlas.Provider) []Option {
	options := []Option{{Value: "", Text: "Choose one"}}
	for _, r := range roles {
		switch {
		case r.ready:
			options = append(options, Option{Value: r.id, Text: r.name})
		default:
			options = append(options, Option{Value: r.id, Text: or(r.name, roleWords[p]+" "+r.id) + " (not authorised yet)", Disabled: true})
		}
	}
	return options
}

// isReady reports whether a role can be chosen; with "" whether any can.
func isReady(roles []keyRole, id string) bool {
	return slices.ContainsFunc(roles, func(r keyRole) bool { return r.ready && (id == "" || r.id == id) })
}

// firstReady is the only role that can be chosen; "" if there are none or several.
func firstReady(roles []keyRole) string {
	found := ""
	for _, r := range roles {
		if !r.ready {
			continue
		}
		if found != "" {
			return ""
		}
		found = r.id
	}
	return found
}

// keyDocuments are what is pasted at a provider for the role and the key of a form, by the names of its
// fields.
func keyDocuments(r keyRead, value func(string) string) []Document {
	p, roles := r.provider, r.roles
	role := roleOf(roles, p, value("roleId"))
	switch p {
	case atlas.AWS:
		use := AWSKeyUse{RoleARN: role.name, ByUser: value(fieldAccess) == bySecret, Key: value("customerMasterKeyID"), Region: value("region"), Others: r.keysInUse(value("customerMasterKeyID"))}
		documents := AWSDocuments(use)
		if role.id != "" {
			documents = append(documents, AWSTrustPolicy(role.account, role.external))
		}
		return documents
	case atlas.Azure:
		return AzureDocuments(AzureKeyUse{
			ServicePrincipal: role.name, Environment: value("azureEnvironment"), Subscription: value("subscriptionID"),
			ResourceGroup: value("resourceGroupName"), Vault: value("keyVaultName"), KeyIdentifier: value("keyIdentifier"),
		})
	case atlas.GCP:
		return GoogleDocuments(GoogleKeyUse{ServiceAccount: role.name, KeyVersion: value("keyVersionResourceID")})
	}
	return nil
}

// keysInUse are the other keys that the role must go on using.
func (r keyRead) keysInUse(chosen string) []string {
	var others []string
	if present := text(r.settings.AWSKMS.CustomerMasterKeyID); present != "" && present != chosen {
		others = append(others, present)
	}
	for _, former := range r.reports[atlas.AWS].Former {
		if former.Key != chosen {
			others = append(others, former.Key)
		}
	}
	return others
}
