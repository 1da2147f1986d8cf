// Package networks knows in which networks a deployment makes private endpoints.
package networks

import (
	"latchkey/functions/internal/deployment"
	"latchkey/shared/endpoint"
)

// Read reads the networks that the template names to the function. There may be none.
func Read(env *deployment.Environment) endpoint.Networks {
	n, err := endpoint.ParseNetworks(env.Optional("PRIVATE_ENDPOINT_NETWORKS"))
	if err != nil {
		env.Fail("PRIVATE_ENDPOINT_NETWORKS", err)
	}
	return n
}
