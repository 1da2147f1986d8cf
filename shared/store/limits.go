package store

import (
	"fmt"
	"math"
	"unicode/utf8"
)

// Validate reports what is wrong with a transaction, whatever the table holds. Adapters call
// it first, so that all of them refuse the same transactions with the same errors.
func Validate(ops []Op) error {
	if len(ops) == 0 || len(ops) > MaxWrites {
		return ErrTooManyWrites
	}
	seen := make(map[Key]bool, len(ops))
	total := 0
	for _, op := range ops {
		if seen[op.Item.Key] {
			return ErrTooManyWrites
		}
		seen[op.Item.Key] = true
		if err := op.validate(); err != nil {
			return err
		}
		total += op.Item.size()
	}
	if total > MaxTransaction {
		return fmt.Errorf("%w: a transaction of %d bytes, the limit is %d", ErrTooLarge, total, MaxTransaction)
	}
	return nil
}

func (o Op) validate() error {
	if err := o.Item.Key.validate(); err != nil {
		return err
	}
	if o.Item.Version < 0 || o.Item.Version == math.MaxInt64 {
		return fmt.Errorf("%w: version %d of %s", ErrInvalid, o.Item.Version, o.Item.Key)
	}
	switch o.Kind {
	case OpPut:
		return o.Item.validate()
	case OpDelete, OpCheck:
		return nil
	}
	return fmt.Errorf("%w: operation %d on %s", ErrInvalid, o.Kind, o.Item.Key)
}

func (i Item) validate() error {
	if i.Index != (Key{}) {
		if err := i.Index.validate(); err != nil {
			return fmt.Errorf("index of %s: %w", i.Key, err)
		}
	}
	if !utf8.Valid(i.Body) {
		return fmt.Errorf("%w: the body of %s is not UTF-8", ErrInvalid, i.Key)
	}
	if !i.Expires.IsZero() && i.Expires.Unix() <= 0 {
		return fmt.Errorf("%w: %s expires before 1970", ErrInvalid, i.Key)
	}
	if n := i.size(); n > MaxItem {
		return fmt.Errorf("%w: %s has %d bytes, the limit is %d", ErrTooLarge, i.Key, n, MaxItem)
	}
	return nil
}

func (i Item) size() int {
	return len(i.PK) + len(i.SK) + len(i.Index.PK) + len(i.Index.SK) + len(i.Body)
}

func (k Key) validate() error {
	switch {
	case k.PK == "" || k.SK == "":
		return fmt.Errorf("%w: a key needs both parts, not %q and %q", ErrInvalid, k.PK, k.SK)
	case !k.possible():
		return fmt.Errorf("%w: a key longer than %d and %d bytes or not UTF-8", ErrInvalid, MaxPK, MaxSK)
	}
	return nil
}

// possible reports whether an item can have this key.
func (k Key) possible() bool {
	return len(k.PK) <= MaxPK && len(k.SK) <= MaxSK && utf8.ValidString(k.PK) && utf8.ValidString(k.SK)
}

// CheckKey reports what is wrong with a key to Get. A key with an empty part is a mistake in
// the program; one that no item can have comes from hostile input, and there is no such item.
func CheckKey(k Key) error {
	if k.PK == "" || k.SK == "" || k.possible() {
		return k.validate()
	}
	return ErrNotFound
}

// Validate reports what is wrong with a query, except for After, which Place checks.
func (q Query) Validate() error {
	if q.PK == "" || len(q.PK) > MaxPK {
		return fmt.Errorf("%w: a query needs a partition key of 1 to %d bytes", ErrInvalid, MaxPK)
	}
	if q.Limit < 0 {
		return fmt.Errorf("%w: limit %d", ErrInvalid, q.Limit)
	}
	for _, s := range []string{q.PK, q.Prefix, q.From, q.Until} {
		if !utf8.ValidString(s) {
			return fmt.Errorf("%w: a query whose text is not UTF-8", ErrInvalid)
		}
	}
	for _, s := range []string{q.Prefix, q.From, q.Until} {
		if len(s) > MaxSK {
			return fmt.Errorf("%w: a bound of more than %d bytes", ErrInvalid, MaxSK)
		}
	}
	return nil
}
