package console

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"reflect"

	"latchkey/shared/atlas"
)

const (
	managersEdit = "To change a cluster takes a Project Owner or a Project Cluster Manager. You may look at what there is."
	sayShards    = "The shards of this cluster differ from each other. Change their nodes with the API; the rest can be changed here."
	sayPaused    = "A cluster cannot be changed while it is paused. Resume it first."
	sayProvider  = "A cluster cannot go from one provider to another at once. Choose No first; when that change has ended, come back and choose the other provider."
	saySame      = "Nothing is different from what there is. Change something, or go back."
	sayMeanwhile = "Somebody changed the cluster since you reviewed this. Look at how it stands now, and apply the changes if they are still what you want."
)

// draftOfCluster is a cluster as the form shows it.
func draftOfCluster(c atlas.Cluster) clusterDraft {
	d := clusterDraft{
		Name: c.Name, Provider: cmp.Or(c.EncryptionAtRestProvider, noProvider), Backup: c.BackupEnabled, Protect: c.TerminationProtectionEnabled,
	}
	if len(c.ReplicationSpecs) == 0 {
		return d
	}
	for _, r := range c.ReplicationSpecs[0].RegionConfigs {
		d.Cloud = r.ProviderName
		if d.Size == "" {
			d.Size = r.ElectableSpecs.InstanceSize
		}
		d.Regions = append(d.Regions, draftRegion{r.RegionName, r.ElectableSpecs.NodeCount})
	}
	return d
}

// areShardsAlike reports whether all shards have the same nodes of one size, so that one form is
// enough for them.
func areShardsAlike(c atlas.Cluster) bool {
	shape := func(s atlas.ReplicationSpec) (regions []draftRegion, sizes []string) {
		for _, r := range s.RegionConfigs {
			regions = append(regions, draftRegion{r.RegionName, r.ElectableSpecs.NodeCount})
			sizes = append(sizes, r.ElectableSpecs.InstanceSize)
		}
		return regions, sizes
	}
	var first []draftRegion
	var size string
	for i, s := range c.ReplicationSpecs {
		regions, sizes := shape(s)
		if i == 0 && len(sizes) > 0 {
			first, size = regions, sizes[0]
		}
		if !reflect.DeepEqual(regions, first) {
			return false
		}
		for _, other := range sizes {
			if other != size {
				return false
			}
		}
	}
	return true
}

// patch is what is different, as the API takes it. What is left out stays as it is.
func (d clusterDraft) patch(c atlas.Cluster) map[string]any {
	before, body := draftOfCluster(c), map[string]any{}
	if d.Provider != before.Provider {
		body["encryptionAtRestProvider"] = d.Provider
	}
	if d.Backup != before.Backup {
		body["backupEnabled"] = d.Backup
	}
	if d.Protect != before.Protect {
		body["terminationProtectionEnabled"] = d.Protect
	}
	if areShardsAlike(c) && (d.Size != before.Size || !reflect.DeepEqual(d.Regions, before.Regions)) {
		body["replicationSpecs"] = d.resized(c)
	}
	return body
}

// resized are all shards of a cluster with the draft's nodes. What the form does not show stays.
func (d clusterDraft) resized(c atlas.Cluster) []atlas.ReplicationSpec {
	var specs []atlas.ReplicationSpec
	for _, s := range c.ReplicationSpecs {
		present := s.RegionConfigs
		s.RegionConfigs = nil
		priority := highest
		for _, wanted := range d.Regions {
			region := regionIn(present, wanted.Name, d.Cloud)
			region.resize(d.Size)
			region.ElectableSpecs.NodeCount = wanted.Nodes
			region.Priority = 0
			if wanted.Nodes > 0 {
				region.Priority = priority
				priority--
			}
			s.RegionConfigs = append(s.RegionConfigs, region.RegionConfig)
		}
		specs = append(specs, s)
	}
	return specs
}

// editedRegion is a region of a shard that is being edited.
type editedRegion struct{ atlas.RegionConfig }

func regionIn(present []atlas.RegionConfig, name string, cloud atlas.Provider) editedRegion {
	for _, r := range present {
		if r.RegionName == name && r.ProviderName == cloud {
			r.EffectiveAnalyticsSpecs, r.EffectiveElectableSpecs, r.EffectiveReadOnlySpecs = nil, nil, nil
			return editedRegion{r}
		}
	}
	return editedRegion{atlas.RegionConfig{ProviderName: cloud, RegionName: name}}
}

