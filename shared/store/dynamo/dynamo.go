// Package dynamo is the table in Amazon DynamoDB.
//
// Its invariant: an answer is never guessed. A write whose answer was lost and that the SDK
// repeats is recognised as this caller's own, and every read of the table itself is strongly
// consistent. What is deployed imports it.
package dynamo

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/shared/store"
)

// The attributes of an item, and the index. The template declares the keys, the index and
// the TTL attribute by these names; CreateTable does too.
const (
	pkAttribute      = "pk"
	skAttribute      = "sk"
	indexPKAttribute = "gsi1pk"
	indexSKAttribute = "gsi1sk"
	versionAttribute = "version"
	expiresAttribute = "expires" // seconds since 1970: DynamoDB removes the item some time after
	bodyAttribute    = "body"    // text, or binary if it is packed
	writeAttribute   = "write"   // names the Write that stored the item, see Table.put

	indexName = "gsi1"
)

// Table is a table in DynamoDB.
type Table struct {
	client *dynamodb.Client
	name   string
	packer packer
}

// New binds a client to the table's name. It does no I/O. Throttling and lost connections are
// left to the client's retryer.
func New(client *dynamodb.Client, name string) *Table { return &Table{client: client, name: name} }

// Get implements store.Table.
func (t *Table) Get(ctx context.Context, key store.Key) (store.Item, error) {
	if err := store.CheckKey(key); err != nil {
		return store.Item{}, err
	}
	out, err := t.client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &t.name, Key: keyAttributes(key), ConsistentRead: aws.Bool(true),
	})
	if err != nil {
		return store.Item{}, fmt.Errorf("dynamo: get %s: %w", key, err)
	}
	if len(out.Item) == 0 {
		return store.Item{}, store.ErrNotFound
	}
	return t.packer.decode(out.Item)
}

// Query implements store.Table.
func (t *Table) Query(ctx context.Context, q store.Query) (store.Page, error) {
	if err := q.Validate(); err != nil {
		return store.Page{}, err
	}
	in, limit, ok, err := t.queryInput(q)
	if err != nil || !ok {
		return store.Page{}, err
	}
	var page store.Page
	for {
		out, err := t.client.Query(ctx, in)
		if err != nil {
			return store.Page{}, fmt.Errorf("dynamo: query %q: %w", q.PK, err)
		}
		done := len(out.LastEvaluatedKey) == 0
		for _, attributes := range out.Items {
			item, err := t.packer.decode(attributes)
			if err != nil {
				return store.Page{}, err
			}
			if q.PlaceOf(item).SK == limit {
				done = done || !q.Descending // nothing behind it can be selected
				continue
			}
			page.Items = append(page.Items, item)
		}
		if n := len(page.Items); n > 0 && !done {
			page.Next = q.NextAfter(page.Items[n-1])
		}
		if done || len(page.Items) > 0 {
			return page, nil
		}
		in.ExclusiveStartKey = out.LastEvaluatedKey
	}
}

// queryInput translates a query. ok is false if no item can match it. limit, if not "", is
// the end of the sort keys, which DynamoDB includes and the port does not.
func (t *Table) queryInput(q store.Query) (in *dynamodb.QueryInput, limit string, ok bool, err error) {
	place, started, err := q.Place()
	if err != nil {
		return nil, "", false, err
	}
	pk, sk := pkAttribute, skAttribute
	in = &dynamodb.QueryInput{TableName: &t.name, ScanIndexForward: aws.Bool(!q.Descending)}
	if q.Index {
		pk, sk = indexPKAttribute, indexSKAttribute
		in.IndexName = aws.String(indexName)
	} else {
		in.ConsistentRead = aws.Bool(true)
	}
	if q.Limit > 0 {
		in.Limit = aws.Int32(int32(min(q.Limit, math.MaxInt32)))
	}
	if started {
		in.ExclusiveStartKey = startKey(q, place)
	}
	condition, values, limit, ok := sortKeyCondition(q)
	in.KeyConditionExpression = aws.String("#pk = :pk" + condition)
	in.ExpressionAttributeNames = map[string]string{"#pk": pk}
	in.ExpressionAttributeValues = map[string]types.AttributeValue{":pk": text(q.PK)}
	for name, value := range values {
		in.ExpressionAttributeNames["#sk"] = sk
		in.ExpressionAttributeValues[name] = text(value)
	}
	return in, limit, ok, nil
}

