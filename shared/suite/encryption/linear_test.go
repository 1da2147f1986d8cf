package encryption_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anishathalye/porcupine"

	"latchkey/local/pocket/dynamocloud/dynamotest"
	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/encryption"
	"latchkey/shared/store"
	"latchkey/shared/store/dynamo"
	"latchkey/shared/store/keys"
)

// configuration is what clients see of a group's settings: the key in use, "" for none, and another member, which
// those who change the key leave out.
type configuration struct {
	key    string
	search bool
}

// call is what a client did and was told.
type call struct {
	key    *string // "" disables
	whole  bool    // all members of the block were sent, which enables
	search *bool
	status int
	code   string
	view   configuration
}

func (c call) isRead() bool { return c.key == nil && c.search == nil }

// merged is a configuration after a call, if the call applies to it.
func (c call) merged(to configuration) (configuration, bool) {
	if c.key != nil {
		if to.key == "" && *c.key != "" && !c.whole {
			return to, false
		}
		to.key = *c.key
	}
	if c.search != nil {
		to.search = *c.search
	}
	return to, true
}

// step reports whether a configuration may answer a call so, and what it is then.
func (c call) step(now configuration) (bool, configuration) {
	next, applies := c.merged(now)
	switch {
	case c.status >= http.StatusInternalServerError: // it may have happened, now or later
		if applies {
			return true, next
		}
		return true, now
	case c.status == http.StatusOK:
		return applies && c.view == next, next
	case c.code == string(atlas.ConcurrentModification), c.status == http.StatusTooManyRequests: // somebody was faster
		return true, now
	case c.code == string(atlas.CannotRotateDisabled):
		return !applies, now
	}
	return false, now
}

func settingsModel() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return configuration{} },
		Step: func(s, input, _ any) (bool, any) {
			ok, next := input.(call).step(s.(configuration))
			return ok, next
		},
		DescribeOperation: func(input, _ any) string {
			c := input.(call)
			key, search := "", ""
			if c.key != nil {
				key = fmt.Sprintf(" key=%q", *c.key)
			}
			if c.search != nil {
				search = fmt.Sprintf(" search=%t", *c.search)
			}
			return fmt.Sprintf("%s%s whole=%t: %d %s %+v", key, search, c.whole, c.status, c.code, c.view)
		},
	}
}

// settingsClients change and read one group's settings at the same time.
type settingsClients struct {
	*world
	over   store.Table // without faults
	enable members
	keys   []string
	clock  atomic.Int64

	mu      sync.Mutex
	history []porcupine.Operation
}

func viewOf(a answer) configuration {
	v := configuration{search: a.body["enabledForSearchNodes"] == true}
	if block := a.block("awsKms"); block["enabled"] == true {
		v.key, _ = block["customerMasterKeyID"].(string)
	}
	return v
}

// do makes a call and notes it. A client that learnt nothing asks the same again, as clients do.
func (s *settingsClients) do(client int, c call, r request) {
	for range 3 {
		began := s.clock.Add(1)
		a := s.send(r)
		c.status, c.code, c.view = a.status, a.code(), viewOf(a)
		ended := s.clock.Add(1)
		isUnknown := c.status >= http.StatusInternalServerError
		if isUnknown {
			ended = math.MaxInt64
		}
		if !isUnknown || !c.isRead() {
			s.mu.Lock()
			s.history = append(s.history, porcupine.Operation{ClientId: client, Call: began, Return: ended, Input: c})
			s.mu.Unlock()
		}
		if !isUnknown {
			return
		}
	}
}

func (s *settingsClients) work(client int, chance *rand.Rand, steps int) {
	for range steps {
		time.Sleep(time.Duration(chance.IntN(8)) * time.Millisecond)
		key, search := s.keys[chance.IntN(len(s.keys))], chance.IntN(2) == 0
		switch n := chance.IntN(10); {
		case n < 3:
			s.do(client, call{}, request{http.MethodGet, ear, ""})
		case n < 5:
			s.do(client, call{key: &key}, configure("awsKms", members{"customerMasterKeyID": key}))
		case n < 7:
			s.do(client, call{search: &search}, patch(fmt.Sprintf(`{"enabledForSearchNodes":%t}`, search)))
		case n < 8:
			body := fmt.Sprintf(`{"enabledForSearchNodes":%t,"awsKms":{"customerMasterKeyID":%q}}`, search, key)
			s.do(client, call{key: &key, search: &search}, patch(body))
		case n < 9:
			s.do(client, call{key: &key, whole: true}, configure("awsKms", s.enable.with(members{"customerMasterKeyID": key})))
		default:
			s.do(client, call{key: new(""), whole: true}, configure("awsKms", members{"enabled": false}))
		}
	}
}

