package dynamocloud

import (
	"bytes"
	"regexp"
	"strings"
)

// value is an attribute's value: a string, an integer, or bytes.
type value struct {
	S *string `json:",omitempty"`
	N *string `json:",omitempty"`
	B *[]byte `json:",omitempty"`
}

// types is how many types the value is given in.
func (v value) types() int {
	n := 0
	for _, is := range []bool{v.S != nil, v.N != nil, v.B != nil} {
		if is {
			n++
		}
	}
	return n
}

// item is the attributes of an item by name, or a key.
type item map[string]value

// The limits of DynamoDB.
const (
	maxItem        = 400 << 10
	maxHash        = 2048
	maxRange       = 1024
	maxPage        = 1 << 20
	maxTransaction = 4 << 20
	maxOperations  = 100
)

// integer is the form in which a number is kept, so that equal numbers are equal texts.
var integer = regexp.MustCompile(`^(0|-?[1-9][0-9]{0,37})$`)

func (v value) validate() error {
	switch {
	case v.types() != 1:
		return invalid("Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes; " +
			"the pocket DynamoDB supports S, N and B")
	case v.N != nil && !integer.MatchString(*v.N):
		return invalid("The parameter cannot be converted to a numeric value: %s; the pocket DynamoDB supports integers", *v.N)
	}
	return nil
}

func (v value) equal(o value) bool {
	switch {
	case v.S != nil && o.S != nil:
		return *v.S == *o.S
	case v.B != nil && o.B != nil:
		return bytes.Equal(*v.B, *o.B)
	}
	return v.N != nil && o.N != nil && *v.N == *o.N
}

func (v value) size() int {
	switch {
	case v.S != nil:
		return len(*v.S)
	case v.B != nil:
		return len(*v.B)
	}
	digits := strings.TrimPrefix(*v.N, "-")
	return (len(digits)+1)/2 + 1 + len(*v.N) - len(digits)
}

func (i item) size() int {
	n := 0
	for name, v := range i {
		n += len(name) + v.size()
	}
	return n
}

// key reads the attributes of a key out of an item that must have them.
func (i item) key(s schema) (keys, error) {
	var k keys
	for _, part := range []struct {
		name  string
		value *string
		limit int
		what  string
	}{{s.Hash, &k.hash, maxHash, "hashkey"}, {s.Range, &k.sort, maxRange, "range keys"}} {
		v, ok := i[part.name]
		if !ok {
			return k, invalid("One or more parameter values were invalid: Missing the key %s in the item", part.name)
		}
		if v.S == nil {
			return k, invalid("One or more parameter values were invalid: Type mismatch for key %s expected: S actual: N", part.name)
		}
		if *v.S == "" {
			return k, invalid("One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain "+
				"an empty string value. Key: %s", part.name)
		}
		if len(*v.S) > part.limit {
			return k, invalid("One or more parameter values were invalid: Size of %s has exceeded the maximum size limit of %d bytes", part.what, part.limit)
		}
		*part.value = *v.S
	}
	return k, nil
}

// exactKey reads a key that has no other attributes.
func (i item) exactKey(s schema) (keys, error) {
	if err := i.validate(); err != nil {
		return keys{}, err
	}
	if len(i) != 2 {
		return keys{}, invalid("The provided key element does not match the schema")
	}
	k, err := i.key(s)
	return k, err
}

func (i item) validate() error {
	for name, v := range i {
		if name == "" {
			return invalid("One or more parameter values were invalid: an attribute without a name")
		}
		if err := v.validate(); err != nil {
			return err
		}
	}
	return nil
}

// indexKey is where an item is in an index. ok is false if it is not there because it lacks
// an attribute of the index's key.
func (i item) indexKey(x index) (k keys, ok bool, err error) {
	_, hasHash := i[x.Key.Hash]
	_, hasRange := i[x.Key.Range]
	if k, err = i.present(x.Key).key(x.Key); err != nil {
		return k, false, err
	}
	return k, hasHash && hasRange, nil
}

// present completes a key with what is missing, so that what is there can be checked.
func (i item) present(s schema) item {
	filler := "x"
	complete := item{}
	for _, name := range []string{s.Hash, s.Range} {
		complete[name] = value{S: &filler}
		if v, ok := i[name]; ok {
			complete[name] = v
		}
	}
	return complete
}

// checkPut checks an item that is to be stored, except for its size.
func (i item) checkPut(t *table) (keys, error) {
	if err := i.validate(); err != nil {
		return keys{}, err
	}
	for _, x := range t.Indexes {
		if _, _, err := i.indexKey(x); err != nil {
			return keys{}, err
		}
	}
	return i.key(t.Key)
}
