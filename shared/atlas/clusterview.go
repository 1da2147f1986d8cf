package atlas

// Cluster is a cluster as 2024-08-05 and later show it (CONTRACT 6.3).
type Cluster struct {
	AdaptiveCapacity                 *string           `json:"adaptiveCapacity"`
	AdvancedConfiguration            TLSConfiguration  `json:"advancedConfiguration"`
	BackupEnabled                    bool              `json:"backupEnabled"`
	BIConnector                      BIConnector       `json:"biConnector"`
	ClusterType                      string            `json:"clusterType"`
	ConfigServerManagementMode       string            `json:"configServerManagementMode,omitempty"`
	ConfigServerType                 string            `json:"configServerType,omitempty"`
	ConnectionStrings                ConnectionStrings `json:"connectionStrings"`
	CreateDate                       string            `json:"createDate"`
	DiskWarmingMode                  string            `json:"diskWarmingMode"`
	EffectiveReplicationSpecs        []ReplicationSpec `json:"effectiveReplicationSpecs"`
	EncryptionPrivateNetworking      string            `json:"encryptionAtRestPrivateNetworking,omitempty"`
	EncryptionAtRestProvider         string            `json:"encryptionAtRestProvider"`
	FeatureCompatibilityVersion      string            `json:"featureCompatibilityVersion"`
	GlobalClusterSelfManagedSharding bool              `json:"globalClusterSelfManagedSharding"`
	GroupID                          string            `json:"groupId"`
	ID                               string            `json:"id"`
	InternalClusterRole              string            `json:"internalClusterRole"`
	Labels                           []KeyValue        `json:"labels"`
	Links                            []Link            `json:"links"`
	EmployeeAccessGrant              *EmployeeAccess   `json:"mongoDBEmployeeAccessGrant,omitempty"`
	MongoDBMajorVersion              string            `json:"mongoDBMajorVersion"`
	MongoDBVersion                   string            `json:"mongoDBVersion"`
	Name                             string            `json:"name"`
	Paused                           bool              `json:"paused"`
	PitEnabled                       bool              `json:"pitEnabled"`
	RedactClientLogData              bool              `json:"redactClientLogData"`
	ReplicaSetScalingStrategy        string            `json:"replicaSetScalingStrategy,omitempty"`
	ReplicationSpecs                 []ReplicationSpec `json:"replicationSpecs"`
	RetainBackups                    bool              `json:"retainBackups"`
	RootCertType                     string            `json:"rootCertType"`
	StateName                        string            `json:"stateName"`
	Tags                             []KeyValue        `json:"tags"`
	TerminationProtectionEnabled     bool              `json:"terminationProtectionEnabled"`
	FastInitialSync                  bool              `json:"useAwsTimeBasedSnapshotCopyForFastInitialSync"`
	VersionReleaseSystem             string            `json:"versionReleaseSystem"`
}

// Cluster20230201 is a cluster as 2023-02-01 shows it: one disk size, and zones with a number
// of equal shards.
type Cluster20230201 struct {
	AdvancedConfiguration            TLSConfiguration          `json:"advancedConfiguration"`
	BackupEnabled                    bool                      `json:"backupEnabled"`
	BIConnector                      BIConnector               `json:"biConnector"`
	ClusterType                      string                    `json:"clusterType"`
	ConfigServerManagementMode       string                    `json:"configServerManagementMode,omitempty"`
	ConfigServerType                 string                    `json:"configServerType,omitempty"`
	ConnectionStrings                ConnectionStrings         `json:"connectionStrings"`
	CreateDate                       string                    `json:"createDate"`
	DiskSizeGB                       Gigabytes                 `json:"diskSizeGB"`
	DiskWarmingMode                  string                    `json:"diskWarmingMode"`
	EncryptionPrivateNetworking      string                    `json:"encryptionAtRestPrivateNetworking,omitempty"`
	EncryptionAtRestProvider         string                    `json:"encryptionAtRestProvider"`
	FeatureCompatibilityVersion      string                    `json:"featureCompatibilityVersion"`
	GlobalClusterSelfManagedSharding bool                      `json:"globalClusterSelfManagedSharding"`
	GroupID                          string                    `json:"groupId"`
	ID                               string                    `json:"id"`
	Labels                           []KeyValue                `json:"labels"`
	Links                            []Link                    `json:"links"`
	EmployeeAccessGrant              *EmployeeAccess           `json:"mongoDBEmployeeAccessGrant,omitempty"`
	MongoDBMajorVersion              string                    `json:"mongoDBMajorVersion"`
	MongoDBVersion                   string                    `json:"mongoDBVersion"`
	Name                             string                    `json:"name"`
	Paused                           bool                      `json:"paused"`
	PitEnabled                       bool                      `json:"pitEnabled"`
	ReplicaSetScalingStrategy        string                    `json:"replicaSetScalingStrategy,omitempty"`
	ReplicationSpecs                 []ReplicationSpec20230201 `json:"replicationSpecs"`
	RootCertType                     string                    `json:"rootCertType"`
	StateName                        string                    `json:"stateName"`
	Tags                             []KeyValue                `json:"tags"`
	TerminationProtectionEnabled     bool                      `json:"terminationProtectionEnabled"`
	VersionReleaseSystem             string                    `json:"versionReleaseSystem"`
}

