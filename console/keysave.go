package console

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"latchkey/console/client"
	"latchkey/shared/atlas"
)

func sameVault(a, b string) bool { return strings.EqualFold(a, b) }

func lastSegment(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

// saveKey sends what somebody changed in the form of a purpose.
func saveKey(purpose keyPurpose) func(v *Visit) (string, error) {
	return func(v *Visit) (string, error) {
		p, err := v.provider()
		if err != nil {
			return "", err
		}
		if purpose.final != "" && !v.Checked("final") {
			return "", Refuse("It cannot be undone.", map[string]string{"final": "Tick the box to go on."})
		}
		members := keyMembers(p, v.Form("access"))
		if purpose.members != nil {
			members = purpose.members[p]
		}
		body, err := keyBody(v, p, members)
		if err != nil {
			return "", err
		}
		var answer struct {
			Warnings []string `json:"warnings"`
		}
		if err := v.API.Do(v.Context(), http.MethodPatch, v.Group("encryptionAtRest"), body, &answer); err != nil {
			return "", placed(err, p, members)
		}
		v.Say(saidOf(purpose, p, v.Checked("setup"), answer.Warnings))
		return v.Page("advanced"), nil
	}
}

// keyBody is the change that a form asks for: all that was typed of a provider that is set up, what
// differs from what was shown of another.
func keyBody(v *Visit, p atlas.Provider, members []string) (map[string]any, error) {
	sent := map[string]any{}
	for _, name := range members {
		typed := v.Form(name)
		if typed != "" && (v.Checked("setup") || keyFields[name].Secret || typed != v.Form("was-"+name)) {
			sent[name] = typed
		}
	}
	if len(sent) == 0 {
		return nil, Unchanged("The form is as it was.")
	}
	if v.Checked("setup") {
		sent["enabled"] = true
	}
	if err := sendTenant(v, p, sent); err != nil {
		return nil, err
	}
	return map[string]any{block(p): sent}, nil
}

// sendTenant adds the directory of a service principal, which the API knows from the access role.
func sendTenant(v *Visit, p atlas.Provider, sent map[string]any) error {
	id, ok := sent["roleId"].(string)
	if p != atlas.Azure || !ok {
		return nil
	}
	roles, err := v.accessRoles()
	if err != nil {
		return err
	}
	if tenant := roleOf(roles, p, id).tenant; tenant != "" {
		sent["tenantID"] = tenant
	}
	return nil
}

// saidOf says what was done, and what cannot be undone of it.
func saidOf(purpose keyPurpose, p atlas.Provider, setUp bool, warnings []string) string {
	said := []string{purpose.said}
	if setUp {
		said[0] = ProviderName(p) + " is on. Each cluster is encrypted with the key once Manage your own encryption keys is set to Yes in its configuration."
	}
	for _, w := range warnings {
		said = append(said, strings.TrimPrefix(w, string(p)+": "))
	}
	return strings.Join(said, " ")
}

// concerned are the members that a code of the API is about, the most likely first.
var concerned = map[atlas.Code][]string{
	atlas.AWSKeyNotFound: {"customerMasterKeyID", "region"}, atlas.AWSKeyNotEnabled: {"customerMasterKeyID", "region"},
	atlas.AWSKeyPendingDeletion: {"customerMasterKeyID", "region"}, atlas.AWSKeyPendingImport: {"customerMasterKeyID", "region"},
	atlas.AWSKeyUnsuitable: {"customerMasterKeyID", "region"}, atlas.AWSRegionNotSupported: {"region"}, atlas.InvalidRegion: {"region"},
	atlas.PrivateNetworkingNotSupported: {"region"}, atlas.InvalidAWSCredentials: {"secretAccessKey", "roleId"},
	atlas.AWSCredentialsDeprecated: {"accessKeyID"}, atlas.CannotAssumeRole: {"roleId"}, atlas.RoleNotFound: {"roleId"}, atlas.RoleNotAuthorized: {"roleId"},

	atlas.AzureEnvironmentNotSupported: {"azureEnvironment"}, atlas.AzureKeyExpired: {"keyIdentifier"}, atlas.AzureKeyExpiring: {"keyIdentifier"},
	atlas.AzureKeyIdentifierInvalid: {"keyIdentifier"}, atlas.AzureKeyNotActive: {"keyIdentifier"}, atlas.AzureKeyNotEnabled: {"keyIdentifier"},
	atlas.AzureKeyNotFound: {"keyIdentifier"}, atlas.AzureKeyUnsuitable: {"keyIdentifier"}, atlas.InvalidAzureAPIRequest: {"resourceGroupName", "keyVaultName"},
	atlas.InvalidAzureCredentials: {"secret", "roleId"}, atlas.AzureCredentialsDeprecated: {"clientID"}, atlas.CannotAuthenticateSP: {"roleId"},

	atlas.GoogleKeyDestroyScheduled: {"keyVersionResourceID"}, atlas.GoogleKeyDestroyed: {"keyVersionResourceID"}, atlas.GoogleKeyDisabled: {"keyVersionResourceID"},
	atlas.GoogleKeyNotFound: {"keyVersionResourceID"}, atlas.GoogleKeyUnsuitable: {"keyVersionResourceID"}, atlas.GoogleKeyPending: {"keyVersionResourceID"},
	atlas.InvalidGoogleCredentials: {"serviceAccountKey", "roleId"}, atlas.GoogleCredentialsRefused: {"serviceAccountKey"},

	atlas.NoPermission: {"customerMasterKeyID", "keyIdentifier", "keyVersionResourceID", "roleId"},
}

// whatToDo is beside a code what its sentence does not say.
var whatToDo = map[atlas.Code]string{
	atlas.NoPermission:              "Give the permission with the documents below, then save again. A new permission may take a minute to be in force.",
	atlas.InvalidAWSCredentials:     "Type the access key ID and its secret anew, and see that the access key is active: in the AWS console under IAM, Users, the user, Security credentials.",
	atlas.InvalidAzureCredentials:   "Type the secret's value, not its ID, and see that it has not expired: in the Azure portal under App registrations, the application, Certificates & secrets.",
	atlas.CannotAuthenticateSP:      "See that the service principal is in this directory and enabled: az ad sp show --id with its ID.",
	atlas.InvalidGoogleCredentials:  "Give the whole key file of a service account, and see that the key and the account are enabled: in the Google Cloud console under IAM & Admin, Service Accounts.",
	atlas.CannotAssumeRole:          "Compare the role's trust policy with the one below. A new one may take a minute to be in force.",
	atlas.InvalidAzureAPIRequest:    "Compare the subscription, the resource group and the name with the vault's page in the Azure portal.",
	atlas.RoleNotAuthorized:         "Authorise it on the page of access roles first.",
	atlas.AzureKeyExpiring:          "Choose a version that does not expire within two days.",
	atlas.CannotRotateDisabled:      "Somebody has turned it off meanwhile. Set it up anew.",
	atlas.ConcurrentModification:    "Somebody else has just changed it. Load the page again and see what is left to do.",
	atlas.KMSUnreachable:            "Nothing was changed.",
	atlas.EARSettingsInvalid:        "Restore the present key first.",
	atlas.CannotDisableEAR:          "Decrypt these clusters first: set Manage your own encryption keys to No in their configuration.",
	atlas.CannotDisableEAREndpoints: "Remove the private endpoints first.",
}

// placed puts an error of the API beside the field that it concerns.
func placed(err error, p atlas.Provider, members []string) error {
	e, ok := errors.AsType[*client.Error](err)
	if !ok {
		return err
	}
	told := *e
	said := or(whatToDo[e.Code], e.Detail) + " (" + string(e.Code) + ")" // the sentence is at the top of the page too
	if name := concernedBy(e, members); name != "" {
		told.Fields = append(slices.Clone(e.Fields), atlas.FieldError{Field: block(p) + "." + name, Description: said})
	} else if advice := whatToDo[e.Code]; advice != "" {
		told.Detail += " " + advice
	}
	return &told
}

// concernedBy is the member of a form that an error is about; "" if there is none. General codes name it
// in their sentence.
func concernedBy(e *client.Error, members []string) string {
	for _, name := range concerned[e.Code] {
		if slices.Contains(members, name) {
			return name
		}
	}
	if !general[e.Code] {
		return ""
	}
	words := strings.FieldsFunc(e.Detail, func(r rune) bool { return r == ' ' || r == ',' || r == '.' || r == '"' })
	for _, name := range members {
		if slices.Contains(words, name) {
			return name
		}
	}
	return ""
}

// general are codes that name a member in their sentence.
var general = map[atlas.Code]bool{
	atlas.InvalidAttribute: true, atlas.MissingAttribute: true, atlas.MissingAttributes: true, atlas.InvalidEnumValue: true,
}
