package dynamocloud

import (
	"bytes"

	"go.etcd.io/bbolt"

	"latchkey/local/pocket/awscloud"
)

type getItemIn struct {
	TableName              string
	Key                    item
	ConsistentRead         bool // every read is; only the price differs
	ReturnConsumedCapacity string
}

func (d *dynamo) getItem(r *awscloud.Request) (any, error) {
	var in getItemIn
	if err := r.Decode(&in); err != nil {
		return nil, err
	}
	a, err := d.access(r, in.TableName)
	if err != nil {
		return nil, err
	}
	if a.table == nil {
		return nil, a.allow("GetItem", r.ARN("table/"+in.TableName), nil)
	}
	k, err := in.Key.exactKey(a.Key)
	if err != nil {
		return nil, err
	}
	if err := checkCapacity(in.ReturnConsumedCapacity); err != nil {
		return nil, err
	}
	if err := a.allow("GetItem", a.ARN, leading(k.hash)); err != nil {
		return nil, err
	}
	answer, taken := map[string]any{}, capacity{}
	err = d.view(r, in.TableName, func(s *storage) error {
		found, err := s.get(k.bytes())
		taken.table = readUnits(found.size(), in.ConsistentRead)
		if found != nil {
			answer["Item"] = found
		}
		return err
	})
	return taken.answerWith(answer, in.TableName, in.ReturnConsumedCapacity), err
}

type queryIn struct {
	TableName                 string
	IndexName                 string
	ConsistentRead            bool
	KeyConditionExpression    string
	ExpressionAttributeNames  map[string]string
	ExpressionAttributeValues map[string]value
	ScanIndexForward          *bool
	Limit                     *int
	ExclusiveStartKey         item
	ReturnConsumedCapacity    string
}

func (d *dynamo) query(r *awscloud.Request) (any, error) {
	var in queryIn
	if err := r.Decode(&in); err != nil {
		return nil, err
	}
	a, err := d.access(r, in.TableName)
	if err != nil {
		return nil, err
	}
	resource := r.ARN("table/" + in.TableName)
	if in.IndexName != "" {
		resource += "/index/" + in.IndexName
	}
	if a.table == nil {
		return nil, a.allow("Query", resource, nil)
	}
	s, err := in.scan(a.table)
	if err != nil {
		return nil, err
	}
	if err := a.allow("Query", resource, leading(s.hash)); err != nil {
		return nil, err
	}
	var p page
	err = d.view(r, in.TableName, func(st *storage) error {
		var err error
		p, err = st.read(s)
		return err
	})
	if err != nil {
		return nil, err
	}
	answer := map[string]any{"Items": p.items, "Count": len(p.items), "ScannedCount": len(p.items)}
	if p.last != nil {
		answer["LastEvaluatedKey"] = p.last
	}
	return in.capacity(p).answerWith(answer, in.TableName, in.ReturnConsumedCapacity), nil
}

// capacity is what a page takes: its items are counted together.
func (in queryIn) capacity(p page) *capacity {
	n := readUnits(p.size, in.ConsistentRead)
	if in.IndexName == "" {
		return &capacity{table: n}
	}
	return &capacity{indexes: map[string]float64{in.IndexName: n}}
}

// scan is a query in terms of a bucket's keys: low <= key < high, beginning behind after.
type scan struct {
	index            *index // nil for the table itself
	hash             string
	low, high, after []byte
	descending       bool
	limit            int // 0 is none
}

