package console

import (
	"cmp"
	"fmt"
	"slices"

	"latchkey/shared/atlas"
)

// Sentences of reviews.
const (
	sayPatience = "If your key lets in only certain IP addresses, add those of the new nodes; the cluster's page shows them. " +
		"It is tried for three days, then the change is rolled back."
	sayQuorum = "Each node rebuilds its data (initial sync), one at a time in each shard, the primary last. " +
		"The other nodes serve meanwhile, so the cluster keeps its quorum and stays available."
)

// reviewOfNew reviews a cluster that is not there yet.
func reviewOfNew(d clusterDraft, o clusterOptions) *clusterReview {
	r := &clusterReview{Hidden: hidden(d)}
	r.row("Name", "", d.Name)
	r.row("Cloud provider", "", cloudName(d.Cloud))
	for _, region := range d.Regions {
		r.row("Nodes in "+region.Name, "", count(region.Nodes, "node"))
	}
	r.row("Instance size", "", d.Size)
	r.row("Manage your own encryption keys", "", encryptionWords(d.Provider))
	r.row("Cloud Backup", "", onOff(d.Backup))
	r.row("Termination protection", "", onOff(d.Protect))
	r.will(count(d.nodes(), "node") + " are made and started.")
	if !d.isEncrypted() {
		r.will("The data are not encrypted with a key of yours. That can be changed later; every node then rebuilds its data.")
		return r
	}
	r.will("Each node makes a master key of its own, which your key in " + ProviderName(atlas.Provider(d.Provider)) + " encrypts: " + o.of(d.Provider).key)
	r.will("The data are encrypted from the start. Without the key the cluster cannot start: if the key is disabled or deleted, the cluster is disabled.")
	r.privately(o.of(d.Provider))
	r.will(sayPatience)
	return r
}

// reviewOfChange reviews a change of a cluster.
func reviewOfChange(before, after clusterDraft, c atlas.Cluster, p clusterProgress, o clusterOptions) *clusterReview {
	r := &clusterReview{Hidden: append(hidden(after), hiddenField{draftSeen, fingerprint(c)})}
	for _, name := range regionNames(before, after) {
		r.row("Nodes in "+name, countIn(before, name), countIn(after, name))
	}
	r.row("Instance size", before.Size, after.Size)
	r.row("Manage your own encryption keys", encryptionWords(before.Provider), encryptionWords(after.Provider))
	r.row("Cloud Backup", onOff(before.Backup), onOff(after.Backup))
	r.row("Termination protection", onOff(before.Protect), onOff(after.Protect))
	shards := len(c.ReplicationSpecs)
	r.willEncrypt(before, after, nodesOf(c), o)
	r.willResize(before, after, shards)
	if after.isEncrypted() && after.nodes() > before.nodes() {
		r.privately(o.of(after.Provider))
		r.will(sayPatience)
	}
	if before.Backup && !after.Backup {
		r.will("No more snapshots are taken. Those that there are stay until they expire.")
	}
	switch {
	case p.Disabled != nil:
		r.will("The cluster is disabled now. The change is made once its key is valid again.")
	case p.Plan != nil:
		r.will("Another change is under way. This one follows when that one has ended.")
	}
	return r
}

func (r *clusterReview) willEncrypt(before, after clusterDraft, nodes int, o clusterOptions) {
	from, to := before.Provider, after.Provider
	switch {
	case from == to:
		return
	case to == noProvider:
		r.will("The data leave your key in " + ProviderName(atlas.Provider(from)) + " and are no longer encrypted with a key of yours.")
	default:
		r.will("The data are encrypted with your key in " + ProviderName(atlas.Provider(to)) + ": " + o.of(to).key)
	}
	r.will(sayQuorum)
	r.will(fmt.Sprintf("All %s take their turn. How long that takes depends on how much data there are.", count(nodes, "node")))
	if to == noProvider {
		r.will("Keep the key until this has ended, and for as long as there are snapshots that need it.")
		return
	}
	r.will("The key is tried before a node is taken down. If it cannot be used for three days, the change is rolled back.")
	r.will("Snapshots from now on need this key. Those of before stay as they are, and can be restored only to clusters without a key of yours.")
	r.privately(o.of(to))
}

func (r *clusterReview) willResize(before, after clusterDraft, shards int) {
	per := ""
	if shards > 1 {
		per = " in each of the " + count(shards, "shard")
	}
	switch added := after.nodes() - before.nodes(); {
	case added > 0:
		r.will(fmt.Sprintf("%s added%s. New nodes copy their data from the others.", isAre(added), per))
	case added < 0:
		r.will(fmt.Sprintf("%s removed%s, once all that shall stay run.", isAre(-added), per))
	}
	if before.Size != after.Size {
		r.will("The nodes change to size " + after.Size + ".")
	}
}

func isAre(n int) string {
	if n == 1 {
		return "1 node is"
	}
	return count(n, "node") + " are"
}

// privately says how the key is reached.
func (r *clusterReview) privately(k keyOption) {
	if k.private {
		r.will("Require Private Networking is Active: the key is reached through private endpoints alone, so nodes can be added only in regions that have one.")
	}
}

func (r *clusterReview) row(what, now, after string) {
	r.Rows = append(r.Rows, reviewRow{what, now, after, now != after})
}

func (r *clusterReview) will(sentence string) { r.Will = append(r.Will, sentence) }

// hidden are the fields that apply a draft, in a fixed order.
func hidden(d clusterDraft) []hiddenField {
	var fields []hiddenField
	for name, values := range d.Values() {
		fields = append(fields, hiddenField{name, values[0]})
	}
	slices.SortFunc(fields, func(a, b hiddenField) int { return cmp.Compare(a.Name, b.Name) })
	return fields
}

func encryptionWords(provider string) string {
	if provider == noProvider {
		return "No"
	}
	return "Yes, with " + ProviderName(atlas.Provider(provider))
}

func onOff(on bool) string {
	if on {
		return "On"
	}
	return "Off"
}

// regionNames are the regions of two drafts, those of the first first.
func regionNames(drafts ...clusterDraft) []string {
	var names []string
	for _, d := range drafts {
		for _, r := range d.Regions {
			if !slices.Contains(names, r.Name) {
				names = append(names, r.Name)
			}
		}
	}
	return names
}

func countIn(d clusterDraft, region string) string {
	for _, r := range d.Regions {
		if r.Name == region {
			return count(r.Nodes, "node")
		}
	}
	return ""
}
