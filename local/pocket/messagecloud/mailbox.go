package messagecloud

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"
)

// MailboxPath is where the mailbox is served: /mailbox has e-mails, /mailbox/sms, /mailbox/topic and
// /mailbox/bus what went elsewhere, /mailbox/{id} one message.
const MailboxPath = "/mailbox"

// listed is how many messages a page lists.
const listed = 200

// Mailbox shows what was sent, the latest first: as a page, or as JSON to who accepts that before HTML.
// Nothing that a message says becomes a part of the page.
func (o *Office) Mailbox() http.Handler { return mailbox{o} }

type mailbox struct{ office *Office }

// style is the only thing on the page that is no text. The policy names it by its hash and allows
// nothing else.
const style = `body{font:15px/1.45 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}` +
	`nav a{margin-right:1rem}table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;` +
	`padding:.35rem .8rem .35rem 0;border-bottom:1px solid #ddd}pre{white-space:pre-wrap;overflow-wrap:anywhere;` +
	`background:#f6f6f6;padding:1rem}.here{font-weight:600}`

func policy() string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; style-src 'sha256-" +
		base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// ServeHTTP answers GET and HEAD.
func (m mailbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for name, value := range map[string]string{
		"Content-Security-Policy": policy(), "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
		"Cross-Origin-Resource-Policy": "same-origin", "Vary": "Accept",
	} {
		w.Header().Set(name, value)
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "use GET", http.StatusMethodNotAllowed)
		return
	}
	rest := strings.Trim(strings.TrimPrefix(r.URL.Path, MailboxPath), "/")
	kind := Kind(rest)
	if rest == "" {
		kind = Mail
	}
	if slices.Contains(Kinds(), kind) {
		m.list(w, r, kind)
		return
	}
	m.show(w, r, rest)
}

func (m mailbox) list(w http.ResponseWriter, r *http.Request, kind Kind) {
	messages, err := m.office.Messages(kind)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	total := len(messages)
	messages = messages[:min(total, listed)]
	answer(w, r, map[string]any{"messages": messages, "totalCount": total}, listPage, map[string]any{
		"Kind": kind, "Messages": messages, "Total": total,
	})
}

func (m mailbox) show(w http.ResponseWriter, r *http.Request, id string) {
	message, found, err := m.office.Message(id)
	switch {
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	case !found:
		http.Error(w, "there is no such message", http.StatusNotFound)
	default:
		answer(w, r, message, messagePage, map[string]any{"Kind": message.Kind, "Message": message})
	}
}

// answer writes what was asked for: JSON, or else the page.
func answer(w http.ResponseWriter, r *http.Request, value any, page *template.Template, data map[string]any) {
	var body bytes.Buffer
	contentType, err := "text/html; charset=utf-8", error(nil)
	if wantsJSON(r.Header.Get("Accept")) {
		contentType, err = "application/json", json.NewEncoder(&body).Encode(value)
	} else {
		data["Style"], data["Kinds"] = template.CSS(style), tabs() //nolint:gosec // G203: it is a constant
		err = page.Execute(&body, data)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.Write(body.Bytes()) //nolint:errcheck // the client is gone
}

// wantsJSON reports whether JSON comes before HTML in what a client accepts.
func wantsJSON(accept string) bool {
	for part := range strings.SplitSeq(accept, ",") {
		kind, _, _ := strings.Cut(strings.TrimSpace(part), ";")
		switch strings.ToLower(strings.TrimSpace(kind)) {
		case "application/json":
			return true
		case "text/html", "application/xhtml+xml":
			return false
		}
	}
	return false
}

// tab is a link to the messages of a kind.
type tab struct {
	Kind       Kind
	Path, Name string
}

func tabs() []tab {
	return []tab{
		{Mail, MailboxPath, "E-mail"},
		{SMS, MailboxPath + "/sms", "Text messages"},
		{Topic, MailboxPath + "/topic", "Topics"},
		{Bus, MailboxPath + "/bus", "Event buses"},
	}
}

const frame = `<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>Mailbox</title><style>{{.Style}}</style></head>
<body>
<nav>{{range .Kinds}}<a href="{{.Path}}"{{if eq .Kind $.Kind}} class="here"{{end}}>{{.Name}}</a>{{end}}</nav>
{{template "content" .}}
</body>
</html>
`

var (
	listPage = page(`{{if .Messages}}<table>
<tr><th>When</th><th>To</th><th>Subject</th></tr>
{{range .Messages}}<tr><td>{{when .At}}</td><td>{{range $i, $to := .To}}{{if $i}}, {{end}}{{$to}}{{end}}</td><td><a href="/mailbox/{{.ID}}">{{title .}}</a></td></tr>
{{end}}</table>
<p>{{len .Messages}} of {{.Total}}, the latest first.</p>{{else}}<p>Nothing was sent.</p>{{end}}`)

	messagePage = page(`{{with .Message}}<h1>{{title .}}</h1>
<table>
<tr><th>When</th><td>{{when .At}}</td></tr>
{{if .From}}<tr><th>From</th><td>{{.From}}</td></tr>{{end}}
<tr><th>To</th><td>{{range $i, $to := .To}}{{if $i}}, {{end}}{{$to}}{{end}}</td></tr>
{{range $name, $value := .Headers}}<tr><th>{{$name}}</th><td>{{$value}}</td></tr>
{{end}}</table>
{{if .Text}}<pre>{{.Text}}</pre>{{end}}
{{if .HTML}}<h2>Its source in HTML</h2><pre>{{.HTML}}</pre>{{end}}{{end}}`)
)

func page(content string) *template.Template {
	functions := template.FuncMap{
		"when": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
		"title": func(m Message) string {
			switch {
			case m.Subject != "":
				return m.Subject
			case len([]rune(m.Text)) > maxTitle:
				return string([]rune(m.Text)[:maxTitle]) + "…"
			}
			return m.Text
		},
	}
	t := template.Must(template.New("frame").Funcs(functions).Parse(frame))
	return template.Must(t.New("content").Parse(content)).Lookup("frame")
}

// maxTitle is how much of a message without a subject stands for one, in characters.
const maxTitle = 80
