package leaktest_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"testing"

	"pgregory.net/rapid"

	"latchkey/shared/seal/leaktest"
)

func document(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}

func TestASecretIsFoundHoweverItIsWritten(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.StringMatching(`[ -~äß\n"\\/+&<>]{12,60}`).Draw(t, "secret")
		before, after := rapid.String().Draw(t, "before"), rapid.String().Draw(t, "after")
		text := before + secret + after
		var d leaktest.Detector
		d.Add("it", secret)
		for form, written := range map[string][]byte{
			"plain":             []byte(text),
			"JSON":              document(map[string]string{"x": text}),
			"JSON in JSON":      document(map[string]string{"x": string(document(text))}),
			"bytes in JSON":     document(map[string][]byte{"x": []byte(text)}),
			"a query":           []byte(url.Values{"x": {text}}.Encode()),
			"a path":            []byte(url.PathEscape(text)),
			"hexadecimal":       []byte(hex.EncodeToString([]byte(text))),
			"HEXADECIMAL":       fmt.Appendf(nil, "%X", text),
			"base64":            []byte(base64.StdEncoding.EncodeToString([]byte(text))),
			"base64 of URLs":    []byte(base64.RawURLEncoding.EncodeToString([]byte(text))),
			"a list of bytes":   fmt.Append(nil, []byte(text)),
			"Basic credentials": []byte("Basic " + base64.StdEncoding.EncodeToString([]byte("user:"+secret))),
		} {
			if len(d.In(written)) == 0 {
				t.Errorf("%q is not found in %s: %s", secret, form, written)
			}
		}
		if found := d.In([]byte(before + after)); len(found) > 0 && len(before+after) < len(secret)/2 {
			t.Errorf("found in %q: %v", before+after, found)
		}
	})
}

func TestReportsHoldNoSecret(t *testing.T) {
	t.Parallel()
	var d leaktest.Detector
	d.Add("the key", "swordfish-and-more")
	if got := fmt.Sprint(d.In([]byte("a swordfish-and-more b"))); got == "[]" || len(d.In([]byte("swordfish"))) > 0 {
		t.Errorf("reported %s", got)
	} else if leaks := d.In([]byte(got)); len(leaks) > 0 {
		t.Errorf("the report %s holds it", got)
	}
}
