// Package awsvpc makes interface VPC endpoints to AWS KMS in the operator's VPCs.
//
// Its invariant: an endpoint is known by the tags that it is created with, so that one that was
// made but never heard of again is found.
package awsvpc

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"latchkey/shared/atlas"
	"latchkey/shared/endpoint"
)

// The tags of an endpoint. The operator's policies may demand them.
const (
	TagEndpoint = "latchkey:endpoint"
	TagGroup    = "latchkey:group"
)

// How long one call tries; what fails is asked again by the workflow.
const (
	maxAttempts     = 2
	maxBackoff      = 200 * time.Millisecond
	attemptDuration = 10 * time.Second
)

// Config is the operator's account. All fields are required.
type Config struct {
	Credentials aws.CredentialsProvider
	Transport   http.RoundTripper
	Networks    map[atlas.AWSRegion]endpoint.AWSNetwork
}

// Cloud implements endpoint.Cloud. It is safe for concurrent use.
type Cloud struct {
	cfg Config

	mu      sync.Mutex
	clients map[atlas.AWSRegion]*ec2.Client
}

// New returns a cloud. It does no I/O.
func New(cfg Config) *Cloud { return &Cloud{cfg: cfg, clients: map[atlas.AWSRegion]*ec2.Client{}} }

// Regions are those with a network, in the API's spelling, sorted.
func (c *Cloud) Regions() []string {
	regions := make([]string, 0, len(c.cfg.Networks))
	for r := range c.cfg.Networks {
		regions = append(regions, r.Atlas())
	}
	slices.Sort(regions)
	return regions
}

// client is the client of a region.
func (c *Cloud) client(name string) (*ec2.Client, atlas.AWSRegion, error) {
	region, err := atlas.ParseAWSRegion(name)
	if err != nil {
		return nil, "", &endpoint.Failure{Kind: endpoint.Refused, Message: "There is no region " + name + ".", Err: err}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	client, ok := c.clients[region]
	if !ok {
		client = ec2.New(ec2.Options{
			Region: string(region), Credentials: c.cfg.Credentials, AppID: "latchkey",
			HTTPClient: &http.Client{
				Transport: c.cfg.Transport, Timeout: attemptDuration,
				CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			},
			Retryer: retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts, o.MaxBackoff = maxAttempts, maxBackoff }),
		})
		c.clients[region] = client
	}
	return client, region, nil
}

// Create implements endpoint.Cloud. The client token makes repetitions harmless that come before
// the tags can be searched for.
func (c *Cloud) Create(ctx context.Context, h endpoint.Handle) (endpoint.Observation, error) {
	client, region, err := c.client(h.Region)
	if err != nil {
		return endpoint.Observation{}, err
	}
	network, ok := c.cfg.Networks[region]
	if !ok {
		return endpoint.Observation{}, &endpoint.Failure{Kind: endpoint.Refused, Message: "Private endpoints cannot be made in " + h.Region + "."}
	}
	if found, err := c.Find(ctx, h); err != nil || found.State != endpoint.Missing {
		return found, err
	}
	out, err := client.CreateVpcEndpoint(ctx, &ec2.CreateVpcEndpointInput{
		VpcEndpointType: types.VpcEndpointTypeInterface, ServiceName: aws.String(serviceName(region)), VpcId: &network.VPCID,
		SubnetIds: network.SubnetIDs, SecurityGroupIds: network.SecurityGroupIDs, ClientToken: &h.EndpointID,
		// Only one endpoint in a VPC can answer to the public name of KMS. Each has a name of its own.
		PrivateDnsEnabled: aws.Bool(false),
		TagSpecifications: []types.TagSpecification{{ResourceType: types.ResourceTypeVpcEndpoint, Tags: []types.Tag{
			{Key: aws.String("Name"), Value: aws.String("latchkey-" + h.EndpointID)},
			{Key: aws.String(TagEndpoint), Value: &h.EndpointID},
			{Key: aws.String(TagGroup), Value: &h.GroupID},
		}}},
	})
	if err != nil {
		return endpoint.Observation{}, classify(err)
	}
	if out.VpcEndpoint == nil || out.VpcEndpoint.VpcEndpointId == nil {
		return endpoint.Observation{}, nonsense("the answer to CreateVpcEndpoint describes no endpoint")
	}
	return observe(*out.VpcEndpoint), nil
}