// sortKeyCondition states Prefix, From and Until as the one condition on the sort key that
// DynamoDB allows. BETWEEN includes its end, so that end is also returned as limit; key
// attributes can't be filtered by DynamoDB itself.
func sortKeyCondition(q store.Query) (condition string, values map[string]string, limit string, ok bool) {
	low, high, ok := q.Range()
	prefixLow, prefixHigh, _ := store.Query{Prefix: q.Prefix}.Range()
	switch {
	case low == "" && high == "":
		return "", nil, "", ok
	case q.Prefix != "" && low == prefixLow && high == prefixHigh:
		return " AND begins_with(#sk, :prefix)", map[string]string{":prefix": q.Prefix}, "", ok
	case high == "":
		return " AND #sk >= :low", map[string]string{":low": low}, "", ok
	case low == "":
		return " AND #sk < :high", map[string]string{":high": high}, "", ok
	}
	return " AND #sk BETWEEN :low AND :high", map[string]string{":low": low, ":high": high}, high, ok
}

// startKey takes the partition from the query, never from the place.
func startKey(q store.Query, p store.Place) map[string]types.AttributeValue {
	if !q.Index {
		return keyAttributes(store.Key{PK: q.PK, SK: p.SK})
	}
	start := keyAttributes(p.Item)
	start[indexPKAttribute], start[indexSKAttribute] = text(q.PK), text(p.SK)
	return start
}

func keyAttributes(k store.Key) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{pkAttribute: text(k.PK), skAttribute: text(k.SK)}
}

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

// encode renders the version of an item that a put stores.
func (p *packer) encode(item store.Item, write string) map[string]types.AttributeValue {
	attributes := keyAttributes(item.Key)
	attributes[versionAttribute] = number(item.Version + 1)
	attributes[bodyAttribute] = text(string(item.Body))
	if item.Packed {
		if packed, ok := p.pack(item.Body); ok {
			attributes[bodyAttribute] = &types.AttributeValueMemberB{Value: packed}
		}
	}
	attributes[writeAttribute] = text(write)
	if item.Index != (store.Key{}) {
		attributes[indexPKAttribute], attributes[indexSKAttribute] = text(item.Index.PK), text(item.Index.SK)
	}
	if !item.Expires.IsZero() {
		attributes[expiresAttribute] = number(item.Expires.Unix())
	}
	return attributes
}

// decode reverses encode. An error means that something else wrote into the table.
func (p *packer) decode(attributes map[string]types.AttributeValue) (store.Item, error) {
	d := decoder{attributes: attributes, packer: p}
	item := store.Item{
		Key:     store.Key{PK: d.text(pkAttribute, true), SK: d.text(skAttribute, true)},
		Index:   store.Key{PK: d.text(indexPKAttribute, false), SK: d.text(indexSKAttribute, false)},
		Version: d.number(versionAttribute, true),
		Body:    d.body(),
	}
	if seconds := d.number(expiresAttribute, false); seconds != 0 {
		item.Expires = time.Unix(seconds, 0).UTC()
	}
	if d.wrong != "" {
		return store.Item{}, fmt.Errorf("dynamo: the attribute %q of %s is not Latchkey's", d.wrong, item.Key)
	}
	return item, nil
}

// decoder reads attributes and remembers one that is wrong.
type decoder struct {
	attributes map[string]types.AttributeValue
	packer     *packer
	wrong      string
}

func (d *decoder) body() []byte {
	packed, ok := d.attributes[bodyAttribute].(*types.AttributeValueMemberB)
	if !ok {
		return []byte(d.text(bodyAttribute, true))
	}
	body, err := d.packer.unpack(packed.Value)
	if err != nil {
		d.wrong = bodyAttribute
	}
	return body
}

func (d *decoder) text(name string, required bool) string {
	switch v := d.attributes[name].(type) {
	case *types.AttributeValueMemberS:
		return v.Value
	case nil:
		if !required {
			return ""
		}
	}
	d.wrong = name
	return ""
}

func (d *decoder) number(name string, required bool) int64 {
	switch v := d.attributes[name].(type) {
	case *types.AttributeValueMemberN:
		n, err := strconv.ParseInt(v.Value, 10, 64)
		if err == nil {
			return n
		}
	case nil:
		if !required {
			return 0
		}
	}
	d.wrong = name
	return 0
}

// conflict reports whether err says that a put's condition did not hold, and what is stored.
func conflict(err error) (stored map[string]types.AttributeValue, ok bool) {
	e, ok := errors.AsType[*types.ConditionalCheckFailedException](err)
	if !ok {
		return nil, false
	}
	return e.Item, true
}
