package storetest_test

import (
	"errors"
	"testing"

	"latchkey/shared/store"
	"latchkey/shared/store/storetest"
)

func TestFaulty_loses_writes_and_answers(t *testing.T) {
	for name, c := range map[string]struct {
		fault            storetest.Fault
		isStored, failed bool
	}{"sound": {storetest.Sound, true, false}, "lost": {storetest.Lost, false, true}, "silent": {storetest.Silent, true, true}} {
		t.Run(name, func(t *testing.T) {
			seen := 0
			table := &storetest.Faulty{Table: storetest.NewMemory(), Fault: storetest.From(2, 1, c.fault), Before: func([]store.Op) { seen++ }}
			key := func(sk string) store.Key { return store.Key{PK: "p", SK: sk} }
			for _, sk := range []string{"1", "2", "3"} {
				err := table.Write(t.Context(), store.Put(store.Item{Key: key(sk), Body: []byte(`{}`)}))
				if failed := sk == "2" && c.failed; errors.Is(err, storetest.ErrFault) != failed || !failed && err != nil {
					t.Errorf("write %s: %v", sk, err)
				}
				isStored := sk != "2" || c.isStored
				if _, err := table.Get(t.Context(), key(sk)); (err == nil) != isStored {
					t.Errorf("after write %s: %v", sk, err)
				}
			}
			if table.Writes() != 3 || seen != 3 {
				t.Errorf("%d writes, %d seen", table.Writes(), seen)
			}
		})
	}
}
