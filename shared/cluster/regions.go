package cluster

import (
	"slices"

	"latchkey/shared/atlas"
)

// Bounds of one shard.
const (
	maxNodesPerShard = 50
	maxPriority      = 7
)

// electableCounts are the numbers of electable nodes with which a shard always finds a
// majority (CLUSTER_REPLICATION_FACTOR_INVALID of the real service).
var electableCounts = []int{3, 5, 7}

// regionsOf reads the regions of one shard, whose disks have a size. present are the shard's
// regions now: what a request leaves out of hardware that stays stays as it is.
func regionsOf(requests []atlas.RegionConfigRequest, present []Region, disk float64) ([]Region, error) {
	if len(requests) == 0 {
		return nil, atlas.Fail(atlas.MissingAttribute, "regionConfigs")
	}
	regions := make([]Region, 0, len(requests))
	for i, r := range requests {
		region, err := regionOf(r, i, present, disk)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(regions, region.samePlace) {
			return nil, invalid("The region %s is there twice.", region.Name)
		}
		regions = append(regions, region)
	}
	inheritHardware(regions)
	return regions, checkRegions(regions)
}

func (r Region) samePlace(other Region) bool {
	return r.Provider == other.Provider && r.Name == other.Name
}

// regionOf reads one region; place is its position, from which a priority that was not given
// follows.
func regionOf(r atlas.RegionConfigRequest, place int, present []Region, disk float64) (Region, error) {
	region, err := locate(r)
	if err != nil {
		return Region{}, err
	}
	var now Region
	if i := slices.IndexFunc(present, region.samePlace); i >= 0 {
		now = present[i]
	}
	if err := readHardware(&region, r, now, disk); err != nil {
		return Region{}, err
	}
	switch {
	case r.Priority != nil:
		region.Priority = *r.Priority
	case region.Electable.NodeCount > 0:
		region.Priority = maxPriority - place
	}
	region.AutoScaling = autoScalingOf(r.AutoScaling, now.AutoScaling)
	if err := checkScaling(region.Provider, region.AutoScaling); err != nil {
		return Region{}, err
	}
	if region.AnalyticsAutoScaling = now.AnalyticsAutoScaling; r.AnalyticsAutoScaling != nil {
		scaling := autoScalingOf(r.AnalyticsAutoScaling, atlas.AutoScaling{})
		region.AnalyticsAutoScaling = &scaling
		return region, checkScaling(region.Provider, scaling)
	}
	return region, nil
}

// readHardware reads what the nodes of a region run on.
func readHardware(r *Region, request atlas.RegionConfigRequest, now Region, disk float64) error {
	for _, h := range []struct {
		name     string
		request  *atlas.HardwareRequest
		present  Hardware
		hardware *Hardware
	}{
		{"electableSpecs", request.ElectableSpecs, now.Electable, &r.Electable},
		{"readOnlySpecs", request.ReadOnlySpecs, now.ReadOnly, &r.ReadOnly},
		{"analyticsSpecs", request.AnalyticsSpecs, now.Analytics, &r.Analytics},
	} {
		hardware, err := hardwareOf(h.name, h.request, h.present, r.Provider)
		if err != nil {
			return err
		}
		hardware.resize(r.Provider, disk)
		if err := hardware.readVolume(h.request, r.Provider); err != nil {
			return err
		}
		*h.hardware = hardware
	}
	return nil
}

// locate reads where a region is.
func locate(r atlas.RegionConfigRequest) (Region, error) {
	switch {
	case r.ProviderName == nil:
		return Region{}, atlas.Fail(atlas.MissingAttribute, "providerName")
	case r.RegionName == nil:
		return Region{}, atlas.Fail(atlas.MissingAttribute, "regionName")
	}
	region := Region{Provider: atlas.Provider(*r.ProviderName), Name: *r.RegionName}
	if !slices.Contains(atlas.Providers(), region.Provider) {
		return Region{}, atlas.Fail(atlas.InvalidProvider, *r.ProviderName)
	}
	if !atlas.IsClusterRegion(region.Provider, region.Name) {
		return Region{}, atlas.Fail(atlas.InvalidRegion, region.Name, region.Provider)
	}
	return region, nil
}

// hardwareOf reads the hardware of one kind of node. Members that nothing is said about are
// left zero for inheritHardware.
func hardwareOf(name string, r *atlas.HardwareRequest, present Hardware, p atlas.Provider) (Hardware, error) {
	if r == nil {
		return Hardware{}, nil
	}
	var h Hardware
	if r.InstanceSize != nil {
		h.InstanceSize = *r.InstanceSize
		if !slices.Contains(instanceSizes[p], h.InstanceSize) {
			return Hardware{}, atlas.Fail(atlas.InvalidEnumValue, h.InstanceSize).Hinting("%s has no such instance size.", p)
		}
	}
	if r.NodeCount != nil {
		h.NodeCount = *r.NodeCount
	}
	if h.NodeCount < 0 || h.NodeCount > maxNodesPerShard {
		return Hardware{}, invalid("nodeCount of %s must be from 0 to %d.", name, maxNodesPerShard)
	}
	if h.NodeCount > 0 && h.InstanceSize == "" && present.InstanceSize == "" {
		return Hardware{}, atlas.Fail(atlas.MissingAttribute, name+".instanceSize")
	}
	if h.InstanceSize == "" {
		h.InstanceSize = present.InstanceSize
	}
	if h.InstanceSize == present.InstanceSize {
		h.DiskSizeGB, h.DiskIOPS, h.VolumeType = present.DiskSizeGB, present.DiskIOPS, present.VolumeType
	}
	return h, nil
}

