package keyuse_test

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/bench/clouds"
	"latchkey/bench/tenancy"
	"latchkey/shared/atlas"
	"latchkey/shared/store/storetest"
	"latchkey/shared/suite"
	"latchkey/shared/verdict"
)

// leastApart is how long a session, which lasts an hour, is used at least.
const leastApart = 50 * time.Minute

func TestACheckEveryMinuteIsOneCallAndSignsInOnceInFiftyMinutes(t *testing.T) {
	for _, p := range atlas.Providers() {
		t.Run(string(p), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { checkForHours(t, p) })
		})
	}
}

func checkForHours(t *testing.T, p atlas.Provider) {
	t.Helper()
	c := clouds.New(time.Now)
	table := &tenancy.Table{Table: storetest.NewMemory()}
	e := tenancy.Estate{Table: table, Now: time.Now, Regions: []atlas.AWSRegion{"us-east-1"}}
	ring, err := tenancy.Keyring(t.Context(), c, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	settings, err := e.SettingsAt(t.Context(), p, 0, ring)
	if err != nil {
		t.Fatal(err)
	}
	service := suite.Encryption(suite.EncryptionDeps{Table: table, Keys: ring, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	var signedIn time.Time
	for range 12 * 60 {
		time.Sleep(time.Minute)
		decrypts, signIns := c.Count(clouds.Decrypt), c.Count(clouds.SignIn)
		if v := service.Check(t.Context(), settings, p); v.Class() != verdict.Valid {
			t.Fatalf("%+v", v)
		}
		if n := c.Count(clouds.Decrypt) - decrypts; n != 1 {
			t.Fatalf("a check made %d calls", n)
		}
		switch n := c.Count(clouds.SignIn) - signIns; {
		case n == 0:
			continue
		case n > 1 || time.Since(signedIn) < leastApart:
			t.Errorf("signed in %d times, %v after the last time", n, time.Since(signedIn))
		}
		signedIn = time.Now()
	}
	if c.Count(clouds.Refused) > 0 || table.Reads()+table.Queries()+table.Writes() > 0 {
		t.Errorf("%d requests were refused; %d reads, %d queries and %d writes", c.Count(clouds.Refused), table.Reads(), table.Queries(), table.Writes())
	}
}
