package console

import (
	"maps"
	"net/http"
	"slices"

	"latchkey/console/client"
	"latchkey/shared/atlas"
)

// keyPurpose is what a form about a provider's key is for. All are the same form with other fields.
type keyPurpose struct {
	name    string // last segment of the path; "" is to set up and to edit
	title   string
	button  string
	working string
	members map[atlas.Provider][]string // that it changes; nil for all
	said    string
	final   string // what must be ticked
}

// The purposes of forms.
var (
	keyEdit = keyPurpose{
		title: "Edit", button: "Save", working: "The key is used once to see that it works. This may take some seconds…", said: "Saved.",
	}
	keyRotate = keyPurpose{
		name: "key", title: "Use another key", button: "Use this key", working: "The new key is used once to see that it works…",
		members: map[atlas.Provider][]string{
			atlas.AWS: {"customerMasterKeyID", "region"}, atlas.Azure: {"keyIdentifier", "keyVaultName", "resourceGroupName"}, atlas.GCP: {"keyVersionResourceID"},
		},
		said: "The master keys of all nodes are being wrapped by the new key, one node after the other.",
	}
	keySwitch = keyPurpose{
		name: "role", title: "Switch to role-based access", button: "Switch to role-based access", working: "The role is used once to see that it works…",
		members: map[atlas.Provider][]string{atlas.AWS: {"roleId"}, atlas.Azure: {"roleId"}, atlas.GCP: {"roleId"}},
		said:    "The switch is under way: every wrapped key is opened by the role before the former credentials are destroyed.",
		final:   "I understand that this cannot be undone: this project cannot go back to static credentials for this provider.",
	}
	keyMove = keyPurpose{
		name: "region", title: "Change the Region", button: "Change the Region", working: "The key is used once in the new Region…",
		members: map[atlas.Provider][]string{atlas.AWS: {"region"}},
		said:    "The key is being moved to the other Region.",
	}
)

// The ways to a key.
const (
	fieldAccess = "access" // which of them a form is about
	byRole      = "role"
	bySecret    = "secret" // a name, not a secret
)

// keyFormView is such a form.
type keyFormView struct {
	GroupID   string
	Provider  atlas.Provider
	Name      string
	Purpose   string
	On        bool
	Owns      bool
	Closed    string // why there is no form; "" if there is
	Action    string
	Fields    []Field
	Hidden    map[string]string
	Ways      []keyWay
	NoRole    bool
	RoleWord  string
	Final     *Field
	Button    string
	Working   string
	Documents documentsView
	Nodes     int  // under the present key
	Invalid   bool // the present key is
}

// keyWay is a choice of how the key is reached.
type keyWay struct {
	Text, URL string
	Current   bool
}

// documentsView is what is pasted at the provider, for what the form says now.
type documentsView struct {
	URL       string
	Fields    string // that it depends on
	Documents []Document
}

// provider is the one of the path. Another is no page.
func (v *Visit) provider() (atlas.Provider, error) {
	p, err := atlas.ParseProvider(v.Param("provider"))
	if err != nil {
		return "", &client.Error{Status: http.StatusNotFound, Code: atlas.ResourceNotFound, Detail: "There is no such provider of key management."}
	}
	return p, nil
}

// keyRead is what a form reads.
type keyRead struct {
	provider atlas.Provider
	settings atlas.EncryptionAtRest
	roles    atlas.CloudProviderAccess
	rights   Rights
	reports  map[atlas.Provider]keyReport
}

func (v *Visit) readKey() (keyRead, error) {
	p, err := v.provider()
	if err != nil {
		return keyRead{}, err
	}
	r := keyRead{provider: p}
	err = Together(
		into(&r.settings, v.settings), into(&r.roles, v.accessRoles), into(&r.rights, v.Rights), into(&r.reports, v.keyReports),
	)
	return r, err
}

// loadKey shows the form of a purpose.
func loadKey(purpose keyPurpose) func(v *Visit) (any, error) {
	return func(v *Visit) (any, error) {
		r, err := v.readKey()
		if err != nil {
			return nil, err
		}
		on := isOn(r.settings, r.provider)
		view := keyFormView{
			GroupID: v.GroupID(), Provider: r.provider, Name: ProviderName(r.provider), Purpose: purpose.name, On: on, Owns: r.rights.Owns(),
			Button: purpose.button, Working: purpose.working, RoleWord: roleWords[r.provider],
			Action: v.keyPath(r.provider, purpose.name),
		}
		v.Title = purpose.titleFor(view.Name, on)
		if key := r.reports[r.provider].InUse; key != nil {
			view.Nodes = key.Nodes
		}
		view.Invalid = r.reports[r.provider].isInvalid()
		if view.Closed = purpose.closed(r); view.Closed == "" {
			view.fill(v, purpose, r)
		}
		return view, nil
	}
}

// keyPath is the path of a form.
func (v *Visit) keyPath(p atlas.Provider, purpose string) string {
	if purpose == "" {
		return v.Page("advanced", string(p))
	}
	return v.Page("advanced", string(p), purpose)
}

func (purpose keyPurpose) titleFor(name string, on bool) string {
	switch {
	case purpose.name != "":
		return name + ": " + purpose.title
	case on:
		return "Edit " + name
	}
	return "Set up " + name
}

// closed says why a form would be refused whatever is in it.
func (purpose keyPurpose) closed(r keyRead) string {
	values := keyValues(r.settings, r.provider)
	switch {
	case !r.rights.Owns():
		return "Only Project Owners change how keys are managed. You may look at the state of keys on the page Advanced."
	case purpose.name == "":
		return ""
	case !isOn(r.settings, r.provider):
		return "It is off. Set it up first."
	case purpose.name == keySwitch.name && values["roleId"] != "":
		return "The key is already reached by role. To use another role, choose it with Edit."
	case purpose.name == keyMove.name && r.provider != atlas.AWS:
		return "Keys of this provider have no Region that could be changed here."
	case purpose.name == keyMove.name && !mayMove(values["customerMasterKeyID"]):
		return "The key is a single-Region key, and AWS cannot turn one into a multi-Region key. To be ready for an outage of a Region, use another key that is a multi-Region key."
	}
	return ""
}

