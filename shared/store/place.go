package store

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strings"
	"unicode/utf8"
)

// Range is the one half-open interval of sort keys that Prefix, From and Until select
// together: low <= SK < high. An empty high is no bound. ok is false if nothing can lie in it.
func (q Query) Range() (low, high string, ok bool) {
	low, high = max(q.Prefix, q.From), successor(q.Prefix)
	if high == "" || (q.Until != "" && q.Until < high) {
		high = q.Until
	}
	return low, high, high == "" || low < high
}

// successor is the least string above every string that starts with prefix, "" if there is
// none. It counts in code points, not bytes, because sort keys must stay UTF-8; the order of
// UTF-8 bytes is the order of code points.
func successor(prefix string) string {
	for prefix != "" {
		last, n := utf8.DecodeLastRuneInString(prefix)
		prefix = prefix[:len(prefix)-n]
		switch {
		case last == utf8.MaxRune:
		case last+1 == surrogates:
			return prefix + string(afterSurrogates)
		default:
			return prefix + string(last+1)
		}
	}
	return ""
}

// The code points between these two can't be encoded in UTF-8.
const (
	surrogates      rune = 0xD800
	afterSurrogates rune = 0xE000
)

// Place is a position in the order of a query's items. It outlives the item that it was made from.
type Place struct {
	SK string // in the table or in the index
	// Item is the item's own key in a query of the index, which may hold several items with
	// one sort key. It is zero in other queries.
	Item Key
}

// PlaceOf is where an item stands in the order of the query's items.
func (q Query) PlaceOf(item Item) Place {
	if q.Index {
		return Place{SK: item.Index.SK, Item: item.Key}
	}
	return Place{SK: item.SK}
}

// NextAfter makes the Page.Next of a page that ends with the item.
func (q Query) NextAfter(last Item) string {
	p := q.PlaceOf(last)
	position := appendStrings(nil, p.SK, p.Item.PK, p.Item.SK)
	return base64.RawURLEncoding.EncodeToString(append(q.digest(position), position...))
}

// digestSize is enough to notice every accident. Somebody who forges a digest gains nothing:
// a place only moves the start of the query that the caller is making anyway.
const digestSize = 8

// Place reads After. started is false if the query starts at its beginning. It returns
// ErrBadCursor unless After was made by NextAfter of the same query.
func (q Query) Place() (p Place, started bool, err error) {
	if q.After == "" {
		return Place{}, false, nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(q.After)
	if err != nil || len(raw) < digestSize || strings.ContainsAny(q.After, "\r\n") {
		return Place{}, false, ErrBadCursor
	}
	position := raw[digestSize:]
	if string(q.digest(position)) != string(raw[:digestSize]) {
		return Place{}, false, ErrBadCursor
	}
	parts, ok := splitStrings(position, 3)
	if !ok {
		return Place{}, false, ErrBadCursor
	}
	p = Place{SK: parts[0], Item: Key{PK: parts[1], SK: parts[2]}}
	if !q.holds(p) {
		return Place{}, false, ErrBadCursor
	}
	return p, true, nil
}

// holds reports whether an item at p could be an item of the query.
func (q Query) holds(p Place) bool {
	low, high, ok := q.Range()
	inRange := ok && p.SK >= low && (high == "" || p.SK < high)
	own := Key{PK: q.PK, SK: p.SK}
	if !q.Index {
		return inRange && own.validate() == nil && p.Item == (Key{})
	}
	return inRange && own.validate() == nil && p.Item.validate() == nil
}

// digest binds a position to everything that decides which items the query selects and how
// they are ordered.
func (q Query) digest(position []byte) []byte {
	flags := byte(0)
	if q.Index {
		flags |= 1
	}
	if q.Descending {
		flags |= 2
	}
	b := appendStrings([]byte{flags}, q.PK, q.Prefix, q.From, q.Until, string(position))
	sum := sha256.Sum256(b)
	return sum[:digestSize]
}

func appendStrings(b []byte, parts ...string) []byte {
	for _, s := range parts {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	return b
}

// splitStrings reverses appendStrings if b holds exactly n strings.
func splitStrings(b []byte, n int) ([]string, bool) {
	parts := make([]string, 0, n)
	for range n {
		size, used := binary.Uvarint(b)
		if used <= 0 || size > uint64(len(b)-used) { //nolint:gosec // a length
			return nil, false
		}
		b = b[used:]
		parts = append(parts, string(b[:size]))
		b = b[size:]
	}
	return parts, len(b) == 0
}
