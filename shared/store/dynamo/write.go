package dynamo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

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
	id := rand.Text() // 26 characters; a ClientRequestToken has up to 36
	once := func(ctx context.Context) error { return t.transact(ctx, ops, id) }
	if len(ops) == 1 && ops[0].Kind == store.OpPut && ops[0].Item.Version > 0 {
		once = (&put{Table: t, item: ops[0].Item, id: id}).once
	}
	for attempt, pause := 1, firstPause; ; attempt, pause = attempt+1, 2*pause {
		err := once(ctx)
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

// put stores the next version of one item at half the price of a transaction. PutItem knows no request
// token: if its answer is lost and the SDK repeats it, the repetition meets the item that the
// first stored, and its condition fails. So each item names the write that stored it, and a
// conflict with this very write is success. A conflict with any other may be one with somebody who
// has written upon ours, so once an answer was lost it says nothing.
//
// What this relies on is that a version comes only once: nobody deletes the item, makes it anew and
// writes it up to the same version while an answer is waited for (see store.Item). A new item goes
// through transact, since it would take no more than a deletion to have it made twice; so do other
// single operations, which leave nothing behind to recognise them by.
type put struct {
	*Table
	item store.Item
	id   string
	lost bool // an attempt may have happened whose answer is not known
}

// once puts the item, as often as the client's retryer wants to.
func (p *put) once(ctx context.Context) error {
	c := conditionOn(p.item)
	_, err := p.client.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: &p.name, Item: p.packer.encode(p.item, p.id),
		ConditionExpression: c.expression, ExpressionAttributeNames: c.names, ExpressionAttributeValues: c.values,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}, dynamodb.WithAPIOptions(p.watch))
	if err == nil {
		return nil
	}
	if stored, ok := conflict(err); ok {
		if write, ok := stored[writeAttribute].(*types.AttributeValueMemberS); ok && write.Value == p.id {
			return nil
		}
		if p.lost {
			return fmt.Errorf("dynamo: put %s: an answer was lost, and another write follows upon it or came before", p.item.Key)
		}
		return &store.ConflictError{Key: p.item.Key}
	}
	err = fmt.Errorf("dynamo: put %s: %w", p.item.Key, err)
	if _, ok := errors.AsType[*types.TransactionConflictException](err); !ok {
		return err
	}
	if p.lost {
		return &errBusy{err: err}
	}
	return &errBusy{key: &p.item.Key, err: err}
}

// watch looks at the answer of each attempt. Only a refusal of the request proves that it did not happen.
func (p *put) watch(stack *middleware.Stack) error {
	return stack.Finalize.Insert(middleware.FinalizeMiddlewareFunc("latchkey/lostAnswers",
		func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
			out, metadata, err := next.HandleFinalize(ctx, in)
			p.lost = p.lost || err != nil && !isRefusal(err)
			return out, metadata, err
		}), "Retry", middleware.After)
}

func isRefusal(err error) bool {
	answer, ok := errors.AsType[*smithyhttp.ResponseError](err)
	return ok && answer.HTTPStatusCode() >= http.StatusBadRequest && answer.HTTPStatusCode() < http.StatusInternalServerError
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
			TableName: &t.name, Item: t.packer.encode(op.Item, id),
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
