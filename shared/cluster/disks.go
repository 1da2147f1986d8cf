package cluster

import (
	"latchkey/shared/atlas"
)

// All disks of a cluster have one size: the newer versions of the API show it with each kind of
// hardware and demand that it is the same, 2023-02-01 shows it once.

// diskFor is the size of the cluster's disks that a request asks for: the one it names, or the
// present one, or the one that the first electable nodes come with.
func (s Spec) diskFor(r atlas.ClusterRequest) (float64, error) {
	named, err := namedDisk(r)
	if err != nil || named > 0 {
		return named, err
	}
	if present := s.DiskSizeGB(); present > 0 {
		return present, nil
	}
	if r.ReplicationSpecs != nil {
		for _, spec := range *r.ReplicationSpecs {
			for _, region := range spec.RegionConfigs {
				if e := region.ElectableSpecs; e != nil && e.InstanceSize != nil {
					return diskOf(*e.InstanceSize), nil
				}
			}
		}
	}
	return defaultDisk, nil
}

// namedDisk is the size that a request names, 0 if it names none. Sizes of nodes that are not
// there don't count: clients send back what they were once shown of them.
func namedDisk(r atlas.ClusterRequest) (float64, error) {
	if r.DiskSizeGB != nil {
		return diskSize(*r.DiskSizeGB)
	}
	if r.ReplicationSpecs == nil {
		return 0, nil
	}
	var named float64
	for _, spec := range *r.ReplicationSpecs {
		for _, region := range spec.RegionConfigs {
			for _, h := range []*atlas.HardwareRequest{region.ElectableSpecs, region.ReadOnlySpecs, region.AnalyticsSpecs} {
				if h == nil || h.DiskSizeGB == nil || h.NodeCount == nil || *h.NodeCount == 0 {
					continue
				}
				size, err := diskSize(*h.DiskSizeGB)
				switch {
				case err != nil:
					return 0, err
				case named > 0 && named != size:
					return 0, invalid("diskSizeGB must be the same everywhere in a cluster, not %g and %g.", named, size)
				}
				named = size
			}
		}
	}
	return named, nil
}

// diskSize is the size of a disk for which a client asks: too small ones count as the least.
func diskSize(gb float64) (float64, error) {
	if gb < 0 || gb > mostDisk {
		return 0, invalid("diskSizeGB must be from %d to %d.", leastDisk, mostDisk)
	}
	return max(gb, leastDisk), nil
}
