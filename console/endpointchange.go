package console

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"latchkey/console/client"
	"latchkey/shared/atlas"
)

// privateToggleView is the question before private networking is required, or no longer.
type privateToggleView struct {
	GroupID  string
	Provider atlas.Provider
	Name     string
	Require  bool // what is asked for
	Closed   string
	Holds    []condition
	Confirm  Confirm
}

// condition is something that must hold for private networking.
type condition struct {
	Badge Badge
	Text  string
}

// Unmet reports whether private endpoints would be refused.
func (c condition) Unmet() bool { return c.Badge.Tone == Bad }

// How conditions stand. What the console cannot see is left to the tenant.
var (
	holds   = Badge{Good, "Holds"}
	fails   = Badge{Bad, "Does not hold"}
	seeToIt = Badge{Warning, "See to it"}
)

func loadPrivateToggle(v *Visit) (any, error) {
	r, err := v.readEndpoints()
	if err != nil {
		return nil, err
	}
	p := r.provider
	view := privateToggleView{GroupID: v.GroupID(), Provider: p, Name: ProviderName(p), Require: !requiresPrivate(r.settings, p)}
	if v.Sent() {
		view.Require = v.Form("require") == "on"
	}
	view.Closed = r.closedTo(view.Require)
	c := Confirm{
		Action: v.endpointsPage(p, "require"), Back: v.endpointsPage(p), Question: "Reach the key over private endpoints only?",
		Detail: "Nothing changes until the first endpoint is active. From then on the key is reached through private endpoints and in no other way.",
		Button: "Require Private Networking", Hidden: map[string]string{"require": "on"},
	}
	v.Title = "Require Private Networking"
	if view.Require {
		view.Holds = r.conditions()
	} else {
		v.Title = "Stop requiring private networking"
		c.Question, c.Detail, c.Button = "Let the key be reached over the public network?", "There are no private endpoints, so the key is reached that way already.", "Stop requiring it"
		c.Hidden = map[string]string{"require": "off"}
	}
	view.Confirm = c
	return view, nil
}

// closedTo says why a switch would be refused.
func (r endpointsRead) closedTo(require bool) string {
	switch {
	case !r.rights.Owns():
		return "Only Project Owners change private networking."
	case !isOn(r.settings, r.provider):
		return ProviderName(r.provider) + " is off. Set it up first."
	case !require && len(r.endpoints) > 0:
		var regions []string
		for _, e := range r.endpoints {
			regions = append(regions, e.RegionText())
		}
		return "Private networking cannot be switched off while there are private endpoints, whatever their status: delete " +
			count(len(regions), "endpoint") + " first (" + strings.Join(regions, ", ") + ")."
	}
	return ""
}

// conditions are what private networking demands, and whether it holds now.
func (r endpointsRead) conditions() []condition {
	var outside []string
	for _, c := range r.places {
		if c.isOutside(r.provider) {
			outside = append(outside, c.Name)
		}
	}
	cloud := condition{holds, "All clusters of the project are at one cloud provider, " + cloudNames[r.provider] + "."}
	if len(outside) > 0 {
		cloud = condition{fails, cloud.Text + " These have nodes elsewhere: " + strings.Join(outside, ", ") + "."}
	}
	if r.provider == atlas.AWS {
		return []condition{cloud, r.keyCondition()}
	}
	return []condition{cloud}
}

// keyCondition is whether a key of AWS can be where the nodes are.
func (r endpointsRead) keyCondition() condition {
	values := keyValues(r.settings, atlas.AWS)
	var away []string
	for _, name := range r.regionsOfClusters() {
		if name != values["region"] {
			away = append(away, regionText(atlas.AWS, name))
		}
	}
	elsewhere := strings.Join(away, ", ")
	switch {
	case len(away) == 0:
		return condition{holds, "The key is in the region of the clusters."}
	case mayMove(values["customerMasterKeyID"]):
		return condition{seeToIt, "There are nodes in " + elsewhere + " too. The key must be a multi-Region key with a replica in each of these regions."}
	}
	return condition{fails, "There are nodes in " + elsewhere + " too, and the key is a single-Region key: there can be an endpoint in its own region only. Use a multi-Region key first."}
}

