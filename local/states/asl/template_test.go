package asl_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"latchkey/local/states/asl"
)

// compute evaluates an expression.
func compute(t testing.TB, expression, input string) (any, *asl.Failure) {
	t.Helper()
	template, err := asl.ParseTemplate(map[string]any{"v.$": expression})
	if err != nil {
		t.Fatal(err)
	}
	env := &asl.Env{Input: value(t, input), Context: map[string]any{}, UUID: func() string { return "uuid" }}
	got, failure := template.Fill(env)
	if failure != nil {
		return nil, failure
	}
	return got.(map[string]any)["v"], nil
}

func TestIntrinsicFunctions(t *testing.T) {
	tests := map[string]string{ // "" fails
		`States.Format('Hello, {}! {}', $.name, 7)`:                      `"Hello, Ada! 7"`,
		`States.Format('{}', $.list)`:                                    `"[1,2,3,4,5]"`,
		`States.Format('{}{}', null, true)`:                              `"nulltrue"`,
		`States.Format('it\'s \{{}\} \\', 1)`:                            `"it's {1} \\"`,
		`States.Format($.pattern, 1)`:                                    `"<1>"`,
		`States.Format('{}')`:                                            ``,
		`States.Format('x', 1)`:                                          ``,
		`States.Format('{', 1)`:                                          ``,
		`States.StringToJson($.json)`:                                    `{"a": [1]}`,
		`States.StringToJson('no')`:                                      ``,
		`States.StringToJson($.list)`:                                    ``,
		`States.JsonToString($.list)`:                                    `"[1,2,3,4,5]"`,
		`States.JsonToString('a<b')`:                                     `"\"a<b\""`,
		`States.Array()`:                                                 `[]`,
		`States.Array(1, 'x', $.name, null, 1.5, States.Array(2))`:       `[1, "x", "Ada", null, 1.5, [2]]`,
		`States.ArrayLength($.list)`:                                     `5`,
		`States.ArrayLength($.name)`:                                     ``,
		`States.ArrayContains($.list, 3)`:                                `true`,
		`States.ArrayContains($.list, 3.0)`:                              `true`,
		`States.ArrayContains($.list, '3')`:                              `false`,
		`States.ArrayGetItem($.list, 0)`:                                 `1`,
		`States.ArrayGetItem($.list, 5)`:                                 ``,
		`States.ArrayGetItem($.list, -1)`:                                ``,
		`States.ArrayPartition($.list, 2)`:                               `[[1, 2], [3, 4], [5]]`,
		`States.ArrayPartition($.list, 9000000000)`:                      `[[1, 2, 3, 4, 5]]`,
		`States.ArrayPartition($.list, 0)`:                               ``,
		`States.ArrayRange(1, 9, 2)`:                                     `[1, 3, 5, 7, 9]`,
		`States.ArrayRange(3, 1, -1)`:                                    `[3, 2, 1]`,
		`States.ArrayRange(1, 0, 1)`:                                     `[]`,
		`States.ArrayRange(1, 1000, 1)[0]`:                               `parse`,
		`States.ArrayRange(0, 1000, 1)`:                                  ``,
		`States.ArrayRange(1, 2, 0)`:                                     ``,
		`States.ArrayRange(9223372036854775806, 9223372036854775807, 5)`: `[9223372036854775806]`,
		`States.ArrayUnique($.twice)`:                                    `[1, "1", {"a": 1}]`,
		`States.MathAdd(111, -1)`:                                        `110`,
		`States.MathAdd(1.5, 1)`:                                         `3`,
		`States.MathAdd(9223372036854775807, 1)`:                         ``,
		`States.MathAdd(-9223372036854775808, -1)`:                       ``,
		`States.MathAdd(5, 0)`:                                           `5`,
		`States.MathAdd('1', 1)`:                                         ``,
		`States.UUID()`:                                                  `"uuid"`,
		`States.Hash('input data', 'SHA-1')`:                             `"aaff4a450a104cd177d28d18d74485e8cae074b7"`,
		`States.Hash('', 'MD5')`:                                         `"d41d8cd98f00b204e9800998ecf8427e"`,
		`States.Hash('', 'SHA-256')`:                                     `"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"`,
		`States.Hash('', 'CRC')`:                                         ``,
		`States.JsonMerge($.left, $.right, false)`:                       `{"a": {"x": 1}, "b": 2, "c": 3}`,
		`States.JsonMerge($.left, $.right, true)`:                        ``,
		`States.JsonMerge($.left, $.list, false)`:                        ``,
		`States.Base64Encode('Data to encode')`:                          `"RGF0YSB0byBlbmNvZGU="`,
		`States.Base64Decode('RGVjb2RlZCBkYXRh')`:                        `"Decoded data"`,
		`States.Base64Decode('%')`:                                       ``,
		`States.StringSplit('1.2,3,,4', '.,')`:                           `["1", "2", "3", "4"]`,
		`States.StringSplit('a\\b', '\\')`:                               `["a", "b"]`,
		`States.StringSplit('abc', 'x')`:                                 `["abc"]`,
		`States.ArrayGetItem(States.StringSplit($.arn, ':'), 5)`:         `"key/1"`,
		`States.ArrayLength($.list[?(@ > 2)])`:                           `3`,
		`States.Array($['a, b'], $.list[0,1])`:                           `["odd", [1, 2]]`,
		`States.JsonToString($.nothing)`:                                 ``,
	}
	input := `{"name": "Ada", "list": [1, 2, 3, 4, 5], "json": "{\"a\": [1]}", "pattern": "<{}>", "twice": [1, 1.0, "1", {"a": 1}, {"a": 1.0}, {"a": 1}],
		"left": {"a": 1, "c": 3}, "right": {"a": {"x": 1}, "b": 2}, "arn": "arn:aws:kms:us-east-1:1:key/1", "a, b": "odd"}`
	for expression, want := range tests {
		t.Run(expression, func(t *testing.T) {
			if want == "parse" {
				if _, err := asl.ParseTemplate(map[string]any{"v.$": expression}); err == nil {
					t.Error("was accepted")
				}
				return
			}
			got, failure := compute(t, expression, input)
			if want == "" {
				if failure == nil || failure.Name != asl.ErrIntrinsicFailure {
					t.Errorf("got %v, %v", got, failure)
				}
				return
			}
			if failure != nil {
				t.Fatal(failure)
			}
			if diff := cmp.Diff(value(t, want), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseTemplate_refuses_bad_expressions(t *testing.T) {
	nested := strings.Repeat("States.Array(", 11) + strings.Repeat(")", 11)
	for _, expression := range []string{
		"", "a", "States.Array", "States.Array(", "States.Array(1", "States.Array(1,)", "States.Array(,)", "States.Array(1 2)", "States.Array(1))",
		"States.Array('a)", `States.Array('\n')`, "States.Array(0x1f)", "States.Array(NaN)", "States.Array($.a", "States.Array($a)", "States.Array(a)",
		"Other.Array()", "States.UUID(1)", "States.Format()", "States.Array(States.Nothing())", nested, "States.Array(1e999)", "States.Array('\xff')",
	} {
		if _, err := asl.ParseTemplate(map[string]any{"v.$": expression}); err == nil {
			t.Errorf("%q was accepted", expression)
		}
	}
}

// Every value has a spelling as an argument that means the value itself.
func TestIntrinsicArguments_mean_what_they_spell(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var spelled []string
		var want []any
		for range rapid.IntRange(0, 6).Draw(rt, "arguments") {
			s, v := drawArgument(rt, 0)
			spelled, want = append(spelled, s), append(want, v)
		}
		expression := "States.Array(" + strings.Join(spelled, rapid.SampledFrom([]string{",", ", ", " , "}).Draw(rt, "comma")) + ")"
		got, failure := compute(t, expression, `{"it": {"a b": [7]}}`)
		if failure != nil {
			rt.Fatalf("%s: %v", expression, failure)
		}
		if len(want) == 0 {
			want = nil
		}
		if list, _ := got.([]any); len(list) != len(want) || len(want) > 0 && !cmp.Equal(want, list) {
			rt.Fatalf("%s means %v, want %v", expression, got, want)
		}
	})
}

func drawArgument(t *rapid.T, depth int) (string, any) {
	switch kind := rapid.IntRange(0, 5).Draw(t, "kind"); {
	case kind == 0:
		n := rapid.Int64().Draw(t, "integer")
		return strconv.FormatInt(n, 10), n
	case kind == 1:
		b := rapid.Bool().Draw(t, "boolean")
		return strconv.FormatBool(b), b
	case kind == 2:
		return "null", nil
	case kind == 3:
		return "$.it['a b'][0]", int64(7)
	case kind == 4 && depth < 5:
		inner, v := drawArgument(t, depth+1)
		return "States.Array(" + inner + ")", []any{v}
	}
	s := rapid.StringMatching(`[a-z'{}\\,() $]{0,8}`).Draw(t, "string")
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`, `{`, `\{`, `}`, `\}`).Replace(s) + "'", s
}

func TestDelay(t *testing.T) {
	r := asl.Retrier{Interval: 2 * time.Second, BackoffRate: 3}
	full := asl.Retrier{Interval: 10 * time.Second, BackoffRate: 1, FullJitter: true}
	capped := asl.Retrier{Interval: 2 * time.Second, BackoffRate: 3, MaxDelay: 10 * time.Second}
	half := func() float64 { return 0.5 }
	tests := map[string]struct{ got, want time.Duration }{
		"the first":               {r.Delay(0, half), 2 * time.Second},
		"the third":               {r.Delay(2, half), 18 * time.Second},
		"at most":                 {capped.Delay(5, half), 10 * time.Second},
		"with jitter":             {full.Delay(3, half), 5 * time.Second},
		"after very many retries": {r.Delay(100_000, half), 99_999_999 * time.Second},
	}
	for name, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("%s: %v, want %v", name, tt.got, tt.want)
		}
	}
}

func TestMatches(t *testing.T) {
	tests := map[string]struct {
		failure asl.Failure
		names   string
		want    bool
	}{
		"its own name":                         {asl.Failure{Name: "E"}, "D E", true},
		"another name":                         {asl.Failure{Name: "E"}, "e EE", false},
		"all":                                  {asl.Failure{Name: "E"}, "States.ALL", true},
		"any failure of a task":                {asl.Failure{Name: "E"}, "States.TaskFailed", true},
		"a time-out is no failure of the task": {asl.Failure{Name: "States.Timeout"}, "States.TaskFailed", false},
		"a missed heartbeat":                   {asl.Failure{Name: "States.Timeout", Also: "States.HeartbeatTimeout"}, "States.HeartbeatTimeout", true},
		"a time-out is no missed heartbeat":    {asl.Failure{Name: "States.Timeout"}, "States.HeartbeatTimeout", false},
		"runtime is matched by nothing":        {asl.Failure{Name: "States.Runtime"}, "States.ALL States.TaskFailed", false},
		"too much data is not in all":          {asl.Failure{Name: "States.DataLimitExceeded"}, "States.ALL", false},
		"too much data by its name":            {asl.Failure{Name: "States.DataLimitExceeded"}, "States.DataLimitExceeded", true},
		"a failure without a name":             {asl.Failure{}, "E", false},
	}
	for name, tt := range tests {
		if got := tt.failure.Matches(strings.Fields(tt.names)); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
