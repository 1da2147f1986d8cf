package httpapi_test

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/httpapi"
)

// everything has a member of every kind that bodies have.
type everything struct {
	Text   *string           `json:"text"`
	Number *int              `json:"number"`
	Flag   *bool             `json:"flag"`
	Names  []string          `json:"names"`
	Nested *everything       `json:"nested"`
	Any    map[string]any    `json:"any"`
	Pairs  map[string]string `json:"pairs"`
}

// FuzzDecode reads any body. What is no JSON is MALFORMED_JSON and nothing else is; a member of another type is
// named; what is accepted is read the same again; and depth costs no time.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		`{"text":"a","number":1,"flag":true,"names":["a"],"nested":{"nested":null},"any":{"a":[1,{"b":null}]},"pairs":{}}`,
		`[]`, `null`, ``, `{"number":1.5}`, `{"number":1e400}`, `{"text":"\ud800"}`, `{"text":"a","TEXT":"b","text":"c"}`, `{"nested":[]}`, "{\"text\":\"\xff\"}", `{} {}`,
		strings.Repeat(`{"nested":`, 9_999) + "1", strings.Repeat("[", 100_000), `{"any":` + strings.Repeat("[", 10_001) + strings.Repeat("]", 10_001) + `}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var v everything
		begun := time.Now()
		err := httpapi.Decode(body, &v)
		if took := time.Since(begun); took > 2*time.Second {
			t.Errorf("%d bytes took %s", len(body), took)
		}
		switch code := atlas.CodeOf(err); code {
		case "":
			again, marshalErr := json.Marshal(v)
			var w everything
			if marshalErr != nil || httpapi.Decode(again, &w) != nil {
				t.Fatalf("%q is written as %q", body, again)
			}
			if second, _ := json.Marshal(w); string(second) != string(again) {
				t.Errorf("%q is written as %q, and that as %q", body, again, second)
			}
		case atlas.MalformedJSON:
			if json.Valid(body) {
				t.Errorf("%q is JSON", body)
			}
		case atlas.InvalidJSON, atlas.InvalidJSONAttribute:
			if !json.Valid(body) {
				t.Errorf("%q is no JSON: %v", body, err)
			}
			if code == atlas.InvalidJSONAttribute && len(atlas.AsError(err).Params) != 1 {
				t.Errorf("%q: %v names no member", body, err)
			}
		default:
			t.Errorf("%q: %v", body, err)
		}
	})
}

// FuzzList pages through a list with any query. A page is what one would cut out by hand, its links lead to its
// neighbours and keep the filters, and following them shows each item once.
func FuzzList(f *testing.F) {
	for _, q := range []string{"", "pageNum=2&itemsPerPage=3", "pageNum=0&includeCount=false", "pageNum=-1", "itemsPerPage=501", "pageNum=1048577", "itemsPerPage=+7&name=a%26b", "pageNum=1&pageNum=2", "includeCount=TRUE&x;y=1"} {
		f.Add(q, uint16(10))
	}
	f.Fuzz(func(t *testing.T, query string, n uint16) {
		all := make([]int, n%2000)
		for i := range all {
			all[i] = i
		}
		api := newRig(serve("GET", "/list", listed(all)))
		page := func(query string) (atlas.Page[int], int) {
			r := httptest.NewRequest("GET", "/list", nil)
			r.URL.RawQuery = query
			r.Header.Set("Accept", "application/vnd.atlas.2025-03-12+json")
			w := httptest.NewRecorder()
			api.api.ServeHTTP(w, r.WithContext(httpapi.WithBase(r.Context(), "https://keys.example.com")))
			var p atlas.Page[int]
			if w.Code == 200 && json.Unmarshal(w.Body.Bytes(), &p) != nil || w.Code != 200 && w.Code != 400 {
				t.Fatalf("%q is answered %d %s", query, w.Code, w.Body)
			}
			return p, w.Code
		}
		values, err := url.ParseQuery(query)
		if values.Get("envelope") != "" {
			return
		}
		first, status := page(query)
		if err != nil || status != 200 {
			return
		}
		number, _ := strconv.Atoi(values.Get("pageNum"))
		size, _ := strconv.Atoi(values.Get("itemsPerPage"))
		if number, size = max(number, 1), max(size, 0); size == 0 {
			size = 100
		}
		from := min((number-1)*size, len(all))
		if want := all[from:min(from+size, len(all))]; !slices.Equal(want, first.Results) {
			t.Errorf("%q shows %v, want %v", query, first.Results, want)
		}
		seen := first.Results
		for p := first; ; {
			next := slices.IndexFunc(p.Links, func(l atlas.Link) bool { return l.Rel == "next" })
			if next < 0 {
				break
			}
			u, err := url.Parse(p.Links[next].Href)
			if err != nil {
				t.Fatal(err)
			}
			for name := range values {
				if !slices.Equal(u.Query()[name], values[name]) && !slices.Contains([]string{"pageNum", "itemsPerPage", "includeCount", "pretty"}, name) {
					t.Errorf("%q: the next page is %s", query, u)
				}
			}
			if p, status = page(u.RawQuery); status != 200 {
				t.Fatalf("%s is answered %d", u, status)
			}
			seen = append(seen, p.Results...)
		}
		if !slices.Equal(seen, all[from:]) {
			t.Errorf("%q leads through %d of %d items", query, len(seen), len(all)-from)
		}
	})
}

func listed(all []int) httpapi.Handler {
	return func(_ context.Context, r *httpapi.Request) (httpapi.Response, error) { return httpapi.List(r, all) }
}
