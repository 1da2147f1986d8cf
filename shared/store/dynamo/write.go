package dynamo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/shared/store"
)

// A transaction that meets another one on the same item is refused by DynamoDB although its
// conditions may hold. It is tried again after a random part of a pause that doubles.
const (
	attempts   = 5
	firstPause = 25 * time.Millisecond
)

// errBusy is an attempt that failed for what goes on beside it and may be repeated.
type errBusy struct {
	key *store.Key // the item that others are writing; nil if capacity is the reason
	err error
}

func (e *errBusy) Error() string { return e.err.Error() }
func (e *errBusy) Unwrap() error { return e.err }

// Write implements store.Table.
func (t *Table) Write(ctx context.Context, ops ...store.Op) error {
	if err := store.Validate(ops); err != nil {
		return err
	}
	once := t.transact
	if len(ops) == 1 && ops[0].Kind == store.OpPut {
		once = t.put
	}
	id := rand.Text() // 26 characters; a ClientRequestToken has up to 36
	for attempt, pause := 1, firstPause; ; attempt, pause = attempt+1, 2*pause {
		err := once(ctx, ops, id)
		busy, isBusy := errors.AsType[*errBusy](err)
		if !isBusy {
			return err
		}
		if attempt == attempts {
			if busy.key != nil {
				return &store.ConflictError{Key: *busy.key}
			}
			return busy.err
		}
		if err := sleep(ctx, mathrand.N(pause)); err != nil { //nolint:gosec // spreads retries, guards nothing
			return fmt.Errorf("dynamo: write: %w", err)
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// put stores one item at half the price of a transaction. PutItem knows no request token: if
// its answer is lost and the SDK repeats it, the repetition meets the item that the first
// stored, and its condition fails. So each item names the write that stored it, and a
// conflict with this very write is success. Other single operations leave nothing behind to
// recognise them by and go through transact.
func (t *Table) put(ctx context.Context, ops []store.Op, id string) error {
	item := ops[0].Item
	c := conditionOn(item)
	_, err := t.client.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: &t.name, Item: encode(item, id),
		ConditionExpression: c.expression, ExpressionAttributeNames: c.names, ExpressionAttributeValues: c.values,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	})
	if err == nil {
		return nil
	}
	if stored, ok := conflict(err); ok {
		if write, ok := stored[writeAttribute].(*types.AttributeValueMemberS); ok && write.Value == id {
			return nil
		}
		return &store.ConflictError{Key: item.Key}
	}
	err = fmt.Errorf("dynamo: put %s: %w", item.Key, err)
	if _, ok := errors.AsType[*types.TransactionConflictException](err); ok {
		return &errBusy{key: &item.Key, err: err}
	}
	return err
}

// transact writes any operations. The id is the request token, by which DynamoDB recognises
// repetitions.
func (t *Table) transact(ctx context.Context, ops []store.Op, id string) error {
	in := &dynamodb.TransactWriteItemsInput{ClientRequestToken: &id}
	for _, op := range ops {
		in.TransactItems = append(in.TransactItems, t.transactItem(op, id))
	}
	_, err := t.client.TransactWriteItems(ctx, in)
	if err == nil {
		return nil
	}
	wrapped := fmt.Errorf("dynamo: write %s and %d more: %w", ops[0].Item.Key, len(ops)-1, err)
	if cancelled, ok := errors.AsType[*types.TransactionCanceledException](err); ok {
		return explain(cancelled.CancellationReasons, ops, wrapped)
	}
	return wrapped
}

// explain turns the reasons of a cancelled transaction, one per operation, into an error. A
// condition that does not hold counts before what may pass.
func explain(reasons []types.CancellationReason, ops []store.Op, err error) error {
	var busy *errBusy
	for i, reason := range reasons[:min(len(reasons), len(ops))] {
		switch aws.ToString(reason.Code) {
		case "ConditionalCheckFailed":
			return &store.ConflictError{Key: ops[i].Item.Key}
		case "TransactionConflict":
			if busy == nil || busy.key == nil {
				busy = &errBusy{key: &ops[i].Item.Key, err: err}
			}
		case "ThrottlingError", "ProvisionedThroughputExceeded":
			if busy == nil {
				busy = &errBusy{err: err}
			}
		}
	}
	if busy != nil {
		return busy
	}
	return err
}

func (t *Table) transactItem(op store.Op, id string) types.TransactWriteItem {
	c := conditionOn(op.Item)
	switch op.Kind {
	case store.OpPut:
		return types.TransactWriteItem{Put: &types.Put{
			TableName: &t.name, Item: encode(op.Item, id),
			ConditionExpression: c.expression, ExpressionAttributeNames: c.names, ExpressionAttributeValues: c.values,
		}}
	case store.OpDelete:
		return types.TransactWriteItem{Delete: &types.Delete{
			TableName: &t.name, Key: keyAttributes(op.Item.Key),
			ConditionExpression: c.expression, ExpressionAttributeNames: c.names, ExpressionAttributeValues: c.values,
		}}
	case store.OpCheck:
	}
	return types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{
		TableName: &t.name, Key: keyAttributes(op.Item.Key),
		ConditionExpression: c.expression, ExpressionAttributeNames: c.names, ExpressionAttributeValues: c.values,
	}}
}

// condition is what must hold for an operation: the stored version is the item's.
type condition struct {
	expression *string
	names      map[string]string
	values     map[string]types.AttributeValue
}

func conditionOn(item store.Item) condition {
	if item.Version == 0 {
		return condition{
			expression: aws.String("attribute_not_exists(#pk)"), names: map[string]string{"#pk": pkAttribute},
		}
	}
	return condition{
		expression: aws.String("#version = :version"), names: map[string]string{"#version": versionAttribute},
		values: map[string]types.AttributeValue{":version": number(item.Version)},
	}
}
