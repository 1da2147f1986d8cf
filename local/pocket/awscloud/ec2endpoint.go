package awscloud

import (
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"latchkey/shared/atlas"
)

// vpcEndpoint is an interface VPC endpoint. Its state follows from the time and from what happened
// to it.
type vpcEndpoint struct {
	ID      string
	Label   string // what its host names begin with: the id and eight more characters
	Account string
	Region  atlas.AWSRegion
	Service string // "kms"
	Name    string // "com.amazonaws.us-east-1.kms"
	VPC     string
	Subnets []string
	Groups  []string
	Tags    map[string]string
	Policy  string `json:",omitempty"`
	Token   string `json:",omitempty"` // the client's
	Created time.Time
	// ReadyAt is when it is available, or its deletion done.
	ReadyAt  time.Time
	Deleted  bool   `json:",omitempty"`
	Rejected bool   `json:",omitempty"`
	Failure  string `json:",omitempty"`
}

// The states of an endpoint as EC2 writes them.
const (
	endpointPending   = "pending"
	endpointAvailable = "available"
	endpointDeleting  = "deleting"
	endpointRejected  = "rejected"
	endpointFailed    = "failed"
)

// state is the endpoint's state; "" if it is gone.
func (v vpcEndpoint) state(now time.Time) string {
	isDone := !now.Before(v.ReadyAt)
	switch {
	case v.Deleted && isDone:
		return ""
	case v.Deleted:
		return endpointDeleting
	case v.Rejected:
		return endpointRejected
	case v.Failure != "":
		return endpointFailed
	case !isDone:
		return endpointPending
	}
	return endpointAvailable
}

func (v vpcEndpoint) key() string { return v.Account + "/" + string(v.Region) + "/" + v.ID }

// host is the endpoint's regional host name.
func (v vpcEndpoint) host() string {
	return v.Label + "." + v.Service + "." + string(v.Region) + ".vpce." + v.Region.DNSSuffix()
}

// endpointDelay is how long an endpoint takes to come and to go if nothing else is configured.
const endpointDelay = 20 * time.Second

func (c *Cloud) endpointDelay() time.Duration {
	if c.cfg.EndpointDelay == nil {
		return endpointDelay
	}
	return c.cfg.EndpointDelay()
}

// endpointQuota is AWS's quota of interface endpoints in a VPC.
const endpointQuota = 50

// endpoints lists what is there of an account in a region. An empty account lists all.
func (c *Cloud) endpoints(account string, region atlas.AWSRegion) ([]vpcEndpoint, error) {
	var all []vpcEndpoint
	err := c.state.Each(kindEndpoint, func(_ string, body []byte) error {
		var v vpcEndpoint
		if err := json.Unmarshal(body, &v); err != nil {
			return err
		}
		if v.Region == region && (account == "" || v.Account == account) && v.state(c.cfg.Now()) != "" {
			all = append(all, v)
		}
		return nil
	})
	return all, err
}

// resolves reports whether the host name of a VPC endpoint leads anywhere.
func (c *Cloud) resolves(host string) (bool, error) {
	e, _ := parseHost(host)
	all, err := c.endpoints("", e.region)
	return slices.ContainsFunc(all, func(v vpcEndpoint) bool {
		return v.host() == host && v.state(c.cfg.Now()) == endpointAvailable
	}), err
}

