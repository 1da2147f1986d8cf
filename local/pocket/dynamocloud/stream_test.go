package dynamocloud_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"

	"latchkey/local/pocket/dynamocloud"
)

func (w *world) subscribe(table string) *dynamocloud.Stream {
	w.t.Helper()
	s, err := w.service.Subscribe("123456789012", "us-east-1", table, time.Now, "consumer")
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// told renders the changes behind a sequence number.
func told(t *testing.T, s *dynamocloud.Stream, after uint64) (lines []string) {
	t.Helper()
	changes, err := s.Read(t.Context(), after, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range changes {
		lines = append(lines, fmt.Sprint(c.Sequence, " ", c.Kind, " ", c.Expired, " ", string(c.Keys), " ", string(c.New)))
	}
	return lines
}

func TestStream_tells_what_was_written(t *testing.T) {
	w := newWorld(t, "")
	stream, other := w.subscribe(name), w.subscribe("another")
	put := func(i attributes) {
		t.Helper()
		if _, err := w.root.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String(name), Item: i}); err != nil {
			t.Fatal(err)
		}
	}
	remove := func() {
		t.Helper()
		if _, err := w.root.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: aws.String(name), Key: key("P", "a")}); err != nil {
			t.Fatal(err)
		}
	}
	put(item("P", "a", 1))
	put(item("P", "a", 2))
	put(item("P", "a", 2)) // changes nothing
	remove()
	remove()
	if err := w.transact("t1", putIfNew("P", "b"), putIfNew("P", "c")); err != nil {
		t.Fatal(err)
	}
	if err := w.transact("t2", putIfNew("P", "d"), putIfNew("P", "c")); err == nil {
		t.Fatal("the transaction conflicts with nothing")
	}
	if err := w.transact("t1", putIfNew("P", "b"), putIfNew("P", "c")); err != nil { // repeated
		t.Fatal(err)
	}
	keys := func(sk string) string { return `{"pk":{"S":"P"},"sk":{"S":"` + sk + `"}}` }
	image := func(sk string, version int) string {
		return `{"pk":{"S":"P"},"sk":{"S":"` + sk + `"},"version":{"N":"` + strconv.Itoa(version) + `"}}`
	}
	want := []string{
		"1 INSERT false " + keys("a") + " " + image("a", 1), "2 MODIFY false " + keys("a") + " " + image("a", 2), "3 REMOVE false " + keys("a") + " ",
		"4 INSERT false " + keys("b") + " " + image("b", 1), "5 INSERT false " + keys("c") + " " + image("c", 1),
	}
	if diff := cmp.Diff(want, told(t, stream, 0)); diff != "" {
		t.Error(diff)
	}
	if lines := told(t, other, 0); lines != nil {
		t.Errorf("of another table: %v", lines)
	}
	if err := stream.Forget(t.Context(), "consumer", 3); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want[3:], told(t, w.subscribe(name), 0)); diff != "" {
		t.Errorf("after it was forgotten:\n%s", diff)
	}
}

func TestStream_tells_what_expired_apart(t *testing.T) {
	w := newWorld(t, "")
	stream := w.subscribe(name)
	old := item("P", "old", 1)
	old["expires"] = &types.AttributeValueMemberN{Value: strconv.FormatInt(time.Now().Add(-time.Hour).Unix(), 10)}
	for _, i := range []attributes{old, item("P", "new", 1)} {
		if _, err := w.root.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String(name), Item: i}); err != nil {
			t.Fatal(err)
		}
	}
	lines := told(t, stream, 1)
	if len(lines) == 0 || lines[0] != `2 REMOVE true {"pk":{"S":"P"},"sk":{"S":"old"}} ` {
		t.Errorf("told %q", lines)
	}
}
