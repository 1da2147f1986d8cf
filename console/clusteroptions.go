package console

import (
	"net/url"
	"slices"
	"strconv"

	"latchkey/shared/atlas"
)

// clusterOptions are what a cluster can be made of in this project.
type clusterOptions struct {
	sizes     []string
	regions   map[string][]string // by size
	standard  string              // the region that is the cloud's default
	providers []keyOption
	present   string // whose key encrypts the cluster now
	fixed     bool   // the nodes are not edited here
}

// keyOption is a provider whose key can encrypt a cluster, or why not.
type keyOption struct {
	provider atlas.Provider
	enabled  bool
	valid    bool
	private  bool // private endpoints are the only way to the key
	key      string
}

func (o clusterOptions) canUse(provider string) bool {
	return slices.ContainsFunc(o.providers, func(k keyOption) bool { return string(k.provider) == provider && k.enabled && k.valid })
}

func (o clusterOptions) of(provider string) keyOption {
	for _, k := range o.providers {
		if string(k.provider) == provider {
			return k
		}
	}
	return keyOption{}
}

// clusterOptions reads what there is to choose from.
func (v *Visit) clusterOptions(cloud atlas.Provider) (clusterOptions, error) {
	var o clusterOptions
	var settings atlas.EncryptionAtRest
	var reports atlas.Page[clusterKeys]
	var catalogue atlas.Page[struct {
		Provider atlas.Provider `json:"provider"`
		Sizes    []struct {
			Name    string `json:"name"`
			Regions []struct {
				Name    string `json:"name"`
				Default bool   `json:"default"`
			} `json:"availableRegions"`
		} `json:"instanceSizes"`
	}]
	err := Together(
		func() error {
			return v.API.Get(v.Context(), v.Group("clusters", "provider", "regions"), url.Values{"providers": {string(cloud)}}, &catalogue)
		},
		func() error { return v.API.Get(v.Context(), v.Group("encryptionAtRest"), nil, &settings) },
		func() error {
			return v.API.Get(v.Context(), v.OwnGroup("encryptionAtRest", "keys"), nil, &reports)
		},
	)
	o.regions = map[string][]string{}
	for _, p := range catalogue.Results {
		if p.Provider != cloud {
			continue
		}
		for _, s := range p.Sizes {
			o.sizes = append(o.sizes, s.Name)
			for _, r := range s.Regions {
				o.regions[s.Name] = append(o.regions[s.Name], r.Name)
				if r.Default {
					o.standard = r.Name
				}
			}
		}
	}
	o.providers = keyOptions(settings, reports.Results)
	return o, err
}

func keyOptions(s atlas.EncryptionAtRest, reports []clusterKeys) []keyOption {
	options := []keyOption{
		{provider: atlas.AWS, enabled: s.AWSKMS.Enabled, valid: s.AWSKMS.Valid, key: text(s.AWSKMS.CustomerMasterKeyID)},
		{provider: atlas.Azure, enabled: s.AzureKeyVault.Enabled, valid: s.AzureKeyVault.Valid, key: text(s.AzureKeyVault.KeyIdentifier)},
		{provider: atlas.GCP, enabled: s.GoogleCloudKMS.Enabled, valid: s.GoogleCloudKMS.Valid, key: text(s.GoogleCloudKMS.KeyVersionResourceID)},
	}
	for i, o := range options {
		for _, r := range reports {
			if r.Provider == o.provider && r.InUse != nil {
				options[i].private = r.InUse.Private.InForce
			}
		}
	}
	return options
}

// allRegions are the regions of a cloud that have some size, in the API's order.
func (o clusterOptions) allRegions() []string {
	var all []string
	seen := map[string]bool{}
	for _, size := range o.sizes {
		for _, r := range o.regions[size] {
			if !seen[r] {
				seen[r] = true
				all = append(all, r)
			}
		}
	}
	return all
}

// providerOptions is the choice of a provider. One that cannot be used is there, with why; that of
// present can be kept.
func (o clusterOptions) providerOptions(present string) []Option {
	options := []Option{{Value: noProvider, Text: "No"}}
	for _, k := range o.providers {
		option := Option{Value: string(k.provider), Text: encryptionWords(string(k.provider))}
		switch {
		case !k.enabled:
			option.Text, option.Disabled = option.Text+" (not set up)", true
		case !k.valid:
			option.Text, option.Disabled = option.Text+" (not valid)", true
		}
		option.Disabled = option.Disabled && option.Value != present
		options = append(options, option)
	}
	return options
}

// clusterFields are the fields of a draft.
type clusterFields struct {
	Name     Field
	Size     Field
	Regions  []regionFields
	More     []regionFields // folded in
	Provider Field
	Backup   Field
	Protect  Field
}

type regionFields struct{ Region, Nodes Field }

func (d clusterDraft) fields(o clusterOptions, wrong map[string]string) clusterFields {
	f := clusterFields{
		Name: Field{
			Name: draftName, Label: "Cluster name", Required: true, Value: d.Name, Pattern: `[a-zA-Z0-9][a-zA-Z0-9\-]{0,63}`,
			Hint: "Up to 64 letters, digits and hyphens. It cannot be changed later.",
		},
		Size: Field{Name: draftSize, Label: "Instance size", Required: true, Value: d.Size, Options: named(o.sizes)},
		Provider: Field{
			Name: draftProvider, Label: "Manage your own encryption keys", Required: true, Value: d.Provider, Options: o.providerOptions(o.present),
			Hint: "The provider of the key need not be the cloud of the nodes.",
		},
		Backup:  Field{Name: draftBackup, Label: "Cloud Backup: take snapshots by a schedule", Type: "checkbox", Checked: d.Backup},
		Protect: Field{Name: draftProtect, Label: "Termination protection: it must be turned off before the cluster can be deleted", Type: "checkbox", Checked: d.Protect},
	}
	for i := range max(len(d.Regions), min(3, maxDraftRegions)) {
		var r draftRegion
		if i < len(d.Regions) {
			r = d.Regions[i]
		}
		row := rowOfRegion(i, r, o)
		row.Region.Error, row.Nodes.Error = wrong[row.Region.Name], wrong[row.Nodes.Name]
		if i < max(1, len(d.Regions)) {
			f.Regions = append(f.Regions, row)
		} else {
			f.More = append(f.More, row)
		}
	}
	f.Name.Error, f.Provider.Error = wrong[draftName], wrong[draftProvider]
	return f
}

// rowOfRegion is the choice of one region. The first is the one that the primary is in.
func rowOfRegion(i int, r draftRegion, o clusterOptions) regionFields {
	number := strconv.Itoa(i)
	regions, label := named(o.allRegions()), "Region"
	if i > 0 {
		label = "Another region"
		regions = append([]Option{{Value: "", Text: "None"}}, regions...)
	}
	if !slices.Contains(o.allRegions(), r.Name) { // another cloud's
		if r.Name = ""; i == 0 {
			r = draftRegion{o.standard, max(r.Nodes, nodeCounts[0])}
		}
	}
	var nodes []Option
	for n := range maxDraftRegions + 1 {
		nodes = append(nodes, Option{Value: strconv.Itoa(n), Text: count(n, "node")})
	}
	return regionFields{
		Field{Name: draftRegionAt + number, Label: label, Required: i == 0, Value: r.Name, Options: regions},
		Field{Name: draftNodesAt + number, Label: "Nodes there", Required: i == 0, Value: strconv.Itoa(r.Nodes), Options: nodes},
	}
}

func named(values []string) []Option {
	var options []Option
	for _, v := range values {
		options = append(options, Option{Value: v, Text: v})
	}
	return options
}
