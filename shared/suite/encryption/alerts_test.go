package encryption_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/google/go-cmp/cmp"

	"latchkey/local/pocket"
	"latchkey/local/pocket/pockettest"
	"latchkey/shared/alert"
	"latchkey/shared/atlas"
	"latchkey/shared/encryption"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
	"latchkey/shared/suite/remind"
	checks "latchkey/shared/suite/validate"
)

// alerting is a world in which the schedules run too: keys are checked, and alerts attended to.
type alerting struct {
	*world
	validate *checks.Function
	remind   *remind.Function
}

func withAlerts(t *testing.T, fn func(w *alerting)) {
	t.Helper()
	inWorld(t, func(w *world) {
		a := &alerting{world: w}
		a.rise()
		fn(a)
	})
}

// rise starts the functions anew.
func (w *alerting) rise() {
	w.restart()
	d := w.deps
	w.validate = checks.New(checks.Deps{Table: d.Table, Sealer: d.Sealer, Now: time.Now, Log: d.Log, Keys: d.Keys, Start: d.Start})
	w.remind = remind.New(remind.Deps{Table: d.Table, Now: time.Now, Log: d.Log})
}

// pass lets time pass in which nothing runs, and then runs both schedules once.
func (w *alerting) pass(d time.Duration) {
	w.t.Helper()
	time.Sleep(d)
	w.run()
}

func (w *alerting) run() {
	w.t.Helper()
	_, err := w.validate.Invoke(w.t.Context(), []byte(`{}`))
	w.must(err)
	_, err = w.remind.Invoke(w.t.Context(), []byte(`{}`))
	w.must(err)
}

// minutes runs the schedules every minute.
func (w *alerting) minutes(n int) {
	w.t.Helper()
	for range n {
		w.pass(time.Until(time.Now().Truncate(time.Minute).Add(time.Minute)))
	}
}

// soon is until when the schedule has noticed what became of a key.
const soon = encryption.SweepSlots*time.Minute + time.Second

// ask configures alerts of a type, of which people are told after some minutes.
func (w *alerting) ask(t string, delay int) (id string) {
	w.t.Helper()
	made := w.mustSend(request{http.MethodPost, v2 + "/alertConfigs", fmt.Sprintf(`{"eventTypeName":%q,"enabled":true,"notifications":`+
		`[{"typeName":"GROUP","intervalMin":60,"delayMin":%d,"emailEnabled":true}]}`, t, delay)})
	return made.body["id"].(string)
}

// shown are the group's alerts, newest last, as the API shows them.
func (w *alerting) shown() []map[string]any {
	w.t.Helper()
	list, _ := w.mustSend(request{http.MethodGet, v2 + "/alerts?itemsPerPage=500", ""}).body["results"].([]any)
	alerts := make([]map[string]any, len(list))
	for i, a := range list {
		alerts[i] = a.(map[string]any)
	}
	slices.SortStableFunc(alerts, func(a, b map[string]any) int {
		return strings.Compare(fmt.Sprint(a["created"]), fmt.Sprint(b["created"]))
	})
	return alerts
}

// statuses are those of a type's alerts, oldest first.
func (w *alerting) statuses(t string) string {
	w.t.Helper()
	var all []string
	for _, a := range w.shown() {
		if a["eventTypeName"] == t {
			all = append(all, a["status"].(string))
		}
	}
	return strings.Join(all, " ")
}

func (w *alerting) want(t, statuses, when string) {
	w.t.Helper()
	if got := w.statuses(t); got != statuses {
		w.t.Errorf("%s: %s is %q, want %q", when, t, got, statuses)
	}
}

// notices counts the notifications of a type that have fallen due.
func (w *alerting) notices(t string) (n int) {
	w.t.Helper()
	for sk, body := range w.stored() {
		if strings.HasPrefix(sk, "NOTICE#") && strings.Contains(body, t) {
			n++
		}
	}
	return n
}

// happened counts the events of a type.
func (w *alerting) happened(t string) int {
	w.t.Helper()
	a := w.mustSend(request{http.MethodGet, v2 + "/events?itemsPerPage=500&eventType=" + t, ""})
	list, _ := a.body["results"].([]any)
	return len(list)
}

