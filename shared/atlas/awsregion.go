package atlas

import (
	"slices"
	"strconv"
	"strings"
)

// AWSPartition is a set of AWS regions with accounts of its own: "aws", "aws-cn".
type AWSPartition string

// partition is what distinguishes one partition from another.
type partition struct {
	name      AWSPartition
	dnsSuffix string
	areas     []string // what names of its regions begin with
}

// partitions is the one table of partitions. They list areas and not regions, since
// AWS opens new ones; which of them Latchkey offers is the API's enum (awsRegions).
var partitions = []partition{
	{"aws", "amazonaws.com", []string{"af", "ap", "ca", "eu", "il", "me", "mx", "sa", "us"}},
	{"aws-cn", "amazonaws.com.cn", []string{"cn"}},
	{"aws-us-gov", "amazonaws.com", []string{"us-gov"}},
	{"aws-iso", "c2s.ic.gov", []string{"us-iso"}},
	{"aws-iso-b", "sc2s.sgov.gov", []string{"us-isob"}},
	{"aws-iso-e", "cloud.adc-e.uk", []string{"eu-isoe"}},
	{"aws-iso-f", "csp.hci.ic.gov", []string{"us-isof"}},
	{"aws-eusc", "amazonaws.eu", []string{"eusc-de"}},
}

// directions are the last words of regions' names. Spelt out, so that "us-gov-1" is a region of
// no partition instead of one of "aws".
var directions = []string{"central", "north", "northeast", "east", "southeast", "south", "southwest", "west", "northwest"}

// DNSSuffix is the domain of the partition's services; "" if there is no such partition.
func (p AWSPartition) DNSSuffix() string {
	i := slices.IndexFunc(partitions, func(known partition) bool { return known.name == p })
	if i < 0 {
		return ""
	}
	return partitions[i].dnsSuffix
}

// AWSRegion is a region in AWS's own spelling: "us-east-1".
type AWSRegion string

// awsRegions is the API's enum of AWS regions (CONTRACT 3.1) without GLOBAL, in AWS's spelling.
var awsRegions = []AWSRegion{
	"us-gov-west-1", "us-gov-east-1", "us-east-1", "us-east-2", "us-west-1", "us-west-2", "ca-central-1",
	"eu-north-1", "eu-west-1", "eu-west-2", "eu-west-3", "eu-central-1", "eu-central-2", "ap-east-1", "ap-east-2",
	"ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-southeast-1", "ap-southeast-2", "ap-southeast-3",
	"ap-southeast-4", "ap-southeast-5", "ap-southeast-6", "ap-southeast-7", "ap-south-1", "ap-south-2", "sa-east-1",
	"cn-north-1", "cn-northwest-1", "me-south-1", "me-central-1", "af-south-1", "eu-south-1", "eu-south-2",
	"il-central-1", "ca-west-1", "mx-central-1",
}

// globalRegion is in the API's enum but is no place: there is no KMS in it.
const globalRegion = "GLOBAL"

// AWSRegions lists the regions of the API's enum.
func AWSRegions() []AWSRegion { return slices.Clone(awsRegions) }

// ParseAWSRegion reads a region of the API's enum in either spelling and any case:
// "US_EAST_1", "us-east-1". GLOBAL, which has no KMS, fails with AWS_KMS_REGION_NOT_SUPPORTED,
// anything else with INVALID_REGION.
func ParseAWSRegion(s string) (AWSRegion, error) {
	if strings.EqualFold(s, globalRegion) {
		return "", Fail(AWSRegionNotSupported, globalRegion)
	}
	r := AWSRegion(strings.ReplaceAll(strings.ToLower(s), "_", "-"))
	if len(s) != len(r) || !slices.Contains(awsRegions, r) {
		return "", Fail(InvalidRegion, s, "AWS")
	}
	return r, nil
}

// String is the region in AWS's spelling.
func (r AWSRegion) String() string { return string(r) }

// Atlas is the region in the API's spelling: "US_EAST_1".
func (r AWSRegion) Atlas() string {
	return strings.ToUpper(strings.ReplaceAll(string(r), "-", "_"))
}

// Partition is the partition the region belongs to; "" if its name fits none. It is an area, a direction and a
// number up to 99: "us-gov-west-1". Every check asks for it a few times, so it is no regular expression.
func (r AWSRegion) Partition() AWSPartition {
	name, number := cutLast(string(r))
	area, direction := cutLast(name)
	if n, err := strconv.ParseUint(number, 10, 8); err != nil || n == 0 || n > 99 || number[0] == '0' || !slices.Contains(directions, direction) {
		return ""
	}
	for _, p := range partitions {
		if slices.Contains(p.areas, area) {
			return p.name
		}
	}
	return ""
}

// cutLast cuts a name before its last word; there is no rest if it has one only.
func cutLast(name string) (rest, word string) {
	i := strings.LastIndexByte(name, '-')
	if i < 0 {
		return "", name
	}
	return name[:i], name[i+1:]
}

// DNSSuffix is the domain of the region's services: "amazonaws.com"; "" if there is no such region.
func (r AWSRegion) DNSSuffix() string { return r.Partition().DNSSuffix() }
