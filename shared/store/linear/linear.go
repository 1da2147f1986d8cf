// Package linear finds out whether what clients of a table did at the same time could have happened one
// after the other: each operation at one moment between its call and its return, and each answer
// true of that moment. That is what the port promises of Get, of Write, and of queries of the table,
// item by item: DynamoDB reads a page while others write, so a page is no snapshot. Its index is
// only eventually consistent, so of a query of the index no more is demanded than that what it shows
// was stored once, and that it tells the truth when nobody writes any more.
//
// Its invariant: an operation whose outcome its client did not learn may have happened at any time
// after its call, or never; everything else is held against what the client was told. It is imported
// by tests only.
package linear

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/anishathalye/porcupine"

	"latchkey/shared/store"
)

// History is what clients of a table did and were told.
type History struct {
	table store.Table
	busy  bool
	clock atomic.Int64

	mu         sync.Mutex
	operations []operation
}

// operation is one call to a table.
type operation struct {
	client         int
	called, ended  int64 // on the history's clock; an end that never came is never
	write          *write
	query          *query
	key            store.Key // of a Get
	item           store.Item
	found, unknown bool
}

const never = math.MaxInt64

// query is a page that was read.
type query struct {
	store.Query
	page store.Page
}

// Record begins the history of a table. busy is whether it may refuse a write whose conditions hold because
// others write the same items, as DynamoDB does with transactions; it must not have happened then.
func Record(table store.Table, busy bool) *History { return &History{table: table, busy: busy} }

// Client is the table as a client uses it whose calls are recorded. One client makes one call at a time.
func (h *History) Client(n int) store.Table { return &client{h, n} }

type client struct {
	*History
	n int
}

// Get implements store.Table.
func (c *client) Get(ctx context.Context, key store.Key) (store.Item, error) {
	o := operation{client: c.n, called: c.clock.Add(1), key: key}
	item, err := c.table.Get(ctx, key)
	o.item, o.found, o.unknown = item, err == nil, err != nil && !errors.Is(err, store.ErrNotFound)
	c.end(o)
	return item, err
}

// Query implements store.Table.
func (c *client) Query(ctx context.Context, q store.Query) (store.Page, error) {
	o := operation{client: c.n, called: c.clock.Add(1), query: &query{Query: q}}
	page, err := c.table.Query(ctx, q)
	o.query.page, o.unknown = page, err != nil
	c.end(o)
	return page, err
}

// Write implements store.Table.
func (c *client) Write(ctx context.Context, ops ...store.Op) error {
	o := operation{client: c.n, called: c.clock.Add(1), write: &write{ops: slices.Clone(ops), busy: c.busy}}
	err := c.table.Write(ctx, ops...)
	if conflict, ok := errors.AsType[*store.ConflictError](err); ok {
		o.write.conflict = &conflict.Key
	} else {
		o.unknown = err != nil
	}
	o.write.unknown = o.unknown
	c.end(o)
	return err
}

func (h *History) end(o operation) {
	o.ended = h.clock.Add(1)
	if o.unknown {
		if o.write == nil {
			return // who learnt nothing tells nothing
		}
		o.ended = never
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.operations = append(h.operations, o)
}

// Len is how many calls the history holds, and Unknown of how many writes nobody knows the outcome.
func (h *History) Len() int { return len(h.operations) }

// Unknown is of how many writes nobody knows the outcome.
func (h *History) Unknown() int {
	n := 0
	for _, o := range h.operations {
		if o.unknown {
			n++
		}
	}
	return n
}

// porcupine lists the calls as the checker takes them.
func (h *History) porcupine() []porcupine.Operation {
	known := map[store.Key]bool{}
	for _, o := range h.operations {
		if o.write != nil {
			for _, op := range o.write.ops {
				known[op.Item.Key] = true
			}
		}
	}
	var all []porcupine.Operation
	add := func(o operation, input any) {
		all = append(all, porcupine.Operation{ClientId: o.client, Call: o.called, Return: o.ended, Input: input})
	}
	for _, o := range h.operations {
		switch {
		case o.write != nil:
			add(o, *o.write)
		case o.query == nil:
			add(o, seen(o.key, o.item, o.found))
		case !o.query.Index:
			for _, s := range o.query.sights(known) {
				add(o, s)
			}
		}
	}
	return all
}

// sights are what a page shows of each item that it could show, with those that are not there.
func (q query) sights(known map[store.Key]bool) []sight {
	shown := map[store.Key]store.Item{}
	for _, item := range q.page.Items {
		shown[item.Key] = item
	}
	var all []sight
	for key := range known {
		if item, ok := shown[key]; ok || q.covers(key) {
			all = append(all, seen(key, item, ok))
		}
	}
	return all
}

// covers reports whether an item with a key would be on the page, which begins with the query.
func (q query) covers(key store.Key) bool {
	low, high, ok := q.Range()
	if !ok || key.PK != q.PK || key.SK < low || high != "" && key.SK >= high || q.After != "" {
		return false
	}
	if q.page.Next == "" {
		return true
	}
	last := q.page.Items[len(q.page.Items)-1].SK
	if q.Descending {
		return strings.Compare(key.SK, last) >= 0
	}
	return strings.Compare(key.SK, last) <= 0
}
