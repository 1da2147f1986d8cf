package cluster

import (
	"slices"
	"strings"
	"unicode/utf8"

	"latchkey/shared/atlas"
)

// Settings is the part of a cluster that needs no work on its nodes.
type Settings struct {
	Backup                bool                  `json:"backup,omitempty"`
	PointInTime           bool                  `json:"pointInTime,omitempty"`
	TerminationProtection bool                  `json:"terminationProtection,omitempty"`
	RedactLogs            bool                  `json:"redactLogs,omitempty"`
	RetainBackups         bool                  `json:"retainBackups,omitempty"`
	SelfManagedSharding   bool                  `json:"selfManagedSharding,omitempty"`
	FastInitialSync       bool                  `json:"fastInitialSync,omitempty"`
	BIConnector           bool                  `json:"biConnector,omitempty"`
	BIReadPreference      string                `json:"biReadPreference"`
	DiskWarming           string                `json:"diskWarming"`
	ScalingStrategy       string                `json:"scalingStrategy,omitempty"`
	ConfigServer          string                `json:"configServer,omitempty"`
	AdaptiveCapacity      string                `json:"adaptiveCapacity,omitempty"`
	EmployeeAccess        *atlas.EmployeeAccess `json:"employeeAccess,omitempty"`
	Tags                  []atlas.KeyValue      `json:"tags,omitempty"`
	Labels                []atlas.KeyValue      `json:"labels,omitempty"`
}

// RootCertificate is the one authority that clusters' certificates come from.
const RootCertificate = "ISRGROOTX1"

// Modes of managing config servers.
const (
	ManagedConfigServer   = "ATLAS_MANAGED" // unless something else is asked for
	DedicatedConfigServer = "FIXED_TO_DEDICATED"
)

// defaultSettings are a new cluster's (CONTRACT 6.2).
func defaultSettings() Settings {
	return Settings{BIReadPreference: "secondary", DiskWarming: "FULLY_WARMED"}
}

// mergeSettings returns the settings with what a request changes.
func mergeSettings(s Settings, r atlas.ClusterRequest) (Settings, error) {
	for _, flag := range []struct {
		from *bool
		to   *bool
	}{
		{r.BackupEnabled, &s.Backup},
		{r.PitEnabled, &s.PointInTime},
		{r.TerminationProtectionEnabled, &s.TerminationProtection},
		{r.RedactClientLogData, &s.RedactLogs},
		{r.RetainBackups, &s.RetainBackups},
		{r.GlobalClusterSelfManagedSharding, &s.SelfManagedSharding},
		{r.FastInitialSync, &s.FastInitialSync},
	} {
		if flag.from != nil {
			*flag.to = *flag.from
		}
	}
	if err := s.mergeChoices(r); err != nil {
		return Settings{}, err
	}
	if err := s.mergeBIConnector(r.BIConnector); err != nil {
		return Settings{}, err
	}
	if r.EmployeeAccessGrant != nil {
		if err := s.mergeEmployeeAccess(*r.EmployeeAccessGrant); err != nil {
			return Settings{}, err
		}
	}
	if err := mergePairs("tags", r.Tags, &s.Tags); err != nil {
		return Settings{}, err
	}
	if err := mergePairs("labels", r.Labels, &s.Labels); err != nil {
		return Settings{}, err
	}
	if s.PointInTime && !s.Backup {
		return Settings{}, invalid("pitEnabled needs backupEnabled.")
	}
	return s, nil
}

// mergeChoices takes over the members that have one of a few values.
func (s *Settings) mergeChoices(r atlas.ClusterRequest) error {
	var rootCertificate string
	for _, choice := range []struct {
		from *string
		to   *string
		of   []string
	}{
		{r.DiskWarmingMode, &s.DiskWarming, []string{"FULLY_WARMED", "VISIBLE_EARLIER", "ENHANCED_FULLY_WARMED"}},
		{r.ReplicaSetScalingStrategy, &s.ScalingStrategy, []string{"SEQUENTIAL", "WORKLOAD_TYPE", "NODE_TYPE"}},
		{r.ConfigServerManagementMode, &s.ConfigServer, []string{ManagedConfigServer, DedicatedConfigServer}},
		{r.AdaptiveCapacity, &s.AdaptiveCapacity, []string{"ENABLED", "DISABLED"}},
		{r.RootCertType, &rootCertificate, []string{RootCertificate}},
	} {
		if choice.from == nil {
			continue
		}
		if err := oneOf(*choice.from, choice.of...); err != nil {
			return err
		}
		*choice.to = *choice.from
	}
	if s.ConfigServer == ManagedConfigServer {
		s.ConfigServer = "" // as if nobody had said so, since that is what clients are shown then
	}
	return nil
}

// mergeBIConnector stores the read preference in lower case, which is how the real service
// shows it.
func (s *Settings) mergeBIConnector(r *atlas.BIConnectorRequest) error {
	if r == nil {
		return nil
	}
	if r.Enabled != nil {
		s.BIConnector = *r.Enabled
	}
	if r.ReadPreference != nil {
		preference := strings.ToLower(*r.ReadPreference)
		if err := oneOf(preference, "primary", "secondary", "analytics"); err != nil {
			return err
		}
		s.BIReadPreference = preference
	}
	return nil
}

// Bounds of tags and labels: the API's for their length, the real service's for their number.
const (
	maxPairLength = 255
	maxPairs      = 50
)

func mergePairs(name string, from *[]atlas.KeyValue, to *[]atlas.KeyValue) error {
	if from == nil {
		return nil
	}
	if len(*from) > maxPairs {
		return atlas.Fail(atlas.InvalidAttribute, name).Hinting("A cluster has at most %d.", maxPairs)
	}
	seen := map[string]bool{}
	for _, pair := range *from {
		for _, s := range []string{pair.Key, pair.Value} {
			if n := utf8.RuneCountInString(s); n < 1 || n > maxPairLength {
				return atlas.Fail(atlas.InvalidAttribute, name).Hinting("Keys and values have 1 to %d characters.", maxPairLength)
			}
		}
		if seen[pair.Key] {
			return atlas.Fail(atlas.InvalidAttribute, name).Hinting("The key %q is there twice.", pair.Key)
		}
		seen[pair.Key] = true
	}
	*to = nil
	if len(*from) > 0 {
		*to = slices.Clone(*from)
	}
	return nil
}

// mergeEmployeeAccess records for how long the operator's people may look into the cluster. An
// empty grant, which clients send for none, ends it.
func (s *Settings) mergeEmployeeAccess(grant atlas.EmployeeAccess) error {
	s.EmployeeAccess = nil
	if grant == (atlas.EmployeeAccess{}) {
		return nil
	}
	err := oneOf(grant.GrantType, "CLUSTER_DATABASE_LOGS", "CLUSTER_INFRASTRUCTURE", "CLUSTER_INFRASTRUCTURE_AND_APP_SERVICES_SYNC_DATA")
	if err != nil {
		return err
	}
	if _, err := atlas.ParseTime(grant.ExpirationTime); err != nil {
		return atlas.Fail(atlas.InvalidAttribute, "expirationTime").Because(err)
	}
	s.EmployeeAccess = &grant
	return nil
}

func oneOf(value string, allowed ...string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return atlas.Fail(atlas.InvalidEnumValue, value).Hinting("It must be %s.", strings.Join(allowed, ", "))
}

// invalid says what is wrong with a configuration as a whole.
func invalid(format string, args ...any) error {
	return atlas.Fail(atlas.InvalidClusterConfiguration).Hinting(format, args...)
}
