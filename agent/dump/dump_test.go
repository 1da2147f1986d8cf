package dump_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"latchkey/agent/dump"
)

func write(t rapid.TB, records []dump.Record) []byte {
	t.Helper()
	var stream bytes.Buffer
	out := dump.NewWriter(&stream)
	for _, r := range records {
		if err := out.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	return stream.Bytes()
}

func read(stream []byte) (records []dump.Record, err error) {
	err = dump.Read(bytes.NewReader(stream), func(r dump.Record) error {
		records = append(records, r)
		return nil
	})
	return records, err
}

func TestWhatIsWrittenIsReadAndNoPartOfItPassesForTheWhole(t *testing.T) {
	t.Parallel()
	record := rapid.Custom(func(t *rapid.T) dump.Record {
		return dump.Record{
			Database: rapid.String().Draw(t, "database"), Key: rapid.String().Draw(t, "key"),
			Value: rapid.SliceOf(rapid.Byte()).Draw(t, "value"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(record, 1, 5).Draw(t, "records")
		stream := write(t, want)
		got, err := read(stream)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Fatal(err, diff)
		}
		cut := rapid.IntRange(0, len(stream)-1).Draw(t, "cut")
		if _, err := read(stream[:cut]); !errors.Is(err, dump.ErrDamaged) {
			t.Fatalf("%d of %d bytes pass: %v", cut, len(stream), err)
		}
		altered := bytes.Clone(stream)
		altered[cut] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if _, err := read(altered); !errors.Is(err, dump.ErrDamaged) {
			t.Fatalf("byte %d may be altered: %v", cut, err)
		}
	})
}

func FuzzRead(f *testing.F) {
	f.Add(write(f, []dump.Record{{Database: "a", Key: "k", Value: []byte("v")}}))
	f.Fuzz(func(t *testing.T, stream []byte) {
		records, err := read(stream)
		if err == nil && !bytes.HasPrefix(stream, write(t, records)) {
			t.Errorf("%q is read as %v", stream, records)
		}
	})
}
