package sweep

import (
	"context"
	"sync"

	"latchkey/shared/atlas"
	"latchkey/shared/encryption"
)

// How many checks run at once: of one tenant's keys at one host, of one host, of one provider.
// A host that does not answer holds its own checks back and takes a quarter of its provider's;
// a tenant whose keys don't answer takes a quarter of its host's. A healthy check takes a
// twentieth of a second, so that one host has room for 25,000 in a run.
const (
	perTenant   = 8
	perHost     = 32
	perProvider = 128
)

// lanes bound what runs at once. Waiting in one lane takes no room in a wider one.
type lanes struct {
	mu   sync.Mutex
	room map[string]chan struct{}
}

func (l *lanes) lane(name string, width int) chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.room == nil {
		l.room = map[string]chan struct{}{}
	}
	if l.room[name] == nil {
		l.room[name] = make(chan struct{}, width)
	}
	return l.room[name]
}

// enter waits until the key may be checked. ok is false if ctx ended first.
func (l *lanes) enter(ctx context.Context, s encryption.Settings, p atlas.Provider) (leave func(), ok bool) {
	provider := string(p)
	host := provider + "/" + s.KeyHost(p)
	taken := make([]chan struct{}, 0, 3)
	leave = func() {
		for _, lane := range taken {
			<-lane
		}
	}
	for _, lane := range []chan struct{}{l.lane(host+"/"+s.OrgID, perTenant), l.lane(host, perHost), l.lane(provider, perProvider)} {
		select {
		case <-ctx.Done():
			leave()
			return nil, false
		case lane <- struct{}{}:
			taken = append(taken, lane)
		}
	}
	if ctx.Err() != nil { // both were ready
		leave()
		return nil, false
	}
	return leave, true
}
