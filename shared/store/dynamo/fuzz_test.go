package dynamo_test

import (
	"encoding/json"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/shared/store"
	"latchkey/shared/store/dynamo"
)

// FuzzImage reads images of any form. What is an item is shown as an image that is read as the same item; what
// an item's image says comes out as it was stored.
func FuzzImage(f *testing.F) {
	good, err := json.Marshal(dynamo.ImageOf(store.Item{
		Key: store.Key{PK: "P", SK: "S"}, Index: store.Key{PK: "I", SK: "J"}, Version: 3, Expires: time.Unix(4_000_000_000, 0), Body: []byte(`{"a":1}`),
	}))
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{
		string(good), `{}`, `null`, `[]`, `{"pk":{"S":"a"}}`, `{"pk":{"S":"a","N":"1"},"sk":{"NULL":true},"v":{"N":"1e3"}}`, `{"pk":null,"sk":{"B":"AA=="},"v":{"N":"9223372036854775808"}}`,
	} {
		f.Add(s, "P", "S", int64(3))
	}
	f.Fuzz(func(t *testing.T, text, pk, sk string, version int64) {
		item := store.Item{Key: store.Key{PK: pk, SK: sk}, Version: version, Body: []byte(strconv.Quote(text))}
		if got, err := dynamo.ImageOf(item).Item(); version > 0 && (err != nil || !cmp.Equal(item, got)) {
			t.Errorf("%+v is shown as %+v, %v", item, got, err)
		}
		var image dynamo.Image
		if json.Unmarshal([]byte(text), &image) != nil {
			return
		}
		read, err := image.Item()
		if err != nil {
			return
		}
		shown, err := json.Marshal(dynamo.ImageOf(read))
		if err != nil {
			t.Fatal(err)
		}
		var again dynamo.Image
		if err := json.Unmarshal(shown, &again); err != nil {
			t.Fatal(err)
		}
		if got, err := again.Item(); err != nil || !cmp.Equal(read, got) {
			t.Errorf("%q is read as %+v, and that as %+v, %v", text, read, got, err)
		}
	})
}
