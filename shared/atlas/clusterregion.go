package atlas

import "slices"

// clusterRegions are the regions that nodes may run in, in the API's spelling. Those of AWS
// are in awsRegions. Each cloud's default is first.
var clusterRegions = map[Provider][]string{
	Azure: {
		"US_WEST_2", "US_CENTRAL", "US_EAST", "US_EAST_2", "US_NORTH_CENTRAL", "US_WEST", "US_SOUTH_CENTRAL", "US_WEST_CENTRAL",
		"US_WEST_3", "EUROPE_NORTH", "EUROPE_WEST", "CANADA_EAST", "CANADA_CENTRAL", "BRAZIL_SOUTH", "BRAZIL_SOUTHEAST",
		"AUSTRALIA_EAST", "AUSTRALIA_SOUTH_EAST", "AUSTRALIA_CENTRAL", "AUSTRALIA_CENTRAL_2", "UAE_NORTH", "UAE_CENTRAL",
		"GERMANY_WEST_CENTRAL", "GERMANY_NORTH", "SWITZERLAND_NORTH", "SWITZERLAND_WEST", "SWEDEN_CENTRAL", "SWEDEN_SOUTH",
		"UK_SOUTH", "UK_WEST", "INDIA_CENTRAL", "INDIA_WEST", "INDIA_SOUTH", "ASIA_EAST", "JAPAN_EAST", "JAPAN_WEST",
		"ASIA_SOUTH_EAST", "KOREA_CENTRAL", "KOREA_SOUTH", "FRANCE_CENTRAL", "FRANCE_SOUTH", "SOUTH_AFRICA_NORTH",
		"SOUTH_AFRICA_WEST", "NORWAY_EAST", "NORWAY_WEST", "QATAR_CENTRAL", "POLAND_CENTRAL", "ISRAEL_CENTRAL", "ITALY_NORTH",
		"SPAIN_CENTRAL", "MEXICO_CENTRAL", "NEW_ZEALAND_NORTH", "INDONESIA_CENTRAL", "MALAYSIA_WEST", "CHILE_CENTRAL",
	},
	GCP: {
		"CENTRAL_US", "EASTERN_US", "US_EAST_4", "US_EAST_5", "US_WEST_2", "US_WEST_3", "US_WEST_4", "US_SOUTH_1", "WESTERN_US",
		"NORTH_AMERICA_NORTHEAST_1", "NORTH_AMERICA_NORTHEAST_2", "NORTH_AMERICA_SOUTH_1", "SOUTH_AMERICA_EAST_1",
		"SOUTH_AMERICA_WEST_1", "WESTERN_EUROPE", "EUROPE_NORTH_1", "EUROPE_WEST_2", "EUROPE_WEST_3", "EUROPE_WEST_4",
		"EUROPE_WEST_6", "EUROPE_WEST_8", "EUROPE_WEST_9", "EUROPE_WEST_10", "EUROPE_WEST_12", "EUROPE_SOUTHWEST_1",
		"EUROPE_CENTRAL_2", "MIDDLE_EAST_CENTRAL_1", "MIDDLE_EAST_CENTRAL_2", "MIDDLE_EAST_WEST_1", "AUSTRALIA_SOUTHEAST_1",
		"AUSTRALIA_SOUTHEAST_2", "AFRICA_SOUTH_1", "EASTERN_ASIA_PACIFIC", "NORTHEASTERN_ASIA_PACIFIC",
		"SOUTHEASTERN_ASIA_PACIFIC", "ASIA_EAST_2", "ASIA_NORTHEAST_2", "ASIA_NORTHEAST_3", "ASIA_SOUTH_1", "ASIA_SOUTH_2",
		"ASIA_SOUTHEAST_2",
	},
}

// defaultAWSRegion is the region that the API names as AWS's default.
const defaultAWSRegion = "US_EAST_1"

// ClusterRegions lists the regions that nodes may run in at a provider.
func ClusterRegions(p Provider) []string {
	if p != AWS {
		return slices.Clone(clusterRegions[p])
	}
	names := make([]string, len(awsRegions))
	for i, r := range awsRegions {
		names[i] = r.Atlas()
	}
	return names
}

// DefaultClusterRegion is the region that a provider's list marks as its default.
func DefaultClusterRegion(p Provider) string {
	if regions := clusterRegions[p]; len(regions) > 0 {
		return regions[0]
	}
	return defaultAWSRegion
}

// IsClusterRegion reports whether nodes may run in the region, which must be spelt as the API
// spells it: clients compare what they get with what they sent.
func IsClusterRegion(p Provider, name string) bool { return slices.Contains(ClusterRegions(p), name) }
