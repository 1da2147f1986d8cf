package agent_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"latchkey/agent"
	"latchkey/shared/node/protocol"
	"latchkey/shared/verdict"
)

func TestAFirstStartMakesAKeyThatIsWrappedStoredAndReleased(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.running()
		ledger, kept, report := w.server.Ledger(w.nodeID), w.kept(), w.server.Last(w.nodeID)
		if len(ledger) != 1 || len(kept) != 1 || len(ledger[report.KeyID]) != 1 || kept[report.KeyID].CMK != "cmk-0" {
			t.Errorf("ledger %v, kept %v, report %+v", ledger, kept, report)
		}
		if w.net.Requests(protocol.EnrolPath) != 1 || w.net.Requests(protocol.WrapPath) != 1 || w.net.Requests(protocol.ReleasePath) != 1 {
			t.Error("more was asked than needed")
		}
		if report.Version != "test" || report.StartedAt.IsZero() || report.CommandAcked != 1 {
			t.Errorf("report %+v", report)
		}
	})
}

func TestANodeWithoutEncryptionNeedsNoKey(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.start()
		w.acked(w.server.Command(w.nodeID, protocol.KindStart, protocol.Run, protocol.NoProvider))
		w.put("a")
		w.restart()
		w.reported(protocol.StateRunning)
		// Data that exists stays as it is, whatever later commands say, until RESYNC.
		w.acked(w.command(protocol.KindStart))
		if !w.has("a") || len(w.server.Ledger(w.nodeID)) != 0 {
			t.Error("the data changed")
		}
	})
}

func TestARestartHasTheSameKeyReleasedAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.running()
		w.put("a")
		before := w.server.Last(w.nodeID).KeyID
		if err := w.end(); err != nil || w.engine.Status().Phase != agent.Stopped {
			t.Errorf("Run = %v, engine %+v", err, w.engine.Status())
		}
		w.start()
		w.until("data", func() bool { return w.engine.Status().Phase == agent.Running })
		if !w.has("a") || w.agent.Report().KeyID != before || w.net.Requests(protocol.WrapPath) != 1 || w.net.Requests(protocol.ReleasePath) != 2 {
			t.Errorf("report %+v", w.agent.Report())
		}
	})
}

func TestARevokedNodeStopsAndARestoredOneReadsItsData(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.running()
		w.put("a")
		w.server.Disable("KEY_DISABLED")
		w.acked(w.command(protocol.KindStop))
		w.reported(protocol.StateStopped)
		w.restart()
		w.server.Forget(w.nodeID)
		w.reported(protocol.StateStopped)
		w.server.Disable("")
		w.acked(w.command(protocol.KindStart))
		w.reported(protocol.StateRunning)
		if !w.has("a") {
			t.Error("the data is gone")
		}
	})
}

func TestADisabledNodeDoesNotStartHoweverOftenItIsRestarted(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.running()
		w.server.Disable("KEY_DISABLED")
		for range 3 {
			w.restart()
			w.server.Forget(w.nodeID)
			if r := w.reported(protocol.StateDisabled); r.Reason != "NODE_DISABLED" {
				t.Errorf("report %+v", r)
			}
			time.Sleep(time.Hour)
			if w.engine.count("start") != 0 {
				t.Fatal("it started")
			}
		}
		w.server.Disable("")
		w.reported(protocol.StateRunning)
	})
}

func TestAnUnreachableKMSStopsNothingAndMakesARestartWait(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.running()
		w.put("a")
		w.server.CMK().Break(verdict.ConnectFailed)
		time.Sleep(24 * time.Hour)
		if w.engine.Status().Phase != agent.Running || w.engine.count("stop") != 0 {
			t.Fatal("the node was stopped")
		}
		w.restart()
		w.server.Forget(w.nodeID)
		if r := w.reported(protocol.StateWaitingKMS); r.Reason != "NODE_KMS_UNREACHABLE" {
			t.Errorf("report %+v", r)
		}
		asked := w.net.Requests(protocol.ReleasePath)
		time.Sleep(time.Hour)
		if n := w.net.Requests(protocol.ReleasePath) - asked; n < 30 || n > 360 {
			t.Errorf("asked %d times in an hour", n)
		}
		w.server.CMK().Break(verdict.OK)
		w.reported(protocol.StateRunning)
		if !w.has("a") {
			t.Error("the data is gone")
		}
	})
}

