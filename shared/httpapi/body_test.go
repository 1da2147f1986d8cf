package httpapi_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"latchkey/shared/atlas"
	"latchkey/shared/httpapi"
)

type nested struct {
	AWS *struct {
		Enabled *bool   `json:"enabled"`
		Region  *string `json:"region"`
	} `json:"awsKms"`
	Items []struct {
		Delay int `json:"delayMin"`
	} `json:"items"`
}

func TestJSON_ReadsWhatClientsSend(t *testing.T) {
	tests := map[string]struct {
		body    string
		code    atlas.Code // "" is 204
		mention string
	}{
		"all members":               {body: `{"awsKms":{"enabled":true,"region":"US_EAST_1"}}`},
		"unknown members":           {body: `{"awsKms":{"valid":true,"x":{}},"y":[1]}`},
		"explicit nulls":            {body: `{"awsKms":{"enabled":null,"region":null},"items":null}`},
		"a null block":              {body: `{"awsKms":null}`},
		"an empty block":            {body: `{"awsKms":{}}`},
		"null":                      {body: `null`},
		"nothing":                   {body: ``, code: atlas.MalformedJSON},
		"half an object":            {body: `{"awsKms":`, code: atlas.MalformedJSON},
		"text behind the object":    {body: `{} {}`, code: atlas.MalformedJSON},
		"no JSON":                   {body: `enabled=true`, code: atlas.MalformedJSON},
		"another kind of document":  {body: `[]`, code: atlas.InvalidJSON},
		"a string as document":      {body: `"x"`, code: atlas.InvalidJSON},
		"a wrong type deep inside":  {body: `{"awsKms":{"enabled":"yes"}}`, code: atlas.InvalidJSONAttribute, mention: "awsKms.enabled"},
		"a wrong type in a list":    {body: `{"items":[{"delayMin":"x"}]}`, code: atlas.InvalidJSONAttribute, mention: "items.delayMin"},
		"a block that is no object": {body: `{"awsKms":7}`, code: atlas.InvalidJSONAttribute, mention: "awsKms"},
	}
	route := serve("POST", "/x", httpapi.JSON(func(context.Context, *httpapi.Request, nested) (httpapi.Response, error) {
		return httpapi.NoContent(), nil
	}))
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			resp := newRig(route).do(call{method: "POST", target: "/x", body: tt.body})
			if tt.code == "" {
				if resp.StatusCode != http.StatusNoContent {
					t.Errorf("answers %d: %s", resp.StatusCode, bodyOf(t, resp))
				}
				return
			}
			e := wantError(t, resp, http.StatusBadRequest, tt.code)
			if !strings.Contains(e.Detail, tt.mention) {
				t.Errorf("%q does not name %s", e.Detail, tt.mention)
			}
		})
	}
}

func TestAPI_ABodyBeyondTheLimitIs413(t *testing.T) {
	r := newRig(serve("POST", "/x", func(_ context.Context, r *httpapi.Request) (httpapi.Response, error) {
		return httpapi.OK(len(r.Body)), nil
	}))
	if got := bodyOf(t, r.do(call{method: "POST", target: "/x", body: strings.Repeat("a", httpapi.MaxBody)})); got != "1048576" {
		t.Errorf("a body of the largest size was read as %s bytes", got)
	}
	resp := r.do(call{method: "POST", target: "/x", body: strings.Repeat("a", httpapi.MaxBody+1)})
	wantError(t, resp, http.StatusRequestEntityTooLarge, atlas.RequestTooLarge)
}

func TestAPI_ABodyOnDeleteIsTolerated(t *testing.T) {
	r := newRig(serve("DELETE", "/x", func(context.Context, *httpapi.Request) (httpapi.Response, error) {
		return httpapi.NoContent(), nil
	}))
	resp := r.do(call{method: "DELETE", target: "/x", body: `{"cloudProvider":"AWS"}`})
	if body := bodyOf(t, resp); resp.StatusCode != http.StatusNoContent || body != "" {
		t.Errorf("answers %d %q", resp.StatusCode, body)
	}
}

func TestDecode_NeverFailsOtherwiseThanWithA400(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var v nested
		err := httpapi.Decode(rapid.SliceOf(rapid.Byte()).Draw(t, "body"), &v)
		if err != nil && atlas.AsError(err).Status() != http.StatusBadRequest {
			t.Fatalf("%v", err)
		}
	})
}
