package console

import (
	"net/http"
	"slices"
	"strings"

	"latchkey/console/client"
	"latchkey/shared/atlas"
)

// privateEndpoint is a private endpoint to a provider's key management.
type privateEndpoint struct {
	ID       string         `json:"id"`
	Provider atlas.Provider `json:"cloudProvider"`
	Region   string         `json:"regionName"`
	Status   string         `json:"status"`
	Name     *string        `json:"privateEndpointConnectionName"`
	Message  *string        `json:"errorMessage"`
}

// The statuses of private endpoints.
const (
	endpointInitiating = "INITIATING"
	endpointPending    = "PENDING_ACCEPTANCE"
	endpointActive     = "ACTIVE"
	endpointFailed     = "FAILED"
	endpointRecreation = "PENDING_RECREATION"
	endpointDeleting   = "DELETING"
)

// Badge is the status in words.
func (e privateEndpoint) Badge() Badge {
	switch e.Status {
	case endpointInitiating:
		return Badge{Busy, "Being created"}
	case endpointPending:
		return Badge{Warning, "Waits for your approval"}
	case endpointActive:
		return Badge{Good, "Active"}
	case endpointFailed:
		return Badge{Bad, "Failed"}
	case endpointRecreation:
		return Badge{Warning, "Being replaced"}
	case endpointDeleting:
		return Badge{Busy, "Being deleted"}
	}
	return Badge{Neutral, e.Status}
}

// Todo is what the status asks of the tenant.
func (e privateEndpoint) Todo() string {
	switch e.Status {
	case endpointInitiating:
		if text(e.Message) != "" {
			return "Let the role use the key through this endpoint. It becomes active by itself once the key opens."
		}
		return "Nothing to do: it takes some minutes. It can be deleted once that is over."
	case endpointPending:
		return "Approve the connection at Azure, as below."
	case endpointActive:
		return "Nothing to do: the key is reached through it."
	case endpointFailed:
		return "Delete it, and create another one once it is gone."
	case endpointRecreation:
		return "It was rejected or removed at the provider. Another one is being created in its place, and may need your approval."
	case endpointDeleting:
		return "Nothing to do: it is gone in some minutes."
	}
	return ""
}

// Deletable reports whether the API takes a deletion.
func (e privateEndpoint) Deletable() bool {
	return e.Status != endpointInitiating && e.Status != endpointDeleting
}

// every is how often a status is worth being read again.
func (e privateEndpoint) every() string {
	switch e.Status {
	case endpointInitiating, endpointDeleting, endpointRecreation:
		return "5s"
	case endpointPending:
		return "15s" // it is up to the tenant
	}
	return ""
}

// endpointsView is the page of private networking of a provider.
type endpointsView struct {
	GroupID  string
	Provider atlas.Provider
	Name     string
	Owns     bool
	On       bool // the provider is
	Required bool
	InForce  bool
	Rows     []endpointRow
	Approve  []Document
	Gaps     []endpointGap
	Lock     *Document
	Every    string
}

// endpointRow is an endpoint in the table, with the clusters that rely on it.
type endpointRow struct {
	privateEndpoint

	Clusters []string
}

// endpointGap is a region of clusters without an endpoint.
type endpointGap struct {
	Region   string
	Text     string
	Clusters []string
}

// endpointsRead is what the pages of private networking read.
type endpointsRead struct {
	provider  atlas.Provider
	settings  atlas.EncryptionAtRest
	rights    Rights
	reports   map[atlas.Provider]keyReport
	places    []clusterPlaces
	endpoints []privateEndpoint
	networks  []string // regions in which the operator has a network
	role      keyRole
}

// clusterPlaces is where the nodes of a cluster are.
type clusterPlaces struct {
	Name     string `json:"name"`
	Provider string `json:"encryptionAtRestProvider"`
	Specs    []struct {
		Regions []struct {
			Provider atlas.Provider `json:"providerName"`
			Region   string         `json:"regionName"`
		} `json:"regionConfigs"`
	} `json:"replicationSpecs"`
}

// isIn reports whether nodes are in a region of a provider.
func (c clusterPlaces) isIn(p atlas.Provider, region string) bool {
	for _, s := range c.Specs {
		for _, r := range s.Regions {
			if r.Provider == p && r.Region == region {
				return true
			}
		}
	}
	return false
}