func (q *ec2Call) createVPCEndpoint() (any, error) {
	wanted := vpcEndpoint{
		Account: q.account(), Region: q.region, Name: q.form.Get("ServiceName"), VPC: q.form.Get("VpcId"), Subnets: q.list("SubnetId"),
		Groups: q.list("SecurityGroupId"), Token: q.form.Get("ClientToken"), Policy: q.form.Get("PolicyDocument"), Tags: q.tags(),
	}
	if err := q.checkEndpoint(&wanted); err != nil {
		return nil, err
	}
	if err := q.allowEndpoint(wanted); err != nil {
		return nil, err
	}
	all, err := q.endpoints(q.account(), q.region)
	if err != nil {
		return nil, err
	}
	for _, v := range all {
		if wanted.Token != "" && v.Token == wanted.Token {
			return q.created(v, wanted)
		}
	}
	quota := q.cfg.EndpointQuota
	if quota == 0 {
		quota = endpointQuota
	}
	if len(all) >= quota {
		return nil, fail("VpcEndpointLimitExceeded", "The maximum number of VPC endpoints has been reached.")
	}
	suffix := hex.EncodeToString(random(9))[:17]
	wanted.ID = "vpce-" + suffix
	wanted.Label = wanted.ID + "-" + strings.ToLower(uniqueID("", 8))
	wanted.Created, wanted.ReadyAt = q.now, q.now.Add(q.endpointDelay())
	if err := q.state.Put(kindEndpoint, wanted.key(), wanted); err != nil {
		return nil, err
	}
	return createdXML{q.view(wanted)}, nil
}

// created answers a request that was made before.
func (q *ec2Call) created(v, wanted vpcEndpoint) (any, error) {
	if v.Name != wanted.Name || v.VPC != wanted.VPC || !slices.Equal(v.Subnets, wanted.Subnets) || !maps.Equal(v.Tags, wanted.Tags) {
		return nil, fail("IdempotentParameterMismatch", "The client token %s was used with other parameters.", v.Token)
	}
	return createdXML{q.view(v)}, nil
}

func (q *ec2Call) checkEndpoint(v *vpcEndpoint) error {
	service, ok := serviceOf(v.Name, q.region)
	network := q.network()
	switch {
	case q.form.Get("VpcEndpointType") != "Interface":
		return fail("InvalidParameter", "Endpoint type (%s) does not match available service types ([Interface]).", q.form.Get("VpcEndpointType"))
	case !ok:
		return fail("InvalidServiceName", "The Vpc Endpoint Service '%s' does not exist", v.Name)
	case v.VPC != network.VPC:
		return noVPC(v.VPC)
	}
	v.Service = service
	for _, id := range v.Subnets {
		if !slices.Contains(network.Subnets, id) {
			return noSubnet(id)
		}
	}
	for _, id := range v.Groups {
		if id != network.SecurityGroup {
			return fail("InvalidGroup.NotFound", "The security group '%s' does not exist", id)
		}
	}
	if q.form.Get("PrivateDnsEnabled") == "false" {
		return nil
	}
	return fail("InvalidParameter", "private-dns-enabled cannot be set because there is already a conflicting DNS domain for %s.%s.%s in the VPC.", service, q.region, q.region.DNSSuffix())
}

// tags reads those of the TagSpecification.
func (q *ec2Call) tags() map[string]string {
	tags := map[string]string{}
	for i := 1; q.form.Has("TagSpecification.1.Tag." + strconv.Itoa(i) + ".Key"); i++ {
		prefix := "TagSpecification.1.Tag." + strconv.Itoa(i)
		tags[q.form.Get(prefix+".Key")] = q.form.Get(prefix + ".Value")
	}
	return tags
}

// allowEndpoint checks the permissions that creating an endpoint takes: on itself, on its network,
// and to tag it.
func (q *ec2Call) allowEndpoint(v vpcEndpoint) error {
	request := map[string][]string{"ec2:VpceServiceName": {v.Name}}
	for name, value := range v.Tags {
		request["aws:RequestTag/"+name] = []string{value}
		request["aws:TagKeys"] = append(request["aws:TagKeys"], name)
	}
	if err := q.allow("CreateVpcEndpoint", q.arn("vpc-endpoint/*"), request); err != nil {
		return err
	}
	resources := []string{"vpc/" + v.VPC}
	for _, id := range v.Subnets {
		resources = append(resources, "subnet/"+id)
	}
	for _, id := range v.Groups {
		resources = append(resources, "security-group/"+id)
	}
	for _, resource := range resources {
		if err := q.allow("CreateVpcEndpoint", q.arn(resource), nil); err != nil {
			return err
		}
	}
	if len(v.Tags) == 0 {
		return nil
	}
	request["ec2:CreateAction"] = []string{"CreateVpcEndpoint"}
	return q.allow("CreateTags", q.arn("vpc-endpoint/*"), request)
}

