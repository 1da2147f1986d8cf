package console

import (
	"fmt"
	"html/template"
	"maps"
	"net/url"
	"strconv"
	"strings"
	"time"

	"latchkey/console/client"
	"latchkey/shared/atlas"
)

// Tone is what a badge or a banner means; its text says so too.
type Tone string

// The tones.
const (
	Good    Tone = "good"
	Bad     Tone = "bad"
	Warning Tone = "warning"
	Busy    Tone = "busy"
	Neutral Tone = "neutral"
)

// Badge is a status in a word or two.
type Badge struct {
	Tone Tone
	Text string
}

// Field is a field of a form. Value is shown again unless the field is Secret.
type Field struct {
	Name     string
	Label    string
	Hint     string
	Error    string
	Value    string
	Type     string // of <input>: "text" if it is empty
	Options  []Option
	Multi    int  // lines of a text area; 0 is an input
	Checked  bool // of a Type "checkbox"
	Required bool
	Secret   bool     // it is never shown again, and browsers do not fill it in
	Mono     bool     // ids and ARNs
	Check    string   // path of a posted Fragment that is told what was typed, and answers with block "note"
	With     []string // other fields that go with it to Check; no others do
	Pattern  string   // that the browser checks too
	Spelling string   // autocomplete; "off" if it is empty
}

// Option is a choice of a Field.
type Option struct {
	Value, Text string
	Disabled    bool
}

// ID is the element's.
func (f Field) ID() string { return "f-" + strings.ReplaceAll(f.Name, ".", "-") }

// InputType is the type of the input.
func (f Field) InputType() string {
	switch {
	case f.Secret:
		return "password"
	case f.Type == "":
		return "text"
	}
	return f.Type
}

// Complete is the autocomplete attribute.
func (f Field) Complete() string {
	switch {
	case f.Spelling != "":
		return f.Spelling
	case f.Secret:
		return "new-password" // browsers leave it empty
	}
	return "off"
}

// Sent are the names of the fields that Check is told: htmx would send the whole form, secrets included.
func (f Field) Sent() string { return strings.Join(append([]string{f.Name}, f.With...), ",") }

// Described are the ids of what explains the field.
func (f Field) Described() string {
	var ids []string
	for _, by := range []struct {
		suffix string
		has    bool
	}{{"-error", f.Error != ""}, {"-hint", f.Hint != ""}, {"-note", f.Check != "" && !f.Secret}} {
		if by.has {
			ids = append(ids, f.ID()+by.suffix)
		}
	}
	return strings.Join(ids, " ")
}

// Field completes a field with what was sent and what the API says of it. Other names are those of the
// members of the API that it fills: "awsKms.region".
func (v *Visit) Field(f Field, members ...string) Field {
	if v.Sent() && !f.Secret {
		f.Value, f.Checked = v.Form(f.Name), v.Checked(f.Name)
	}
	f.Error = v.Failure.Field(append([]string{f.Name}, members...)...)
	return f
}

// Note is what a check as you type says.
type Note struct {
	Tone Tone
	Text string
}

// Confirm is a question before something that cannot be undone. It is a page of its own, and a dialog
// where there is JavaScript.
type Confirm struct {
	Question string
	Detail   string
	Action   string // path that is posted to
	Button   string
	Danger   bool
	Back     string            // path that "Cancel" leads to
	Hidden   map[string]string // fields
	Type     string            // what must be typed to go on; "" for nothing
	Failure  *Failure
	Denied   string // why whoever looks may not do it; "" if they may
}

// Pager leads through the pages of a list.
type Pager struct {
	Path     string // of the console
	Query    url.Values
	Number   int // of this page, from 1
	PageSize int
	Total    int
}

// PageSize is how many items a page of a list has.
const PageSize = 25

// Pager reads which page of a list is asked for.
func (v *Visit) Pager() Pager {
	number, err := strconv.Atoi(v.Query("page"))
	if err != nil || number < 1 || number > 1e6 {
		number = 1
	}
	query := v.r.URL.Query()
	query.Del("page")
	return Pager{Path: v.r.URL.EscapedPath(), Query: query, Number: number, PageSize: PageSize}
}

