package adminapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"regexp"
	"slices"
	"sync"
)

// ControlPlane are the addresses that the deployment calls from and is called at, for the allow
// lists of tenants' keys. The zero value has none.
type ControlPlane struct {
	Inbound  CloudAddresses `json:"inbound"`
	Outbound CloudAddresses `json:"outbound"`
	Gateways []Gateway      `json:"gateways,omitempty"`
}

// CloudAddresses lists address ranges by the region they are in, in the cloud's own spelling.
type CloudAddresses struct {
	AWS   map[string][]string `json:"aws"`
	Azure map[string][]string `json:"azure"`
	GCP   map[string][]string `json:"gcp"`
}

// Gateway is a gateway that traffic of several regions passes through.
type Gateway struct {
	Name string     `json:"name"`
	IPs  GatewayIPs `json:"ips"`
}

// GatewayIPs lists a gateway's address ranges.
type GatewayIPs struct {
	Inbound  []string `json:"inbound"`
	Outbound []string `json:"outbound"`
}

// maxGateways is how many gateways the API can tell of.
const maxGateways = 25

// ParseControlPlane reads the operator's configuration: the document that the API answers with,
// or in short a list of the ranges that calls go out from, all in the AWS region given. An empty
// text is an empty ControlPlane.
func ParseControlPlane(text []byte, region string) (ControlPlane, error) {
	var c ControlPlane
	text = bytes.TrimSpace(text)
	if len(text) == 0 {
		return c, nil
	}
	if text[0] == '[' {
		var outbound []string
		if err := strictly(text, &outbound); err != nil {
			return c, fmt.Errorf("control plane addresses: %w", err)
		}
		if len(outbound) > 0 {
			c.Outbound.AWS = map[string][]string{region: outbound}
		}
	} else if err := strictly(text, &c); err != nil {
		return ControlPlane{}, fmt.Errorf("control plane addresses: %w", err)
	}
	if err := c.validate(); err != nil {
		return ControlPlane{}, fmt.Errorf("control plane addresses: %w", err)
	}
	return c, nil
}

// strictly decodes exactly one JSON value that has no unknown members: a misspelt cloud would
// otherwise be lost in silence.
func strictly(text []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("text behind the value")
	}
	return nil
}

// regionPattern is how all three clouds spell their regions: us-east-1, eastus2, europe-west4.
var regionPattern = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z][a-z0-9-]{1,40}$`) })

func (c ControlPlane) validate() error {
	for _, clouds := range []CloudAddresses{c.Inbound, c.Outbound} {
		for _, regions := range []map[string][]string{clouds.AWS, clouds.Azure, clouds.GCP} {
			for region, ranges := range regions {
				if !regionPattern().MatchString(region) {
					return fmt.Errorf("%q is no region", region)
				}
				if err := checkRanges(ranges); err != nil {
					return fmt.Errorf("region %s: %w", region, err)
				}
			}
		}
	}
	if len(c.Gateways) > maxGateways {
		return fmt.Errorf("more than %d gateways", maxGateways)
	}
	for _, g := range c.Gateways {
		if err := checkRanges(slices.Concat(g.IPs.Inbound, g.IPs.Outbound)); err != nil {
			return fmt.Errorf("gateway %s: %w", g.Name, err)
		}
	}
	return nil
}

// checkRanges demands ranges in their canonical form. A range with bits behind its length is a
// typing error, and one of length zero would open a tenant's key to everybody.
func checkRanges(ranges []string) error {
	for _, s := range ranges {
		p, err := netip.ParsePrefix(s)
		if err != nil || p.Masked() != p || p.Bits() == 0 {
			return fmt.Errorf("%q is no address range in CIDR notation", s)
		}
	}
	return nil
}

// view is the document on the wire, where every cloud is there and no list is null.
func (c ControlPlane) view() ControlPlane {
	c.Inbound, c.Outbound = c.Inbound.view(), c.Outbound.view()
	gateways := make([]Gateway, len(c.Gateways))
	for i, g := range c.Gateways {
		gateways[i] = Gateway{Name: g.Name, IPs: GatewayIPs{Inbound: orEmpty(g.IPs.Inbound), Outbound: orEmpty(g.IPs.Outbound)}}
	}
	c.Gateways = gateways
	return c
}

func (c CloudAddresses) view() CloudAddresses {
	for _, regions := range []*map[string][]string{&c.AWS, &c.Azure, &c.GCP} {
		shown := make(map[string][]string, len(*regions))
		for region, ranges := range *regions {
			shown[region] = orEmpty(ranges)
		}
		*regions = shown
	}
	return c
}

func orEmpty(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}
