package atlas

// LegacyCluster is a cluster as v1.0 and 2023-01-01 show it: of one cloud and one size, with the
// places of its nodes by region.
type LegacyCluster struct {
	AdvancedConfiguration        TLSConfiguration        `json:"advancedConfiguration"`
	AutoScaling                  LegacyAutoScaling       `json:"autoScaling"`
	BackupEnabled                bool                    `json:"backupEnabled"` // of a kind that is not offered
	BIConnector                  BIConnector             `json:"biConnector"`
	ClusterType                  string                  `json:"clusterType"`
	ConnectionStrings            ConnectionStrings       `json:"connectionStrings"`
	CreateDate                   string                  `json:"createDate"`
	DiskSizeGB                   Gigabytes               `json:"diskSizeGB"`
	EncryptionPrivateNetworking  string                  `json:"encryptionAtRestPrivateNetworking,omitempty"`
	EncryptionAtRestProvider     string                  `json:"encryptionAtRestProvider"`
	GroupID                      string                  `json:"groupId"`
	ID                           string                  `json:"id"`
	Labels                       []KeyValue              `json:"labels"`
	Links                        []Link                  `json:"links"`
	MongoDBMajorVersion          string                  `json:"mongoDBMajorVersion"`
	MongoDBVersion               string                  `json:"mongoDBVersion"`
	MongoURI                     string                  `json:"mongoURI,omitempty"`
	MongoURIUpdated              string                  `json:"mongoURIUpdated,omitempty"`
	MongoURIWithOptions          string                  `json:"mongoURIWithOptions,omitempty"`
	Name                         string                  `json:"name"`
	NumShards                    int                     `json:"numShards"`
	Paused                       bool                    `json:"paused"`
	PitEnabled                   bool                    `json:"pitEnabled"`
	ProviderBackupEnabled        bool                    `json:"providerBackupEnabled"`
	ProviderSettings             LegacyProviderSettings  `json:"providerSettings"`
	ReplicationFactor            int                     `json:"replicationFactor,omitempty"`
	ReplicationSpec              map[string]LegacyRegion `json:"replicationSpec,omitempty"`
	ReplicationSpecs             []LegacyReplicationSpec `json:"replicationSpecs"`
	RootCertType                 string                  `json:"rootCertType"`
	SRVAddress                   string                  `json:"srvAddress,omitempty"`
	StateName                    string                  `json:"stateName"`
	Tags                         []KeyValue              `json:"tags"`
	TerminationProtectionEnabled bool                    `json:"terminationProtectionEnabled"`
	VersionReleaseSystem         string                  `json:"versionReleaseSystem"`
}

// LegacyAutoScaling is how hardware may grow by itself. The bounds of the instance size are in
// LegacyProviderSettings; Terraform's provider fails unless both have compute.
type LegacyAutoScaling struct {
	Compute       LegacyScaling `json:"compute"`
	DiskGBEnabled bool          `json:"diskGBEnabled"`
}

// LegacyScaling says whether the instance size changes by itself.
type LegacyScaling struct {
	Enabled          bool `json:"enabled"`
	ScaleDownEnabled bool `json:"scaleDownEnabled"`
}

// LegacyProviderSettings is what all nodes run on.
type LegacyProviderSettings struct {
	AutoScaling      LegacyProviderAutoScaling `json:"autoScaling"`
	DiskIOPS         int                       `json:"diskIOPS,omitempty"`
	EncryptEBSVolume bool                      `json:"encryptEBSVolume,omitempty"` // AWS; they always are
	InstanceSizeName string                    `json:"instanceSizeName"`
	ProviderName     Provider                  `json:"providerName"`
	RegionName       string                    `json:"regionName,omitempty"` // of clusters in one region
	VolumeType       string                    `json:"volumeType,omitempty"`
}

// LegacyProviderAutoScaling bounds the instance size.
type LegacyProviderAutoScaling struct {
	Compute LegacyBounds `json:"compute"`
}

// LegacyBounds are the least and the greatest instance size.
type LegacyBounds struct {
	MaxInstanceSize *string `json:"maxInstanceSize"`
	MinInstanceSize *string `json:"minInstanceSize"`
}

// LegacyReplicationSpec is one zone.
type LegacyReplicationSpec struct {
	ID            string                  `json:"id"`
	NumShards     int                     `json:"numShards"`
	RegionsConfig map[string]LegacyRegion `json:"regionsConfig"`
	ZoneName      string                  `json:"zoneName"`
}

// LegacyRegion is how many nodes a shard has in one region.
type LegacyRegion struct {
	AnalyticsNodes int `json:"analyticsNodes"`
	ElectableNodes int `json:"electableNodes"`
	Priority       int `json:"priority"`
	ReadOnlyNodes  int `json:"readOnlyNodes"`
}

// LegacyClusterRequest is the body of POST and PATCH in v1.0 and 2023-01-01. Members that are
// named as in later versions are ClusterRequest's, but for those that mean something else.
type LegacyClusterRequest struct {
	ClusterRequest

	AutoScaling *struct {
		Compute       *LegacyScaling `json:"compute"`
		DiskGBEnabled *bool          `json:"diskGBEnabled"`
	} `json:"autoScaling"`
	// BackupEnabled asks for backups of a kind that is not offered.
	BackupEnabled         *bool                   `json:"backupEnabled"`
	NumShards             *int                    `json:"numShards"`
	ProviderBackupEnabled *bool                   `json:"providerBackupEnabled"`
	ProviderSettings      *LegacySettingsRequest  `json:"providerSettings"`
	ReplicationFactor     *int                    `json:"replicationFactor"`
	ReplicationSpec       map[string]LegacyRegion `json:"replicationSpec"`
	ReplicationSpecs      []LegacySpecRequest     `json:"replicationSpecs"`
}

// LegacySettingsRequest is what all nodes shall run on.
type LegacySettingsRequest struct {
	AutoScaling *struct {
		Compute *LegacyBounds `json:"compute"`
	} `json:"autoScaling"`
	BackingProviderName *string `json:"backingProviderName"`
	DiskIOPS            *int    `json:"diskIOPS"`
	InstanceSizeName    *string `json:"instanceSizeName"`
	ProviderName        *string `json:"providerName"`
	RegionName          *string `json:"regionName"`
	VolumeType          *string `json:"volumeType"`
}

// LegacySpecRequest is one zone.
type LegacySpecRequest struct {
	ID            *string                 `json:"id"`
	NumShards     *int                    `json:"numShards"`
	RegionsConfig map[string]LegacyRegion `json:"regionsConfig"`
	ZoneName      *string                 `json:"zoneName"`
}
