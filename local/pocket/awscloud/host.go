package awscloud

import (
	"net/http"
	"strings"

	"latchkey/shared/atlas"
)

// endpoint is what a host name says: which service, in which region, through which VPC
// endpoint.
type endpoint struct {
	service string // "kms", "sts", "iam"
	region  atlas.AWSRegion
	vpce    string // "vpce-0123456789abcdef0", or ""
}

// signing is the service that requests to the endpoint are signed for. It is what host names have, but for SES.
func (e endpoint) signing() string {
	if e.service == hostOfSES {
		return signingOfSES
	}
	return e.service
}

const hostOfSES, signingOfSES = "email", "ses"

// parseHost reads the host names of AWS services: "kms.us-east-1.amazonaws.com", the global
// "sts.amazonaws.com" and "iam.amazonaws.com", FIPS and dual-stack names, and those of VPC
// endpoints: "vpce-0123-abcd.kms.us-east-1.vpce.amazonaws.com".
func parseHost(host string) (endpoint, bool) {
	var e endpoint
	labels := strings.Split(host, ".")
	if strings.HasPrefix(labels[0], "vpce-") {
		parts := strings.Split(labels[0], "-")
		if len(parts) < 3 {
			return e, false
		}
		e.vpce, labels = parts[0]+"-"+parts[1], labels[1:]
	}
	if len(labels) > 3 && labels[1] == "ddb" && accountID.MatchString(labels[0]) { // DynamoDB's endpoint of one account
		labels = append([]string{"dynamodb"}, labels[2:]...)
	}
	if len(labels) < 3 {
		return e, false
	}
	e.service = strings.TrimSuffix(labels[0], "-fips")
	e.region = atlas.AWSRegion(labels[1])
	suffix := strings.Join(labels[2:], ".")
	if e.vpce != "" {
		rest, isVPCE := strings.CutPrefix(suffix, "vpce.")
		return e, isVPCE && rest != "" && rest == e.region.DNSSuffix()
	}
	if global, ok := globalRegion(e.service, strings.Join(labels[1:], ".")); ok {
		e.region = global
		return e, true
	}
	return e, suffix != "" && (suffix == e.region.DNSSuffix() || suffix == "api.aws" && e.region.DNSSuffix() == "amazonaws.com")
}

// iamDomains are the domains of IAM, which has one endpoint in each partition.
var iamDomains = map[atlas.AWSPartition]string{
	"aws": "amazonaws.com", "aws-us-gov": "us-gov.amazonaws.com", "aws-cn": "cn-north-1.amazonaws.com.cn",
}

// iamRegions are the regions in which requests to it are signed.
var iamRegions = map[atlas.AWSPartition]atlas.AWSRegion{"aws": "us-east-1", "aws-us-gov": "us-gov-west-1", "aws-cn": "cn-north-1"}

// globalRegion is the region in which requests to a global endpoint are signed.
func globalRegion(service, domain string) (atlas.AWSRegion, bool) {
	if service == "sts" && domain == iamDomains["aws"] {
		return iamRegions["aws"], true
	}
	for partition, d := range iamDomains {
		if service == "iam" && domain == d {
			return iamRegions[partition], true
		}
	}
	return "", false
}

// serves reports whether host is an endpoint of service.
func serves(host, service string) bool {
	e, ok := parseHost(host)
	return ok && e.service == service
}

// Alias names the host that a request was meant for which was sent to the loopback address, as
// `aws --endpoint-url` does: the scope of its signature says so. It is for pocket.New. It
// knows every service that is signed for, not just those of this package; "" if the request is
// not signed.
func Alias(r *http.Request) string {
	scope, ok := parseAuthorization(r.Header.Get("Authorization"))
	if !ok {
		return ""
	}
	region := atlas.AWSRegion(scope.region)
	switch {
	case region.DNSSuffix() == "":
		return ""
	case scope.service == "iam":
		return "iam." + iamDomains[region.Partition()]
	case scope.service == signingOfSES:
		return hostOfSES + "." + scope.region + "." + region.DNSSuffix()
	}
	return scope.service + "." + scope.region + "." + region.DNSSuffix()
}