// check demands an order that explains what everybody was told, and one event of each change.
func (s *settingsClients) check() error {
	m := settingsModel()
	if result, info := porcupine.CheckOperationsVerbose(m, s.history, time.Minute); result != porcupine.Ok {
		err := fmt.Errorf("no order explains what clients were told (%s; go test -artifacts keeps a picture of it)", result)
		return errors.Join(err, porcupine.VisualizePath(m, info, filepath.Join(s.t.ArtifactDir(), "settings.html")))
	}
	settings, _, err := store.Load[encryption.Settings](s.t.Context(), s.over, keys.Encryption(groupID))
	if err != nil {
		return err
	}
	events, err := store.All(s.t.Context(), s.over, store.Query{PK: keys.EventPartition(keys.GroupScope(groupID)), Prefix: keys.EventPrefix})
	if err != nil {
		return err
	}
	updates := int64(0)
	for _, item := range events {
		e, err := store.Decode[struct{ Type audit.Type }](item)
		if err != nil {
			return err
		}
		if e.Type == audit.ConfigurationUpdated {
			updates++
		}
	}
	if updates != settings.Revision {
		return fmt.Errorf("the settings were changed %d times, of which %d events tell", settings.Revision, updates)
	}
	return nil
}

// raceForSettings has clients race in a world.
func raceForSettings(w *world, seed uint64, answers map[string]int, fail func()) error {
	s := &settingsClients{world: w, over: w.table.Table, keys: []string{w.awsKey(), w.awsKey()}}
	s.enable = w.byAWSRole(s.keys[0])
	fail()
	w.wire.fail = func(n int, _ *http.Request) error { // nothing but late
		time.Sleep(time.Duration(uint64(n)*seed%7) * time.Millisecond)
		return nil
	}
	var clients sync.WaitGroup
	for n := range 4 {
		clients.Go(func() { s.work(n, rand.New(rand.NewPCG(seed, uint64(n))), 8) })
	}
	clients.Wait()
	w.table.reset()
	w.wire.fail = nil
	for _, o := range s.history {
		c := o.Input.(call)
		answers[fmt.Sprint(c.status, " ", c.code)]++
	}
	return s.check()
}

// wantAnswers demands that the clients of many histories met what they are there for.
func wantAnswers(t *testing.T, answers map[string]int) {
	t.Helper()
	t.Log(answers)
	const many = 200
	for _, want := range []string{"200 ", "409 " + string(atlas.ConcurrentModification), "409 " + string(atlas.CannotRotateDisabled)} {
		if answers["200 "] >= many && answers[want] == 0 {
			t.Errorf("nobody was answered %s", want)
		}
	}
}

// linearRounds is how many histories a test makes: make linear sets it, otherwise a few.
func linearRounds(few uint64) uint64 {
	if n, err := strconv.ParseUint(os.Getenv("LATCHKEY_LINEAR_ROUNDS"), 10, 32); err == nil {
		return n
	}
	return few
}

func TestSettings_are_linearizable_over_the_embedded_table(t *testing.T) {
	answers := map[string]int{}
	defer func() { wantAnswers(t, answers) }()
	for seed := range linearRounds(3) {
		inWorld(t, func(w *world) {
			err := raceForSettings(w, seed, answers, func() {
				w.table.after = func(n int) error { // which hides reads as well as writes that have happened
					if (uint64(n)*7+seed)%23 == 0 {
						return errWire
					}
					return nil
				}
			})
			if err != nil {
				t.Errorf("seed %d: %v", seed, err)
			}
		})
	}
}

func TestSettings_are_linearizable_over_DynamoDB(t *testing.T) {
	answers := map[string]int{}
	defer func() { wantAnswers(t, answers) }()
	for seed := range linearRounds(3) {
		synctest.Test(t, func(t *testing.T) {
			n := dynamotest.New(t, time.Now, seed)
			if err := dynamo.CreateTable(t.Context(), n.Client(), "latchkey"); err != nil {
				t.Fatal(err)
			}
			w := newWorld(t)
			w.table.Table = dynamo.New(n.Client(), "latchkey")
			w.found()
			err := raceForSettings(w, seed, answers, func() { w.table.Table = dynamo.New(n.Brittle(), "latchkey") })
			if err != nil {
				t.Errorf("seed %d: %v", seed, err)
			}
			time.Sleep(time.Minute) // SDKs finish what nobody waits for any more
		})
	}
}

// unconditional is a table that does what it is told, whatever has changed since.
type unconditional struct{ store.Table }

func (u unconditional) Write(ctx context.Context, ops ...store.Op) error {
	for {
		var current []store.Op
		for _, op := range ops {
			item, err := u.Get(ctx, op.Item.Key)
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
			op.Item.Version = item.Version
			current = append(current, op)
		}
		if err := u.Table.Write(ctx, current...); !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
}

func TestSettings_that_are_not_linearizable_are_found_out(t *testing.T) {
	const most = 10
	isFound := false
	for seed := uint64(0); seed < most && !isFound; seed++ {
		inWorld(t, func(w *world) {
			isFound = raceForSettings(w, seed, map[string]int{}, func() { w.table.Table = unconditional{w.table.Table} }) != nil
		})
	}
	if !isFound {
		t.Errorf("%d histories without conditions look right", most)
	}
}
