package console

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"latchkey/console/client"
	"latchkey/console/session"
)

// Visit is one request of somebody's browser. Handlers of pages get it.
type Visit struct {
	// API calls the public API as whoever is signed in.
	API *client.Client
	// Failure is why the form on this page was refused, nil if it was not.
	Failure *Failure
	// Title is in the place of the page's own, if it is set.
	Title string

	console  *Console
	w        http.ResponseWriter
	r        *http.Request
	root     string // what is before "/console" in the browser: the stage, or ""
	api      string // the URL of the API's root
	place    session.Place
	loopback bool // the browser is on this machine
	astray   bool // nobody says where this is
	session  session.Session
	page     Page
	saying   said  // what the next page says
	err      error // for the log
}

type visitKey struct{}

func (v *Visit) request(r *http.Request) *http.Request {
	v.r = r.WithContext(context.WithValue(r.Context(), visitKey{}, v))
	return v.r
}

func visitOf(r *http.Request) *Visit {
	v, ok := r.Context().Value(visitKey{}).(*Visit)
	if !ok {
		panic("console: a request without a visit")
	}
	v.r = r
	return v
}

// Context is that of the request.
func (v *Visit) Context() context.Context { return v.r.Context() }

// Param is a variable of the path: Param("clusterName").
func (v *Visit) Param(name string) string { return v.r.PathValue(name) }

// GroupID is the project of the path, "" on pages that are about none.
func (v *Visit) GroupID() string { return v.r.PathValue("groupId") }

// Query is a parameter of the address, "" if it is not there.
func (v *Visit) Query(name string) string { return v.r.URL.Query().Get(name) }

// Form is a field of the form that was sent, without the white space around it. On a page that is
// shown for the first time it is "".
func (v *Visit) Form(name string) string { return strings.TrimSpace(v.r.PostForm.Get(name)) }

// Sent reports whether a form was sent; the form that is shown again has what is in it.
func (v *Visit) Sent() bool { return v.r.Method == http.MethodPost }

// Checked reports whether a box of the form was ticked.
func (v *Visit) Checked(name string) bool { return v.Form(name) != "" }

// Group is a path of the API below the project's: Group("clusters", name).
func (v *Visit) Group(segments ...string) string {
	return client.Path("/api/atlas/v2/groups/"+url.PathEscape(v.GroupID()), segments...)
}

// OwnGroup is such a path among the operations that are Latchkey's own.
func (v *Visit) OwnGroup(segments ...string) string {
	return client.Path("/api/latchkey/v1/groups/"+url.PathEscape(v.GroupID()), segments...)
}

// Page is a path of the console below the project's: Page("clusters", name).
func (v *Visit) Page(segments ...string) string {
	return client.Path(groupsPath+"/"+url.PathEscape(v.GroupID()), segments...)
}

// Say has the page that the browser goes on to say that something was done. If the action fails after
// all, nothing is said.
func (v *Visit) Say(sentence string) { v.SayAs(Good, sentence) }

// SayAs is Say for what was found, which may be no good news.
func (v *Visit) SayAs(tone Tone, sentence string) { v.saying = said{tone, sentence} }

// said is what the last action says on the next page.
type said struct {
	Tone Tone
	Text string
}

// Refuse is an error that shows the form again, with what is wrong in its fields by name. It is for
// what the console sees before the API does.
func Refuse(sentence string, fields map[string]string) error {
	return &refusal{sentence: sentence, fields: fields}
}

// Unchanged refuses what nothing in the form is to blame for.
func Unchanged(sentence string) error {
	return &refusal{title: "Nothing was changed", sentence: sentence}
}

type refusal struct {
	title    string
	sentence string
	fields   map[string]string
}

// Error implements error.
func (e *refusal) Error() string { return e.sentence }

// Small cookies beside the session's. Neither is a secret, and neither is believed.
const (
	flashCookie = "latchkey-said"
	groupCookie = "latchkey-project"
	monthLong   = 30 * 24 * 3600
)

func (v *Visit) setCookie(name, value string, maxAge int) {
	http.SetCookie(v.w, v.place.Cookie(name, value, maxAge))
}

