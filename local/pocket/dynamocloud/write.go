package dynamocloud

import (
	"maps"
	"slices"
	"strings"

	"go.etcd.io/bbolt"

	"latchkey/local/pocket/awscloud"
)

// writeIn is one write: the request of PutItem and DeleteItem, or a member of a transaction.
type writeIn struct {
	TableName                           string
	Item                                item // of a put
	Key                                 item // of anything else
	ConditionExpression                 string
	ExpressionAttributeNames            map[string]string
	ExpressionAttributeValues           map[string]value
	ReturnValuesOnConditionCheckFailure string
	ReturnConsumedCapacity              string `json:",omitempty"` // of a write outside any transaction
}

// The kinds of write, as transactions name them.
const (
	kindPut    = "Put"
	kindDelete = "Delete"
	kindCheck  = "ConditionCheck"
)

// actions are the permissions that the kinds need.
var actions = map[string]string{kindPut: "PutItem", kindDelete: "DeleteItem", kindCheck: "ConditionCheckItem"}

// write is a checked write.
type write struct {
	kind      string
	table     *table
	tableName string
	hash      string
	key       []byte
	item      item
	condition []term
	allOld    bool // a failed condition returns what is stored
}

// write checks a write and the caller's permission for it. within are the condition keys that
// the enclosing operation adds.
func (d *dynamo) write(r *awscloud.Request, kind string, in writeIn, within map[string][]string) (*write, error) {
	w := &write{kind: kind, tableName: in.TableName, item: in.Item}
	a, err := d.access(r, in.TableName)
	if err != nil {
		return w, err
	}
	if a.table == nil {
		return w, a.allow(actions[kind], r.ARN("table/"+in.TableName), within)
	}
	w.table = a.table
	if err := w.check(in); err != nil {
		return w, err
	}
	context := leading(w.hash)
	maps.Copy(context, within)
	return w, a.allow(actions[kind], a.ARN, context)
}

func (w *write) check(in writeIn) error {
	var k keys
	var err error
	if w.kind == kindPut {
		if in.Key != nil {
			return invalid("a put has an Item and no Key")
		}
		k, err = in.Item.checkPut(w.table)
	} else {
		if in.Item != nil {
			return invalid("only a put has an Item")
		}
		k, err = in.Key.exactKey(w.table.Key)
	}
	if err != nil {
		return err
	}
	w.hash, w.key = k.hash, k.bytes()
	e, err := newExpressions(in.ExpressionAttributeNames, in.ExpressionAttributeValues)
	if err != nil {
		return err
	}
	if w.condition, err = e.condition(in.ConditionExpression); err != nil {
		return err
	}
	if w.kind == kindCheck && w.condition == nil {
		return invalid("The ConditionExpression of a ConditionCheck must not be empty")
	}
	switch in.ReturnValuesOnConditionCheckFailure {
	case "", "NONE":
	case "ALL_OLD":
		w.allOld = true
	default:
		return invalid("Value '%s' at 'returnValuesOnConditionCheckFailure' failed to satisfy constraint: "+
			"Member must satisfy enum value set: [ALL_OLD, NONE]", in.ReturnValuesOnConditionCheckFailure)
	}
	return e.finish()
}

// tooLarge reports whether the write's item exceeds the limit.
func (w *write) tooLarge() bool { return w.kind == kindPut && w.item.size() > maxItem }

func (d *dynamo) putItem(r *awscloud.Request) (any, error)    { return d.single(r, kindPut) }
func (d *dynamo) deleteItem(r *awscloud.Request) (any, error) { return d.single(r, kindDelete) }

// single performs one write outside any transaction.
func (d *dynamo) single(r *awscloud.Request, kind string) (any, error) {
	var in writeIn
	if err := r.Decode(&in); err != nil {
		return nil, err
	}
	w, err := d.write(r, kind, in, nil)
	if err != nil {
		return nil, err
	}
	if w.tooLarge() {
		return nil, invalid("Item size has exceeded the maximum allowed size")
	}
	if err := checkCapacity(in.ReturnConsumedCapacity); err != nil {
		return nil, err
	}
	var taken capacity
	err = d.update(r, w.tableName, func(s *storage) error {
		old, err := s.get(w.key)
		if err != nil {
			return err
		}
		if !holds(w.condition, old) {
			return conditionFailed(w, old)
		}
		taken.write(s.table, old, w.item, 1)
		if err := s.apply(w, old); err != nil {
			return err
		}
		return s.sweep()
	})
	return taken.answerWith(map[string]any{}, w.tableName, in.ReturnConsumedCapacity), err
}

func conditionFailed(w *write, old item) error {
	f := &awscloud.Failure{Code: "ConditionalCheckFailedException", Message: conditionMessage}
	if w.allOld && old != nil {
		f.Members = map[string]any{"Item": old}
	}
	return f
}

const conditionMessage = "The conditional request failed"

// apply does a write whose condition holds.
func (s *storage) apply(w *write, old item) error {
	switch w.kind {
	case kindPut:
		if err := s.put(w.key, old, w.item); err != nil {
			return err
		}
		return s.record(old, w.item, false)
	case kindDelete:
		if err := s.remove(w.key, old); err != nil {
			return err
		}
		return s.record(old, nil, false)
	}
	return nil
}

