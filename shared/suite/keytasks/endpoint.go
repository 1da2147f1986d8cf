package keytasks

import (
	"context"

	"latchkey/shared/atlas"
	"latchkey/shared/endpoint"
	"latchkey/shared/verdict"
)

type tryEndpointInput struct {
	GroupID    string         `json:"groupId"`
	Provider   atlas.Provider `json:"provider"`
	EndpointID string         `json:"endpointId"`
}

// tryEndpointOutput says what was tried, so that nothing else is concluded from it.
type tryEndpointOutput struct {
	Address string         `json:"address"`
	Reason  verdict.Reason `json:"reason"`
}

// tryEndpoint finds out whether the key that a group uses opens through a private endpoint. A key
// that doesn't is an answer, not a failure of the task.
func (f function) tryEndpoint(ctx context.Context, in tryEndpointInput) (tryEndpointOutput, error) {
	proof, err := f.endpoints.Try(ctx, endpoint.Ref{GroupID: in.GroupID, Provider: in.Provider, EndpointID: in.EndpointID})
	return tryEndpointOutput{Address: proof.Address, Reason: proof.Reason}, err
}
