package main

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/local/pocket"
	"latchkey/shared/identity"
	"latchkey/shared/notification"
	"latchkey/shared/store"
	"latchkey/shared/store/bolt"
)

// An e-mail goes when its time has come, 30 days after it was written, and nobody hears of that.
func TestWhatIsOverIsRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig(t)
		cfg.now, cfg.noFleet = time.Now, true
		if err := os.MkdirAll(cfg.data, 0o700); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		s, err := open(t.Context(), cfg, addresses{}, slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn})))
		if err != nil {
			t.Fatal(err)
		}
		var stops []func()
		for _, act := range s.background {
			stops = append(stops, inBackground(t.Context(), act))
		}
		r := &running{t: t, owner: s.owner, clouds: pocket.Transport(s.clouds)}
		mail := notification.Mail{
			ID: "1", GroupID: s.owner.GroupID, OrgID: s.owner.OrgID, Kind: notification.KeyLost, To: []identity.Role{identity.GroupOwner},
			Subject: "Lost", Text: "It is.", Created: time.Now().Add(30*time.Minute - 30*24*time.Hour),
		}
		put, err := mail.Put()
		r.must(err)
		r.must(s.table.Write(t.Context(), put))
		there := func() bool {
			_, err := s.table.Get(t.Context(), mail.Key())
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				t.Fatal(err)
			}
			return err == nil
		}
		time.Sleep(29 * time.Minute)
		if !there() {
			t.Error("the e-mail is gone before its time")
		}
		time.Sleep(3 * time.Minute)
		if there() {
			t.Error("the e-mail is still there")
		}
		if got := len(r.mailbox("")); got != 1 {
			t.Errorf("%d e-mails were sent", got)
		}
		if n, err := s.table.(*bolt.Table).Expire(t.Context(), time.Now()); n != 0 || err != nil {
			t.Errorf("%d items have expired and are there, %v", n, err)
		}
		for _, stop := range stops {
			stop()
		}
		r.must(s.close())
		if log.Len() > 0 {
			t.Errorf("it is complained of:\n%s", log.String())
		}
	})
}
