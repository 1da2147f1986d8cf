package sweep

import (
	"slices"
	"sync"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/encryption"
)

// How many checks run at once: of one tenant's keys at one host, of one host, of one provider.
// A host that does not answer holds its own checks back and takes a quarter of its provider's;
// a tenant whose keys don't answer takes a quarter of its host's, until they step aside. A healthy check
// takes a twentieth of a second, so that one host has room for 25,000 in a run.
const (
	perTenant   = 8
	perHost     = 32
	perProvider = 128
)

// A check that takes longer than patience steps aside: it gives its place at the host and the provider to
// others, and keeps the tenant's. So a tenant whose keys don't answer slows others down for that long only.
// As many may stand aside at a host as it has places, and as many at a provider: what does not answer at all, be it the
// one host that signs in to all vaults, shall not be asked ever more. Each holds a connection.
const patience = 500 * time.Millisecond // ten healthy checks

// lanes bound what runs at once. What waits begins in the order in which it came; what there is no room for takes
// none from others meanwhile, and no goroutine.
type lanes struct {
	mu       sync.Mutex
	all      map[string]*lane
	waiting  []*place // in the order in which they came; there is room for none of them
	isClosed bool
}

// lane has room for so many.
type lane struct{ taken, width int }

// place is where a check is, or waits to be.
type place struct {
	lanes []*lane // the tenant's first; none once the check is over
	aside []*lane
	timer *time.Timer
	begin func(leave func(), ok bool)
}

// lane is the lane of a name. mu is held.
func (l *lanes) lane(name string, width int) *lane {
	if l.all == nil {
		l.all = map[string]*lane{}
	}
	if l.all[name] == nil {
		l.all[name] = &lane{width: width}
	}
	return l.all[name]
}

// enter has a key's check begun once there is room for it, by a goroutine of its own; it calls leave when it is over. ok is false if
// nothing begins any more.
func (l *lanes) enter(s encryption.Settings, p atlas.Provider, begin func(leave func(), ok bool)) {
	if !l.join(s, p, begin) {
		begin(nil, false)
	}
}

func (l *lanes) join(s encryption.Settings, p atlas.Provider, begin func(leave func(), ok bool)) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isClosed {
		return false
	}
	provider := string(p)
	host := provider + "/" + s.KeyHost(p)
	in := &place{
		lanes: []*lane{l.lane(host+"/"+s.OrgID, perTenant), l.lane(host, perHost), l.lane(provider, perProvider)},
		aside: []*lane{l.lane(host+" aside", perHost), l.lane(provider+" aside", perProvider)},
		begin: begin,
	}
	if hasRoom(in.lanes) {
		l.admit(in)
	} else {
		l.waiting = append(l.waiting, in)
	}
	return true
}

// close lets nobody in any more.
func (l *lanes) close() {
	l.mu.Lock()
	left := l.waiting
	l.waiting, l.isClosed = nil, true
	l.mu.Unlock()
	for _, in := range left {
		in.begin(nil, false)
	}
}

// admit begins a check for which there is room. mu is held.
func (l *lanes) admit(in *place) {
	take(in.lanes)
	in.timer = time.AfterFunc(patience, func() { l.stepAside(in) })
	go in.begin(func() { l.leave(in) }, true)
}

// admitNext begins the first check that there is room for. What one leaves is room for one. mu is held.
func (l *lanes) admitNext() {
	i := slices.IndexFunc(l.waiting, func(in *place) bool { return hasRoom(in.lanes) })
	if i < 0 {
		return
	}
	in := l.waiting[i]
	l.waiting = slices.Delete(l.waiting, i, i+1)
	l.admit(in)
}

// stepAside takes a place aside for those in the wider lanes. If there is none, it tries again later.
func (l *lanes) stepAside(in *place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(in.lanes) == 0 {
		return
	}
	if !hasRoom(in.aside) {
		in.timer.Reset(patience)
		return
	}
	take(in.aside)
	release(in.lanes[1:])
	in.lanes = append(in.lanes[:1], in.aside...)
	l.admitNext()
}

func (l *lanes) leave(in *place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	in.timer.Stop()
	release(in.lanes)
	in.lanes = nil
	l.admitNext()
}

func hasRoom(lanes []*lane) bool {
	for _, l := range lanes {
		if l.taken == l.width {
			return false
		}
	}
	return true
}

func take(lanes []*lane) {
	for _, l := range lanes {
		l.taken++
	}
}

func release(lanes []*lane) {
	for _, l := range lanes {
		l.taken--
	}
}
