package memengine_test

import (
	"bytes"
	"strconv"
	"sync"
	"testing"
	"time"

	"latchkey/agent"
	"latchkey/agent/enginetest"
	"latchkey/agent/memengine"
)

func at() time.Time { return time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC) }

func harness() enginetest.Harness {
	var mu sync.Mutex
	disks := map[string]*memengine.Disk{}
	return enginetest.Harness{
		Place: func(*testing.T) string {
			mu.Lock()
			defer mu.Unlock()
			name := strconv.Itoa(len(disks))
			disks[name] = &memengine.Disk{}
			return name
		},
		Open: func(_ *testing.T, place string, source enginetest.Source) agent.Engine {
			mu.Lock()
			defer mu.Unlock()
			return memengine.New(memengine.Config{Disk: disks[place], Source: memengine.Source(source), Now: at})
		},
	}
}

func TestEngine(t *testing.T) { enginetest.Run(t, harness()) }

func TestEngine_asAStore(t *testing.T) { enginetest.RunStore(t, harness()) }

func TestTheDiskHoldsNothingInTheClear(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]*agent.MasterKey{"encrypted": enginetest.Key(1), "not encrypted": nil} {
		disk := &memengine.Disk{}
		e := memengine.New(memengine.Config{Disk: disk, Now: at})
		if err := e.Start(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		if err := e.Put(t.Context(), "db", "k", []byte(enginetest.Canary)); err != nil {
			t.Fatal(err)
		}
		if got := bytes.Contains(disk.Bytes(), []byte(enginetest.Canary)); got != (key == nil) {
			t.Errorf("%s: the canary is on the disk: %t", name, got)
		}
	}
}

func TestAnEngineThatFailsIsNotRunning(t *testing.T) {
	t.Parallel()
	e := memengine.New(memengine.Config{Disk: &memengine.Disk{}, Now: at})
	if err := e.Start(t.Context(), enginetest.Key(1)); err != nil {
		t.Fatal(err)
	}
	e.Fail("out of memory")
	if s := e.Status(); s.Phase != agent.Failed || s.Detail != "out of memory" {
		t.Errorf("status %+v", s)
	}
	if err := e.Put(t.Context(), "db", "k", nil); err == nil {
		t.Error("Put worked")
	}
}
