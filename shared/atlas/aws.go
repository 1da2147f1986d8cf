package atlas

import (
	"strings"
)

// Limits of the names of AWS resources. The documents' own examples use key ids that are no
// UUIDs, so a key id is not checked beyond its alphabet: KMS decides which ids exist.
const (
	maxAWSName  = 2048 // customerMasterKeyID and iamAssumedRoleArn (CONTRACT 3.1, 4)
	maxKeyID    = 256
	maxAlias    = 256 // with its prefix "alias/"
	maxRolePath = 512
	maxEntity   = 64
)

var (
	awsAlias = pattern(`^alias(/[A-Za-z0-9_-]+)+$`)
	awsPath  = pattern(`^/([A-Za-z0-9_+=,.@-]+/)*$`) // of a role or user
)

// The names below are looked at whenever a key is used, some thousand times in a run of the schedule. So they are no
// patterns: those take as long as a twelfth of a call to KMS.

func validAccount(s string) bool { return len(s) == 12 && consistsOf(s, isDigit) }

func validKeyID(s string) bool {
	return s != "" && len(s) <= maxKeyID && consistsOf(s, func(c byte) bool { return isAlphanumeric(c) || c == '-' })
}

// validEntity reports whether s may be the name of a role, a user or a session.
func validEntity(s string) bool {
	return s != "" && len(s) <= maxEntity && !isDots(s) &&
		consistsOf(s, func(c byte) bool { return isAlphanumeric(c) || strings.IndexByte("_+=,.@-", c) >= 0 })
}

func consistsOf(s string, isGood func(byte) bool) bool {
	for i := range len(s) {
		if !isGood(s[i]) {
			return false
		}
	}
	return true
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isAlphanumeric(c byte) bool { return isDigit(c) || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }

// aliasPrefix starts every alias name.
const aliasPrefix = "alias/"

// AWSKeyName is a KMS key as a tenant names it: a key id, an alias name, or the ARN of either.
// Partition, Region and Account are set for ARNs only. Exactly one of ID and Alias is set.
// Make one with ParseAWSKeyName; the zero value names nothing.
type AWSKeyName struct {
	Partition AWSPartition
	Region    AWSRegion
	Account   string
	ID        string
	Alias     string // with its prefix "alias/"
}

// ParseAWSKeyName reads the name of a KMS key. What it accepts, String prints unchanged.
func ParseAWSKeyName(s string) (AWSKeyName, error) {
	if s == "" || len(s) > maxAWSName {
		return AWSKeyName{}, badKeyName("It needs between 1 and 2048 characters.")
	}
	if !strings.HasPrefix(s, "arn:") {
		return AWSKeyName{}.named(s)
	}
	arn, err := splitARN(s)
	if err != "" {
		return AWSKeyName{}, badKeyName(err)
	}
	if arn.service != "kms" {
		return AWSKeyName{}, badKeyName("The ARN is not of the service kms.")
	}
	if arn.region.Partition() != arn.partition {
		return AWSKeyName{}, badKeyName("The ARN's region does not belong to its partition.")
	}
	name := AWSKeyName{Partition: arn.partition, Region: arn.region, Account: arn.account}
	id, isKey := strings.CutPrefix(arn.resource, "key/")
	if !isKey {
		if !strings.HasPrefix(arn.resource, aliasPrefix) {
			return AWSKeyName{}, badKeyName("The ARN names neither a key nor an alias.")
		}
		return name.named(arn.resource)
	}
	if !validKeyID(id) {
		return AWSKeyName{}, badKeyName("A key id has at most 256 letters, digits and hyphens.")
	}
	name.ID = id
	return name, nil
}

// named sets the key id or the alias name.
func (k AWSKeyName) named(s string) (AWSKeyName, error) {
	switch {
	case len(s) <= maxAlias && awsAlias().MatchString(s):
		k.Alias = s
	case !strings.HasPrefix(s, aliasPrefix) && validKeyID(s):
		k.ID = s
	default:
		return AWSKeyName{}, badKeyName("It must be a key id, an alias name or the ARN of a key or alias.")
	}
	return k, nil
}

func badKeyName(why string) error {
	return Fail(InvalidAttribute, "customerMasterKeyID").Hinting("%s", why)
}

// String is the name as the tenant gave it.
func (k AWSKeyName) String() string {
	resource := k.Alias
	if resource == "" {
		resource = k.ID
	}
	if !k.IsARN() {
		return resource
	}
	if k.Alias == "" {
		resource = "key/" + resource
	}
	return "arn:" + string(k.Partition) + ":kms:" + string(k.Region) + ":" + k.Account + ":" + resource
}

// IsARN reports whether the name says which account and region the key is in.
func (k AWSKeyName) IsARN() bool { return k.Partition != "" }

// IsAlias reports whether the name is an alias, which may point to another key tomorrow.
func (k AWSKeyName) IsAlias() bool { return k.Alias != "" }

// IsMultiRegion reports whether the name is that of a multi-Region key, whose replicas in
// other regions have the same id. An alias does not tell.
func (k AWSKeyName) IsMultiRegion() bool { return strings.HasPrefix(k.ID, "mrk-") }

// InRegion is the name by which the replica of a multi-Region key is reached in region: the
// same id, and in an ARN the other region.
func (k AWSKeyName) InRegion(region AWSRegion) AWSKeyName {
	if k.IsARN() {
		k.Region, k.Partition = region, region.Partition()
	}
	return k
}

// arn is an ARN in its parts. region is empty for global services.
type arn struct {
	partition AWSPartition
	service   string
	region    AWSRegion
	account   string
	resource  string
}

// splitARN cuts an ARN and checks its partition and account; reason says what is wrong.
// No resource that Latchkey names has a colon in it.
func splitARN(s string) (a arn, reason string) {
	parts := strings.Split(s, ":")
	if len(parts) != 6 || parts[0] != "arn" {
		return arn{}, "An ARN has six parts with a colon between them."
	}
	a = arn{
		partition: AWSPartition(parts[1]), service: parts[2], region: AWSRegion(parts[3]),
		account: parts[4], resource: parts[5],
	}
	if a.partition.DNSSuffix() == "" {
		return arn{}, "The ARN's partition does not exist."
	}
	if !validAccount(a.account) {
		return arn{}, "The ARN needs an account id of 12 digits."
	}
	return a, ""
}

// ValidAWSEndpoint reports whether host is the name of a VPC endpoint to KMS in a region:
// "vpce-0123-abcd.kms.us-east-1.vpce.amazonaws.com".
func ValidAWSEndpoint(host string, region AWSRegion) bool {
	label, isKMS := strings.CutSuffix(host, ".kms."+string(region)+".vpce."+region.DNSSuffix())
	return isKMS && vpcEndpoint().MatchString(label)
}

// vpcEndpoint is what the names of a VPC endpoint begin with; those of one zone name it too.
var vpcEndpoint = pattern(`^vpce-[0-9a-f]+-[0-9a-z-]+$`)
