package console

import (
	"cmp"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"sync"

	"latchkey/shared/atlas"
)

// clusterDraft is a cluster as somebody fills it in. It travels in the address from the form to the
// review, so that a review can be reloaded, gone back from, and needs no script.
type clusterDraft struct {
	Name     string
	Cloud    atlas.Provider
	Size     string
	Regions  []draftRegion
	Provider string // whose key encrypts it, as the API spells it; noProvider for none
	Backup   bool
	Protect  bool
}

// draftRegion is how many electable nodes there are in a region.
type draftRegion struct {
	Name  string
	Nodes int
}

// Names of what travels.
const (
	draftSent     = "drafted" // there, if the form was filled in at all: a box that is not ticked is not sent
	draftName     = "name"
	draftCloud    = "cloud"
	draftTo       = "to" // the cloud that a button goes over to
	draftSize     = "size"
	draftRegionAt = "region"
	draftNodesAt  = "nodes"
	draftProvider = "provider"
	draftBackup   = "backup"
	draftProtect  = "protect"
	draftSeen     = "seen" // the cluster that was reviewed
)

// maxDraftRegions is how many regions the form has. A shard has seven electable nodes at most.
const maxDraftRegions = 7

// typed is what came along: with the address, or with the form that applies a review.
func (v *Visit) typed(name string) string {
	if v.Sent() {
		return v.Form(name)
	}
	return v.Query(name)
}

// draft reads what was filled in over what is there to begin with.
func (v *Visit) draft(begin clusterDraft) clusterDraft {
	if v.typed(draftSent) == "" {
		return begin
	}
	d := clusterDraft{
		Name: v.typed(draftName), Cloud: begin.Cloud, Size: v.typed(draftSize), Provider: cmp.Or(v.typed(draftProvider), noProvider),
		Backup: v.typed(draftBackup) != "", Protect: v.typed(draftProtect) != "",
	}
	for i := range maxDraftRegions {
		name := v.typed(draftRegionAt + strconv.Itoa(i))
		nodes, err := strconv.Atoi(v.typed(draftNodesAt + strconv.Itoa(i)))
		if err != nil {
			nodes = 0
		}
		if name != "" {
			d.Regions = append(d.Regions, draftRegion{name, nodes})
		}
	}
	return d
}

// Values are the draft as it travels.
func (d clusterDraft) Values() url.Values {
	q := url.Values{draftSent: {"on"}, draftCloud: {string(d.Cloud)}, draftName: {d.Name}, draftSize: {d.Size}, draftProvider: {d.Provider}}
	for i, r := range d.Regions {
		q.Set(draftRegionAt+strconv.Itoa(i), r.Name)
		q.Set(draftNodesAt+strconv.Itoa(i), strconv.Itoa(r.Nodes))
	}
	for name, on := range map[string]bool{draftBackup: d.Backup, draftProtect: d.Protect} {
		if on {
			q.Set(name, "on")
		}
	}
	return q
}

func (d clusterDraft) isEncrypted() bool { return d.Provider != noProvider }

func (d clusterDraft) nodes() (n int) {
	for _, r := range d.Regions {
		n += r.Nodes
	}
	return n
}

var clusterNameForm = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9-]{0,63}$`) })

// nodeCounts are the numbers of electable nodes that always find a majority.
var nodeCounts = []int{3, 5, 7}

// wrongs are what is wrong with a draft, by field. The API has the last word.
func (d clusterDraft) wrongs(o clusterOptions) map[string]string {
	wrong := map[string]string{}
	if !clusterNameForm().MatchString(d.Name) {
		wrong[draftName] = "A name has up to 64 letters, digits and hyphens, and does not begin with a hyphen."
	}
	if len(d.Regions) == 0 {
		wrong[draftRegionAt+"0"] = "Choose a region."
	}
	if n := d.nodes(); !o.fixed && !slices.Contains(nodeCounts, n) {
		wrong[draftNodesAt+"0"] = "There must be 3, 5 or 7 nodes that can be elected, in all regions together. These are " + strconv.Itoa(n) + "."
	}
	for i, r := range d.Regions {
		if i > 0 && slices.ContainsFunc(d.Regions[:i], func(other draftRegion) bool { return other.Name == r.Name }) {
			wrong[draftRegionAt+strconv.Itoa(i)] = "This region is chosen twice."
		}
	}
	if d.isEncrypted() && !o.canUse(d.Provider) {
		wrong[draftProvider] = "Choose a provider whose key is set up and valid."
	}
	return wrong
}

// body is the draft as the API takes a new cluster.
func (d clusterDraft) body() map[string]any {
	return map[string]any{
		"name": d.Name, "clusterType": "REPLICASET", "encryptionAtRestProvider": d.Provider, "backupEnabled": d.Backup,
		"terminationProtectionEnabled": d.Protect, "replicationSpecs": []any{map[string]any{"regionConfigs": d.regionBodies()}},
	}
}

// highest is the priority of the region that the primary is in if it can be.
const highest = 7

func (d clusterDraft) regionBodies() []any {
	var regions []any
	priority := highest
	for _, r := range d.Regions {
		regions = append(regions, map[string]any{
			"providerName": d.Cloud, "regionName": r.Name, "priority": priority,
			"electableSpecs": map[string]any{"instanceSize": d.Size, "nodeCount": r.Nodes},
		})
		priority--
	}
	return regions
}
