package console

import (
	"net/http"
	"slices"

	"latchkey/console/client"
	"latchkey/shared/atlas"
)

// accessRole is an access role of any provider, as the API shows one.
type accessRole struct {
	Provider atlas.Provider       `json:"providerName"`
	Created  string               `json:"createdDate"`
	Usages   []atlas.FeatureUsage `json:"featureUsages"`
	RoleID   string               `json:"roleId"`

	// AWS.
	Account    string  `json:"atlasAWSAccountArn"`
	ExternalID string  `json:"atlasAssumedRoleExternalId"`
	ARN        *string `json:"iamAssumedRoleArn"`
	Authorized *string `json:"authorizedDate"`

	// Azure, whose id has another name.
	AzureID   string `json:"_id"`
	App       string `json:"atlasAzureAppId"`
	Principal string `json:"servicePrincipalId"`
	Tenant    string `json:"tenantId"`
	Updated   string `json:"lastUpdatedDate"`

	// Google.
	Email  string `json:"gcpServiceAccountForAtlas"`
	Status string `json:"status"`
}

// How far the making of a service account has come.
const (
	accountInProgress   = "IN_PROGRESS"
	accountNotInitiated = "NOT_INITIATED"
	accountComplete     = "COMPLETE"
	accountFailed       = "FAILED"
)

// ID is that of the role, whatever the provider calls it.
func (r accessRole) ID() string { return or(r.RoleID, r.AzureID) }

// Name is what the provider knows it by; "" if that is not known yet.
func (r accessRole) Name() string {
	switch r.Provider {
	case atlas.AWS:
		return text(r.ARN)
	case atlas.Azure:
		return r.Principal
	case atlas.GCP:
		return r.Email
	}
	return ""
}

// Word is what the provider calls such a thing.
func (r accessRole) Word() string { return roleWords[r.Provider] }

// Used reports whether something reaches keys through it.
func (r accessRole) Used() bool { return len(r.Usages) > 0 }

// Ready reports whether keys may be reached through it. Of a service principal the API does not tell;
// one that was used, or has changed since it was made, was validated.
func (r accessRole) Ready() bool {
	switch r.Provider {
	case atlas.AWS:
		return text(r.Authorized) != ""
	case atlas.Azure:
		return r.Used() || r.Updated != r.Created
	case atlas.GCP:
		return r.Status == accountComplete
	}
	return false
}

// Working reports whether it becomes something else without anybody's doing.
func (r accessRole) Working() bool {
	return r.Provider == atlas.GCP && (r.Status == accountInProgress || r.Status == accountNotInitiated)
}

// Broken reports whether nothing can become of it.
func (r accessRole) Broken() bool { return r.Provider == atlas.GCP && r.Status == accountFailed }

// Badge is how it stands.
func (r accessRole) Badge() Badge {
	switch {
	case r.Broken():
		return Badge{Bad, "Not made"}
	case r.Working():
		return Badge{Busy, "Being made"}
	case !r.Ready():
		return Badge{Warning, "Not authorised yet"}
	}
	return Badge{Good, "Authorised"}
}

// Since is when it was authorised; "" if it was not.
func (r accessRole) Since() string {
	switch {
	case !r.Ready():
		return ""
	case r.Provider == atlas.AWS:
		return text(r.Authorized)
	case r.Provider == atlas.Azure:
		return r.Updated
	}
	return r.Created
}

// Features are what uses it, in words.
func (r accessRole) Features() []string {
	var names []string
	for _, u := range r.Usages {
		name := u.FeatureType
		if name == atlas.FeatureEncryptionAtRest {
			name = "Encryption at Rest"
		}
		names = append(names, name)
	}
	return names
}

// allRoles reads the access roles of the project, those of one provider after the other.
func (v *Visit) allRoles() ([]accessRole, error) {
	var all struct {
		AWS    []accessRole `json:"awsIamRoles"`
		Azure  []accessRole `json:"azureServicePrincipals"`
		Google []accessRole `json:"gcpServiceAccounts"`
	}
	err := v.API.Get(v.Context(), v.Group("cloudProviderAccess"), nil, &all)
	return slices.Concat(all.AWS, all.Azure, all.Google), err
}

// oneRole reads the role of the path.
func (v *Visit) oneRole() (accessRole, error) {
	var r accessRole
	err := v.API.Get(v.Context(), v.Group("cloudProviderAccess", v.Param("roleId")), nil, &r)
	if err == nil && !slices.Contains(atlas.Providers(), r.Provider) {
		err = &client.Error{Status: http.StatusNotFound, Code: atlas.RoleNotFound, Detail: "This console does not know roles of the provider " + string(r.Provider) + "."}
	}
	return r, err
}

// rolesView is the list.
type rolesView struct {
	GroupID string
	Owns    bool
	Roles   []accessRole
	Working bool
}

func loadRoles(v *Visit) (any, error) {
	view := rolesView{GroupID: v.GroupID()}
	var rights Rights
	err := Together(into(&view.Roles, v.allRoles), into(&rights, v.Rights))
	view.Owns = rights.Owns()
	view.Working = slices.ContainsFunc(view.Roles, accessRole.Working)
	return view, err
}

// roleDeleteView is the question before a role is deleted.
type roleDeleteView struct {
	GroupID  string
	Role     accessRole
	Closed   string
	Clusters []keyCluster // whose keys are reached through it
	Confirm  Confirm
}

func loadRoleDelete(v *Visit) (any, error) {
	view := roleDeleteView{GroupID: v.GroupID()}
	var rights Rights
	var users []keyUser
	err := Together(into(&view.Role, v.oneRole), into(&rights, v.Rights), into(&users, v.keyUsers))
	if err != nil {
		return nil, err
	}
	r := view.Role
	if !rights.Owns() {
		view.Closed = "Only Project Owners change access roles."
	}
	for _, u := range users {
		if r.Used() && u.uses(r.Provider) {
			view.Clusters = append(view.Clusters, keyCluster{u.Name, u.stoppedBy(r.Provider)})
		}
	}
	view.Confirm = Confirm{
		Question: "Delete the access role " + or(r.Name(), r.ID()) + "?", Detail: whatIsDeleted[r.Provider],
		Action: v.Page("roles", r.ID(), "delete"), Button: "Delete", Danger: true, Back: v.Page("roles"),
		Hidden: map[string]string{"provider": string(r.Provider)},
	}
	return view, nil
}

// whatIsDeleted says what becomes of what is in the tenant's cloud.
var whatIsDeleted = map[atlas.Provider]string{
	atlas.AWS: "This cannot be undone: a new access role has another external ID. The IAM role in your AWS account stays as it is; " +
		"remove its trust in Latchkey, or the role, there.",
	atlas.Azure: "The service principal in your directory stays as it is; remove its permissions on the vault, or it, there.",
	atlas.GCP: "This cannot be undone: the service account is removed, and a new access role has another one. " +
		"What you granted it does nothing any more; remove it there.",
}

func deleteRole(v *Visit) (string, error) {
	path := v.Group("cloudProviderAccess", v.Form("provider"), v.Param("roleId"))
	if err := v.API.Do(v.Context(), http.MethodDelete, path, nil, nil); err != nil {
		return "", err
	}
	v.Say("The access role was deleted.")
	return v.Page("roles"), nil
}

// The pages of access roles.
const (
	rolesPath = groupsPath + "/{groupId}/roles"
	rolePath  = rolesPath + "/{roleId}"
)