// scan checks the request and translates it.
func (in queryIn) scan(t *table) (scan, error) {
	s := scan{descending: in.ScanIndexForward != nil && !*in.ScanIndexForward}
	key := t.Key
	if in.IndexName != "" {
		x, ok := t.index(in.IndexName)
		if !ok {
			return s, invalid("The table does not have the specified index: %s", in.IndexName)
		}
		if in.ConsistentRead {
			return s, invalid("Consistent reads are not supported on global secondary indexes")
		}
		s.index, key = &x, x.Key
	}
	if in.Limit != nil {
		if s.limit = *in.Limit; s.limit < 1 {
			return s, invalid("1 validation error detected: Value '%d' at 'limit' failed to satisfy constraint: "+
				"Member must have value greater than or equal to 1", s.limit)
		}
	}
	if err := checkCapacity(in.ReturnConsumedCapacity); err != nil {
		return s, err
	}
	e, err := newExpressions(in.ExpressionAttributeNames, in.ExpressionAttributeValues)
	if err != nil {
		return s, err
	}
	hash, bounds, err := e.keyCondition(in.KeyConditionExpression, key)
	if err != nil {
		return s, err
	}
	if err := e.finish(); err != nil {
		return s, err
	}
	s.hash = hash
	s.low, s.high = s.bound(bounds.low), s.bound(bounds.high)
	if bounds.high == "" {
		s.high = following(partition(hash))
	}
	return s, in.start(&s, t)
}

func (s scan) bound(sort string) []byte {
	if s.index != nil {
		return append(partition(s.hash), escape(sort)...)
	}
	return append(partition(s.hash), sort...)
}

// start reads the place behind which a query begins. It must be one of the query itself.
func (in queryIn) start(s *scan, t *table) error {
	if in.ExclusiveStartKey == nil {
		return nil
	}
	names := map[string]bool{t.Key.Hash: true, t.Key.Range: true}
	if s.index != nil {
		names[s.index.Key.Hash], names[s.index.Key.Range] = true, true
	}
	if err := in.ExclusiveStartKey.validate(); err != nil {
		return err
	}
	own, err := in.ExclusiveStartKey.key(t.Key)
	if err != nil || len(in.ExclusiveStartKey) != len(names) {
		return invalid("The provided starting key is invalid")
	}
	s.after = own.bytes()
	if s.index != nil {
		place, err := in.ExclusiveStartKey.key(s.index.Key)
		if err != nil {
			return invalid("The provided starting key is invalid")
		}
		s.after = entryKey(place, s.after)
	}
	if bytes.Compare(s.after, s.low) < 0 || bytes.Compare(s.after, s.high) >= 0 {
		return invalid("The provided starting key is outside query boundaries based on provided conditions")
	}
	return nil
}

// page is the answer to a query. last is set if there may be more.
type page struct {
	items []item
	size  int // of all items
	last  item
}

func (s *storage) read(q scan) (page, error) {
	p := page{items: []item{}}
	bucket := s.items()
	if q.index != nil {
		bucket = s.entries(q.index.Name)
	}
	c := bucket.Cursor()
	for k, v := q.first(c); k != nil && bytes.Compare(k, q.low) >= 0 && bytes.Compare(k, q.high) < 0; k, v = q.next(c) {
		if q.index != nil {
			v = s.items().Get(v)
		}
		found, err := decodeItem(v)
		if err != nil {
			return p, err
		}
		p.items = append(p.items, found)
		p.size += found.size()
		if len(p.items) == q.limit || p.size > maxPage {
			p.last = s.place(q, found)
			return p, nil
		}
	}
	return p, nil
}

// place is the LastEvaluatedKey that names an item.
func (s *storage) place(q scan, i item) item {
	names := []string{s.table.Key.Hash, s.table.Key.Range}
	if q.index != nil {
		names = append(names, q.index.Key.Hash, q.index.Key.Range)
	}
	place := item{}
	for _, name := range names {
		place[name] = i[name]
	}
	return place
}

func (s scan) first(c *bbolt.Cursor) (k, v []byte) {
	if !s.descending {
		if s.after == nil {
			return c.Seek(s.low)
		}
		if k, v = c.Seek(s.after); bytes.Equal(k, s.after) {
			return c.Next()
		}
		return k, v
	}
	end := s.high
	if s.after != nil {
		end = s.after
	}
	if k, _ = c.Seek(end); k == nil {
		return c.Last()
	}
	return c.Prev()
}

func (s scan) next(c *bbolt.Cursor) (k, v []byte) {
	if s.descending {
		return c.Prev()
	}
	return c.Next()
}