// cloudNames are what clouds are called where nodes run in them.
var cloudNames = map[atlas.Provider]string{atlas.AWS: "AWS", atlas.Azure: "Azure", atlas.GCP: "Google Cloud"}

func setPrivate(v *Visit) (string, error) {
	p, err := v.endpointProvider()
	if err != nil {
		return "", err
	}
	require := v.Form("require") == "on"
	body := map[string]any{block(p): map[string]bool{"requirePrivateNetworking": require}}
	if err := v.API.Do(v.Context(), http.MethodPatch, v.Group("encryptionAtRest"), body, nil); err != nil {
		return "", placed(err, p, nil)
	}
	if require {
		v.Say("Private networking is required. It takes effect with the first endpoint that is active.")
		return v.endpointsPage(p, "new"), nil
	}
	v.Say("Private networking is not required any more.")
	return v.endpointsPage(p), nil
}

// endpointNewView is where endpoints are created: the steps of the first time, and the regions.
type endpointNewView struct {
	GroupID   string
	Provider  atlas.Provider
	Name      string
	Closed    string
	First     bool
	Key       string
	Single    bool // the key is in one region alone
	Home      string
	Policy    *Document
	Regions   []regionChoice // of clusters
	Others    []regionChoice
	Any       bool // another region was chosen
	None      bool // the operator has no network
	Wrong     string
	Action    string
	Back      string
	Condition []condition
}

// regionChoice is a box to tick.
type regionChoice struct {
	Name, Text string
	Clusters   []string
	Checked    bool
}

func loadEndpointNew(v *Visit) (any, error) {
	r, err := v.readEndpoints()
	if err != nil {
		return nil, err
	}
	p := r.provider
	values := keyValues(r.settings, p)
	view := endpointNewView{
		GroupID: v.GroupID(), Provider: p, Name: ProviderName(p), First: len(r.endpoints) == 0, Key: values["customerMasterKeyID"],
		Action: v.endpointsPage(p, "new"), Back: v.endpointsPage(p), Wrong: v.Failure.Field("region"),
	}
	v.Title = "Create private endpoints for " + view.Name
	if view.First {
		v.Title = "Set up private networking for " + cloudNames[p]
	}
	switch {
	case !r.rights.Owns():
		view.Closed = "Only Project Owners create private endpoints."
	case !isOn(r.settings, p):
		view.Closed = view.Name + " is off. Set it up first."
	case !requiresPrivate(r.settings, p):
		view.Closed = "Switch on Require Private Networking first."
	}
	if p == atlas.AWS {
		view.Single, view.Home = !mayMove(view.Key), regionText(p, values["region"])
		statement := AWSKeyPolicyStatement(AWSKeyUse{RoleARN: r.role.name, Key: view.Key, Region: values["region"]})
		view.Policy = &statement
	} else {
		view.Key = values["keyVaultName"]
	}
	view.None = len(r.networks) == 0
	view.choices(v, r)
	for _, c := range r.conditions() {
		if c.Unmet() {
			view.Condition = append(view.Condition, c)
		}
	}
	return view, nil
}

// choices offers the regions: those of the clusters first, and chosen unless somebody says otherwise.
func (view *endpointNewView) choices(v *Visit, r endpointsRead) {
	withNodes := r.regionsOfClusters()
	for _, name := range r.offered() {
		if r.has(name) {
			continue
		}
		own := slices.Contains(withNodes, name)
		choice := regionChoice{Name: name, Text: regionText(r.provider, name), Clusters: r.relyOn(name), Checked: own || view.Single}
		if v.Sent() {
			choice.Checked = slices.Contains(v.r.PostForm["region"], name)
		}
		if own || view.Single {
			view.Regions = append(view.Regions, choice)
			continue
		}
		view.Any = view.Any || choice.Checked
		view.Others = append(view.Others, choice)
	}
	slices.SortFunc(view.Others, func(a, b regionChoice) int { return strings.Compare(a.Text, b.Text) })
}

