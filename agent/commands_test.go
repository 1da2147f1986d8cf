package agent_test

import (
	"bytes"
	"context"
	"io"
	"testing"
	"time"

	"latchkey/agent"
	"latchkey/agent/memengine"
	"latchkey/shared/node/protocol"
)

func TestARotationMovesTheDataToANewKey(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.running()
		w.put("a")
		before := w.server.Last(w.nodeID).KeyID
		ack := w.acked(w.command(protocol.KindRotate))
		if ack.Outcome != protocol.Done || ack.KeyID == before || ack.Wrapped.CMK != "cmk-0" || ack.Wrapped.Blob != nil {
			t.Errorf("acknowledged %+v", ack)
		}
		if _, old := w.kept()[before]; old || w.server.Last(w.nodeID).NextKeyID != "" {
			t.Error("the old key is still kept")
		}
		if w.engine.count("stop") != 0 {
			t.Error("the node was stopped")
		}
		w.restart()
		w.until("running", func() bool { return w.engine.Status().Phase == agent.Running })
		if !w.has("a") {
			t.Error("the data is gone")
		}
	})
}

func TestAFailedRotationIsFinishedWithTheSameKey(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.running()
		w.engine.breaks(map[string]error{"rotate": errBroken})
		n := w.command(protocol.KindRotate)
		w.until("failure", func() bool { return w.engine.count("rotate") == 1 })
		if len(w.kept()) != 2 {
			t.Error("a key was forgotten while the data may be under either")
		}
		w.acked(n)
		if len(w.server.Ledger(w.nodeID)) != 2 || len(w.kept()) != 1 {
			t.Error("another key was made")
		}
	})
}

func TestRewrappingReplacesTheWrappedCopyAndLeavesTheNodeAlone(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.running()
		w.server.SwitchCMK()
		ack := w.acked(w.command(protocol.KindRewrap))
		kept := w.kept()[ack.KeyID]
		if ack.Outcome != protocol.Done || ack.Wrapped.CMK != "cmk-1" || kept.CMK != "cmk-1" {
			t.Errorf("acknowledged %+v, kept %+v", ack, kept)
		}
		if w.engine.count("stop") != 0 || w.engine.count("start") != 1 {
			t.Error("the node was restarted")
		}
		w.restart()
		w.reported(protocol.StateRunning)
	})
}

func TestAStoppedNodeIsRewrapped(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.running()
		w.acked(w.command(protocol.KindStop))
		w.server.SwitchCMK()
		ack := w.acked(w.server.Command(w.nodeID, protocol.KindRewrap, protocol.Stop, "AWS"))
		if ack.Wrapped.CMK != "cmk-1" || w.engine.Status().Phase != agent.Stopped {
			t.Errorf("acknowledged %+v, engine %+v", ack, w.engine.Status())
		}
	})
}

func TestAWrongWrappedCopyNeverReplacesTheRightOne(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.running()
		before := w.kept()
		w.server.SwitchCMK()
		w.server.Confuse(true)
		w.command(protocol.KindRewrap)
		w.until("refusal", func() bool { return w.server.Last(w.nodeID).Reason == protocol.ReasonKeyMismatch })
		for id := range before {
			if w.kept()[id].CMK != "cmk-0" {
				t.Error("the wrong copy is on the disk")
			}
		}
		if w.server.Last(w.nodeID).State != protocol.StateRunning {
			t.Error("the node stopped")
		}
		w.server.Confuse(false)
		w.acked(w.server.Command(w.nodeID, protocol.KindRewrap, protocol.Run, "AWS"))
	})
}

func TestAResyncTurnsEncryptionOnAndOff(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		peer := memengine.New(memengine.Config{Disk: &memengine.Disk{}, Now: time.Now})
		if err := peer.Start(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if err := peer.Put(t.Context(), "db", "a", []byte("value of a")); err != nil {
			t.Fatal(err)
		}
		w.source = func(ctx context.Context) (io.ReadCloser, error) {
			var stream bytes.Buffer
			err := peer.Export(ctx, &stream)
			return io.NopCloser(&stream), err
		}
		w.start()
		w.acked(w.server.Command(w.nodeID, protocol.KindStart, protocol.Run, protocol.NoProvider))
		for i, provider := range []string{"AWS", protocol.NoProvider, "AWS"} {
			w.put("only here")
			ack := w.acked(w.server.Command(w.nodeID, protocol.KindResync, protocol.Run, provider))
			encrypted := provider != protocol.NoProvider
			if ack.Outcome != protocol.Done || (ack.KeyID != "") != encrypted || w.engine.count("wipe") != i+1 {
				t.Errorf("%s: acknowledged %+v", provider, ack)
			}
			if !w.has("a") || w.has("only here") {
				t.Errorf("%s: the data is not the other node's", provider)
			}
			if bytes.Contains(w.data.Bytes(), []byte("value of a")) == encrypted {
				t.Errorf("%s: the data is encrypted: %t", provider, !encrypted)
			}
		}
	})
}

func TestADeletedNodeLosesDataAndKeysAndEnds(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.running()
		w.put("a")
		n := w.command(protocol.KindDelete)
		w.net.LoseAnswers(protocol.AckPath, 3)
		if err := <-w.done; err != nil {
			t.Errorf("Run = %v", err)
		}
		w.cancel = nil
		if ack := w.acked(n); ack.Outcome != protocol.Done || len(w.kept()) != 0 || len(w.data.Bytes()) != 0 {
			t.Errorf("acknowledged %+v, kept %v", ack, w.kept())
		}
		w.start() // its service manager tries again
		if err := <-w.done; err != nil || w.engine.count("start") != 0 {
			t.Errorf("Run = %v, %d starts", err, w.engine.count("start"))
		}
		w.cancel = nil
	})
}

