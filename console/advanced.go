package console

import (
	"net/http"
	"strings"

	"latchkey/shared/atlas"
	"latchkey/shared/verdict"
)

// advancedPath is the page of encryption with the tenant's own keys.
const advancedPath = groupsPath + "/{groupId}/advanced"

// advancedView is what it shows.
type advancedView struct {
	GroupID string
	Cards   []keyCard
	Search  Field
	Owns    bool
	AnyOn   bool
	Every   string // how often the page is brought up to date; "" while nothing moves
	Missing *Missing
	Unread  bool // nobody knows what whoever looks may do
	NoKnob  bool // nor how search nodes are set
}

// keyCard is a provider on the page.
type keyCard struct {
	GroupID  string
	Provider atlas.Provider
	Name     string
	On       bool
	Owns     bool
	Badge    Badge
	Facts    []keyFact
	Key      *keyInUse // nil while the provider is off
	Version  string
	Sentence string
	Remedy   string
	Change   *changeView
	Former   []formerView
	Clusters []keyCluster
	NoUsers  bool // which clusters use it cannot be read
	// What may be offered.
	HasSecret bool // static credentials: it can switch to role-based access
	Moves     bool // the key may be a multi-Region key
	Private   bool // the provider has private endpoints
}

// keyFact is a line of a configuration.
type keyFact struct {
	Name, Value string
	Mono        bool
}

// keyCluster is a cluster that uses a key.
type keyCluster struct {
	Name    string
	Stopped bool
}

// formerView is a former key, with the clusters of the nodes that need it.
type formerView struct {
	formerKey
	NodeOf []nodeOf
}

// nodeOf is a node and its cluster, "" if that is not known.
type nodeOf struct{ Node, Cluster string }

// advancedRead is what the page reads.
type advancedRead struct {
	Missing

	settings atlas.EncryptionAtRest
	reports  map[atlas.Provider]keyReport
	users    []keyUser
	roles    atlas.CloudProviderAccess
	rights   Rights
	clusters map[string]string // by node
}

// The parts of the page that may be missing, besides those of clusters.
const (
	partSettings = "The configuration of keys"
	partReports  = "The state of keys"
	partRoles    = "The list of access roles"
	partNodes    = "Which nodes need former keys"
)

func loadAdvanced(v *Visit) (any, error) {
	r, err := v.readAdvanced()
	if err != nil {
		return nil, err
	}
	view := advancedView{
		GroupID: v.GroupID(), Owns: r.rights.Owns(), Missing: &r.Missing, Unread: r.Lacks(partRights), NoKnob: r.Lacks(partSettings),
	}
	if len(r.Parts()) > 0 {
		view.Every = "30s"
	}
	for _, p := range atlas.Providers() {
		card := r.card(v, p)
		view.Cards = append(view.Cards, card)
		view.AnyOn = view.AnyOn || card.On
		view.Every = sooner(view.Every, card.every())
	}
	view.Search = v.Field(Field{
		Name: "enabledForSearchNodes", Type: "checkbox", Label: "Encrypt search nodes with the same key too", Checked: r.settings.EnabledForSearchNodes,
	})
	return view, nil
}

// readAdvanced reads what there is: either the configuration or the state of keys is enough for a page.
func (v *Visit) readAdvanced() (*advancedRead, error) {
	r := &advancedRead{}
	err := Together(
		r.Part(partSettings, into(&r.settings, v.settings)),
		r.Part(partClusters, into(&r.users, v.keyUsers)),
		r.Part(partRoles, into(&r.roles, v.accessRoles)),
		r.Part(partRights, into(&r.rights, v.Rights)),
	)
	if err == nil { // after the configuration, which is read with a check of the keys
		err = r.Part(partReports, into(&r.reports, v.keyReports))()
	}
	if err == nil {
		err = r.Part(partNodes, func() (err error) { r.clusters, err = v.clustersOfNodes(r.reports); return err })()
	}
	if err == nil {
		err = r.Unless(partSettings, partReports)
	}
	return r, err
}

// into has a function's result stored, for Together.
func into[T any](to *T, read func() (T, error)) func() error {
	return func() error {
		got, err := read()
		*to = got
		return err
	}
}

