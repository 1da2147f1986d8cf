package statemachines_test

import "testing"

const endpointInput = `{"groupId": "g", "provider": "AZURE", "endpointId": "e"}`

// tended is a look at the endpoint and the cloud, and what is to be done then.
func tended(outcome string) call {
	return call{
		state: "Advance endpoint", function: "NetworkTasks", answer: object{"outcome": outcome, "waitSeconds": 2},
		payload: object{"task": "advanceEndpoint", "groupId": "g", "provider": "AZURE", "endpointId": "e", "since": began},
	}
}

// tried is an attempt to open the tenant's key through the endpoint.
func tried(reason string) call {
	return call{
		state: "Try key", function: "KeyTasks", answer: object{"address": "10.0.0.7", "reason": reason},
		payload: object{"task": "tryEndpoint", "groupId": "g", "provider": "AZURE", "endpointId": "e"},
	}
}

// concluded is what follows from such an attempt.
func concluded(reason, outcome string) call {
	return call{
		state: "Conclude proof", function: "NetworkTasks", answer: object{"outcome": outcome, "waitSeconds": 2},
		payload: object{
			"task": "concludeProof", "groupId": "g", "provider": "AZURE", "endpointId": "e", "since": began,
			"address": "10.0.0.7", "reason": reason,
		},
	}
}

// tending is what an endpoint goes through, with the question after every look and every conclusion.
func tending(states ...string) []string {
	var path []string
	for _, state := range append([]string{"Advance endpoint"}, states...) {
		path = append(path, state)
		if state == "Advance endpoint" || state == "Conclude proof" {
			path = append(path, "What next?")
		}
	}
	return path
}

// atRest is an endpoint's end, with what the last attempt to open the key has shown, if there was one.
func atRest(t *testing.T, outcome, reason string) object {
	t.Helper()
	o := with(parse(t, endpointInput), object{"progress": object{"outcome": outcome, "waitSeconds": number(2)}})
	if reason != "" {
		o["proof"] = object{"address": "10.0.0.7", "reason": reason}
	}
	return o
}

func TestPrivateEndpoint(t *testing.T) {
	specs := map[string]specification{
		"it is made, and active once the key opens through it": {
			calls:  []call{tended("wait"), tended("prove"), tried("OK"), concluded("OK", "active")},
			path:   tending("Wait for cloud", "Advance endpoint", "Try key", "Conclude proof", "Endpoint is active"),
			waits:  seconds(2),
			output: atRest(t, "active", "OK"),
		},
		"a key that does not open through it is tried again": {
			calls: []call{tended("prove"), tried("TIMEOUT"), concluded("TIMEOUT", "wait"), tended("prove"), tried("OK"), concluded("OK", "active")},
			path: tending("Try key", "Conclude proof", "Wait for cloud", "Advance endpoint", "Try key", "Conclude proof",
				"Endpoint is active"),
			waits:  seconds(2),
			output: atRest(t, "active", "OK"),
		},
		"the tenant has to approve of it": {
			calls:  []call{tended("wait"), tended("pendingAcceptance")},
			path:   tending("Wait for cloud", "Advance endpoint", "Tenant has to approve"),
			waits:  seconds(2),
			output: atRest(t, "pendingAcceptance", ""),
		},
		"an address that it has no more is not what was proved": {
			calls:  []call{tended("prove"), tried("OK"), concluded("OK", "pendingAcceptance")},
			path:   tending("Try key", "Conclude proof", "Tenant has to approve"),
			output: atRest(t, "pendingAcceptance", "OK"),
		},
		"the cloud refuses it": {
			calls: []call{tended("failed")}, path: tending("Endpoint has failed"), output: atRest(t, "failed", ""),
		},
		"the tenant took it away": {
			calls: []call{tended("recreated")}, path: tending("Endpoint is replaced"), output: atRest(t, "recreated", ""),
		},
		"it is removed": {
			calls:  []call{tended("wait"), tended("deleted")},
			path:   tending("Wait for cloud", "Advance endpoint", "Endpoint is gone"),
			waits:  seconds(2),
			output: atRest(t, "deleted", ""),
		},
		"a cloud that takes a day is told of": {
			calls: []call{tended("suspended")}, path: tending("Endpoint takes too long"), err: "EndpointTakesTooLong",
		},
		"a step that fails is told of": {
			calls: []call{fails(tended("wait"), "TASK_PANICKED")}, path: []string{"Advance endpoint", "Endpoint not advanced"}, err: "EndpointNotAdvanced",
		},
		"an attempt to open the key that fails is told of": {
			calls: []call{tended("prove"), fails(tried("OK"), "TASK_PANICKED")}, path: tending("Try key", "Endpoint not advanced"), err: "EndpointNotAdvanced",
		},
		"an outcome of another release is told": {
			calls: []call{tended("dance")}, path: tending("Outcome unknown"), err: "OutcomeUnknown",
		},
	}
	check(t, "private-endpoint", endpointInput, specs)
}
