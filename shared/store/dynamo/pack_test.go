package dynamo_test

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/shared/store"
	"latchkey/shared/store/dynamo"
)

// settled is a body as tables have many of.
const settled = `{"groupId":"650000000000000000000001","orgId":"650000000000000000000002","revision":1,"aws":{"keyId":"arn:aws:kms:us-east-1:111122223333:key/` +
	`0a1b2c3d-0000-4000-8000-000000000001","region":"US_EAST_1","key":{"revision":1,"verdict":{"reason":"OK","settings":1},"valid":true}}}`

// holding is what a table that is asked for an item gets from DynamoDB, with some body.
func holding(body object) answer {
	return ok(object{"Item": object{"pk": s("P"), "sk": s("S"), "version": n("7"), "body": body}})
}

func TestAPackedBodyIsStoredInFewBytes(t *testing.T) {
	table, v := open(t, ok(object{}))
	item := store.Item{Key: key, Version: 6, Body: []byte(settled), Packed: true}
	for _, ops := range [][]store.Op{{store.Put(item)}, {store.Put(item), store.Check(store.Key{PK: "a", SK: "b"}, 1)}} {
		if err := table.Write(t.Context(), ops...); err != nil {
			t.Fatal(err)
		}
	}
	put := v.requests[0].Body["Item"].(object)
	transacted := v.requests[1].Body["TransactItems"].([]any)[0].(object)["Put"].(object)["Item"].(object)
	for _, sent := range []object{put, transacted} {
		packed, err := base64.StdEncoding.DecodeString(sent["body"].(object)["B"].(string))
		if err != nil || len(packed) > len(settled)/2 {
			t.Errorf("%d bytes are stored in %d, %v", len(settled), len(packed), err)
		}
		table, _ := open(t, holding(sent["body"].(object)))
		if got, err := table.Get(t.Context(), key); err != nil || string(got.Body) != settled {
			t.Errorf("%s is read as %s, %v", settled, got.Body, err)
		}
	}
}

func TestABodyThatPackingMakesNoSmallerIsStoredAsText(t *testing.T) {
	table, v := open(t, ok(object{}))
	if err := table.Write(t.Context(), store.Put(store.Item{Key: key, Version: 1, Body: []byte(`7`), Packed: true})); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s("7"), v.requests[0].Body["Item"].(object)["body"]); diff != "" {
		t.Error(diff)
	}
}

// Tables are full of bodies that were stored before. What packs them anew may do so in another way; what reads them may not.
func TestBodiesThatWereStoredBeforeAreRead(t *testing.T) {
	const packed = "ePm0VpgLQ041ZqYG2IAhUnLCocQIPZ0RlaQMgcAICIyBABxhBomGSUbJxim6IDN1TUCEBYhAcwzWdIgtrRATZejxUgsAfDBMdg=="
	for name, body := range map[string]object{"as text": s(settled), "packed": {"B": packed}} {
		table, _ := open(t, holding(body))
		if got, err := table.Get(t.Context(), key); err != nil || string(got.Body) != settled || got.Version != 7 {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		image := object{"pk": s("P"), "sk": s("S"), "version": n("7"), "body": body}
		if got, err := shown(t, image).Item(); err != nil || string(got.Body) != settled {
			t.Errorf("%s, in the stream: %+v, %v", name, got, err)
		}
	}
}

func TestAPackedBodyThatIsNotOursIsRefused(t *testing.T) {
	var bomb, foreign bytes.Buffer
	for to, n := range map[*bytes.Buffer]int{&bomb: store.MaxItem + 1, &foreign: 5} {
		w := zlib.NewWriter(to)
		if _, err := w.Write(bytes.Repeat([]byte(" "), n)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	cut := foreign.Bytes()[:foreign.Len()-1]
	for name, packed := range map[string][]byte{"nothing": {}, "text": []byte(settled), "too long": bomb.Bytes(), "cut short": cut} {
		table, _ := open(t, holding(object{"B": packed}))
		if got, err := table.Get(t.Context(), key); err == nil || !strings.Contains(err.Error(), `"body" of P/S is not Latchkey's`) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if got, err := shown(t, object{"pk": s("P"), "sk": s("S"), "version": n("7"), "body": object{"B": packed}}).Item(); err == nil {
			t.Errorf("%s, in the stream: %+v", name, got)
		}
	}
}

// shown is an item in the table's stream.
func shown(t *testing.T, item object) dynamo.Image {
	t.Helper()
	wire, err := json.Marshal(item)
	if err != nil {
		t.Fatal(err)
	}
	var image dynamo.Image
	if err := json.Unmarshal(wire, &image); err != nil {
		t.Fatal(err)
	}
	return image
}
