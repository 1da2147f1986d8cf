package clusterapi

import (
	"cmp"
	"slices"

	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
)

// What v1.0 takes for granted of a new cluster.
const (
	defaultFactor   = 3
	highestPriority = 7
)

// modernized is what a body of v1.0 asks for as 2023-02-01 would say it. present is the cluster
// that it changes, nil for a new one: v1.0 changes the size of all nodes with one member, where
// later versions want the whole layout.
func modernized(l atlas.LegacyClusterRequest, present *cluster.Deployment) (atlas.ClusterRequest, error) {
	r := l.ClusterRequest
	r.BackupEnabled = l.ProviderBackupEnabled
	if l.BackupEnabled != nil && *l.BackupEnabled {
		return r, refuseLegacyBackup(r, present)
	}
	var base legacy
	var zones []atlas.LegacyReplicationSpec
	if present != nil {
		var err error
		if base, err = legacyOf(*present); err != nil {
			return r, err
		}
		zones = base.specs(present.Spec)
	}
	asked := zonesAsked(l, zones)
	if present != nil && asked == nil && l.ProviderSettings == nil && l.AutoScaling == nil {
		return r.Of20230201(), nil
	}
	if asked != nil {
		zones = asked
	}
	if len(zones) == 0 {
		return r, atlas.Fail(atlas.MissingOneOfAttributes, "replicationSpecs", "providerSettings.regionName")
	}
	specs := make([]atlas.ReplicationSpecRequest, len(zones))
	for i, zone := range zones {
		specs[i] = specOf(zone, l, base)
	}
	r.ReplicationSpecs = &specs
	if r.ClusterType == nil && present == nil {
		kind := cluster.ReplicaSet
		if zones[0].NumShards > 1 {
			kind = cluster.Sharded
		}
		r.ClusterType = optional(string(kind))
	}
	return r.Of20230201(), nil
}

// refuseLegacyBackup refuses backups of the kind that v1.0 calls backupEnabled.
func refuseLegacyBackup(r atlas.ClusterRequest, present *cluster.Deployment) error {
	provider := ""
	if present != nil {
		provider = string(present.Spec.Provider)
	}
	if r.EncryptionAtRestProvider != nil {
		provider = *r.EncryptionAtRestProvider
	}
	if provider != "" && provider != string(cluster.None) {
		return atlas.Fail(atlas.CannotUseEARBackupType).Hinting("Use providerBackupEnabled.")
	}
	return atlas.Fail(atlas.InvalidClusterConfiguration).Hinting("This deployment has no legacy backups. Use providerBackupEnabled.")
}

// zonesAsked are the zones that a body lists, in any of v1.0's three ways; nil if it lists none.
func zonesAsked(l atlas.LegacyClusterRequest, present []atlas.LegacyReplicationSpec) []atlas.LegacyReplicationSpec {
	one := atlas.LegacyReplicationSpec{NumShards: 1}
	if len(present) == 1 {
		one = present[0]
	}
	if l.NumShards != nil {
		one.NumShards = *l.NumShards
	}
	region := ""
	if l.ProviderSettings != nil && l.ProviderSettings.RegionName != nil {
		region = *l.ProviderSettings.RegionName
	}
	_, isThere := one.RegionsConfig[region]
	switch {
	case l.ReplicationSpecs != nil:
		return listed(l)
	case l.ReplicationSpec != nil:
		one.RegionsConfig = l.ReplicationSpec
	case region != "" && (!isThere || l.ReplicationFactor != nil) && len(present) <= 1:
		one.RegionsConfig = inOneRegion(region, l.ReplicationFactor)
	case l.ReplicationFactor != nil && len(one.RegionsConfig) == 1:
		for name := range one.RegionsConfig {
			one.RegionsConfig = inOneRegion(name, l.ReplicationFactor)
		}
	case l.NumShards == nil || len(present) != 1:
		return nil
	}
	return []atlas.LegacyReplicationSpec{one}
}

func inOneRegion(name string, factor *int) map[string]atlas.LegacyRegion {
	nodes := defaultFactor
	if factor != nil {
		nodes = *factor
	}
	return map[string]atlas.LegacyRegion{name: {ElectableNodes: nodes, Priority: highestPriority}}
}