// isOutside reports whether nodes are at another provider.
func (c clusterPlaces) isOutside(p atlas.Provider) bool {
	for _, s := range c.Specs {
		for _, r := range s.Regions {
			if r.Provider != p {
				return true
			}
		}
	}
	return false
}

func (v *Visit) clusterPlaces() ([]clusterPlaces, error) {
	var page atlas.Page[clusterPlaces]
	err := v.API.Get(v.Context(), v.Group("clusters"), wholeList(), &page)
	return page.Results, err
}

// endpointProvider is the provider of the path, which has private endpoints.
func (v *Visit) endpointProvider() (atlas.Provider, error) {
	p, err := v.provider()
	if err == nil && p == atlas.GCP {
		err = &client.Error{Status: http.StatusNotFound, Code: atlas.ResourceNotFound, Detail: "Google Cloud KMS has no private endpoints here."}
	}
	return p, err
}

func (v *Visit) readEndpoints() (endpointsRead, error) {
	p, err := v.endpointProvider()
	if err != nil {
		return endpointsRead{}, err
	}
	r := endpointsRead{provider: p}
	var roles atlas.CloudProviderAccess
	err = Together(
		into(&r.settings, v.settings), into(&r.rights, v.Rights), into(&r.reports, v.keyReports), into(&r.places, v.clusterPlaces), into(&roles, v.accessRoles),
		into(&r.networks, func() ([]string, error) { return v.networkRegions(p) }),
	)
	if err == nil && r.rights.Owns() { // nobody else may read them
		var page atlas.Page[privateEndpoint]
		err = v.API.Get(v.Context(), v.endpointsAPI(p), wholeList(), &page)
		r.endpoints = page.Results
	}
	r.role = roleOf(roles, p, keyValues(r.settings, p)["roleId"])
	return r, err
}

// networkRegions are where the operator has a network for endpoints. Where it has none at all, the
// operation is not there.
func (v *Visit) networkRegions(p atlas.Provider) ([]string, error) {
	var all struct {
		Regions []string `json:"regions"`
	}
	err := v.API.Get(v.Context(), v.OwnGroup("encryptionAtRest", string(p), "privateEndpointRegions"), nil, &all)
	if client.IsNotFound(err) {
		return nil, nil
	}
	return all.Regions, err
}

// endpointsAPI is the path of a provider's endpoints.
func (v *Visit) endpointsAPI(p atlas.Provider, more ...string) string {
	return v.Group(append([]string{"encryptionAtRest", string(p), "privateEndpoints"}, more...)...)
}

// endpointsPage is the page of a provider's endpoints, or one below it.
func (v *Visit) endpointsPage(p atlas.Provider, more ...string) string {
	return v.Page(append([]string{"advanced", string(p), "endpoints"}, more...)...)
}

// requiresPrivate reports whether a provider's configuration requires private networking.
func requiresPrivate(s atlas.EncryptionAtRest, p atlas.Provider) bool {
	required := s.AWSKMS.RequirePrivateNetworking
	if p == atlas.Azure {
		required = s.AzureKeyVault.RequirePrivateNetworking
	}
	return required != nil && *required
}

func loadEndpoints(v *Visit) (any, error) {
	r, err := v.readEndpoints()
	if err != nil {
		return nil, err
	}
	p := r.provider
	view := endpointsView{
		GroupID: v.GroupID(), Provider: p, Name: ProviderName(p), Owns: r.rights.Owns(), On: isOn(r.settings, p),
		Required: requiresPrivate(r.settings, p), Lock: r.lock(),
	}
	v.Title = "Private endpoints for " + view.Name
	if key := r.reports[p].InUse; key != nil {
		view.InForce = key.Private.InForce
	}
	for _, e := range r.endpoints {
		view.Rows = append(view.Rows, endpointRow{e, r.relyOn(e.Region)})
		view.Every = sooner(view.Every, e.every())
		if e.Status == endpointPending && p == atlas.Azure {
			view.Approve = append(view.Approve, r.approval(e))
		}
	}
	if view.Required {
		view.Gaps = r.gaps()
	}
	if view.Every != "" {
		view.Lock = nil // which endpoints there are is about to change
	}
	return view, nil
}

// relyOn are the clusters with nodes in a region whose data is under the provider's key.
func (r endpointsRead) relyOn(region string) []string {
	var names []string
	for _, c := range r.places {
		if c.Provider == string(r.provider) && c.isIn(r.provider, awsSpelling(r.provider, region)) {
			names = append(names, c.Name)
		}
	}
	return names
}

