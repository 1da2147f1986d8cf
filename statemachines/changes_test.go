package statemachines_test

import (
	"strings"
	"testing"
)

const changeInput = `{"groupId": "g", "provider": "AWS", "revision": 3, "attempt": 1}`

// progressed is what a step of a change answers, of which more is said.
func progressed(outcome string, steps int, more object) object {
	return with(object{
		"outcome": outcome, "waitSeconds": number(2), "steps": number(steps), "cursor": "", "reason": "", "nodes": []any{}, "silent": []any{},
	}, more)
}

// step is a step of a change after so many others.
func step(steps int, outcome string, more object) call {
	return call{
		state: "Advance change", function: "FleetTasks", answer: progressed(outcome, steps+1, more),
		payload: object{
			"task": "advanceChange", "groupId": "g", "provider": "AWS", "revision": number(3), "attempt": number(1), "steps": number(steps),
		},
	}
}

// stepBy is a step with what a proof has found.
func stepBy(steps int, outcome string, found, more object) call {
	c := step(steps, outcome, more)
	c.state, c.payload = "Advance change by proof", with(c.payload, object{"found": found})
	return c
}

func proof(cursor string, found object) call {
	return call{
		state: "Prove wrapped keys", function: "KeyTasks", answer: found,
		payload: object{"task": "proveWrappedKeys", "groupId": "g", "provider": "AWS", "cursor": cursor},
	}
}

func batch(from, cursor string, more bool, reason string, back bool) object {
	return object{
		"from": from, "cursor": cursor, "proved": number(2), "lost": number(0), "more": more, "reason": reason, "back": back,
	}
}

// nothingProved is what is known when a proof fails.
var nothingProved = object{
	"from": "", "cursor": "", "proved": number(0), "lost": number(0), "more": true, "reason": "INTERNAL", "back": false,
}

// route is what a change goes through, with the question after every step.
func route(states ...string) []string {
	path := []string{"Begin"}
	for _, state := range append([]string{"Advance change"}, states...) {
		path = append(path, state)
		if strings.HasPrefix(state, "Advance change") {
			path = append(path, "What next?")
		}
	}
	return path
}

func changed(t *testing.T, progress object, more object) object {
	t.Helper()
	return with(with(parse(t, changeInput), object{"progress": progress}), more)
}

// changes specifies what the three machines have in common, given how they call waiting and success.
func changes(t *testing.T, waiting, done string) map[string]specification {
	t.Helper()
	first, second := batch("", "c/1", true, "OK", false), batch("c/1", "c/2", false, "OK", false)
	refused := batch("", "", false, "ACCESS_DENIED", true)
	nodes := object{"nodes": []any{"n1", "n2"}, "silent": []any{"n2"}}
	stalled := map[string][]call{"Prove wrapped keys": {
		stepBy(1, "WAIT", nothingProved, nil), step(2, "DONE", nil),
	}}
	specs := map[string]specification{
		"every wrapped key opens in the new way": {
			calls: []call{
				step(0, "PROVE", nil), proof("", first), stepBy(1, "PROVE", first, object{"cursor": "c/1"}), proof("c/1", second),
				stepBy(2, "DONE", second, object{"cursor": "c/2"}),
			},
			path:   route("Prove wrapped keys", "Advance change by proof", "Prove wrapped keys", "Advance change by proof", done),
			output: changed(t, progressed("DONE", 3, object{"cursor": "c/2"}), object{"found": second}), after: map[string][]call{"Prove wrapped keys": {
				stepBy(1, "DONE", nothingProved, nil),
			}},
		},
		"a wrapped key that opens in the former way alone brings that back": {
			calls:  []call{step(0, "PROVE", nil), proof("", refused), stepBy(1, "ROLLED_BACK", refused, object{"reason": "ACCESS_DENIED"})},
			path:   route("Prove wrapped keys", "Advance change by proof", "Rolled back"),
			output: changed(t, progressed("ROLLED_BACK", 2, object{"reason": "ACCESS_DENIED"}), object{"found": refused}), after: stalled,
		},
		"a proof that fails decides nothing": {
			calls: []call{
				step(0, "PROVE", nil), fails(proof("", first), "TASK_PANICKED"), stepBy(1, "WAIT", nothingProved, object{"reason": "INTERNAL"}),
				step(2, "DONE", nil),
			},
			path:  route("Prove wrapped keys", "Nothing proved", "Advance change by proof", waiting, "Advance change", done),
			waits: seconds(2), output: changed(t, progressed("DONE", 3, nil), object{"found": nothingProved, "failure": object{
				"Error": "TASK_PANICKED", "Cause": `{"errorMessage":"TASK_PANICKED","errorType":"TASK_PANICKED"}`,
			}}),
		},
		"what is on its way is waited for": {
			calls: []call{step(0, "WAIT", nodes), step(1, "DONE", nil)},
			path:  route(waiting, "Advance change", done),
			waits: seconds(2), output: changed(t, progressed("DONE", 2, nil), nil),
		},
		"a change that is another's by now ends": {
			calls:  []call{step(0, "ENDED", nil)},
			path:   route("Overtaken"),
			output: changed(t, progressed("ENDED", 1, nil), nil),
		},
		"the next attempt goes on where a history is full": {
			calls: []call{step(0, "CONTINUE", nil), {
				state: "Start next attempt", function: "FleetTasks", answer: object{},
				payload: object{"task": "continueChange", "groupId": "g", "provider": "AWS", "revision": number(3), "attempt": number(1)},
			}},
			path:   route("Start next attempt", "Continued by next attempt"),
			output: changed(t, progressed("CONTINUE", 1, nil), nil),
		},
		"an attempt that cannot be started is told of": {
			calls: []call{step(0, "CONTINUE", nil), fails(call{
				state: "Start next attempt", function: "FleetTasks",
				payload: object{"task": "continueChange", "groupId": "g", "provider": "AWS", "revision": number(3), "attempt": number(1)},
			}, "TASK_PANICKED")},
			path: route("Start next attempt", "Next attempt not started"), err: "NextAttemptNotStarted",
		},
		"a step that fails is told of": {
			calls: []call{fails(step(0, "WAIT", nil), "TASK_PANICKED")},
			path:  []string{"Begin", "Advance change", "Change stalled"}, err: "ChangeStalled",
		},
		"an outcome of another release is told": {
			calls: []call{step(0, "DANCE", nil)},
			path:  route("Outcome unknown"), err: "OutcomeUnknown",
		},
	}
	return specs
}

func TestSwitchRole(t *testing.T) {
	check(t, "switch-role", changeInput, changes(t, "Wait for keys", "Switched"))
}

func TestRotateKey(t *testing.T) {
	check(t, "rotate-key", changeInput, changes(t, "Wait for nodes", "Rotated"))
}

func TestReconfigureRegion(t *testing.T) {
	check(t, "reconfigure-region", changeInput, changes(t, "Wait for keys or nodes", "Moved"))
}
