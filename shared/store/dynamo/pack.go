package dynamo

import (
	"bytes"
	"compress/zlib"
	_ "embed"
	"errors"
	"io"
	"sync"

	"latchkey/shared/store"
)

// words are what packed bodies are likely to hold, the likeliest last: what a body shares with them takes next to
// nothing. Bodies that were packed need them to be read, so they never change. Other words would be another
// dictionary beside this one; each body names the one that it needs (RFC 1950, DICTID).
//
//go:embed words.txt
var words []byte

// errTooLong is a packed body that is larger than any item may be.
var errTooLong = errors.New("dynamo: a packed body is longer than an item may be")

// packer packs bodies with zlib. What it takes to do so is kept for the next one. The zero value is ready.
type packer struct{ deflaters, inflaters sync.Pool }

// deflater is a compressor with where it writes to.
type deflater struct {
	out bytes.Buffer
	*zlib.Writer
}

// pack returns a body in fewer bytes; ok is false if it takes no fewer.
func (p *packer) pack(body []byte) (packed []byte, ok bool) {
	d, _ := p.deflaters.Get().(*deflater)
	if d == nil {
		d = &deflater{}
		w, err := zlib.NewWriterLevelDict(&d.out, zlib.BestCompression, words)
		if err != nil {
			return nil, false
		}
		d.Writer = w
	} else {
		d.out.Reset()
		d.Reset(&d.out)
	}
	_, err := d.Write(body)
	if err := errors.Join(err, d.Close()); err != nil || d.out.Len() >= len(body) {
		return nil, false
	}
	packed = bytes.Clone(d.out.Bytes())
	p.deflaters.Put(d)
	return packed, true
}

// unpack reverses pack. An error means that something else wrote into the table.
func (p *packer) unpack(packed []byte) ([]byte, error) {
	from := bytes.NewReader(packed)
	r, _ := p.inflaters.Get().(io.ReadCloser)
	var err error
	if known, ok := r.(zlib.Resetter); ok {
		err = known.Reset(from, words)
	} else {
		r, err = zlib.NewReaderDict(from, words)
	}
	if err != nil {
		return nil, err
	}
	const likely = 4 // times as long
	body := bytes.NewBuffer(make([]byte, 0, likely*len(packed)))
	if _, err := body.ReadFrom(io.LimitReader(r, store.MaxItem+1)); err != nil {
		return nil, err
	}
	if body.Len() > store.MaxItem {
		return nil, errTooLong
	}
	p.inflaters.Put(r)
	return body.Bytes(), nil
}
