package cluster

import (
	"slices"
	"strings"

	"latchkey/shared/atlas"
)

// instanceSizes are the sizes of dedicated nodes by cloud (CONTRACT 6.2), smallest first
// within each family.
var instanceSizes = map[atlas.Provider][]string{
	atlas.AWS: {
		"M10", "M20", "M30", "M40", "M50", "M60", "M80", "M100", "M140", "M200", "M300", "R40", "R50", "R60", "R80", "R200",
		"R300", "R400", "R700", "M40_NVME", "M50_NVME", "M60_NVME", "M80_NVME", "M200_NVME", "M400_NVME",
		"M30_GEN_2", "M40_GEN_2", "M50_GEN_2", "M60_GEN_2", "M80_GEN_2", "M100_GEN_2", "M140_GEN_2", "M200_GEN_2", "M300_GEN_2",
		"R40_GEN_2", "R50_GEN_2", "R60_GEN_2", "R80_GEN_2", "R200_GEN_2", "R300_GEN_2", "R400_GEN_2",
	},
	atlas.Azure: {
		"M10", "M20", "M30", "M40", "M50", "M60", "M80", "M90", "M200", "R40", "R50", "R60", "R80", "R200", "R300", "R400",
		"M60_NVME", "M80_NVME", "M200_NVME", "M300_NVME", "M400_NVME", "M600_NVME",
	},
	atlas.GCP: {
		"M10", "M20", "M30", "M40", "M50", "M60", "M80", "M140", "M200", "M250", "M300", "M400", "R40", "R50", "R60", "R80",
		"R200", "R300", "R400", "R600",
		"M30_GEN_2", "M40_GEN_2", "M50_GEN_2", "M60_GEN_2", "M80_GEN_2", "M140_GEN_2", "M200_GEN_2", "M300_GEN_2",
		"R40_GEN_2", "R50_GEN_2", "R60_GEN_2", "R80_GEN_2", "R200_GEN_2", "R300_GEN_2", "R400_GEN_2",
	},
}

// InstanceSizes lists a cloud's sizes of dedicated nodes.
func InstanceSizes(p atlas.Provider) []string { return slices.Clone(instanceSizes[p]) }

// Shared sizes: many tenants on one node, so that no tenant's key can encrypt it.
const (
	tenant = "TENANT" // the cloud's name for them
	sizeM0 = "M0"
	sizeM2 = "M2"
	sizeM5 = "M5"
	// leastSize is the least one that has nodes of its own.
	leastSize = "M10"
)

func isShared(size string) bool { return size == sizeM0 || size == sizeM2 || size == sizeM5 }

// Bounds of disks, in gigabytes. A smaller size counts as the least one, as the API says.
const (
	leastDisk   = 10
	defaultDisk = 30 // observed for M10 and M20 (CONTRACT 6.2)
	mostDisk    = 16384
)

// disks are the sizes that the larger nodes come with, in gigabytes.
var disks = map[string]float64{
	"30": 40, "40": 80, "50": 160, "60": 320, "80": 750, "90": 1000, "100": 1000, "140": 1000, "200": 1500, "250": 2000,
	"300": 2000, "400": 3000, "600": 4000, "700": 4000,
}

// diskOf is the disk that a size comes with.
func diskOf(size string) float64 {
	number, _, _ := strings.Cut(strings.TrimLeft(size, "MR"), "_")
	if d, ok := disks[number]; ok {
		return d
	}
	return defaultDisk
}

// Volume types of AWS.
const (
	standardVolume    = "STANDARD"
	provisionedVolume = "PROVISIONED"
	performanceVolume = "HIGH_PERFORMANCE"
)

// standardIOPS is what a standard AWS volume of a size performs: three operations per second
// and gigabyte, and never less than 3000.
func standardIOPS(diskGB float64) int {
	const base, perGB = 3000, 3
	return max(base, int(perGB*diskGB))
}

func isNVMe(size string) bool { return strings.HasSuffix(size, "_NVME") }

// DefaultMajor is the release that clusters get unless their maker chooses another.
const DefaultMajor = "8.0"

// releases are the newest patches of the releases on offer, oldest first. Clusters that follow
// every release are on the last.
var releases = []Release{
	{Major: "6.0", Full: "6.0.27"}, {Major: "7.0", Full: "7.0.31"}, {Major: "8.0", Full: "8.0.29"}, {Major: "8.2", Full: "8.2.3"},
}

func findRelease(major string) (Release, bool) {
	i := slices.IndexFunc(releases, func(r Release) bool { return r.Major == major })
	if i < 0 {
		return Release{}, false
	}
	return releases[i], true
}

func newestRelease() Release {
	r := releases[len(releases)-1]
	r.Continuous = true
	return r
}

// isOlder compares releases by their place in the list.
func isOlder(a, b Release) bool {
	place := func(r Release) int {
		return slices.IndexFunc(releases, func(other Release) bool { return other.Major == r.Major })
	}
	return place(a) < place(b)
}
