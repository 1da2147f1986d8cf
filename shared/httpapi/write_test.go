package httpapi_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/shared/atlas"
	"latchkey/shared/httpapi"
)

func list(items []int) httpapi.Handler {
	return func(_ context.Context, r *httpapi.Request) (httpapi.Response, error) { return httpapi.List(r, items) }
}

func numbers(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

func TestAPI_EnvelopeAndPrettyWrapObjectsListsAndErrors(t *testing.T) {
	r := newRig(
		serve("GET", "/object", answer(map[string]string{"a": "<b> & c"})),
		serve("GET", "/list", list([]int{7})),
		serve("GET", "/bool", answer(true)),
		serve("GET", "/array", answer([]int{1})),
		serve("GET", "/nothing", func(context.Context, *httpapi.Request) (httpapi.Response, error) {
			return httpapi.NoContent(), nil
		}),
		serve("GET", "/fails", fail(atlas.Fail(atlas.GroupNotFound, groupID))),
	)
	const self = `"links":[{"href":"https://keys.example.com/prod/list?includeCount=true&pageNum=1&itemsPerPage=100","rel":"self"}]`
	notFound := `{"detail":"No group with ID ` + groupID + ` exists.","error":404,"errorCode":"GROUP_NOT_FOUND","parameters":["` +
		groupID + `"],"reason":"Not Found"}`
	tests := map[string]string{
		"/object":                            `{"a":"<b> & c"}`,
		"/object?pretty=false":               `{"a":"<b> & c"}`,
		"/object?pretty=true":                "{\n  \"a\": \"<b> & c\"\n}",
		"/object?envelope=true":              `{"status":200,"content":{"a":"<b> & c"}}`,
		"/object?envelope=TRUE&pretty=true":  "{\n  \"status\": 200,\n  \"content\": {\n    \"a\": \"<b> & c\"\n  }\n}",
		"/list":                              `{` + self + `,"results":[7],"totalCount":1}`,
		"/list?envelope=true":                `{"status":200,` + self + `,"results":[7],"totalCount":1}`,
		"/bool":                              `true`,
		"/bool?envelope=true":                `{"status":200,"content":true}`,
		"/array?envelope=true":               `{"status":200,"content":[1]}`,
		"/nothing?envelope=true&pretty=true": ``,
		"/fails":                             notFound,
		"/fails?envelope=true":               `{"status":404,"content":` + notFound + `}`,
		"/fails?pretty=true": "{\n  \"detail\": \"No group with ID " + groupID + " exists.\",\n  \"error\": 404,\n  \"errorCode\": \"GROUP_NOT_FOUND\"," +
			"\n  \"parameters\": [\n    \"" + groupID + "\"\n  ],\n  \"reason\": \"Not Found\"\n}",
	}
	for target, want := range tests {
		resp := r.get(target)
		if diff := cmp.Diff(want, bodyOf(t, resp)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", target, diff)
		}
		if strings.HasPrefix(target, "/fails") && resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s answers %d", target, resp.StatusCode)
		}
	}
}

func TestAPI_TextAnswersPlainTextWhateverTheQueryAsks(t *testing.T) {
	r := newRig(serve("GET", "/text", func(context.Context, *httpapi.Request) (httpapi.Response, error) {
		return httpapi.Text("8.0"), nil
	}))
	resp := r.get("/text?envelope=true&pretty=true")
	if body, ct := bodyOf(t, resp), resp.Header.Get("Content-Type"); body != "8.0" || ct != "text/plain;charset=utf-8" || resp.StatusCode != 200 {
		t.Errorf("got %d %q %q", resp.StatusCode, ct, body)
	}
}

func TestAPI_RawAnswersUndressed(t *testing.T) {
	r := newRig(serve("POST", "/raw", func(context.Context, *httpapi.Request) (httpapi.Response, error) {
		return httpapi.Response{Status: 400, Body: map[string]string{"error": "invalid_request"}, Raw: true}, nil
	}))
	resp := r.do(call{method: "POST", target: "/raw?envelope=true"})
	if body := bodyOf(t, resp); body != `{"error":"invalid_request"}` || resp.StatusCode != 400 {
		t.Errorf("got %d %s", resp.StatusCode, body)
	}
	if ct := resp.Header.Get("Content-Type"); ct != "application/json;charset=utf-8" {
		t.Errorf("Content-Type is %q", ct)
	}
}

func TestAPI_CreatedCarriesItsLocation(t *testing.T) {
	r := newRig(serve("POST", "/x", func(_ context.Context, r *httpapi.Request) (httpapi.Response, error) {
		return httpapi.Created(1, r.Link("/x/1")), nil
	}))
	resp := r.do(call{method: "POST", target: "/x"})
	if got := resp.Header.Get("Location"); resp.StatusCode != 201 || got != "https://keys.example.com/prod/api/atlas/v2/x/1" {
		t.Errorf("got %d %q", resp.StatusCode, got)
	}
}

