package sweep

import (
	"context"
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

// lanes bound what runs at once. Waiting in one lane takes no room in a wider one.
type lanes struct {
	mu   sync.Mutex
	room map[string]lane
}

// lane has something in it for each that is in it.
type lane chan struct{}

func (l *lanes) lane(name string, width int) lane {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.room == nil {
		l.room = map[string]lane{}
	}
	if l.room[name] == nil {
		l.room[name] = make(lane, width)
	}
	return l.room[name]
}

// enter waits until the key may be checked. ok is false if ctx ended first.
func (l *lanes) enter(ctx context.Context, s encryption.Settings, p atlas.Provider) (leave func(), ok bool) {
	provider := string(p)
	host := provider + "/" + s.KeyHost(p)
	in := &place{}
	for _, lane := range []lane{l.lane(host+"/"+s.OrgID, perTenant), l.lane(host, perHost), l.lane(provider, perProvider)} {
		select {
		case <-ctx.Done():
			in.leave()
			return nil, false
		case lane <- struct{}{}:
			in.taken = append(in.taken, lane)
		}
	}
	if ctx.Err() != nil { // both were ready
		in.leave()
		return nil, false
	}
	in.expire([]lane{l.lane(host+" aside", perHost), l.lane(provider+" aside", perProvider)})
	return in.leave, true
}

// place is where a check is.
type place struct {
	mu    sync.Mutex
	taken []lane // the tenant's first; none once the check is over
	timer *time.Timer
}

// expire has the check step aside once its time is over.
func (in *place) expire(aside []lane) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.timer = time.AfterFunc(patience, func() { in.stepAside(aside) })
}

// stepAside takes a place aside for those in the wider lanes. If there is none, it tries again later.
func (in *place) stepAside(aside []lane) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.taken) == 0 {
		return
	}
	if !tryAll(aside) {
		in.timer.Reset(patience)
		return
	}
	release(in.taken[1:])
	in.taken = append(in.taken[:1], aside...)
}

// tryAll takes a place in every lane, or in none.
func tryAll(lanes []lane) bool {
	for i, lane := range lanes {
		select {
		case lane <- struct{}{}:
		default:
			release(lanes[:i])
			return false
		}
	}
	return true
}

func (in *place) leave() {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.timer != nil {
		in.timer.Stop()
	}
	release(in.taken)
	in.taken = nil
}

func release(taken []lane) {
	for _, lane := range taken {
		<-lane
	}
}
