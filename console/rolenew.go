package console

import (
	"net/http"
	"net/url"
	"slices"

	"latchkey/shared/atlas"
)

// Where one came from to make a role, and goes back to with it. From anywhere else it is the form
// that sets a key up.
const (
	fromList   = "list"
	fromSwitch = "role" // as the form's path says
)

// roleNewView is the page that begins a role.
type roleNewView struct {
	GroupID   string
	Provider  atlas.Provider // "" while it is to be chosen
	Word      string
	From      string
	Closed    string
	Providers []roleChoice
	Action    string
	Fields    []Field
	Admit     *Document // Azure: what comes first
	Back      string
}

// roleChoice is a provider that a role can be made for.
type roleChoice struct {
	Name, Word, Text, URL string
}

// roleTexts say what a role of each provider is.
var roleTexts = map[atlas.Provider]string{
	atlas.AWS:   "An IAM role of yours that Latchkey's AWS account may assume with an external ID.",
	atlas.Azure: "Latchkey's application, admitted to your directory.",
	atlas.GCP:   "A service account that is made for this project alone, and that you let use your key.",
}

func loadRoleNew(v *Visit) (any, error) {
	asked := v.Query
	if v.Sent() {
		asked = v.Form
	}
	view := roleNewView{GroupID: v.GroupID(), From: asked("from"), Action: v.Page("roles", "new")}
	var identities map[atlas.Provider]string
	var rights Rights
	if err := Together(into(&identities, v.identities), into(&rights, v.Rights)); err != nil {
		return nil, err
	}
	if !rights.Owns() {
		view.Closed = "Only Project Owners make access roles."
	}
	p := atlas.Provider(asked("provider"))
	if !slices.Contains(atlas.Providers(), p) {
		view.choose(identities)
		return view, nil
	}
	if _, offered := identities[p]; !offered && view.Closed == "" {
		view.Closed = "Whoever runs Latchkey has not set up its own identity at this provider, so there can be no access roles."
	}
	view.Provider, view.Word, view.Back = p, roleWords[p], v.backFrom(view.From, p, "")
	v.Title = "New access role: " + roleWords[p]
	if p == atlas.Azure {
		admit := AzureServicePrincipal(identities[p])
		view.Admit, view.Fields = &admit, azureRoleFields(v, "new", accessRole{})
	}
	return view, nil
}

// choose offers the providers that roles can be made for.
func (view *roleNewView) choose(identities map[atlas.Provider]string) {
	for _, p := range atlas.Providers() {
		if _, offered := identities[p]; offered {
			query := url.Values{"provider": {string(p)}, "from": {view.From}}
			view.Providers = append(view.Providers, roleChoice{ProviderName(p), roleWords[p], roleTexts[p], view.Action + "?" + query.Encode()})
		}
	}
	if len(view.Providers) == 0 && view.Closed == "" {
		view.Closed = "Whoever runs Latchkey has not set up its own identity at any provider, so there can be no access roles."
	}
}

// identities are whom tenants let in, by the providers for which there can be roles.
func (v *Visit) identities() (map[atlas.Provider]string, error) {
	var all struct {
		Identities []struct {
			Provider atlas.Provider `json:"cloudProvider"`
			Identity *string        `json:"identity"`
		} `json:"identities"`
	}
	err := v.API.Get(v.Context(), v.OwnGroup("cloudProviderAccess", "identities"), nil, &all)
	byProvider := map[atlas.Provider]string{}
	for _, i := range all.Identities {
		byProvider[i.Provider] = text(i.Identity)
	}
	return byProvider, err
}

// azureRoleFields ask for a service principal.
func azureRoleFields(v *Visit, roleID string, r accessRole) []Field {
	return []Field{
		v.Field(Field{
			Name: "servicePrincipalId", Label: "Service principal ID", Hint: "The object ID that the line above prints.", Value: r.Principal,
			Required: true, Mono: true, Check: v.Page("roles", roleID, "check", "servicePrincipalId"), With: []string{"tenantId"},
		}),
		v.Field(Field{
			Name: "tenantId", Label: "Tenant ID", Hint: "The ID of that directory: az account show --query tenantId --output tsv", Value: r.Tenant,
			Required: true, Mono: true, Check: v.Page("roles", roleID, "check", "tenantId"), With: []string{"servicePrincipalId"},
		}),
	}
}

// createRole makes a role that is not authorised yet, and leads to it.
func createRole(v *Visit) (string, error) {
	p, err := atlas.ParseProvider(v.Form("provider"))
	if err != nil {
		return "", Refuse("Choose a provider.", nil)
	}
	body := map[string]string{"providerName": string(p)}
	if p == atlas.Azure {
		if err := v.azureRole(body); err != nil {
			return "", err
		}
	}
	var made accessRole
	if err := v.API.Do(v.Context(), http.MethodPost, v.Group("cloudProviderAccess"), body, &made); err != nil {
		return "", besideRoleField(err)
	}
	return v.rolePath(made.ID(), v.Form("from")), nil
}

// azureRole reads the fields of a service principal.
func (v *Visit) azureRole(body map[string]string) error {
	wrong := map[string]string{}
	for _, name := range []string{"servicePrincipalId", "tenantId"} {
		body[name] = v.Form(name)
		if !atlas.ValidUUID(body[name]) {
			wrong[name] = notUUID
		}
	}
	if len(wrong) > 0 {
		return Refuse("Both IDs are UUIDs.", wrong)
	}
	return nil
}

const notUUID = "It must be a UUID, as 6f1b0000-0000-4000-8000-000000000001."

// rolePath is the page of a role, for somebody who came from somewhere.
func (v *Visit) rolePath(id, from string) string {
	path := v.Page("roles", id)
	if from != "" {
		path += "?" + url.Values{"from": {from}}.Encode()
	}
	return path
}

// backFrom is where one goes on to once a role works: where one came from, with the role chosen.
func (v *Visit) backFrom(from string, p atlas.Provider, roleID string) string {
	path := v.keyPath(p, "")
	switch from {
	case fromList:
		return v.Page("roles")
	case fromSwitch:
		path = v.keyPath(p, fromSwitch)
	}
	if roleID != "" {
		path += "?" + url.Values{"roleId": {roleID}}.Encode()
	}
	return path
}
