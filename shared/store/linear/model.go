package linear

import (
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"

	"latchkey/shared/store"
)

// The table as one thing after the other happens to it: what each key holds. Nothing changes a
// state; what is done to one yields another.
type state map[store.Key]content

// content is an item but for its key.
type content struct {
	version int64
	index   store.Key
	body    string
}

func contentOf(item store.Item) content {
	return content{version: item.Version, index: item.Index, body: string(item.Body)}
}

// sight is what somebody saw at a key; the zero content is no item.
type sight struct {
	key     store.Key
	content content
}

func seen(key store.Key, item store.Item, found bool) sight {
	if !found {
		return sight{key: key}
	}
	return sight{key, contentOf(item)}
}

// write is a transaction and what its client was told. Without a conflict and unless it is unknown, that is
// that it happened.
type write struct {
	ops      []store.Op
	conflict *store.Key
	unknown  bool
	busy     bool // a conflict may be of those that write at the same time
}

// holds reports whether the condition of an operation holds.
func (s state) holds(op store.Op) bool { return s[op.Item.Key].version == op.Item.Version }

// after is the state once a transaction has happened.
func (s state) after(ops []store.Op) state {
	next := maps.Clone(s)
	for _, op := range ops {
		switch op.Kind {
		case store.OpPut:
			put := contentOf(op.Item)
			put.version++
			next[op.Item.Key] = put
		case store.OpDelete:
			delete(next, op.Item.Key)
		case store.OpCheck:
		}
	}
	return next
}

// step reports whether an operation may happen in a state, and what it makes of it.
func (s state) step(input any) (bool, state) {
	switch o := input.(type) {
	case sight:
		return s[o.key] == o.content, s
	case write:
		failing := slices.IndexFunc(o.ops, func(op store.Op) bool { return !s.holds(op) })
		switch {
		case o.conflict != nil:
			return o.busy || slices.ContainsFunc(o.ops, func(op store.Op) bool { return op.Item.Key == *o.conflict && !s.holds(op) }), s
		case failing < 0:
			return true, s.after(o.ops)
		}
		return o.unknown, s
	}
	return false, s
}

// hash tells most states apart.
func (s state) hash() uint64 {
	sum := uint64(0)
	for key, c := range s {
		h := fnv.New64a()
		h.Write(fmt.Appendf(nil, "%s\x00%d\x00%s", key, c.version, c.body))
		sum += h.Sum64()
	}
	return sum
}

func model() porcupine.Model {
	of := func(s any) state { return s.(state) } //nolint:forcetypeassert // Init makes no other
	return porcupine.Model{
		Init:              func() any { return state{} },
		Step:              func(s, input, _ any) (bool, any) { ok, next := of(s).step(input); return ok, next },
		Equal:             func(a, b any) bool { return maps.Equal(of(a), of(b)) },
		Hash:              func(s any) uint64 { return of(s).hash() },
		DescribeOperation: func(input, _ any) string { return describe(input) },
		DescribeState:     func(s any) string { return of(s).String() },
	}
}

// String shows a state in the checker's picture.
func (s state) String() string {
	var lines []string
	for key, c := range s {
		lines = append(lines, fmt.Sprintf("%s@%d %s", key, c.version, c.body))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// describe shows an operation in the checker's picture.
func describe(input any) string {
	switch o := input.(type) {
	case sight:
		return fmt.Sprintf("%s is @%d %s", o.key, o.content.version, o.content.body)
	case write:
		parts := make([]string, len(o.ops))
		for i, op := range o.ops {
			kind := [...]string{store.OpPut: "put", store.OpDelete: "delete", store.OpCheck: "check"}[op.Kind]
			parts[i] = fmt.Sprintf("%s %s@%d %s", kind, op.Item.Key, op.Item.Version, op.Item.Body)
		}
		outcome := "done"
		switch {
		case o.unknown:
			outcome = "unknown"
		case o.conflict != nil:
			outcome = "conflict on " + o.conflict.String()
		}
		return strings.Join(parts, "; ") + ": " + outcome
	}
	return ""
}

// patience bounds one check, which may take for ever where too much is unknown.
const patience = time.Minute

// Check reports whether the history could have happened one after the other. If it can't, a picture of it
// is put into the file that picture names, unless that is "".
func (h *History) Check(picture string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.checkIndex(); err != nil {
		return err
	}
	m := model()
	result, info := porcupine.CheckOperationsVerbose(m, h.porcupine(), patience)
	switch result {
	case porcupine.Ok:
		return nil
	case porcupine.Unknown:
		return errors.New("linear: the history is too long to be decided")
	case porcupine.Illegal:
	}
	err := errors.New("linear: no order of the operations explains what their clients were told")
	if picture != "" {
		if failed := porcupine.VisualizePath(m, info, picture); failed != nil {
			return errors.Join(err, failed)
		}
	}
	return err
}

// checkIndex demands of what queries of the index have shown that somebody had begun to store it.
func (h *History) checkIndex() error {
	for _, o := range h.operations {
		if o.query == nil || !o.query.Index {
			continue
		}
		for _, item := range o.query.page.Items {
			if item.Index.PK != o.query.PK || !h.wasBegun(item, o.ended) {
				return fmt.Errorf("linear: the index shows %s@%d, which was never stored", item.Key, item.Version)
			}
		}
	}
	return nil
}

func (h *History) wasBegun(item store.Item, before int64) bool {
	return slices.ContainsFunc(h.operations, func(o operation) bool {
		return o.write != nil && o.write.conflict == nil && o.called < before &&
			slices.ContainsFunc(o.write.ops, func(op store.Op) bool {
				put := contentOf(op.Item)
				put.version++
				return op.Kind == store.OpPut && op.Item.Key == item.Key && put == contentOf(item)
			})
	})
}
