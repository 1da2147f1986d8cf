package fleet

import (
	"encoding/binary"
	"errors"
)

// position is a place in the history of a replica set. Terms begin with elections; no two
// elections share one.
type position struct {
	Term  int64
	Count int64
}

func (p position) after(q position) bool {
	return p.Term > q.Term || p.Term == q.Term && p.Count > q.Count
}

// record is what an engine holds for a key: the value, or that there is none any more, and when
// in the history that came to be. Deletions are kept, so that two members can be compared.
type record struct {
	At      position
	Deleted bool
	Value   []byte
}

const (
	recordFormat = 1
	recordHeader = 1 + 8 + 8 + 1
)

var errRecord = errors.New("fleet: not a record of a replica set")

func (r record) encode() []byte {
	b := make([]byte, 0, recordHeader+len(r.Value))
	b = append(b, recordFormat)
	b = binary.BigEndian.AppendUint64(b, uint64(r.At.Term))  //nolint:gosec // terms are times
	b = binary.BigEndian.AppendUint64(b, uint64(r.At.Count)) //nolint:gosec // counts begin at 0
	deleted := byte(0)
	if r.Deleted {
		deleted = 1
	}
	return append(append(b, deleted), r.Value...)
}

func parseRecord(b []byte) (record, error) {
	if len(b) < recordHeader || b[0] != recordFormat {
		return record{}, errRecord
	}
	return record{
		At: position{
			Term:  int64(binary.BigEndian.Uint64(b[1:])), //nolint:gosec // as above
			Count: int64(binary.BigEndian.Uint64(b[9:])), //nolint:gosec // as above
		},
		Deleted: b[17] == 1,
		Value:   b[recordHeader:],
	}, nil
}
