package awsvpc_test

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"latchkey/local/pocket"
	"latchkey/local/pocket/awscloud"
	"latchkey/local/pocket/awscloud/awssdk"
	"latchkey/shared/atlas"
	"latchkey/shared/endpoint"
	"latchkey/shared/endpoint/awsvpc"
	"latchkey/shared/endpoint/endpointtest"
)

const (
	operator = "999900001111"
	host     = "ec2.us-east-1.amazonaws.com"
	// What the operator's role must be allowed: docs and template say the same.
	permissions = `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"ec2:DescribeVpcEndpoints","Resource":"*"},
		{"Effect":"Allow","Action":"ec2:CreateVpcEndpoint","Resource":"arn:aws:ec2:*:999900001111:vpc-endpoint/*","Condition":{"Null":{"aws:RequestTag/latchkey:endpoint":"false"}}},
		{"Effect":"Allow","Action":"ec2:CreateVpcEndpoint","Resource":["arn:aws:ec2:*:999900001111:vpc/*","arn:aws:ec2:*:999900001111:subnet/*","arn:aws:ec2:*:999900001111:security-group/*"]},
		{"Effect":"Allow","Action":"ec2:CreateTags","Resource":"arn:aws:ec2:*:999900001111:vpc-endpoint/*","Condition":{"StringEquals":{"ec2:CreateAction":"CreateVpcEndpoint"}}},
		{"Effect":"Allow","Action":"ec2:DeleteVpcEndpoints","Resource":"arn:aws:ec2:*:999900001111:vpc-endpoint/*","Condition":{"Null":{"aws:ResourceTag/latchkey:endpoint":"false"}}}]}`
)

var (
	root = awscloud.Keys{AccessKeyID: "AKIAOPERATORROOT0000", SecretAccessKey: "operator-root-secret"}
	keys = awscloud.Keys{AccessKeyID: "AKIALATCHKEY00000000", SecretAccessKey: "latchkey-secret"}
)

