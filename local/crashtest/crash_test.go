// Package crashtest kills the suite on one machine (kill -9) again and again while clients use all of it,
// and finds out whether it keeps its promise: what was acknowledged is there after the next start, or what the same
// client wrote later; a write without an answer has happened as a whole or not at all; work that was begun ends.
// It knows the program from outside: its binary, and HTTP.
//
// LATCHKEY_CRASH_ROUNDS and LATCHKEY_CRASH_SEED repeat a run as far as its choices go; how far the program
// came until it was killed is its own affair. LATCHKEY_CRASH_BINARY names a program that is built already,
// LATCHKEY_CRASH_ARGS further flags for it (-isolated -functions directory).
package crashtest_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
)

const (
	shortRun = 3 // rounds, where nobody asks for more
	// settleEvery is after how many rounds everything has to come to an end.
	settleEvery = 20
	// settleTime is how long that may take: a rotation waits a minute for who may still wrap with the former key.
	settleTime = 4 * time.Minute
	// readyTime is how long a start may take on a machine that is busy with other tests.
	readyTime = 10 * time.Second
)

func number(t *testing.T, variable string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return n
}

func TestWhatWasAcknowledgedSurvivesKills(t *testing.T) {
	t.Parallel()
	rounds := number(t, "LATCHKEY_CRASH_ROUNDS", shortRun)
	seed := number(t, "LATCHKEY_CRASH_SEED", rand.Uint64()%1e6)
	t.Logf("LATCHKEY_CRASH_SEED=%d LATCHKEY_CRASH_ROUNDS=%d repeats the choices of this run", seed, rounds)
	s := begin(t, newProgram(t, nil, filepath.Join(t.ArtifactDir(), "data")), seed)
	for round := range rounds {
		s.round(int(round))
		if t.Failed() {
			t.Fatalf("in round %d; the program said: %s", round, s.program.lastWords())
		}
		if round%settleEvery == settleEvery-1 {
			s.settle()
		}
	}
	if rounds > shortRun {
		s.settle()
	}
	s.report()
}

// storm is a run.
type storm struct {
	*testing.T
	program *program
	tenant  *tenant
	rand    *rand.Rand
	keyIDs  []string
	writers []*writer
	outages []time.Duration // from readiness until data could be read
	began   int             // executions that were seen
}

// begin starts a program with an encrypted cluster.
func begin(t *testing.T, p *program, seed uint64) *storm {
	t.Helper()
	s := &storm{T: t, program: p, rand: rand.New(rand.NewPCG(seed, 0))}
	s.start()
	s.keyIDs = s.tenant.bring(t)
	s.writers = writers(seed, s.keyIDs)
	for began := time.Now(); s.tenant.value(t.Context(), http.MethodPut, "first", "value").outcome != done; pause(t.Context(), 50*time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatalf("nothing can be written; the program said: %s", s.program.lastWords())
		}
	}
	return s
}

func (s *storm) start() {
	s.Helper()
	if err := s.program.start(); err != nil {
		s.Fatal(err)
	}
	if took := s.program.ready[len(s.program.ready)-1]; took > readyTime {
		s.Errorf("the program was ready after %v", took)
	}
	s.tenant = newTenant(s.program.at)
}

// The ways in which a round goes.
const (
	whileUsed     = iota // killed while clients write
	whileRevoked         // and nodes stop, since the tenant has disabled its keys
	whileStarting        // and again before it is ready
	ways
)

// round has clients write, kills the program at a moment, starts it again and looks.
func (s *storm) round(n int) {
	way := n % ways
	moment := time.Duration(50+s.rand.IntN(1500)) * time.Millisecond
	s.load(moment, func(ctx context.Context) {
		if way == whileRevoked {
			s.turnKeys(ctx, false)
		}
	})
	if way == whileStarting {
		for range 1 + s.rand.IntN(3) {
			s.program.launch()
			pause(s.Context(), time.Duration(s.rand.IntN(600))*time.Millisecond)
			s.program.kill()
		}
	}
	s.start()
	if way == whileRevoked {
		s.turnKeys(s.Context(), true)
	}
	s.compare(n)
}

// load has everybody write until the program is killed. meanwhile comes first.
func (s *storm) load(moment time.Duration, meanwhile func(context.Context)) {
	s.Helper()
	ctx, cancel := context.WithCancel(s.Context())
	defer cancel()
	var all sync.WaitGroup
	for _, w := range s.writers {
		all.Go(func() { w.work(ctx, ctx, s.tenant) })
	}
	all.Go(func() { meanwhile(ctx) })
	pause(ctx, moment)
	if err := s.program.death(); err != nil {
		s.Fatal(err)
	}
	s.program.kill()
	cancel()
	all.Wait()
}

