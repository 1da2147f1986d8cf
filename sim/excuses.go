package sim

import "time"

// What excuses the suite.
//
// I2 promises that nodes stop in time when their key is taken away. In time counts from when nothing but the suite was in
// the way any more, for what it can't know it can't follow, and what it can't tell nobody does. In the way of a key is
// what excuses names, in the way of a node that it reaches nobody or can store nothing. Every minute notes, of every key
// and node, until when it was excused (excusedUntil), and bound is how long it may take from then on.
//
// Nothing excuses the other promises: an outage stops no node, and loses nothing.

// excuse notes who is excused at this minute.
func (w *World) excuse() {
	for k := range w.custodies() {
		if w.excuses(k) {
			k.excusedUntil = time.Now()
		}
	}
	for _, h := range w.hosts {
		if h.cut || w.faults.full[h.name()] {
			h.excusedUntil = time.Now()
		}
	}
}

// excuses is whether something else than the suite may keep a revocation of the key from being acted on.
func (w *World) excuses(k *custody) bool {
	switch {
	case w.apart: // nobody reaches the control plane: nodes are told nothing
	case w.isOut(k): // whoever can't be asked is not known to have refused
	case k.severed != "": // the tenant has taken away what alone leads to its key, which looks like an outage
	case k.partial: // the tenant was interrupted: of several things that open the key some are taken away
	default:
		return false
	}
	return true
}

// bound is by when a revocation that stays has been acted on: fifteen minutes, a check, and what the
// mishaps of the weather may delay.
func (c *checks) bound(k *custody) time.Duration {
	b := 17*time.Minute + k.delay
	if c.world.cfg.Rate > 0 && (c.world.calm.IsZero() || k.handedOver.Before(c.world.calm)) {
		b += 30 * time.Minute
	}
	return b
}
