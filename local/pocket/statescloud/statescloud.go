// Package statescloud is the pocket Step Functions, for local/pocket: the API of local/states for
// callers who prove who they are and have the permission.
//
// Its invariant: nothing is performed that the caller's policies do not allow on exactly the
// state machine or execution that the request names.
package statescloud

import (
	"encoding/json"
	"errors"
	"net/http"

	"latchkey/local/pocket"
	"latchkey/local/pocket/awscloud"
	"latchkey/local/states/engine"
	"latchkey/local/states/sfnapi"
)

// New returns the Step Functions of an AWS cloud, which authenticates and authorizes its callers.
// All state machines are of one account; to callers of others there is nothing here.
func New(api *sfnapi.API, account string, cloud *awscloud.Cloud) pocket.Service {
	s := states{api, account}
	return cloud.Serve(awscloud.JSONService{
		Name: "states", Target: "AWSStepFunctions", ContentType: "application/x-amz-json-1.0", Perform: s.perform,
		Throttled: awscloud.Failure{Code: "ThrottlingException", Message: "Rate exceeded"},
		Broken: awscloud.Failure{
			Code: "InternalFailure", Message: "The request processing has failed because of an internal error.",
			Status: http.StatusInternalServerError,
		},
	})
}

type states struct {
	api     *sfnapi.API
	account string
}

// named are the members of a request that say what it is about. The more special comes first:
// nothing else is asked of its state machine.
type named struct {
	ExecutionARN    string `json:"executionArn"`
	StateMachineARN string `json:"stateMachineArn"`
}

func (s states) perform(r *awscloud.Request) (any, error) {
	var about named
	if err := json.Unmarshal(r.Body, &about); err != nil {
		return nil, &awscloud.Failure{Code: "SerializationException", Message: "the request is no JSON object"}
	}
	resource := "*" // of what is about no machine: lists of all, and tasks that only their token names
	switch {
	case about.ExecutionARN != "":
		resource = about.ExecutionARN
	case about.StateMachineARN != "":
		resource = about.StateMachineARN
	}
	if err := r.Allow(r.Operation, resource, nil); err != nil {
		return nil, err
	}
	if r.Account != s.account {
		return nil, &awscloud.Failure{
			Code: "AccessDeniedException", Message: "The account " + r.Account + " has no state machines here, and resources of others have no policies.",
		}
	}
	out, err := s.api.Perform(r.Context, r.Operation, r.Body)
	if refused, ok := errors.AsType[*engine.Error](err); ok {
		return nil, &awscloud.Failure{Code: string(refused.Code), Message: refused.Message}
	}
	return out, err
}
