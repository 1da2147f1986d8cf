package encryption_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/shared/encryption"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// errKilled is what everything answers after the process was killed.
var errKilled = errors.New("the process was killed")

// configured is what the stored settings say to clients, validity aside.
func (w *world) configured() string {
	w.t.Helper()
	s, _, err := store.Load[encryption.Settings](w.t.Context(), w.table.Table, keys.Encryption(groupID))
	w.must(err)
	text, err := json.Marshal(s.Wire())
	w.must(err)
	return string(text)
}

// bigChange sets up a group and returns an update that changes everything at once: another key
// at AWS, a service principal in the place of a secret at Azure, and a key at Google.
func (w *world) bigChange() request {
	w.t.Helper()
	azure, _ := w.byAzureSecret(w.azureKey(""))
	body, err := json.Marshal(map[string]any{"awsKms": w.byAWSRole(w.awsKey()), "azureKeyVault": azure})
	w.must(err)
	w.mustSend(patch(string(body)))
	byRole, _ := w.byAzureRole(azure["keyIdentifier"].(string))
	google, _ := w.byGoogleKey(w.googleVersion())
	body, err = json.Marshal(map[string]any{
		"awsKms": members{"customerMasterKeyID": w.awsKey()}, "azureKeyVault": members{"roleId": byRole["roleId"]},
		"googleCloudKms": google, "enabledForSearchNodes": true,
	})
	w.must(err)
	w.table.reset()
	w.wire.seeNoStranger(w.t)
	w.wire.reset()
	return patch(string(body))
}

// harms are ways in which the n-th call of one kind goes wrong.
var harms = map[string]func(w *world, n int){
	"the table fails": func(w *world, n int) {
		w.table.before = func(i int) error { return only(i == n) }
	},
	"the table's answer is lost": func(w *world, n int) {
		w.table.after = func(i int) error { return only(i == n) }
	},
	"killed before a call of the table": func(w *world, n int) {
		w.table.before = func(i int) error { return only(i >= n) }
		w.wire.fail = func(int, *http.Request) error { return only(w.table.called() >= n) }
	},
	"killed after a call of the table": func(w *world, n int) {
		w.table.before = func(i int) error { return only(i > n) }
		w.table.after = func(i int) error { return only(i == n) }
		w.wire.fail = func(int, *http.Request) error { return only(w.table.called() > n) }
	},
	"a cloud can't be reached": func(w *world, n int) {
		w.wire.fail = func(i int, _ *http.Request) error { return only(i == n) }
	},
	answerLost: func(w *world, n int) {
		w.wire.lose = func(i int) bool { return i == n }
	},
	"killed before a call of a cloud": func(w *world, n int) {
		w.wire.fail = func(i int, _ *http.Request) error { return only(i >= n) }
		w.table.before = func(int) error { return only(w.wire.count() >= n) }
	},
}

// answerLost is the one harm that clients are expected to mend by themselves.
const answerLost = "a cloud's answer is lost"

func only(fails bool) error {
	if fails {
		return errKilled
	}
	return nil
}

// TestAnUpdateIsWholeOrNotAtAll harms an update at each call that it makes, in each way. What
// is stored then is the old configuration or the new one, its keys work, and trying again
// succeeds.
func TestAnUpdateIsWholeOrNotAtAll(t *testing.T) {
	var before, after string
	tables, clouds := 0, 0
	for name, harm := range harms {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) { // how many calls there are
				r := w.bigChange()
				w.mustSend(r)
				tables, clouds = w.table.called(), w.wire.count()
			})
			calls := tables
			if strings.Contains(name, "cloud") {
				calls = clouds
			}
			if tables < 4 || clouds < 10 {
				t.Fatalf("an update makes %d calls of the table and %d of clouds", tables, clouds)
			}
			succeeded := 0
			for n := 1; n <= calls; n++ {
				inWorld(t, func(w *world) {
					r := w.bigChange()
					before = w.configured()
					harm(w, n)
					status := w.send(r).status
					now := w.configured()
					w.revive()
					w.mustSend(r)
					after = w.configured()
					if now != before && now != after {
						t.Errorf("call %d left a mix:\n%s", n, cmp.Diff([]string{before, after}, []string{now}))
					}
					if status == http.StatusOK {
						succeeded++
						if now != after {
							t.Errorf("call %d: the answer was 200, stored is\n%s", n, now)
						}
					}
					a := w.get()
					for _, block := range []string{"awsKms", "azureKeyVault", "googleCloudKms"} {
						if a.block(block)["valid"] != true {
							t.Errorf("call %d: %s afterwards is %s", n, block, a.json(block))
						}
					}
				})
			}
			// The SDKs ask again when a single answer is lost, so all of those may do no harm.
			if succeeded == calls && name != answerLost {
				t.Errorf("none of %d harms did any harm", calls)
			}
		})
	}
}

// revive starts the function anew over what is stored, with all working again.
func (w *world) revive() {
	w.t.Helper()
	w.table.reset()
	w.wire.seeNoStranger(w.t)
	w.wire.reset()
	w.restart()
}

// TestAHarmedUpdateLeavesTheOldKeysUsable harms an update before its commit and looks at the
// old configuration, which no second update has mended.
func TestAHarmedUpdateLeavesTheOldKeysUsable(t *testing.T) {
	for n := range 12 {
		t.Run(fmt.Sprint("call ", n+1), func(t *testing.T) {
			inWorld(t, func(w *world) {
				r := w.bigChange()
				before := w.configured()
				harms["killed before a call of a cloud"](w, n+1)
				w.send(r)
				w.revive()
				a := w.get()
				if w.configured() != before || a.block("awsKms")["valid"] != true || a.block("azureKeyVault")["valid"] != true {
					t.Errorf("GET answers %s", a.text)
				}
			})
		})
	}
}

// TestAuthorizingARoleIsWholeOrNotAtAll does the same to the authorization of a role.
func TestAuthorizingARoleIsWholeOrNotAtAll(t *testing.T) {
	for name, harm := range harms {
		t.Run(name, func(t *testing.T) {
			for n := 1; n <= 4; n++ {
				inWorld(t, func(w *world) {
					id, externalID := w.newAWSRole()
					w.makeIAMRole(externalID)
					w.revive()
					harm(w, n)
					status := w.send(authorizeAWS(id)).status
					w.revive()
					read := w.mustSend(request{http.MethodGet, roles + "/" + id, ""})
					isAuthorized := read.body["authorizedDate"] != nil
					if isAuthorized != (read.body["iamAssumedRoleArn"] != nil) || status == http.StatusOK && !isAuthorized {
						t.Errorf("call %d: the answer was %d, the role is %s", n, status, read.text)
					}
					w.mustSend(authorizeAWS(id))
				})
			}
		})
	}
}

// TestAKeyThatIsDisabledWhileItsRoleIsAuthorizedAnewIsAConflict: the role is proved with a key
// that is no longer configured.
func TestAKeyThatIsDisabledWhileItsRoleIsAuthorizedAnewIsAConflict(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.byAWSRole(w.awsKey())
		w.mustSend(configure("awsKms", m))
		done := false
		w.wire.fail = func(_ int, r *http.Request) error {
			if !done && strings.HasPrefix(r.URL.Host, "sts.") {
				done = true
				w.mustSend(configure("awsKms", members{"enabled": false}))
			}
			return nil
		}
		if a := w.send(authorizeAWS(m["roleId"].(string))); a.code() != "CONCURRENT_MODIFICATION" {
			t.Errorf("it answers %s", a.text)
		}
	})
}