func (q *ec2Call) describeVPCEndpoints() (any, error) {
	if err := q.allow("DescribeVpcEndpoints", "*", nil); err != nil {
		return nil, err
	}
	all, err := q.endpoints(q.account(), q.region)
	if err != nil {
		return nil, err
	}
	ids := q.list("VpcEndpointId")
	for _, id := range ids {
		if !slices.ContainsFunc(all, func(v vpcEndpoint) bool { return v.ID == id }) {
			return nil, noEndpoint(id)
		}
	}
	found := describedXML{}
	for _, v := range all {
		ok, err := matches(q.filters(), v.properties(q.now))
		if err != nil {
			return nil, err
		}
		if ok && (len(ids) == 0 || slices.Contains(ids, v.ID)) {
			found.Items = append(found.Items, q.view(v))
		}
	}
	return found, nil
}

func noEndpoint(id string) *failure {
	return fail("InvalidVpcEndpointId.NotFound", "The Vpc Endpoint Id '%s' does not exist", id)
}

// properties are what filters look at.
func (v vpcEndpoint) properties(now time.Time) map[string]string {
	p := map[string]string{
		"vpc-endpoint-id": v.ID, "vpc-id": v.VPC, "service-name": v.Name, "vpc-endpoint-state": v.state(now), "vpc-endpoint-type": "Interface",
	}
	for name, value := range v.Tags {
		p["tag:"+name] = value
	}
	return p
}

func (q *ec2Call) deleteVPCEndpoints() (any, error) {
	all, err := q.endpoints(q.account(), q.region)
	if err != nil {
		return nil, err
	}
	var result deletedXML
	for _, id := range q.list("VpcEndpointId") {
		i := slices.IndexFunc(all, func(v vpcEndpoint) bool { return v.ID == id })
		if i < 0 {
			result.Items = append(result.Items, unsuccessfulXML{Resource: id, Code: noEndpoint(id).code, Message: noEndpoint(id).message})
			continue
		}
		v := all[i]
		tags := map[string][]string{}
		for name, value := range v.Tags {
			tags["aws:ResourceTag/"+name], tags["ec2:ResourceTag/"+name] = []string{value}, []string{value}
		}
		if err := q.allow("DeleteVpcEndpoints", q.arn("vpc-endpoint/"+id), tags); err != nil {
			return nil, err
		}
		if v.Deleted {
			continue
		}
		v.Deleted, v.ReadyAt = true, q.now.Add(q.endpointDelay())
		if err := q.state.Put(kindEndpoint, v.key(), v); err != nil {
			return nil, err
		}
	}
	return result, nil
}

// FailEndpoint makes a VPC endpoint fail, and RejectEndpoint makes its service reject it: what AWS
// does and no operation asks for.
func (c *Cloud) FailEndpoint(id, why string) error {
	return c.changeEndpoint(id, func(v *vpcEndpoint) { v.Failure = why })
}

// RejectEndpoint makes the service of a VPC endpoint reject it.
func (c *Cloud) RejectEndpoint(id string) error {
	return c.changeEndpoint(id, func(v *vpcEndpoint) { v.Rejected = true })
}

func (c *Cloud) changeEndpoint(id string, change func(*vpcEndpoint)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found *vpcEndpoint
	err := c.state.Each(kindEndpoint, func(_ string, body []byte) error {
		var v vpcEndpoint
		err := json.Unmarshal(body, &v)
		if err == nil && v.ID == id {
			found = &v
		}
		return err
	})
	switch {
	case err != nil:
		return err
	case found == nil:
		return noEndpoint(id)
	}
	change(found)
	return c.state.Put(kindEndpoint, found.key(), found)
}

