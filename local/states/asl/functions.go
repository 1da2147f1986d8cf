package asl

import (
	"crypto/md5"  //nolint:gosec // G501: the language has it
	"crypto/sha1" //nolint:gosec // G505: the language has it
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// function is an intrinsic function.
type function struct {
	name        string
	least, most int // arguments; most -1 is any number
	apply       func(args []any, env *Env) (any, error)
}

// functions are all intrinsic functions but States.MathRandom, whose seed would make a workflow
// differ from one run to the next. What is not here is refused when a definition is loaded.
var functions = map[string]function{
	"States.Format":         {least: 1, most: -1, apply: format},
	"States.StringToJson":   {least: 1, most: 1, apply: stringToJSON},
	"States.JsonToString":   {least: 1, most: 1, apply: jsonToString},
	"States.Array":          {least: 0, most: -1, apply: func(args []any, _ *Env) (any, error) { return args, nil }},
	"States.ArrayLength":    {least: 1, most: 1, apply: arrayLength},
	"States.ArrayContains":  {least: 2, most: 2, apply: arrayContains},
	"States.ArrayGetItem":   {least: 2, most: 2, apply: arrayGetItem},
	"States.ArrayPartition": {least: 2, most: 2, apply: arrayPartition},
	"States.ArrayRange":     {least: 3, most: 3, apply: arrayRange},
	"States.ArrayUnique":    {least: 1, most: 1, apply: arrayUnique},
	"States.MathAdd":        {least: 2, most: 2, apply: mathAdd},
	"States.UUID":           {least: 0, most: 0, apply: func(_ []any, env *Env) (any, error) { return env.UUID(), nil }},
	"States.Hash":           {least: 2, most: 2, apply: hash},
	"States.JsonMerge":      {least: 3, most: 3, apply: jsonMerge},
	"States.Base64Encode":   {least: 1, most: 1, apply: base64Encode},
	"States.Base64Decode":   {least: 1, most: 1, apply: base64Decode},
	"States.StringSplit":    {least: 2, most: 2, apply: stringSplit},
}

// maxCoded is the longest text that is encoded, decoded or hashed; Step Functions' own limit.
const maxCoded = 10_000

// maxRange is the longest list that States.ArrayRange makes; Step Functions' own limit.
const maxRange = 1000

func format(args []any, _ *Env) (any, error) {
	pattern, ok := args[0].(string)
	if !ok {
		return nil, errors.New("the format is not a string")
	}
	var out strings.Builder
	rest := args[1:]
	for i := 0; i < len(pattern); i++ {
		switch {
		case pattern[i] == '\\' && i+1 < len(pattern):
			i++
			out.WriteByte(pattern[i])
		case strings.HasPrefix(pattern[i:], "{}"):
			i++
			if len(rest) == 0 {
				return nil, errors.New("there are more {} than arguments")
			}
			s, err := formatted(rest[0])
			if err != nil {
				return nil, err
			}
			out.WriteString(s)
			rest = rest[1:]
		case pattern[i] == '{' || pattern[i] == '}':
			return nil, errors.New("a brace is neither escaped nor part of {}")
		default:
			out.WriteByte(pattern[i])
		}
	}
	if len(rest) > 0 {
		return nil, errors.New("there are more arguments than {}")
	}
	return out.String(), nil
}

func formatted(v any) (string, error) {
	if s, ok := v.(string); ok {
		return s, nil
	}
	b, err := Marshal(v)
	return string(b), err
}

func stringToJSON(args []any, _ *Env) (any, error) {
	s, err := text(args[0])
	if err != nil {
		return nil, err
	}
	return Unmarshal([]byte(s))
}

func jsonToString(args []any, _ *Env) (any, error) {
	b, err := Marshal(args[0])
	return string(b), err
}

func arrayLength(args []any, _ *Env) (any, error) {
	list, err := array(args[0])
	return int64(len(list)), err
}

func arrayContains(args []any, _ *Env) (any, error) {
	list, err := array(args[0])
	if err != nil {
		return nil, err
	}
	return slices.ContainsFunc(list, func(v any) bool { return equal(v, args[1]) }), nil
}

func arrayGetItem(args []any, _ *Env) (any, error) {
	list, err := array(args[0])
	if err != nil {
		return nil, err
	}
	i, err := integer(args[1])
	if err != nil {
		return nil, err
	}
	if i < 0 || i >= int64(len(list)) {
		return nil, fmt.Errorf("there is no element %d in a list of %d", i, len(list))
	}
	return list[i], nil
}

func arrayPartition(args []any, _ *Env) (any, error) {
	list, err := array(args[0])
	if err != nil {
		return nil, err
	}
	size, err := integer(args[1])
	if err != nil {
		return nil, err
	}
	if size < 1 {
		return nil, errors.New("the size of a part is not positive")
	}
	parts := []any{}
	for part := range slices.Chunk(list, int(min(size, int64(len(list))+1))) {
		parts = append(parts, part)
	}
	return parts, nil
}

func arrayRange(args []any, _ *Env) (any, error) {
	var n [3]int64
	for i := range n {
		var err error
		if n[i], err = integer(args[i]); err != nil {
			return nil, err
		}
	}
	first, last, step := n[0], n[1], n[2]
	if step == 0 {
		return nil, errors.New("the step is zero")
	}
	if (float64(last)-float64(first))/float64(step) >= maxRange {
		return nil, fmt.Errorf("the list has more than %d elements", maxRange)
	}
	list := []any{}
	for v := first; step > 0 && v <= last || step < 0 && v >= last; v += step {
		list = append(list, v)
		if step > 0 && v > math.MaxInt64-step || step < 0 && v < math.MinInt64-step {
			break
		}
	}
	return list, nil
}

func arrayUnique(args []any, _ *Env) (any, error) {
	list, err := array(args[0])
	if err != nil {
		return nil, err
	}
	unique := []any{}
	alike := map[string][]any{} // by likeness, since comparing all with all takes seconds
	for _, v := range list {
		key := likeness(v)
		if !slices.ContainsFunc(alike[key], func(u any) bool { return equal(u, v) }) {
			alike[key] = append(alike[key], v)
			unique = append(unique, v)
		}
	}
	return unique, nil
}

// likeness is the same for values that are equal, and for few others.
func likeness(v any) string {
	switch x := v.(type) {
	case int64:
		return likeness(float64(x))
	case float64:
		return strconv.FormatFloat(x+0, 'g', -1, 64) // +0 takes the sign off a zero
	case []any:
		parts := make([]string, len(x))
		for i, element := range x {
			parts[i] = likeness(element)
		}
		return "[" + strings.Join(parts, ",") + "]"
	case map[string]any:
		parts := make([]string, 0, len(x))
		for name, member := range x {
			parts = append(parts, strconv.Quote(name)+":"+likeness(member))
		}
		slices.Sort(parts)
		return "{" + strings.Join(parts, ",") + "}"
	case string:
		return strconv.Quote(x)
	}
	return fmt.Sprint(v)
}

// mathAdd adds integers; as Step Functions does, it rounds what is none.
func mathAdd(args []any, _ *Env) (any, error) {
	a, err := rounded(args[0])
	if err != nil {
		return nil, err
	}
	b, err := rounded(args[1])
	if err != nil {
		return nil, err
	}
	sum := a + b
	if (sum > a) != (b > 0) && b != 0 {
		return nil, errors.New("the sum is out of range")
	}
	return sum, nil
}

func hash(args []any, _ *Env) (any, error) {
	data, err := formatted(args[0])
	if err != nil {
		return nil, err
	}
	if len(data) > maxCoded {
		return nil, fmt.Errorf("the text is longer than %d characters", maxCoded)
	}
	var sum []byte
	switch args[1] {
	case "MD5":
		s := md5.Sum([]byte(data)) //nolint:gosec // G401: the language has it
		sum = s[:]
	case "SHA-1":
		s := sha1.Sum([]byte(data)) //nolint:gosec // G401: the language has it
		sum = s[:]
	case "SHA-256":
		s := sha256.Sum256([]byte(data))
		sum = s[:]
	case "SHA-384":
		s := sha512.Sum384([]byte(data))
		sum = s[:]
	case "SHA-512":
		s := sha512.Sum512([]byte(data))
		sum = s[:]
	default:
		return nil, errors.New("the algorithm is none of MD5, SHA-1, SHA-256, SHA-384 and SHA-512")
	}
	return hex.EncodeToString(sum), nil
}

func jsonMerge(args []any, _ *Env) (any, error) {
	left, isLeft := args[0].(map[string]any)
	right, isRight := args[1].(map[string]any)
	if !isLeft || !isRight {
		return nil, errors.New("only objects can be merged")
	}
	if args[2] != false {
		return nil, errors.New("only shallow merging is supported: the third argument is false")
	}
	merged := maps.Clone(left)
	maps.Copy(merged, right)
	return merged, nil
}

func base64Encode(args []any, _ *Env) (any, error) {
	s, err := text(args[0])
	if err != nil {
		return nil, err
	}
	if len(s) > maxCoded {
		return nil, fmt.Errorf("the text is longer than %d characters", maxCoded)
	}
	return base64.StdEncoding.EncodeToString([]byte(s)), nil
}

func base64Decode(args []any, _ *Env) (any, error) {
	s, err := text(args[0])
	if err != nil {
		return nil, err
	}
	if len(s) > maxCoded {
		return nil, fmt.Errorf("the text is longer than %d characters", maxCoded)
	}
	b, err := base64.StdEncoding.DecodeString(s)
	return strings.ToValidUTF8(string(b), "\uFFFD"), err
}

// stringSplit splits at every one of the separator's characters and leaves empty parts out, as
// Step Functions does.
func stringSplit(args []any, _ *Env) (any, error) {
	s, err := text(args[0])
	if err != nil {
		return nil, err
	}
	separators, err := text(args[1])
	if err != nil {
		return nil, err
	}
	parts := []any{}
	for part := range strings.FieldsFuncSeq(s, func(r rune) bool { return strings.ContainsRune(separators, r) }) {
		parts = append(parts, part)
	}
	return parts, nil
}

func text(v any) (string, error) {
	s, ok := v.(string)
	if !ok {
		return "", errors.New("an argument is not a string")
	}
	return s, nil
}

func array(v any) ([]any, error) {
	list, ok := v.([]any)
	if !ok {
		return nil, errors.New("an argument is not a list")
	}
	return list, nil
}

func integer(v any) (int64, error) {
	i, ok := v.(int64)
	if !ok {
		return 0, errors.New("an argument is not an integer")
	}
	return i, nil
}

func rounded(v any) (int64, error) {
	if f, ok := v.(float64); ok && math.Abs(f) < math.MaxInt64 {
		return int64(math.Round(f)), nil
	}
	return integer(v)
}

// equal compares as JSON does: 1 and 1.0 are the same number.
func equal(a, b any) bool {
	if c, ok := compareNumbers(a, b); ok {
		return c == 0
	}
	switch x := a.(type) {
	case []any:
		y, ok := b.([]any)
		return ok && slices.EqualFunc(x, y, equal)
	case map[string]any:
		y, ok := b.(map[string]any)
		return ok && maps.EqualFunc(x, y, equal)
	}
	switch b.(type) {
	case []any, map[string]any:
		return false
	}
	return a == b
}
