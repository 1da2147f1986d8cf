package seal

import (
	"container/list"
	"crypto/cipher"
	"sync"
	"time"
)

const (
	// keyLifetime is how long an opened data key is used: it bounds for how long secrets still
	// open after the operator has taken the key away.
	keyLifetime = 15 * time.Minute
	// maxKeys bounds the opened data keys in memory. A deployment has a few secrets per
	// group, and one function sees some hundred groups in 15 minutes.
	maxKeys = 1024
)

// dataKey is an opened data key. Only the raw key is kept, not a cipher made of it, because a
// cipher can't be wiped.
type dataKey struct {
	id     keyID
	opened time.Time

	mu    sync.Mutex
	plain []byte // nil once wiped
}

// aead returns the cipher of the key; ok is false if the key has been wiped.
func (k *dataKey) aead() (a cipher.AEAD, ok bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.plain == nil {
		return nil, false, nil
	}
	a, err = newAEAD(k.plain)
	return a, true, err
}

func (k *dataKey) wipe() {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.plain)
	k.plain = nil
}

// cache keeps the data keys that were used last. Every key it lets go is wiped.
type cache struct {
	now func() time.Time

	mu    sync.Mutex
	byID  map[keyID]*list.Element
	order *list.List // of *dataKey, the one used last in front
}

func newCache(now func() time.Time) *cache {
	return &cache{now: now, byID: map[keyID]*list.Element{}, order: list.New()}
}

func (c *cache) find(id keyID) (*dataKey, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byID[id]
	if !ok {
		return nil, false
	}
	key := keyOf(e)
	if c.isStale(key) {
		c.drop(e)
		return nil, false
	}
	c.order.MoveToFront(e)
	return key, true
}

// add keeps a key, whose bytes belong to the cache from now on. It also drops every key whose
// time is over: adding is rare and costs a call to the key service, so a sweep does not show.
func (c *cache) add(id keyID, plain []byte) *dataKey {
	key := &dataKey{id: id, opened: c.now(), plain: plain}
	c.mu.Lock()
	defer c.mu.Unlock()
	var next *list.Element
	for e := c.order.Front(); e != nil; e = next {
		next = e.Next()
		if k := keyOf(e); k.id == id || c.isStale(k) {
			c.drop(e)
		}
	}
	if c.order.Len() == maxKeys {
		c.drop(c.order.Back())
	}
	c.byID[id] = c.order.PushFront(key)
	return key
}

// isStale also holds for a key from the future: the clock was set back, and nobody knows how
// old the key is.
func (c *cache) isStale(k *dataKey) bool {
	age := c.now().Sub(k.opened)
	return age < 0 || age >= keyLifetime
}

func (c *cache) drop(e *list.Element) {
	key := keyOf(e)
	c.order.Remove(e)
	delete(c.byID, key.id)
	key.wipe()
}

func keyOf(e *list.Element) *dataKey {
	key, ok := e.Value.(*dataKey)
	if !ok {
		panic("seal: the list holds data keys only")
	}
	return key
}
