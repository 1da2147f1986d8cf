package agent_test

import (
	"testing"
	"time"

	"latchkey/agent"
	"latchkey/agent/enginetest"
	"latchkey/agent/memengine"
	"latchkey/shared/node/protocol"
)

func TestAFullDiskKeepsANewNodeFromStarting(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.start()
		w.reported(protocol.StateStopped)
		w.disk.Fill(true)
		w.command(protocol.KindStart)
		if r := w.reported(protocol.StateFailed); r.Reason != protocol.ReasonStateNotStored {
			t.Errorf("report %+v", r)
		}
		time.Sleep(time.Hour)
		if w.engine.count("start") != 0 || len(w.server.Ledger(w.nodeID)) != 1 {
			t.Errorf("%d starts, %d keys", w.engine.count("start"), len(w.server.Ledger(w.nodeID)))
		}
		w.disk.Fill(false)
		w.reported(protocol.StateRunning)
	})
}

func TestAFullDiskLeavesTheOldWrappedKeys(t *testing.T) {
	for _, kind := range []protocol.Kind{protocol.KindRotate, protocol.KindRewrap} {
		t.Run(string(kind), func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				w.running()
				w.put("a")
				before := w.kept()
				w.server.SwitchCMK()
				w.disk.Fill(true)
				n := w.command(kind)
				w.until("report", func() bool { return w.server.Last(w.nodeID).Reason == protocol.ReasonStateNotStored })
				if r := w.server.Last(w.nodeID); r.State != protocol.StateRunning {
					t.Errorf("report %+v", r)
				}
				after := w.kept()
				for id, key := range before {
					if len(after) != 1 || string(after[id].Blob) != string(key.Blob) {
						t.Errorf("the disk holds %v", after)
					}
				}
				w.disk.Fill(false)
				w.acked(n)
				w.restart()
				w.until("running", func() bool { return w.engine.Status().Phase == agent.Running })
				if !w.has("a") {
					t.Error("the data is gone")
				}
			})
		})
	}
}

func TestAFullDiskDoesNotKeepANodeFromStopping(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.running()
		w.disk.Fill(true)
		n := w.command(protocol.KindStop)
		w.reported(protocol.StateStopped)
		w.disk.Fill(false)
		w.acked(n)
	})
}

func TestLostKeysAreReportedAndNeverReplacedByNewOnes(t *testing.T) {
	for how, damage := range map[string][]byte{"missing": nil, "torn": []byte("latchkey-state-1 0")} {
		t.Run(how, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				w.running()
				w.put("a")
				w.crash(0)
				w.disk.Damage("keys.json", damage)
				w.disk.Damage("keys.json.previous", damage)
				w.start()
				w.server.Forget(w.nodeID)
				want := map[string]string{"missing": protocol.ReasonKeysLost, "torn": protocol.ReasonStateDamaged}[how]
				if r := w.reported(protocol.StateFailed); r.Reason != want {
					t.Errorf("report %+v", r)
				}
				w.command(protocol.KindStart)
				time.Sleep(time.Hour)
				if len(w.server.Ledger(w.nodeID)) != 1 || w.engine.count("start") != 0 {
					t.Fatal("a new key was put over old data")
				}
				w.engine.breaks(map[string]error{"wipe": agent.ErrUnsupported})
				if ack := w.acked(w.command(protocol.KindResync)); ack.Outcome != protocol.Failed {
					t.Errorf("acknowledged %+v", ack)
				}
				time.Sleep(time.Hour)
				if w.engine.count("start") != 0 {
					t.Fatal("a failed resync put a new key over old data")
				}
				if ack := w.acked(w.command(protocol.KindResync)); ack.Outcome != protocol.Done {
					t.Errorf("acknowledged %+v", ack)
				}
				w.reported(protocol.StateRunning)
			})
		})
	}
}

func TestADamagedFileIsReplacedByItsPredecessor(t *testing.T) {
	for _, name := range []string{"keys.json", "commands.json"} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				w.running()
				w.put("a")
				w.server.SwitchCMK()
				w.acked(w.command(protocol.KindRewrap))
				w.crash(0)
				w.disk.Damage(name, []byte("rotten"))
				w.start()
				w.server.Forget(w.nodeID)
				w.reported(protocol.StateRunning)
				if !w.has("a") || w.engine.count("wipe") != 0 {
					t.Error("the data is gone")
				}
			})
		})
	}
}

func TestAnAgentWhoseRecordOfCommandsIsGoneRepeatsTheLastHarmlessly(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.running()
		w.put("a")
		for _, kind := range []protocol.Kind{protocol.KindRotate, protocol.KindResync} {
			n := w.command(kind)
			w.acked(n)
			w.put("b")
			keys := len(w.server.Ledger(w.nodeID))
			w.crash(0)
			w.disk.Damage("commands.json", []byte("rotten"))
			w.disk.Damage("commands.json.previous", []byte("rotten"))
			w.start()
			w.server.Forget(w.nodeID)
			w.until("report", func() bool {
				r := w.server.Last(w.nodeID)
				return r.State == protocol.StateRunning && r.CommandAcked == n
			})
			if !w.has("b") || len(w.server.Ledger(w.nodeID)) != keys {
				t.Errorf("%s was carried out again", kind)
			}
		}
	})
}

func TestDataUnderAForeignKeyIsReportedAndLeftAlone(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		foreign := memengine.New(memengine.Config{Disk: w.data, Now: time.Now})
		if err := foreign.Start(t.Context(), enginetest.Key(9)); err != nil {
			t.Fatal(err)
		}
		if err := foreign.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		before := string(w.data.Bytes())
		w.start()
		w.command(protocol.KindStart)
		if r := w.reported(protocol.StateFailed); r.Reason != protocol.ReasonWrongKey {
			t.Errorf("report %+v", r)
		}
		if string(w.data.Bytes()) != before {
			t.Error("the data was changed")
		}
	})
}

// The record of a command may not have been stored, and then be older than what was done for the command.
func TestDataThatWasDroppedBeginsAnewAsTheCommandSaidAndNoOther(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.start()
		w.acked(w.server.Command(w.nodeID, protocol.KindStart, protocol.Run, protocol.NoProvider))
		w.put("a")
		old, err := w.disk.ReadFile("commands.json")
		if err != nil {
			t.Fatal(err)
		}
		w.engine.afterwork = func(call string) { w.net.Down(call == "wipe") }
		number := w.command(protocol.KindResync)
		w.until("dropped", func() bool { return w.engine.count("wipe") == 1 })
		time.Sleep(time.Minute)
		w.crash(0)
		w.disk.Damage("commands.json", old)
		w.start()
		time.Sleep(10 * time.Minute)
		if w.engine.count("start") > 0 {
			t.Error("it begins data as it was before")
		}
		w.net.Down(false)
		if ack := w.acked(number); ack.Outcome != protocol.Done || ack.KeyID == "" {
			t.Errorf("acknowledged %+v", ack)
		}
		w.reported(protocol.StateRunning)
	})
}
