package statemachines_test

import (
	"testing"
	"time"
)

const enforceInput = `{"groupId": "g", "provider": "AWS", "revision": 3}`

// began is when executions in a bubble of testing/synctest begin.
var began = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Format("2006-01-02T15:04:05.000Z")

func enforce(direction string) call {
	return call{
		state: "Enforce verdict", function: "FleetTasks", answer: object{"direction": direction},
		payload: object{"task": "enforce", "groupId": "g", "provider": "AWS"},
	}
}

// watch is a call of awaitNodes after so many steps, and what it sees.
func watch(direction string, steps int, state string, missing ...any) call {
	return call{
		state: "Watch nodes", function: "FleetTasks",
		answer: object{"state": state, "waitSeconds": 2, "steps": steps + 1, "missing": append([]any{}, missing...)},
		payload: object{
			"task": "awaitNodes", "groupId": "g", "provider": "AWS", "direction": direction, "since": began, "steps": number(steps),
		},
	}
}

func followed(t *testing.T, direction string, steps int, state string, missing ...any) object {
	t.Helper()
	return with(parse(t, enforceInput), object{
		"enforced": object{"direction": direction},
		"progress": object{"state": state, "waitSeconds": number(2), "steps": number(steps), "missing": append([]any{}, missing...)},
	})
}

func TestEnforceValidity(t *testing.T) {
	check(t, "enforce-validity", enforceInput, map[string]specification{
		"a key that was taken away stops the nodes": {
			calls: []call{enforce("STOP"), watch("STOP", 0, "AWAITED", "n1", "n2"), watch("STOP", 1, "REACHED")},
			path: []string{
				"Begin", "Enforce verdict", "Anything to enforce?", "Watch nodes", "Have the nodes followed?", "Wait for nodes", "Watch nodes", "Have the nodes followed?", "Nodes stopped",
			},
			waits: seconds(2), output: followed(t, "STOP", 2, "REACHED"),
		},
		"a key that was given back starts them": {
			calls:  []call{enforce("START"), watch("START", 0, "REACHED")},
			path:   []string{"Begin", "Enforce verdict", "Anything to enforce?", "Watch nodes", "Have the nodes followed?", "Nodes running"},
			output: followed(t, "START", 1, "REACHED"),
		},
		"a verdict that turns meanwhile turns the execution around": {
			calls: []call{enforce("STOP"), watch("STOP", 0, "TURNED"), enforce("START"), watch("START", 1, "REACHED")},
			path: []string{
				"Begin", "Enforce verdict", "Anything to enforce?", "Watch nodes", "Have the nodes followed?", "Wait for records",
				"Enforce verdict", "Anything to enforce?", "Watch nodes", "Have the nodes followed?", "Nodes running",
			},
			waits: seconds(2), output: followed(t, "START", 2, "REACHED"),
		},
		"a verdict that says nothing any more ends it": {
			calls: []call{enforce("STOP"), watch("STOP", 0, "TURNED"), enforce("LEAVE")},
			path: []string{
				"Begin", "Enforce verdict", "Anything to enforce?", "Watch nodes", "Have the nodes followed?", "Wait for records",
				"Enforce verdict", "Anything to enforce?", "Nothing to enforce",
			},
			waits:  seconds(2),
			output: with(followed(t, "LEAVE", 1, "TURNED"), nil),
		},
		"a node that is never heard of is listed": {
			calls:  []call{enforce("STOP"), watch("STOP", 0, "SILENT", "n2")},
			path:   []string{"Begin", "Enforce verdict", "Anything to enforce?", "Watch nodes", "Have the nodes followed?", "Some nodes have not followed"},
			output: followed(t, "STOP", 1, "SILENT", "n2"),
		},
		"nodes that could not be told are told of": {
			calls: []call{fails(enforce("STOP"), "TASK_PANICKED")},
			path:  []string{"Begin", "Enforce verdict", "Verdict not enforced"},
			err:   "VerdictNotEnforced",
		},
		"nodes that could not be watched are told of": {
			calls: []call{enforce("STOP"), fails(watch("STOP", 0, "REACHED"), "TASK_PANICKED")},
			path:  []string{"Begin", "Enforce verdict", "Anything to enforce?", "Watch nodes", "Nodes not watched"},
			err:   "NodesNotWatched",
		},
		"a direction of another release is told": {
			calls: []call{enforce("DANCE")},
			path:  []string{"Begin", "Enforce verdict", "Anything to enforce?", "Outcome unknown"},
			err:   "OutcomeUnknown",
		},
		"a state of another release is told": {
			calls: []call{enforce("STOP"), watch("STOP", 0, "DANCE")},
			path:  []string{"Begin", "Enforce verdict", "Anything to enforce?", "Watch nodes", "Have the nodes followed?", "Outcome unknown"},
			err:   "OutcomeUnknown",
		},
	})
}
