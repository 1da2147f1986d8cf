package sim

import (
	"slices"
	"time"

	"latchkey/local/pocket"
)

// incident is something that befalls a part of the world for a while, beside the mishaps of single steps.
type incident struct {
	what  string
	until time.Time
	end   func()
}

// incidentsEvery is how many minutes pass between two incidents, on average.
const incidentsEvery = 9

// weather begins and ends what befalls the world.
func (w *World) weather() {
	w.endIncidents(false)
	if w.cfg.Rate == 0 {
		return
	}
	if w.rng.IntN(30) == 0 || !w.weathered { // most worlds are short
		w.weathered, w.faults.rate = true, 0
		if w.rng.IntN(2) == 0 {
			w.faults.rate = w.cfg.Rate * w.rng.ExpFloat64()
		}
		w.trace.say("the chance of mishaps is %.4f", w.faults.rate)
	}
	if w.rng.IntN(incidentsEvery) == 0 {
		w.befall()
	}
}

func (w *World) endIncidents(all bool) {
	var last []*incident
	for _, i := range w.incidents {
		if !all && time.Now().Before(i.until) {
			last = append(last, i)
			continue
		}
		w.trace.say("it ends: %s", i.what)
		i.end()
	}
	w.incidents = last
}

// happening is a kind of incident, or several that are alike.
type happening struct {
	weight int // how often, relative to the others
	kinds  []string
	// begin says which of the kinds it is, and how it ends; nil if it can't befall this world just now.
	begin func(*World) (kind string, end func())
}

// happenings are all incidents.
var happenings = []happening{
	{3, fails("a KMS", append(slices.Clone(failures), pocket.Firewall)), (*World).kmsOutage},
	{5, fails("a token service", failures), (*World).tokenOutage},
	{3, fails("a region", failures), (*World).regionOutage},
	{1, []string{"nobody reaches the control plane"}, (*World).separation},
	{1, []string{"a node reaches nobody"}, (*World).cable},
	{1, []string{"a full disk"}, (*World).fullDisk},
	{1, []string{"a database crashes"}, (*World).databaseCrash},
	{1, []string{"a deployment"}, (*World).deployment},
	{1, []string{"a clock jumps"}, (*World).clockJump},
	{1, []string{"a cluster's machines lose power"}, (*World).powerCut},
	{2, []string{"a thief"}, (*World).theft},
}

// befall begins an incident.
func (w *World) befall() {
	total := 0
	for _, h := range happenings {
		total += h.weight
	}
	lasts, draw := time.Duration(w.rng.ExpFloat64()*float64(30*time.Minute)), w.rng.IntN(total)
	i := 0
	for ; draw >= happenings[i].weight; i++ {
		draw -= happenings[i].weight
	}
	what, end := happenings[i].begin(w)
	if end == nil { // it can't befall this world just now
		return
	}
	w.trace.say("for %s: %s", lasts, what)
	w.faults.count["incident: "+what]++
	w.incidents = append(w.incidents, &incident{what: what, until: time.Now().Add(lasts), end: end})
}

// separation is that nobody reaches the control plane.
func (w *World) separation() (string, func()) {
	if w.apart {
		return "", nil
	}
	w.apart = true
	return "nobody reaches the control plane", func() { w.apart = false }
}

func (w *World) someHost() *host {
	if len(w.hosts) == 0 {
		return nil
	}
	return w.hosts[w.rng.IntN(len(w.hosts))]
}

// cable is that one node reaches nobody.
func (w *World) cable() (string, func()) {
	h := w.someHost()
	if h == nil || h.cut {
		return "", nil
	}
	h.cut = true
	return "a node reaches nobody", func() { h.cut = false }
}

// fullDisk is that an agent can store nothing.
func (w *World) fullDisk() (string, func()) {
	h := w.someHost()
	if h == nil || w.faults.full[h.name()] {
		return "", nil
	}
	w.faults.full[h.name()] = true
	return "a full disk", func() { delete(w.faults.full, h.name()) }
}

// databaseCrash is that a database ends by itself.
func (w *World) databaseCrash() (string, func()) {
	h := w.someHost()
	if h == nil || !h.runs() {
		return "", nil
	}
	h.engine.Fail("it crashed")
	return "a database crashes", func() {}
}

// deployment is that all functions start cold.
func (w *World) deployment() (string, func()) {
	for _, f := range w.made {
		f.idle, f.deployed = nil, f.deployed+1
	}
	return "a deployment", func() {}
}

// clockJump is that a node's clock is wrong all of a sudden.
func (w *World) clockJump() (string, func()) {
	h := w.someHost()
	if h == nil {
		return "", nil
	}
	h.skew.Add(int64(w.rng.NormFloat64() * float64(10*time.Minute)))
	return "a clock jumps", func() {}
}

// powerCut is that all machines of a cluster go down at once.
func (w *World) powerCut() (string, func()) {
	h := w.someHost()
	if h == nil {
		return "", nil
	}
	for _, m := range w.members(h.ClusterID, h.Shard) {
		m.proc.end()
	}
	return "a cluster's machines lose power", func() {}
}
