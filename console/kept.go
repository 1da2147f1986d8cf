package console

import (
	"cmp"
	"net/http"
	"slices"
)

// Names that forms have beside their own: which of their fields are secrets, and that a form is to be
// shown as it was sent, not done.
const (
	fieldSecrets = "~secret"
	fieldResume  = "~resume"
)

// keptView is the page that keeps what somebody typed until it can go on.
type keptView struct {
	Failure *Failure
	SignIn  string // where to sign in, "" if somebody is
	Action  string
	Fields  []keptField
}

type keptField struct{ Name, Value string }

// keep answers a form that can be neither done nor shown again: with what was typed, but no secret.
func (c *Console) keep(v *Visit, f *Failure) {
	view := keptView{Failure: f, Action: v.url(v.r.URL.RequestURI())}
	secrets := v.r.PostForm[fieldSecrets]
	for name, values := range v.r.PostForm {
		if name == fieldResume || slices.Contains(secrets, name) {
			continue
		}
		for _, value := range values {
			view.Fields = append(view.Fields, keptField{name, value})
		}
	}
	if len(view.Fields) == 0 && f.Status == http.StatusUnauthorized { // a button: there is nothing to lose
		v.toSignIn()
		return
	}
	slices.SortStableFunc(view.Fields, func(a, b keptField) int { return cmp.Compare(a.Name, b.Name) })
	if f.Status == http.StatusUnauthorized {
		view.SignIn = v.url(signInPath)
	}
	v.tellWhen(f)
	c.views.bare(v, f.Status, "kept", view)
}

// ended is why a form was not done whose session has ended.
func ended() *Failure {
	return &Failure{Status: http.StatusUnauthorized, Title: "Your session has ended", Detail: "Nothing was changed."}
}

// resumed shows a form that was kept.
func (c *Console) resumed(v *Visit, form Page) {
	v.Failure = &Failure{Title: "Nothing was sent yet", Detail: "Check what you typed. Secrets have to be typed again."}
	c.show(v, form, http.StatusOK)
}
