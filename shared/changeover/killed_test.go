package changeover_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"go.etcd.io/bbolt"

	"latchkey/local/pocket"
	"latchkey/local/states/asl"
	"latchkey/local/states/engine"
	"latchkey/local/states/journal"
	"latchkey/local/states/sfnapi"
	"latchkey/local/states/statestest"
	"latchkey/shared/encryption"
	"latchkey/shared/kms/keyring"
	"latchkey/shared/store"
	"latchkey/shared/suite/keytasks"
	"latchkey/shared/workflow"
	"latchkey/shared/workflow/awssfn"
)

// process is Step Functions and the functions that it calls, which can be killed together: neither a
// transition nor a write of a task is kept after that.
type process struct {
	*statestest.Killer

	w     *world
	next  int // the write that kills the next process
	path  string
	db    *bbolt.DB
	end   context.CancelFunc
	ended chan error
}

// mortalTable writes while the process lives.
type mortalTable struct {
	store.Table

	killer *statestest.Killer
}

func (m mortalTable) Write(ctx context.Context, ops ...store.Op) error {
	if err := m.killer.Alive(); err != nil {
		return err
	}
	return m.Table.Write(ctx, ops...)
}

// inProcess has the workflows of the world kept in a file, by a process that is killed at a write.
func (w *world) inProcess(at int, lost bool) *process {
	w.t.Helper()
	synctest.Wait()
	p := &process{Killer: statestest.NewKiller(nil, 0, lost), w: w, next: at, path: filepath.Join(w.t.TempDir(), "workflows.db")}
	w.table.Table = mortalTable{w.table.Table, p.Killer}
	p.start()
	return p
}

func (p *process) start() {
	w := p.w
	w.t.Helper()
	var err error
	p.db, err = bbolt.Open(p.path, 0o600, &bbolt.Options{Timeout: time.Second, NoSync: true}) // the machine goes on
	w.must(err)
	kept, err := journal.Bolt(p.db, "executions")
	w.must(err)
	p.Revive(kept, p.next)
	p.next = 0 // it is killed once
	ring, err := keyring.New(w.t.Context(), w.Identities(w.Transport()))
	w.must(err)
	log := slog.New(slog.NewJSONHandler(w.log, nil))
	machines, arns := map[string]*asl.Machine{}, map[workflow.Kind]string{}
	for _, kind := range []workflow.Kind{workflow.SwitchRole, workflow.RotateKey, workflow.ReconfigureRegion} {
		machines[string(kind)] = statestest.Load(w.t, "../../statemachines/"+string(kind)+".asl.json", nil)
	}
	w.engine = engine.New(engine.Config{
		Journal: p.Killer, Now: time.Now, Rand: rand.NewPCG(1, 2), Log: slog.New(slog.DiscardHandler), Machines: machines,
		Invoke: statestest.Invoker(map[string]statestest.Function{
			"FleetTasksFunctionArn": statestest.Handler(w.fleet),
			"KeyTasksFunctionArn": statestest.Handler(keytasks.New(keytasks.Deps{
				Table: w.table, Sealer: w.sealer, Now: time.Now, Log: log, Keys: ring,
			})),
		}),
	})
	for kind := range machines {
		arns[workflow.Kind(kind)] = w.engine.MachineARN(kind)
	}
	w.starter = awssfn.NewStarter(sfn.New(sfn.Options{
		Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""), RetryMaxAttempts: 1,
		HTTPClient: &http.Client{Transport: pocket.Transport(sfnapi.Handler(w.engine, log))},
	}), arns)
	ctx, end := context.WithCancel(w.t.Context())
	p.end, p.ended = end, make(chan error, 1)
	run := w.engine
	go func() { p.ended <- run.Run(ctx) }()
}

func (p *process) stop() {
	p.w.t.Helper()
	synctest.Wait()
	p.end()
	if err := <-p.ended; err != nil && !errors.Is(err, statestest.ErrKilled) {
		p.w.t.Error(err)
	}
	p.w.must(p.db.Close())
}

// restarted starts the process again once it was killed.
func (p *process) restarted() {
	p.w.t.Helper()
	if p.Alive() != nil {
		p.stop()
		p.start()
	}
}

// killable are changes, begun.
func killable() map[workflow.Kind]func(w *world) {
	return map[workflow.Kind]func(w *world){
		workflow.SwitchRole: func(w *world) { switching(w, 1) },
		workflow.RotateKey: func(w *world) {
			w.byRole(w.newKey(false))
			w.populate(1)
			w.mustPatch(`{"awsKms":{"customerMasterKeyID":%q}}`, w.newKey(false))
		},
		workflow.ReconfigureRegion: func(w *world) {
			key, _ := w.replicated()
			w.byRole(key)
			w.populate(1)
			w.Faults.Set(pocket.Fault{Host: kmsEast, Kind: pocket.Down})
			w.mustPatch(`{"awsKms":{"region":"EU_WEST_1"}}`)
		},
	}
}

// The process is killed at every transition of every workflow in turn, right after it and right before it is
// kept; states that only choose are one transition with the task before them. The next process brings the
// change to its end.
func TestAProcessMayBeKilledAtAnyTransition(t *testing.T) {
	for kind, change := range killable() {
		for _, lost := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, lost %t", kind, lost), func(t *testing.T) {
				t.Parallel()
				kills := 0
				for at := 1; ; at++ {
					isOver := false
					inWorld(t, func(w *world) {
						p := w.inProcess(at, lost)
						defer func() { p.stop() }()
						change(w)
						isOver = !p.survives(kind)
					})
					if isOver || t.Failed() {
						break
					}
					kills++
				}
				t.Logf("killed at each of %d transitions", kills)
				if kills < 5 { // the fewest that open a key and finish
					t.Errorf("there were only %d transitions", kills)
				}
			})
		}
	}
}

// survives demands that a change ends well, and reports whether the process was killed before.
func (p *process) survives(kind workflow.Kind) (killed bool) {
	w := p.w
	w.t.Helper()
	w.until(40*time.Minute, func() bool {
		killed = killed || p.Alive() != nil
		p.restarted()
		return w.change().State != encryption.UnderWay
	})
	synctest.Wait()
	killed = killed || p.Alive() != nil // with the last transition
	p.restarted()
	if c := w.change(); c.State != encryption.Finished || c.Kind != kind {
		w.t.Errorf("the change ended as %+v", c)
	}
	if c := w.change(); kind != workflow.RotateKey && c.Proved != 3 {
		w.t.Errorf("%d wrapped keys of 3 were proved", c.Proved)
	}
	if s, text := w.settings(); len(s.Fallbacks) > 0 || kind == workflow.SwitchRole && len(s.RoleOnly) != 1 {
		w.t.Errorf("afterwards there is %s", text)
	}
	finished := 0
	for _, e := range w.events() {
		if e == string(encryption.EventChangeFinished) {
			finished++
		}
	}
	if finished != 1 {
		w.t.Errorf("%d events tell that it is finished", finished)
	}
	w.allStart()
	for _, m := range w.fleetOf {
		if m.rewraps > 1 {
			w.t.Errorf("node %s was rewrapped %d times", m.id, m.rewraps)
		}
	}
	return killed
}
