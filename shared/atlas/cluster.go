package atlas

import (
	"strconv"
	"strings"
)

// Gigabytes is a size that the API prints as a floating-point number also when it is whole: 30.0.
type Gigabytes float64

// MarshalJSON keeps the point.
func (g Gigabytes) MarshalJSON() ([]byte, error) {
	s := strconv.FormatFloat(float64(g), 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return []byte(s), nil
}

// ClusterRequest is the body of POST and PATCH of a cluster (CONTRACT 6.2). A nil member was
// absent or null, both of which leave the stored value alone. Read-only members are ignored.
type ClusterRequest struct {
	Name                             *string                   `json:"name"`
	ClusterType                      *string                   `json:"clusterType"`
	EncryptionAtRestProvider         *string                   `json:"encryptionAtRestProvider"`
	Paused                           *bool                     `json:"paused"`
	MongoDBMajorVersion              *string                   `json:"mongoDBMajorVersion"`
	VersionReleaseSystem             *string                   `json:"versionReleaseSystem"`
	ReplicationSpecs                 *[]ReplicationSpecRequest `json:"replicationSpecs"`
	BackupEnabled                    *bool                     `json:"backupEnabled"`
	PitEnabled                       *bool                     `json:"pitEnabled"`
	TerminationProtectionEnabled     *bool                     `json:"terminationProtectionEnabled"`
	RedactClientLogData              *bool                     `json:"redactClientLogData"`
	RetainBackups                    *bool                     `json:"retainBackups"`
	GlobalClusterSelfManagedSharding *bool                     `json:"globalClusterSelfManagedSharding"`
	FastInitialSync                  *bool                     `json:"useAwsTimeBasedSnapshotCopyForFastInitialSync"`
	AdvancedConfiguration            *TLSConfigurationRequest  `json:"advancedConfiguration"`
	BIConnector                      *BIConnectorRequest       `json:"biConnector"`
	DiskWarmingMode                  *string                   `json:"diskWarmingMode"`
	ReplicaSetScalingStrategy        *string                   `json:"replicaSetScalingStrategy"`
	ConfigServerManagementMode       *string                   `json:"configServerManagementMode"`
	RootCertType                     *string                   `json:"rootCertType"`
	AdaptiveCapacity                 *string                   `json:"adaptiveCapacity"`
	Tags                             *[]KeyValue               `json:"tags"`
	Labels                           *[]KeyValue               `json:"labels"`
	EmployeeAccessGrant              *EmployeeAccess           `json:"mongoDBEmployeeAccessGrant"`

	// DiskSizeGB is the size of every disk. Only 2023-02-01 has it.
	DiskSizeGB *float64 `json:"diskSizeGB"`
	// PerZone marks a body of 2023-02-01: its replication specs are zones with a number of
	// equal shards, instead of shards.
	PerZone bool `json:"-"`
}

// Of20230201 is the body as 2023-02-01 means it: no disk size but the cluster's.
func (r ClusterRequest) Of20230201() ClusterRequest {
	r.PerZone = true
	r.eachHardware(func(h *HardwareRequest) { h.DiskSizeGB = nil })
	return r
}

// Of20240805 is the body as the newer versions mean it: one spec per shard, one size per disk.
func (r ClusterRequest) Of20240805() ClusterRequest {
	r.PerZone, r.DiskSizeGB = false, nil
	if r.ReplicationSpecs == nil {
		return r
	}
	specs := append([]ReplicationSpecRequest(nil), *r.ReplicationSpecs...)
	for i := range specs {
		specs[i].NumShards = nil
	}
	r.ReplicationSpecs = &specs
	return r
}

// eachHardware visits the hardware of a body that was decoded for this caller alone.
func (r ClusterRequest) eachHardware(fn func(*HardwareRequest)) {
	if r.ReplicationSpecs == nil {
		return
	}
	for _, spec := range *r.ReplicationSpecs {
		for _, region := range spec.RegionConfigs {
			for _, h := range []*HardwareRequest{region.ElectableSpecs, region.ReadOnlySpecs, region.AnalyticsSpecs} {
				if h != nil {
					fn(h)
				}
			}
		}
	}
}

// ReplicationSpecRequest is one shard, or one zone in 2023-02-01.
type ReplicationSpecRequest struct {
	ID            *string               `json:"id"`
	NumShards     *int                  `json:"numShards"`
	RegionConfigs []RegionConfigRequest `json:"regionConfigs"`
	ZoneID        *string               `json:"zoneId"`
	ZoneName      *string               `json:"zoneName"`
}

// RegionConfigRequest is what a shard has in one region.
type RegionConfigRequest struct {
	ProviderName         *string             `json:"providerName"`
	BackingProviderName  *string             `json:"backingProviderName"`
	RegionName           *string             `json:"regionName"`
	Priority             *int                `json:"priority"`
	ElectableSpecs       *HardwareRequest    `json:"electableSpecs"`
	ReadOnlySpecs        *HardwareRequest    `json:"readOnlySpecs"`
	AnalyticsSpecs       *HardwareRequest    `json:"analyticsSpecs"`
	AutoScaling          *AutoScalingRequest `json:"autoScaling"`
	AnalyticsAutoScaling *AutoScalingRequest `json:"analyticsAutoScaling"`
}

// HardwareRequest is what nodes of one kind run on.
type HardwareRequest struct {
	InstanceSize  *string  `json:"instanceSize"`
	NodeCount     *int     `json:"nodeCount"`
	DiskSizeGB    *float64 `json:"diskSizeGB"`
	DiskIOPS      *int     `json:"diskIOPS"`
	EBSVolumeType *string  `json:"ebsVolumeType"`
}

// AutoScalingRequest is how hardware may grow by itself.
type AutoScalingRequest struct {
	Compute *ComputeAutoScalingRequest `json:"compute"`
	DiskGB  *DiskAutoScalingRequest    `json:"diskGB"`
}

// ComputeAutoScalingRequest bounds the instance size.
type ComputeAutoScalingRequest struct {
	Enabled          *bool   `json:"enabled"`
	ScaleDownEnabled *bool   `json:"scaleDownEnabled"`
	MinInstanceSize  *string `json:"minInstanceSize"`
	MaxInstanceSize  *string `json:"maxInstanceSize"`
}

// DiskAutoScalingRequest says whether disks grow.
type DiskAutoScalingRequest struct {
	Enabled *bool `json:"enabled"`
}

// TLSConfigurationRequest is the TLS part of a cluster's process arguments.
type TLSConfigurationRequest struct {
	CustomTLS12        *[]string `json:"customOpensslCipherConfigTls12"`
	CustomTLS13        *[]string `json:"customOpensslCipherConfigTls13"`
	MinimumTLSProtocol *string   `json:"minimumEnabledTlsProtocol"`
	CipherConfigMode   *string   `json:"tlsCipherConfigMode"`
}

// BIConnectorRequest configures the BI Connector.
type BIConnectorRequest struct {
	Enabled        *bool   `json:"enabled"`
	ReadPreference *string `json:"readPreference"`
}

// EmployeeAccess lets people of the operator look into a cluster for a while.
type EmployeeAccess struct {
	GrantType      string `json:"grantType"`
	ExpirationTime string `json:"expirationTime"`
}

// KeyValue is a tag or a label.
type KeyValue struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}
