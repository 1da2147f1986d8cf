package asl

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Unmarshal decodes one JSON value to nil, bool, string, int64, float64, []any and
// map[string]any. Integers that fit keep all their digits.
func Unmarshal(data []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is something after the JSON value")
	}
	return numbers(v)
}

// numbers replaces json.Number throughout.
func numbers(v any) (any, error) {
	var err error
	switch t := v.(type) {
	case json.Number:
		return number(t)
	case []any:
		for i := range t {
			if t[i], err = numbers(t[i]); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		for k := range t {
			if t[k], err = numbers(t[k]); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}

func number(n json.Number) (any, error) {
	if i, err := strconv.ParseInt(string(n), 10, 64); err == nil {
		return i, nil
	}
	f, err := strconv.ParseFloat(string(n), 64)
	if err != nil {
		return nil, fmt.Errorf("the number %s is out of range", n)
	}
	return f, nil
}

// Marshal encodes a value that Unmarshal has made, or that was made of the same types. It
// escapes nothing that JSON does not ask for.
func Marshal(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(buf.Bytes(), "\n"), nil
}

// unmarshalOnce is Unmarshal that refuses an object with two members of one name.
func unmarshalOnce(data []byte) (any, error) {
	if !json.Valid(data) { // also bounds the depth
		var v any
		return nil, json.Unmarshal(data, &v)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	v, err := onceValue(dec, nil)
	if err != nil {
		return nil, err
	}
	return numbers(v)
}

func onceValue(dec *json.Decoder, at []string) (any, error) {
	token, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('['):
		list := []any{}
		for dec.More() {
			v, err := onceValue(dec, at)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err = dec.Token()
		return list, err
	case json.Delim('{'):
		return onceObject(dec, at)
	}
	return token, nil
}

func onceObject(dec *json.Decoder, at []string) (any, error) {
	object := map[string]any{}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return nil, err
		}
		key, _ := token.(string) // it is: the text is valid JSON
		if _, twice := object[key]; twice {
			return nil, fmt.Errorf("%s has the name %q twice", place(at), key)
		}
		if object[key], err = onceValue(dec, append(at, key)); err != nil {
			return nil, err
		}
	}
	_, err := dec.Token()
	return object, err
}

func place(at []string) string {
	if len(at) == 0 {
		return "the definition"
	}
	return strings.Join(at, " > ")
}
