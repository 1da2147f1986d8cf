package sim

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// mishap is a way for a step to go wrong.
type mishap int

// The mishaps.
const (
	none         mishap = iota
	late                // others overtake it
	killedBefore        // its process ends, and it has no effect
	killedAfter         // it has its effect, and its process ends
	refused             // it has no effect, and its process is told
	lost                // it has its effect, and its process is told that it failed
	repeated            // it happens twice
	silent              // nobody answers it, for as long as the process cares to wait
	contended           // it has no effect, since others write the same all the time
)

var mishaps = [...]string{"ok", "late", "killed before", "killed after", "refused", "answer lost", "twice", "no answer", "conflict"}

// String names the mishap.
func (m mishap) String() string { return mishaps[m] }

// fault is what befalls a step.
type fault struct {
	kind  mishap
	delay time.Duration // of late
	draw  uint64        // for whoever has to choose further
}

// errInjected is what a step fails with that was refused, or whose answer was lost.
var errInjected = errors.New("sim: injected fault")

// possible are the mishaps that the steps of each kind can meet in the world that is simulated.
var possible = map[kind][]mishap{
	reading:    {late, killedBefore, refused},
	writing:    {late, killedBefore, killedAfter, refused, lost, contended},
	journaling: {killedBefore, killedAfter},
	invoking:   {late, refused, lost, repeated},
	calling:    {late, killedBefore, killedAfter, refused, lost, silent},
	asking:     {late, refused, lost, repeated},
	reporting:  {late, killedBefore, killedAfter, refused, lost, repeated},
	storing:    {killedBefore, killedAfter, refused},
	engine:     {killedBefore, killedAfter, refused},
}

// weights are how much likelier than others the steps of a kind are to meet a mishap: without them nearly all
// would befall what happens most, reads and heartbeats.
var weights = map[kind]float64{
	reading: 0.3, writing: 6, journaling: 3, invoking: 0.5, calling: 3, asking: 4, reporting: 0.5, storing: 2, engine: 5, answering: 1,
}

// faults decides what goes wrong, and counts it.
type faults struct {
	rng *rand.Rand
	// rate is the chance of each step to meet a mishap; 0 in a calm world.
	rate float64
	// full are the disks without room, by their agents' names.
	full map[string]bool
	// closed is that the world has ended: nothing has an effect any more.
	closed bool
	// count is how many of each kind there were.
	count map[string]int
}

func newFaults(rng *rand.Rand) *faults {
	return &faults{rng: rng, full: map[string]bool{}, count: map[string]int{}}
}

// befalls draws what happens to a step.
func (f *faults) befalls(s *step) fault {
	if s.kind == storing && f.full[s.who.name] && strings.HasPrefix(s.what, "write") {
		f.note(s.kind, "full disk")
		return fault{kind: refused}
	}
	if f.rate == 0 || s.who == nobody || f.rng.Float64() >= f.rate*weights[s.kind] {
		return fault{}
	}
	all := possible[s.kind]
	if len(all) == 0 {
		return fault{}
	}
	m := fault{kind: all[f.rng.IntN(len(all))], draw: f.rng.Uint64()}
	if s.who.lasting && (m.kind == killedBefore || m.kind == killedAfter) {
		return fault{}
	}
	if m.kind == late {
		// Mostly a little; sometimes so long that whoever waits gives up.
		m.delay = time.Duration(f.rng.ExpFloat64() * float64(time.Second))
	}
	f.note(s.kind, m.kind.String())
	return m
}

func (f *faults) note(k kind, what string) { f.count[k.String()+": "+what]++ }

// Kinds are the names of all that can befall a world, as a Report counts it.
func Kinds() []string {
	all := []string{storing.String() + ": full disk"}
	for k, mishaps := range possible {
		for _, m := range mishaps {
			all = append(all, k.String()+": "+m.String())
		}
	}
	for _, h := range happenings {
		for _, what := range h.kinds {
			all = append(all, "incident: "+what)
		}
	}
	for _, of := range outagesOf {
		all = append(all, "outage: "+of)
	}
	for _, what := range thefts {
		all = append(all, "thief: "+what)
	}
	slices.Sort(all)
	return all
}
