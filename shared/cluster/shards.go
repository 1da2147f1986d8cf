package cluster

import (
	"slices"

	"latchkey/shared/atlas"
)

// defaultZone is the name of a zone that nobody named.
const defaultZone = "Zone 1"

// maxShards bounds a cluster's shards.
const maxShards = 70

// wish is one shard that a request asks for, with the present shard that it means, if any.
type wish struct {
	atlas.ReplicationSpecRequest
	zone  string // its name; "" if the request leaves it open
	shard *Shard
}

// layout returns the spec with the zones and shards that a request lists instead of its own.
// What the request says of a shard that exists already changes that shard; shards that it
// leaves out are gone.
func (s Spec) layout(r atlas.ClusterRequest, mint func() string) (Spec, error) {
	wishes, err := s.wishes(r)
	if err != nil {
		return Spec{}, err
	}
	disk, err := s.diskFor(r)
	if err != nil {
		return Spec{}, err
	}
	s.match(wishes)
	next := s
	next.Zones, next.Shards = nil, nil
	for _, w := range wishes {
		shard, err := s.shard(&next, w, disk, mint)
		if err != nil {
			return Spec{}, err
		}
		next.Shards = append(next.Shards, shard)
	}
	return next, nil
}

// wishes makes one wish per shard.
func (s Spec) wishes(r atlas.ClusterRequest) ([]wish, error) {
	var wishes []wish
	for i, spec := range *r.ReplicationSpecs {
		w := wish{ReplicationSpecRequest: spec}
		if spec.ZoneName != nil {
			w.zone = *spec.ZoneName
		}
		count := 1
		if r.PerZone {
			w.zone, w.ID = s.zoneMeant(w, i), nil
			if spec.NumShards != nil {
				count = *spec.NumShards
			}
		}
		if count < 1 || len(wishes)+count > maxShards {
			return nil, invalid("A cluster has 1 to %d shards.", maxShards)
		}
		for range count {
			wishes = append(wishes, w)
		}
	}
	if len(wishes) == 0 {
		return nil, atlas.Fail(atlas.MissingAttribute, "replicationSpecs")
	}
	return wishes, nil
}

// zoneMeant is the name of the zone that a replication spec of 2023-02-01 is about: the one it
// names, or whose id it has, or in whose place it stands.
func (s Spec) zoneMeant(w wish, place int) string {
	if w.zone != "" {
		return w.zone
	}
	for _, z := range s.Zones {
		if w.ID != nil && *w.ID == z.SpecID {
			return z.Name
		}
	}
	if place < len(s.Zones) {
		return s.Zones[place].Name
	}
	return ""
}

// match finds the present shard that each wish means. Ids decide where they are given; then
// order within the zone, so that leaving ids out never moves data; then order alone, which is
// how a zone is renamed.
func (s Spec) match(wishes []wish) {
	free := slices.Clone(s.Shards)
	take := func(w *wish, fits func(Shard) bool) {
		if w.shard != nil {
			return
		}
		if i := slices.IndexFunc(free, fits); i >= 0 {
			found := free[i]
			w.shard = &found
			free = slices.Delete(free, i, i+1)
		}
	}
	for i := range wishes {
		take(&wishes[i], func(shard Shard) bool { return wishes[i].ID != nil && *wishes[i].ID == shard.ID })
	}
	for i := range wishes {
		take(&wishes[i], func(shard Shard) bool {
			return wishes[i].zone == "" || wishes[i].zone == s.Zone(shard.ZoneID).Name
		})
	}
	for i := range wishes {
		take(&wishes[i], func(shard Shard) bool { return !s.wanted(shard.ZoneID, wishes) })
	}
}

// wanted reports whether any wish names the zone.
func (s Spec) wanted(zoneID string, wishes []wish) bool {
	name := s.Zone(zoneID).Name
	return slices.ContainsFunc(wishes, func(w wish) bool { return w.zone == name })
}

// shard is the shard that a wish asks for. Its zone is added to next unless it is there.
func (s Spec) shard(next *Spec, w wish, disk float64, mint func() string) (Shard, error) {
	name := w.zone
	if name == "" && w.shard != nil {
		name = s.Zone(w.shard.ZoneID).Name
	}
	if name == "" {
		name = defaultZone
	}
	shard := Shard{Number: -1}
	if w.shard != nil {
		shard = *w.shard
	} else {
		shard.ID = mint()
	}
	shard.ZoneID = s.zone(next, name, w.shard, mint)
	if shard.Number < 0 {
		shard.Number = s.freeNumber(*next)
	}
	regions, err := regionsOf(w.RegionConfigs, shard.Regions, disk)
	shard.Regions = regions
	return shard, err
}

// zone is the id of the zone of a name in next. A zone keeps its ids when all of its shards
// move to a name that is new.
func (s Spec) zone(next *Spec, name string, present *Shard, mint func() string) string {
	named := func(z Zone) bool { return z.Name == name }
	if i := slices.IndexFunc(next.Zones, named); i >= 0 {
		return next.Zones[i].ID
	}
	zone := Zone{Name: name}
	if i := slices.IndexFunc(s.Zones, named); i >= 0 {
		zone = s.Zones[i]
	} else if present != nil && len(s.Zones) == 1 && len(next.Zones) == 0 {
		zone = s.Zones[0]
		zone.Name = name
	}
	if zone.ID == "" {
		zone.ID, zone.SpecID = mint(), mint()
	}
	next.Zones = append(next.Zones, zone)
	return zone.ID
}

// freeNumber is the least number of no shard, present or next: host names are not reused while
// the old hosts may still be there.
func (s Spec) freeNumber(next Spec) int {
	for n := 0; ; n++ {
		used := func(shard Shard) bool { return shard.Number == n }
		if !slices.ContainsFunc(s.Shards, used) && !slices.ContainsFunc(next.Shards, used) {
			return n
		}
	}
}
