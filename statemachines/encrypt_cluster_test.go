package statemachines_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"latchkey/local/states/statestest"
)

const planInput = `{"clusterId": "c", "groupId": "g", "revision": 7, "attempt": 2}`

// advance is a call of advancePlan after so many steps, and what it decides.
func advance(steps int, outcome string, more object) call {
	answer := object{"outcome": outcome, "waitSeconds": 2, "steps": steps + 1, "provider": "", "reason": ""}
	return call{
		state: "Advance plan", function: "FleetTasks", answer: with(answer, more),
		payload: object{"task": "advancePlan", "clusterId": "c", "revision": number(7), "attempt": number(2), "steps": number(steps)},
	}
}

// advanceBy is the same, with what was found out about a key.
func advanceBy(key string, steps int, outcome string, more object) call {
	c := advance(steps, outcome, more)
	c.state, c.payload["key"] = "Advance plan by key", object{"reason": key}
	return c
}

func checkKey(reason string) call {
	return call{
		state: "Check key", function: "KeyTasks", answer: object{"reason": reason},
		payload: object{"task": "checkKey", "groupId": "g", "provider": "AWS"},
	}
}

var (
	needsAWS = object{"provider": "AWS"}

	// afterCheck is how a plan goes on of whose key nothing is known.
	afterCheck = []call{advanceBy("INTERNAL", 1, "WAIT", nil), advance(2, "ENDED", nil)}

	startNext = call{
		state: "Start next attempt", function: "FleetTasks", answer: object{},
		payload: object{"task": "continuePlan", "clusterId": "c", "revision": number(7), "attempt": number(2)},
	}
	rollBack = call{
		state: "Roll back plan", function: "FleetTasks", answer: object{},
		payload: object{"task": "rollBackPlan", "clusterId": "c", "revision": number(7), "reason": "NETWORK_REFUSED"},
	}
)

// progress is the output of an execution that ends after a step.
func progress(t *testing.T, steps int, outcome string, more object) object {
	t.Helper()
	o := object{"outcome": outcome, "waitSeconds": number(2), "steps": number(steps), "provider": "", "reason": ""}
	return with(parse(t, planInput), object{"progress": with(o, more)})
}

// fails is a call that ends in these failures and never succeeds.
func fails(c call, failures ...string) call {
	c.failures, c.answer = failures, nil
	return c
}

