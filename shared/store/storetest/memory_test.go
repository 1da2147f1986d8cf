package storetest_test

import (
	"errors"
	"testing"

	"latchkey/shared/store"
	"latchkey/shared/store/storetest"
)

func TestMemory(t *testing.T) {
	storetest.Run(t, func(*testing.T) store.Table { return storetest.NewMemory() })
}

func TestMemory_DoesNotSeeWhatIsDoneToItsCopies(t *testing.T) {
	m := storetest.NewMemory()
	item := store.Item{Key: store.Key{PK: "P", SK: "S"}, Body: []byte(`1`)}
	if err := m.Copy().Write(t.Context(), store.Put(item)); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Get(t.Context(), item.Key); !errors.Is(err, store.ErrNotFound) || len(m.Items()) != 0 {
		t.Errorf("the original holds it: %v", err)
	}
}
