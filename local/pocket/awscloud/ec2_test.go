package awscloud_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"latchkey/local/pocket"
	"latchkey/local/pocket/awscloud"
)

func (w *world) ec2(keys awscloud.Keys) *ec2.Client {
	return ec2.NewFromConfig(w.config(keys), func(o *ec2.Options) { o.RetryMaxAttempts = 1 })
}

// endpointInput asks for an endpoint to KMS in the tenant's default network.
func endpointInput(change ...func(*ec2.CreateVpcEndpointInput)) *ec2.CreateVpcEndpointInput {
	network := awscloud.DefaultNetwork(tenant, home)
	in := &ec2.CreateVpcEndpointInput{
		VpcEndpointType: types.VpcEndpointTypeInterface, ServiceName: aws.String("com.amazonaws.us-east-1.kms"), VpcId: &network.VPC,
		SubnetIds: network.Subnets, SecurityGroupIds: []string{network.SecurityGroup}, PrivateDnsEnabled: aws.Bool(false),
	}
	for _, fn := range change {
		fn(in)
	}
	return in
}

func (w *world) newEndpoint() types.VpcEndpoint {
	w.t.Helper()
	out, err := w.ec2(tenantRoot).CreateVpcEndpoint(w.ctx(), endpointInput())
	if err != nil {
		w.t.Fatal(err)
	}
	return *out.VpcEndpoint
}

// endpointState is an endpoint's state; "" if it is gone.
func (w *world) endpointState(id string) string {
	w.t.Helper()
	out, err := w.ec2(tenantRoot).DescribeVpcEndpoints(w.ctx(), &ec2.DescribeVpcEndpointsInput{VpcEndpointIds: []string{id}})
	if err != nil {
		wantCode(w.t, "describe", err, "InvalidVpcEndpointId.NotFound")
		return ""
	}
	return string(out.VpcEndpoints[0].State)
}

func TestEndpoint_comesAndGoesWithTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(cfg *awscloud.Config) { cfg.EndpointDelay = func() time.Duration { return 3 * time.Minute } })
		made := w.newEndpoint()
		through := func(o *kms.Options) {
			o.BaseEndpoint, o.RetryMaxAttempts = aws.String("https://"+*made.DnsEntries[0].DnsName), 1
		}
		key := w.newKey()
		check := func(state string, works bool) {
			t.Helper()
			if got := w.endpointState(*made.VpcEndpointId); got != state {
				t.Errorf("the endpoint is %q, want %q", got, state)
			}
			if _, err := encrypt(w, w.kms(tenantRoot, through), key); (err == nil) != works {
				t.Errorf("while %q KMS answers %v", state, err)
			}
		}
		check("pending", false)
		time.Sleep(3 * time.Minute)
		check("available", true)
		w.restart()
		check("available", true)
		out, err := w.ec2(tenantRoot).DeleteVpcEndpoints(w.ctx(), &ec2.DeleteVpcEndpointsInput{VpcEndpointIds: []string{*made.VpcEndpointId, "vpce-0"}})
		if err != nil || len(out.Unsuccessful) != 1 || *out.Unsuccessful[0].Error.Code != "InvalidVpcEndpointId.NotFound" {
			t.Fatalf("%+v, %v", out, err)
		}
		check("deleting", false)
		time.Sleep(3 * time.Minute)
		check("", false)
	})
}

func TestEndpoint_clientTokensMakeOne(t *testing.T) {
	w := newWorld(t)
	with := func(token, tag string) (*ec2.CreateVpcEndpointOutput, error) {
		return w.ec2(tenantRoot).CreateVpcEndpoint(w.ctx(), endpointInput(func(in *ec2.CreateVpcEndpointInput) {
			in.ClientToken = &token
			in.TagSpecifications = []types.TagSpecification{{ResourceType: types.ResourceTypeVpcEndpoint, Tags: []types.Tag{{Key: aws.String("a"), Value: &tag}}}}
		}))
	}
	first, err := with("t", "1")
	wantCode(t, "the first", err, "")
	second, err := with("t", "1")
	wantCode(t, "the second", err, "")
	if *first.VpcEndpoint.VpcEndpointId != *second.VpcEndpoint.VpcEndpointId {
		t.Error("two were made")
	}
	_, err = with("t", "2")
	wantCode(t, "the same token with other tags", err, "IdempotentParameterMismatch")
	_, err = with("u", "2")
	wantCode(t, "another token", err, "")
	out, err := w.ec2(tenantRoot).DescribeVpcEndpoints(w.ctx(), &ec2.DescribeVpcEndpointsInput{Filters: []types.Filter{{Name: aws.String("tag:a"), Values: []string{"2", "3"}}}})
	if err != nil || len(out.VpcEndpoints) != 1 || *out.VpcEndpoints[0].Tags[0].Value != "2" {
		t.Errorf("%+v, %v", out, err)
	}
}

