package console

import (
	"latchkey/shared/atlas"
)

// keyFields are the fields of the forms, by member.
var keyFields = map[string]Field{
	"roleId":              {Required: true},
	"customerMasterKeyID": {Label: "Customer master key ID", Hint: "The key's ID, or its ARN. A key of another AWS account needs the ARN.", Required: true, Mono: true},
	"region":              {Label: "Customer master key Region", Required: true},
	"accessKeyID":         {Label: "Access key ID", Hint: "Of the IAM user.", Required: true, Mono: true},
	"secretAccessKey":     {Label: "Secret access key", Required: true, Secret: true},

	"azureEnvironment":  {Label: "Azure environment", Required: true},
	"subscriptionID":    {Label: "Subscription ID", Required: true, Mono: true},
	"resourceGroupName": {Label: "Resource group name", Required: true, Mono: true},
	"keyVaultName":      {Label: "Key vault name", Required: true, Mono: true},
	"keyIdentifier":     {Label: "Key identifier", Hint: "https://<vault>.vault.azure.net/keys/<key>/<version>", Required: true, Mono: true},
	"clientID":          {Label: "Client ID", Hint: "The application ID of your app registration.", Required: true, Mono: true},
	"tenantID":          {Label: "Tenant ID", Hint: "The ID of your directory.", Required: true, Mono: true},
	"secret":            {Label: "Secret", Hint: "The value of a client secret of the application, not its ID.", Required: true, Secret: true},
	"secretExpiresAt": {
		Label: "The secret ends on", Hint: "Azure tells only you. With the date, owners are warned 30, 14, 7 and 2 days before.", Type: "date",
	},

	"keyVersionResourceID": {
		Label: "Key version resource ID", Hint: "projects/<project>/locations/<location>/keyRings/<ring>/cryptoKeys/<key>/cryptoKeyVersions/<number>", Required: true, Mono: true,
	},
	"serviceAccountKey": {Label: "Service account key", Hint: "The whole content of the JSON key file.", Required: true, Secret: true, Multi: 8, Mono: true},
}

// keyField is the field of a member, without its value.
func keyField(v *Visit, p atlas.Provider, name string, on bool) Field {
	f := keyFields[name]
	f.Name = name
	switch name {
	case "roleId":
		f.Label = roleWords[p]
	case "region":
		f.Options = regionOptions()
	case "azureEnvironment":
		for _, e := range atlas.AzureEnvironments() {
			f.Options = append(f.Options, Option{Value: string(e), Text: environmentNames[string(e)]})
		}
	}
	if f.Secret && on {
		f.Required, f.Hint = false, "Leave it empty to keep the one that is stored. It is never shown."
	}
	if beside, is := checked[name]; is {
		f.Check, f.With = v.keyPath(p, "check")+"/"+name, beside
	}
	return f
}

func regionOptions() []Option {
	options := []Option{{Value: "", Text: "Choose one"}}
	for _, r := range atlas.AWSRegions() {
		options = append(options, Option{Value: r.Atlas(), Text: r.String()})
	}
	return options
}

// checked are the members that are checked as one types, and the fields that each is checked beside.
var checked = map[string][]string{
	"customerMasterKeyID": {"region"}, "region": {"customerMasterKeyID"},
	"keyIdentifier": {"keyVaultName", "azureEnvironment"}, "keyVaultName": {"keyIdentifier"},
	"subscriptionID": nil, "resourceGroupName": nil, "tenantID": nil, "clientID": nil, "keyVersionResourceID": nil,
}

// loadKeyNote says what is the matter with a field, by the API's own parsers.
func loadKeyNote(v *Visit) (any, error) {
	p, err := v.provider()
	if err != nil {
		return nil, err
	}
	name := v.Param("member")
	if _, is := checked[name]; !is || v.Form(name) == "" {
		return Note{}, nil
	}
	return keyNote(p, name, v.Form), nil
}

