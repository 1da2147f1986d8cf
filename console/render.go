package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"path"
	"runtime/debug"
	"strings"
	"sync"
	"time"
)

//go:embed templates/*.html
var templateFiles embed.FS

//go:embed assets/console.css assets/console.js assets/htmx.min.js assets/icon.svg
var assetFiles embed.FS

type file struct {
	content   []byte
	mediaType string
}

// assets are the files that pages refer to, by their names with a hash.
type assets struct {
	byName map[string]file
	hashed map[string]string // "console.css" -> "console.4f1c….css"
}

var mediaTypes = map[string]string{
	".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
}

func readAssets() assets {
	a := assets{map[string]file{}, map[string]string{}}
	entries, err := assetFiles.ReadDir("assets")
	must(err)
	for _, e := range entries {
		content, err := assetFiles.ReadFile("assets/" + e.Name())
		must(err)
		sum := sha256.Sum256(content)
		ext := path.Ext(e.Name())
		name := strings.TrimSuffix(e.Name(), ext) + "." + hex.EncodeToString(sum[:6]) + ext
		a.byName[name] = file{content, mediaTypes[ext]}
		a.hashed[e.Name()] = name
	}
	return a
}

// views renders templates. Links in them are below the root that the console has in a browser, so
// there is a set of templates for each; a deployment has one or two. A template is parsed when it is first shown: all of
// them would be most of a cold start.
type views struct {
	now    func() time.Time
	assets assets

	mu   sync.Mutex
	sets map[string]set // by root
}

// set has the templates of one root: what all others may use, and those that were shown, by file without ".html".
type set struct {
	base  *template.Template
	shown map[string]*template.Template
}

const maxSets = 8

func newViews(now func() time.Time) *views {
	return &views{now: now, assets: readAssets(), sets: map[string]set{}}
}

// shared are the templates that all others may use.
var shared = []string{"templates/layout.html", "templates/components.html"}

// template is the one of a file. A file that is wrong is a panic, which a test of all files sees first.
func (v *views) template(prefix, name string) *template.Template {
	v.mu.Lock()
	defer v.mu.Unlock()
	s, ok := v.sets[prefix]
	if !ok {
		base, err := template.New("").Option("missingkey=error").Funcs(v.funcs(prefix)).ParseFS(templateFiles, shared...)
		must(err)
		s = set{base, map[string]*template.Template{}}
		if len(v.sets) < maxSets {
			v.sets[prefix] = s
		}
	}
	if s.shown[name] == nil {
		t, err := s.base.Clone()
		must(err)
		s.shown[name], err = t.ParseFS(templateFiles, "templates/"+name+".html")
		must(err)
	}
	return s.shown[name]
}

// must ends the program: its own files are wrong.
func must(err error) {
	if err != nil {
		panic("console: " + err.Error())
	}
}

// around is what the layout gets.
type around struct {
	frame
	Data any
}

// page answers with a whole page; or with its content alone, if htmx asks for it in a dialog.
func (v *views) page(visit *Visit, status int, name string, f frame, data any) {
	block := "layout"
	if visit.r.Header.Get("Hx-Target") == "dialog" {
		block = "in-dialog"
	}
	f = visit.complete(f)
	f.Shown = v.shown(visit, name, data)
	v.write(visit, status, name, block, around{f, data})
}

// shown is the tag of the part of a page that is read again, "" if there is none.
func (v *views) shown(visit *Visit, name string, data any) string {
	for _, f := range visit.console.fragments {
		if f.Template != name || f.Posted {
			continue
		}
		if part, err := v.render(visit, name, f.Block, data); err == nil {
			return tagOf(part)
		}
	}
	return ""
}

// tagOf is an entity tag.
func tagOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:12])
}

// unchanged answers with a part of a page, or with nothing if the browser shows just that: then it is
// not read out again, and what is selected in it stays so.
func (v *views) unchanged(visit *Visit, name, block string, data any) {
	part, err := v.render(visit, name, block, data)
	if err == nil {
		tag := tagOf(part)
		visit.w.Header().Set("ETag", tag)
		if visit.r.Header.Get("If-None-Match") == tag {
			visit.w.WriteHeader(http.StatusNoContent)
			return
		}
	}
	v.send(visit, http.StatusOK, part, err)
}

// block answers with a part of a page.
func (v *views) block(visit *Visit, status int, name, block string, data any) {
	v.write(visit, status, name, block, data)
}

// bare answers with a page for nobody in particular.
func (v *views) bare(visit *Visit, status int, name string, data any) {
	v.write(visit, status, name, "layout", around{frame{Title: titles[name], SignIn: true, Said: visit.said()}, data})
}

var titles = map[string]string{"signin": "Sign in", "again": "One moment", "kept": "What you typed"}

// failure answers with a page that says what went wrong. It asks the API nothing.
func (v *views) failure(visit *Visit, status int, f *Failure) {
	visit.tellWhen(f)
	around := around{frame{Title: f.Title, SignIn: visit.API == nil, Name: visit.session.Name, GroupID: visit.GroupID(), Nav: visit.console.navItems(visit, "")}, f}
	v.write(visit, status, "error", "layout", around)
}

// write renders everything before it answers, so that no page ends in the middle.
func (v *views) write(visit *Visit, status int, name, block string, data any) {
	page, err := v.render(visit, name, block, data)
	v.send(visit, status, page, err)
}

func (v *views) render(visit *Visit, name, block string, data any) ([]byte, error) {
	var page bytes.Buffer
	if err := v.template(visit.root, name).ExecuteTemplate(&page, block, data); err != nil {
		return nil, fmt.Errorf("template %s: %w", name, err)
	}
	return page.Bytes(), nil
}

func (v *views) send(visit *Visit, status int, page []byte, err error) {
	if err != nil {
		visit.err = errors.Join(visit.err, err)
		http.Error(visit.w, "The page cannot be shown.", http.StatusInternalServerError)
		return
	}
	visit.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	visit.w.WriteHeader(status)
	visit.w.Write(page) //nolint:errcheck // the client is gone; there is nobody to tell
}

func panicked(p any) error { return fmt.Errorf("panic: %v\n%s", p, debug.Stack()) }
