package clusterapi

import (
	"context"
	"slices"

	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
	"latchkey/shared/httpapi"
)

// path is a cluster's path below /api/atlas/v2.
func path(d cluster.Deployment) string { return "/groups/" + d.GroupID + "/clusters/" + d.Name }

// viewer shows the clusters of one group as the request's version does.
type viewer struct {
	request *httpapi.Request
	domain  string
	// private are the providers whose keys are reached through private endpoints alone.
	private []atlas.Provider
}

// viewer reads what there is to know beside the clusters. It is made before anything is changed, so
// that nothing can fail once it is.
func (a API) viewer(ctx context.Context, r *httpapi.Request) (viewer, error) {
	private, err := a.Clusters.PrivateNetworking(ctx, r.GroupID())
	return viewer{request: r, domain: a.Clusters.Domain, private: private}, err
}

func (v viewer) view(d cluster.Deployment) (any, error) {
	switch {
	case isLegacy(v.request):
		return v.viewLegacy(d)
	case v.request.Version == atlas.V20230201:
		return v.view20230201(d)
	}
	return v.view20240805(d), nil
}

// networking is "" for clusters whose key no private endpoint leads to: there are none for the keys
// of Google.
func (v viewer) networking(d cluster.Deployment) string {
	switch p := d.Spec.Provider; {
	case p != atlas.AWS && p != atlas.Azure:
		return ""
	case slices.Contains(v.private, p):
		return "ACTIVE"
	}
	return "INACTIVE"
}

func (v viewer) view20240805(d cluster.Deployment) atlas.Cluster {
	s := d.Settings
	effective := d.Spec
	if d.Applied != nil {
		effective = *d.Applied
	}
	return atlas.Cluster{
		AdaptiveCapacity: optional(s.AdaptiveCapacity), AdvancedConfiguration: d.Args.TLSConfiguration,
		BackupEnabled: s.Backup, BIConnector: atlas.BIConnector{Enabled: s.BIConnector, ReadPreference: s.BIReadPreference},
		ClusterType: string(d.Spec.Type), ConfigServerManagementMode: configServerMode(d), ConfigServerType: configServerType(d),
		ConnectionStrings: d.ConnectionStrings(v.domain), CreateDate: atlas.Time(d.Created), DiskWarmingMode: s.DiskWarming,
		EffectiveReplicationSpecs: viewShards(effective, false), EncryptionPrivateNetworking: v.networking(d),
		EncryptionAtRestProvider: string(d.Spec.Provider), FeatureCompatibilityVersion: effective.Release.Major,
		GlobalClusterSelfManagedSharding: s.SelfManagedSharding,
		GroupID:                          d.GroupID, ID: d.ID, InternalClusterRole: "NONE", Labels: pairs(s.Labels), Links: links(v.request, d),
		EmployeeAccessGrant: s.EmployeeAccess, MongoDBMajorVersion: d.Spec.Release.Major, MongoDBVersion: d.Spec.Release.Full,
		Name: d.Name, Paused: d.Spec.Paused, PitEnabled: s.PointInTime, RedactClientLogData: s.RedactLogs,
		ReplicaSetScalingStrategy: s.ScalingStrategy, ReplicationSpecs: viewShards(d.Spec, true), RetainBackups: s.RetainBackups,
		RootCertType: cluster.RootCertificate, StateName: string(d.State()), Tags: pairs(s.Tags),
		TerminationProtectionEnabled: s.TerminationProtection, FastInitialSync: s.FastInitialSync,
		VersionReleaseSystem: releaseSystem(d.Spec),
	}
}

// view20230201 fails for a cluster that this version can't show.
func (v viewer) view20230201(d cluster.Deployment) (atlas.Cluster20230201, error) {
	if !d.Spec.Symmetric() {
		return atlas.Cluster20230201{}, atlas.Fail(atlas.AsymmetricShardUnsupported, d.Name).Hinting("Ask for %s or later.", atlas.V20240805)
	}
	c := v.view20240805(d)
	return atlas.Cluster20230201{
		AdvancedConfiguration: c.AdvancedConfiguration, BackupEnabled: c.BackupEnabled, BIConnector: c.BIConnector,
		ClusterType: c.ClusterType, ConfigServerManagementMode: c.ConfigServerManagementMode, ConfigServerType: c.ConfigServerType,
		ConnectionStrings: c.ConnectionStrings, CreateDate: c.CreateDate, DiskSizeGB: atlas.Gigabytes(d.Spec.DiskSizeGB()),
		DiskWarmingMode: c.DiskWarmingMode, EncryptionPrivateNetworking: c.EncryptionPrivateNetworking,
		EncryptionAtRestProvider:         c.EncryptionAtRestProvider,
		FeatureCompatibilityVersion:      c.FeatureCompatibilityVersion,
		GlobalClusterSelfManagedSharding: c.GlobalClusterSelfManagedSharding, GroupID: c.GroupID, ID: c.ID, Labels: c.Labels,
		Links: c.Links, EmployeeAccessGrant: c.EmployeeAccessGrant, MongoDBMajorVersion: c.MongoDBMajorVersion,
		MongoDBVersion: c.MongoDBVersion, Name: c.Name, Paused: c.Paused, PitEnabled: c.PitEnabled,
		ReplicaSetScalingStrategy: c.ReplicaSetScalingStrategy, ReplicationSpecs: viewZones(d.Spec), RootCertType: c.RootCertType,
		StateName: c.StateName, Tags: c.Tags, TerminationProtectionEnabled: c.TerminationProtectionEnabled,
		VersionReleaseSystem: c.VersionReleaseSystem,
	}, nil
}

