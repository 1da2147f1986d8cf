package awscloud

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"slices"

	"latchkey/shared/atlas"
)

// Network is a VPC with what endpoints in it need.
type Network struct {
	VPC           string
	Subnets       []string
	SecurityGroup string
}

// DefaultNetwork is the default VPC of an account in a region, which every account has.
func DefaultNetwork(account, region string) Network {
	sum := sha256.Sum256([]byte(account + "/" + region))
	id := func(i int) string { return hex.EncodeToString(sum[i : i+9])[:17] }
	return Network{VPC: "vpc-" + id(0), Subnets: []string{"subnet-" + id(7), "subnet-" + id(14)}, SecurityGroup: "sg-" + id(21)}
}

func (q *ec2Call) network() Network { return DefaultNetwork(q.account(), string(q.region)) }

type vpcXML struct {
	XMLName   xml.Name `xml:"item"`
	VPC       string   `xml:"vpcId"`
	Owner     string   `xml:"ownerId"`
	State     string   `xml:"state"`
	CIDR      string   `xml:"cidrBlock"`
	IsDefault bool     `xml:"isDefault"`
}

// describeVPCs lists the default VPC.
func (q *ec2Call) describeVPCs() (any, error) {
	if err := q.allow("DescribeVpcs", "*", nil); err != nil {
		return nil, err
	}
	network := q.network()
	if ids := q.list("VpcId"); len(ids) > 0 && !slices.Contains(ids, network.VPC) {
		return nil, noVPC(ids[0])
	}
	ok, err := matches(q.filters(), map[string]string{"vpc-id": network.VPC, "is-default": "true", "isDefault": "true", "state": "available"})
	if err != nil {
		return nil, err
	}
	var found struct {
		XMLName xml.Name `xml:"vpcSet"`
		VPCs    []vpcXML
	}
	if ok {
		found.VPCs = []vpcXML{{VPC: network.VPC, Owner: q.account(), State: "available", CIDR: "172.31.0.0/16", IsDefault: true}}
	}
	return found, nil
}

func noVPC(id string) error {
	return fail("InvalidVpcID.NotFound", "The vpc ID '%s' does not exist", id)
}

type subnetXML struct {
	XMLName xml.Name `xml:"item"`
	Subnet  string   `xml:"subnetId"`
	VPC     string   `xml:"vpcId"`
	State   string   `xml:"state"`
	CIDR    string   `xml:"cidrBlock"`
	Zone    string   `xml:"availabilityZone"`
	Default bool     `xml:"defaultForAz"`
}

// describeSubnets lists the subnets of the default VPC.
func (q *ec2Call) describeSubnets() (any, error) {
	if err := q.allow("DescribeSubnets", "*", nil); err != nil {
		return nil, err
	}
	network, wanted := q.network(), q.list("SubnetId")
	for _, id := range wanted {
		if !slices.Contains(network.Subnets, id) {
			return nil, noSubnet(id)
		}
	}
	var found struct {
		XMLName xml.Name `xml:"subnetSet"`
		Subnets []subnetXML
	}
	for i, id := range network.Subnets {
		zone := string(q.region) + string(rune('a'+i))
		ok, err := matches(q.filters(), map[string]string{"vpc-id": network.VPC, "subnet-id": id, "state": "available", "availability-zone": zone})
		if err != nil {
			return nil, err
		}
		if ok && (len(wanted) == 0 || slices.Contains(wanted, id)) {
			found.Subnets = append(found.Subnets, subnetXML{
				Subnet: id, VPC: network.VPC, State: "available", CIDR: []string{"172.31.0.0/20", "172.31.16.0/20"}[i], Zone: zone, Default: true,
			})
		}
	}
	return found, nil
}

func noSubnet(id string) error {
	return fail("InvalidSubnetID.NotFound", "The subnet ID '%s' does not exist", id)
}

// privateServices are the services that interface endpoints lead to here.
var privateServices = []string{"kms"}

// serviceOf is the service that the name of an endpoint service stands for: "kms" for
// "com.amazonaws.us-east-1.kms". China's names begin with "cn.".
func serviceOf(name string, region atlas.AWSRegion) (string, bool) {
	for _, s := range privateServices {
		if name == "com.amazonaws."+string(region)+"."+s || name == "cn.com.amazonaws."+string(region)+"."+s {
			return s, true
		}
	}
	return "", false
}
