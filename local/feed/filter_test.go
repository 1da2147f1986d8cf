package feed_test

import (
	"testing"

	"latchkey/local/feed"
)

func TestFilter_matches_as_EventBridge_does(t *testing.T) {
	const event = `{"eventName":"INSERT","dynamodb":{"Keys":{"sk":{"S":"NOTICE#1"}},"SizeBytes":3,"Nothing":null,"List":["a","b"]}}`
	for pattern, want := range map[string]bool{
		`{"eventName":["INSERT"]}`:                                                       true,
		`{"eventName":["MODIFY","INSERT"]}`:                                              true,
		`{"eventName":["MODIFY"]}`:                                                       false,
		`{"eventName":[]}`:                                                               false,
		`{"dynamodb":{"Keys":{"sk":{"S":[{"prefix":"NOTICE#"}]}}}}`:                      true,
		`{"dynamodb":{"Keys":{"sk":{"S":[{"prefix":"OTICE#"}]}}}}`:                       false,
		`{"dynamodb":{"Keys":{"sk":{"S":[{"prefix":""}]}}}}`:                             true,
		`{"dynamodb":{"Keys":{"sk":{"S":["NOTICE#"]}}}}`:                                 false,
		`{"eventName":["INSERT"],"dynamodb":{"Keys":{"sk":{"S":[{"prefix":"MAIL#"}]}}}}`: false,
		`{"dynamodb":{"OldImage":{"pk":{"S":[{"exists":false}]}}}}`:                      true,
		`{"dynamodb":{"Keys":{"sk":{"S":[{"exists":true}]}}}}`:                           true,
		`{"dynamodb":{"Keys":[{"exists":true}]}}`:                                        false,
		`{"dynamodb":{"Nothing":[null]}}`:                                                true,
		`{"dynamodb":{"Missing":[null]}}`:                                                false,
		`{"dynamodb":{"List":["b"]}}`:                                                    true,
		`{"dynamodb":{"SizeBytes":["3"]}}`:                                               false,
	} {
		f, err := feed.ParseFilter(pattern)
		if err != nil {
			t.Errorf("%s: %v", pattern, err)
			continue
		}
		if got, err := f.Matches([]byte(event)); err != nil || got != want {
			t.Errorf("%s matches: %v, %v", pattern, got, err)
		}
	}
}

func TestParseFilter_refuses_what_it_does_not_know(t *testing.T) {
	for _, pattern := range []string{
		``, `[]`, `{}`, `{"a":"b"}`, `{"a":{}}`, `{"a":[3]}`, `{"a":[true]}`, `{"a":[{"suffix":"x"}]}`, `{"a":[{"prefix":"x","exists":true}]}`,
		`{"a":[{"prefix":3}]}`, `{"a":[{"anything-but":["x"]}]}`, `{"$or":[{"a":["b"]}]}`, `{"a":["b"]} x`,
	} {
		if _, err := feed.ParseFilter(pattern); err == nil {
			t.Errorf("%s was accepted", pattern)
		}
	}
	if _, err := feed.ParseFilter(`{"a":["b"]}`, `{"a":["b"]}`, `{"a":["b"]}`, `{"a":["b"]}`, `{"a":["b"]}`, `{"a":["b"]}`); err == nil {
		t.Error("six patterns were accepted")
	}
}