// clustersOfNodes tells which clusters the nodes that need former keys belong to. It asks only if
// there are any.
func (v *Visit) clustersOfNodes(reports map[atlas.Provider]keyReport) (map[string]string, error) {
	needed := false
	for _, r := range reports {
		for _, f := range r.Former {
			needed = needed || len(f.Nodes) > 0
		}
	}
	if !needed {
		return nil, nil
	}
	var held struct {
		MasterKeys []struct {
			Node    string `json:"nodeId"`
			Cluster string `json:"clusterName"`
		} `json:"masterKeys"`
	}
	err := v.API.Get(v.Context(), v.OwnGroup("masterKeys"), nil, &held)
	of := map[string]string{}
	for _, k := range held.MasterKeys {
		of[k.Node] = k.Cluster
	}
	return of, err
}

func (r *advancedRead) card(v *Visit, p atlas.Provider) keyCard {
	report := r.reports[p]
	c := keyCard{
		GroupID: v.GroupID(), Provider: p, Name: ProviderName(p), On: isOn(r.settings, p), Owns: r.rights.Owns(),
		Key: report.InUse, Change: viewChange(report.Change), Private: p != atlas.GCP, Badge: Badge{Neutral, "Off"}, NoUsers: r.Lacks(partClusters),
	}
	if r.Lacks(partSettings) {
		c.On = report.InUse != nil
	}
	for _, f := range report.Former {
		c.Former = append(c.Former, r.former(f))
	}
	for _, u := range r.users {
		if u.uses(p) {
			c.Clusters = append(c.Clusters, keyCluster{u.Name, u.stoppedBy(p)})
		}
	}
	if !c.On {
		c.Key = nil
		return c
	}
	if r.Lacks(partSettings) {
		c.Facts = []keyFact{{"Key", report.InUse.Key, true}}
	} else {
		c = c.configured(r)
	}
	if c.Key != nil {
		c.Version = versionOf(c.Key.Key, c.Key.Version)
		c.Badge = VerdictBadge(c.Key.Status.Class, c.Key.Status.Reason)
		c.Sentence, c.Remedy = statusSentence(c.Key.Status), remedy(c.Key.Status, c.Moves)
	}
	return c
}

// configured adds what the configuration says.
func (c keyCard) configured(r *advancedRead) keyCard {
	values := keyValues(r.settings, c.Provider)
	c.Badge = KeyBadge(true, validBySettings(r.settings, c.Provider))
	c.Facts = keyFacts(r.settings, r.roles, c.Provider)
	c.HasSecret = values["roleId"] == ""
	c.Moves = c.Provider == atlas.AWS && mayMove(values["customerMasterKeyID"])
	return c
}

func (r *advancedRead) former(f formerKey) formerView {
	view := formerView{formerKey: f}
	view.Version = versionOf(f.Key, f.Version)
	for _, node := range f.Nodes {
		view.NodeOf = append(view.NodeOf, nodeOf{node, r.clusters[node]})
	}
	return view
}

// versionOf is a version beside its key, "" if it says no more. AWS names a key's material by its ARN,
// the material's id behind a hash.
func versionOf(key, version string) string {
	return strings.TrimPrefix(strings.TrimPrefix(version, key), "#")
}

// every is how often a card is worth being read again.
func (c keyCard) every() string {
	switch {
	case c.Change != nil && c.Change.Badge.Tone == Busy, c.On && c.Badge.Tone == Busy:
		return "5s"
	case c.On && c.Badge.Tone != Good, c.Change != nil && c.Change.EndedAt == nil:
		return "30s" // it is checked every minute
	}
	return ""
}

func sooner(a, b string) string {
	if a == "5s" || b == "" {
		return a
	}
	return b
}

func validBySettings(s atlas.EncryptionAtRest, p atlas.Provider) bool {
	switch p {
	case atlas.AWS:
		return s.AWSKMS.Valid
	case atlas.Azure:
		return s.AzureKeyVault.Valid
	case atlas.GCP:
		return s.GoogleCloudKMS.Valid
	}
	return false
}

