package endpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"latchkey/shared/atlas"
)

// Networks are the operator's networks in which private endpoints are made.
type Networks struct {
	AWS map[atlas.AWSRegion]AWSNetwork `json:"aws"`
	// Azure is nil without networks there.
	Azure *AzureNetworks `json:"azure"`
}

// AWSNetwork is where endpoints are made in a region of AWS.
type AWSNetwork struct {
	VPCID            string   `json:"vpcId"`
	SubnetIDs        []string `json:"subnetIds"` // one per availability zone
	SecurityGroupIDs []string `json:"securityGroupIds"`
}

// AzureNetworks are those of one subscription.
type AzureNetworks struct {
	Environment    atlas.AzureEnvironment  `json:"environment"` // "" is AZURE
	SubscriptionID string                  `json:"subscriptionId"`
	Regions        map[string]AzureNetwork `json:"regions"` // by the region in the API's spelling
}

// AzureNetwork is where endpoints are made in a region of Azure.
type AzureNetwork struct {
	Location      string `json:"location"` // Azure's own name: "eastus2"
	ResourceGroup string `json:"resourceGroup"`
	SubnetID      string `json:"subnetId"` // the resource id of a subnet
}

// ParseNetworks reads the JSON document that an operator describes the networks with. An empty text
// says that there are none.
func ParseNetworks(text string) (Networks, error) {
	var n Networks
	if text == "" {
		return n, nil
	}
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&n); err != nil {
		return Networks{}, err
	}
	if decoder.More() {
		return Networks{}, errors.New("something follows the document")
	}
	return n, n.check()
}

func (n Networks) check() error {
	var failed []error
	for region, network := range n.AWS {
		if parsed, err := atlas.ParseAWSRegion(string(region)); err != nil || parsed != region {
			failed = append(failed, fmt.Errorf("aws: %q is no region of AWS, such as us-east-1", region))
		}
		if network.VPCID == "" || len(network.SubnetIDs) == 0 || len(network.SecurityGroupIDs) == 0 {
			failed = append(failed, fmt.Errorf("aws: %s: vpcId, subnetIds and securityGroupIds must be set", region))
		}
	}
	if n.Azure == nil {
		return errors.Join(failed...)
	}
	if e := n.Azure.Environment; e != "" && e.VaultSuffix() == "" {
		failed = append(failed, fmt.Errorf("azure: there is no environment %q", e))
	}
	if !atlas.ValidUUID(n.Azure.SubscriptionID) {
		failed = append(failed, errors.New("azure: subscriptionId must be a UUID"))
	}
	for region, network := range n.Azure.Regions {
		if !atlas.IsClusterRegion(atlas.Azure, region) {
			failed = append(failed, fmt.Errorf("azure: %q is no region of Azure, such as US_EAST_2", region))
		}
		if network.Location == "" || network.ResourceGroup == "" || network.SubnetID == "" {
			failed = append(failed, fmt.Errorf("azure: %s: location, resourceGroup and subnetId must be set", region))
		}
	}
	return errors.Join(failed...)
}

// Regions are those with a network, in the API's spelling and sorted, of the providers that have any.
func (n Networks) Regions() map[atlas.Provider][]string {
	regions := map[atlas.Provider][]string{}
	for r := range n.AWS {
		regions[atlas.AWS] = append(regions[atlas.AWS], r.Atlas())
	}
	if n.Azure != nil {
		for r := range n.Azure.Regions {
			regions[atlas.Azure] = append(regions[atlas.Azure], r)
		}
	}
	for _, names := range regions {
		slices.Sort(names)
	}
	return regions
}