// world is the operator's account in a pocket AWS, whose endpoints come and go when told to.
type world struct {
	cloud  *awscloud.Cloud
	faults *pocket.Faults
	http   http.RoundTripper
	admin  *ec2.Client
	awsvpc *awsvpc.Cloud

	mu    sync.Mutex
	delay time.Duration
	ahead time.Duration
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{faults: &pocket.Faults{}, delay: time.Minute}
	cloud, err := awscloud.New(pocket.Memory(), awscloud.Config{
		Now: w.now, EndpointDelay: func() time.Duration { return time.Minute }, EndpointQuota: 3,
		Accounts: []awscloud.Account{{ID: operator, Root: root, Users: []awscloud.User{
			{Name: "latchkey", Keys: []awscloud.Keys{keys}, Policies: map[string]string{"endpoints": permissions}},
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.cloud = cloud
	w.http = pocket.Transport(pocket.New(w.faults, awscloud.Alias, cloud.Services()...))
	w.admin = ec2.NewFromConfig(awssdk.Config(w.http, "us-east-1", root))
	network := awscloud.DefaultNetwork(operator, "us-east-1")
	w.awsvpc = awsvpc.New(awsvpc.Config{
		Credentials: credentials.NewStaticCredentialsProvider(keys.AccessKeyID, keys.SecretAccessKey, ""), Transport: w.http,
		Networks: map[atlas.AWSRegion]endpoint.AWSNetwork{
			"us-east-1": {VPCID: network.VPC, SubnetIDs: network.Subnets, SecurityGroupIDs: []string{network.SecurityGroup}},
			"us-west-2": {VPCID: "vpc-0123", SubnetIDs: []string{"subnet-0123"}},
		},
	})
	return w
}

// now is up to a few minutes ahead of the SDK's clock, which the signatures bear.
func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.ahead)
}

func (w *world) settle(testing.TB) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ahead += time.Minute
}

func (w *world) fault(kind pocket.FaultKind) func(testing.TB) func() {
	return func(testing.TB) func() {
		w.faults.Set(pocket.Fault{Host: host, Kind: kind})
		return w.faults.Clear
	}
}

func handle(id string) endpoint.Handle {
	return endpoint.Handle{GroupID: "650000000000000000000001", EndpointID: id, Region: "US_EAST_1"}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestCloud_doesWhatEveryCloudMust(t *testing.T) {
	endpointtest.Run(t, func(t *testing.T) *endpointtest.Harness {
		w := newWorld(t)
		return &endpointtest.Harness{
			Cloud: w.awsvpc, Handle: handle, Settle: w.settle,
			Remove: func(t testing.TB, o endpoint.Observation) {
				_, err := w.admin.DeleteVpcEndpoints(t.Context(), &ec2.DeleteVpcEndpointsInput{VpcEndpointIds: []string{o.ResourceID}})
				must(t, err)
			},
			Break: func(t testing.TB, o endpoint.Observation) { must(t, w.cloud.FailEndpoint(o.ResourceID, "no capacity")) },
			Count: func(t testing.TB) int {
				out, err := w.admin.DescribeVpcEndpoints(t.Context(), &ec2.DescribeVpcEndpointsInput{})
				must(t, err)
				return len(out.VpcEndpoints)
			},
			Throttle: w.fault(pocket.Throttle), Outage: w.fault(pocket.Down), Deny: w.fault(pocket.Deny),
			Exhaust: func(t testing.TB) {
				for i := range 3 {
					_, err := w.awsvpc.Create(t.Context(), handle(fmt.Sprintf("65000000000000000000003%d", i)))
					must(t, err)
				}
			},
			Unknown: func(id string) endpoint.Handle {
				h := handle(id)
				h.Region = "SA_EAST_1"
				return h
			},
		}
	})
}

func TestCloud_rejectionIsSeen(t *testing.T) {
	w := newWorld(t)
	o, err := w.awsvpc.Create(t.Context(), handle("650000000000000000000020"))
	must(t, err)
	must(t, w.cloud.RejectEndpoint(o.ResourceID))
	o, err = w.awsvpc.Find(t.Context(), handle("650000000000000000000020"))
	if err != nil || o.State != endpoint.Rejected {
		t.Errorf("%+v, %v", o, err)
	}
}

func TestCloud_aNetworkThatIsNotThereIsRefused(t *testing.T) {
	w := newWorld(t)
	h := handle("650000000000000000000020")
	h.Region = "US_WEST_2"
	_, err := w.awsvpc.Create(t.Context(), h)
	f, ok := err.(*endpoint.Failure) //nolint:errorlint // that is its type
	if !ok || f.Kind != endpoint.Refused || f.Code != "InvalidVpcID.NotFound" || f.RequestID == "" {
		t.Errorf("got %v", err)
	}
}

func TestCloud_whatWasMadeIsTaggedAndNamedApart(t *testing.T) {
	w := newWorld(t)
	_, err := w.awsvpc.Create(t.Context(), handle("650000000000000000000020"))
	must(t, err)
	out, err := w.admin.DescribeVpcEndpoints(t.Context(), &ec2.DescribeVpcEndpointsInput{})
	must(t, err)
	v := out.VpcEndpoints[0]
	tags := map[string]string{}
	for _, tag := range v.Tags {
		tags[*tag.Key] = *tag.Value
	}
	if tags[awsvpc.TagEndpoint] != "650000000000000000000020" || tags[awsvpc.TagGroup] != "650000000000000000000001" {
		t.Errorf("tags %v", tags)
	}
	if aws.ToBool(v.PrivateDnsEnabled) || aws.ToString(v.ServiceName) != "com.amazonaws.us-east-1.kms" || len(v.SubnetIds) != 2 || len(v.Groups) != 1 {
		t.Errorf("made %+v", v)
	}
	if got := w.awsvpc.Regions(); !slices.Equal(got, []string{"US_EAST_1", "US_WEST_2"}) {
		t.Errorf("regions %v", got)
	}
}
