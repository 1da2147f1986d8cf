package cluster

import (
	"encoding/json"
	"reflect"
	"regexp"
	"slices"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/store"
)

// namePattern and maxName are what names of clusters are made of (CONTRACT 1.3).
var namePattern = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9-]*$`)

const maxName = 64

// Owner says whose a new cluster is.
type Owner struct{ GroupID, OrgID string }

// Draft is the cluster that a request asks to create. It is pure but for the ids that mint
// makes.
func Draft(o Owner, r atlas.ClusterRequest, now time.Time, mint func() string) (Cluster, error) {
	switch {
	case r.Name == nil:
		return Cluster{}, atlas.Fail(atlas.MissingAttribute, "name")
	case !namePattern.MatchString(*r.Name) || len(*r.Name) > maxName:
		return Cluster{}, atlas.Fail(atlas.ClusterNameInvalid, *r.Name).Hinting("It has at most %d characters.", maxName)
	case r.ClusterType == nil:
		return Cluster{}, atlas.Fail(atlas.MissingAttribute, "clusterType")
	case r.ReplicationSpecs == nil:
		return Cluster{}, atlas.Fail(atlas.MissingAttribute, "replicationSpecs")
	case r.Paused != nil && *r.Paused:
		return Cluster{}, atlas.Fail(atlas.CannotCreatePausedCluster, *r.Name)
	}
	release, _ := findRelease(DefaultMajor)
	c := Cluster{
		ID: mint(), GroupID: o.GroupID, OrgID: o.OrgID, Name: *r.Name, Created: now.UTC().Truncate(time.Second),
		Settings: defaultSettings(), Args: defaultArgs(), Spec: Spec{Provider: None, Release: release},
	}
	c, _, err := c.merge(r, mint)
	if err != nil {
		return Cluster{}, err
	}
	c.Spec.Revision = 1
	return c.begin(Create, now), nil
}

// Change is what an update changes.
type Change struct {
	Spec       bool // needs work on nodes
	Provider   bool // of the key that encrypts the nodes
	Pause      bool // to pause or to resume
	Settings   bool // takes effect at once
	Protection bool // of the cluster's existence
}

// None reports whether nothing changes.
func (ch Change) None() bool { return ch == Change{} }

// Apply returns the cluster with what a request changes. Work on nodes begins as a plan,
// unless it must wait: for the plan in progress or, on a disabled cluster, for the tenant's
// key. It is pure but for the ids that mint makes.
func (c Cluster) Apply(r atlas.ClusterRequest, now time.Time, mint func() string) (Cluster, Change, error) {
	if c.Deleting() {
		return Cluster{}, Change{}, atlas.Fail(atlas.ClusterAlreadyRequestedDeletion, c.Name)
	}
	if r.Name != nil && *r.Name != c.Name {
		return Cluster{}, Change{}, atlas.Fail(atlas.ClusterCannotChangeName)
	}
	next, ch, err := c.merge(r, mint)
	if err != nil {
		return Cluster{}, Change{}, err
	}
	if err := c.checkUpdate(r, next, ch, now); err != nil {
		return Cluster{}, Change{}, err
	}
	if !ch.Spec {
		return next, ch, nil
	}
	next.Spec.Revision = c.Spec.Revision + 1
	if ch.Pause && !next.Spec.Paused {
		next.Resumed = now.UTC()
	}
	if next.Plan == nil && next.Disabled == nil {
		next = next.begin(Update, now)
	}
	return next, ch, nil
}

// merge takes over everything that a request says, and tells what that changes.
func (c Cluster) merge(r atlas.ClusterRequest, mint func() string) (Cluster, Change, error) {
	next := c
	var err error
	if next.Spec, err = c.Spec.merge(r, mint); err != nil {
		return Cluster{}, Change{}, err
	}
	if next.Settings, err = mergeSettings(c.Settings, r); err != nil {
		return Cluster{}, Change{}, err
	}
	if next.Args, err = c.Args.mergeTLS(r.AdvancedConfiguration); err != nil {
		return Cluster{}, Change{}, err
	}
	return next, Change{
		Spec:       !next.Spec.sameAs(c.Spec),
		Provider:   next.Spec.Provider != c.Spec.Provider,
		Pause:      next.Spec.Paused != c.Spec.Paused,
		Settings:   !reflect.DeepEqual(next.Settings, c.Settings) || !reflect.DeepEqual(next.Args, c.Args),
		Protection: next.Settings.TerminationProtection != c.Settings.TerminationProtection,
	}, nil
}

// merge returns the spec with what a request changes.
func (s Spec) merge(r atlas.ClusterRequest, mint func() string) (Spec, error) {
	next := s.clone()
	var err error
	if next.Provider, err = s.providerOf(r); err != nil {
		return Spec{}, err
	}
	if next.Release, err = s.releaseOf(r); err != nil {
		return Spec{}, err
	}
	if r.Paused != nil {
		next.Paused = *r.Paused
	}
	if r.ClusterType != nil {
		next.Type = Type(*r.ClusterType)
		if err := oneOf(*r.ClusterType, string(ReplicaSet), string(Sharded), string(Geosharded)); err != nil {
			return Spec{}, err
		}
	}
	if r.ReplicationSpecs != nil {
		if next, err = next.layout(r, mint); err != nil {
			return Spec{}, err
		}
	} else if r.DiskSizeGB != nil {
		size, err := diskSize(*r.DiskSizeGB)
		if err != nil {
			return Spec{}, err
		}
		next.eachHardware(func(p atlas.Provider, h *Hardware) {
			h.resize(p, size)
			h.complete(p, *h)
		})
	}
	return next, s.checkMerged(next)
}

// providerOf is the encryption provider that a request asks for. It refuses what no tenant's
// key can encrypt.
func (s Spec) providerOf(r atlas.ClusterRequest) (atlas.Provider, error) {
	p := s.Provider
	if r.EncryptionAtRestProvider != nil {
		p = atlas.Provider(*r.EncryptionAtRestProvider)
	}
	if p != None && !slices.Contains(atlas.Providers(), p) {
		return "", atlas.Fail(atlas.InvalidEARProvider, *r.EncryptionAtRestProvider).Hinting("It must be NONE, AWS, AZURE or GCP.")
	}
	if s.Revision > 0 && s.Provider != p && s.Provider != None && p != None {
		return "", atlas.Fail(atlas.CannotChangeEARProvider).Hinting("Set encryptionAtRestProvider to NONE first.")
	}
	return p, checkDedicated(r, p != None)
}

// checkDedicated refuses clusters whose nodes serve many tenants.
func checkDedicated(r atlas.ClusterRequest, encrypted bool) error {
	if r.ReplicationSpecs == nil {
		return nil
	}
	for _, spec := range *r.ReplicationSpecs {
		for _, region := range spec.RegionConfigs {
			size := ""
			if e := region.ElectableSpecs; e != nil && e.InstanceSize != nil {
				size = *e.InstanceSize
			}
			isTenant := region.ProviderName != nil && *region.ProviderName == tenant
			switch {
			case isTenant && encrypted:
				return atlas.Fail(atlas.CannotUseEARTenant)
			case isShared(size) && encrypted:
				return atlas.Fail(atlas.InsufficientInstanceSize, leastSize)
			case isTenant && (size == sizeM2 || size == sizeM5):
				return atlas.Fail(atlas.CannotUseFlexInClusterAPI, deref(r.Name)).Hinting("%s is the size of a flex cluster, which this deployment does not offer.", size)
			case isTenant || isShared(size):
				return invalid("This deployment offers dedicated clusters, of instance size %s or larger.", leastSize)
			}
		}
	}
	return nil
}

// releaseOf is the release that a request asks for.
func (s Spec) releaseOf(r atlas.ClusterRequest) (Release, error) {
	next := s.Release
	if r.VersionReleaseSystem != nil {
		if err := oneOf(*r.VersionReleaseSystem, "LTS", "CONTINUOUS"); err != nil {
			return Release{}, err
		}
		switch continuous := *r.VersionReleaseSystem == "CONTINUOUS"; {
		case continuous && !next.Continuous:
			next = newestRelease()
		case !continuous:
			next.Continuous = false
		}
	}
	if r.MongoDBMajorVersion == nil || *r.MongoDBMajorVersion == next.Major {
		return next, nil // clients send back what they were shown
	}
	if next.Continuous {
		return Release{}, invalid("With versionReleaseSystem CONTINUOUS, mongoDBMajorVersion must be left out.")
	}
	release, ok := findRelease(*r.MongoDBMajorVersion)
	if !ok {
		return Release{}, atlas.Fail(atlas.InvalidAttribute, "mongoDBMajorVersion").Hinting("There is no release %q.", *r.MongoDBMajorVersion)
	}
	if s.Revision > 0 && isOlder(release, s.Release) {
		return Release{}, invalid("A cluster can't go back from release %s to %s.", s.Release.Major, release.Major)
	}
	return release, nil
}

// checkMerged checks what concerns a cluster as a whole.
func (s Spec) checkMerged(next Spec) error {
	switch {
	case s.Revision > 0 && s.Type != next.Type && (s.Type != ReplicaSet || next.Type != Sharded):
		return invalid("A cluster of type %s can't become one of type %s.", s.Type, next.Type)
	case next.Type == ReplicaSet && len(next.Shards) != 1:
		return invalid("A cluster of type %s has one shard.", next.Type)
	case next.Type != Geosharded && len(next.Zones) != 1:
		return invalid("Only a cluster of type %s has more than one zone.", Geosharded)
	}
	return next.checkSize()
}

// maxSpec bounds a spec in bytes: a record holds up to three, and must fit an item of the table.
const maxSpec = store.MaxItem * 3 / 10

func (s Spec) checkSize() error {
	document, err := json.Marshal(s)
	if err == nil && len(document) > maxSpec {
		return invalid("It has too many regions and shards together.")
	}
	return err
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
