package changeover_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/local/pocket"
	"latchkey/local/states/engine"
	"latchkey/local/states/journal"
	"latchkey/local/states/statestest"
	"latchkey/shared/encryption"
	"latchkey/shared/kms/keyring"
	"latchkey/shared/workflow"
)

// inProcess has the workflows of the world kept in a file, by a process that is killed at a write.
func (w *world) inProcess(at int, lost bool) *statestest.Process {
	w.t.Helper()
	synctest.Wait()
	p := statestest.NewProcess(w.t, at, lost, func(kept journal.Journal) *engine.Engine {
		ring, err := keyring.New(w.t.Context(), w.Identities(w.Transport()))
		w.must(err)
		return w.boot(kept, ring)
	})
	w.table.Table = p.Table(w.table.Table)
	p.Start()
	return p
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
						defer p.Stop()
						change(w)
						isOver = !w.survives(p, kind)
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
func (w *world) survives(p *statestest.Process, kind workflow.Kind) (killed bool) {
	w.t.Helper()
	w.until(40*time.Minute, func() bool {
		killed = p.Restart() || killed
		return w.change().State != encryption.UnderWay
	})
	synctest.Wait()
	killed = p.Restart() || killed // with the last transition
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