func TestAFirstStartWaitsForTheKMSWithOneAndTheSameKey(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.server.CMK().Break(verdict.TimedOut)
		w.start()
		n := w.command(protocol.KindStart)
		w.reported(protocol.StateWaitingKMS)
		time.Sleep(time.Hour)
		w.net.LoseAnswers(protocol.WrapPath, 5)
		w.server.CMK().Break(verdict.OK)
		w.acked(n)
		if ledger := w.server.Ledger(w.nodeID); len(ledger) != 1 {
			t.Errorf("%d keys were made", len(ledger))
		}
	})
}

func TestALostControlPlaneStopsNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.running()
		w.net.Down(true)
		time.Sleep(24 * time.Hour)
		if w.engine.Status().Phase != agent.Running {
			t.Fatal("the node was stopped")
		}
		w.net.Down(false)
		w.acked(w.command(protocol.KindStop))
		if strings.Count(w.log.String(), "no contact") != 1 {
			t.Error("losing contact was not logged once")
		}
	})
}

func TestANodeThatWasToStopStaysStoppedWithoutAControlPlane(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.start()
		w.acked(w.server.Command(w.nodeID, protocol.KindStart, protocol.Run, protocol.NoProvider))
		w.acked(w.command(protocol.KindStop))
		w.crash(0)
		w.net.Down(true)
		w.start()
		time.Sleep(time.Hour)
		if w.engine.count("start") != 0 {
			t.Error("it started")
		}
	})
}

func TestACommandThatCameWhileTheAgentWasAwayCountsFromTheStart(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.start()
		w.acked(w.server.Command(w.nodeID, protocol.KindStart, protocol.Run, protocol.NoProvider))
		w.crash(0)
		n := w.command(protocol.KindStop)
		w.net.Delay(protocol.HeartbeatPath, time.Second)
		w.start()
		w.acked(n)
		if w.engine.count("start") != 0 {
			t.Error("it started before it listened")
		}
	})
}

func TestANodeWithoutEncryptionStartsWithoutAControlPlane(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.start()
		w.acked(w.server.Command(w.nodeID, protocol.KindStart, protocol.Run, protocol.NoProvider))
		w.crash(0)
		w.net.Down(true)
		w.start()
		w.until("running", func() bool { return w.engine.Status().Phase == agent.Running })
	})
}

func TestAClockThatIsMinutesOffIsCorrected(t *testing.T) {
	for name, skew := range map[string]time.Duration{"ahead": 47 * time.Minute, "behind": -9 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				w.skew.Store(int64(skew))
				w.running()
				if refusedOnce := w.net.Requests(protocol.HeartbeatPath) - len(w.server.Reports(w.nodeID)); refusedOnce != 1 {
					t.Errorf("%d heartbeats were refused", refusedOnce)
				}
				w.skew.Store(int64(-skew)) // somebody sets the clock
				w.acked(w.command(protocol.KindStop))
			})
		})
	}
}

func TestEnrolmentSurvivesLostAnswersAndCrashes(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.net.LoseAnswers(protocol.EnrolPath, 2)
		for step := range 12 {
			w.disk.CrashAt(step)
			w.start()
			w.eventually(func() bool { return w.disk.Crashed() || len(w.server.Reports(w.nodeID)) > 0 })
			w.crash(step % 3)
		}
		w.running()
	})
}

func TestARefusedTokenEndsTheAgent(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		good := w.token
		for token, want := range map[string]error{"": agent.ErrNotEnrolled, "x": agent.ErrEnrolmentRefused} {
			w.token = token
			w.start()
			if err := <-w.done; !errors.Is(err, want) {
				t.Errorf("token %q: Run = %v", token, err)
			}
		}
		w.cancel, w.token = nil, good
		time.Sleep(protocol.EnrolTokenLife)
		w.start()
		if err := <-w.done; !errors.Is(err, agent.ErrEnrolmentRefused) {
			t.Errorf("a token that has expired: Run = %v", err)
		}
		w.cancel = nil
	})
}

func TestNoKeyIsInTheLogOrOnTheAgentsDisk(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.running()
		w.acked(w.command(protocol.KindRotate))
		for id, copies := range w.server.Ledger(w.nodeID) {
			secret, err := w.server.Open(t.Context(), w.nodeID, copies[0])
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range w.disk.Names() {
				content, err := w.disk.ReadFile(name)
				if err != nil || strings.Contains(string(content), string(secret)) || containsEncoded(string(content), secret) {
					t.Errorf("%s holds key %s (%v)", name, id, err)
				}
			}
			if containsEncoded(w.log.String(), secret) || strings.Contains(w.log.String(), w.token) {
				t.Errorf("the log holds key %s or the token", id)
			}
		}
	})
}