// viewShards shows one replication spec per shard. Those that clients write, unlike those that
// only tell what is in effect, say in each region what is in effect there.
func viewShards(s cluster.Spec, effective bool) []atlas.ReplicationSpec {
	views := make([]atlas.ReplicationSpec, len(s.Shards))
	for i, shard := range s.Shards {
		views[i] = atlas.ReplicationSpec{
			ID: shard.ID, RegionConfigs: viewRegions(shard.Regions, true), ZoneID: shard.ZoneID, ZoneName: s.Zone(shard.ZoneID).Name,
		}
		for j := range views[i].RegionConfigs {
			if effective {
				showEffective(&views[i].RegionConfigs[j])
			}
		}
	}
	return views
}

// viewZones shows one replication spec per zone, with the number of its shards.
func viewZones(s cluster.Spec) []atlas.ReplicationSpec20230201 {
	views := make([]atlas.ReplicationSpec20230201, len(s.Zones))
	for i, zone := range s.Zones {
		shards := s.InZone(zone.ID)
		views[i] = atlas.ReplicationSpec20230201{
			ID: zone.SpecID, NumShards: len(shards), RegionConfigs: viewRegions(shards[0].Regions, false), ZoneID: zone.ID, ZoneName: zone.Name,
		}
	}
	return views
}

func viewRegions(regions []cluster.Region, disks bool) []atlas.RegionConfig {
	views := make([]atlas.RegionConfig, len(regions))
	for i, r := range regions {
		views[i] = atlas.RegionConfig{
			AnalyticsAutoScaling: r.AnalyticsAutoScaling, AnalyticsSpecs: viewHardware(r.Analytics, disks), AutoScaling: r.AutoScaling,
			ElectableSpecs: viewHardware(r.Electable, disks), Priority: r.Priority, ProviderName: r.Provider,
			ReadOnlySpecs: viewHardware(r.ReadOnly, disks), RegionName: r.Name,
		}
	}
	return views
}

func viewHardware(h cluster.Hardware, disk bool) atlas.Hardware {
	view := atlas.Hardware{DiskIOPS: h.DiskIOPS, EBSVolumeType: h.VolumeType, InstanceSize: h.InstanceSize, NodeCount: h.NodeCount}
	if disk {
		size := atlas.Gigabytes(h.DiskSizeGB)
		view.DiskSizeGB = &size
	}
	return view
}

// showEffective repeats the hardware of the nodes that there are.
func showEffective(r *atlas.RegionConfig) {
	for _, h := range []struct {
		from atlas.Hardware
		to   **atlas.Hardware
	}{
		{r.ElectableSpecs, &r.EffectiveElectableSpecs},
		{r.ReadOnlySpecs, &r.EffectiveReadOnlySpecs},
		{r.AnalyticsSpecs, &r.EffectiveAnalyticsSpecs},
	} {
		if h.from.NodeCount > 0 {
			effective := h.from
			*h.to = &effective
		}
	}
}

// links is the self link with one to each sub-resource. The relation of a sub-resource is a
// URL of the service, as the real one's are.
func links(r *httpapi.Request, d cluster.Deployment) []atlas.Link {
	all := r.Self(path(d))
	for _, name := range []string{"restoreJobs", "snapshots"} {
		all = append(all, atlas.Link{Href: r.Link(path(d) + "/backup/" + name), Rel: r.Base + "/" + name})
	}
	return all
}

// configServerMode and configServerType are shown of clusters that have config servers. They
// run within the shards' nodes.
func configServerMode(d cluster.Deployment) string {
	switch {
	case d.Spec.Type == cluster.ReplicaSet:
		return ""
	case d.Settings.ConfigServer == "":
		return cluster.ManagedConfigServer
	}
	return d.Settings.ConfigServer
}

func configServerType(d cluster.Deployment) string {
	switch configServerMode(d) {
	case "":
		return ""
	case cluster.DedicatedConfigServer:
		return "DEDICATED"
	}
	return "EMBEDDED"
}

func releaseSystem(s cluster.Spec) string {
	if s.Release.Continuous {
		return "CONTINUOUS"
	}
	return "LTS"
}

// pairs is never null: clients compare it with a list.
func pairs(p []atlas.KeyValue) []atlas.KeyValue {
	return append([]atlas.KeyValue{}, slices.Clone(p)...)
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