// serviceName is the name of KMS as an endpoint service.
func serviceName(region atlas.AWSRegion) string {
	name := "com.amazonaws." + string(region) + ".kms"
	if region.Partition() == "aws-cn" {
		return "cn." + name
	}
	return name
}

// Find implements endpoint.Cloud.
func (c *Cloud) Find(ctx context.Context, h endpoint.Handle) (endpoint.Observation, error) {
	found, _, err := c.find(ctx, h)
	if err != nil || found == nil {
		return endpoint.Observation{State: endpoint.Missing}, err
	}
	return observe(*found), nil
}

// find looks an endpoint up: by its id, once that is known, else by its tags. Several with the same
// tags, which only a lost client token could cause, are all returned, the oldest first.
func (c *Cloud) find(ctx context.Context, h endpoint.Handle) (first *types.VpcEndpoint, all []types.VpcEndpoint, err error) {
	client, _, err := c.client(h.Region)
	if err != nil {
		return nil, nil, err
	}
	in := &ec2.DescribeVpcEndpointsInput{Filters: []types.Filter{{Name: aws.String("tag:" + TagEndpoint), Values: []string{h.EndpointID}}}}
	if h.ResourceID != "" {
		in = &ec2.DescribeVpcEndpointsInput{VpcEndpointIds: []string{h.ResourceID}}
	}
	for pages := ec2.NewDescribeVpcEndpointsPaginator(client, in); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if isMissing(err) {
			return nil, nil, nil
		}
		if err != nil {
			return nil, nil, classify(err)
		}
		for _, v := range page.VpcEndpoints {
			if v.VpcEndpointId != nil && !is(v, "deleted") {
				all = append(all, v)
			}
		}
	}
	slices.SortFunc(all, func(a, b types.VpcEndpoint) int {
		return aws.ToTime(a.CreationTimestamp).Compare(aws.ToTime(b.CreationTimestamp))
	})
	if len(all) > 0 {
		first = &all[0]
	}
	return first, all, nil
}

// Delete implements endpoint.Cloud.
func (c *Cloud) Delete(ctx context.Context, h endpoint.Handle) error {
	h.ResourceID = "" // also what nobody heard of
	_, all, err := c.find(ctx, h)
	if err != nil {
		return err
	}
	var ids []string
	for _, v := range all {
		if !is(v, "deleting") {
			ids = append(ids, *v.VpcEndpointId)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	client, _, err := c.client(h.Region)
	if err != nil {
		return err
	}
	out, err := client.DeleteVpcEndpoints(ctx, &ec2.DeleteVpcEndpointsInput{VpcEndpointIds: ids})
	if err != nil {
		return classify(err)
	}
	for _, u := range out.Unsuccessful {
		if err := unsuccessful(u); err != nil {
			return err
		}
	}
	return nil
}

// is compares a state, which AWS's documents spell with a capital and AWS does not.
func is(v types.VpcEndpoint, state string) bool { return strings.EqualFold(string(v.State), state) }

// observe is an endpoint as AWS shows it.
func observe(v types.VpcEndpoint) endpoint.Observation {
	o := endpoint.Observation{ResourceID: aws.ToString(v.VpcEndpointId), Connection: aws.ToString(v.VpcEndpointId)}
	switch strings.ToLower(string(v.State)) {
	case "available":
		// The first name is that of all zones together.
		if len(v.DnsEntries) > 0 {
			o.Address = aws.ToString(v.DnsEntries[0].DnsName)
		}
		if o.State = endpoint.Ready; o.Address == "" {
			o.State = endpoint.Provisioning
		}
	case "rejected":
		o.State = endpoint.Rejected
	case "failed", "expired":
		o.State, o.Message = endpoint.Broken, aws.ToString(v.FailureReason)
		if v.LastError != nil && o.Message == "" {
			o.Message = aws.ToString(v.LastError.Message)
		}
	case "deleting":
		o.State = endpoint.Removing
	case "deleted":
		o = endpoint.Observation{State: endpoint.Missing}
	default: // pending, pendingAcceptance, partial, and what AWS thinks of next
		o.State = endpoint.Provisioning
	}
	return o
}