func TestWhatCannotBeDoneIsAcknowledgedAsFailed(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.start()
		w.acked(w.server.Command(w.nodeID, protocol.KindStart, protocol.Run, protocol.NoProvider))
		for _, kind := range []protocol.Kind{protocol.KindRotate, protocol.KindRewrap} {
			if ack := w.acked(w.command(kind)); ack.Outcome != protocol.Failed || ack.Reason != protocol.ReasonNotEncrypted {
				t.Errorf("%s: acknowledged %+v", kind, ack)
			}
		}
		w.acked(w.command(protocol.KindResync))
		if ack := w.acked(w.server.Command(w.nodeID, protocol.KindRotate, protocol.Stop, "AWS")); ack.Reason != protocol.ReasonNotRunning {
			t.Errorf("acknowledged %+v", ack)
		}
		w.acked(w.command(protocol.KindStart))
		w.engine.breaks(map[string]error{"rotate": agent.ErrUnsupported, "wipe": agent.ErrUnsupported})
		for _, kind := range []protocol.Kind{protocol.KindRotate, protocol.KindResync} {
			if ack := w.acked(w.command(kind)); ack.Outcome != protocol.Failed || ack.Reason != protocol.ReasonUnsupported {
				t.Errorf("%s: acknowledged %+v", kind, ack)
			}
			if w.reported(protocol.StateRunning); len(w.kept()) != 1 {
				t.Errorf("%s: kept %v", kind, w.kept())
			}
		}
	})
}

func TestCommandsThatComeTwiceOrLateAreCarriedOutOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.net.Duplicate(true)
		w.running()
		for range 3 {
			w.acked(w.command(protocol.KindRotate))
		}
		w.acked(w.command(protocol.KindStop))
		w.acked(w.command(protocol.KindStart))
		w.net.Replay(40) // every answer from the beginning, in place of the true ones
		time.Sleep(time.Hour)
		if w.engine.count("rotate") != 3 || w.engine.count("start") != 2 || w.engine.count("stop") != 1 {
			t.Errorf("calls %v", w.engine.counts())
		}
		if w.engine.Status().Phase != agent.Running {
			t.Error("an old command stopped the node")
		}
	})
}

func TestACommandIsNotCarriedOutAgainWhenItsAcknowledgementWasLost(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.running()
		w.net.LoseAnswers(protocol.AckPath, 1000)
		n := w.command(protocol.KindRotate)
		w.acked(n)
		w.crash(0)
		before := len(w.server.Acks(w.nodeID))
		w.start()
		time.Sleep(time.Hour)
		if len(w.server.Acks(w.nodeID)) == before {
			t.Error("it was not acknowledged again")
		}
		w.net.LoseAnswers(protocol.AckPath, 0)
		time.Sleep(time.Hour)
		if w.engine.count("rotate") != 0 {
			t.Error("it was carried out again")
		}
		acks := len(w.server.Acks(w.nodeID))
		time.Sleep(time.Hour)
		if len(w.server.Acks(w.nodeID)) != acks {
			t.Error("it is acknowledged for ever")
		}
	})
}

func TestANewerCommandCallsOffWaitingForTheKMS(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.net.Delay(protocol.WrapPath, 25*time.Second) // a KMS that hangs
		w.start()
		w.command(protocol.KindStart)
		w.until("asking", func() bool { return w.net.Requests(protocol.WrapPath) > 0 })
		at := time.Now()
		w.acked(w.command(protocol.KindStop))
		if waited := time.Since(at); waited > 10*time.Second || w.engine.count("start") != 0 {
			t.Errorf("stopped after %v, %d starts", waited, w.engine.count("start"))
		}
	})
}

func TestDataThatIsHalfRemovedIsNeverOpened(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.running()
		old := w.server.Last(w.nodeID).KeyID
		w.engine.breaks(map[string]error{"wipe": errBroken})
		w.command(protocol.KindResync)
		w.until("failure", func() bool { return w.engine.count("wipe") == 1 })
		w.restart()
		w.acked(w.command(protocol.KindStart)) // takes the place of RESYNC
		if w.engine.count("wipe") != 1 || w.engine.count("start") != 1 || w.agent.Report().KeyID == old {
			t.Errorf("calls %v, report %+v", w.engine.counts(), w.agent.Report())
		}
	})
}

func TestAnEngineThatDiesIsStartedAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.running()
		w.put("a")
		w.engine.Fail("signal: killed")
		w.until("second start", func() bool { return w.engine.count("start") == 2 })
		w.engine.breaks(map[string]error{"start": errBroken})
		w.engine.Fail("signal: killed")
		w.until("failure", func() bool { return w.server.Last(w.nodeID).Reason == protocol.ReasonEngine })
		w.until("recovery", func() bool { r := w.server.Last(w.nodeID); return r.State == protocol.StateRunning && r.Reason == "" })
		if !w.has("a") {
			t.Error("the data is gone")
		}
	})
}

func TestAnUnknownCommandLeavesTheNodeAsItIs(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.running()
		w.server.Command(w.nodeID, "DEFRAGMENT", protocol.Stop, "AWS")
		time.Sleep(time.Hour)
		if w.engine.Status().Phase != agent.Running || len(w.server.Acks(w.nodeID)) != 1 {
			t.Error("the agent guessed")
		}
	})
}
