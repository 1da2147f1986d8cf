package console

import (
	"net/http"
	"time"

	"latchkey/console/client"
	"latchkey/console/session"
)

// signInView is the page to sign in.
type signInView struct {
	Kind     session.Kind
	Return   string
	Name     Field
	Secret   Field
	Insecure bool // over plain HTTP from another machine, where no cookie would be kept
	Failure  *Failure
}

// Fields of the form.
const (
	fieldKind   = "kind"
	fieldName   = "name"
	fieldSecret = "secret" // a name, not a secret
	fieldReturn = "return"
)

func (c *Console) signInView(v *Visit, kind session.Kind, back string) signInView {
	view := signInView{Kind: kind, Insecure: v.exposed(), Failure: v.Failure}
	if isLocal(back) {
		view.Return = back
	}
	view.Name = Field{Name: fieldName, Label: "Public key", Required: true, Mono: true, Spelling: "username", Hint: "Eight letters."}
	view.Secret = Field{Name: fieldSecret, Label: "Private key", Required: true, Secret: true, Spelling: "current-password"}
	if kind == session.ServiceAccount {
		view.Kind = session.ServiceAccount
		view.Name.Label, view.Name.Hint, view.Secret.Label = "Client ID", "It begins with mdb_sa_id_.", "Client secret"
	} else {
		view.Kind = session.APIKey
	}
	view.Name, view.Secret = v.Field(view.Name), v.Field(view.Secret)
	return view
}

func (c *Console) showSignIn(_ http.ResponseWriter, r *http.Request) {
	v := visitOf(r)
	c.views.bare(v, http.StatusOK, "signin", c.signInView(v, session.Kind(v.Query(fieldKind)), v.Query(fieldReturn)))
}

// signIn proves who somebody is by asking the API as them, and begins a session.
func (c *Console) signIn(_ http.ResponseWriter, r *http.Request) {
	v := visitOf(r)
	if err := v.parseForm(); err != nil {
		c.refuse(v, http.StatusBadRequest, "The form is malformed or too large.")
		return
	}
	if v.exposed() {
		c.refuse(v, http.StatusForbidden, "This connection is not encrypted. Open the console over HTTPS, or on the machine that it runs on.")
		return
	}
	kind, back := session.Kind(v.Form(fieldKind)), v.Form(fieldReturn)
	var s session.Session
	var cookie *http.Cookie
	err := v.left(limitSignIns)
	if err == nil {
		s, err = c.prove(v, kind, v.Form(fieldName), v.Form(fieldSecret))
		if client.IsUnauthorized(err) {
			v.take(limitSignIns) //nolint:errcheck // the next one is told
		}
	}
	if err == nil {
		cookie, err = c.jar.Begin(v.Context(), s, v.place)
	}
	if err != nil {
		v.err = err
		v.Failure = signInFailure(err)
		v.tellWhen(v.Failure)
		c.views.bare(v, v.Failure.Status, "signin", c.signInView(v, kind, back))
		return
	}
	http.SetCookie(v.w, cookie)
	if !isLocal(back) {
		back = groupsPath
		if id := v.lastGroup(); id != "" {
			back += "/" + id
		}
	}
	v.redirect(back)
}

func signInFailure(err error) *Failure {
	f := failedWith(err)
	if client.IsUnauthorized(err) {
		f.Title, f.Code = "Nobody was signed in", ""
		f.Detail, f.Advice = "There is no such key, or it goes with another secret.", "Check both fields. Spaces at their ends do not matter."
	}
	return f
}

// prove makes a session of credentials that the API accepts.
func (c *Console) prove(v *Visit, kind session.Kind, name, secret string) (session.Session, error) {
	s := session.Session{Kind: session.APIKey, Name: name, Secret: secret, Expires: c.deps.Now().Add(session.Longest)}
	if name == "" || secret == "" {
		return s, Refuse("Both fields are needed.", nil)
	}
	if kind == session.ServiceAccount {
		token, err := client.Exchange(v.Context(), v.api, c.deps.Transport, name, secret)
		if err != nil {
			return s, err
		}
		s.Kind, s.Secret, s.Expires = session.ServiceAccount, token.Value, c.deps.Now().Add(token.Life-tokenMargin)
		return s, nil
	}
	return s, v.client(s).Get(v.Context(), "/api/atlas/v2", nil, nil)
}

// tokenMargin is how much sooner than its token a session ends, so that no call is refused before.
const tokenMargin = 10 * time.Second

// signOut takes the session away. A token lives on: to revoke it takes the client's secret, which was not kept.
func (c *Console) signOut(_ http.ResponseWriter, r *http.Request) {
	v := visitOf(r)
	words := "You are signed out."
	if err := v.open(); err == nil && v.session.Kind == session.ServiceAccount {
		ends := v.session.Expires.Add(tokenMargin + time.Minute).UTC().Truncate(time.Minute)
		words += " Nobody has the token of this session any more; it ends by itself before " + ends.Format("15:04") +
			" UTC. If somebody may have seen it, delete the client secret, which ends it at once."
	}
	http.SetCookie(v.w, c.jar.End(v.place))
	v.setCookie(groupCookie, "", -1)
	v.Say(words)
	v.redirect(signInPath)
}
