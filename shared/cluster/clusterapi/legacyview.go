package clusterapi

import (
	"strings"

	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
	"latchkey/shared/httpapi"
)

// isLegacy reports whether a request is of v1.0, or of the version that shows what v1.0 did.
func isLegacy(r *httpapi.Request) bool { return r.Version == "" || r.Version == atlas.V20230101 }

// viewLegacy fails for a cluster that these versions can't show.
func (v viewer) viewLegacy(d cluster.Deployment) (atlas.LegacyCluster, error) {
	base, err := legacyOf(d)
	if err != nil {
		return atlas.LegacyCluster{}, err
	}
	c := v.view20240805(d)
	uri, _, _ := strings.Cut(c.ConnectionStrings.Standard, "/?")
	updated := ""
	if uri != "" {
		updated = c.CreateDate // host names never change
	}
	specs := base.specs(d.Spec)
	view := atlas.LegacyCluster{
		AdvancedConfiguration: c.AdvancedConfiguration, AutoScaling: base.autoScaling, BIConnector: c.BIConnector,
		ClusterType: c.ClusterType, ConnectionStrings: c.ConnectionStrings, CreateDate: c.CreateDate,
		DiskSizeGB: atlas.Gigabytes(d.Spec.DiskSizeGB()), EncryptionAtRestProvider: c.EncryptionAtRestProvider,
		EncryptionPrivateNetworking: c.EncryptionPrivateNetworking, GroupID: c.GroupID,
		ID: c.ID, Labels: c.Labels, Links: c.Links, MongoDBMajorVersion: c.MongoDBMajorVersion, MongoDBVersion: c.MongoDBVersion,
		MongoURI: uri, MongoURIUpdated: updated, MongoURIWithOptions: c.ConnectionStrings.Standard, Name: c.Name,
		NumShards: len(d.Spec.Shards), Paused: c.Paused, PitEnabled: c.PitEnabled, ProviderBackupEnabled: c.BackupEnabled,
		ProviderSettings: base.settings, ReplicationSpecs: specs, RootCertType: c.RootCertType,
		SRVAddress: c.ConnectionStrings.StandardSRV, StateName: c.StateName, Tags: c.Tags,
		TerminationProtectionEnabled: c.TerminationProtectionEnabled, VersionReleaseSystem: c.VersionReleaseSystem,
	}
	if len(specs) == 1 {
		view.ReplicationSpec = specs[0].RegionsConfig
		for _, region := range view.ReplicationSpec {
			view.ReplicationFactor += region.ElectableNodes
		}
	}
	return view, nil
}

// legacy is what v1.0 says once for a whole cluster.
type legacy struct {
	settings    atlas.LegacyProviderSettings
	autoScaling atlas.LegacyAutoScaling
}

// legacyOf fails for a cluster of which that can't be said once.
func legacyOf(d cluster.Deployment) (legacy, error) {
	hint := "Ask for " + string(atlas.V20240805) + " or later."
	if !d.Spec.Symmetric() {
		return legacy{}, atlas.Fail(atlas.AsymmetricShardUnsupported, d.Name).Hinting("%s", hint)
	}
	first := d.Spec.Shards[0].Regions[0]
	places := map[string]bool{}
	for _, shard := range d.Spec.Shards {
		for _, region := range shard.Regions {
			places[region.Name] = true
			if region.Provider != first.Provider || region.Electable.InstanceSize != first.Electable.InstanceSize {
				return legacy{}, atlas.Fail(atlas.MultiCloudClusterInvalid).Hinting("The cluster is not of one cloud and one size. %s", hint)
			}
		}
	}
	scaling := first.AutoScaling
	base := legacy{
		settings: atlas.LegacyProviderSettings{
			DiskIOPS: first.Electable.DiskIOPS, EncryptEBSVolume: first.Provider == atlas.AWS, InstanceSizeName: first.Electable.InstanceSize,
			ProviderName: first.Provider, VolumeType: first.Electable.VolumeType,
			AutoScaling: atlas.LegacyProviderAutoScaling{Compute: atlas.LegacyBounds{
				MaxInstanceSize: optional(scaling.Compute.MaxInstanceSize), MinInstanceSize: optional(scaling.Compute.MinInstanceSize),
			}},
		},
		autoScaling: atlas.LegacyAutoScaling{
			Compute:       atlas.LegacyScaling{Enabled: scaling.Compute.Enabled, ScaleDownEnabled: scaling.Compute.ScaleDownEnabled},
			DiskGBEnabled: scaling.DiskGB.Enabled,
		},
	}
	if len(places) == 1 {
		base.settings.RegionName = first.Name
	}
	return base, nil
}

// specs shows one replication spec per zone.
func (legacy) specs(s cluster.Spec) []atlas.LegacyReplicationSpec {
	views := make([]atlas.LegacyReplicationSpec, len(s.Zones))
	for i, zone := range s.Zones {
		shards := s.InZone(zone.ID)
		views[i] = atlas.LegacyReplicationSpec{ID: zone.SpecID, NumShards: len(shards), ZoneName: zone.Name, RegionsConfig: map[string]atlas.LegacyRegion{}}
		for _, region := range shards[0].Regions {
			views[i].RegionsConfig[region.Name] = atlas.LegacyRegion{
				AnalyticsNodes: region.Analytics.NodeCount, ElectableNodes: region.Electable.NodeCount, Priority: region.Priority,
				ReadOnlyNodes: region.ReadOnly.NodeCount,
			}
		}
	}
	return views
}