// fill makes the fields.
func (view *keyFormView) fill(v *Visit, purpose keyPurpose, r keyRead) {
	values := keyValues(r.settings, r.provider)
	access := accessOf(v, r, values)
	roles := rolesOf(r.roles, r.provider)
	if !view.On && access == byRole {
		values["roleId"] = firstReady(roles)
	}
	view.Hidden = map[string]string{fieldAccess: access}
	if !view.On {
		view.Hidden["setup"] = "on"
	}
	members := keyMembers(r.provider, access)
	if purpose.members != nil {
		members = purpose.members[r.provider]
	}
	for _, name := range members {
		f := keyField(v, r.provider, name, view.On)
		if name == "roleId" {
			f.Options = roleOptions(roles, r.provider)
			view.NoRole = !isReady(roles, "")
		}
		if !f.Secret {
			f.Value = values[name]
			view.Hidden["was-"+name] = wasValue(v, name, values[name])
		}
		if made := v.Query("roleId"); name == "roleId" && made != "" && isReady(roles, made) {
			f.Value = made // for this form, just now
		}
		view.Fields = append(view.Fields, v.Field(f, block(r.provider)+"."+name))
	}
	if purpose.name == "" {
		view.Ways = v.ways(r, access)
	}
	if purpose.final != "" {
		final := v.Field(Field{Name: "final", Type: "checkbox", Label: purpose.final, Required: true})
		view.Final = &final
	}
	view.Documents = documentsOf(v, r, values, view.Hidden[fieldAccess], view.Fields)
}

// wasValue is what a member was when the form was first shown, so that only what somebody changed is
// sent, and nothing that somebody else has changed meanwhile.
func wasValue(v *Visit, name, stored string) string {
	if v.Sent() {
		return v.Form("was-" + name)
	}
	return stored
}

// accessOf is the way to the key that a form is about. A project that uses roles cannot leave them.
func accessOf(v *Visit, r keyRead, values map[string]string) string {
	on := isOn(r.settings, r.provider)
	asked := v.Query(fieldAccess)
	if v.Sent() {
		asked = v.Form(fieldAccess)
	}
	switch {
	case on && values["roleId"] != "":
		return byRole
	case on:
		return bySecret // the switch has a form of its own
	case asked == bySecret:
		return bySecret
	}
	return byRole
}

// ways are the choices of the way to the key, where there is a choice.
func (v *Visit) ways(r keyRead, access string) []keyWay {
	if isOn(r.settings, r.provider) {
		return nil
	}
	form := v.keyPath(r.provider, "")
	other := map[atlas.Provider]string{atlas.AWS: "Access keys of an IAM user", atlas.Azure: "Client ID and secret", atlas.GCP: "Service account key file"}[r.provider]
	return []keyWay{
		{roleWords[r.provider], form + "?access=" + byRole, access == byRole},
		{other, form + "?access=" + bySecret, access == bySecret},
	}
}

// keyMembers are the members of a provider's configuration that a form has.
func keyMembers(p atlas.Provider, access string) []string {
	role := access == byRole
	switch {
	case p == atlas.AWS && role:
		return []string{"roleId", "customerMasterKeyID", "region"}
	case p == atlas.AWS:
		return []string{"accessKeyID", "secretAccessKey", "customerMasterKeyID", "region"}
	case p == atlas.Azure && role:
		return append([]string{"roleId"}, azurePlace...)
	case p == atlas.Azure:
		return append([]string{"clientID", "tenantID", "secret", "secretExpiresAt"}, azurePlace...)
	case role:
		return []string{"roleId", "keyVersionResourceID"}
	}
	return []string{"serviceAccountKey", "keyVersionResourceID"}
}

// azurePlace is where a key in Azure Key Vault is.
var azurePlace = []string{"azureEnvironment", "subscriptionID", "resourceGroupName", "keyVaultName", "keyIdentifier"}

// documentsOf are the documents for what a form shows.
func documentsOf(v *Visit, r keyRead, stored map[string]string, access string, fields []Field) documentsView {
	now := maps.Clone(stored)
	now[fieldAccess] = access
	for _, f := range fields {
		now[f.Name] = f.Value
		if f.Name == "roleId" { // a switch is about the role
			now[fieldAccess] = byRole
		}
	}
	return documentsView{
		URL: v.keyPath(r.provider, "documents"), Fields: documentFields,
		Documents: keyDocuments(r, func(name string) string { return now[name] }),
	}
}

// documentFields are the fields that documents depend on. No secret is among them.
const documentFields = fieldAccess + ",roleId,customerMasterKeyID,region,azureEnvironment,subscriptionID,resourceGroupName,keyVaultName,keyIdentifier,keyVersionResourceID"

// loadDocuments makes the documents for what is being typed. Of fields that the form does not have, it
// takes what is stored.
func loadDocuments(v *Visit) (any, error) {
	r, err := v.readKey()
	if err != nil {
		return nil, err
	}
	now := keyValues(r.settings, r.provider)
	for _, name := range slices.Sorted(maps.Keys(now)) {
		if v.r.PostForm.Has(name) {
			now[name] = v.Form(name)
		}
	}
	if !v.r.PostForm.Has("roleId") {
		now[fieldAccess] = v.Form(fieldAccess)
	}
	return keyDocuments(r, func(name string) string { return now[name] }), nil
}