// refuseUnresolved breaks the connection of a request to the host name of a VPC endpoint that is not
// there: its name does not resolve, so a client never connects.
func (c *Cloud) refuseUnresolved(host string) {
	e, _ := parseHost(host)
	if e.vpce == "" {
		return
	}
	if ok, err := c.resolves(host); err != nil || !ok {
		panic(http.ErrAbortHandler)
	}
}

type createdXML struct {
	endpointXML
}

// MarshalXML names the element.
func (x createdXML) MarshalXML(enc *xml.Encoder, _ xml.StartElement) error {
	return enc.EncodeElement(x.endpointXML, xml.StartElement{Name: xml.Name{Local: "vpcEndpoint"}})
}

type describedXML struct {
	XMLName xml.Name      `xml:"vpcEndpointSet"`
	Items   []endpointXML `xml:"item"`
}

type deletedXML struct {
	XMLName xml.Name          `xml:"unsuccessful"`
	Items   []unsuccessfulXML `xml:"item"`
}

type unsuccessfulXML struct {
	Resource string `xml:"resourceId"`
	Code     string `xml:"error>code"`
	Message  string `xml:"error>message"`
}

type endpointXML struct {
	ID         string           `xml:"vpcEndpointId"`
	Type       string           `xml:"vpcEndpointType"`
	VPC        string           `xml:"vpcId"`
	Service    string           `xml:"serviceName"`
	State      string           `xml:"state"`
	Policy     string           `xml:"policyDocument,omitempty"`
	Subnets    set[string]      `xml:"subnetIdSet"`
	Groups     set[group]       `xml:"groupSet"`
	PrivateDNS bool             `xml:"privateDnsEnabled"`
	Requester  bool             `xml:"requesterManaged"`
	DNS        set[dns]         `xml:"dnsEntrySet"`
	Created    string           `xml:"creationTimestamp"`
	Tags       set[endpointTag] `xml:"tagSet"`
	Owner      string           `xml:"ownerId"`
	Failure    string           `xml:"failureReason,omitempty"`
	LastError  *lastError       `xml:"lastError,omitempty"`
}

type group struct {
	ID   string `xml:"groupId"`
	Name string `xml:"groupName"`
}

type dns struct {
	Name string `xml:"dnsName"`
	Zone string `xml:"hostedZoneId"`
}

type endpointTag struct {
	Key   string `xml:"key"`
	Value string `xml:"value"`
}

type lastError struct {
	Code    string `xml:"code"`
	Message string `xml:"message"`
}

// view is an endpoint as EC2 shows it: the regional name first, then one for each zone.
func (q *ec2Call) view(v vpcEndpoint) endpointXML {
	x := endpointXML{
		ID: v.ID, Type: "Interface", VPC: v.VPC, Service: v.Name, State: v.state(q.now), Policy: v.Policy, Subnets: set[string]{v.Subnets},
		Created: v.Created.UTC().Format("2006-01-02T15:04:05.000Z"), Owner: v.Account,
	}
	for _, id := range v.Groups {
		x.Groups.Items = append(x.Groups.Items, group{ID: id, Name: "default"})
	}
	for _, name := range slices.Sorted(maps.Keys(v.Tags)) {
		x.Tags.Items = append(x.Tags.Items, endpointTag{Key: name, Value: v.Tags[name]})
	}
	if v.Failure != "" {
		x.Failure, x.LastError = v.Failure, &lastError{Code: "InternalError", Message: v.Failure}
		return x
	}
	x.DNS.Items = append(x.DNS.Items, dns{Name: v.host(), Zone: "Z7HUB22UULQXV"})
	for i := range v.Subnets {
		zone := string(v.Region) + string(rune('a'+i))
		x.DNS.Items = append(x.DNS.Items, dns{Name: v.Label + "-" + zone + strings.TrimPrefix(v.host(), v.Label), Zone: "Z7HUB22UULQXV"})
	}
	return x
}
