package stack

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"latchkey/local/pocket/awscloud"
	"latchkey/local/pocket/azurecloud"
	"latchkey/local/template"
	"latchkey/shared/atlas"
	"latchkey/shared/endpoint"
	"latchkey/shared/endpoint/awsvpc"
	"latchkey/shared/endpoint/azurepe"
)

// The operator's resource group with the networks at Azure.
const (
	networkGroup  = "latchkey-networks"
	networkScope  = "/subscriptions/" + operatorSubscription + "/resourceGroups/" + networkGroup
	networkSubnet = networkScope + "/providers/Microsoft.Network/virtualNetworks/latchkey/subnets/endpoints"
)

// pocketNetworks are the operator's networks in the pocket clouds, as the template's parameter has
// them: the default VPC of some regions of AWS, and one network at Azure.
func pocketNetworks() (string, error) {
	n := endpoint.Networks{
		AWS: map[atlas.AWSRegion]endpoint.AWSNetwork{},
		Azure: &endpoint.AzureNetworks{SubscriptionID: operatorSubscription, Regions: map[string]endpoint.AzureNetwork{
			"US_EAST_2":    {Location: "eastus2", ResourceGroup: networkGroup, SubnetID: networkSubnet},
			"EUROPE_NORTH": {Location: "northeurope", ResourceGroup: networkGroup, SubnetID: networkSubnet},
		}},
	}
	for _, region := range []atlas.AWSRegion{"us-east-1", "us-west-2", "eu-west-1"} {
		network := awscloud.DefaultNetwork(OperatorAccount, string(region))
		n.AWS[region] = endpoint.AWSNetwork{VPCID: network.VPC, SubnetIDs: network.Subnets, SecurityGroupIDs: []string{network.SecurityGroup}}
	}
	text, err := json.Marshal(n)
	return string(text), err
}

// lendNetworks lets Latchkey's application make private endpoints in the operator's networks at
// Azure, as an operator would.
func (c *Clouds) lendNetworks(ctx context.Context, principal string) error {
	const assignment = "https://management.azure.com" + networkScope +
		"/providers/Microsoft.Authorization/roleAssignments/6f1b0000-0000-4000-8000-0000000000ac?api-version=2022-04-01"
	err := c.administer(ctx, http.MethodPut, assignment, `{"properties":{"roleDefinitionId":"`+networkScope+
		`/providers/Microsoft.Authorization/roleDefinitions/`+azurecloud.RoleNetworkContributor+`","principalId":"`+principal+`"}}`, nil)
	if errors.Is(err, errExists) {
		return nil
	}
	return err
}

// connect is what a function makes private endpoints with: at AWS the role that the template gives it,
// at Azure Latchkey's application.
func (c *Clouds) connect(spec template.Function) (map[atlas.Provider]endpoint.Cloud, error) {
	n, err := privateEndpointNetworks(spec.Environment)
	if err != nil {
		return nil, err
	}
	keys, ok := c.Secrets.Functions[spec.Name]
	if !ok {
		return nil, errors.New("it has no role in the pocket AWS: nothing was deployed there")
	}
	connected := map[atlas.Provider]endpoint.Cloud{}
	if len(n.AWS) > 0 {
		connected[atlas.AWS] = awsvpc.New(awsvpc.Config{
			Credentials: credentials.NewStaticCredentialsProvider(keys.AccessKeyID, keys.SecretAccessKey, ""), Transport: c.transport, Networks: n.AWS,
		})
	}
	if n.Azure != nil {
		app := c.Ring.Azure
		connected[atlas.Azure], err = azurepe.New(azurepe.Config{
			Environment: n.Azure.Environment, SubscriptionID: n.Azure.SubscriptionID, Transport: c.transport, Networks: n.Azure.Regions,
			App: azurepe.App{TenantID: app.HomeTenant, ClientID: app.ClientID, Secret: app.Secret},
		})
	}
	return connected, err
}