// keyNote checks a field beside the others.
func keyNote(p atlas.Provider, name string, value func(string) string) Note {
	switch {
	case p == atlas.AWS && (name == "customerMasterKeyID" || name == "region"):
		return awsNote(name, value("customerMasterKeyID"), value("region"))
	case p == atlas.Azure && name == "keyIdentifier":
		return azureKeyNote(value(name), value("keyVaultName"), value("azureEnvironment"))
	case p == atlas.Azure && name == "keyVaultName":
		return vaultNote(value(name), value("keyIdentifier"))
	case p == atlas.Azure && name == "resourceGroupName":
		return noteUnless(atlas.ValidAzureResourceGroup(value(name)), "This cannot be the name of a resource group.")
	case p == atlas.Azure:
		return noteUnless(atlas.ValidUUID(value(name)), "It must be a UUID, as 6f1b0000-0000-4000-8000-000000000001.")
	case p == atlas.GCP && name == "keyVersionResourceID":
		return googleNote(value(name))
	}
	return Note{}
}

func noteUnless(ok bool, complaint string) Note {
	if ok {
		return Note{}
	}
	return Note{Bad, complaint}
}

// complaint is what a parser says of what it does not read.
func complaint(err error) Note {
	e := atlas.AsError(err)
	return Note{Bad, or(e.Hint, e.Detail())}
}

// awsNote looks at the name of a key and at its Region together. Either field may be the one that is
// being typed into, and the other one still empty.
func awsNote(field, key, region string) Note {
	at, wrong := atlas.ParseAWSRegion(region)
	if field == "region" && key == "" {
		return Note{}
	}
	name, err := atlas.ParseAWSKeyName(key)
	switch {
	case err != nil && field == "region":
		return Note{}
	case err != nil:
		return complaint(err)
	case name.IsARN() && wrong == nil && name.Region != at && !name.IsMultiRegion():
		return Note{Bad, "The ARN is of the Region " + name.Region.String() + ". Choose that one: this key has no replicas in others."}
	case name.IsARN() && wrong == nil && name.Region != at:
		return Note{Warning, "The ARN is of the Region " + name.Region.String() + ". The key needs a replica in " + at.String() + "."}
	case field == "region":
		return Note{}
	case name.IsARN() && region == "":
		return Note{Neutral, "Its Region is " + name.Region.String() + "."}
	case name.IsAlias():
		return Note{Warning, "An alias may lead to another key one day. Name the key itself if you can."}
	case name.IsMultiRegion():
		return Note{Good, "A multi-Region key: it can be moved to a replica if its Region has an outage."}
	}
	return Note{Neutral, "A single-Region key: if its Region has an outage, it cannot be moved to another one."}
}

func azureKeyNote(identifier, vault, environment string) Note {
	id, err := atlas.ParseAzureKeyID(identifier)
	switch {
	case err != nil:
		return complaint(err)
	case environment != "" && string(id.Environment) != environment:
		return Note{Bad, "Its host belongs to the environment " + environmentNames[string(id.Environment)] + "."}
	case vault != "" && !sameVault(id.Vault, vault):
		return Note{Bad, "Its host belongs to the key vault " + id.Vault + "."}
	case id.Version == "":
		return Note{Warning, "It names no version: master keys are wrapped by whichever is newest. Name a version to decide when another one is used."}
	case vault == "":
		return Note{Neutral, "The key vault is " + id.Vault + "."}
	}
	return Note{Good, "A version of the key " + id.Name + "."}
}

func vaultNote(vault, identifier string) Note {
	if !atlas.ValidAzureVault(vault) {
		return Note{Bad, "Names of key vaults have 3 to 24 letters, digits and single hyphens, and begin with a letter."}
	}
	if id, err := atlas.ParseAzureKeyID(identifier); err == nil && !sameVault(id.Vault, vault) {
		return Note{Bad, "The key identifier names the key vault " + id.Vault + "."}
	}
	return Note{}
}

func googleNote(name string) Note {
	version, err := atlas.ParseGoogleKeyVersion(name)
	if err == nil {
		return Note{Good, "Version " + lastSegment(version.String()) + " of the key " + version.Key + " in " + version.Location + "."}
	}
	if _, err := atlas.ParseGoogleKeyVersion(name + "/cryptoKeyVersions/1"); err == nil {
		return Note{Bad, "The version is missing: add /cryptoKeyVersions/ and its number."}
	}
	return Note{Bad, "It must have the form projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/N."}
}