// ReplicationSpec is one shard. Its id is the shard's.
type ReplicationSpec struct {
	ID            string         `json:"id"`
	RegionConfigs []RegionConfig `json:"regionConfigs"`
	ZoneID        string         `json:"zoneId"`
	ZoneName      string         `json:"zoneName"`
}

// ReplicationSpec20230201 is one zone. Its id is of neither the zone nor a shard.
type ReplicationSpec20230201 struct {
	ID            string         `json:"id"`
	NumShards     int            `json:"numShards"`
	RegionConfigs []RegionConfig `json:"regionConfigs"`
	ZoneID        string         `json:"zoneId"`
	ZoneName      string         `json:"zoneName"`
}

// RegionConfig is what a shard has in one region. The effective hardware, which only the newer
// versions show within replicationSpecs, is nil where it is not shown.
type RegionConfig struct {
	AnalyticsAutoScaling    *AutoScaling `json:"analyticsAutoScaling,omitempty"`
	AnalyticsSpecs          Hardware     `json:"analyticsSpecs"`
	AutoScaling             AutoScaling  `json:"autoScaling"`
	ElectableSpecs          Hardware     `json:"electableSpecs"`
	EffectiveAnalyticsSpecs *Hardware    `json:"effectiveAnalyticsSpecs,omitempty"`
	EffectiveElectableSpecs *Hardware    `json:"effectiveElectableSpecs,omitempty"`
	EffectiveReadOnlySpecs  *Hardware    `json:"effectiveReadOnlySpecs,omitempty"`
	Priority                int          `json:"priority"`
	ProviderName            Provider     `json:"providerName"`
	ReadOnlySpecs           Hardware     `json:"readOnlySpecs"`
	RegionName              string       `json:"regionName"`
}

// Hardware is what nodes of one kind run on. DiskSizeGB is nil in 2023-02-01.
type Hardware struct {
	DiskIOPS      int        `json:"diskIOPS,omitempty"`
	DiskSizeGB    *Gigabytes `json:"diskSizeGB,omitempty"`
	EBSVolumeType string     `json:"ebsVolumeType,omitempty"`
	InstanceSize  string     `json:"instanceSize"`
	NodeCount     int        `json:"nodeCount"`
}

// AutoScaling is how hardware may grow by itself.
type AutoScaling struct {
	Compute ComputeAutoScaling `json:"compute"`
	DiskGB  DiskAutoScaling    `json:"diskGB"`
}

// ComputeAutoScaling bounds the instance size.
type ComputeAutoScaling struct {
	Enabled          bool   `json:"enabled"`
	MaxInstanceSize  string `json:"maxInstanceSize,omitempty"`
	MinInstanceSize  string `json:"minInstanceSize,omitempty"`
	ScaleDownEnabled bool   `json:"scaleDownEnabled"`
}

// DiskAutoScaling says whether disks grow.
type DiskAutoScaling struct {
	Enabled bool `json:"enabled"`
}

// TLSConfiguration is what TLS a cluster accepts.
type TLSConfiguration struct {
	CustomTLS12        []string `json:"customOpensslCipherConfigTls12"`
	CustomTLS13        []string `json:"customOpensslCipherConfigTls13"`
	MinimumTLSProtocol string   `json:"minimumEnabledTlsProtocol"`
	CipherConfigMode   string   `json:"tlsCipherConfigMode"`
}

// BIConnector is the configuration of the BI Connector. The read preference is in lower case,
// unlike what the published schema says.
type BIConnector struct {
	Enabled        bool   `json:"enabled"`
	ReadPreference string `json:"readPreference"`
}

// ConnectionStrings is empty, {}, while a cluster is being created.
type ConnectionStrings struct {
	Standard    string `json:"standard,omitempty"`
	StandardSRV string `json:"standardSrv,omitempty"`
}
