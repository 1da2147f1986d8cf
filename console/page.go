package console

import (
	"errors"
	"net/http"
	"strings"

	"latchkey/console/client"
	"latchkey/console/session"
)

// Nav is an item of the navigation.
type Nav string

// The items of the navigation, in its order. An item shows once there is a page for it.
const (
	Overview Nav = "Overview"
	Advanced Nav = "Advanced"
	Clusters Nav = "Clusters"
	Alerts   Nav = "Alerts"
	Activity Nav = "Activity"
)

var navigation = []struct {
	item Nav
	path string // of its page
}{
	{Overview, groupsPath + "/{groupId}"},
	{Advanced, groupsPath + "/{groupId}/advanced"},
	{Clusters, groupsPath + "/{groupId}/clusters"},
	{Alerts, groupsPath + "/{groupId}/alerts"},
	{Activity, groupsPath + "/{groupId}/activity"},
}

// Page is a page of the console, for whoever is signed in.
type Page struct {
	Path     string // "/console/groups/{groupId}/clusters"
	Title    string // for the browser and the h1; a Load may set another with Visit.Title
	Nav      Nav    // the item that it is below; "" for none
	Template string // file under templates/, without ".html"; it defines "content"
	// Load reads what the page shows. What it returns is the template's data.
	Load func(v *Visit) (any, error)
}

// Fragment is a part of a page that htmx reads again. Its template's block is shown by itself.
type Fragment struct {
	Path     string
	Template string
	Block    string // "{{define}}" in that template
	Load     func(v *Visit) (any, error)
	Posted   bool // POST too: what it reads must not be in an address
}

// Action changes something: POST, then a redirect to a page.
type Action struct {
	Path string
	// Form is the page whose form was sent. If the API refuses, it is shown again with what was sent
	// and what the API says.
	Form string // the Path of a Page
	// Do returns the path that the browser goes on to, "" for the one of Form.
	Do func(v *Visit) (to string, err error)
}

// page serves a page.
func (c *Console) page(p Page) http.HandlerFunc {
	return func(_ http.ResponseWriter, r *http.Request) {
		v := visitOf(r)
		if !c.admit(v) {
			return
		}
		c.show(v, p, http.StatusOK)
	}
}

// show loads a page and answers with it. The frame around the page is read at the same time.
func (c *Console) show(v *Visit, p Page, status int) {
	v.page = p
	frame := v.beginFrame()
	data, err := p.Load(v)
	around := <-frame
	if err == nil {
		err = around.err
	}
	switch {
	case err == nil:
	case v.Failure != nil && !client.IsUnauthorized(err):
		c.keep(v, v.Failure)
		return
	default:
		c.fail(v, err)
		return
	}
	v.rememberGroup()
	c.views.page(v, status, p.Template, around, data)
}

// fragment serves a part of a page. Without a session it says so in its place, and asks no more.
func (c *Console) fragment(f Fragment, _ bool) http.HandlerFunc {
	return func(_ http.ResponseWriter, r *http.Request) {
		v := visitOf(r)
		if err := v.open(); err != nil {
			c.unfragment(v, err)
			return
		}
		if v.r.Method == http.MethodPost {
			if err := v.parseForm(); err != nil {
				c.unfragment(v, err)
				return
			}
		}
		data, err := f.Load(v)
		if err != nil {
			c.unfragment(v, err)
			return
		}
		c.views.unchanged(v, f.Template, f.Block, data)
	}
}

// unfragment answers for a part that cannot be read: htmx leaves the old one where it is if the
// status is an error, and asks again.
func (c *Console) unfragment(v *Visit, err error) {
	v.err = err
	if errors.Is(err, session.ErrNone) || client.IsUnauthorized(err) {
		c.views.block(v, http.StatusOK, "error", "signed-out", v.url(signInPath))
		return
	}
	f := failed(client.AsError(err))
	v.tellWhen(f)
	c.views.block(v, f.Status, "error", "fragment", f)
}

// action serves a change.
func (c *Console) action(a Action) http.HandlerFunc {
	return func(_ http.ResponseWriter, r *http.Request) {
		v := visitOf(r)
		if err := v.parseForm(); err != nil {
			c.refuse(v, http.StatusBadRequest, "The form is malformed or too large.")
			return
		}
		if !c.admit(v) {
			return
		}
		if v.Form(fieldResume) != "" {
			c.resumed(v, c.pageAt(a.Form))
			return
		}
		to, err := a.Do(v)
		switch {
		case err == nil:
			if to == "" {
				to = v.fill(a.Form)
			}
			v.redirect(to)
		case v.isRefusal(err):
			v.err = err
			v.Failure = failedWith(err)
			v.tellWhen(v.Failure)
			c.show(v, c.pageAt(a.Form), v.Failure.Status)
		default:
			c.fail(v, err)
		}
	}
}

// pageAt finds a page of the table; actions name one that is there, which a test sees to.
func (c *Console) pageAt(path string) Page {
	for _, p := range c.pages {
		if p.Path == path {
			return p
		}
	}
	panic("console: there is no page " + path)
}

// admit opens the session, or leads to the page that begins one.
func (c *Console) admit(v *Visit) bool {
	err := v.open()
	switch {
	case err == nil:
		return true
	case !errors.Is(err, session.ErrNone):
		c.fail(v, err)
	case v.fromElsewhere():
		// A link in a message: the browser kept the cookie back, because the visit began on another
		// site. Once the page asks for itself, it sends it.
		c.views.bare(v, http.StatusOK, "again", nil)
	case v.Sent():
		c.keep(v, ended())
	default:
		v.toSignIn()
	}
	return false
}

// fromElsewhere reports whether the browser says that another site led here.
func (v *Visit) fromElsewhere() bool {
	site := v.r.Header.Get("Sec-Fetch-Site")
	return v.r.Method == http.MethodGet && (site == "cross-site" || site == "same-site") && v.r.Header.Get("Sec-Fetch-Mode") == "navigate"
}

// fail answers for what cannot be shown.
func (c *Console) fail(v *Visit, err error) {
	v.err, v.saying = err, said{}
	if client.IsUnauthorized(err) { // the key is gone, or the token has ended
		http.SetCookie(v.w, c.jar.End(v.place))
		if v.Sent() {
			c.keep(v, ended())
			return
		}
		v.toSignIn()
		return
	}
	e := client.AsError(err)
	c.views.failure(v, e.Status, failed(e))
}

// refuse answers with what the console itself has to say.
func (c *Console) refuse(v *Visit, status int, sentence string) {
	c.views.failure(v, status, &Failure{Status: status, Title: http.StatusText(status), Detail: sentence})
}

// navItems is the navigation of a project.
func (c *Console) navItems(v *Visit, current Nav) []navItem {
	if v.GroupID() == "" {
		return nil
	}
	var items []navItem
	for _, n := range navigation {
		for _, p := range c.pages {
			if p.Path == n.path {
				items = append(items, navItem{Text: string(n.item), URL: v.url(strings.ReplaceAll(n.path, "{groupId}", v.GroupID())), Current: n.item == current})
			}
		}
	}
	return items
}

type navItem struct {
	Text, URL string
	Current   bool
}