type transactIn struct {
	ClientRequestToken     string
	TransactItems          []map[string]writeIn // one kind each
	ReturnConsumedCapacity string
}

// transactWriteItems performs all writes or none. A transaction that happened is not done
// again if it is repeated with its token.
func (d *dynamo) transactWriteItems(r *awscloud.Request) (any, error) {
	var in transactIn
	if err := r.Decode(&in); err != nil {
		return nil, err
	}
	if n := len(in.TransactItems); n == 0 || n > maxOperations || len(in.ClientRequestToken) > maxToken {
		return nil, invalid("a transaction has 1 to %d operations and a ClientRequestToken of at most %d characters", maxOperations, maxToken)
	}
	if err := checkCapacity(in.ReturnConsumedCapacity); err != nil {
		return nil, err
	}
	writes, err := d.writes(r, in.TransactItems)
	if err != nil {
		return nil, err
	}
	once, err := in.once(r)
	if err != nil {
		return nil, err
	}
	taken := map[string]*capacity{}
	err = d.db.Update(func(tx *bbolt.Tx) error {
		if done, err := once.isDone(tx); done || err != nil {
			return err
		}
		if err := d.transact(tx, r, writes, taken); err != nil {
			return err
		}
		return once.remember(tx)
	})
	return in.answer(taken), err
}

// answer tells what a transaction took of each table. What happened before takes nothing to write.
func (in transactIn) answer(taken map[string]*capacity) map[string]any {
	var all []map[string]any
	for _, name := range slices.Sorted(maps.Keys(taken)) {
		if told := taken[name].told(name, in.ReturnConsumedCapacity); told != nil {
			told["WriteCapacityUnits"] = told["CapacityUnits"]
			all = append(all, told)
		}
	}
	if all == nil {
		return map[string]any{}
	}
	return map[string]any{"ConsumedCapacity": all}
}

// writes checks the writes of a transaction, each for itself and all together.
func (d *dynamo) writes(r *awscloud.Request, in []map[string]writeIn) ([]*write, error) {
	within := map[string][]string{"dynamodb:enclosingoperation": {"TransactWriteItems"}}
	var writes []*write
	seen, size := map[string]bool{}, 0
	for _, member := range in {
		if len(member) != 1 {
			return nil, invalid("TransactItems can only contain one of Check, Put, Update or Delete")
		}
		for kind, one := range member {
			if actions[kind] == "" {
				return nil, invalid("the pocket DynamoDB does not have %s in transactions", kind)
			}
			w, err := d.write(r, kind, one, within)
			if err != nil {
				return nil, err
			}
			id := w.tableName + "/" + string(w.key)
			if seen[id] {
				return nil, invalid("Transaction request cannot include multiple operations on one item")
			}
			seen[id] = true
			size += w.item.size()
			writes = append(writes, w)
		}
	}
	if size > maxTransaction {
		return nil, invalid("The aggregate size of the items in the transaction exceeds 4 MB")
	}
	return writes, nil
}

// reason is why a transaction was cancelled, as far as one of its writes is concerned.
type reason struct {
	Code    string
	Message string `json:",omitempty"`
	Item    item   `json:",omitempty"`
}

// transact checks all conditions before it changes anything, since what it is in can't undo a
// part of itself. It counts what each table takes.
func (d *dynamo) transact(tx *bbolt.Tx, r *awscloud.Request, writes []*write, taken map[string]*capacity) error {
	stored, opened := make([]item, len(writes)), make([]*storage, len(writes))
	reasons, codes, failed := make([]reason, len(writes)), make([]string, len(writes)), false
	for i, w := range writes {
		var err error
		if opened[i], err = d.open(tx, r, w.tableName); err != nil {
			return err
		}
		if stored[i], err = opened[i].get(w.key); err != nil {
			return err
		}
		reasons[i] = w.judge(stored[i])
		codes[i] = reasons[i].Code
		failed = failed || codes[i] != reasonNone
	}
	if failed {
		message := "Transaction cancelled, please refer cancellation reasons for specific reasons [" + strings.Join(codes, ", ") + "]"
		return &awscloud.Failure{Code: "TransactionCanceledException", Message: message, Members: map[string]any{
			"Message": message, "CancellationReasons": reasons, // this one is spelt with a capital letter
		}}
	}
	for i, w := range writes {
		if taken[w.tableName] == nil {
			taken[w.tableName] = &capacity{}
		}
		taken[w.tableName].transacted(w, stored[i])
		if err := opened[i].apply(w, stored[i]); err != nil {
			return err
		}
	}
	return opened[0].sweep()
}

const reasonNone = "None"

func (w *write) judge(stored item) reason {
	switch {
	case w.tooLarge():
		return reason{Code: "ValidationError", Message: "Item size has exceeded the maximum allowed size"}
	case holds(w.condition, stored):
		return reason{Code: reasonNone}
	}
	r := reason{Code: "ConditionalCheckFailed", Message: conditionMessage}
	if w.allOld {
		r.Item = stored
	}
	return r
}