// turnKeys disables or enables the keys that the group uses in turns, and has it noticed at once.
func (s *storm) turnKeys(ctx context.Context, on bool) {
	for _, id := range s.keyIDs {
		var err error
		if on {
			_, err = s.tenant.keys.EnableKey(ctx, &kms.EnableKeyInput{KeyId: &id})
		} else {
			_, err = s.tenant.keys.DisableKey(ctx, &kms.DisableKeyInput{KeyId: &id})
		}
		if err != nil && on {
			s.Errorf("enable %s: %v", id, err)
		}
	}
	if a := s.tenant.validate(ctx); on && a.outcome != done {
		s.Errorf("validate: %d %s", a.status, a.text)
	}
}

// compare holds all that is there against what was acknowledged.
func (s *storm) compare(round int) {
	s.Helper()
	began := time.Now()
	for _, w := range s.writers { // values come last, since nodes may have to start before
		actual, err := w.read(s.Context(), w, s.tenant)
		if err == nil && w.excuse != nil {
			err = w.excuse(s.Context(), w, s.tenant)
		}
		if err != nil {
			s.Errorf("round %d: read every %s: %v", round, w.kind, err)
			continue
		}
		if w.kind == "value" {
			s.outages = append(s.outages, time.Since(began))
		}
		for _, wrong := range w.compare(actual) {
			s.Errorf("round %d: %s", round, wrong)
		}
	}
	if err := s.program.death(); err != nil {
		s.Error(err)
	}
}

// settle waits until nothing is under way any more: no execution runs or has failed, every cluster is idle or gone.
func (s *storm) settle() {
	s.Helper()
	// What the schedules do every five minutes: start what was stored and never begun.
	for _, task := range []string{"resumePlans", "resumeChanges"} {
		if a := s.tenant.invoke(s.Context(), "fleettasks", `{"task":"`+task+`"}`); a.outcome != done || strings.Contains(a.text, "errorType") {
			s.Errorf("%s: %d %s", task, a.status, a.text)
		}
	}
	busy := ""
	for began := time.Now(); time.Since(began) < settleTime; pause(s.Context(), 500*time.Millisecond) {
		var err error
		if busy, err = s.busy(); err != nil {
			s.Fatal(err)
		}
		if busy == "" {
			return
		}
	}
	s.Errorf("after %v this is still under way: %s; the program said: %s", settleTime, busy, s.program.lastWords())
}

func (s *storm) busy() (string, error) {
	var busy []string
	clusters, err := s.tenant.list(s.Context(), "/clusters")
	if err != nil {
		return "", err
	}
	for _, c := range clusters {
		if c["stateName"] != "IDLE" {
			busy = append(busy, fmt.Sprintf("the cluster %s is %s", c["name"], c["stateName"]))
		}
	}
	machines, err := s.tenant.states(s.Context(), "ListStateMachines", `{}`)
	if err != nil {
		return "", err
	}
	all, _ := machines["stateMachines"].([]any)
	s.began = 0
	for _, machine := range all {
		machine, _ := machine.(map[string]any)
		running, err := s.executions(fmt.Sprint(machine["stateMachineArn"]))
		if err != nil {
			return "", err
		}
		busy = append(busy, running...)
	}
	return strings.Join(busy, "; "), nil
}

// executions lists those that run, and complains of those that have failed.
func (s *storm) executions(machine string) (running []string, err error) {
	token := ""
	for {
		list, err := s.tenant.states(s.Context(), "ListExecutions", fmt.Sprintf(`{"stateMachineArn":%q,"maxResults":1000%s}`, machine, token))
		if err != nil {
			return nil, err
		}
		all, _ := list["executions"].([]any)
		s.began += len(all)
		for _, one := range all {
			one, _ := one.(map[string]any)
			switch one["status"] {
			case "RUNNING":
				running = append(running, fmt.Sprint(one["name"], " runs"))
			case "SUCCEEDED":
			default:
				s.Errorf("the execution %v is %v", one["executionArn"], one["status"])
			}
		}
		next, ok := list["nextToken"].(string)
		if !ok {
			return running, nil
		}
		token = fmt.Sprintf(`,"nextToken":%q`, next)
	}
}

// report says what the run has proved.
func (s *storm) report() {
	s.Helper()
	total := 0
	for _, w := range s.writers {
		total += w.acknowledged
		s.Logf("%s: %d acknowledged, %d refused, %d of unknown outcome", w.kind, w.acknowledged, w.refused, w.unknown)
		if w.acknowledged == 0 {
			s.Errorf("no %s was ever written", w.kind)
		}
	}
	s.Logf("%d writes acknowledged, %d starts, %d executions", total, len(s.program.ready), s.began)
	s.Logf("ready after %s; then data was read back after %s", spread(s.program.ready), spread(s.outages))
}

func spread(d []time.Duration) string {
	if len(d) == 0 {
		return "nothing"
	}
	d = slices.Sorted(slices.Values(d))
	return fmt.Sprintf("%v (median), %v (95th), %v (most)", d[len(d)/2].Round(time.Millisecond), d[len(d)*95/100].Round(time.Millisecond), d[len(d)-1].Round(time.Millisecond))
}
