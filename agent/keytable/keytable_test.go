package keytable_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/agent"
	"latchkey/agent/enginetest"
	"latchkey/agent/keytable"
)

func table(t *testing.T, key *agent.MasterKey, databases ...string) keytable.Table {
	t.Helper()
	tab, err := keytable.New(key)
	for _, name := range databases {
		if err == nil {
			tab, err = tab.With(name, key)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

func TestARotationKeepsTheDatabaseKeys(t *testing.T) {
	t.Parallel()
	before := table(t, enginetest.Key(1), "a", "b")
	after, err := before.Rotated(enginetest.Key(1), enginetest.Key(2))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b"} {
		old, oldErr := before.Key(name, enginetest.Key(1))
		now, nowErr := after.Key(name, enginetest.Key(2))
		if diff := cmp.Diff(old, now); diff != "" || oldErr != nil || nowErr != nil {
			t.Errorf("%s: %v %v %s", name, oldErr, nowErr, diff)
		}
	}
	if err := after.Opens(enginetest.Key(1)); !errors.Is(err, agent.ErrWrongKey) {
		t.Errorf("the old key opens it: %v", err)
	}
}

func TestAnEntryIsGoodForItsOwnNameAndMasterKeyOnly(t *testing.T) {
	t.Parallel()
	tab := table(t, enginetest.Key(1), "a", "b")
	tab.Databases["b"] = tab.Databases["a"]
	if _, err := tab.Key("b", enginetest.Key(1)); !errors.Is(err, keytable.ErrDamaged) {
		t.Errorf("another database's entry opens: %v", err)
	}
	tab.Databases["check"] = keytable.Entry{Wrapped: tab.Check}
	if _, err := tab.Key("check", enginetest.Key(1)); !errors.Is(err, keytable.ErrDamaged) {
		t.Errorf("the check value passes for a key: %v", err)
	}
	if _, err := tab.Key("a", enginetest.Key(2)); !errors.Is(err, keytable.ErrDamaged) {
		t.Errorf("another master key opens it: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"format":1,"databases":{"a":{"id":"x","wrapped":"AA=="}}}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		tab, err := keytable.Parse(content)
		if err != nil {
			return
		}
		for name := range tab.Databases {
			if _, err := tab.Key(name, enginetest.Key(1)); err == nil {
				t.Errorf("%q opens", content)
			}
		}
	})
}
