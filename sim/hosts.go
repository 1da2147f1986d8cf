package sim

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"latchkey/agent"
	"latchkey/agent/memengine"
	"latchkey/agent/statedir"
	"latchkey/agent/statedir/statedirtest"
	"latchkey/local/fleet"
)

// host is a machine with a node of a cluster: an agent, its disk, and a database with its own.
type host struct {
	fleet.Waiting

	world *World
	token string
	rng   *rand.Rand // of the jitter of its agent
	disk  *statedirtest.Disk
	data  *memengine.Disk
	skew  atomic.Int64 // of its clock, a time.Duration: agents look at it before they take a turn

	proc   *process
	engine *memengine.Engine
	stop   context.CancelFunc
	cut    bool // from the control plane
	// excusedUntil is until when something else than the suite kept the node from what it should do.
	excusedUntil time.Time
	gone         bool

	// overheard are its latest requests, by path.
	overheard map[string]overheard

	// has is what was written to the database and acknowledged.
	has map[string]string
}

// name is the same in each run.
func (h *host) name() string { return "agent " + h.ClusterID + "/" + h.NodeID }

// boot starts the machine over what is on its disks.
func (h *host) boot() {
	w := h.world
	h.proc = &process{name: h.name(), died: h.crashed}
	h.engine = memengine.New(memengine.Config{Disk: h.data, Source: h.source, Now: time.Now})
	files := &files{host: h, disk: h.disk, by: h.proc, conductor: w.conductor}
	client, err := agent.NewClient("https://nodes.latchkey.example", &wire{
		to: gate{w.nodes, h}, kind: reporting, conductor: w.conductor, by: h.proc, cut: func() bool { return h.cut || w.apart },
	}, h.now)
	if err != nil {
		w.fail(err)
		return
	}
	a := agent.New(agent.Config{
		Client: client, State: statedir.New(files), Engine: &database{h.engine, h, h.proc, w.conductor}, Snapshots: w.vault,
		EnrolToken: h.token, Addresses: []string{"10.0.0.1:27017"}, Version: "sim", Log: w.log, Now: h.now,
		Jitter: func(limit time.Duration) time.Duration { return time.Duration(h.rng.Int64N(int64(limit) + 1)) },
	})
	ctx, stop := context.WithCancel(within(w.ctx, h.proc))
	h.stop = stop
	proc := h.proc
	w.running.Go(func() {
		defer stop()
		err := a.Run(ctx)
		w.conductor.enter(within(w.ctx, proc), engine, "end") //nolint:errcheck // only its turn is wanted
		h.ended(ctx, proc, err)
	})
}

func (h *host) now() time.Time { return time.Now().Add(time.Duration(h.skew.Load())) }

// ended is what becomes of the machine when its agent returns.
func (h *host) ended(ctx context.Context, proc *process, err error) {
	switch {
	case proc.dead || ctx.Err() != nil:
	case err == nil, errors.Is(err, agent.ErrEnrolmentRefused), errors.Is(err, agent.ErrNotEnrolled):
		h.gone = true
		h.world.forget(h)
	default: // its service manager starts it again
		h.world.trace.say("%s ends: %v", h.name(), err)
		h.world.after(10*time.Second, h.name()+" restarts", h.reboot)
	}
}

func (h *host) reboot() {
	if !h.gone {
		h.boot()
	}
}

// crashed is a power cut at the agent's turn. Of what was not synced some survives.
func (h *host) crashed() {
	h.stop()
	h.engine.Fail("the machine is down")
	down := time.Duration(5+h.world.rng.IntN(300)) * time.Second
	h.world.after(down, h.name()+" boots", func() {
		h.disk.Reboot(h.world.rng.IntN(4))
		h.reboot()
	})
}

// source is where a node without data has it from: the first member of its set that has all of it.
func (h *host) source(ctx context.Context) (io.ReadCloser, error) {
	for _, other := range h.world.members(h.ClusterID, h.Shard) {
		if other == h || other.engine.Status().Phase != agent.Running {
			continue
		}
		var copied bytes.Buffer
		if err := other.engine.Export(ctx, &copied); err != nil {
			return nil, err
		}
		h.has = maps.Clone(other.has)
		return io.NopCloser(&copied), nil
	}
	if h.world.populated(h.ClusterID, h.Shard, h) {
		return nil, errors.New("sim: no member of the set runs that has the data")
	}
	h.has = map[string]string{}
	return nil, nil
}