func (w *alerting) wantEvents(n int, types ...string) {
	w.t.Helper()
	for _, t := range types {
		if got := w.happened(t); got != n {
			w.t.Errorf("%d events %s, want %d", got, t, n)
		}
	}
}

// settings are the stored ones.
func (w *alerting) settings() encryption.Settings {
	w.t.Helper()
	s, err := (&encryption.Service{Table: w.table.Table}).Load(w.t.Context(), groupID)
	w.must(err)
	return s
}

// taking is how a tenant takes a key away and gives it back.
type taking struct {
	configure func(w *alerting)
	take      func(w *alerting)
	back      func(w *alerting)
}

func takings() map[string]taking {
	var arn string
	return map[string]taking{
		"AWS": {
			func(w *alerting) { arn = w.awsKey(); w.mustSend(configure("awsKms", w.byAWSRole(arn))) },
			func(w *alerting) {
				_, err := w.KMS(region).DisableKey(w.t.Context(), &kms.DisableKeyInput{KeyId: &arn})
				w.must(err)
			},
			func(w *alerting) {
				_, err := w.KMS(region).EnableKey(w.t.Context(), &kms.EnableKeyInput{KeyId: &arn})
				w.must(err)
			},
		},
		"AZURE": {
			func(w *alerting) {
				m, _ := w.byAzureSecret(w.azureKey(""))
				w.mustSend(configure("azureKeyVault", m))
			},
			func(w *alerting) { w.azureAttributes(`"enabled":false`) },
			func(w *alerting) { w.azureAttributes(`"enabled":true`) },
		},
		"GCP": {
			func(w *alerting) {
				m, _ := w.byGoogleRole(w.googleVersion())
				w.mustSend(configure("googleCloudKms", m))
			},
			func(w *alerting) { w.googleState("DISABLED") },
			func(w *alerting) { w.googleState("ENABLED") },
		},
	}
}

func TestAKeyThatIsTakenAwayIsAnAlertUntilItIsBack(t *testing.T) {
	for provider, key := range takings() {
		t.Run(provider, func(t *testing.T) {
			withAlerts(t, func(w *alerting) {
				key.configure(w)
				types := []string{provider + "_ENCRYPTION_KEY_INVALID", "ENCRYPTION_AT_REST_CONFIG_NO_LONGER_VALID"}
				for _, typ := range types {
					w.ask(typ, 10)
				}
				w.pass(soon)
				for _, typ := range types {
					w.want(typ, "", "while all is well")
				}
				key.take(w)
				w.pass(soon)
				for _, typ := range types {
					w.want(typ, "TRACKING", "as soon as it was noticed")
				}
				w.wantEvents(1, types...)
				w.minutes(11)
				for _, typ := range types {
					w.want(typ, "OPEN", "after the delay")
					if n := w.notices(typ); n != 1 {
						t.Errorf("%d notifications of %s", n, typ)
					}
				}
				w.wantEvents(0, provider+"_ENCRYPTION_KEY_VALID", "ENCRYPTION_AT_REST_CONFIG_IS_VALID")
				key.back(w)
				w.minutes(2)
				for _, typ := range types {
					w.want(typ, "CLOSED", "once it is back")
					if n := w.notices(typ); n != 2 {
						t.Errorf("%d notifications of %s and its end", n, typ)
					}
				}
				w.wantEvents(1, append(types, provider+"_ENCRYPTION_KEY_VALID", "ENCRYPTION_AT_REST_CONFIG_IS_VALID")...)
				key.take(w)
				w.pass(soon)
				w.want(types[0], "CLOSED TRACKING", "taken away again")
				key.back(w)
				w.minutes(2)
				w.want(types[0], "CLOSED CLOSED", "back before anybody was told")
			})
		})
	}
}

const denied = "ENCRYPTION_AT_REST_KMS_NETWORK_ACCESS_DENIED"

// outage makes the clouds impossible to reach.
func (w *alerting) outage(is bool) {
	w.wire.mu.Lock()
	defer w.wire.mu.Unlock()
	w.wire.fail = nil
	if is {
		w.wire.fail = func(int, *http.Request) error { return errWire }
	}
}