func TestList_CutsThePageAndLinksItsNeighbours(t *testing.T) {
	r := newRig(serve("GET", "/l", list(numbers(250))))
	const base = "https://keys.example.com/prod/l?"
	tests := map[string]struct {
		first, length int
		links         []atlas.Link
	}{
		"": {0, 100, []atlas.Link{
			{Rel: "self", Href: base + "includeCount=true&pageNum=1&itemsPerPage=100"},
			{Rel: "next", Href: base + "includeCount=true&itemsPerPage=100&pageNum=2"},
		}},
		"?pageNum=0": {0, 100, []atlas.Link{
			{Rel: "self", Href: base + "includeCount=true&pageNum=1&itemsPerPage=100"},
			{Rel: "next", Href: base + "includeCount=true&itemsPerPage=100&pageNum=2"},
		}},
		"?pageNum=2&status=OPEN&b=1&a=x%26y": {100, 100, []atlas.Link{
			{Rel: "self", Href: base + "a=x%26y&b=1&status=OPEN&includeCount=true&pageNum=2&itemsPerPage=100"},
			{Rel: "previous", Href: base + "a=x%26y&b=1&status=OPEN&includeCount=true&itemsPerPage=100&pageNum=1"},
			{Rel: "next", Href: base + "a=x%26y&b=1&status=OPEN&includeCount=true&itemsPerPage=100&pageNum=3"},
		}},
		"?pageNum=3": {200, 50, []atlas.Link{
			{Rel: "self", Href: base + "includeCount=true&pageNum=3&itemsPerPage=100"},
			{Rel: "previous", Href: base + "includeCount=true&itemsPerPage=100&pageNum=2"},
		}},
		"?pageNum=9&itemsPerPage=500": {0, 0, []atlas.Link{
			{Rel: "self", Href: base + "includeCount=true&pageNum=9&itemsPerPage=500"},
			{Rel: "previous", Href: base + "includeCount=true&itemsPerPage=500&pageNum=8"},
		}},
		"?itemsPerPage=250": {0, 250, []atlas.Link{
			{Rel: "self", Href: base + "includeCount=true&pageNum=1&itemsPerPage=250"},
		}},
	}
	for query, tt := range tests {
		var page atlas.Page[int]
		if err := json.Unmarshal([]byte(bodyOf(t, r.get("/l"+query))), &page); err != nil {
			t.Fatal(err)
		}
		if len(page.Results) != tt.length || (tt.length > 0 && page.Results[0] != tt.first) {
			t.Errorf("%s: %d items from %v", query, len(page.Results), page.Results[:min(1, len(page.Results))])
		}
		if page.TotalCount == nil || *page.TotalCount != 250 {
			t.Errorf("%s: totalCount is %v", query, page.TotalCount)
		}
		if diff := cmp.Diff(tt.links, page.Links); diff != "" {
			t.Errorf("%s: links (-want +got):\n%s", query, diff)
		}
	}
}

func TestList_AnEmptyListIsAnArrayWithItsCount(t *testing.T) {
	body := bodyOf(t, newRig(serve("GET", "/l", list(nil))).get("/l"))
	if !strings.Contains(body, `"results":[],"totalCount":0`) {
		t.Error(body)
	}
}

func TestList_LeavesTheCountOutOnRequest(t *testing.T) {
	body := bodyOf(t, newRig(serve("GET", "/l", list(numbers(3)))).get("/l?includeCount=false"))
	if strings.Contains(body, "totalCount") || !strings.Contains(body, "includeCount=false&pageNum=1") {
		t.Error(body)
	}
}

func TestList_RefusesPagesThatDoNotExist(t *testing.T) {
	r := newRig(serve("GET", "/l", list(numbers(3))))
	for _, query := range []string{
		"pageNum=-1", "pageNum=x", "pageNum=99999999999999999999", "itemsPerPage=0", "itemsPerPage=501", "itemsPerPage=1.5", "includeCount=maybe",
	} {
		wantError(t, r.get("/l?"+query), http.StatusBadRequest, atlas.InvalidQueryParameter)
	}
	wantError(t, r.get("/l?a=%zz"), http.StatusBadRequest, atlas.InvalidQueryParameter)
}

func TestList_LinksEscapeThePath(t *testing.T) {
	r := newRig(serve("GET", "/n/{name}", list(numbers(1))))
	if body := bodyOf(t, r.get("/n/two%20words")); !strings.Contains(body, `/n/two%20words?includeCount`) {
		t.Error(body)
	}
}
