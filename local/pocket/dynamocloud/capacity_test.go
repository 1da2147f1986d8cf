package dynamocloud_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"
)

// units is what an operation took: of the table and of its index.
type units struct{ Table, Index float64 }

func taken(c *types.ConsumedCapacity) units {
	if c == nil {
		return units{}
	}
	u := units{Index: aws.ToFloat64(c.GlobalSecondaryIndexes["gsi1"].CapacityUnits)}
	if c.Table != nil {
		u.Table = aws.ToFloat64(c.Table.CapacityUnits)
	}
	return u
}

// of is an item of so many bytes, in the index under a place unless that is "".
func of(sk, place string, size int) attributes {
	i := key("p", sk)
	if place != "" {
		i["gsi1pk"], i["gsi1sk"] = text("q"), text(place)
		size -= len("gsi1pk") + len("q") + len("gsi1sk") + len(place)
	}
	i["body"] = text(strings.Repeat("x", size-len("pk")-len("p")-len("sk")-len(sk)-len("body")))
	return i
}

func (w *world) put(i attributes) units {
	w.t.Helper()
	out, err := w.root.PutItem(w.t.Context(), &dynamodb.PutItemInput{
		TableName: aws.String(name), Item: i, ReturnConsumedCapacity: types.ReturnConsumedCapacityIndexes,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return taken(out.ConsumedCapacity)
}

func (w *world) get(sk string, consistent bool) units {
	w.t.Helper()
	out, err := w.root.GetItem(w.t.Context(), &dynamodb.GetItemInput{
		TableName: aws.String(name), Key: key("p", sk), ConsistentRead: &consistent, ReturnConsumedCapacity: types.ReturnConsumedCapacityIndexes,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return taken(out.ConsumedCapacity)
}

func (w *world) ask(index bool) units {
	w.t.Helper()
	in := &dynamodb.QueryInput{
		TableName: aws.String(name), ConsistentRead: aws.Bool(true), KeyConditionExpression: aws.String("pk = :pk"),
		ExpressionAttributeValues: attributes{":pk": text("p")}, ReturnConsumedCapacity: types.ReturnConsumedCapacityIndexes,
	}
	if index {
		in.IndexName, in.ConsistentRead, in.KeyConditionExpression = aws.String("gsi1"), nil, aws.String("gsi1pk = :pk")
		in.ExpressionAttributeValues[":pk"] = text("q")
	}
	out, err := w.root.Query(w.t.Context(), in)
	if err != nil {
		w.t.Fatal(err)
	}
	return taken(out.ConsumedCapacity)
}

func (w *world) commit(items ...types.TransactWriteItem) units {
	w.t.Helper()
	out, err := w.root.TransactWriteItems(w.t.Context(), &dynamodb.TransactWriteItemsInput{
		TransactItems: items, ReturnConsumedCapacity: types.ReturnConsumedCapacityIndexes,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	if len(out.ConsumedCapacity) != 1 {
		w.t.Fatalf("one table is told of as %d", len(out.ConsumedCapacity))
	}
	return taken(&out.ConsumedCapacity[0])
}

// What is counted is what DynamoDB's documentation says, in units of 4 KB to read and 1 KB to write.
func TestReturnConsumedCapacity_counts_as_DynamoDB_does(t *testing.T) {
	w := newWorld(t, "")
	put := func(i attributes) types.TransactWriteItem {
		return types.TransactWriteItem{Put: &types.Put{TableName: aws.String(name), Item: i}}
	}
	check := types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{
		TableName: aws.String(name), Key: key("p", "a"), ConditionExpression: aws.String("attribute_exists(pk)"),
	}}
	remove := types.TransactWriteItem{Delete: &types.Delete{TableName: aws.String(name), Key: key("p", "a")}}
	for _, step := range []struct {
		what string
		do   func() units
		want units
	}{
		{"an item that is not there is read", func() units { return w.get("a", true) }, units{Table: 1}},
		{"a query finds nothing", func() units { return w.ask(true) }, units{Index: 0.5}},
		{"1 KB is written", func() units { return w.put(of("a", "", 1024)) }, units{Table: 1}},
		{"a byte more", func() units { return w.put(of("a", "", 1025)) }, units{Table: 2}},
		{"less in its place", func() units { return w.put(of("a", "", 100)) }, units{Table: 2}},
		{"it goes into the index", func() units { return w.put(of("a", "1", 2000)) }, units{Table: 2, Index: 2}},
		{"it stays in its place there", func() units { return w.put(of("a", "1", 3000)) }, units{Table: 3, Index: 3}},
		{"it moves there", func() units { return w.put(of("a", "2", 4000)) }, units{Table: 4, Index: 3 + 4}},
		{"it leaves the index", func() units { return w.put(of("a", "", 4096)) }, units{Table: 4, Index: 4}},
		{"4 KB are read", func() units { return w.get("a", true) }, units{Table: 1}},
		{"the same, eventually consistent", func() units { return w.get("a", false) }, units{Table: 0.5}},
		{"a transaction counts twice, its index once", func() units { return w.commit(put(of("b", "1", 1024)), check) }, units{Table: 2 + 8, Index: 1}},
		{"items of a query are counted together", func() units { return w.ask(false) }, units{Table: 2}},
		{"so are those of the index", func() units { return w.ask(true) }, units{Index: 0.5}},
		{"a deletion", func() units { return w.commit(remove) }, units{Table: 8}},
	} {
		if diff := cmp.Diff(step.want, step.do()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.what, diff)
		}
	}
	out, err := w.root.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: aws.String(name), Key: key("p", "b")})
	if err != nil || out.ConsumedCapacity != nil {
		t.Errorf("who does not ask is told %v %v", out.ConsumedCapacity, err)
	}
}
