package statemachines_test

import "testing"

const rotationInput = `{"groupId": "g", "number": 4, "attempt": 1}`

// rotated is what a step of a rotation answers, of which more is said.
func rotated(outcome string, steps int, more object) object {
	return with(object{
		"outcome": outcome, "waitSeconds": number(2), "steps": number(steps), "nodes": []any{}, "away": []any{},
	}, more)
}

// turn is a step of a rotation after so many others.
func turn(steps int, outcome string, more object) call {
	return call{
		state: "Advance rotation", function: "FleetTasks", answer: rotated(outcome, steps+1, more),
		payload: object{"task": "advanceRotation", "groupId": "g", "number": number(4), "attempt": number(1), "steps": number(steps)},
	}
}

var nextRotation = call{
	state: "Start next attempt", function: "FleetTasks", answer: object{},
	payload: object{"task": "continueRotation", "groupId": "g", "number": number(4), "attempt": number(1)},
}

// turns are what a rotation goes through, with the question after every step.
func turns(states ...string) []string {
	path := []string{"Begin"}
	for _, state := range append([]string{"Advance rotation"}, states...) {
		path = append(path, state)
		if state == "Advance rotation" {
			path = append(path, "What next?")
		}
	}
	return path
}

func afterTurns(t *testing.T, progress object) object {
	t.Helper()
	return with(parse(t, rotationInput), object{"progress": progress})
}

func TestRotateMasterKeys(t *testing.T) {
	nodes := object{"nodes": []any{"n1", "n2"}, "away": []any{"n3"}}
	check(t, "rotate-master-keys", rotationInput, map[string]specification{
		"nodes do it one after the other": {
			calls:  []call{turn(0, "WAIT", nodes), turn(1, "WAIT", nil), turn(2, "DONE", nil)},
			path:   turns("Wait for nodes", "Advance rotation", "Wait for nodes", "Advance rotation", "Rotated"),
			waits:  seconds(2, 2),
			output: afterTurns(t, rotated("DONE", 3, nil)),
		},
		"nodes that are away hold nobody up": {
			calls:  []call{turn(0, "WAIT", nil), turn(1, "LEFT", nodes)},
			path:   turns("Wait for nodes", "Advance rotation", "Rotated but for some"),
			waits:  seconds(2),
			output: afterTurns(t, rotated("LEFT", 2, nodes)),
		},
		"a rotation that was deferred before it began does nothing": {
			calls:  []call{turn(0, "PUT_OFF", nil)},
			path:   turns("Put off"),
			output: afterTurns(t, rotated("PUT_OFF", 1, nil)),
		},
		"a rotation that is another's by now ends": {
			calls:  []call{turn(0, "ENDED", nil)},
			path:   turns("Overtaken"),
			output: afterTurns(t, rotated("ENDED", 1, nil)),
		},
		"the next attempt goes on where a history is full": {
			calls:  []call{turn(0, "CONTINUE", nil), nextRotation},
			path:   turns("Start next attempt", "Continued by next attempt"),
			output: afterTurns(t, rotated("CONTINUE", 1, nil)),
		},
		"an attempt that cannot be started is told of": {
			calls: []call{turn(0, "CONTINUE", nil), fails(nextRotation, "TASK_PANICKED")},
			path:  turns("Start next attempt", "Next attempt not started"), err: "NextAttemptNotStarted",
		},
		"a step that fails is told of": {
			calls: []call{fails(turn(0, "WAIT", nil), "TASK_PANICKED")},
			path:  []string{"Begin", "Advance rotation", "Rotation stalled"}, err: "RotationStalled",
		},
		"an outcome of another release is told": {
			calls: []call{turn(0, "DANCE", nil)},
			path:  turns("Outcome unknown"), err: "OutcomeUnknown",
		},
	})
}