// said takes what the last action said; nothing was if the text is "". The cookie has the tone, a dot and
// the text.
func (v *Visit) said() said {
	value := v.place.Find(v.r, flashCookie)
	if value == "" {
		return said{}
	}
	v.setCookie(flashCookie, "", -1)
	tone, text, _ := strings.Cut(value, ".")
	sentence, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(sentence) > 500 || !slices.Contains([]Tone{Good, Bad, Warning, Neutral}, Tone(tone)) {
		return said{}
	}
	return said{Tone(tone), string(sentence)}
}

var isID = regexp.MustCompile(`^[0-9a-f]{24}$`).MatchString

func (v *Visit) lastGroup() string {
	if id := v.place.Find(v.r, groupCookie); isID(id) {
		return id
	}
	return ""
}

func (v *Visit) rememberGroup() {
	if id := v.GroupID(); isID(id) && id != v.lastGroup() {
		v.setCookie(groupCookie, id, monthLong)
	}
}

// open opens the session.
func (v *Visit) open() error {
	if v.API != nil {
		return nil
	}
	if v.exposed() {
		return session.ErrNone
	}
	if _, err := v.r.Cookie(v.place.Name()); err != nil {
		return session.ErrNone
	}
	if err := v.left(limitForged); err != nil {
		return err
	}
	s, err := v.console.jar.Read(v.Context(), v.r, v.place)
	if errors.Is(err, session.ErrForged) {
		v.take(limitForged) //nolint:errcheck // the next one is told
	}
	if err != nil {
		return err
	}
	v.session, v.API = s, v.client(s)
	return nil
}

// client is the API for a session.
func (v *Visit) client(s session.Session) *client.Client {
	var as client.Credentials = client.Bearer(s.Secret)
	if s.Kind == session.APIKey {
		as = client.Digest{PublicKey: s.Name, PrivateKey: s.Secret, Nonces: v.console.nonces}
	}
	return client.New(v.api, v.console.deps.Transport, as)
}

func (v *Visit) parseForm() error { return v.r.ParseForm() }

// fill puts this visit's variables into a path of the table.
func (v *Visit) fill(path string) string {
	parts := strings.Split(path, "/")
	for i, part := range parts {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			parts[i] = url.PathEscape(v.Param(strings.TrimSuffix(name, "}")))
		}
	}
	return strings.Join(parts, "/")
}

// url is a path of the console as the browser sees it.
func (v *Visit) url(path string) string { return v.root + path }

// redirect leads to a page of the console, and nowhere else: to is a path below /console.
func (v *Visit) redirect(to string) {
	if !isLocal(to) {
		to = groupsPath
	}
	if v.saying.Text != "" {
		v.setCookie(flashCookie, string(v.saying.Tone)+"."+base64.RawURLEncoding.EncodeToString([]byte(v.saying.Text)), 60)
	}
	v.w.Header().Set("Location", v.url(to))
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.w.WriteHeader(http.StatusSeeOther)
}

// toSignIn leads to the page to sign in, and from there back to this one.
func (v *Visit) toSignIn() {
	to := signInPath
	if v.r.Method == http.MethodGet {
		to += "?" + url.Values{"return": {v.r.URL.RequestURI()}}.Encode()
	}
	if v.r.Header.Get("Hx-Request") != "" { // of a dialog, which would show the page within itself
		v.w.Header().Set("HX-Redirect", v.url(to))
		v.w.WriteHeader(http.StatusOK)
		return
	}
	v.redirect(to)
}

// isLocal reports whether a path is one of the console's pages, however browsers may read it.
func isLocal(to string) bool {
	if strings.ContainsAny(to, "\\\t\r\n") || strings.Contains(to, "//") || strings.Contains(to, "/.") {
		return false
	}
	at, err := url.Parse(to)
	if err == nil && (strings.Contains(at.Path, "//") || strings.Contains(at.Path, "/.") || strings.Contains(at.Path, "\\")) {
		return false // escaped
	}
	return err == nil && at.Scheme == "" && at.Host == "" && at.User == nil && at.Fragment == "" &&
		(at.Path == root || strings.HasPrefix(at.Path, root+"/"))
}
