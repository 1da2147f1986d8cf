package asl_test

import (
	"fmt"
	"testing"

	"latchkey/local/states/asl"
)

func TestRule_holds(t *testing.T) {
	input := `{"s": "b", "t": "b", "n": 2, "f": 2.0, "x": 2.5, "yes": true, "no": false, "null": null, "list": [1], "big": 9007199254740993,
		"at": "2026-01-01T00:00:00Z", "zone": "2026-01-01T01:00:00+01:00", "later": "2026-01-01T00:00:00.001Z", "file": "log-2026*.txt", "version": "10"}`
	tests := []struct {
		rule string
		want bool
	}{
		{`"Variable": "$.s", "StringEquals": "b"`, true},
		{`"Variable": "$.n", "StringEquals": "2"`, false},
		{`"Variable": "$.s", "StringLessThan": "c"`, true},
		{`"Variable": "$.s", "StringLessThan": "b"`, false},
		{`"Variable": "$.s", "StringGreaterThan": "a"`, true},
		{`"Variable": "$.s", "StringLessThanEquals": "b"`, true},
		{`"Variable": "$.s", "StringGreaterThanEquals": "c"`, false},
		{`"Variable": "$.version", "StringLessThan": "9"`, true},
		{`"Variable": "$.s", "StringEqualsPath": "$.t"`, true},
		{`"Variable": "$.s", "StringLessThanPath": "$.n"`, false},
		{`"Variable": "$.s", "StringEqualsPath": "$$.State.Name"`, true},
		{`"Variable": "$.file", "StringMatches": "log-*.txt"`, true},
		{`"Variable": "$.file", "StringMatches": "log-*\\*.txt"`, true},
		{`"Variable": "$.file", "StringMatches": "log-\\*.txt"`, false},
		{`"Variable": "$.file", "StringMatches": "*"`, true},
		{`"Variable": "$.file", "StringMatches": "l*g-20*26*t"`, true},
		{`"Variable": "$.file", "StringMatches": "log"`, false},
		{`"Variable": "$.s", "StringMatches": "b*b"`, false},
		{`"Variable": "$.n", "StringMatches": "*"`, false},
		{`"Variable": "$.n", "NumericEquals": 2.0`, true},
		{`"Variable": "$.f", "NumericEquals": 2`, true},
		{`"Variable": "$.big", "NumericEquals": 9007199254740992`, false},
		{`"Variable": "$.x", "NumericGreaterThan": 2`, true},
		{`"Variable": "$.x", "NumericLessThan": 2.5`, false},
		{`"Variable": "$.x", "NumericLessThanEquals": 2.5`, true},
		{`"Variable": "$.x", "NumericGreaterThanEqualsPath": "$.n"`, true},
		{`"Variable": "$.s", "NumericEquals": 2`, false},
		{`"Variable": "$.yes", "BooleanEquals": true`, true},
		{`"Variable": "$.yes", "BooleanEqualsPath": "$.no"`, false},
		{`"Variable": "$.s", "BooleanEquals": false`, false},
		{`"Variable": "$.at", "TimestampEquals": "2026-01-01T00:00:00.000Z"`, true},
		{`"Variable": "$.at", "TimestampEqualsPath": "$.zone"`, true},
		{`"Variable": "$.at", "TimestampLessThanPath": "$.later"`, true},
		{`"Variable": "$.at", "TimestampGreaterThan": "2025-12-31T23:59:59Z"`, true},
		{`"Variable": "$.at", "TimestampGreaterThanEqualsPath": "$.later"`, false},
		{`"Variable": "$.at", "TimestampLessThanEquals": "2026-01-01T00:00:00Z"`, true},
		{`"Variable": "$.s", "TimestampLessThan": "2026-01-01T00:00:00Z"`, false},
		{`"Variable": "$.nothing", "IsPresent": false`, true},
		{`"Variable": "$.null", "IsPresent": true`, true},
		{`"Variable": "$.list[?(@ > 5)]", "IsPresent": true`, false},
		{`"Variable": "$.list[?(@ < 5)]", "IsPresent": true`, true},
		{`"Variable": "$.null", "IsNull": true`, true},
		{`"Variable": "$.s", "IsNull": false`, true},
		{`"Variable": "$.s", "IsString": true`, true},
		{`"Variable": "$.n", "IsString": true`, false},
		{`"Variable": "$.n", "IsNumeric": true`, true},
		{`"Variable": "$.no", "IsBoolean": true`, true},
		{`"Variable": "$.at", "IsTimestamp": true`, true},
		{`"Variable": "$.s", "IsTimestamp": false`, true},
		{`"Not": {"Variable": "$.s", "IsNull": true}`, true},
		{`"And": [{"Variable": "$.nothing", "IsPresent": true}, {"Variable": "$.nothing", "StringEquals": "x"}]`, false},
		{`"And": [{"Variable": "$.s", "IsString": true}, {"Variable": "$.s", "StringEquals": "b"}]`, true},
		{`"Or": [{"Variable": "$.s", "StringEquals": "x"}, {"Not": {"Variable": "$.s", "StringEquals": "x"}}]`, true},
		{`"Or": [{"Variable": "$.s", "StringEquals": "x"}, {"Variable": "$.s", "StringEquals": "y"}]`, false},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			m, err := asl.Parse("x", fmt.Appendf(nil, `{"StartAt": "A", "States": {"A": {"Type": "Choice", "Choices": [{%s, "Next": "B"}]}, "B": {"Type": "Succeed"}}}`, tt.rule))
			if err != nil {
				t.Fatal(err)
			}
			env := &asl.Env{Input: value(t, input), Context: value(t, `{"State": {"Name": "b"}}`)}
			got, failure := m.States["A"].Choices[0].Holds(env)
			if failure != nil || got != tt.want {
				t.Errorf("got %v, %v", got, failure)
			}
		})
	}
}
