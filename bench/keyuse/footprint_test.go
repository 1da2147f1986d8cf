package keyuse_test

import (
	"log/slog"
	"runtime"
	"testing"
	"time"

	"latchkey/bench/clouds"
	"latchkey/bench/tenancy"
	"latchkey/shared/atlas"
	"latchkey/shared/encryption"
	"latchkey/shared/store/storetest"
	"latchkey/shared/suite"
	"latchkey/shared/verdict"
)

// A hundred thousand sessions are what the schedule's memory consists of.
func TestASessionIsHeldAsLittleMoreThanItsBytes(t *testing.T) {
	const roles = 4000
	c := clouds.New(time.Now)
	table := &tenancy.Table{Table: storetest.NewMemory()}
	e := tenancy.Estate{Table: table, Now: time.Now, Regions: []atlas.AWSRegion{"us-east-1"}}
	ring, err := tenancy.Keyring(t.Context(), c, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	service := func() *encryption.Service {
		return suite.Encryption(suite.EncryptionDeps{Table: table, Keys: ring, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	}
	check := func(from, to int) {
		once := service() // what it remembers of checks goes with it
		for group := from; group < to; group++ {
			settings, err := e.SettingsAt(t.Context(), atlas.AWS, group, ring)
			if err != nil {
				t.Fatal(err)
			}
			if v := once.Check(t.Context(), settings, atlas.AWS); v.Class() != verdict.Valid {
				t.Fatalf("%+v", v)
			}
		}
	}
	check(0, 10) // makes what is there once
	before := live()
	check(10, 10+roles)
	each := float64(live()-before) / roles
	runtime.KeepAlive(ring)
	token, _ := c.Token()
	t.Logf("%.0f bytes for a role, with a token of %d", each, len(token))
	if limit := 1.5 * float64(len(token)); each > limit {
		t.Errorf("a role takes %.0f bytes, more than %.0f", each, limit)
	}
}

// live is how much of the heap is in use.
func live() uint64 {
	runtime.GC()
	runtime.GC() // pools are emptied by the second one
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