func TestAnOutageIsAnAlertThatCanBeAcknowledged(t *testing.T) {
	withAlerts(t, func(w *alerting) {
		takings()["AWS"].configure(w)
		w.outage(true)
		w.pass(soon)
		w.want(denied, "OPEN", "of which every project is told")
		w.wantEvents(1, denied)
		alerts := w.shown()
		path := v2 + "/alerts/" + alerts[len(alerts)-1]["id"].(string)
		acknowledge := func(body string) map[string]any {
			return w.mustSend(request{http.MethodPatch, path, body}).body
		}
		told := w.notices(denied)
		a := acknowledge(`{"acknowledgedUntil":"` + atlas.Time(time.Now().Add(3*time.Hour)) + `","acknowledgementComment":"known"}`)
		if a["acknowledgementComment"] != "known" || a["acknowledgedUntil"] == nil {
			t.Errorf("acknowledged: %v", a)
		}
		w.minutes(150)
		if n := w.notices(denied); n != told {
			t.Errorf("%d notifications of what was acknowledged", n-told)
		}
		w.minutes(60)
		if n := w.notices(denied); n <= told {
			t.Error("nobody was told after the acknowledgement was over")
		}
		acknowledge(`{"acknowledgedUntil":"` + atlas.Time(time.Now().AddDate(100, 0, 0)) + `"}`)
		told = w.notices(denied)
		for range 10 {
			w.pass(30 * 24 * time.Hour)
		}
		if n := w.notices(denied); n != told {
			t.Errorf("%d notifications of what was acknowledged for ever", n-told)
		}
		if a := acknowledge(`{"unacknowledgeAlert":true}`); a["acknowledgedUntil"] != nil {
			t.Errorf("no longer acknowledged: %v", a)
		}
		w.minutes(2)
		if n := w.notices(denied); n <= told {
			t.Error("nobody was told after the acknowledgement was undone")
		}
		w.want(denied, "OPEN", "all the time")
		w.outage(false)
		w.minutes(2)
		w.want(denied, "CLOSED", "at the end of the outage")
		w.wantEvents(1, denied, "ENCRYPTION_AT_REST_KMS_NETWORK_ACCESS_RESTORED", "ALERT_UNACKNOWLEDGED_AUDIT")
		w.wantEvents(2, "ALERT_ACKNOWLEDGED_AUDIT")
		w.wantEvents(0, "AWS_ENCRYPTION_KEY_INVALID", "ENCRYPTION_AT_REST_CONFIG_NO_LONGER_VALID")
	})
}

func TestAnAlertWhoseConfigurationIsSwitchedOffIsCancelled(t *testing.T) {
	withAlerts(t, func(w *alerting) {
		key := takings()["AWS"]
		key.configure(w)
		const typ = "AWS_ENCRYPTION_KEY_INVALID"
		id := w.ask(typ, 0)
		key.take(w)
		w.pass(soon)
		w.want(typ, "OPEN", "taken away")
		w.mustSend(request{http.MethodPatch, v2 + "/alertConfigs/" + id, `{"enabled":false}`})
		w.minutes(2)
		w.want(typ, "CANCELLED", "switched off")
		w.mustSend(request{http.MethodPatch, v2 + "/alertConfigs/" + id, `{"enabled":true}`})
		w.pass(soon)
		w.want(typ, "CANCELLED OPEN", "switched on while the key is still away")
		w.wantEvents(1, "ALERT_CONFIG_ADDED_AUDIT", "ALERT_CONFIG_DISABLED_AUDIT", "ALERT_CONFIG_ENABLED_AUDIT")
	})
}

func TestAConfigurationThatIsMadeWhileTheKeyIsAwayHearsOfIt(t *testing.T) {
	withAlerts(t, func(w *alerting) {
		key := takings()["AWS"]
		key.configure(w)
		key.take(w)
		w.pass(soon)
		w.minutes(30)
		w.ask("AWS_ENCRYPTION_KEY_INVALID", 0)
		w.minutes(encryption.SweepSlots)
		w.want("AWS_ENCRYPTION_KEY_INVALID", "OPEN", "made later")
		w.wantEvents(1, "AWS_ENCRYPTION_KEY_INVALID")
	})
}