// database is the engine as the agent reaches it, step by step.
type database struct {
	*memengine.Engine

	host      *host
	by        *process
	conductor *conductor
}

func (d *database) do(ctx context.Context, what string, act func() error) error {
	f, err := d.conductor.enter(within(ctx, d.by), engine, what)
	switch {
	case err != nil:
		return err
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case f.kind == refused:
		return errInjected
	}
	if err := act(); err != nil {
		return err
	}
	if f.kind == killedAfter {
		d.by.end()
		return errDead
	}
	return nil
}

// gets learns a master key.
func (d *database) gets(key *agent.MasterKey) {
	if key != nil {
		d.host.world.secrets.add("the master key of "+d.host.name(), slices.Clone(key.Bytes()))
	}
}

// Start implements agent.Engine.
func (d *database) Start(ctx context.Context, key *agent.MasterKey) error {
	d.gets(key)
	return d.do(ctx, "start", func() error { return d.Engine.Start(ctx, key) })
}

// Stop implements agent.Engine. A database that is told to stop stops.
func (d *database) Stop(ctx context.Context) error {
	if _, err := d.conductor.enter(within(ctx, d.by), engine, "stop"); err != nil {
		return err
	}
	d.host.world.checks.stops(d.host)
	return d.Engine.Stop(ctx)
}

// Rotate implements agent.Engine.
func (d *database) Rotate(ctx context.Context, next *agent.MasterKey) error {
	d.gets(next)
	return d.do(ctx, "rotate", func() error { return d.Engine.Rotate(ctx, next) })
}

// Wipe implements agent.Engine.
func (d *database) Wipe(ctx context.Context) error {
	return d.do(ctx, "wipe", func() error { return d.Engine.Wipe(ctx) })
}

// Snapshot implements agent.Engine.
func (d *database) Snapshot(ctx context.Context, sink agent.SnapshotSink) error {
	return d.do(ctx, "snapshot", func() error {
		if k, ok := sink.(savedSnapshot); ok {
			maps.Copy(k.has, d.host.has)
		}
		return d.Engine.Snapshot(ctx, sink)
	})
}

// Restore implements agent.Engine.
func (d *database) Restore(ctx context.Context, files agent.SnapshotFiles) error {
	return d.do(ctx, "restore", func() error {
		if err := d.Engine.Restore(ctx, files); err != nil {
			return err
		}
		if k, ok := files.(savedSnapshot); ok {
			d.host.has = maps.Clone(k.has)
		}
		return nil
	})
}

// files is an agent's state directory, step by step.
type files struct {
	host      *host
	disk      *statedirtest.Disk
	by        *process
	conductor *conductor
}

func (f *files) do(what string, act func() error) error {
	met, err := f.conductor.enter(within(context.Background(), f.by), storing, what)
	switch {
	case err != nil:
		return err
	case met.kind == refused:
		return syscall.ENOSPC
	}
	err = act()
	if met.kind == killedAfter {
		f.by.end()
		return errDead
	}
	return err
}

// ReadFile implements statedir.Files.
func (f *files) ReadFile(name string) ([]byte, error) {
	if f.by.dead {
		return nil, errDead
	}
	return f.disk.ReadFile(name)
}

// WriteSynced implements statedir.Files. What is refused for want of room, or cut off by a crash, is torn.
func (f *files) WriteSynced(name string, content []byte) error {
	met, err := f.conductor.enter(within(context.Background(), f.by), storing, "write "+name)
	f.host.world.identified(f.host, name, content)
	switch {
	case err != nil && met.draw%2 == 1:
		f.disk.CrashAt(1)
		f.disk.WriteSynced(name, content) //nolint:errcheck // it is torn
		return err
	case err != nil:
		return err
	case met.kind == refused:
		f.disk.Fill(true)
		defer f.disk.Fill(false)
	}
	err = f.disk.WriteSynced(name, content)
	if met.kind == killedAfter {
		f.by.end()
		return errDead
	}
	return err
}

// Rename implements statedir.Files.
func (f *files) Rename(from, to string) error {
	return f.do("rename "+from+" "+to, func() error { return f.disk.Rename(from, to) })
}

// Remove implements statedir.Files.
func (f *files) Remove(name string) error {
	return f.do("remove "+name, func() error { return f.disk.Remove(name) })
}

// Sync implements statedir.Files.
func (f *files) Sync() error { return f.do("sync", f.disk.Sync) }
