package dynamocloud

import "maps"

// How DynamoDB counts: a unit reads 4 KB with strong consistency or 8 KB without, or writes 1 KB.
// Nothing is free, whatever its size. A transaction prepares and commits, so each of its items
// counts twice; indexes are written after it, once.
const (
	readUnit         = 4 << 10
	writeUnit        = 1 << 10
	eventually       = 0.5
	transactionUnits = 2
)

// units is how many units a number of bytes takes.
func units(size, unit int) float64 { return float64(max(1, (size+unit-1)/unit)) }

// readUnits is what a read of some bytes takes.
func readUnits(size int, consistent bool) float64 {
	if consistent {
		return units(size, readUnit)
	}
	return eventually * units(size, readUnit)
}

// capacity is what an operation on one table takes.
type capacity struct {
	table   float64
	indexes map[string]float64
}

// write adds what it takes to have an item in the place of another one; nil is none.
func (c *capacity) write(t *table, old, i item, perUnit float64) {
	c.table += perUnit * units(max(old.size(), i.size()), writeUnit)
	for _, x := range t.Indexes {
		if n := x.writeUnits(old, i); n > 0 {
			c.indexes = maps.Clone(c.indexes)
			if c.indexes == nil {
				c.indexes = map[string]float64{}
			}
			c.indexes[x.Name] += n
		}
	}
}

// transacted adds what a write of a transaction takes. A condition alone takes what writing the item would.
func (c *capacity) transacted(w *write, old item) {
	if w.kind == kindCheck {
		c.table += transactionUnits * units(old.size(), writeUnit)
		return
	}
	c.write(w.table, old, w.item, transactionUnits)
}

// writeUnits is what an index takes to follow a write. An item that moves within it is taken out and put in.
func (x index) writeUnits(old, i item) float64 {
	from, wasThere, _ := old.indexKey(x)
	to, isThere, _ := i.indexKey(x)
	switch {
	case wasThere && isThere && from == to:
		return units(max(old.size(), i.size()), writeUnit)
	case wasThere && isThere:
		return units(old.size(), writeUnit) + units(i.size(), writeUnit)
	case wasThere:
		return units(old.size(), writeUnit)
	case isThere:
		return units(i.size(), writeUnit)
	}
	return 0
}

// What may be asked for, besides nothing.
const (
	capacityTotal   = "TOTAL"
	capacityIndexes = "INDEXES"
)

// checkCapacity checks what a request wants to be told of its capacity.
func checkCapacity(wanted string) error {
	switch wanted {
	case "", "NONE", capacityTotal, capacityIndexes:
		return nil
	}
	return invalid("1 validation error detected: Value '%s' at 'returnConsumedCapacity' failed to satisfy constraint: "+
		"Member must satisfy enum value set: [INDEXES, TOTAL, NONE]", wanted)
}

// told is a ConsumedCapacity; nil if it is not wanted.
func (c *capacity) told(name, wanted string) map[string]any {
	if wanted != capacityTotal && wanted != capacityIndexes {
		return nil
	}
	total, indexes := c.table, map[string]any{}
	for index, n := range c.indexes {
		total += n
		indexes[index] = map[string]any{"CapacityUnits": n}
	}
	answer := map[string]any{"TableName": name, "CapacityUnits": total}
	if wanted == capacityIndexes {
		answer["Table"] = map[string]any{"CapacityUnits": c.table}
		if len(indexes) > 0 {
			answer["GlobalSecondaryIndexes"] = indexes
		}
	}
	return answer
}

// answerWith adds to an answer what the operation took, if that is wanted.
func (c *capacity) answerWith(answer map[string]any, name, wanted string) map[string]any {
	if told := c.told(name, wanted); told != nil {
		answer["ConsumedCapacity"] = told
	}
	return answer
}