// A threshold is for how many days the key has been invalid.
func TestAThresholdDelaysTheAlertOfAnInvalidKey(t *testing.T) {
	withAlerts(t, func(w *alerting) {
		key := takings()["AWS"]
		key.configure(w)
		w.mustSend(request{http.MethodPost, v2 + "/alertConfigs", `{"eventTypeName":"AWS_ENCRYPTION_KEY_INVALID","enabled":true,` +
			`"threshold":{"operator":"GREATER_THAN","threshold":2,"units":"DAYS"},"notifications":[{"typeName":"GROUP","intervalMin":60,"delayMin":0,"emailEnabled":true}]}`})
		key.take(w)
		w.pass(soon)
		w.want("AWS_ENCRYPTION_KEY_INVALID", "", "on the first day")
		w.pass(47 * time.Hour)
		w.want("AWS_ENCRYPTION_KEY_INVALID", "", "before the second day is over")
		w.pass(2 * time.Hour)
		w.want("AWS_ENCRYPTION_KEY_INVALID", "OPEN", "after two days")
	})
}

// Bursts are no news; a provider that refuses for half an hour is out of reach.
func TestOnlyThrottlingThatLastsIsAnAlert(t *testing.T) {
	withAlerts(t, func(w *alerting) {
		takings()["AWS"].configure(w)
		w.throttle(true)
		w.pass(soon)
		w.minutes(28)
		w.want(denied, "", "for 28 minutes")
		w.minutes(4)
		w.want(denied, "OPEN", "for more than half an hour")
		w.throttle(false)
		w.minutes(2)
		w.want(denied, "CLOSED", "at last")
		w.wantEvents(1, denied, "ENCRYPTION_AT_REST_KMS_NETWORK_ACCESS_RESTORED")
	})
}

func TestDisablingAProviderEndsItsAlertsAndDates(t *testing.T) {
	withAlerts(t, func(w *alerting) {
		m := w.byAWSRole(w.awsKey())
		w.mustSend(configure("awsKms", m))
		azure := takings()["AZURE"]
		azure.configure(w)
		w.pass(120 * 24 * time.Hour)
		w.want("AWS_ENCRYPTION_KEY_NEEDS_ROTATION", "OPEN", "after 120 days")
		w.want("AZURE_ENCRYPTION_KEY_NEEDS_ROTATION", "OPEN", "after 120 days")
		w.want("ENCRYPTION_AT_REST_KEY_UNPROTECTED", "OPEN", "of the vault without purge protection")
		w.mustSend(patch(`{"azureKeyVault":{"enabled":false}}`))
		w.want("AZURE_ENCRYPTION_KEY_NEEDS_ROTATION", "CLOSED", "disabled")
		w.want("ENCRYPTION_AT_REST_KEY_UNPROTECTED", "CLOSED", "disabled")
		w.want("AWS_ENCRYPTION_KEY_NEEDS_ROTATION", "OPEN", "the other provider's")
		w.wantWatched("AWS")
		if told := w.settings().Told; len(told) != 1 {
			t.Errorf("still told: %v", told)
		}
	})
}

// wantWatched demands that the dates of these providers are known, and of no others.
func (w *alerting) wantWatched(providers ...string) {
	w.t.Helper()
	var got []string
	for sk := range w.stored() {
		if p, ok := strings.CutPrefix(sk, "WATCH#"); ok {
			got = append(got, p)
		}
	}
	slices.Sort(got)
	if diff := cmp.Diff(providers, got); diff != "" {
		w.t.Errorf("watched:%s", diff)
	}
}

var errEnd = errors.New("the process ends here")

// The process ends at any call to the table: the next run, a minute later, makes up for it. Alerts and
// events come about exactly once.
func TestNoCrashBetweenAVerdictAndItsAlertLosesIt(t *testing.T) {
	withAlerts(t, func(w *alerting) {
		key := takings()["AWS"]
		key.configure(w)
		types := []string{"AWS_ENCRYPTION_KEY_INVALID", "ENCRYPTION_AT_REST_CONFIG_NO_LONGER_VALID"}
		for _, typ := range types {
			w.ask(typ, 0)
		}
		w.pass(soon)
		for n := 1; ; n++ {
			key.take(w)
			time.Sleep(soon)
			first := w.crash(n)
			w.pass(time.Minute)
			for _, typ := range types {
				w.want(typ, strings.Repeat("CLOSED ", n-1)+"OPEN", fmt.Sprintf("crashed at call %d", n))
			}
			key.back(w)
			time.Sleep(time.Minute)
			second := w.crash(n)
			w.pass(time.Minute)
			for _, typ := range types {
				w.want(typ, strings.TrimSpace(strings.Repeat("CLOSED ", n)), fmt.Sprintf("crashed at call %d of the next run", n))
			}
			w.wantEvents(n, append(types, "AWS_ENCRYPTION_KEY_VALID", "ENCRYPTION_AT_REST_CONFIG_IS_VALID")...)
			if !first && !second {
				t.Logf("each of %d calls was the last one", n-1)
				return
			}
			if t.Failed() || n > 200 {
				t.Fatalf("after %d crashes", n)
			}
		}
	})
}