// resize changes the size of the nodes that hold data for everybody, and of those that have none yet.
// Disks stay as large as they are.
func (r *editedRegion) resize(size string) {
	if r.AnalyticsSpecs.InstanceSize == "" {
		r.AnalyticsSpecs.InstanceSize = size
	}
	for _, h := range []*atlas.Hardware{&r.ElectableSpecs, &r.ReadOnlySpecs} {
		if h.InstanceSize != size {
			*h = atlas.Hardware{InstanceSize: size, NodeCount: h.NodeCount, DiskSizeGB: h.DiskSizeGB}
		}
	}
}

// fingerprint tells whether a cluster is still the one that was reviewed.
func fingerprint(c atlas.Cluster) string {
	text, err := json.Marshal([]any{c.ID, c.ReplicationSpecs, c.EncryptionAtRestProvider, c.BackupEnabled, c.TerminationProtectionEnabled, c.Paused})
	must(err)
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

func loadEdit(v *Visit) (any, error) { return v.editView(false) }

func loadEditReview(v *Visit) (any, error) { return v.editView(true) }

// editing is what is read to change a cluster.
type editing struct {
	cluster  atlas.Cluster
	progress clusterProgress
	options  clusterOptions
	rights   Rights
}

func (v *Visit) editing() (editing, error) {
	var e editing
	name := v.Param("clusterName")
	if err := v.API.Get(v.Context(), v.Group("clusters", name), nil, &e.cluster); err != nil {
		return e, err
	}
	err := Together(
		func() error { return v.API.Get(v.Context(), v.OwnGroup("clusters", name), nil, &e.progress) },
		func() (err error) { e.options, err = v.clusterOptions(draftOfCluster(e.cluster).Cloud); return err },
		func() (err error) { e.rights, err = v.Rights(); return err },
	)
	e.options.fixed, e.options.present = !areShardsAlike(e.cluster), e.cluster.EncryptionAtRestProvider
	return e, err
}

// wish is what somebody filled in, without what they may not change.
func (v *Visit) wish(e editing) clusterDraft {
	before := draftOfCluster(e.cluster)
	d := v.draft(before)
	d.Name, d.Cloud = before.Name, before.Cloud
	if !e.rights.Owns() {
		d.Provider, d.Protect = before.Provider, before.Protect
	}
	if e.options.fixed {
		d.Size, d.Regions = before.Size, before.Regions
	}
	return d
}

// wrongWish is what is wrong with a wish, by field.
func wrongWish(e editing, d clusterDraft) map[string]string {
	before := draftOfCluster(e.cluster)
	wrong := d.wrongs(e.options)
	if d.Provider == before.Provider {
		delete(wrong, draftProvider) // what is in use stays, though its key be out of use
	} else if before.isEncrypted() && d.isEncrypted() {
		wrong[draftProvider] = sayProvider
	}
	return wrong
}

func (v *Visit) editView(review bool) (draftView, error) {
	e, err := v.editing()
	if err != nil {
		return draftView{}, err
	}
	v.explain()
	c, d := e.cluster, v.wish(e)
	view := draftView{
		GroupID: v.GroupID(), Name: c.Name, Draft: d, MayEncrypt: e.rights.Owns(),
		Form: v.Page("clusters", c.Name, "edit"), Target: v.Page("clusters", c.Name, "review"),
	}
	v.Title = "Edit Configuration of " + c.Name
	switch {
	case !e.rights.ManagesClusters():
		view.Denied = managersEdit
		return view, nil
	case c.Paused:
		view.Denied = sayPaused
		return view, nil
	case e.options.fixed:
		view.Fixed = sayShards
	}
	var wrong map[string]string
	if review {
		wrong = wrongWish(e, d)
	}
	if review && len(wrong) == 0 {
		v.Title = "Review Changes of " + c.Name
		view.Review = reviewOfChange(draftOfCluster(c), d, c, e.progress, e.options)
		view.Review.Back = view.Form + "?" + d.Values().Encode()
		return view, nil
	}
	view.fill(e.options, wrong)
	return view, nil
}

// applyEdit changes a cluster, if it is still the one that was reviewed.
func applyEdit(v *Visit) (string, error) {
	e, err := v.editing()
	if err != nil {
		return "", err
	}
	if v.Form(draftSeen) != fingerprint(e.cluster) {
		return "", Unchanged(sayMeanwhile)
	}
	d := v.wish(e)
	if wrong := wrongWish(e, d); len(wrong) > 0 {
		return "", Refuse("Something in the form is not right.", wrong)
	}
	body := d.patch(e.cluster)
	if len(body) == 0 {
		return "", Unchanged(saySame)
	}
	if err := v.API.Do(v.Context(), http.MethodPatch, v.Group("clusters", e.cluster.Name), body, nil); err != nil {
		return "", err
	}
	v.Say("The changes of " + e.cluster.Name + " are on their way.")
	return v.Page("clusters", e.cluster.Name), nil
}
