package enginetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"latchkey/agent"
)

// Canary is a value that the tests write. It must not be found in an encrypted engine's files.
const Canary = "canary-7d1f0c55-in-the-clear"

// RunStore tests what engines that hold data must do, besides Run.
func RunStore(t *testing.T, h Harness) {
	t.Helper()
	t.Run("data is there after a restart", h.restart)
	t.Run("data opens with its own key only", h.wrongKey)
	t.Run("rotation changes the key and keeps the data", h.rotation)
	t.Run("data that is not encrypted has no key to rotate", h.plainRotation)
	t.Run("wiping makes a new beginning", h.wipe)
	t.Run("a new node copies another's data", h.copies)
	t.Run("a copy that broke off begins anew", h.brokenCopy)
	t.Run("a stopped engine has no data", h.stopped)
	t.Run("a snapshot brings back the data of its moment", h.snapshotAndRestore)
	t.Run("restored data opens with the key of then", h.restoredKey)
	t.Run("a snapshot that broke off leaves the engine running", h.brokenSnapshot)
	t.Run("a restore that broke off opens as nothing else, and is repeated", h.brokenRestore)
	t.Run("it behaves as a map does, whatever happens to its keys", h.asMap)
}

// run opens an engine and starts it.
func (h Harness) run(t *testing.T, place string, key *agent.MasterKey, source Source) Store {
	t.Helper()
	e, ok := h.Open(t, place, source).(Store)
	if !ok {
		t.Fatal("the engine holds no data")
	}
	must(t, e.Start(t.Context(), key))
	want(t, e, agent.Running)
	return e
}

func get(t *testing.T, e Store, database, key string) string {
	t.Helper()
	value, found, err := e.Get(t.Context(), database, key)
	must(t, err)
	if !found {
		return "(none)"
	}
	return string(value)
}

func (h Harness) restart(t *testing.T) {
	place := h.Place(t)
	e := h.run(t, place, Key(1), nil)
	must(t, e.Put(t.Context(), "db", "k", []byte(Canary)))
	must(t, e.Put(t.Context(), "other", "k", []byte("2")))
	must(t, e.Stop(t.Context()))
	must(t, e.Start(t.Context(), Key(1)))
	if get(t, e, "db", "k") != Canary || get(t, e, "other", "k") != "2" || get(t, e, "db", "x") != "(none)" || get(t, e, "x", "k") != "(none)" {
		t.Error("data differs after a restart")
	}
	must(t, e.Stop(t.Context()))
	again := h.run(t, place, Key(1), nil)
	if get(t, again, "db", "k") != Canary {
		t.Error("data differs in a new process")
	}
	must(t, again.Stop(t.Context()))
}

func (h Harness) wrongKey(t *testing.T) {
	same := agent.NewMasterKey(Key(1).ID(), Key(2).Bytes())
	for name, c := range map[string]struct{ made, asked *agent.MasterKey }{
		"another key":                 {Key(1), Key(2)},
		"another key of the same id":  {Key(1), same},
		"no key for encrypted data":   {Key(1), nil},
		"a key for data without one":  {nil, Key(1)},
		"another, before there's any": {Key(3), Key(1)},
	} {
		e := h.run(t, h.Place(t), c.made, nil)
		if name != "another, before there's any" {
			must(t, e.Put(t.Context(), "db", "k", []byte("v")))
		}
		must(t, e.Stop(t.Context()))
		if err := e.Start(t.Context(), c.asked); !errors.Is(err, agent.ErrWrongKey) {
			t.Errorf("%s: Start = %v", name, err)
		}
		want(t, e, agent.Stopped)
		must(t, e.Start(t.Context(), c.made))
		must(t, e.Stop(t.Context()))
	}
}

func (h Harness) rotation(t *testing.T) {
	place := h.Place(t)
	e := h.run(t, place, Key(1), nil)
	must(t, e.Put(t.Context(), "db", "k", []byte(Canary)))
	for range 2 {
		next := Key(2)
		must(t, e.Rotate(t.Context(), next))
		next.Destroy()
	}
	must(t, e.Put(t.Context(), "later", "k", []byte("3")))
	if get(t, e, "db", "k") != Canary {
		t.Error("data differs after a rotation")
	}
	must(t, e.Stop(t.Context()))
	if err := e.Start(t.Context(), Key(1)); !errors.Is(err, agent.ErrWrongKey) {
		t.Errorf("the old key still opens it: %v", err)
	}
	must(t, e.Start(t.Context(), Key(2)))
	if get(t, e, "db", "k") != Canary || get(t, e, "later", "k") != "3" {
		t.Error("data differs under the new key")
	}
	must(t, e.Stop(t.Context()))
	if err := e.Rotate(t.Context(), Key(3)); err == nil {
		t.Error("a stopped engine was rotated")
	}
}

func (h Harness) plainRotation(t *testing.T) {
	e := h.run(t, h.Place(t), nil, nil)
	if err := e.Rotate(t.Context(), Key(2)); !errors.Is(err, agent.ErrUnsupported) {
		t.Errorf("Rotate = %v", err)
	}
	must(t, e.Stop(t.Context()))
	must(t, e.Start(t.Context(), nil))
	must(t, e.Stop(t.Context()))
}

