package sim

import (
	"net/http"
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
const incidentsEvery = 15

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

// befall begins an incident.
func (w *World) befall() {
	kinds := []func(lasts time.Duration) (what string, end func()){
		w.outage, w.outage, w.outage, w.separation, w.cable, w.fullDisk, w.databaseCrash, w.deployment, w.clockJump, w.powerCut, w.theft, w.theft,
	}
	lasts := time.Duration(w.rng.ExpFloat64() * float64(30*time.Minute))
	what, end := kinds[w.rng.IntN(len(kinds))](lasts)
	if end == nil {
		return
	}
	w.trace.say("for %s: %s", lasts, what)
	w.faults.count["incident: "+what]++
	w.incidents = append(w.incidents, &incident{what: what, until: time.Now().Add(lasts), end: end})
}

// outage is that a tenant's KMS answers nobody as it should.
func (w *World) outage(time.Duration) (string, func()) {
	all := w.tenants[w.rng.IntN(len(w.tenants))].keys
	kinds := []pocket.FaultKind{pocket.Down, pocket.Timeout, pocket.ServerError, pocket.Throttle, pocket.Firewall}
	kind, host := kinds[w.rng.IntN(len(kinds))], all[w.rng.IntN(len(all))].host()
	if w.outages[host] != "" {
		return "", nil
	}
	w.outages[host] = kind
	w.fault(host, kind, 0)
	return "a KMS fails: " + string(kind), func() {
		delete(w.outages, host)
		w.cloudFaults(http.MethodDelete, "")
		for host, kind := range w.outages {
			w.fault(host, kind, 0)
		}
		for k := range w.custodies() {
			if k.host() == host {
				k.hindered, k.back = time.Now(), time.Now()
			}
		}
	}
}

// separation is that nobody reaches the control plane.
func (w *World) separation(time.Duration) (string, func()) {
	if w.apart {
		return "", nil
	}
	w.apart = true
	return "nobody reaches the control plane", func() {
		w.apart = false
		for k := range w.custodies() {
			k.hindered = time.Now()
		}
	}
}

func (w *World) someHost() *host {
	if len(w.hosts) == 0 {
		return nil
	}
	return w.hosts[w.rng.IntN(len(w.hosts))]
}

// cable is that one node reaches nobody.
func (w *World) cable(time.Duration) (string, func()) {
	h := w.someHost()
	if h == nil || h.cut {
		return "", nil
	}
	h.cut = true
	return "a node reaches nobody", func() { h.cut, h.hindered = false, time.Now() }
}

// fullDisk is that an agent can store nothing.
func (w *World) fullDisk(time.Duration) (string, func()) {
	h := w.someHost()
	if h == nil || w.faults.full[h.name()] {
		return "", nil
	}
	w.faults.full[h.name()] = true
	return "a full disk", func() {
		delete(w.faults.full, h.name())
		h.hindered = time.Now()
	}
}

// databaseCrash is that a database ends by itself.
func (w *World) databaseCrash(time.Duration) (string, func()) {
	h := w.someHost()
	if h == nil || !h.runs() {
		return "", nil
	}
	h.engine.Fail("it crashed")
	return "a database crashes", func() {}
}

// deployment is that all functions start cold.
func (w *World) deployment(time.Duration) (string, func()) {
	for _, f := range w.made {
		f.idle = nil
	}
	return "a deployment", func() {}
}

// clockJump is that a node's clock is wrong all of a sudden.
func (w *World) clockJump(time.Duration) (string, func()) {
	h := w.someHost()
	if h == nil {
		return "", nil
	}
	h.skew.Add(int64(w.rng.NormFloat64() * float64(10*time.Minute)))
	return "a clock jumps", func() {}
}

// powerCut is that all machines of a cluster go down at once.
func (w *World) powerCut(time.Duration) (string, func()) {
	h := w.someHost()
	if h == nil {
		return "", nil
	}
	for _, m := range w.members(h.ClusterID, h.Shard) {
		m.proc.end()
	}
	return "a cluster's machines lose power", func() {}
}