// crash runs the checks and ends the process at their n-th call to the table; it reports whether there
// was one.
func (w *alerting) crash(n int) bool {
	w.t.Helper()
	var crashed atomic.Bool // checks run side by side
	w.table.reset()
	w.table.mu.Lock()
	w.table.before = func(call int) error {
		if call < n {
			return nil
		}
		crashed.Store(true)
		return errEnd
	}
	w.table.mu.Unlock()
	_, _ = w.validate.Invoke(w.t.Context(), []byte(`{}`)) // whatever it says, it is gone
	w.table.reset()
	w.rise()
	return crashed.Load()
}

func TestNoCrashWhileAProviderIsDisabledLeavesAlertsBehind(t *testing.T) {
	for n := 1; ; n++ {
		var crashed atomic.Bool
		done := false
		withAlerts(t, func(w *alerting) {
			takings()["AWS"].configure(w)
			w.pass(120 * 24 * time.Hour)
			w.want("AWS_ENCRYPTION_KEY_NEEDS_ROTATION", "OPEN", "after 120 days")
			w.table.reset()
			w.table.mu.Lock()
			w.table.before = func(call int) error {
				if call < n {
					return nil
				}
				crashed.Store(true)
				return errEnd
			}
			w.table.mu.Unlock()
			w.send(patch(`{"awsKms":{"enabled":false}}`))
			w.table.reset()
			w.rise()
			w.pass(time.Minute)
			if w.settings().AWS != nil {
				return
			}
			done = true
			w.want("AWS_ENCRYPTION_KEY_NEEDS_ROTATION", "CLOSED", fmt.Sprintf("crashed at call %d", n))
			w.wantWatched()
			item, err := w.table.Get(t.Context(), keys.Encryption(groupID))
			if err != nil || item.Index != (store.Key{}) {
				t.Errorf("the settings are still checked: %v, %v", item.Index, err)
			}
		})
		if !crashed.Load() || t.Failed() {
			if !done {
				t.Error("it was never disabled")
			}
			return
		}
	}
}

// facts are what an alert's notification says.
func (w *alerting) facts(typ string) (summary, remedy string, ends time.Time) {
	w.t.Helper()
	items := w.stored()
	for _, sk := range slices.Backward(slices.Sorted(maps.Keys(items))) {
		if !strings.HasPrefix(sk, "ALERT#") {
			continue
		}
		var a alert.Alert
		w.must(json.Unmarshal([]byte(items[sk]), &a))
		if string(a.Type) == typ && !a.Status.Ended() {
			return a.Facts.Summary, a.Facts.Remedy, a.Facts.Ends
		}
	}
	return "", "", time.Time{}
}

func TestAnAlertSaysWhatIsTheMatterAndWhatToDo(t *testing.T) {
	withAlerts(t, func(w *alerting) {
		key := takings()["AWS"]
		key.configure(w)
		w.ask("AWS_ENCRYPTION_KEY_INVALID", 0)
		key.take(w)
		w.pass(soon)
		summary, remedy, _ := w.facts("AWS_ENCRYPTION_KEY_INVALID")
		if !strings.Contains(summary, pockettest.TenantAccount) || !strings.Contains(summary, "KEY_DISABLED") || !strings.Contains(remedy, "Enable the key") {
			t.Errorf("%q %q", summary, remedy)
		}
	})
}

// throttle makes KMS ask to slow down.
func (w *alerting) throttle(is bool) {
	w.Faults.Clear()
	if is {
		w.Faults.Set(pocket.Fault{Host: "kms.us-east-1.amazonaws.com", Kind: pocket.Throttle})
	}
}