// createEndpoints asks for an endpoint in each region that was chosen.
func createEndpoints(v *Visit) (string, error) {
	p, err := v.endpointProvider()
	if err != nil {
		return "", err
	}
	regions := slices.Compact(slices.Sorted(slices.Values(v.r.PostForm["region"])))
	if len(regions) == 0 {
		return "", Refuse("Choose the regions.", map[string]string{"region": "Choose at least one."})
	}
	var made []string
	for _, region := range regions {
		err := v.API.Do(v.Context(), http.MethodPost, v.endpointsAPI(p), map[string]string{"regionName": region}, nil)
		if err != nil {
			return "", endpointRefused(err, regionText(p, region), made)
		}
		made = append(made, regionText(p, region))
	}
	said := "A private endpoint is being created in " + strings.Join(made, ", ") + "."
	if len(made) > 1 {
		said = "Private endpoints are being created in " + strings.Join(made, ", ") + "."
	}
	v.Say(said[:min(len(said), 500)])
	return v.endpointsPage(p), nil
}

// endpointRefused says in which region nothing was created, and in which something was.
func endpointRefused(err error, region string, made []string) error {
	e, ok := errors.AsType[*client.Error](err)
	if !ok {
		return err
	}
	told := *e
	told.Detail = region + ": " + e.Detail
	if len(made) > 0 {
		told.Detail += " " + strconv.Itoa(len(made)) + " before it are being created: " + strings.Join(made, ", ") + "."
	}
	told.Fields = append(slices.Clone(e.Fields), atlas.FieldError{Field: "region", Description: told.Detail + " (" + string(e.Code) + ")"})
	return &told
}

// endpointDeleteView is the question before an endpoint is deleted.
type endpointDeleteView struct {
	GroupID  string
	Provider atlas.Provider
	Endpoint privateEndpoint
	Closed   string
	Clusters []string
	Last     bool // the last one that is active
	Serves   bool // it is active
	Confirm  Confirm
}

func loadEndpointDelete(v *Visit) (any, error) {
	r, err := v.readEndpoints()
	if err != nil {
		return nil, err
	}
	p := r.provider
	view := endpointDeleteView{GroupID: v.GroupID(), Provider: p}
	back := v.endpointsPage(p)
	v.Title = "Delete a private endpoint"
	if !r.rights.Owns() {
		view.Closed = "Only Project Owners delete private endpoints."
		return view, nil
	}
	i := slices.IndexFunc(r.endpoints, func(e privateEndpoint) bool { return e.ID == v.Param("endpointId") })
	if i < 0 {
		return nil, &client.Error{Status: http.StatusNotFound, Code: atlas.ResourceNotFound, Detail: "There is no such private endpoint any more."}
	}
	e := r.endpoints[i]
	view.Endpoint, view.Serves = e, e.Status == endpointActive
	if view.Serves {
		view.Clusters = r.relyOn(e.Region)
	}
	view.Last = view.Serves && !slices.ContainsFunc(r.endpoints, func(o privateEndpoint) bool {
		return o.ID != e.ID && (o.Status == endpointActive || o.Status == endpointRecreation)
	})
	v.Title = "Delete the private endpoint in " + e.RegionText()
	view.Confirm = Confirm{
		Question: "Delete the private endpoint " + or(text(e.Name), e.ID) + " in " + e.RegionText() + "?",
		Detail:   "It cannot be brought back. Another one that is created in the region has another name.",
		Action:   v.endpointsPage(p, e.ID, "delete"), Button: "Delete", Danger: true, Back: back,
	}
	return view, nil
}

func deleteEndpoint(v *Visit) (string, error) {
	p, err := v.endpointProvider()
	if err != nil {
		return "", err
	}
	if err := v.API.Do(v.Context(), http.MethodDelete, v.endpointsAPI(p, v.Param("endpointId")), nil, nil); err != nil {
		return "", err
	}
	v.Say("The private endpoint is being deleted.")
	return v.endpointsPage(p), nil
}