// keyFacts are the lines of a configuration, and how the key is reached.
func keyFacts(s atlas.EncryptionAtRest, roles atlas.CloudProviderAccess, p atlas.Provider) []keyFact {
	values := keyValues(s, p)
	facts := []keyFact{accessFact(values, roles, p)}
	switch p {
	case atlas.AWS:
		facts = append(facts, keyFact{"Customer master key ID", values["customerMasterKeyID"], true}, keyFact{"Region", strings.ToLower(strings.ReplaceAll(values["region"], "_", "-")), false})
	case atlas.Azure:
		facts = append(facts,
			keyFact{"Key identifier", values["keyIdentifier"], true}, keyFact{"Key vault", values["keyVaultName"], true},
			keyFact{"Resource group", values["resourceGroupName"], true}, keyFact{"Subscription ID", values["subscriptionID"], true},
			keyFact{"Directory (tenant) ID", values["tenantID"], true}, keyFact{"Environment", environmentNames[values["azureEnvironment"]], false},
		)
		if ends := values["secretExpiresAt"]; ends != "" {
			facts = append(facts, keyFact{"Client secret ends", ends, false})
		}
	case atlas.GCP:
		facts = append(facts, keyFact{"Key version resource ID", values["keyVersionResourceID"], true})
	}
	return facts
}

var environmentNames = map[string]string{
	string(atlas.AzurePublic): "Azure", string(atlas.AzureChina): "Azure China", string(atlas.AzureUSGovernment): "Azure US Government",
}

// accessFact says how a key is reached.
func accessFact(values map[string]string, roles atlas.CloudProviderAccess, p atlas.Provider) keyFact {
	if id := values["roleId"]; id != "" {
		return keyFact{roleWords[p], or(roleOf(roles, p, id).name, id), true}
	}
	switch p {
	case atlas.AWS:
		return keyFact{"Access key ID of an IAM user", values["accessKeyID"], true}
	case atlas.Azure:
		return keyFact{"Application (client) ID, with a secret", values["clientID"], true}
	case atlas.GCP:
	}
	return keyFact{"Access", "The key file of a service account of yours", false}
}

// roleWords are what an access role is called at each provider.
var roleWords = map[atlas.Provider]string{atlas.AWS: "AWS IAM role", atlas.Azure: "Service principal", atlas.GCP: "Service account"}

// mayMove reports whether a key can have replicas in other regions. An alias does not tell.
func mayMove(key string) bool {
	name, err := atlas.ParseAWSKeyName(key)
	return err == nil && (name.IsMultiRegion() || name.IsAlias())
}

// tryAgain validates the keys now, and says what was found.
func tryAgain(v *Visit) (string, error) {
	var found struct {
		Providers []keyStatus `json:"providers"`
	}
	if err := v.API.Do(v.Context(), http.MethodPost, v.OwnGroup("encryptionAtRest", "validate"), nil, &found); err != nil {
		return "", err
	}
	if len(found.Providers) == 0 {
		v.SayAs(Neutral, "There is no key to check: no provider is on.")
		return "", nil
	}
	tone, words := Good, []string{"Checked just now."}
	for _, f := range found.Providers {
		badge := VerdictBadge(f.Class, f.Reason)
		words = append(words, ProviderName(f.Provider)+": "+strings.ToLower(badge.Text)+".")
		switch {
		case f.Class == verdict.Invalid:
			tone = Bad
		case f.Class != verdict.Valid && tone != Bad:
			tone = Warning
		}
	}
	if tone != Good {
		words = append(words, "What was found, and what to do, is below.")
	}
	v.SayAs(tone, strings.Join(words, " "))
	return "", nil
}

// setSearchNodes stores whether search nodes use the key.
func setSearchNodes(v *Visit) (string, error) {
	on := v.Checked("enabledForSearchNodes")
	body := map[string]bool{"enabledForSearchNodes": on}
	err := v.API.Do(v.Context(), http.MethodPatch, v.Group("encryptionAtRest"), body, nil)
	if err == nil && on {
		v.Say("Search nodes are encrypted with your key too.")
	} else if err == nil {
		v.Say("Search nodes are no longer encrypted with your key.")
	}
	return "", err
}