func listed(l atlas.LegacyClusterRequest) []atlas.LegacyReplicationSpec {
	zones := make([]atlas.LegacyReplicationSpec, len(l.ReplicationSpecs))
	for i, spec := range l.ReplicationSpecs {
		zones[i] = atlas.LegacyReplicationSpec{NumShards: 1, RegionsConfig: spec.RegionsConfig}
		if l.NumShards != nil && len(zones) == 1 {
			zones[i].NumShards = *l.NumShards
		}
		if spec.NumShards != nil {
			zones[i].NumShards = *spec.NumShards
		}
		if spec.ID != nil {
			zones[i].ID = *spec.ID
		}
		if spec.ZoneName != nil {
			zones[i].ZoneName = *spec.ZoneName
		}
	}
	return zones
}

// specOf is a zone as 2023-02-01 says it: the size of all nodes in each of its regions.
func specOf(zone atlas.LegacyReplicationSpec, l atlas.LegacyClusterRequest, base legacy) atlas.ReplicationSpecRequest {
	spec := atlas.ReplicationSpecRequest{ID: optional(zone.ID), NumShards: &zone.NumShards, ZoneName: optional(zone.ZoneName)}
	names := make([]string, 0, len(zone.RegionsConfig))
	for name := range zone.RegionsConfig {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(zone.RegionsConfig[b].Priority, zone.RegionsConfig[a].Priority), cmp.Compare(a, b))
	})
	for _, name := range names {
		region := zone.RegionsConfig[name]
		config := regionOf(l, base)
		config.RegionName, config.Priority = &name, &region.Priority
		for _, h := range []struct {
			to    **atlas.HardwareRequest
			nodes int
		}{
			{&config.ElectableSpecs, region.ElectableNodes}, {&config.ReadOnlySpecs, region.ReadOnlyNodes}, {&config.AnalyticsSpecs, region.AnalyticsNodes},
		} {
			*h.to = hardwareOf(l, base, h.nodes)
		}
		spec.RegionConfigs = append(spec.RegionConfigs, config)
	}
	return spec
}

// regionOf is what all regions of a cluster have in common.
func regionOf(l atlas.LegacyClusterRequest, base legacy) atlas.RegionConfigRequest {
	config := atlas.RegionConfigRequest{ProviderName: optional(string(base.settings.ProviderName))}
	scaling := base.autoScaling
	bounds := base.settings.AutoScaling.Compute
	if s := l.ProviderSettings; s != nil {
		config.BackingProviderName = s.BackingProviderName
		config.ProviderName = orElse(s.ProviderName, config.ProviderName)
		if s.AutoScaling != nil && s.AutoScaling.Compute != nil {
			bounds = atlas.LegacyBounds{
				MaxInstanceSize: orElse(s.AutoScaling.Compute.MaxInstanceSize, bounds.MaxInstanceSize),
				MinInstanceSize: orElse(s.AutoScaling.Compute.MinInstanceSize, bounds.MinInstanceSize),
			}
		}
	}
	if s := l.AutoScaling; s != nil {
		if s.Compute != nil {
			scaling.Compute = *s.Compute
		}
		if s.DiskGBEnabled != nil {
			scaling.DiskGBEnabled = *s.DiskGBEnabled
		}
	}
	config.AutoScaling = &atlas.AutoScalingRequest{
		Compute: &atlas.ComputeAutoScalingRequest{
			Enabled: &scaling.Compute.Enabled, ScaleDownEnabled: &scaling.Compute.ScaleDownEnabled,
			MaxInstanceSize: bounds.MaxInstanceSize, MinInstanceSize: bounds.MinInstanceSize,
		},
		DiskGB: &atlas.DiskAutoScalingRequest{Enabled: &scaling.DiskGBEnabled},
	}
	return config
}

// hardwareOf is what nodes run on. Speed and kind of the disks that were there go with the size.
func hardwareOf(l atlas.LegacyClusterRequest, base legacy, nodes int) *atlas.HardwareRequest {
	h := &atlas.HardwareRequest{NodeCount: &nodes, InstanceSize: optional(base.settings.InstanceSizeName), EBSVolumeType: optional(base.settings.VolumeType)}
	if s := l.ProviderSettings; s != nil {
		h.InstanceSize, h.DiskIOPS, h.EBSVolumeType = orElse(s.InstanceSizeName, h.InstanceSize), s.DiskIOPS, orElse(s.VolumeType, h.EBSVolumeType)
	}
	if h.DiskIOPS == nil && l.ProviderSettings == nil && base.settings.DiskIOPS != 0 {
		h.DiskIOPS = &base.settings.DiskIOPS
	}
	return h
}

func orElse[T any](p, other *T) *T {
	if p == nil {
		return other
	}
	return p
}
