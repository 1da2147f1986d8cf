package dynamo_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/shared/store"
	"latchkey/shared/store/dynamo"
)

func TestImage_showsTheItemThatWasStored(t *testing.T) {
	for name, item := range map[string]store.Item{
		"plain":   {Key: store.Key{PK: "p", SK: "s"}, Version: 1, Body: []byte(`{}`)},
		"indexed": {Key: store.Key{PK: "p", SK: "s#\"é"}, Index: store.Key{PK: "i", SK: "j"}, Version: 7, Expires: time.Unix(1_800_000_000, 0).UTC(), Body: []byte(`{"a":"b"}`)},
	} {
		wire, err := json.Marshal(dynamo.ImageOf(item))
		if err != nil {
			t.Fatal(err)
		}
		var image dynamo.Image
		if err := json.Unmarshal(wire, &image); err != nil {
			t.Fatal(err)
		}
		got, err := image.Item()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(item, got); diff != "" {
			t.Errorf("%s, as %s: %s", name, wire, diff)
		}
	}
}

func TestImage_ofSomethingElseIsRefused(t *testing.T) {
	for _, wire := range []string{
		`{}`, `{"pk":{"S":"p"}}`, `{"pk":{"S":"p"},"sk":{"S":"s"},"version":{"S":"1"},"body":{"S":"{}"}}`,
		`{"pk":{"B":"eA=="},"sk":{"S":"s"},"version":{"N":"1"},"body":{"S":"{}"}}`, `{"pk":{"S":"p"},"sk":{"S":"s"},"version":{"N":"x"},"body":{"S":"{}"}}`,
	} {
		var image dynamo.Image
		if err := json.Unmarshal([]byte(wire), &image); err != nil {
			t.Fatal(err)
		}
		if item, err := image.Item(); err == nil {
			t.Errorf("%s is %+v", wire, item)
		}
	}
}
