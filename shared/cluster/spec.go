package cluster

import (
	"reflect"
	"slices"

	"latchkey/shared/atlas"
)

// None is the encryption provider of a cluster without customer-managed keys.
const None atlas.Provider = "NONE"

// Type is how a cluster spreads its data.
type Type string

// The types of clusters.
const (
	ReplicaSet Type = "REPLICASET"
	Sharded    Type = "SHARDED"
	Geosharded Type = "GEOSHARDED"
)

// Spec is the part of a cluster that work on its nodes brings about. It has the form of the
// newest API version: one element per shard.
type Spec struct {
	// Revision counts the changes that a tenant made to the spec.
	Revision int64          `json:"revision"`
	Type     Type           `json:"type"`
	Provider atlas.Provider `json:"provider"` // of the key that encrypts the nodes, or None
	Release  Release        `json:"release"`
	Paused   bool           `json:"paused,omitempty"`
	Zones    []Zone         `json:"zones"`
	Shards   []Shard        `json:"shards"`
}

// Release is the database's version.
type Release struct {
	Major string `json:"major"` // "8.0"
	Full  string `json:"full"`  // "8.0.29"
	// Continuous follows every release instead of staying with a major one.
	Continuous bool `json:"continuous,omitempty"`
}

// Zone is where some of the shards are. Clusters that are not geosharded have one.
type Zone struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// SpecID is the id of the zone's replication spec in 2023-02-01.
	SpecID string `json:"specId"`
}

// Shard is one replica set.
type Shard struct {
	ID      string   `json:"id"`
	Number  int      `json:"number"` // in host names; never changes
	ZoneID  string   `json:"zoneId"`
	Regions []Region `json:"regions"`
}

// Region is what a shard has in one region of one cloud.
type Region struct {
	Provider             atlas.Provider     `json:"provider"`
	Name                 string             `json:"name"`
	Priority             int                `json:"priority"`
	Electable            Hardware           `json:"electable"`
	ReadOnly             Hardware           `json:"readOnly"`
	Analytics            Hardware           `json:"analytics"`
	AutoScaling          atlas.AutoScaling  `json:"autoScaling"`
	AnalyticsAutoScaling *atlas.AutoScaling `json:"analyticsAutoScaling,omitempty"`
}

// Hardware is what nodes of one kind run on.
type Hardware struct {
	InstanceSize string  `json:"instanceSize"`
	NodeCount    int     `json:"nodeCount"`
	DiskSizeGB   float64 `json:"diskSizeGB"`
	DiskIOPS     int     `json:"diskIOPS,omitempty"`
	VolumeType   string  `json:"volumeType,omitempty"`
}

// Zone finds a zone of the spec.
func (s Spec) Zone(id string) Zone {
	for _, z := range s.Zones {
		if z.ID == id {
			return z
		}
	}
	return Zone{}
}

// InZone lists the shards of a zone.
func (s Spec) InZone(id string) []Shard {
	var in []Shard
	for _, shard := range s.Shards {
		if shard.ZoneID == id {
			in = append(in, shard)
		}
	}
	return in
}

// Symmetric reports whether all shards of each zone are alike, which is all that 2023-02-01
// can show.
func (s Spec) Symmetric() bool {
	return !slices.ContainsFunc(s.Zones, func(z Zone) bool {
		shards := s.InZone(z.ID)
		return slices.ContainsFunc(shards, func(shard Shard) bool {
			return !reflect.DeepEqual(shard.Regions, shards[0].Regions)
		})
	})
}

// DiskSizeGB is the size of the cluster's disks, which 2023-02-01 takes to be one size.
func (s Spec) DiskSizeGB() float64 {
	if len(s.Shards) == 0 || len(s.Shards[0].Regions) == 0 {
		return 0
	}
	return s.Shards[0].Regions[0].Electable.DiskSizeGB
}

// sameAs reports whether two specs ask for the same, whatever their revisions.
func (s Spec) sameAs(other Spec) bool {
	other.Revision = s.Revision
	return reflect.DeepEqual(s, other)
}

// clone copies the spec so that changing the copy leaves the original alone.
func (s Spec) clone() Spec {
	s.Zones = slices.Clone(s.Zones)
	s.Shards = slices.Clone(s.Shards)
	for i := range s.Shards {
		s.Shards[i].Regions = slices.Clone(s.Shards[i].Regions)
	}
	return s
}

// eachHardware visits all hardware of the spec.
func (s Spec) eachHardware(fn func(p atlas.Provider, h *Hardware)) {
	for i := range s.Shards {
		for j := range s.Shards[i].Regions {
			r := &s.Shards[i].Regions[j]
			for _, h := range []*Hardware{&r.Electable, &r.ReadOnly, &r.Analytics} {
				fn(r.Provider, h)
			}
		}
	}
}