func TestEndpoint_refusals(t *testing.T) {
	w := newWorld(t, func(cfg *awscloud.Config) { cfg.EndpointQuota = 1 })
	for name, tt := range map[string]struct {
		change func(*ec2.CreateVpcEndpointInput)
		code   string
	}{
		"another type":    {func(in *ec2.CreateVpcEndpointInput) { in.VpcEndpointType = types.VpcEndpointTypeGateway }, "InvalidParameter"},
		"another service": {func(in *ec2.CreateVpcEndpointInput) { in.ServiceName = aws.String("com.amazonaws.eu-west-1.kms") }, "InvalidServiceName"},
		"another network": {func(in *ec2.CreateVpcEndpointInput) { in.VpcId = aws.String("vpc-1") }, "InvalidVpcID.NotFound"},
		"another subnet":  {func(in *ec2.CreateVpcEndpointInput) { in.SubnetIds = []string{"subnet-1"} }, "InvalidSubnetID.NotFound"},
		"another group":   {func(in *ec2.CreateVpcEndpointInput) { in.SecurityGroupIds = []string{"sg-1"} }, "InvalidGroup.NotFound"},
		"a public name":   {func(in *ec2.CreateVpcEndpointInput) { in.PrivateDnsEnabled = aws.Bool(true) }, "InvalidParameter"},
	} {
		_, err := w.ec2(tenantRoot).CreateVpcEndpoint(w.ctx(), endpointInput(tt.change))
		wantCode(t, name, err, tt.code)
	}
	id := *w.newEndpoint().VpcEndpointId
	_, err := w.ec2(tenantRoot).CreateVpcEndpoint(w.ctx(), endpointInput())
	wantCode(t, "more than the quota", err, "VpcEndpointLimitExceeded")
	_, err = w.ec2(operatorRoot).DescribeVpcEndpoints(w.ctx(), &ec2.DescribeVpcEndpointsInput{VpcEndpointIds: []string{id}})
	wantCode(t, "another account's", err, "InvalidVpcEndpointId.NotFound")
	_, err = w.ec2(latchkeyKeys).DescribeVpcEndpoints(w.ctx(), &ec2.DescribeVpcEndpointsInput{})
	wantCode(t, "without permission", err, "UnauthorizedOperation")
	_, err = w.ec2(awscloud.Keys{AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: "x"}).DescribeVpcEndpoints(w.ctx(), &ec2.DescribeVpcEndpointsInput{})
	wantCode(t, "with unknown keys", err, "AuthFailure")
	w.faults.Set(pocket.Fault{Host: "ec2.us-east-1.amazonaws.com", Kind: pocket.Throttle, Operation: "DescribeVpcEndpoints"})
	_, err = w.ec2(tenantRoot).DescribeVpcEndpoints(w.ctx(), &ec2.DescribeVpcEndpointsInput{})
	wantCode(t, "while throttled", err, "RequestLimitExceeded")
}

func TestCLI_administersVPCEndpoints(t *testing.T) {
	t.Parallel()
	c := newCLI(t)
	vpc := c.admin("Vpcs[0].VpcId", "ec2", "describe-vpcs", "--filters", "Name=is-default,Values=true")
	subnet := c.admin("Subnets[0].SubnetId", "ec2", "describe-subnets", "--filters", "Name=vpc-id,Values="+vpc)
	id := c.admin("VpcEndpoint.VpcEndpointId", "ec2", "create-vpc-endpoint", "--vpc-endpoint-type", "Interface", "--vpc-id", vpc, "--subnet-ids", subnet,
		"--service-name", "com.amazonaws.us-east-1.kms", "--no-private-dns-enabled", "--tag-specifications", "ResourceType=vpc-endpoint,Tags=[{Key=k,Value=v}]")
	c.expect(id+"\tpending", "VpcEndpoints[0].[VpcEndpointId, State]", "ec2", "describe-vpc-endpoints", "--filters", "Name=tag:k,Values=v")
	if name := c.admin("VpcEndpoints[0].DnsEntries[0].DnsName", "ec2", "describe-vpc-endpoints", "--vpc-endpoint-ids", id); !strings.HasPrefix(name, id+"-") {
		t.Errorf("its name is %s", name)
	}
	c.expect("", "Unsuccessful", "ec2", "delete-vpc-endpoints", "--vpc-endpoint-ids", id)
	c.expect("deleting", "VpcEndpoints[0].State", "ec2", "describe-vpc-endpoints", "--vpc-endpoint-ids", id)
}