func TestEncryptCluster(t *testing.T) {
	check(t, "encrypt-cluster", planInput, map[string]specification{
		"nodes are waited for": {
			calls:  []call{advance(0, "WAIT", object{"waitSeconds": 2}), advance(1, "WAIT", object{"waitSeconds": 300}), advance(2, "ENDED", nil)},
			path:   []string{"Begin", "Advance plan", "What next?", "Wait for nodes", "Advance plan", "What next?", "Wait for nodes", "Advance plan", "What next?", "Plan ended"},
			waits:  seconds(2, 300),
			output: progress(t, 3, "ENDED", nil),
		},
		"a key is checked before a node is taken down": {
			calls: []call{advance(0, "CHECK_KEY", needsAWS), checkKey("OK"), advanceBy("OK", 1, "WAIT", nil), advance(2, "ENDED", nil)},
			after: map[string][]call{"Check key": afterCheck},
			path: []string{
				"Begin", "Advance plan", "What next?", "Check key", "Advance plan by key", "What next?", "Wait for nodes", "Advance plan", "What next?", "Plan ended",
			},
			waits:  seconds(2),
			output: with(progress(t, 3, "ENDED", nil), object{"key": object{"reason": "OK"}}),
		},
		"what is not known of a key is nothing": {
			calls: append([]call{advance(0, "CHECK_KEY", needsAWS), fails(checkKey("OK"), "TASK_PANICKED")}, afterCheck...),
			path: []string{
				"Begin", "Advance plan", "What next?", "Check key", "Nothing known of key", "Advance plan by key", "What next?", "Wait for nodes",
				"Advance plan", "What next?", "Plan ended",
			},
			waits: seconds(2),
			output: with(progress(t, 3, "ENDED", nil), object{
				"key":     object{"reason": "INTERNAL"},
				"failure": object{"Error": "TASK_PANICKED", "Cause": `{"errorMessage":"TASK_PANICKED","errorType":"TASK_PANICKED"}`},
			}),
		},
		"a key that is out of use for too long ends the plan": {
			after: map[string][]call{"Check key": afterCheck},
			calls: []call{
				advance(0, "CHECK_KEY", needsAWS), checkKey("NETWORK_REFUSED"), advanceBy("NETWORK_REFUSED", 1, "ROLL_BACK", object{"reason": "NETWORK_REFUSED"}), rollBack,
			},
			path:   []string{"Begin", "Advance plan", "What next?", "Check key", "Advance plan by key", "What next?", "Roll back plan", "Rolled back"},
			output: with(progress(t, 2, "ROLL_BACK", object{"reason": "NETWORK_REFUSED"}), object{"key": object{"reason": "NETWORK_REFUSED"}}),
		},
		"a cluster without its key is left": {
			calls:  []call{advance(0, "SUSPENDED", nil)},
			path:   []string{"Begin", "Advance plan", "What next?", "Suspended until the key is back"},
			output: progress(t, 1, "SUSPENDED", nil),
		},
		"many steps are gone on with by the next attempt": {
			calls:  []call{advance(0, "CONTINUE", nil), startNext},
			path:   []string{"Begin", "Advance plan", "What next?", "Start next attempt", "Continued by next attempt"},
			output: progress(t, 1, "CONTINUE", nil),
		},
		"a next attempt that does not start is told": {
			calls: []call{advance(0, "CONTINUE", nil), fails(startNext, "TASK_PANICKED")},
			path:  []string{"Begin", "Advance plan", "What next?", "Start next attempt", "Next attempt not started"},
			err:   "NextAttemptNotStarted",
		},
		"a way back that fails is told": {
			calls: []call{advance(0, "ROLL_BACK", object{"reason": "NETWORK_REFUSED"}), fails(rollBack, "TASK_PANICKED")},
			path:  []string{"Begin", "Advance plan", "What next?", "Roll back plan", "Not rolled back"},
			err:   "NotRolledBack",
		},
		"a step that fails is told": {
			calls: []call{fails(advance(0, "WAIT", nil), "TASK_PANICKED")},
			path:  []string{"Begin", "Advance plan", "Plan stalled"},
			err:   "PlanStalled",
		},
		"an outcome of another release is told": {
			calls: []call{advance(0, "DANCE", nil)},
			path:  []string{"Begin", "Advance plan", "What next?", "Outcome unknown"},
			err:   "OutcomeUnknown",
		},
	})
}

func TestEncryptCluster_goes_back_longer_than_it_goes_on(t *testing.T) {
	m := load(t, "encrypt-cluster")
	patience := func(state string) time.Duration {
		var sum time.Duration
		r := m.States[state].Retry[0]
		for i := range r.MaxAttempts {
			sum += r.Delay(i, func() float64 { return 1 })
		}
		return sum
	}
	if back, on := patience("Roll back plan"), patience("Advance plan"); back < 3*time.Hour || back < 10*on {
		t.Errorf("going back is tried for %s, going on for %s", back, on)
	}
}

// mostEvents is how many events Step Functions keeps of an execution, which fails at one more.
const mostEvents = 25_000

// The number of steps that fleettasks allows is chosen for this.
func TestEncryptCluster_stays_within_its_history_at_the_worst(t *testing.T) {
	const maxSteps = 600 // of fleettasks
	m := load(t, "encrypt-cluster")
	attempts := m.States["Advance plan"].Retry[0].MaxAttempts
	steps, tries := 0, 0
	// Every call fails as often as it may, and every other step checks a key.
	stubborn := func(answer func() object) statestest.Function {
		return func(context.Context, json.RawMessage) (any, error) {
			if tries < attempts {
				tries++
				return nil, statestest.Fails("UNEXPECTED_ERROR")
			}
			tries = 0
			return answer(), nil
		}
	}
	r := statestest.Execute(t, statestest.Run{Machine: m, Input: planInput, Functions: map[string]statestest.Function{
		"FleetTasksFunctionArn": stubborn(func() object {
			outcome := []string{"CHECK_KEY", "WAIT"}[steps%2]
			if steps >= maxSteps {
				outcome = "CONTINUE"
			}
			steps++
			return object{"outcome": outcome, "waitSeconds": 300, "steps": steps, "provider": "AWS", "reason": ""}
		}),
		"KeyTasksFunctionArn": stubborn(func() object { return object{"reason": "TIMED_OUT"} }),
	}})
	if last := r.Path[len(r.Path)-1]; last != "Continued by next attempt" {
		t.Errorf("it ends in %q: %s", last, r.Cause)
	}
	if len(r.Events) > mostEvents*95/100 || len(r.Events) < mostEvents/2 {
		t.Errorf("%d events; the machine allows %d", len(r.Events), mostEvents)
	}
}
