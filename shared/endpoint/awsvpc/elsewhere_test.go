package awsvpc_test

import (
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"latchkey/shared/atlas"
	"latchkey/shared/endpoint"
	"latchkey/shared/endpoint/awsvpc"
)

// awsVariable is the URL of an AWS made elsewhere, which is moto: it is emptied for the test. integration/aws.sh sets it.
const awsVariable = "LATCHKEY_AWS_ENDPOINT"

// led leads every request to an address, for the host that it was made for.
type led struct{ to *url.URL }

func (l led) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Host, r.URL.Scheme, r.URL.Host = r.URL.Host, l.to.Scheme, l.to.Host
	return http.DefaultTransport.RoundTrip(r)
}

// moto's endpoints are there at once and need nobody's approval, it has no quota, and it does not fail. So of what every
// cloud must do (endpointtest) these are left.
func TestElsewhere_an_endpoint_comes_and_goes(t *testing.T) {
	address := os.Getenv(awsVariable)
	if address == "" {
		t.Skipf("%s is not set; integration/aws.sh sets it and runs this", awsVariable)
	}
	to, err := url.Parse(address)
	must(t, err)
	for what, body := range map[string]string{"reset": "", "reset-auth": "100000"} { // as many calls are not authorized
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address+"/moto-api/"+what, strings.NewReader(body))
		must(t, err)
		answer, err := http.DefaultTransport.RoundTrip(r)
		must(t, err)
		must(t, answer.Body.Close())
	}
	own := credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", "")
	cloud := awsvpc.New(awsvpc.Config{
		Credentials: own, Transport: led{to}, Networks: map[atlas.AWSRegion]endpoint.AWSNetwork{"us-east-1": network(t, address, own)},
	})

	find := func(h endpoint.Handle) endpoint.Observation {
		o, err := cloud.Find(t.Context(), h)
		must(t, err)
		return o
	}
	one, two := handle("650000000000000000000020"), handle("650000000000000000000021")
	if o := find(one); o.State != endpoint.Missing {
		t.Errorf("before it is made: %+v", o)
	}
	made, err := cloud.Create(t.Context(), one)
	must(t, err)
	again, err := cloud.Create(t.Context(), one)
	must(t, err)
	other, err := cloud.Create(t.Context(), two)
	must(t, err)
	if made.ResourceID == "" || again.ResourceID != made.ResourceID || other.ResourceID == made.ResourceID {
		t.Errorf("made %+v, again %+v, another %+v", made, again, other)
	}
	o := find(one)
	if o.State != endpoint.Ready || o.ResourceID != made.ResourceID || o.Address == "" {
		t.Errorf("found by its tag: %+v", o)
	}
	named := one
	named.ResourceID = made.ResourceID
	if byID := find(named); byID != o {
		t.Errorf("by its id %+v, by its tag %+v", byID, o)
	}
	must(t, cloud.Delete(t.Context(), one))
	must(t, cloud.Delete(t.Context(), one))
	if o := find(one); o.State != endpoint.Missing {
		t.Errorf("after it was deleted: %+v", o)
	}
	if o := find(two); o.State != endpoint.Ready {
		t.Errorf("the other one: %+v", o)
	}
}

// network is a VPC of moto's with what an endpoint needs.
func network(t *testing.T, address string, own aws.CredentialsProvider) endpoint.AWSNetwork {
	t.Helper()
	client := ec2.New(ec2.Options{Region: "us-east-1", BaseEndpoint: &address, Credentials: own})
	vpc, err := client.CreateVpc(t.Context(), &ec2.CreateVpcInput{CidrBlock: aws.String("10.0.0.0/16")})
	must(t, err)
	subnet, err := client.CreateSubnet(t.Context(), &ec2.CreateSubnetInput{VpcId: vpc.Vpc.VpcId, CidrBlock: aws.String("10.0.1.0/24")})
	must(t, err)
	group, err := client.CreateSecurityGroup(t.Context(), &ec2.CreateSecurityGroupInput{
		VpcId: vpc.Vpc.VpcId, GroupName: aws.String("endpoints"), Description: aws.String("endpoints"),
	})
	must(t, err)
	return endpoint.AWSNetwork{VPCID: *vpc.Vpc.VpcId, SubnetIDs: []string{*subnet.Subnet.SubnetId}, SecurityGroupIDs: []string{*group.GroupId}}
}
