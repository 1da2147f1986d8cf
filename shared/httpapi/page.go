package httpapi

import (
	"net/url"
	"strconv"
	"strings"

	"latchkey/shared/atlas"
)

// Bounds of the paging parameters (CONTRACT 1.3).
const (
	defaultItemsPerPage = 100
	maxItemsPerPage     = 500
)

// Window is the page of a list that a client asked for.
type Window struct {
	Number       int // from 1
	Size         int
	IncludeCount bool
}

// Offset is the number of items before the window.
func (w Window) Offset() int { return (w.Number - 1) * w.Size }

// Window reads the paging parameters. pageNum=0 counts as 1, because the Terraform provider
// sends it.
func (r *Request) Window() (Window, error) {
	w := Window{}
	var err error
	if w.Number, err = r.intQuery("pageNum", 1, 0, 1<<20); err != nil {
		return w, err
	}
	w.Number = max(w.Number, 1)
	if w.Size, err = r.intQuery("itemsPerPage", defaultItemsPerPage, 1, maxItemsPerPage); err != nil {
		return w, err
	}
	w.IncludeCount, err = r.BoolQuery("includeCount", true)
	return w, err
}

// BoolQuery reads a boolean query parameter.
func (r *Request) BoolQuery(name string, otherwise bool) (bool, error) {
	s := r.Query.Get(name)
	if s == "" {
		return otherwise, nil
	}
	v, err := strconv.ParseBool(strings.ToLower(s))
	if err != nil {
		return false, atlas.Fail(atlas.InvalidQueryParameter, name).Hinting("It must be true or false.")
	}
	return v, nil
}

func (r *Request) intQuery(name string, otherwise, least, most int) (int, error) {
	s := r.Query.Get(name)
	if s == "" {
		return otherwise, nil
	}
	v, err := strconv.Atoi(s)
	if err != nil || v < least || v > most {
		return 0, atlas.Fail(atlas.InvalidQueryParameter, name).Hinting("It must be a number from %d to %d.", max(least, 1), most)
	}
	return v, nil
}

// List answers with the page of all that the client asked for, in the list envelope.
func List[T any](r *Request, all []T) (Response, error) {
	w, err := r.Window()
	if err != nil {
		return Response{}, err
	}
	page, more := Cut(w, all)
	return PageOf(r, w, page, len(all), more), nil
}

// Cut cuts a window out of all items. more says whether items follow it.
func Cut[T any](w Window, all []T) (page []T, more bool) {
	from := min(w.Offset(), len(all))
	to := min(from+w.Size, len(all))
	return all[from:to], to < len(all)
}

// PageOf answers with one page that the caller has already cut out. more says whether items
// follow it.
func PageOf[T any](r *Request, w Window, items []T, total int, more bool) Response {
	if items == nil {
		items = []T{}
	}
	page := atlas.Page[T]{Results: items, Links: []atlas.Link{{Href: r.selfURL(w), Rel: "self"}}}
	if w.Number > 1 {
		page.Links = append(page.Links, atlas.Link{Href: r.pageURL(w, w.Number-1), Rel: "previous"})
	}
	if more {
		page.Links = append(page.Links, atlas.Link{Href: r.pageURL(w, w.Number+1), Rel: "next"})
	}
	if w.IncludeCount {
		page.TotalCount = &total
	}
	return OK(page)
}

// selfURL and pageURL are the URLs of this and of another page, with all effective parameters:
// filters first, in alphabetical order, then the paging parameters in the order that the real
// service prints them in each (CONTRACT 1.4).
func (r *Request) selfURL(w Window) string {
	return r.filteredURL(w) + "&pageNum=" + strconv.Itoa(w.Number) + "&itemsPerPage=" + strconv.Itoa(w.Size)
}

func (r *Request) pageURL(w Window, number int) string {
	return r.filteredURL(w) + "&itemsPerPage=" + strconv.Itoa(w.Size) + "&pageNum=" + strconv.Itoa(number)
}

func (r *Request) filteredURL(w Window) string {
	filters := url.Values{}
	for name, values := range r.Query {
		switch name {
		case "includeCount", "pageNum", "itemsPerPage", "pretty", "envelope":
		default:
			filters[name] = values
		}
	}
	query := filters.Encode()
	if query != "" {
		query += "&"
	}
	return r.Base + r.Path + "?" + query + "includeCount=" + strconv.FormatBool(w.IncludeCount)
}
