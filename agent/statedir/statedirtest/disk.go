// Package statedirtest is a disk that behaves as badly as disks do: it crashes between any two
// steps, tears what was being written, forgets what was not synced, and fills up.
//
// Its one invariant: what was synced before a crash is there after it. Tests of the agent and
// the simulation import it.
package statedirtest

import (
	"errors"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"syscall"
)

// ErrCrashed is returned by everything between a crash and Reboot.
var ErrCrashed = errors.New("statedirtest: the machine has crashed")

// Disk implements statedir.Files. The zero value is an empty disk. It is safe for concurrent use.
type Disk struct {
	mu      sync.Mutex
	view    map[string][]byte // what a running process sees
	durable map[string][]byte // what is there after a crash, at least
	pending []change          // changes of the directory that are not synced, in order
	steps   int
	crashAt int // the step that crashes, 0 for none
	crashed bool
	full    bool
}

type change func(files map[string][]byte)

// CrashAt makes the n-th of the coming steps crash instead of succeeding; 0 makes none.
func (d *Disk) CrashAt(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.steps, d.crashAt = 0, n
}

// Steps is how many steps were taken since CrashAt.
func (d *Disk) Steps() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.steps
}

// Crashed reports whether the disk waits for Reboot.
func (d *Disk) Crashed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.crashed
}

// Crash stops the machine now.
func (d *Disk) Crash() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.crashed = true
}

// Reboot brings the machine back. Of the changes that were not synced the first kept survive:
// a file system that keeps a journal loses them from the end.
func (d *Disk) Reboot(kept int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.init()
	for _, apply := range d.pending[:min(kept, len(d.pending))] {
		apply(d.durable)
	}
	d.view, d.pending = maps.Clone(d.durable), nil
	d.crashed, d.crashAt = false, 0
}

// Fill makes writing fail for want of space, or gives space back.
func (d *Disk) Fill(full bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.full = full
}

// Damage replaces a file behind the agent's back; nil removes it.
func (d *Disk) Damage(name string, content []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.init()
	for _, files := range []map[string][]byte{d.view, d.durable} {
		if files[name] = slices.Clone(content); content == nil {
			delete(files, name)
		}
	}
}

// Names lists the files.
func (d *Disk) Names() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(maps.Keys(d.view))
}

func (d *Disk) init() {
	if d.view == nil {
		d.view, d.durable = map[string][]byte{}, map[string][]byte{}
	}
}

// step counts one step and reports whether it crashes.
func (d *Disk) step() error {
	d.init()
	if d.crashed {
		return ErrCrashed
	}
	d.steps++
	if d.steps == d.crashAt {
		d.crashed = true
		return ErrCrashed
	}
	return nil
}

func (d *Disk) change(apply change) {
	apply(d.view)
	d.pending = append(d.pending, apply)
}

// ReadFile implements statedir.Files.
func (d *Disk) ReadFile(name string) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.init()
	if d.crashed {
		return nil, ErrCrashed
	}
	content, ok := d.view[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return slices.Clone(content), nil
}

// WriteSynced implements statedir.Files. A crash leaves half of the content.
func (d *Disk) WriteSynced(name string, content []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	err := d.step()
	switch {
	case err == nil && d.full:
		err, content = syscall.ENOSPC, content[:len(content)/2]
	case err != nil && d.steps == d.crashAt:
		content = content[:len(content)/2]
	case err != nil:
		return err
	}
	content = slices.Clone(content)
	d.change(func(files map[string][]byte) { files[name] = content })
	return err
}

// Rename implements statedir.Files.
func (d *Disk) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(); err != nil {
		return err
	}
	if _, ok := d.view[from]; !ok {
		return fs.ErrNotExist
	}
	d.change(func(files map[string][]byte) {
		files[to] = files[from]
		delete(files, from)
	})
	return nil
}

// Remove implements statedir.Files.
func (d *Disk) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(); err != nil {
		return err
	}
	if _, ok := d.view[name]; !ok {
		return fs.ErrNotExist
	}
	d.change(func(files map[string][]byte) { delete(files, name) })
	return nil
}

// Sync implements statedir.Files.
func (d *Disk) Sync() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(); err != nil {
		return err
	}
	d.durable, d.pending = maps.Clone(d.view), nil
	return nil
}

// AfterCrash is the disk as it would be after a crash now and Reboot(kept).
func (d *Disk) AfterCrash(kept int) *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.init()
	left := maps.Clone(d.durable)
	for _, apply := range d.pending[:min(kept, len(d.pending))] {
		apply(left)
	}
	return &Disk{view: left, durable: maps.Clone(left)}
}