func (h Harness) wipe(t *testing.T) {
	e := h.run(t, h.Place(t), Key(1), nil)
	must(t, e.Put(t.Context(), "db", "k", []byte("v")))
	if err := e.Wipe(t.Context()); err == nil {
		t.Fatal("a running engine was wiped")
	}
	must(t, e.Stop(t.Context()))
	for range 2 {
		must(t, e.Wipe(t.Context()))
	}
	must(t, e.Start(t.Context(), nil))
	if get(t, e, "db", "k") != "(none)" {
		t.Error("data survived Wipe")
	}
	must(t, e.Stop(t.Context()))
}

// export is a Source of an engine's data, with a change on the way.
func export(t *testing.T, e Store, change func([]byte) []byte) Source {
	t.Helper()
	return func(ctx context.Context) (io.ReadCloser, error) {
		var stream bytes.Buffer
		if err := e.Export(ctx, &stream); err != nil {
			return nil, err
		}
		return io.NopCloser(bytes.NewReader(change(stream.Bytes()))), nil
	}
}

func whole(b []byte) []byte { return b }

func (h Harness) copies(t *testing.T) {
	first := h.run(t, h.Place(t), nil, nil)
	for i := range 300 {
		must(t, first.Put(t.Context(), fmt.Sprint("db", i%3), fmt.Sprintf("k%03d", i), []byte(strconv.Itoa(i))))
	}
	place := h.Place(t)
	second := h.run(t, place, Key(1), export(t, first, whole))
	must(t, first.Put(t.Context(), "db0", "later", []byte("x")))
	must(t, second.Stop(t.Context()))
	must(t, second.Start(t.Context(), Key(1))) // does not copy again
	var got []string
	must(t, second.Scan(t.Context(), "db1", "k00", func(key string, value []byte) error {
		got = append(got, key+"="+string(value))
		return nil
	}))
	if diff := cmp.Diff([]string{"k001=1", "k004=4", "k007=7"}, got); diff != "" {
		t.Error(diff)
	}
	if get(t, second, "db0", "later") != "(none)" {
		t.Error("the data was copied a second time")
	}
	must(t, first.Stop(t.Context()))
	must(t, second.Stop(t.Context()))
}

func (h Harness) brokenCopy(t *testing.T) {
	first := h.run(t, h.Place(t), Key(1), nil)
	must(t, first.Put(t.Context(), "db", "stays", []byte("1")))
	must(t, first.Put(t.Context(), "db", "goes", []byte("1")))
	place := h.Place(t)
	cut := export(t, first, func(b []byte) []byte { return b[:len(b)-1] })
	second := h.Open(t, place, cut)
	if err := second.Start(t.Context(), Key(2)); err == nil {
		t.Fatal("a stream that was cut off passed for a whole one")
	}
	want(t, second, agent.Stopped)
	onlyOne := h.run(t, h.Place(t), nil, nil)
	must(t, onlyOne.Put(t.Context(), "db", "stays", []byte("2")))
	again := h.run(t, place, Key(2), export(t, onlyOne, whole))
	if get(t, again, "db", "stays") != "2" || get(t, again, "db", "goes") != "(none)" {
		t.Error("what the broken copy left is still there")
	}
	for _, e := range []Store{first, onlyOne, again} {
		must(t, e.Stop(t.Context()))
	}
}

func (h Harness) stopped(t *testing.T) {
	e := h.run(t, h.Place(t), Key(1), nil)
	must(t, e.Stop(t.Context()))
	if err := e.Put(t.Context(), "db", "k", nil); err == nil {
		t.Error("Put worked")
	}
	if _, _, err := e.Get(t.Context(), "db", "k"); err == nil {
		t.Error("Get worked")
	}
	if err := e.Export(t.Context(), io.Discard); err == nil {
		t.Error("Export worked")
	}
}

// asMap drives an engine and a map alike.
func (h Harness) asMap(t *testing.T) {
	databases := []string{"a", "b", "with/slash", "with\x00zero", ""}
	checks := 0
	rapid.Check(t, func(r *rapid.T) {
		if checks++; h.Checks > 0 && checks > h.Checks {
			return
		}
		place, model, key := h.Place(t), map[string]string{}, byte(1)
		e := h.run(t, place, Key(key), nil)
		r.Repeat(map[string]func(*rapid.T){
			"put": func(r *rapid.T) {
				database := rapid.SampledFrom(databases).Draw(r, "database")
				name, value := rapid.StringN(1, 3, -1).Draw(r, "key"), rapid.String().Draw(r, "value")
				must(t, e.Put(t.Context(), database, name, []byte(value)))
				model[database+"\xff"+name] = value
			},
			"restart": func(*rapid.T) {
				must(t, e.Stop(t.Context()))
				must(t, e.Start(t.Context(), Key(key)))
			},
			"rotate": func(*rapid.T) {
				key = key%200 + 1
				must(t, e.Rotate(t.Context(), Key(key)))
			},
			"": func(r *rapid.T) {
				got := map[string]string{}
				for _, database := range slices.Compact(slices.Clone(databases)) {
					must(t, e.Scan(t.Context(), database, "", func(name string, value []byte) error {
						got[database+"\xff"+name] = string(value)
						return nil
					}))
				}
				if diff := cmp.Diff(model, got); diff != "" {
					r.Fatal(diff)
				}
			},
		})
		must(t, e.Stop(t.Context()))
	})
}