// readVolume takes over what a request says of a disk besides its size.
func (h *Hardware) readVolume(r *atlas.HardwareRequest, p atlas.Provider) error {
	if r == nil {
		return nil
	}
	if r.EBSVolumeType != nil && p == atlas.AWS {
		if err := oneOf(*r.EBSVolumeType, standardVolume, provisionedVolume, performanceVolume); err != nil {
			return err
		}
		if h.VolumeType != *r.EBSVolumeType {
			h.VolumeType, h.DiskIOPS = *r.EBSVolumeType, 0
		}
	}
	if r.DiskIOPS == nil || p == atlas.GCP {
		return nil
	}
	if *r.DiskIOPS < 1 {
		return atlas.Fail(atlas.InvalidAttribute, "diskIOPS")
	}
	h.DiskIOPS = *r.DiskIOPS
	return nil
}

// resize changes the size of a disk. What a standard volume performs follows its size.
func (h *Hardware) resize(p atlas.Provider, size float64) {
	if h.DiskSizeGB != size && p == atlas.AWS && h.VolumeType != provisionedVolume {
		h.DiskIOPS = 0
	}
	h.DiskSizeGB = size
}

// inheritHardware completes hardware. Nodes that are not there are shown with the hardware of
// those that are: first the region's own electable ones, then the shard's first.
func inheritHardware(regions []Region) {
	var first Hardware
	for _, r := range regions {
		for _, h := range []Hardware{r.Electable, r.ReadOnly, r.Analytics} {
			if first.InstanceSize == "" {
				first = h
			}
		}
	}
	for i := range regions {
		r := &regions[i]
		r.Electable.complete(r.Provider, first)
		r.ReadOnly.complete(r.Provider, r.Electable)
		r.Analytics.complete(r.Provider, r.Electable)
	}
}

// complete fills in what is still open, from other hardware and then from the catalogue.
func (h *Hardware) complete(p atlas.Provider, like Hardware) {
	if h.InstanceSize == "" {
		h.InstanceSize = like.InstanceSize
	}
	if h.InstanceSize == "" {
		h.InstanceSize = leastSize
	}
	if p != atlas.AWS {
		return
	}
	if h.VolumeType == "" {
		h.VolumeType = standardVolume
		if isNVMe(h.InstanceSize) {
			h.VolumeType = provisionedVolume
		}
	}
	if h.DiskIOPS == 0 {
		h.DiskIOPS = standardIOPS(h.DiskSizeGB)
	}
}

// checkRegions checks what concerns a shard as a whole.
func checkRegions(regions []Region) error {
	electable, nodes, last := 0, 0, maxPriority+1
	for _, r := range regions {
		electable += r.Electable.NodeCount
		here := r.Electable.NodeCount + r.ReadOnly.NodeCount + r.Analytics.NodeCount
		if here == 0 {
			return invalid("The region %s has no nodes.", r.Name)
		}
		nodes += here
		if r.Electable.NodeCount == 0 {
			if r.Priority != 0 {
				return invalid("The region %s has no electable nodes, so its priority must be 0.", r.Name)
			}
			continue
		}
		if r.Priority < 1 || r.Priority >= last || (last > maxPriority && r.Priority != maxPriority) {
			return invalid("Priorities of regions with electable nodes descend from %d.", maxPriority)
		}
		last = r.Priority
	}
	switch {
	case !slices.Contains(electableCounts, electable):
		return invalid("A shard has 3, 5 or 7 electable nodes, not %d.", electable)
	case nodes > maxNodesPerShard:
		return invalid("A shard has at most %d nodes.", maxNodesPerShard)
	}
	return checkVolumes(regions)
}

// checkVolumes refuses standard volumes that would have to perform better than they do.
func checkVolumes(regions []Region) error {
	for _, r := range regions {
		for _, h := range []Hardware{r.Electable, r.ReadOnly, r.Analytics} {
			if r.Provider == atlas.AWS && h.VolumeType == standardVolume && h.DiskIOPS > standardIOPS(h.DiskSizeGB) {
				return invalid("A %s volume of %g GB has at most %d IOPS.", standardVolume, h.DiskSizeGB, standardIOPS(h.DiskSizeGB))
			}
		}
	}
	return nil
}
