package engine_test

import (
	"encoding/base64"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/local/states/engine"
	"latchkey/local/states/statestest"
)

const ask = `"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken", "TimeoutSeconds": 3600, "HeartbeatSeconds": 60,
	"Parameters": {"FunctionName": "ask", "Payload": {"token.$": "$$.Task.Token"}}`

func asking(t *testing.T, more string) (*world, *tokens) {
	t.Helper()
	k := &tokens{}
	r := machine(t, "A", `"A": {`+ask+more+`, "Next": "B"}, "B": {"Type": "Wait", "Seconds": 10, "End": true}`)
	r.Functions = map[string]statestest.Function{"ask": k.call}
	w := newWorld(t, r)
	w.open()
	return w, k
}

func codeOf(err error) engine.Code {
	if refusal, ok := errors.AsType[*engine.Error](err); ok {
		return refusal.Code
	}
	return ""
}

func TestSendTaskSuccess_ends_the_task_once(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, k := asking(t, "")
		arn := w.start("x", "{}")
		synctest.Wait()
		if err := w.SendTaskSuccess(t.Context(), k.last(), "not JSON"); codeOf(err) != engine.InvalidOutput {
			t.Errorf("an output that is not JSON: %v", err)
		}
		if err := w.SendTaskSuccess(t.Context(), k.last(), `{"yes": 1}`); err != nil {
			t.Fatal(err)
		}
		for what, err := range map[string]error{
			"a second success":  w.SendTaskSuccess(t.Context(), k.last(), `{}`),
			"a late failure":    w.SendTaskFailure(t.Context(), k.last(), "E", "c"),
			"a late heartbeat":  w.SendTaskHeartbeat(t.Context(), k.last()),
			"a token of others": w.SendTaskSuccess(t.Context(), flip(t, k.last()), `{}`),
		} {
			if codeOf(err) != engine.TaskTimedOut {
				t.Errorf("%s: %v", what, err)
			}
		}
		r := statestest.Await(t, w.Engine, arn)
		if r.Output != `{"yes":1}` {
			t.Errorf("output %s", r.Output)
		}
		if err := w.SendTaskSuccess(t.Context(), k.last(), `{}`); codeOf(err) != engine.TaskTimedOut {
			t.Errorf("after the end: %v", err)
		}
		w.close()
	})
}

// flip changes a character of the token's random part.
func flip(t *testing.T, token string) string {
	t.Helper()
	text, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)-1] ^= 1
	return base64.RawURLEncoding.EncodeToString(text)
}

func TestSendTask_refuses_what_is_no_token(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := asking(t, "")
		w.start("x", "{}")
		encode := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
		for token, want := range map[string]engine.Code{
			"":                               engine.InvalidToken,
			"%%%":                            engine.InvalidToken,
			encode("a/b"):                    engine.InvalidToken,
			encode("test/x/0/first/secret"):  engine.InvalidToken,
			encode("test/nobody/0/1/secret"): engine.TaskDoesNotExist,
			encode("test/x/0/3/secret"):      engine.TaskTimedOut,
			encode("test/x/0.7/3/secret"):    engine.TaskTimedOut,
		} {
			if err := w.SendTaskSuccess(t.Context(), token, "{}"); codeOf(err) != want {
				t.Errorf("%q: %v, want %s", token, err, want)
			}
		}
		w.close()
	})
}

func TestSendTaskFailure_is_caught_by_its_name(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, k := asking(t, `, "Catch": [{"ErrorEquals": ["REJECTED"], "Next": "B"}]`)
		arn := w.start("x", "{}")
		synctest.Wait()
		if err := w.SendTaskFailure(t.Context(), k.last(), "REJECTED", "by the customer"); err != nil {
			t.Fatal(err)
		}
		if r := statestest.Await(t, w.Engine, arn); r.Output != `{"Cause":"by the customer","Error":"REJECTED"}` {
			t.Errorf("output %s", r.Output)
		}
		w.close()
	})
}

func TestHeartbeat_that_is_missed_is_a_time_out(t *testing.T) {
	tests := map[string]struct {
		heartbeats int
		want       time.Duration
		catch      string
	}{
		"none is sent":                        {0, 60 * time.Second, "States.HeartbeatTimeout"},
		"two are sent":                        {2, 160 * time.Second, "States.HeartbeatTimeout"},
		"it is also a time-out":               {1, 110 * time.Second, "States.Timeout"},
		"they do not prolong TimeoutSeconds":  {1000, 3600 * time.Second, "States.Timeout"},
		"it is no failure of the task itself": {0, 60 * time.Second, "States.ALL"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, k := asking(t, `, "Catch": [{"ErrorEquals": ["States.TaskFailed"], "Next": "B"}, {"ErrorEquals": ["`+tt.catch+`"], "Next": "B"}]`)
				arn := w.start("x", "{}")
				synctest.Wait()
				for range tt.heartbeats {
					time.Sleep(50 * time.Second)
					if err := w.SendTaskHeartbeat(t.Context(), k.last()); err != nil {
						break
					}
				}
				r := statestest.Await(t, w.Engine, arn)
				if r.Took != tt.want+10*time.Second {
					t.Errorf("took %v, want %v", r.Took, tt.want+10*time.Second)
				}
				if diff := cmp.Diff([]string{"A", "B"}, r.Path); diff != "" {
					t.Error(diff)
				}
				w.close()
			})
		})
	}
}

func TestToken_is_new_for_each_attempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, k := asking(t, `, "Retry": [{"ErrorEquals": ["AGAIN"], "IntervalSeconds": 5}]`)
		arn := w.start("x", "{}")
		synctest.Wait()
		first := k.last()
		if err := w.SendTaskFailure(t.Context(), first, "AGAIN", ""); err != nil {
			t.Fatal(err)
		}
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if err := w.SendTaskSuccess(t.Context(), first, `1`); codeOf(err) != engine.TaskTimedOut {
			t.Errorf("the first attempt's token: %v", err)
		}
		if err := w.SendTaskSuccess(t.Context(), k.last(), `2`); err != nil {
			t.Errorf("the second attempt's token: %v", err)
		}
		if r := statestest.Await(t, w.Engine, arn); r.Output != "2" {
			t.Errorf("output %s", r.Output)
		}
		w.close()
	})
}