// Of is the query that asks the API for this page. Add a filter with Set.
func (p Pager) Of() url.Values {
	return url.Values{"pageNum": {strconv.Itoa(p.Number)}, "itemsPerPage": {strconv.Itoa(p.PageSize)}}
}

// Counted is the pager of a list that has so many items.
func (p Pager) Counted(total *int) Pager {
	if total != nil {
		p.Total = *total
	}
	return p
}

// Last is the number of the last page.
func (p Pager) Last() int { return max(1, (p.Total+p.PageSize-1)/p.PageSize) }

// Link is the address of another page, "" if there is none.
func (p Pager) Link(step int) string {
	n := p.Number + step
	if n < 1 || n > p.Last() {
		return ""
	}
	q := url.Values{"page": {strconv.Itoa(n)}}
	maps.Copy(q, p.Query)
	return p.Path + "?" + q.Encode()
}

// Moment is a time as pages show it.
type Moment struct{ Machine, Absolute, Relative string }

// moment reads a time of the API, or a time.Time.
func moment(value any, now time.Time) Moment {
	var at time.Time
	switch value := value.(type) {
	case time.Time:
		at = value
	case string:
		at, _ = time.Parse(time.RFC3339, value)
	case *string:
		if value != nil {
			at, _ = time.Parse(time.RFC3339, *value)
		}
	}
	if at.IsZero() {
		return Moment{}
	}
	at = at.UTC()
	return Moment{at.Format(time.RFC3339), at.Format("2 Jan 2006, 15:04:05 UTC"), relative(at.Sub(now))}
}

func relative(d time.Duration) string {
	ago, size := d < 0, d.Abs()
	var text string
	switch {
	case size < 10*time.Second:
		return "just now"
	case size < time.Minute:
		text = "less than a minute" // not another every second: who listens would hear each
	case size < time.Hour:
		text = count(int(size.Minutes()), "minute")
	case size < 48*time.Hour:
		text = count(int(size.Hours()), "hour")
	default:
		text = count(int(size.Hours()/24), "day")
	}
	if ago {
		return text + " ago"
	}
	return "in " + text
}

// funcs are what templates may call besides their data.
func (v *views) funcs(prefix string) template.FuncMap {
	return template.FuncMap{
		"url":   func(path string, segments ...any) string { return prefix + join(path, segments) },
		"asset": func(name string) (string, error) { return v.asset(prefix, name) },
		"time":  func(value any) Moment { return moment(value, v.now()) },
		"badge": func(tone, text string) Badge { return Badge{Tone(tone), text} },
		"count": count,
		"dict":  dict,
		"text":  text,
	}
}

func join(path string, segments []any) string {
	var escaped []string
	for _, s := range segments {
		escaped = append(escaped, fmt.Sprint(s))
	}
	return client.Path(path, escaped...)
}

func (v *views) asset(prefix, name string) (string, error) {
	hashed, ok := v.assets.hashed[name]
	if !ok {
		return "", fmt.Errorf("there is no asset %s", name)
	}
	return prefix + assetsPath + hashed, nil
}

// dict makes the argument of a component of names and values.
func dict(pairs ...any) (map[string]any, error) {
	all := map[string]any{"ID": "", "Label": "", "Text": "", "Tone": "neutral", "Title": "", "URL": "", "Detail": ""}
	for i := 0; i+1 < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("%v is no name", pairs[i])
		}
		all[name] = pairs[i+1]
	}
	return all, nil
}

// text is the value of what may be nil.
func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// ProviderName is what people call a provider.
func ProviderName(p atlas.Provider) string {
	switch p {
	case atlas.AWS:
		return "AWS KMS"
	case atlas.Azure:
		return "Azure Key Vault"
	case atlas.GCP:
		return "Google Cloud KMS"
	}
	return string(p)
}