// awsSpelling is a region as the API spells it. Endpoints show what they were created with.
func awsSpelling(p atlas.Provider, region string) string {
	if p == atlas.AWS {
		return regionOption(region)
	}
	return region
}

// regionsOfClusters are where there are nodes, sorted.
func (r endpointsRead) regionsOfClusters() []string {
	var regions []string
	for _, c := range r.places {
		for _, s := range c.Specs {
			for _, at := range s.Regions {
				if at.Provider == r.provider && !slices.Contains(regions, at.Region) {
					regions = append(regions, at.Region)
				}
			}
		}
	}
	slices.Sort(regions)
	return regions
}

// has reports whether there is an endpoint in a region, whatever its status: there can't be another one.
func (r endpointsRead) has(region string) bool {
	return slices.ContainsFunc(r.endpoints, func(e privateEndpoint) bool {
		return e.Status != endpointRecreation && awsSpelling(r.provider, e.Region) == region
	})
}

// gaps are the regions of clusters under the key in which there is no endpoint.
func (r endpointsRead) gaps() []endpointGap {
	var gaps []endpointGap
	for _, region := range r.regionsOfClusters() {
		if clusters := r.relyOn(region); len(clusters) > 0 && !r.has(region) && slices.Contains(r.offered(), region) {
			gaps = append(gaps, endpointGap{region, regionText(r.provider, region), clusters})
		}
	}
	return gaps
}

// offered are the regions in which there can be an endpoint: where the operator has a network and, at
// AWS, the key is or can have a replica.
func (r endpointsRead) offered() []string {
	all := slices.Clone(r.networks)
	if r.provider != atlas.AWS {
		return all
	}
	values := keyValues(r.settings, atlas.AWS)
	home, err := atlas.ParseAWSRegion(values["region"])
	if err != nil {
		return all
	}
	return slices.DeleteFunc(all, func(name string) bool {
		region, err := atlas.ParseAWSRegion(name)
		return err != nil || region.Partition() != home.Partition() || region != home && !mayMove(values["customerMasterKeyID"])
	})
}

// regionText is a region as people know it.
func regionText(p atlas.Provider, name string) string {
	if p == atlas.AWS {
		return strings.ToLower(strings.ReplaceAll(name, "_", "-"))
	}
	return name
}

// RegionText is the region as people know it.
func (e privateEndpoint) RegionText() string { return regionText(e.Provider, e.Region) }

// approval is how a tenant approves a connection at Azure.
func (r endpointsRead) approval(e privateEndpoint) Document {
	values := keyValues(r.settings, atlas.Azure)
	return Document{
		ID: "approve-" + e.ID, Label: "Approve the connection " + or(text(e.Name), e.ID) + " (" + e.Region + ")",
		Where: "In the Azure portal: the key vault, Networking, Private endpoint connections; select the connection of this name, then Approve. It is active some minutes later.",
		Text: AzureKeyUse{Environment: values["azureEnvironment"]}.cloud() +
			command("az", "keyvault", "private-endpoint-connection", "approve", "--name", or(text(e.Name), "CONNECTION"),
				"--vault-name", or(values["keyVaultName"], placeVault), "--resource-group", or(values["resourceGroupName"], placeGroup)),
	}
}

// lock is what makes a key of AWS refuse the role on any other way than the active endpoints; nil while
// that would shut everything out.
func (r endpointsRead) lock() *Document {
	var ids []string
	for _, e := range r.endpoints {
		if e.Status == endpointActive && text(e.Name) != "" {
			ids = append(ids, text(e.Name))
		}
	}
	if r.provider != atlas.AWS || len(ids) == 0 || r.role.name == "" {
		return nil
	}
	return &Document{
		ID: "lock", Label: "Statement for the key policy",
		Where: "In the AWS console: KMS, the key, Key policy, Edit. Each replica has a policy of its own.",
		Text: indented(awsStatement{
			Sid: "LatchkeyOverPrivateEndpointsOnly", Effect: "Deny", Principal: map[string]string{"AWS": r.role.name}, Action: awsKeyActions, Resource: "*",
			Condition: map[string]any{"StringNotEquals": map[string]any{"aws:SourceVpce": ids}},
		}),
	}
}

// endpointsPath is the pages of private endpoints.
const endpointsPath = groupsPath + "/{groupId}/advanced/{provider}/endpoints"
