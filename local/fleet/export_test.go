package fleet

import (
	"context"
	"time"

	"latchkey/agent"
	"latchkey/agent/statedir"
)

// Set is a replica set by itself.
type Set struct{ set *replicaSet }

// NewSet returns a set without members.
func NewSet(now func() time.Time) Set { return Set{newReplicaSet(now)} }

// Add makes an electable member. founder is what a new member's first standing says.
func (s Set) Add(open func(Source) Store, files *statedir.Dir, index int, founder bool) (agent.Engine, error) {
	m := &member{electable: true, index: index, files: files}
	m.Store = open(m.source)
	if err := m.loadStanding(); err != nil {
		return nil, err
	}
	if m.standing == (standing{}) && founder {
		if err := m.stand(standing{Counts: true}); err != nil {
			return nil, err
		}
	}
	s.set.add(m)
	return m, nil
}

// Remove ends a membership.
func (s Set) Remove(ctx context.Context, e agent.Engine) { s.set.remove(ctx, e.(*member)) }

// Put writes.
func (s Set) Put(ctx context.Context, key, value string) error {
	return s.set.put(ctx, place{"db", key}, []byte(value))
}

// Get reads.
func (s Set) Get(ctx context.Context, key string) (value string, found bool, err error) {
	r, found, err := s.set.get(ctx, place{"db", key})
	return string(r.Value), found, err
}

// Delete deletes.
func (s Set) Delete(ctx context.Context, key string) (bool, error) {
	return s.set.erase(ctx, place{"db", key})
}
