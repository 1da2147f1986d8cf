// Package dump is the stream in which one node copies its data to another: every record of
// every database, and at the end a checksum over all of it.
//
// Its one invariant: a stream that was cut off or altered is never taken for a whole one.
// Streams hold data in the clear and travel between the nodes of one cluster only.
package dump

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"io"
)

// ErrDamaged is returned for a stream that is cut off, altered, or no stream of this kind.
var ErrDamaged = errors.New("dump: the stream is damaged")

const (
	magic = "latchkey-dump-1\n"
	// MaxField is the longest name, key or value.
	MaxField = 16 << 20

	tagRecord byte = 1
	tagEnd    byte = 2
)

// Record is one key of one database.
type Record struct {
	Database string
	Key      string
	Value    []byte
}

// Writer writes a stream. Nothing is whole before Close.
type Writer struct {
	out *bufio.Writer
	sum hash.Hash
	err error
}

// NewWriter begins a stream.
func NewWriter(w io.Writer) *Writer {
	d := &Writer{out: bufio.NewWriter(w), sum: sha256.New()}
	d.write([]byte(magic))
	return d
}

// Write adds a record.
func (d *Writer) Write(r Record) error {
	if len(r.Database) > MaxField || len(r.Key) > MaxField || len(r.Value) > MaxField {
		return errors.New("dump: a record is too large")
	}
	d.write([]byte{tagRecord})
	d.field([]byte(r.Database))
	d.field([]byte(r.Key))
	d.field(r.Value)
	return d.err
}

// Close ends the stream. It does not close what it was written to.
func (d *Writer) Close() error {
	d.write([]byte{tagEnd})
	d.write(d.sum.Sum(nil))
	if d.err != nil {
		return d.err
	}
	return d.out.Flush()
}

func (d *Writer) field(content []byte) {
	d.write(binary.AppendUvarint(nil, uint64(len(content))))
	d.write(content)
}

func (d *Writer) write(content []byte) {
	if d.err != nil {
		return
	}
	d.sum.Write(content)
	_, d.err = d.out.Write(content)
}

// Read calls fn for each record, in order. Records come before the checksum is known: whoever
// keeps them must drop them when Read fails.
func Read(r io.Reader, fn func(Record) error) error {
	d := &reader{in: bufio.NewReader(r), sum: sha256.New()}
	if string(d.bytes(len(magic))) != magic {
		return d.failure()
	}
	for {
		switch tag := d.bytes(1); {
		case d.err == nil && tag[0] == tagRecord:
			record := Record{Database: string(d.field()), Key: string(d.field()), Value: d.field()}
			if d.err != nil {
				return d.failure()
			}
			if err := fn(record); err != nil {
				return err
			}
		case d.err == nil && tag[0] == tagEnd:
			return d.end()
		default:
			return d.failure()
		}
	}
}

type reader struct {
	in  *bufio.Reader
	sum hash.Hash
	err error
}

func (d *reader) end() error {
	want := string(d.sum.Sum(nil))
	if string(d.bytes(sha256.Size)) != want {
		return d.failure()
	}
	return nil
}

func (d *reader) field() []byte {
	n, err := binary.ReadUvarint(byteReader{d})
	if err != nil || n > MaxField {
		d.fail(err)
		return nil
	}
	return d.bytes(int(n))
}

// bytes grows with what really comes, not with what a length claims.
func (d *reader) bytes(n int) []byte {
	if d.err != nil {
		return nil
	}
	content, err := io.ReadAll(io.LimitReader(d.in, int64(n)))
	if err != nil || len(content) != n {
		d.fail(err)
		return nil
	}
	d.sum.Write(content)
	return content
}

func (d *reader) fail(err error) {
	if d.err == nil {
		d.err = errors.Join(ErrDamaged, err)
	}
}

func (d *reader) failure() error {
	d.fail(nil)
	return d.err
}

// byteReader reads lengths so that they are part of the checksum too.
type byteReader struct{ d *reader }

func (b byteReader) ReadByte() (byte, error) {
	content := b.d.bytes(1)
	if b.d.err != nil {
		return 0, b.d.err
	}
	return content[0], nil
}
