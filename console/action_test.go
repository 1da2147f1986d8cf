package console_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"latchkey/console"
)

// form is a page with two fields, and what it is sent to.
func form(w *world) {
	const path = "/console/groups/{groupId}/try"
	w.handler.Add(console.Page{Path: path, Title: "Try", Template: "signin", Load: func(v *console.Visit) (any, error) {
		return map[string]any{
			"Kind": "apiKey", "Return": "", "Insecure": false, "Failure": nil,
			"Name": v.Field(console.Field{Name: "name", Label: "Name"}, "a.name"), "Secret": v.Field(console.Field{Name: "secret", Label: "Secret", Secret: true, Value: "kept"}),
		}, nil
	}}, console.Action{Path: path, Form: path, Do: func(v *console.Visit) (string, error) {
		if v.Form("name") == "" {
			return "", console.Refuse("A name is needed.", map[string]string{"name": "This one."})
		}
		v.Say("It was done.")
		return v.Page(), v.API.Do(v.Context(), http.MethodPost, v.Group("clusters"), map[string]string{"name": v.Form("name")}, nil)
	}})
}

func TestAction_leadsOnAndSaysSo(t *testing.T) {
	t.Parallel()
	w := open(t, "/prod")
	form(w)
	w.signIn()
	w.api.set("POST /api/atlas/v2/groups/"+groupID+"/clusters", map[string]any{})
	if a := w.post(overview+"/try", url.Values{"name": {"c1"}}); a.Header.Get("Location") != "/prod"+overview {
		t.Errorf("answer = %d %s", a.StatusCode, a.Header.Get("Location"))
	}
	if a := w.get(overview); !strings.Contains(a.body, "It was done.") {
		t.Error("the next page does not say so")
	}
	if a := w.get(overview); strings.Contains(a.body, "It was done.") {
		t.Error("the page after it says so again")
	}
}

func TestAction_showsTheFormAgainIfItIsRefused(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	form(w)
	w.signIn()
	w.api.set("POST /api/atlas/v2/groups/"+groupID+"/clusters", refused{409, "CLUSTER_ALREADY_PRESENT", "There is one.", ""})
	a := w.post(overview+"/try", url.Values{"name": {"c<1"}, "secret": {"typed-secret"}})
	for _, want := range []string{"CLUSTER_ALREADY_PRESENT", "There is one.", `value="c&lt;1"`} {
		if a.StatusCode != 409 || !strings.Contains(a.body, want) {
			t.Errorf("%d: the page lacks %s", a.StatusCode, want)
		}
	}
	if next := w.get(overview); strings.Contains(next.body, "It was done.") {
		t.Error("the next page says that it was done")
	}
	if strings.Contains(a.body, "typed-secret") || strings.Contains(a.body, "kept") {
		t.Error("the page shows the secret")
	}
	a = w.post(overview+"/try", nil)
	if a.StatusCode != 422 || !strings.Contains(a.body, "This one.") || !strings.Contains(a.body, `aria-describedby="f-name-error"`) {
		t.Errorf("answer = %d %s", a.StatusCode, a.body)
	}
}
